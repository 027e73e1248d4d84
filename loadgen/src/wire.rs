//! A connection with its read buffer: writes that usually need no wait, reads that wait once. Over
//! TLS the same, with records between buffer and socket.
//!
//! In: a way to the target, bytes to send. Out: bytes received, in a buffer that is reused. What
//! the bytes mean is left to the HTTP and WebSocket clients; when a wait is given up, to the
//! watch.

pub(crate) mod reactor;
pub(crate) mod watch;

pub(crate) mod lane;

mod dial;
mod names;
pub(crate) mod route;
pub(crate) mod tls;
mod trust;
pub(crate) mod tunnel;

use crate::sample::Failure;
use lane::Lane;
use reactor::Registration;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Poll;
use tls::Session;
use tunnel::Forward;
use watch::Watch;

/// Bytes of a reply held at most.
pub(crate) const REPLY_MAX: usize = 64 * 1024 * 1024;

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dial {
    /// Size of the read buffer at first, bytes.
    pub(crate) buffer: usize,
    /// Protocols offered over TLS, the dearest first ([`HTTP1`], [`HTTP2`]).
    pub(crate) protocols: &'static [&'static [u8]],
    /// A proxy is asked for a tunnel even without TLS: what is sent is not plain HTTP/1.1.
    pub(crate) tunnel: bool,
}

/// HTTP/1.1 as an application protocol (RFC 7301).
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// HTTP/2 over TLS as an application protocol.
pub(crate) const HTTP2: &[u8] = b"h2";

/// A connection and what was read from it and not yet used.
pub(crate) struct Wire {
    // Dropped before the descriptor is closed.
    registration: Registration,
    socket: OwnedFd,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    session: Option<Box<Session>>,
}

impl Wire {
    /// Connects by the lane's route: through a proxy where there is one, and with TLS where the
    /// target speaks it.
    pub(crate) async fn connect(lane: &Lane, watch: &Watch, dial: Dial) -> Result<Self, Failure> {
        let Some(limit) = lane.route.limit else { return Self::open(lane, watch, dial).await };
        let whole = watch.deadline();
        let own = lane.now().saturating_add(limit);
        watch.set(whole.min(own));
        let result = Self::open(lane, watch, dial).await;
        watch.set(whole);
        match result {
            Err(Failure::TimedOut) if own < whole => Err(Failure::NotConnected),
            result => result,
        }
    }

    async fn open(lane: &Lane, watch: &Watch, dial: Dial) -> Result<Self, Failure> {
        let (registration, socket) = dial::connect(lane, watch).await?;
        let buffer = vec![0; dial.buffer];
        let mut wire = Self { registration, socket, buffer, start: 0, end: 0, session: None };
        if let Some(forward) = &lane.route.forward
            && (dial.tunnel || lane.tls.is_some())
        {
            wire.dig(forward, watch).await?;
        }
        if let Some(tls) = &lane.tls {
            // What a proxy says behind its reply would be taken for the target's.
            if !wire.bytes().is_empty() {
                return Err(Failure::Protocol);
            }
            let begin = lane.now();
            wire.session = Some(Box::new(tls.session(dial.protocols)?));
            wire.shake_hands(watch).await?;
            if let Some(session) = &mut wire.session {
                session.handshake = lane.now() - begin;
            }
        }
        Ok(wire)
    }

    /// Has a proxy open a tunnel.
    async fn dig(&mut self, forward: &Forward, watch: &Watch) -> Result<(), Failure> {
        self.write_all(forward.connect(), watch).await?;
        loop {
            if let Some(length) = tunnel::opened(self.bytes())? {
                self.consume(length);
                return Ok(());
            }
            self.fill(watch).await?;
        }
    }

