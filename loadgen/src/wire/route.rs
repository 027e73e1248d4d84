//! The way to the target, the same for all threads of an engine: addresses, TLS settings.
//!
//! In: a [`Plan`]. Out: a [`Route`] that connections are made by, or why there is none. Making
//! them is left to the wire.

use super::tls::{TlsClient, TlsError};
use crate::plan::Plan;
use crate::scenario::transport::Transport;
use std::net::{SocketAddr, ToSocketAddrs};

/// Why there is no way to the target.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A name has no address.
    #[error(
        "host `{host}` could not be resolved: {cause} (check its spelling, or give an address)"
    )]
    Resolve {
        /// Host and port.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The way to the target.
pub(crate) struct Route {
    pub(crate) transport: Transport,
    /// Addresses of whoever takes the connections.
    pub(crate) addresses: Vec<SocketAddr>,
    /// TLS settings, where the target speaks it.
    pub(crate) tls: Option<TlsClient>,
}

impl Route {
    /// Resolves names and reads files, which blocks for as long as that takes.
    ///
    /// # Errors
    /// When a name has no address or a file cannot be used.
    pub(crate) fn new(plan: &Plan) -> Result<Self, RouteError> {
        let address = &plan.address;
        let tls = &plan.transport.tls;
        let tls = address.tls.then(|| TlsClient::new(tls, &address.host)).transpose()?;
        let addresses = resolve(&address.host, address.port)?;
        Ok(Self { transport: plan.transport.clone(), addresses, tls })
    }
}

fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, RouteError> {
    let failed = |cause: String| RouteError::Resolve { host: format!("{host}:{port}"), cause };
    let found = (host, port).to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(addresses) }
}
