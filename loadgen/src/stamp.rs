//! Stamps: text in a message that tells when it was sent, so that a receiver in the same process
//! can tell how long its delivery took, however the server wraps the message. Pure.
//!
//! In: nanoseconds since the process's epoch, and the engine's token. Out: text of fixed length,
//! and back. Counting deliveries is left to the recorder. Stamps are the one part of a message
//! that a replay does not repeat; their length it does.

use crate::template::Template;
use std::io::Write;

/// How a stamp begins.
const HEAD: &[u8] = b"ebb~";

/// Its length: head, token, `~`, nanoseconds.
pub const LENGTH: usize = 4 + 8 + 1 + 16;

/// Writes the stamp of a message sent at `nanos` into `out`.
pub fn write(out: &mut String, token: u32, nanos: u64) {
    use std::fmt::Write as _;
    // Writing to a string cannot fail.
    let _ = write!(out, "ebb~{token:08x}~{nanos:016x}");
}

/// When the message was sent, if it carries a stamp of this engine: nanoseconds.
#[must_use]
pub fn find(payload: &[u8], token: u32) -> Option<u64> {
    let mut rest = payload;
    while let Some(start) = rest.windows(HEAD.len()).position(|window| window == HEAD) {
        if let Some(nanos) = parse(&rest[start..], token) {
            return Some(nanos);
        }
        rest = &rest[start + HEAD.len()..];
    }
    None
}

fn parse(text: &[u8], token: u32) -> Option<u64> {
    let text = std::str::from_utf8(text.get(HEAD.len()..LENGTH)?).ok()?;
    let (found, nanos) = text.split_once('~')?;
    let mut expected = [0; 8];
    write!(expected.as_mut_slice(), "{token:08x}").ok()?;
    if found.as_bytes() != expected {
        return None;
    }
    u64::from_str_radix(nanos, 16).ok()
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
