//! A WebSocket client (RFC 6455): handshake, messages out in as few writes as they fit, messages
//! in, pings answered, close with a code.
//!
//! In: a prepared handshake, messages. Out: messages, one at a time. Reading goes on while a user
//! waits for something else, so that the server's queue stays empty; what comes then is kept, up
//! to a bound. An idle socket has no buffer: reads go to one that the thread's sockets share.
//! Counting is left to the virtual user, what a server may send to the inbox.

use super::frame::{self, Opcode};
use super::inbox::{Arrival, Inbox};
use super::tap::Tap;
use crate::base64;
use crate::disconnect::{Disconnect, NO_CODE};
use crate::http::reply;
use crate::sample::Failure;
use crate::wire::lane::Lane;
use crate::wire::watch::Watch;
use crate::wire::{Dial, HTTP1, Wire};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Read buffer of the handshake; it grows with the reply, and is given back after it.
const BUFFER: usize = 1024;

const DIAL: Dial = Dial { buffer: BUFFER, protocols: &[HTTP1], tunnel: true };

/// Messages kept for a later `await`; the oldest is dropped.
const BACKLOG_MAX: usize = 64;

/// Bytes of such messages; the oldest is dropped.
const BACKLOG_BYTES_MAX: usize = 256 * 1024;

/// Bytes that wait to be written, above which no pong is added: a peer that does not read has no
/// use for one.
const PONGS_MAX: usize = 4 * 1024;

/// A write buffer of this size is kept for the next message; larger ones are given back.
const KEEP: usize = 512;

/// Close code of an ordinary end.
const NORMAL_CLOSURE: u16 = 1_000;

/// Close code for what RFC 6455 forbids.
const PROTOCOL_ERROR: u16 = 1_002;

/// A message that nobody has asked for yet.
struct Kept {
    bytes: Vec<u8>,
    text: bool,
}

/// Bytes of a handshake's reply: as many as of any other reply's head.
const HEAD_MAX: usize = 256 * 1024;

/// An open WebSocket.
pub(crate) struct Socket {
    wire: Wire,
    inbox: Inbox,
    backlog: VecDeque<Kept>,
    backlog_bytes: usize,
    /// The message that came out of the backlog, while it is looked at.
    current: Option<Kept>,
    text: bool,
    /// Pongs received.
    pub(crate) pongs: u64,
    /// When it was opened, nanoseconds since the engine began.
    pub(crate) opened: u64,
    /// Why it ended, once it has.
    ended: Option<Disconnect>,
    out: Vec<u8>,
    /// Bytes of it that are written.
    written: usize,
    tap: Option<Box<Tap>>,
}

/// What a handshake asks for.
pub(crate) struct Handshake<'a> {
    /// The request but for the key and its end; both are appended.
    pub(crate) head: &'a mut Vec<u8>,
    /// What the key is made of.
    pub(crate) random: [u64; 2],
    /// Subprotocols offered.
    pub(crate) protocols: &'a [String],
    /// What follows stamped messages, if they are followed.
    pub(crate) tap: Option<Box<Tap>>,
}

impl Socket {
    /// Opens a connection and shakes hands.
    pub(crate) async fn connect(
        ask: Handshake<'_>,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<Self, Failure> {
        let mut wire = Wire::connect(lane, watch, DIAL).await?;
        let key = key(ask.random);
        ask.head.extend_from_slice(b"Sec-WebSocket-Key: ");
        ask.head.extend_from_slice(key.as_bytes());
        ask.head.extend_from_slice(b"\r\n\r\n");
        wire.write_all(ask.head, watch).await?;
        let parsed = loop {
            wire.fill(watch).await?;
            if let Some(parsed) = reply::parse_head(wire.bytes(), false)? {
                break parsed;
            }
            if wire.bytes().len() > HEAD_MAX {
                return Err(Failure::TooLarge);
            }
            wire.reserve(0)?;
        };
        let head = &wire.bytes()[..parsed.length];
        lane.note(|recorder| recorder.counters.bytes_received += parsed.length as u64);
        if parsed.status != 101 {
            return Err(Failure::Handshake(parsed.status));
        }
        agreed(head, &key, ask.protocols)?;
        wire.consume(parsed.length);
        let mut inbox = Inbox::default();
        inbox.feed(wire.bytes());
        wire.release();
        Ok(Self {
            wire,
            inbox,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            current: None,
            text: false,
            pongs: 0,
            opened: lane.now(),
            ended: None,
            out: Vec::new(),
            written: 0,
            tap: ask.tap,
        })
    }

