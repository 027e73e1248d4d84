//! One connection: settings, streams, windows and how it ends (RFC 9113, sections 3 to 6).
//!
//! In: bytes as they come, requests as blocks with bodies. Out: bytes to send, requests landed.
//! What the peer does wrong on one stream ends that stream, what it does wrong on the connection
//! ends all. Reading and writing is left to the link.

use super::frame::{self, Head, PAYLOAD_MAX, WINDOW_FIRST, code, flag, kind, setting};
use super::hpack::Decoder;
use super::stream::{Fault, Fields, HEADERS_MAX, Stream};
use crate::flight::{Flights, Key};
use crate::plan::Heads;
use crate::sample::Failure;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// What the peer may send on a stream before it is told to go on: more than any reply of an API.
const STREAM_CREDIT: i64 = 8 * 1024 * 1024;

/// The same for the connection.
const CREDIT: i64 = 64 * 1024 * 1024;

/// Compressed bytes of one header block at most, over all its frames: twice what the fields may
/// have uncompressed is not compression.
const BLOCK_MAX: usize = 2 * HEADERS_MAX;

/// Bytes that wait to be sent before bodies wait themselves.
const OUT_HIGH: usize = 256 * 1024;

/// Bytes that wait to be sent before a peer that asks for answers and does not read is given up.
pub(super) const OUT_MAX: usize = 4 * 1024 * 1024;

/// Spreads stream numbers over a table: they count up by two.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A request for which the peer has no stream yet.
pub(super) struct Waiting {
    pub(super) key: Key,
    block: Vec<u8>,
    body: Vec<u8>,
}

/// A header block of which more is to come.
struct Fragments {
    stream: u32,
    end: bool,
    bytes: Vec<u8>,
}

