//! Sockets opened: to an address or a path, from a source address where that matters.
//!
//! In: a route. Out: a connected socket, watched by the reactor. What is said on it is left to the
//! wire.

use super::lane::Lane;
use super::reactor::Registration;
use super::route::Peer;
use super::watch::Watch;
use crate::sample::Failure;
use crate::scenario::transport::IpRange;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
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

/// Wait before a unix socket whose queue is full is tried again: the system does not say when
/// there is room.
const FULL_QUEUE_NS: u64 = 1_000_000;

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
    let names = match &lane.route.peer {
        Peer::Unix(address) => return connect_unix(address, lane, watch).await,
        Peer::Host(names) => names,
    };
    let mut failure = Failure::Unreachable;
    let found = lane.addresses(names);
    for address in found.from(names.turn()) {
        match connect_to(address, lane, watch).await {
            Ok(connected) => return Ok(connected),
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(next) => failure = next,
        }
    }
    Err(failure)
}

fn failed(error: Errno) -> Failure {
    Failure::of(&error.into())
}

async fn connect_to(
    address: SocketAddr,
    lane: &Lane,
    watch: &Watch,
) -> Result<(Registration, OwnedFd), Failure> {
    let count = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family)?;
    if let Some(source) = source(&lane.route.sources, address.ip(), count) {
        bind_source(&socket, source).map_err(|error| Failure::of(&error))?;
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

async fn connect_unix(
    address: &SocketAddrUnix,
    lane: &Lane,
    watch: &Watch,
) -> Result<(Registration, OwnedFd), Failure> {
    let socket = socket(AddressFamily::UNIX)?;
    loop {
        match rustix::net::connect(&socket, address) {
            Ok(()) => break,
            Err(Errno::AGAIN) => {
                pause(lane.now() + FULL_QUEUE_NS, lane, watch).await?;
            }
            Err(Errno::INTR) => {}
            // Nobody has made the socket, or nobody has it open.
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Err(Failure::Refused),
            Err(error) => return Err(failed(error)),
        }
    }
    let registration = lane.reactor.register(&socket).map_err(|error| Failure::of(&error))?;
    Ok((registration, socket))
}

async fn pause(until: u64, lane: &Lane, watch: &Watch) -> Result<(), Failure> {
    lane.reactor.poll_at(until);
    poll_fn(|context| {
        if lane.now() >= until {
            return Poll::Ready(Ok(()));
        }
        watch.poll_end(context).map(Err)
    })
    .await
}

fn socket(family: AddressFamily) -> Result<OwnedFd, Failure> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(failed)
}

/// The source address of the `count`-th connection; none for the system's choice. Those that were
/// asked for are taken in turn; without any, loopback has enough of its own.
fn source(asked: &[IpRange], target: IpAddr, count: u64) -> Option<IpAddr> {
    let fits = |range: &&IpRange| range.first.is_ipv4() == target.is_ipv4();
    let all: u128 = asked.iter().filter(fits).map(IpRange::len).sum();
    if all > 0 {
        let mut place = u128::from(count) % all;
        for range in asked.iter().filter(fits) {
            if place < range.len() {
                return Some(range.nth(place));
            }
            place -= range.len();
        }
    }
    let last = (count / CONNECTIONS_PER_SOURCE) % SOURCES;
    let spread = last > 0 && asked.is_empty() && target == IpAddr::V4(Ipv4Addr::LOCALHOST);
    spread.then(|| Ipv4Addr::new(127, 0, 0, last as u8 + 1).into())
}

/// Binds to a source address and lets the kernel choose the port at connect, when it knows the
/// destination and so may use a port that another destination uses too.
#[allow(unsafe_code)]
fn bind_source(socket: &OwnedFd, source: IpAddr) -> io::Result<()> {
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
    Ok(rustix::net::bind(socket, &SocketAddr::from((source, 0)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_taken_in_turn_and_fit_the_target() {
        let asked = IpRange::parse_list("127.0.0.3-127.0.0.4,::1,127.1.0.0/31").expect("ranges");
        let v4 = IpAddr::from([127, 0, 0, 1]);
        let of = |target, count| source(&asked, target, count).map(|it| it.to_string());
        let expected = ["127.0.0.3", "127.0.0.4", "127.1.0.0", "127.1.0.1", "127.0.0.3"];
        for (count, expected) in expected.into_iter().enumerate() {
            assert_eq!(of(v4, count as u64).as_deref(), Some(expected));
        }
        assert_eq!(of("::1".parse().expect("an address"), 7).as_deref(), Some("::1"));
        let only_v4 = IpRange::parse_list("127.0.0.3").expect("a range");
        assert_eq!(source(&only_v4, "::1".parse().expect("an address"), 0), None);
    }

    #[test]
    fn loopback_is_spread_by_itself() {
        let (v4, far) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        assert_eq!(source(&[], v4, 9_999), None);
        assert_eq!(source(&[], v4, 10_000), Some([127, 0, 0, 2].into()));
        assert_eq!(source(&[], v4, 2_499_999), Some([127, 0, 0, 250].into()));
        assert_eq!(source(&[], far, 10_000), None);
    }
}