    /// Adds a whole message or a control frame to what is to be written: its length as a frame.
    pub(crate) fn queue(&mut self, opcode: Opcode, payload: &[u8], mask: u64) -> usize {
        let before = self.out.len();
        frame::write(&mut self.out, opcode, payload, mask_of(mask));
        self.out.len() - before
    }

    /// Writes all that waits to be written.
    pub(crate) async fn flush(&mut self, watch: &Watch) -> Result<(), Failure> {
        let Self { wire, out, written, .. } = self;
        let result = wire.write_all(&out[*written..], watch).await;
        *written = 0;
        if out.capacity() > KEEP {
            *out = Vec::new();
        } else {
            out.clear();
        }
        if let Err(failure) = result {
            self.ended.get_or_insert(Disconnect::of(failure));
            return Err(failure);
        }
        Ok(())
    }

    /// Writes what can be written at once.
    pub(crate) fn flush_some(&mut self) {
        while self.written < self.out.len() {
            match self.wire.try_write(&self.out[self.written..]) {
                Ok(sent @ 1..) => self.written += sent,
                // A connection that failed says so to whoever reads from it.
                Ok(0) | Err(_) => return,
            }
        }
        self.out.clear();
        self.written = 0;
    }

    /// The message that [`Socket::next`] gave last.
    pub(crate) fn message(&self) -> &[u8] {
        self.current.as_ref().map_or_else(|| self.inbox.message(), |kept| &kept.bytes)
    }

    /// Whether that message is text.
    pub(crate) fn is_text(&self) -> bool {
        self.current.as_ref().map_or(self.text, |kept| kept.text)
    }

    /// Why it ended, as far as its failures have told.
    pub(crate) fn ended(&self, failure: Failure) -> Disconnect {
        self.ended.unwrap_or_else(|| Disconnect::of(failure))
    }

    /// Waits for the next message.
    #[inline]
    pub(crate) async fn next(&mut self, lane: &Lane, watch: &Watch) -> Result<(), Failure> {
        poll_fn(|context| match self.poll_message(lane) {
            Poll::Pending => watch.poll_end(context).map(Err),
            ready => ready,
        })
        .await
    }

    /// The next message: one that was kept, or one that has just come.
    #[inline]
    pub(crate) fn poll_message(&mut self, lane: &Lane) -> Poll<Result<(), Failure>> {
        self.current = self.backlog.pop_front();
        if let Some(kept) = &self.current {
            self.backlog_bytes -= kept.bytes.len();
            return Poll::Ready(Ok(()));
        }
        self.poll_next(lane)
    }

