//! What a server sends on one WebSocket, put together: bytes into messages and control frames, as
//! strict as RFC 6455 lets a client be. Pure.
//!
//! In: bytes, however they are cut. Out: [`Arrival`]s, one at a time. It holds what is not whole
//! yet and nothing else, so that an idle socket costs no buffer; no length that a server claims is
//! believed before its bytes have come. Answers are left to the socket.

use super::frame::{self, Opcode};
use crate::sample::Failure;
use std::ops::Range;

/// Bytes of a message at most: more than any message that a load test is about.
pub const MESSAGE_MAX: usize = 64 * 1024 * 1024;

/// Buffers up to this size are kept when they are empty; larger ones are given back.
const KEEP: usize = 512;

/// What has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// A whole message: [`Inbox::message`] has it until the next call. True when it is text.
    Message(bool),
    /// A ping: [`Inbox::message`] has its payload.
    Ping,
    /// A pong.
    Pong,
    /// The peer closes, with this code.
    Close(u16),
}

/// Bytes of a server that have not become messages yet.
#[derive(Debug, Default)]
pub struct Inbox {
    held: Vec<u8>,
    /// Bytes of it that are used up.
    used: usize,
    /// Fragments of a message whose last has not come.
    partial: Vec<u8>,
    /// Whether that message is text; none outside of one.
    fragmented: Option<bool>,
    /// Where the latest message or ping is.
    latest: Latest,
}

#[derive(Debug)]
enum Latest {
    Held(Range<usize>),
    Partial,
}

impl Default for Latest {
    fn default() -> Self {
        Self::Held(0..0)
    }
}

impl Inbox {
    /// Takes bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.settle();
        self.held.extend_from_slice(bytes);
    }

    /// The payload of the latest message or ping, until the next call.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        match &self.latest {
            Latest::Held(range) => &self.held[range.clone()],
            Latest::Partial => &self.partial,
        }
    }

    /// The next message or control frame; none until more bytes come.
    ///
    /// # Errors
    /// [`Failure::Protocol`] for what RFC 6455 forbids a server, text that is not UTF-8 included;
    /// [`Failure::TooLarge`] for messages over [`MESSAGE_MAX`].
    pub fn take(&mut self) -> Result<Option<Arrival>, Failure> {
        self.forget();
        loop {
            let bytes = &self.held[self.used..];
            let Some(head) = frame::parse(bytes)? else { break };
            let payload = usize::try_from(head.payload).map_err(|_| Failure::TooLarge)?;
            if payload.saturating_add(self.partial.len()) > MESSAGE_MAX {
                return Err(Failure::TooLarge);
            }
            if bytes.len() < head.head + payload {
                break;
            }
            let range = self.used + head.head..self.used + head.head + payload;
            self.used = range.end;
            let bytes = &self.held[range.clone()];
            match head.opcode {
                Opcode::Ping => {
                    self.latest = Latest::Held(range);
                    return Ok(Some(Arrival::Ping));
                }
                Opcode::Pong => return Ok(Some(Arrival::Pong)),
                Opcode::Close => return Ok(Some(Arrival::Close(frame::close_code(bytes)?))),
                Opcode::Text | Opcode::Binary if head.last && self.fragmented.is_none() => {
                    let text = head.opcode == Opcode::Text;
                    check_text(text, bytes)?;
                    self.latest = Latest::Held(range);
                    return Ok(Some(Arrival::Message(text)));
                }
                opcode => {
                    let text = match (opcode, self.fragmented) {
                        (Opcode::Continuation, Some(text)) => text,
                        (Opcode::Text | Opcode::Binary, None) => opcode == Opcode::Text,
                        _ => return Err(Failure::Protocol),
                    };
                    self.partial.extend_from_slice(bytes);
                    self.fragmented = Some(text);
                    if head.last {
                        self.fragmented = None;
                        check_text(text, &self.partial)?;
                        self.latest = Latest::Partial;
                        return Ok(Some(Arrival::Message(text)));
                    }
                }
            }
        }
        self.settle();
        Ok(None)
    }

    /// The latest message has been seen.
    fn forget(&mut self) {
        if matches!(std::mem::take(&mut self.latest), Latest::Partial) {
            empty(&mut self.partial);
        }
    }

    /// Drops what is used up.
    fn settle(&mut self) {
        if self.used == 0 {
            return;
        }
        self.forget();
        if self.used == self.held.len() {
            empty(&mut self.held);
        } else {
            self.held.drain(..self.used);
        }
        self.used = 0;
    }
}

fn check_text(text: bool, bytes: &[u8]) -> Result<(), Failure> {
    if text && std::str::from_utf8(bytes).is_err() { Err(Failure::Protocol) } else { Ok(()) }
}

