//! Sockets opened: to an address, from a source address where that matters.
//!
//! In: a route. Out: a connected socket, watched by the reactor. What is said on it is left to the
//! wire.

use super::lane::Lane;
use super::reactor::Registration;
use super::watch::Watch;
use crate::sample::Failure;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

/// Connections from one loopback source address, before the next one is used. Linux offers 28,232
/// local ports per source and destination, of which those in TIME_WAIT (60 s) are not free.
const CONNECTIONS_PER_SOURCE: u64 = 10_000;

/// Source addresses in turn: at a thousand connections per second each rests for 40 minutes.
const SOURCES: u64 = 250;

/// Connections made by this process, over all passes.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Waits for room to write.
pub(super) async fn writable(registration: &Registration, watch: &Watch) -> Result<(), Failure> {
    poll_fn(|context| {
        if registration.is_writable() {
            return Poll::Ready(Ok(()));
        }
        watch.poll_end(context).map(Err)
    })
    .await
}

/// Connects to the first address that answers.
pub(super) async fn connect(
    lane: &Lane,
    watch: &Watch,
) -> Result<(Registration, OwnedFd), Failure> {
    let mut failure = Failure::Unreachable;
    for address in &lane.route.addresses {
        match connect_to(*address, lane, watch).await {
            Ok(connected) => return Ok(connected),
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(next) => failure = next,
        }
    }
    Err(failure)
}

async fn connect_to(
    address: SocketAddr,
    lane: &Lane,
    watch: &Watch,
) -> Result<(Registration, OwnedFd), Failure> {
    let failed = |error: Errno| Failure::of(&error.into());
    let count = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None);
    let socket = socket.map_err(failed)?;
    let source = (count / CONNECTIONS_PER_SOURCE) % SOURCES;
    if source > 0 && address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        bind_source(&socket, source as u8 + 1).map_err(|error| Failure::of(&error))?;
    }
    // Requests are written whole, so waiting to join them could only delay them.
    sockopt::set_tcp_nodelay(&socket, true).map_err(failed)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(failed(error)),
    }
    let registration = lane.reactor.register(&socket).map_err(|error| Failure::of(&error))?;
    writable(&registration, watch).await?;
    sockopt::socket_error(&socket).map_err(failed)?.map_err(failed)?;
    Ok((registration, socket))
}

/// Binds to `127.0.0.<last>` and lets the kernel choose the port at connect, when it knows the
/// destination and so may use a port that another destination uses too.
#[allow(unsafe_code)]
fn bind_source(socket: &OwnedFd, last: u8) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for as long as `socket` lives, and the option's value is a C
    // int that outlives the call, with its size beside it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    Ok(rustix::net::bind(socket, &source)?)
}
