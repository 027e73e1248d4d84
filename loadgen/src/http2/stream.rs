//! One stream: a request's body on its way, and the reply as its frames come (RFC 9113, section 8).
//!
//! In: header fields and pieces of the body. Out: whether the reply goes on, is complete, or is
//! none. Frames, windows of the connection and other streams are left to the session.

use super::frame::code;
use super::hpack::{Class, Field};
use crate::flight::{BODY_MAX, Flight, Key};
use crate::sample::Failure;

/// Headers of a reply at most, uncompressed, as the RFC counts them; told to the peer.
pub(super) const HEADERS_MAX: usize = 64 * 1024;

/// What the RFC adds to each field's size (section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// The request it belongs to.
    pub(super) key: Key,
    /// Bytes that may be sent.
    pub(super) window: i64,
    /// Bytes that the peer may send.
    pub(super) credit: i64,
    /// What of the request's body has not been sent, and how much of it has.
    pub(super) upload: Option<(Vec<u8>, usize)>,
    /// When the head of the reply came.
    answered: Option<u64>,
    expected: Option<u64>,
    received: u64,
}

/// A reply that cannot be used: the code for the peer, the reason for the user.
pub(super) type Fault = (u32, Failure);

const fn malformed(what: &'static str) -> Fault {
    (code::PROTOCOL_ERROR, Failure::Http2(what))
}

/// What a header block says.
#[derive(Debug, Default)]
pub(super) struct Fields {
    status: Option<u16>,
    length: Option<u64>,
    size: usize,
    bad: bool,
    plain: bool,
    cookie: bool,
}

impl Fields {
    /// Takes a field, and writes it down where it is wanted.
    #[inline]
    pub(super) fn take(&mut self, field: Field<'_>, sink: Option<&mut Vec<u8>>) {
        self.size += field.name.len() + field.value.len() + FIELD_OVERHEAD;
        match field.class {
            Class::Status => {
                // Once, before all other fields, three digits.
                self.bad |= self.status.is_some() || self.plain;
                self.status = match *field.value {
                    [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                        Some([a, b, c].iter().fold(0, |sum, d| sum * 10 + u16::from(d - b'0')))
                    }
                    _ => None,
                };
                self.bad |= self.status.is_none();
                if let Some(sink) = sink {
                    sink.extend_from_slice(b"HTTP/1.1 ");
                    sink.extend_from_slice(field.value);
                    sink.extend_from_slice(b" \r\n");
                }
                return;
            }
            Class::Length => {
                let text = std::str::from_utf8(field.value).ok();
                let digits = field.value.iter().all(u8::is_ascii_digit);
                let length = text.filter(|_| digits).and_then(|text| text.parse().ok());
                self.bad |= length.is_none() || self.length.is_some_and(|old| Some(old) != length);
                self.length = length;
            }
            Class::Plain => {}
            Class::Bad => self.bad = true,
        }
        self.plain = true;
        if let Some(sink) = sink
            && self.size <= HEADERS_MAX
        {
            self.cookie |= field.name == b"set-cookie";
            sink.extend_from_slice(field.name);
            sink.extend_from_slice(b": ");
            sink.extend_from_slice(field.value);
            sink.extend_from_slice(b"\r\n");
        }
    }
}

impl Stream {
    pub(super) fn new(key: Key, (window, credit): (i64, i64)) -> Self {
        let (upload, answered, expected) = (None, None, None);
        Self { key, window, credit, upload, answered, expected, received: 0 }
    }

    /// Whether the head of the reply has come.
    pub(super) fn is_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// A header block has come. True when the reply is complete.
    #[inline]
    pub(super) fn head(
        &mut self,
        fields: &Fields,
        (end, now): (bool, u64),
        flight: &mut Flight,
    ) -> Result<bool, Fault> {
        if fields.bad {
            return Err(malformed("malformed header"));
        }
        if fields.size > HEADERS_MAX {
            return Err((code::CANCEL, Failure::Http2("headers larger than 64 KiB")));
        }
        if self.answered.is_some() {
            return match (fields.status, end) {
                (None, true) => self.complete(now, flight),
                _ => Err(malformed("malformed trailers")),
            };
        }
        let Some(status) = fields.status else { return Err(malformed("reply without status")) };
        if status < 200 {
            flight.fields.clear();
            if end || status == 101 {
                return Err(malformed("malformed interim reply"));
            }
            return Ok(false);
        }
        self.answered = Some(now);
        flight.status = status;
        let empty = flight.wish.head || matches!(status, 204 | 304);
        self.expected = if empty { Some(0) } else { fields.length };
        flight.notable = fields.cookie || status / 100 == 3;
        if flight.is_kept() {
            flight.fields.extend_from_slice(b"\r\n");
        }
        if end { self.complete(now, flight) } else { Ok(false) }
    }

    /// A piece of the body has come. True when the reply is complete.
    #[inline]
    pub(super) fn data(
        &mut self,
        bytes: &[u8],
        (end, now): (bool, u64),
        flight: &mut Flight,
    ) -> Result<bool, Fault> {
        if self.answered.is_none() {
            return Err(malformed("body before its head"));
        }
        self.received += bytes.len() as u64;
        if self.expected.is_some_and(|expected| self.received > expected) {
            return Err(malformed("body longer than its `content-length`"));
        }
        if flight.wish.body {
            if flight.body.len() + bytes.len() > BODY_MAX {
                return Err((code::CANCEL, Failure::TooLarge));
            }
            flight.body.extend_from_slice(bytes);
        }
        if end { self.complete(now, flight) } else { Ok(false) }
    }

    #[inline]
    fn complete(&self, now: u64, flight: &mut Flight) -> Result<bool, Fault> {
        if self.expected.is_some_and(|expected| self.received != expected) {
            return Err(malformed("body shorter than its `content-length`"));
        }
        flight.first = self.answered.filter(|answered| *answered != now);
        flight.done = now;
        Ok(true)
    }
}