/// Empties a buffer, and gives a large one back.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEEP {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server sends it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            length @ 0..=125 => out.push(length as u8),
            length => {
                out.push(126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    /// Everything in `bytes`, as words, fed in pieces that end at `cuts`.
    fn words(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut inbox = Inbox::default();
        let mut words = Vec::new();
        let mut start = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            inbox.feed(&bytes[start..end]);
            start = end;
            loop {
                match inbox.take() {
                    Ok(None) => break,
                    Ok(Some(Arrival::Message(true))) => {
                        words.push(String::from_utf8_lossy(inbox.message()).into_owned());
                    }
                    Ok(Some(Arrival::Message(false))) => {
                        words.push(format!("{:?}", inbox.message()));
                    }
                    Ok(Some(Arrival::Ping)) => words.push(format!("ping {:?}", inbox.message())),
                    Ok(Some(arrival)) => words.push(format!("{arrival:?}")),
                    Err(failure) => {
                        words.push(failure.to_string());
                        return words;
                    }
                }
            }
        }
        words
    }

    /// Sixteen fragments of one byte, with a ping between each two.
    fn fragments() -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..16_u8 {
            let first = u8::from(number == 0) | if number == 15 { 0x80 } else { 0 };
            bytes.extend(frame(first, &[b'a' + number]));
            bytes.extend(frame(0x89, &[number]));
        }
        bytes
    }

    #[test]
    fn what_a_server_may_send_is_the_same_however_it_is_cut() {
        let pings: Vec<String> = (0..15).map(|number| format!("ping [{number}]")).collect();
        let mut interleaved = pings;
        interleaved.extend(["abcdefghijklmnop".to_owned(), "ping [15]".to_owned()]);
        let mut several = frame(0x81, b"one");
        several.extend(frame(0x82, &[1, 255]));
        several.extend(frame(0x81, "zwölf".as_bytes()));
        let mut split_letter = frame(0x01, &[0xC3]);
        split_letter.extend(frame(0x80, &[0xB6]));
        let long = "x".repeat(300);
        let table: [(&str, Vec<u8>, Vec<String>); 8] = [
            ("several in one piece", several, texts(&["one", "[1, 255]", "zwölf"])),
            ("an empty message", frame(0x81, b""), texts(&[""])),
            ("two bytes of length", frame(0x81, long.as_bytes()), texts(&[&long])),
            ("fragments with pings between them", fragments(), interleaved),
            ("a letter over two fragments", split_letter, texts(&["ö"])),
            ("close without a code", frame(0x88, b""), texts(&["Close(1005)"])),
            ("close with a code", frame(0x88, b"\x03\xe9bye"), texts(&["Close(1001)"])),
            ("a pong nobody asked for", frame(0x8A, b"x"), texts(&["Pong"])),
        ];
        for (name, bytes, expected) in table {
            for cut in 0..=bytes.len() {
                assert_eq!(words(&bytes, &[cut]), expected, "{name}, cut at {cut}");
            }
            let all: Vec<usize> = (0..bytes.len()).collect();
            assert_eq!(words(&bytes, &all), expected, "{name}, byte by byte");
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_a_server_may_not_send_fails() {
        let two = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
        let protocol = Failure::Protocol.to_string();
        let table: [(&str, Vec<u8>, String); 14] = [
            ("a reserved bit", frame(0xC1, b"x"), protocol.clone()),
            ("a reserved opcode", frame(0x83, b"x"), protocol.clone()),
            ("a masked frame", vec![0x81, 0x81, 0, 0, 0, 0, b'x'], protocol.clone()),
            ("a fragmented ping", frame(0x09, b"x"), protocol.clone()),
            ("a long ping", frame(0x89, &[0; 126]), protocol.clone()),
            ("a fragment of nothing", frame(0x80, b"x"), protocol.clone()),
            (
                "a message inside another",
                two(frame(0x01, b"a"), frame(0x81, b"b")),
                protocol.clone(),
            ),
            ("text that is no UTF-8", frame(0x81, &[0xFF]), protocol.clone()),
            (
                "such text in fragments",
                two(frame(0x01, &[0xC3]), frame(0x80, b"(")),
                protocol.clone(),
            ),
            ("half a close code", frame(0x88, &[3]), protocol.clone()),
            ("a close code of nobody", frame(0x88, &[0, 1]), protocol.clone()),
            ("a close code for no wire", frame(0x88, &[3, 0xEE]), protocol.clone()),
            ("a close reason that is no UTF-8", frame(0x88, &[3, 0xE8, 0xFF]), protocol),
            (
                "a length beyond all measure",
                vec![0x82, 127, 0x7F, 0, 0, 0, 0, 0, 0, 0],
                Failure::TooLarge.to_string(),
            ),
        ];
        for (name, bytes, expected) in table {
            assert_eq!(words(&bytes, &[]), [expected], "{name}");
        }
    }

    #[test]
    fn a_length_without_its_bytes_costs_nothing_and_an_idle_inbox_holds_nothing() {
        let mut inbox = Inbox::default();
        inbox.feed(&[0x82, 127, 0, 0, 0, 0, 0x03, 0, 0, 0, 1, 2, 3]);
        assert_eq!(inbox.take(), Ok(None), "48 MiB claimed, three bytes sent");
        assert!(inbox.held.capacity() <= 64, "{}", inbox.held.capacity());

        let mut inbox = Inbox::default();
        inbox.feed(&frame(0x82, &[0; 60_000]));
        assert_eq!(inbox.take(), Ok(Some(Arrival::Message(false))));
        assert_eq!(inbox.message().len(), 60_000);
        assert_eq!(inbox.take(), Ok(None));
        assert!(inbox.held.capacity() <= KEEP, "{}", inbox.held.capacity());
    }
}
