//! A TCP connection with its read buffer: writes that usually need no wait, reads that wait once.
//!
//! In: an address, bytes to send. Out: bytes received, in a buffer that is reused. What the bytes
//! mean is left to the HTTP and WebSocket clients; when a wait is given up, to the watch.

pub(crate) mod reactor;
pub(crate) mod watch;

pub(crate) mod lane;

use crate::sample::Failure;
use lane::Lane;
use reactor::Registration;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, sockopt,
};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use watch::Watch;

/// Connections from one loopback source address, before the next one is used. Linux offers 28,232
/// local ports per source and destination, of which those in TIME_WAIT (60 s) are not free.
const CONNECTIONS_PER_SOURCE: u64 = 10_000;

/// Source addresses in turn: at a thousand connections per second each rests for 40 minutes.
const SOURCES: u64 = 250;

/// Bytes of a reply held at most.
pub(crate) const REPLY_MAX: usize = 64 * 1024 * 1024;

/// Connections made by this process, over all passes.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// A connection and what was read from it and not yet used.
pub(crate) struct Wire {
    // Dropped before the descriptor is closed.
    registration: Registration,
    socket: OwnedFd,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Wire {
    /// Connects to the first address that answers.
    pub(crate) async fn connect(
        lane: &Lane,
        watch: &Watch,
        buffer: usize,
    ) -> Result<Self, Failure> {
        let mut failure = Failure::Unreachable;
        for address in &lane.addresses {
            match connect(*address, lane, watch).await {
                Ok((registration, socket)) => {
                    let buffer = vec![0; buffer];
                    return Ok(Self { registration, socket, buffer, start: 0, end: 0 });
                }
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(next) => failure = next,
            }
        }
        Err(failure)
    }

    /// What was read and not yet used.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Marks bytes as used.
    #[inline]
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start >= self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Makes room for reading: at least one byte, and space for `wanted` in all if that is more.
    pub(crate) fn reserve(&mut self, wanted: usize) -> Result<(), Failure> {
        if wanted > REPLY_MAX {
            return Err(Failure::TooLarge);
        }
        if self.start > 0 && (self.end == self.buffer.len() || wanted > self.buffer.len()) {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() || wanted > self.buffer.len() {
            let grown = (self.buffer.len() * 2).max(wanted);
            if grown > 2 * REPLY_MAX {
                return Err(Failure::TooLarge);
            }
            self.buffer.resize(grown, 0);
        }
        Ok(())
    }

    /// Reads what there is.
    #[inline]
    pub(crate) fn poll_fill(&mut self) -> Poll<Result<usize, Failure>> {
        if !self.registration.is_readable() {
            return Poll::Pending;
        }
        if self.end == self.buffer.len()
            && let Err(failure) = self.reserve(0)
        {
            return Poll::Ready(Err(failure));
        }
        let room = &mut self.buffer[self.end..];
        let size = room.len();
        loop {
            match recv(&self.socket, &mut *room, RecvFlags::empty()) {
                Ok((0, _)) => return Poll::Ready(Err(Failure::Closed)),
                Ok((read, _)) => {
                    if read < size {
                        self.registration.drained();
                    }
                    self.end += read;
                    return Poll::Ready(Ok(read));
                }
                Err(Errno::AGAIN) => {
                    self.registration.drained();
                    return Poll::Pending;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(Failure::of(&error.into()))),
            }
        }
    }

    /// Waits for at least one byte more.
    #[inline]
    pub(crate) async fn fill(&mut self, watch: &Watch) -> Result<usize, Failure> {
        poll_fn(|context| match self.poll_fill() {
            Poll::Pending => watch.poll_end(context).map(Err),
            ready => ready,
        })
        .await
    }

    /// Writes all bytes; true when it had to wait.
    #[inline]
    pub(crate) async fn write_all(&mut self, bytes: &[u8], watch: &Watch) -> Result<bool, Failure> {
        let written = match self.send(bytes) {
            Ok(written) if written == bytes.len() => return Ok(false),
            Ok(written) => written,
            Err(Errno::AGAIN) => 0,
            Err(error) => return Err(Failure::of(&error.into())),
        };
        self.write_rest(&bytes[written..], watch).await?;
        Ok(true)
    }

    #[inline]
    fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        loop {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                result => return result,
            }
        }
    }

    #[cold]
    async fn write_rest(&mut self, mut bytes: &[u8], watch: &Watch) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match self.send(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::AGAIN) => {
                    self.registration.filled();
                    writable(&self.registration, watch).await?;
                }
                Err(error) => return Err(Failure::of(&error.into())),
            }
        }
        Ok(())
    }

    /// Writes without waiting; false when not all of it could be written.
    pub(crate) fn try_write_all(&self, bytes: &[u8]) -> bool {
        self.send(bytes).is_ok_and(|written| written == bytes.len())
    }
}

/// Waits for room to write.
async fn writable(registration: &Registration, watch: &Watch) -> Result<(), Failure> {
    poll_fn(|context| {
        if registration.is_writable() {
            return Poll::Ready(Ok(()));
        }
        watch.poll_end(context).map(Err)
    })
    .await
}

async fn connect(
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
