//! HTTP/1.1 replies: where the head ends, how long the body is (RFC 9112, section 6.3), chunks.
//! Pure.
//!
//! In: bytes as they come. Out: [`Head`]s and decoded chunks. Sockets and time are left to the
//! client.

use crate::sample::Failure;

/// Headers of a reply at most; more is no reply of a sane server.
const HEADERS_MAX: usize = 64;

/// A chunk's size line at most, extensions included.
const SIZE_LINE_MAX: usize = 1_024;

/// Status line and what the headers say of the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Bytes of the head.
    pub length: usize,
    /// Status code.
    pub status: u16,
    /// How long the body is.
    pub body: BodyLength,
    /// The connection ends with this reply.
    pub close: bool,
    /// It redirects or sets a cookie.
    pub notable: bool,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyLength {
    /// So many bytes.
    Fixed(u64),
    /// In chunks.
    Chunked,
    /// Until the peer closes.
    UntilClose,
}

/// Parses the head of a reply; none while it is incomplete.
///
/// # Errors
/// [`Failure::Protocol`] when it is not HTTP.
#[inline]
pub fn parse_head(bytes: &[u8], no_body: bool) -> Result<Option<Head>, Failure> {
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Failure::Protocol),
    };
    let status = response.code.ok_or(Failure::Protocol)?;
    let mut close = response.version == Some(0);
    let mut notable = status / 100 == 3;
    let mut body = None;
    for header in response.headers.iter() {
        // Lengths first: most headers differ from all three in it.
        let value = header.value;
        match header.name.len() {
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                let length = BodyLength::Fixed(parse_length(value)?);
                // Two lengths are one too many to believe either.
                match body {
                    Some(BodyLength::Fixed(_)) if body != Some(length) => {
                        return Err(Failure::Protocol);
                    }
                    None => body = Some(length),
                    _ => {}
                }
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                // A coding counts before any length.
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                close |= !chunked;
                body = Some(if chunked { BodyLength::Chunked } else { BodyLength::UntilClose });
            }
            10 if header.name.eq_ignore_ascii_case("connection") => {
                if contains_word(value, b"close") {
                    close = true;
                } else if contains_word(value, b"keep-alive") {
                    close = false;
                }
            }
            10 if header.name.eq_ignore_ascii_case("set-cookie") => notable = true,
            _ => {}
        }
    }
    let empty = no_body || matches!(status, 100..=199 | 204 | 304);
    let body = if empty {
        BodyLength::Fixed(0)
    } else {
        body.unwrap_or_else(|| {
            close = true;
            BodyLength::UntilClose
        })
    };
    Ok(Some(Head { length, status, body, close, notable }))
}

fn parse_length(value: &[u8]) -> Result<u64, Failure> {
    let digits = value.trim_ascii();
    // `parse` would take a sign.
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return Err(Failure::Protocol);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Failure::Protocol)?;
    text.parse().map_err(|_| Failure::Protocol)
}

fn contains_word(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

/// The value of a header in a complete head.
#[must_use]
pub fn header<'b>(head: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).ok()?;
    let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    found.map(|header| header.value)
}

/// Decodes a chunked body.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    state: ChunkState,
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum ChunkState {
    #[default]
    Size,
    Body(u64),
    /// So many bytes of the line end after a chunk.
    BodyEnd(u8),
    Trailer,
    Done,
}

impl Chunks {
    /// Takes bytes, appends what they decode to, and says how many were of this body. The body
    /// is complete once [`Chunks::is_done`].
    ///
    /// # Errors
    /// [`Failure::Protocol`] when they are no chunks.
    pub fn feed(&mut self, bytes: &[u8], mut out: Option<&mut Vec<u8>>) -> Result<usize, Failure> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            match self.state {
                ChunkState::Body(left) => {
                    let take = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                    if let Some(out) = &mut out {
                        out.extend_from_slice(&bytes[at..at + take]);
                    }
                    at += take;
                    let left = left - take as u64;
                    self.state =
                        if left == 0 { ChunkState::BodyEnd(2) } else { ChunkState::Body(left) };
                }
                ChunkState::BodyEnd(left) => {
                    let expected = if left == 2 { b'\r' } else { b'\n' };
                    if bytes[at] != expected {
                        return Err(Failure::Protocol);
                    }
                    at += 1;
                    self.state =
                        if left == 1 { ChunkState::Size } else { ChunkState::BodyEnd(left - 1) };
                }
                ChunkState::Size | ChunkState::Trailer => {
                    let byte = bytes[at];
                    at += 1;
                    if byte == b'\n' {
                        self.end_line()?;
                    } else if self.line.len() >= SIZE_LINE_MAX {
                        return Err(Failure::Protocol);
                    } else {
                        self.line.push(byte);
                    }
                }
                ChunkState::Done => {}
            }
        }
        Ok(at)
    }

    fn end_line(&mut self) -> Result<(), Failure> {
        let line = self.line.trim_ascii();
        self.state = if self.state == ChunkState::Trailer {
            if line.is_empty() { ChunkState::Done } else { ChunkState::Trailer }
        } else {
            let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let digits = digits.trim_ascii();
            // `from_str_radix` would take a sign.
            if !digits.first().is_some_and(u8::is_ascii_hexdigit) {
                return Err(Failure::Protocol);
            }
            let text = std::str::from_utf8(digits).map_err(|_| Failure::Protocol)?;
            let size = u64::from_str_radix(text, 16).map_err(|_| Failure::Protocol)?;
            if size == 0 { ChunkState::Trailer } else { ChunkState::Body(size) }
        };
        self.line.clear();
        Ok(())
    }

    /// Whether the last chunk and its trailers have come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }
}
