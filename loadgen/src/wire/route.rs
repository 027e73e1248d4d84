//! The way to the target, the same for all threads of an engine: who takes the connections, what
//! a proxy is told, source addresses, TLS settings.
//!
//! In: a [`Plan`]. Out: a [`Route`] that connections are made by, or why there is none. Making
//! them is left to `dial`, talking with the proxy to `tunnel`.

use super::names::Names;
use super::tls::{TlsClient, TlsError};
use super::tunnel::Forward;
use crate::plan::Plan;
use crate::scenario::transport::{IpRange, Transport};
use rustix::net::SocketAddrUnix;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

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
    /// A path that no socket can have.
    #[error("`{}` cannot be a unix socket: {cause} (check `unix_socket`)", path.display())]
    Unix {
        /// The path.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A source address that this machine does not have.
    #[error("`{address}` cannot be a source address: {cause} (check `local_ips`)")]
    Source {
        /// The address.
        address: IpAddr,
        /// What the system said.
        cause: io::Error,
    },
}

/// Who takes the connections.
pub(crate) enum Peer {
    /// A socket of this machine.
    Unix(SocketAddrUnix),
    /// A host: the target, or a proxy before it.
    Host(Names),
}

/// The way to the target.
pub(crate) struct Route {
    pub(crate) peer: Peer,
    /// What a proxy is told.
    pub(crate) forward: Option<Forward>,
    /// TLS settings, where the target speaks it.
    pub(crate) tls: Option<TlsClient>,
    /// Sessions of TLS are resumed.
    pub(crate) resumption: bool,
    /// Source addresses.
    pub(crate) sources: Vec<IpRange>,
    /// Time limit of a connection, nanoseconds.
    pub(crate) limit: Option<u64>,
}

impl Route {
    /// Resolves names and reads files, which blocks for as long as that takes.
    ///
    /// # Errors
    /// When a name has no address or a file cannot be used.
    pub(crate) fn new(plan: &Plan) -> Result<Self, RouteError> {
        let (address, transport) = (&plan.address, &plan.transport);
        let tls = address.tls.then(|| TlsClient::new(&transport.tls, &address.host)).transpose()?;
        let (host, port) = transport.instead_of(&address.host, address.port);
        let forward = transport
            .proxy
            .as_ref()
            .map(|proxy| Forward::new(proxy, (host, port), &address.authority));
        transport.local_ips.iter().try_for_each(check_source)?;
        Ok(Self {
            peer: peer(transport, host, port)?,
            forward,
            tls,
            resumption: transport.tls.resumption,
            sources: transport.local_ips.clone(),
            limit: transport.connect_timeout.map(nanos),
        })
    }
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

fn peer(transport: &Transport, host: &str, port: u16) -> Result<Peer, RouteError> {
    if let Some(path) = &transport.unix_socket {
        let address = SocketAddrUnix::new(path.as_path())
            .map_err(|error| RouteError::Unix { path: path.clone(), cause: error.into() })?;
        return Ok(Peer::Unix(address));
    }
    let (host, port) = match &transport.proxy {
        Some(proxy) => (proxy.host.as_str(), proxy.port),
        None => (host, port),
    };
    let names = Names::new(host, port, transport.dns);
    names
        .map(Peer::Host)
        .map_err(|cause| RouteError::Resolve { host: format!("{host}:{port}"), cause })
}

/// Whether connections can be made from both ends of a range.
fn check_source(range: &IpRange) -> Result<(), RouteError> {
    for address in [range.first, range.last] {
        TcpListener::bind((address, 0)).map_err(|cause| RouteError::Source { address, cause })?;
    }
    Ok(())
}
