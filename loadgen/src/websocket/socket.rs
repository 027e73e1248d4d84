//! A WebSocket client (RFC 6455): handshake, messages with their fragments, pings answered, close
//! with a code.
//!
//! In: a prepared handshake, messages. Out: messages, one at a time. Reading goes on while a user
//! waits for something else, so that the server's queue stays empty; what comes then is kept, up
//! to a bound. Counting and stamps are left to the virtual user.

use super::frame::{self, Opcode};
use crate::http::reply;
use crate::sample::Failure;
use crate::wire::lane::Lane;
use crate::wire::watch::Watch;
use crate::wire::{Dial, HTTP1, REPLY_MAX, Wire};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Read buffer of a socket: small, since a process holds thousands; it grows with the messages.
const BUFFER: usize = 2 * 1024;

const DIAL: Dial = Dial { buffer: BUFFER, protocols: &[HTTP1] };

/// Messages kept for a later `await`; the oldest is dropped.
const BACKLOG_MAX: usize = 64;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An open WebSocket.
pub(crate) struct Socket {
    wire: Wire,
    /// Fragments of a message whose last has not come.
    partial: Vec<u8>,
    fragmented: bool,
    /// The current message.
    message: Vec<u8>,
    backlog: VecDeque<Vec<u8>>,
    /// Pongs received.
    pub(crate) pongs: u64,
    /// When it was opened, nanoseconds since the engine began.
    pub(crate) opened: u64,
    out: Vec<u8>,
}

impl Socket {
    /// Opens a connection and shakes hands. `head` is the request but for the key and its end.
    pub(crate) async fn connect(
        head: &mut Vec<u8>,
        random: [u64; 2],
        (lane, watch): (&Lane, &Watch),
    ) -> Result<Self, Failure> {
        let mut wire = Wire::connect(lane, watch, DIAL).await?;
        let key = key(random);
        head.extend_from_slice(b"Sec-WebSocket-Key: ");
        head.extend_from_slice(key.as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        wire.write_all(head, watch).await?;
        let parsed = loop {
            wire.fill(watch).await?;
            if let Some(parsed) = reply::parse_head(wire.bytes(), false)? {
                break parsed;
            }
            wire.reserve(0)?;
        };
        if parsed.status != 101 {
            return Err(Failure::Handshake(parsed.status));
        }
        let accept = reply::header(&wire.bytes()[..parsed.length], "sec-websocket-accept");
        if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(Failure::Protocol);
        }
        wire.consume(parsed.length);
        Ok(Self {
            wire,
            partial: Vec::new(),
            fragmented: false,
            message: Vec::new(),
            backlog: VecDeque::new(),
            pongs: 0,
            opened: lane.now(),
            out: Vec::new(),
        })
    }

    /// Sends a whole message or a control frame.
    pub(crate) async fn send(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        mask: u64,
        watch: &Watch,
    ) -> Result<usize, Failure> {
        self.out.clear();
        frame::write(&mut self.out, opcode, payload, mask_of(mask));
        let Self { wire, out, .. } = self;
        wire.write_all(out, watch).await?;
        Ok(self.out.len())
    }

    /// The message that [`Socket::next`] gave last.
    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// Waits for the next message.
    pub(crate) async fn next(&mut self, lane: &Lane, watch: &Watch) -> Result<(), Failure> {
        if let Some(message) = self.backlog.pop_front() {
            self.message = message;
            return Ok(());
        }
        poll_fn(|context| match self.poll_next(lane) {
            Poll::Pending => watch.poll_end(context).map(Err),
            ready => ready,
        })
        .await
    }