    /// Waits for a pong beyond `seen`.
    pub(crate) async fn pong(
        &mut self,
        seen: u64,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<(), Failure> {
        poll_fn(|context| {
            let served = self.service(lane);
            match (self.pongs > seen, served) {
                (true, _) => Poll::Ready(Ok(())),
                (_, Err(failure)) => Poll::Ready(Err(failure)),
                _ => watch.poll_end(context).map(Err),
            }
        })
        .await
    }

    /// Takes what has come, without waiting. An error means that the socket is gone.
    pub(crate) fn service(&mut self, lane: &Lane) -> Result<(), Failure> {
        loop {
            match self.poll_next(lane) {
                Poll::Ready(Ok(())) => self.keep(),
                Poll::Ready(Err(failure)) => return Err(failure),
                Poll::Pending => return Ok(()),
            }
        }
    }

    fn keep(&mut self) {
        let bytes = self.inbox.message().to_vec();
        self.backlog_bytes += bytes.len();
        self.backlog.push_back(Kept { bytes, text: self.text });
        while self.backlog.len() > BACKLOG_MAX || self.backlog_bytes > BACKLOG_BYTES_MAX {
            let Some(dropped) = self.backlog.pop_front() else { break };
            self.backlog_bytes -= dropped.bytes.len();
        }
    }

    fn poll_next(&mut self, lane: &Lane) -> Poll<Result<(), Failure>> {
        loop {
            match self.inbox.take() {
                Ok(Some(Arrival::Message(text))) => {
                    self.text = text;
                    lane.note(|recorder| recorder.counters.messages_received += 1);
                    if let Some(tap) = &mut self.tap {
                        tap.note(self.inbox.message(), lane, lane.latest());
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(Some(Arrival::Ping)) => {
                    if self.out.len() < PONGS_MAX {
                        let mask = mask_of(self.opened);
                        frame::write(&mut self.out, Opcode::Pong, self.inbox.message(), mask);
                    }
                }
                Ok(Some(Arrival::Pong)) => self.pongs += 1,
                Ok(Some(Arrival::Close(code))) => {
                    self.ended.get_or_insert(Disconnect::Closed(code));
                    return Poll::Ready(Err(Failure::Closed));
                }
                Ok(None) => match self.poll_read(lane) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => return Poll::Pending,
                },
                Err(failure) => {
                    self.ended.get_or_insert(Disconnect::Protocol);
                    return Poll::Ready(Err(failure));
                }
            }
        }
    }

    #[inline]
    fn poll_read(&mut self, lane: &Lane) -> Poll<Result<(), Failure>> {
        if !self.out.is_empty() {
            self.flush_some();
        }
        if lane.reactor.is_winded() {
            return Poll::Pending;
        }
        let mut shared = lane.shared_buffer();
        match self.wire.poll_read(&mut shared) {
            Poll::Ready(Ok(read)) => {
                lane.reactor.tire(read);
                self.inbox.feed(&shared[..read]);
                if self.tap.is_some() {
                    // What this read has brought has come now.
                    lane.now();
                }
                lane.note(|recorder| recorder.counters.bytes_received += read as u64);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(failure)) => {
                self.ended.get_or_insert(Disconnect::of(failure));
                Poll::Ready(Err(failure))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Says that it is over, as far as that can be written at once, and waits for no answer.
    pub(crate) fn say_farewell(&mut self) {
        self.queue(Opcode::Close, &NORMAL_CLOSURE.to_be_bytes(), self.opened);
        self.flush_some();
    }

    /// Answers the peer's close with its own code, or says that it broke the protocol; as far as
    /// that can be written at once.
    pub(crate) fn answer_close(&mut self, why: Disconnect) {
        let payload = match why {
            Disconnect::Closed(NO_CODE) => Vec::new(),
            Disconnect::Closed(code) => code.to_be_bytes().to_vec(),
            _ => PROTOCOL_ERROR.to_be_bytes().to_vec(),
        };
        self.queue(Opcode::Close, &payload, self.opened);
        self.flush_some();
    }

    /// Sends a close frame and takes what comes until the peer's own.
    pub(crate) async fn close(
        &mut self,
        (code, reason): (u16, &[u8]),
        mask: u64,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<(), Failure> {
        self.queue(Opcode::Close, &[&code.to_be_bytes(), reason].concat(), mask);
        self.flush(watch).await?;
        self.backlog.clear();
        self.backlog_bytes = 0;
        loop {
            match self.next(lane, watch).await {
                Ok(()) => {}
                Err(Failure::Closed | Failure::Reset) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Whether the reply takes up what was asked (RFC 6455, section 4.1): the upgrade, the key, one of
/// the subprotocols offered or none, no extension.
fn agreed(head: &[u8], key: &str, protocols: &[String]) -> Result<(), Failure> {
    let header = |name| reply::header(head, name);
    let upgrade = header("upgrade").is_some_and(|it| it.eq_ignore_ascii_case(b"websocket"));
    let accept = header("sec-websocket-accept");
    let protocol = header("sec-websocket-protocol")
        .is_none_or(|chosen| protocols.iter().any(|offered| offered.as_bytes() == chosen));
    let plain = header("sec-websocket-extensions").is_none_or(|it| it.trim_ascii().is_empty());
    let accepted = accept == Some(derive_accept_key(key.as_bytes()).as_bytes());
    if upgrade && accepted && protocol && plain { Ok(()) } else { Err(Failure::Protocol) }
}

fn mask_of(random: u64) -> [u8; 4] {
    (random as u32).to_be_bytes()
}

/// 16 random bytes in base64.
fn key(random: [u64; 2]) -> String {
    let mut bytes = [0_u8; 16];
    bytes[..8].copy_from_slice(&random[0].to_be_bytes());
    bytes[8..].copy_from_slice(&random[1].to_be_bytes());
    base64::encode(&bytes)
}
