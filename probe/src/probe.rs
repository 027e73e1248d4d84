//! The running probe. Stub of this hour: the interface stands, the parts follow.
//! In: [`Options`]. Out: [`Probe`].
//! Leaves to others: everything yet.

use crate::error::{SnapshotError, StartError};
use crate::{Options, Reply, Request};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The running probe: keep it in `main` as long as the process shall be observed.
#[derive(Debug)]
#[must_use = "dropping the probe stops it"]
pub struct Probe {
    admin: Option<SocketAddr>,
}

/// Starts the probe as the environment says.
///
/// # Errors
///
/// [`StartError`], each with its cure.
pub fn start() -> Result<Probe, StartError> {
    Options::from_env()?.start()
}

impl Options {
    /// Starts the probe: from here on the heap is sampled and snapshots can be asked for.
    ///
    /// # Errors
    ///
    /// [`StartError`], each with its cure.
    pub fn start(self) -> Result<Probe, StartError> {
        Ok(Probe { admin: self.admin })
    }
}

impl Probe {
    /// Where the admin listener stands, if it was asked for.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Takes a snapshot into the folder and says where it is. Blocks until it is written.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`].
    pub fn snapshot(&self) -> Result<PathBuf, SnapshotError> {
        Err(SnapshotError::Stopped)
    }

    /// A handle to mount the admin interface in a server of one's own.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle
    }
}

/// A cheap handle that answers admin requests on the probe's thread, for servers that mount the
/// interface in routes of their own.
#[derive(Clone, Debug)]
pub struct Handle;

impl Handle {
    /// Answers one request: `404` for a path that is not the probe's.
    pub async fn respond(&self, _request: Request) -> Reply {
        Reply::text(503, "the probe has stopped\n")
    }
}