    /// Waits for a pong beyond `seen`.
    pub(crate) async fn pong(
        &mut self,
        seen: u64,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<(), Failure> {
        poll_fn(|context| {
            loop {
                if self.pongs > seen {
                    return Poll::Ready(Ok(()));
                }
                match self.poll_next(lane) {
                    Poll::Ready(Ok(())) => self.keep(),
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending if self.pongs > seen => return Poll::Ready(Ok(())),
                    Poll::Pending => return watch.poll_end(context).map(Err),
                }
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
        if self.backlog.len() >= BACKLOG_MAX {
            self.backlog.pop_front();
        }
        self.backlog.push_back(std::mem::take(&mut self.message));
    }

    fn poll_next(&mut self, lane: &Lane) -> Poll<Result<(), Failure>> {
        loop {
            match self.take_frame() {
                Ok(Some(true)) => {
                    lane.note(|recorder| recorder.counters.messages_received += 1);
                    return Poll::Ready(Ok(()));
                }
                Ok(Some(false)) => {}
                Ok(None) => match self.wire.poll_fill() {
                    Poll::Ready(Ok(read)) => {
                        lane.note(|recorder| recorder.counters.bytes_received += read as u64);
                    }
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => return Poll::Pending,
                },
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
    }

    /// Takes one frame out of the buffer: true when it completes a message, none when it is not
    /// whole yet.
    fn take_frame(&mut self) -> Result<Option<bool>, Failure> {
        let Some(head) = frame::parse(self.wire.bytes())? else { return Ok(None) };
        let payload = usize::try_from(head.payload).map_err(|_| Failure::TooLarge)?;
        let whole = head.head.saturating_add(payload);
        if self.wire.bytes().len() < whole {
            self.wire.reserve(whole)?;
            return Ok(None);
        }
        let bytes = &self.wire.bytes()[head.head..whole];
        let complete = match head.opcode {
            Opcode::Text | Opcode::Binary if self.fragmented => return Err(Failure::Protocol),
            Opcode::Continuation if !self.fragmented => return Err(Failure::Protocol),
            Opcode::Text | Opcode::Binary if head.last => {
                self.message.clear();
                self.message.extend_from_slice(bytes);
                true
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                if self.partial.len() + bytes.len() > REPLY_MAX {
                    return Err(Failure::TooLarge);
                }
                self.partial.extend_from_slice(bytes);
                self.fragmented = !head.last;
                if head.last {
                    self.message = std::mem::take(&mut self.partial);
                }
                head.last
            }
            Opcode::Ping => {
                self.out.clear();
                frame::write(&mut self.out, Opcode::Pong, bytes, mask_of(self.opened));
                // A peer that does not read has no use for a pong.
                self.wire.try_write_all(&self.out);
                false
            }
            Opcode::Pong => {
                self.pongs += 1;
                false
            }
            Opcode::Close => return Err(Failure::Closed),
        };
        self.wire.consume(whole);
        Ok(Some(complete))
    }

    /// Sends a close frame and takes what comes until the peer's own.
    pub(crate) async fn close(
        &mut self,
        code: u16,
        mask: u64,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<(), Failure> {
        self.send(Opcode::Close, &code.to_be_bytes(), mask, watch).await?;
        loop {
            match self.next_fresh(lane, watch).await {
                Ok(()) => {}
                Err(Failure::Closed | Failure::Reset) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn next_fresh(&mut self, lane: &Lane, watch: &Watch) -> Result<(), Failure> {
        self.backlog.clear();
        self.next(lane, watch).await
    }
}

fn mask_of(random: u64) -> [u8; 4] {
    (random as u32).to_be_bytes()
}

/// 16 random bytes in base64.
fn key(random: [u64; 2]) -> String {
    let mut bytes = [0_u8; 16];
    bytes[..8].copy_from_slice(&random[0].to_be_bytes());
    bytes[8..].copy_from_slice(&random[1].to_be_bytes());
    let mut out = String::with_capacity(24);
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        let value = value << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = BASE64[(value >> (18 - 6 * place)) as usize & 63] as char;
            out.push(if place <= group.len() { letter } else { '=' });
        }
    }
    out
}