/// Why a connection cannot go on: the code for the peer, the reason for the user.
pub(super) struct Fatal(pub(super) u32, pub(super) &'static str);

pub(super) const fn broken(what: &'static str) -> Fatal {
    Fatal(code::PROTOCOL_ERROR, what)
}

/// The client's side of one connection.
pub(crate) struct Session {
    /// What is to be sent.
    pub(crate) out: Vec<u8>,
    decoder: Decoder,
    pub(super) streams: HashMap<u32, Stream, BuildHasherDefault<Spread>>,
    /// Number of the next stream.
    next: u32,
    pub(super) waiting: VecDeque<Waiting>,
    /// Streams whose request's body is not sent to its end.
    pub(super) uploads: VecDeque<u32>,
    /// What the peer allows: streams at once, the window of a new one.
    pub(super) streams_max: u32,
    pub(super) window_first: i64,
    /// Bytes that may be sent on the connection.
    pub(super) window: i64,
    /// Bytes that the peer may send on it.
    credit: i64,
    fragments: Option<Fragments>,
    pub(super) greeted: bool,
    /// The peer's farewell: the last stream it will answer, and its code.
    pub(super) farewell: Option<(u32, u32)>,
}

impl Session {
    pub(crate) fn new() -> Self {
        let mut out = Vec::with_capacity(PAYLOAD_MAX);
        out.extend_from_slice(frame::PREFACE);
        let settings = [
            (setting::ENABLE_PUSH, 0),
            (setting::WINDOW, STREAM_CREDIT as u32),
            (setting::HEADERS_MAX, HEADERS_MAX as u32),
        ];
        let mut payload = Vec::new();
        for (number, value) in settings {
            payload.extend_from_slice(&number.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frame::write(&mut out, (kind::SETTINGS, 0), 0, &payload);
        let more = (CREDIT - WINDOW_FIRST) as u32;
        frame::write(&mut out, (kind::WINDOW_UPDATE, 0), 0, &more.to_be_bytes());
        Self {
            out,
            decoder: Decoder::default(),
            streams: HashMap::default(),
            next: 1,
            waiting: VecDeque::new(),
            uploads: VecDeque::new(),
            streams_max: u32::MAX,
            window_first: WINDOW_FIRST,
            window: WINDOW_FIRST,
            credit: CREDIT,
            fragments: None,
            greeted: false,
            farewell: None,
        }
    }

    /// Whether the peer has said what it allows: nothing is asked of it before.
    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Whether new requests may be sent: the peer has not said farewell, and numbers are left.
    pub(crate) fn is_open(&self) -> bool {
        // A peer that takes nothing any more is not asked for more on this connection.
        self.farewell.is_none()
            && self.out.len() <= OUT_MAX
            && self.next <= frame::STREAM_MAX - self.waiting.len() as u32 * 2
    }

    /// Why the connection has ended, now that it has.
    pub(crate) fn reason(&self, failure: Failure) -> Failure {
        match (self.farewell, failure) {
            (Some((_, code)), Failure::Closed | Failure::Reset) => Failure::GoAway(code),
            _ => failure,
        }
    }

    /// Why requests are lost that the peer had taken. A farewell in order takes back only what
    /// lies behind its last stream: these may have been served, and are not asked again.
    pub(crate) fn loss(&self, failure: Failure) -> Failure {
        match self.reason(failure) {
            Failure::GoAway(code::NO_ERROR) => failure,
            reason => reason,
        }
    }

    /// Sends a request, or keeps it until the peer allows another stream.
    #[inline]
    pub(crate) fn submit(&mut self, key: Key, block: &[u8], body: &[u8]) {
        if self.streams.len() >= self.streams_max as usize || !self.waiting.is_empty() {
            let (block, body) = (block.to_vec(), body.to_vec());
            self.waiting.push_back(Waiting { key, block, body });
        } else {
            self.open(key, block, body);
        }
    }

    #[inline]
    fn open(&mut self, key: Key, block: &[u8], body: &[u8]) {
        let number = self.next;
        self.next += 2;
        let end = if body.is_empty() { flag::END_STREAM } else { 0 };
        let mut kind = kind::HEADERS;
        let mut flags = end;
        let mut rest = block;
        loop {
            let (now, later) = rest.split_at(rest.len().min(PAYLOAD_MAX));
            flags |= if later.is_empty() { flag::END_HEADERS } else { 0 };
            frame::write(&mut self.out, (kind, flags), number, now);
            if later.is_empty() {
                break;
            }
            (kind, flags, rest) = (kind::CONTINUATION, 0, later);
        }
        let mut stream = Stream::new(key, (self.window_first, STREAM_CREDIT));
        if !body.is_empty() {
            let sent = self.upload((number, &mut stream.window), body);
            if sent < body.len() {
                stream.upload = Some((body[sent..].to_vec(), 0));
                self.uploads.push_back(number);
            }
        }
        self.streams.insert(number, stream);
    }

    /// Sends as much of a body as the windows allow; how much that was.
    fn upload(&mut self, (number, window): (u32, &mut i64), body: &[u8]) -> usize {
        let mut sent = 0;
        while sent < body.len() && self.out.len() < OUT_HIGH {
            let room = self.window.min(*window).max(0) as usize;
            let length = (body.len() - sent).min(PAYLOAD_MAX).min(room);
            if length == 0 {
                break;
            }
            let end = if sent + length == body.len() { flag::END_STREAM } else { 0 };
            let piece = &body[sent..sent + length];
            frame::write(&mut self.out, (kind::DATA, end), number, piece);
            self.window -= length as i64;
            *window -= length as i64;
            sent += length;
        }
        sent
    }

    /// Goes on with bodies, now that there is room for them.
    pub(crate) fn pump(&mut self) {
        for _ in 0..self.uploads.len() {
            if self.window <= 0 || self.out.len() >= OUT_HIGH {
                return;
            }
            let Some(number) = self.uploads.pop_front() else { return };
            let Some(mut stream) = self.streams.remove(&number) else { continue };
            if let Some((body, at)) = stream.upload.take() {
                let sent = at + self.upload((number, &mut stream.window), &body[at..]);
                if sent < body.len() {
                    stream.upload = Some((body, sent));
                    self.uploads.push_back(number);
                }
            }
            self.streams.insert(number, stream);
        }
    }

    /// A request is not waited for any more: its stream alone is reset.
    pub(crate) fn give_up(&mut self, key: Key, flights: &mut Flights) {
        self.waiting.retain(|waiting| waiting.key != key);
        let number = self.streams.iter().find(|(_, stream)| stream.key == key).map(|(id, _)| *id);
        if let Some(number) = number {
            self.reset(number, code::CANCEL);
            self.close(number, Err(Failure::TimedOut), flights);
        } else {
            flights.land(key, Err(Failure::TimedOut));
        }
    }

    /// Says farewell.
    pub(crate) fn leave(&mut self) {
        self.say_goodbye(code::NO_ERROR);
    }

    fn say_goodbye(&mut self, code: u32) {
        // The server opens no streams, so that its last one is 0.
        let payload = [[0; 4], code.to_be_bytes()].concat();
        frame::write(&mut self.out, (kind::GOAWAY, 0), 0, &payload);
    }

    /// Takes what has come, and says how much of it was whole frames.
    ///
    /// # Errors
    /// When the connection cannot go on; the farewell is in `out`.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        now: u64,
        flights: &mut Flights,
    ) -> Result<usize, Failure> {
        if !self.greeted && bytes.starts_with(b"HTTP/") {
            return Err(Failure::Http2("the peer answers in HTTP/1.1"));
        }
        let mut at = 0;
        while let Some(head) = Head::parse(&bytes[at..]) {
            let fed = if head.length > PAYLOAD_MAX {
                Err(Fatal(code::FRAME_SIZE_ERROR, "frame larger than allowed"))
            } else if let Some(payload) = bytes[at + frame::HEAD..].get(..head.length) {
                self.frame(head, payload, (now, flights))
            } else {
                break;
            };
            if let Err(Fatal(code, what)) = fed {
                self.say_goodbye(code);
                return Err(Failure::Http2(what));
            }
            at += frame::HEAD + head.length;
        }
        Ok(at)
    }

    #[inline]
    fn frame(
        &mut self,
        head: Head,
        payload: &[u8],
        (now, flights): (u64, &mut Flights),
    ) -> Result<(), Fatal> {
        if self.fragments.is_some() && head.kind != kind::CONTINUATION {
            return Err(broken("header block interrupted"));
        }
        if !self.greeted && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(broken("the peer did not begin with its settings"));
        }
        match head.kind {
            kind::HEADERS => self.headers(head, payload, (now, flights)),
            kind::DATA => self.data(head, payload, (now, flights)),
            kind::CONTINUATION => self.continuation(head, payload, (now, flights)),
            kind::WINDOW_UPDATE => self.window_update(head, payload, flights),
            kind::RST_STREAM => self.stream_reset(head, payload, flights),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING => self.ping(head, payload),
            kind::GOAWAY => self.goaway(head, payload, flights),
            kind::PUSH_PROMISE => Err(broken("push, which was not allowed")),
            kind::PRIORITY if head.stream == 0 => Err(broken("priority of no stream")),
            // Priorities mean nothing any more, and unknown frames are passed over (section 5.5).
            _ => Ok(()),
        }
    }

    /// A frame of a stream names one that we have opened.
    #[inline]
    pub(super) fn known(&self, head: Head) -> Result<(), Fatal> {
        if head.stream % 2 == 1 && head.stream < self.next {
            Ok(())
        } else {
            Err(broken("frame of a stream that was never opened"))
        }
    }

    #[inline]
    fn headers(
        &mut self,
        head: Head,
        payload: &[u8],
        (now, flights): (u64, &mut Flights),
    ) -> Result<(), Fatal> {
        self.known(head)?;
        let mut block = unpadded(head, payload)?;
        if head.has(flag::PRIORITY) {
            block = block.get(5..).ok_or(broken("header frame without its priority"))?;
        }
        if let Some(stream) = self.streams.get(&head.stream) {
            flights.at(stream.key).bytes += (frame::HEAD + head.length) as u64;
        }
        let end = head.has(flag::END_STREAM);
        if !head.has(flag::END_HEADERS) {
            self.fragments = Some(Fragments { stream: head.stream, end, bytes: block.to_vec() });
            return Ok(());
        }
        self.block((head.stream, end), block, (now, flights))
    }

    fn continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        (now, flights): (u64, &mut Flights),
    ) -> Result<(), Fatal> {
        let Some(mut fragments) = self.fragments.take().filter(|old| old.stream == head.stream)
        else {
            return Err(broken("continuation of nothing"));
        };
        if fragments.bytes.len() + payload.len() > BLOCK_MAX {
            return Err(Fatal(code::ENHANCE_YOUR_CALM, "header block without end"));
        }
        fragments.bytes.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            // Empty pieces would make a block that never ends.
            if payload.is_empty() {
                return Err(Fatal(code::ENHANCE_YOUR_CALM, "empty continuation"));
            }
            self.fragments = Some(fragments);
            return Ok(());
        }
        self.block((fragments.stream, fragments.end), &fragments.bytes, (now, flights))
    }

    /// A header block is complete. It is decoded even when its stream is gone: the table goes on.
    #[inline]
    fn block(
        &mut self,
        (number, end): (u32, bool),
        block: &[u8],
        (now, flights): (u64, &mut Flights),
    ) -> Result<(), Fatal> {
        let mut fields = Fields::default();
        let stream = self.streams.get_mut(&number);
        let mut flight = stream.as_ref().map(|stream| flights.at(stream.key));
        let is_head = stream.as_ref().is_some_and(|stream| !stream.is_answered());
        let decoded = self.decoder.decode(block, |field| {
            let sink =
                flight.as_mut().filter(|flight| is_head && flight.wish.heads != Heads::Never);
            fields.take(field, sink.map(|flight| &mut flight.fields));
        });
        decoded.map_err(|_| Fatal(code::COMPRESSION_ERROR, "headers that cannot be decoded"))?;
        let (Some(stream), Some(flight)) = (stream, flight) else { return Ok(()) };
        let result = stream.head(&fields, (end, now), flight);
        self.ended(number, result, flights);
        Ok(())
    }

    #[inline]
    fn data(
        &mut self,
        head: Head,
        payload: &[u8],
        (now, flights): (u64, &mut Flights),
    ) -> Result<(), Fatal> {
        self.known(head)?;
        let bytes = unpadded(head, payload)?;
        self.credit -= head.length as i64;
        if self.credit < 0 {
            return Err(Fatal(code::FLOW_CONTROL_ERROR, "more than the window allows"));
        }
        if self.credit < CREDIT / 2 {
            self.grant(0, CREDIT - self.credit);
            self.credit = CREDIT;
        }
        // What comes on a stream that we have reset is passed over.
        let Some(stream) = self.streams.get_mut(&head.stream) else { return Ok(()) };
        stream.credit -= head.length as i64;
        if stream.credit < 0 {
            return Err(Fatal(code::FLOW_CONTROL_ERROR, "more than the window allows"));
        }
        let flight = flights.at(stream.key);
        flight.bytes += (frame::HEAD + head.length) as u64;
        let result = stream.data(bytes, (head.has(flag::END_STREAM), now), flight);
        if stream.credit < STREAM_CREDIT / 2 && matches!(result, Ok(false)) {
            let more = STREAM_CREDIT - stream.credit;
            stream.credit = STREAM_CREDIT;
            self.grant(head.stream, more);
        }
        self.ended(head.stream, result, flights);
        Ok(())
    }

    fn grant(&mut self, stream: u32, more: i64) {
        let payload = (more as u32).to_be_bytes();
        frame::write(&mut self.out, (kind::WINDOW_UPDATE, 0), stream, &payload);
    }

    /// What a stream makes of its frame: it goes on, is complete, or is at fault.
    #[inline]
    pub(super) fn ended(
        &mut self,
        number: u32,
        result: Result<bool, Fault>,
        flights: &mut Flights,
    ) {
        match result {
            Ok(false) => {}
            Ok(true) => self.close(number, Ok(()), flights),
            Err((code, failure)) => {
                self.reset(number, code);
                self.close(number, Err(failure), flights);
            }
        }
    }

    fn reset(&mut self, number: u32, code: u32) {
        frame::write(&mut self.out, (kind::RST_STREAM, 0), number, &code.to_be_bytes());
    }

    #[inline]
    pub(super) fn close(
        &mut self,
        number: u32,
        result: Result<(), Failure>,
        flights: &mut Flights,
    ) {
        let Some(stream) = self.streams.remove(&number) else { return };
        if stream.upload.is_some() {
            self.uploads.retain(|upload| *upload != number);
            // The whole reply has come before the whole request: the rest is not wanted.
            if result.is_ok() {
                self.reset(number, code::CANCEL);
            }
        }
        flights.land(stream.key, result);
        if !self.waiting.is_empty() {
            self.open_waiting();
        }
    }

    pub(super) fn open_waiting(&mut self) {
        while self.streams.len() < self.streams_max as usize
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.open(waiting.key, &waiting.block, &waiting.body);
        }
    }
}

/// The payload without its padding (section 6.1).
#[inline]
fn unpadded(head: Head, payload: &[u8]) -> Result<&[u8], Fatal> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let split = payload.split_first();
    split
        .and_then(|(padding, rest)| rest.get(..rest.len().checked_sub(usize::from(*padding))?))
        .ok_or(broken("padding longer than its frame"))
}
