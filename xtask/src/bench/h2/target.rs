//! The trivial target of `bench h2`: HTTP/2 with prior knowledge, one thread, one fixed reply.
//!
//! Comes in: requests, of which no header is read. Goes out: the same reply to each. Of the
//! protocol it keeps what a client may insist on: settings, pings, the window of the connection.
//! The sockets are left to the loop of all targets.

use crate::bench::target::Talk;
use std::collections::VecDeque;

const BODY: &[u8] = b"ebb and flow.\n";
/// `:status: 200`, `content-length: 14` and `content-type: text/plain`, none of it indexed.
const FIELDS: &[u8] = b"\x88\x0f\x0d\x0214\x0f\x10\x0atext/plain";
/// Streams that a client may have open: as nginx has it, and more than is asked for.
const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection has said and is to be told.
pub(crate) struct State {
    held: Vec<u8>,
    out: Vec<u8>,
    greeted: bool,
    /// Bytes of bodies that may be sent on the connection.
    window: i64,
    /// Streams whose request is whole, and who wait for the window.
    ready: VecDeque<u32>,
}

impl Default for State {
    fn default() -> State {
        let (held, out, ready) = (Vec::new(), Vec::new(), VecDeque::new());
        State { held, out, greeted: false, window: 65_535, ready }
    }
}

impl Talk for State {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<u64> {
        let answered = self.hear(bytes)?;
        out.append(&mut self.out);
        Some(answered)
    }
}

impl State {
    /// Takes bytes, writes answers, and counts requests answered; none when they are no HTTP/2.
    fn hear(&mut self, bytes: &[u8]) -> Option<u64> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        if !self.greeted {
            if rest.len() < PREFACE.len() {
                self.held = held;
                return Some(0);
            }
            rest = rest.strip_prefix(PREFACE)?;
            self.greeted = true;
            self.out.extend_from_slice(SETTINGS);
        }
        while let Some((head, tail)) = rest.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some((payload, tail)) = tail.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
            self.frame((head[3], head[4]), stream, payload);
            rest = tail;
        }
        self.held = rest.to_vec();
        Some(self.reply())
    }

    fn frame(&mut self, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
        match kind {
            // Data or headers that end the request.
            0 | 1 if flags & 1 != 0 => self.ready.push_back(stream),
            4 if flags & 1 == 0 => self.write((4, 1), 0, &[]),
            6 if flags & 1 == 0 => self.write((6, 1), 0, payload),
            8 if stream == 0 => {
                let more: [u8; 4] = payload.try_into().unwrap_or_default();
                self.window += i64::from(u32::from_be_bytes(more));
            }
            _ => {}
        }
    }

    fn write(&mut self, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
        let [_, l2, l1, l0] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
        self.out.extend_from_slice(&[l2, l1, l0, kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    /// Answers the requests that are whole, as far as the window goes.
    fn reply(&mut self) -> u64 {
        let mut answered = 0;
        let length = i64::try_from(BODY.len()).unwrap_or(i64::MAX);
        while self.window >= length
            && let Some(stream) = self.ready.pop_front()
        {
            self.window -= length;
            self.write((1, 4), stream, FIELDS);
            self.write((0, 1), stream, BODY);
            answered += 1;
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_however_they_are_cut() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend_from_slice(b"\0\0\0\x04\0\0\0\0\0");
        bytes.extend_from_slice(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84");
        bytes.extend_from_slice(b"\0\0\x08\x06\0\0\0\0\x0012345678");
        bytes.extend_from_slice(b"\0\0\x03\x01\x04\0\0\0\x03\x83\x86\x84");
        bytes.extend_from_slice(b"\0\0\x02\0\x01\0\0\0\x03hi");
        let mut whole = State::default();
        assert_eq!(whole.hear(&bytes), Some(2));
        for cut in 0..bytes.len() {
            let mut state = State::default();
            let answered = [&bytes[..cut], &bytes[cut..]].map(|part| state.hear(part).unwrap_or(9));
            assert_eq!(answered.iter().sum::<u64>(), 2, "cut at {cut}");
            assert_eq!(state.out.len(), whole.out.len());
        }
        assert!(State::default().hear(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_none());
    }

    #[test]
    fn replies_wait_for_the_window() {
        let mut state = State { greeted: true, window: 20, ..State::default() };
        let request = b"\0\0\0\x01\x05\0\0\0\x01";
        assert_eq!(state.hear(&request.repeat(2)), Some(1));
        assert_eq!(state.hear(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x08"), Some(1));
    }

    #[test]
    fn the_reply_says_its_length() {
        let length = BODY.len().to_string();
        assert!(FIELDS.windows(2).any(|two| two == length.as_bytes()));
    }
}