    /// The application protocol that was agreed on over TLS.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.session.as_ref()?.protocol()
    }

    /// Nanoseconds that the TLS handshake took; none without TLS.
    pub(crate) fn handshake(&self) -> Option<u64> {
        self.session.as_ref().map(|session| session.handshake)
    }

    /// Whether the peer has said that it will send no more, so that nothing can be asked of it.
    #[inline]
    pub(crate) fn is_ended(&self) -> bool {
        self.registration.is_ended()
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
        if self.session.is_some() {
            return self.poll_fill_tls();
        }
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

    /// Reads what there is into a buffer that is not the connection's own.
    #[inline]
    pub(crate) fn poll_read(&mut self, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        if self.session.is_some() {
            return self.poll_read_tls(into);
        }
        if !self.registration.is_readable() {
            return Poll::Pending;
        }
        loop {
            match recv(&self.socket, &mut *into, RecvFlags::empty()) {
                Ok((0, _)) => return Poll::Ready(Err(Failure::Closed)),
                Ok((read, _)) => {
                    if read < into.len() {
                        self.registration.drained();
                    }
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

    /// Gives the connection's own buffer back: from now on it is read by [`Wire::poll_read`].
    pub(crate) fn release(&mut self) {
        self.buffer = Vec::new();
        self.start = 0;
        self.end = 0;
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

    /// The same for a wait of many in a row: others have their turn in between, and its time ends
    /// however much there is to read.
    pub(crate) async fn fill_in_turn(
        &mut self,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<usize, Failure> {
        poll_fn(|context| {
            if lane.reactor.is_winded() {
                return watch.poll_end(context).map(Err);
            }
            match self.poll_fill() {
                Poll::Pending => watch.poll_end(context).map(Err),
                Poll::Ready(result) => {
                    lane.reactor.tire(result.unwrap_or(0));
                    Poll::Ready(result)
                }
            }
        })
        .await
    }

    /// Writes all bytes; true when it had to wait.
    #[inline]
    pub(crate) async fn write_all(&mut self, bytes: &[u8], watch: &Watch) -> Result<bool, Failure> {
        if self.session.is_some() {
            return self.write_tls(bytes, watch).await;
        }
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
                    dial::writable(&self.registration, watch).await?;
                }
                Err(error) => return Err(Failure::of(&error.into())),
            }
        }
        Ok(())
    }

    /// Writes what can be written without waiting; how much that was. Once there is room for
    /// more, the task is polled.
    #[inline]
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if self.session.is_some() {
            return self.try_write_tls(bytes);
        }
        match self.send(bytes) {
            Ok(written) => Ok(written),
            Err(Errno::AGAIN) => {
                self.registration.filled();
                Ok(0)
            }
            Err(error) => Err(Failure::of(&error.into())),
        }
    }
}

/// The same over TLS, off the path of plain connections.
impl Wire {
    #[cold]
    async fn shake_hands(&mut self, watch: &Watch) -> Result<(), Failure> {
        loop {
            self.flush(watch).await?;
            if !self.session.as_ref().is_some_and(|session| session.is_handshaking()) {
                return Ok(());
            }
            poll_fn(|context| match self.poll_records() {
                Poll::Pending => watch.poll_end(context).map(Err),
                ready => ready,
            })
            .await?;
        }
    }

    fn poll_fill_tls(&mut self) -> Poll<Result<usize, Failure>> {
        loop {
            if self.end == self.buffer.len()
                && let Err(failure) = self.reserve(0)
            {
                return Poll::Ready(Err(failure));
            }
            let Some(session) = &mut self.session else { return Poll::Pending };
            match session.take(&mut self.buffer[self.end..]) {
                Ok(Some(read)) => {
                    self.end += read;
                    return Poll::Ready(Ok(read));
                }
                Ok(None) => {}
                Err(failure) => return Poll::Ready(Err(failure)),
            }
            match self.poll_records() {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_read_tls(&mut self, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        loop {
            let Some(session) = &mut self.session else { return Poll::Pending };
            match session.take(into) {
                Ok(Some(read)) => return Poll::Ready(Ok(read)),
                Ok(None) => {}
                Err(failure) => return Poll::Ready(Err(failure)),
            }
            match self.poll_records() {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes records from the socket, and sends what they ask for.
    fn poll_records(&mut self) -> Poll<Result<(), Failure>> {
        let Self { session: Some(session), registration, socket, .. } = self else {
            return Poll::Pending;
        };
        if !registration.is_readable() {
            return Poll::Pending;
        }
        let result = session.receive(&mut Records { registration, socket });
        match result {
            Ok(true) => Poll::Ready(self.send_records().map(|_| ())),
            Ok(false) => Poll::Pending,
            Err(failure) => {
                // The peer is told why, if it still listens.
                let _ = self.send_records();
                Poll::Ready(Err(failure))
            }
        }
    }

    /// Sends records as long as there is room; true when all are sent.
    fn send_records(&mut self) -> Result<bool, Failure> {
        let Self { session: Some(session), registration, socket, .. } = self else {
            return Ok(true);
        };
        while session.has_records() {
            match session.send(&mut Records { registration, socket }) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Failure::of(&error)),
            }
        }
        Ok(true)
    }

    /// Sends all records; true when it had to wait.
    async fn flush(&mut self, watch: &Watch) -> Result<bool, Failure> {
        let mut waited = false;
        while !self.send_records()? {
            self.registration.filled();
            dial::writable(&self.registration, watch).await?;
            waited = true;
        }
        Ok(waited)
    }

    /// Whether TLS has something to send.
    pub(crate) fn has_records(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.has_records())
    }

    fn try_write_tls(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut taken = 0;
        loop {
            if !self.send_records()? {
                self.registration.filled();
                return Ok(taken);
            }
            let Some(session) = &mut self.session else { return Err(Failure::Closed) };
            if taken == bytes.len() {
                return Ok(taken);
            }
            taken += session.put(&bytes[taken..]);
        }
    }

    async fn write_tls(&mut self, mut bytes: &[u8], watch: &Watch) -> Result<bool, Failure> {
        let mut waited = false;
        while !bytes.is_empty() {
            let Some(session) = &mut self.session else { return Err(Failure::Closed) };
            let taken = session.put(bytes);
            bytes = &bytes[taken..];
            waited |= self.flush(watch).await?;
        }
        Ok(waited)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            session.close();
            // A peer that takes no more has no use for it.
            let _ = self.send_records();
        }
    }
}

/// The socket as rustls wants it.
struct Records<'w> {
    registration: &'w Registration,
    socket: &'w OwnedFd,
}

impl io::Read for Records<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let size = room.len();
        loop {
            match recv(self.socket, &mut *room, RecvFlags::empty()) {
                Ok((read, _)) => {
                    if read < size && read > 0 {
                        self.registration.drained();
                    }
                    return Ok(read);
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    if error == Errno::AGAIN {
                        self.registration.drained();
                    }
                    return Err(error.into());
                }
            }
        }
    }
}

impl io::Write for Records<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(self.socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
