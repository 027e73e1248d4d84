//! What can go wrong at the probe's two boundaries: starting it, and taking a snapshot.
//! In: failures of the modules below. Out: errors whose text names the place and the cure.
//! Leaves to others: what a broken admin request is answered (`admin`).

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the probe did not start. Nothing stays behind: no thread, no handler, no file.
///
/// `Debug` gives the same text as `Display`: it is what a `main` that ends with `?` prints, and
/// the cure must be in it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A variable of the environment cannot be read.
    #[error("environment: `{name}` is `{value}`: {cure}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        cure: &'static str,
    },
    /// jemalloc serves the process, but its profiler was not switched on when it started.
    #[error("jemalloc started without `{missing}`: {cure}")]
    ProfilingOff {
        /// The option that is off.
        missing: &'static str,
        /// What switches it on.
        cure: String,
    },
    /// jemalloc refused a setting.
    #[error("jemalloc: `{name}`: {reason}")]
    Jemalloc {
        /// The control's name.
        name: &'static str,
        /// Its answer.
        reason: String,
    },
    /// The folder cannot be used.
    #[error("folder `{}`: {reason}: set `EBBTIDE_DIR` to a folder of your own", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The admin listener did not open.
    #[error("admin listener `{address}`: {reason}")]
    Admin {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// Why not, and the cure.
        reason: String,
    },
    /// Something else answers SIGUSR2 in this process.
    #[error(
        "`SIGUSR2` has a handler already: start the probe before it, or `Options::signal(false)`"
    )]
    SignalTaken,
    /// A probe runs in this process already.
    #[error("a probe runs in this process already: keep the first, drop it before the next")]
    Running,
    /// The system refused a thread, a descriptor or a handler.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The answer.
        source: io::Error,
    },
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The process has no heap profile to give.
    #[error("no heap profile: {0}")]
    Unavailable(String),
    /// jemalloc did not dump.
    #[error("jemalloc did not dump: {0}")]
    Dump(String),
    /// The dump is not what this probe can read.
    #[error("heap dump, line {line}: {reason}")]
    Malformed {
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file could not be written.
    #[error("`{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Too many wait for the probe's thread already.
    #[error("the probe is busy: ask again when a snapshot is done")]
    Busy,
    /// The probe has been dropped.
    #[error("the probe has stopped")]
    Stopped,
}
