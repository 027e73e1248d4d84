//! Stamps: text in a message that tells when it was sent, so that a receiver in the same process
//! can tell how long its delivery took, however the server wraps the message. Pure.
//!
//! In: nanoseconds of the machine's monotonic clock, and the engine's token. Out: text of fixed
//! length, and back: any program on the same machine can read it. Counting deliveries is left to
//! the recorder. Stamps are the one part of a message that a replay does not repeat; their length
//! it does.

use crate::template::Template;

/// How a stamp begins.
const HEAD: &[u8] = b"ebb~";

/// Its length: head, token, `~`, nanoseconds.
pub const LENGTH: usize = 4 + 8 + 1 + DIGITS;

/// Digits of the nanoseconds.
const DIGITS: usize = 16;

/// Writes the stamp of a message sent at `nanos` into `out`.
pub fn write(out: &mut String, token: u32, nanos: u64) {
    use std::fmt::Write as _;
    // Writing to a string cannot fail.
    let _ = write!(out, "ebb~{token:08x}~{nanos:016x}");
}

/// Finds the stamps of one engine in messages. Where the last one was is looked at first, since
/// messages of one kind look alike.
#[derive(Clone, Debug)]
pub struct Finder {
    /// Head, token, `~`.
    begin: [u8; LENGTH - DIGITS],
    last: usize,
}

impl Finder {
    /// For the engine of this token.
    #[must_use]
    pub fn new(token: u32) -> Self {
        let mut begin = [0; LENGTH - DIGITS];
        let text = format!("ebb~{token:08x}~");
        begin.copy_from_slice(text.as_bytes());
        Self { begin, last: 0 }
    }

    /// When the message was sent, nanoseconds; none when it carries no stamp of this engine.
    pub fn find(&mut self, payload: &[u8]) -> Option<u64> {
        if let Some(nanos) = payload.get(self.last..).and_then(|rest| self.parse(rest)) {
            return Some(nanos);
        }
        let mut at = 0;
        while let Some(start) = payload[at..].windows(HEAD.len()).position(|four| four == HEAD) {
            at += start;
            if let Some(nanos) = self.parse(&payload[at..]) {
                self.last = at;
                return Some(nanos);
            }
            at += HEAD.len();
        }
        None
    }

    fn parse(&self, text: &[u8]) -> Option<u64> {
        let digits = text.strip_prefix(&self.begin)?.first_chunk::<DIGITS>()?;
        digits.iter().try_fold(0, |value: u64, digit| {
            Some(value << 4 | u64::from((*digit as char).to_digit(16)?))
        })
    }
}

/// Sees to it that a message carries a stamp: `${stamp}` where the user put it, or else a field
/// `stamp` at the end of a JSON object.
///
/// # Errors
/// When the message is no JSON object and has no `${stamp}`.
pub fn mark(message: &mut Template) -> Result<(), String> {
    if message.has_stamp() {
        return Ok(());
    }
    if message.add_json_field("stamp", "${stamp}") {
        return Ok(());
    }
    Err("a stamp has no place in text (write `${stamp}` where it belongs)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_wherever_it_stands() {
        let mut stamp = String::new();
        write(&mut stamp, 0xAB, 0x1234_5678_9ABC);
        assert_eq!(stamp, "ebb~000000ab~0000123456789abc");
        assert_eq!(stamp.len(), LENGTH);
        let mut finder = Finder::new(0xAB);
        let other = stamp.replace("000000ab", "000000ac");
        for (text, found) in [
            (stamp.clone(), true),
            (format!("{{\"a\":\"ebb~ {stamp}\"}}"), true),
            (format!("{{\"b\":\"ebb~ {stamp}\"}}"), true),
            (format!("ebb~{stamp}"), true),
            (format!("{other}{stamp}"), true),
            (other.clone(), false),
            (stamp[..LENGTH - 1].to_owned(), false),
            ("ebb~".to_owned(), false),
            (String::new(), false),
        ] {
            let expected = found.then_some(0x1234_5678_9ABC);
            assert_eq!(finder.find(text.as_bytes()), expected, "{text}");
        }
    }
}
