//! WebSocket frames as a client sees them (RFC 6455, section 5). Pure.
//!
//! In: bytes. Out: frame heads, close codes, and frames to send, masked. What becomes of fragments
//! and control frames is left to the inbox, sockets to the socket.

use crate::disconnect::NO_CODE;
use crate::sample::Failure;

/// What a frame carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opcode {
    /// A further fragment.
    Continuation,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The sender closes.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// The head of a frame from a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHead {
    /// It is the last fragment of its message.
    pub last: bool,
    /// What it carries.
    pub opcode: Opcode,
    /// Bytes of the head.
    pub head: usize,
    /// Bytes of the payload.
    pub payload: u64,
}

/// Parses the head of a frame; none while it is incomplete.
///
/// # Errors
/// [`Failure::Protocol`] for reserved bits, unknown opcodes, control frames that are fragmented
/// or too long, and masked frames, which no server may send.
pub fn parse(bytes: &[u8]) -> Result<Option<FrameHead>, Failure> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(Failure::Protocol);
    }
    let opcode = Opcode::of(first & 0x0F).ok_or(Failure::Protocol)?;
    let last = first & 0x80 != 0;
    let (head, payload) = match second {
        126 => match bytes.get(2..4) {
            Some(&[high, low]) => (4, u64::from(u16::from_be_bytes([high, low]))),
            _ => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|length| <[u8; 8]>::try_from(length).ok()) {
            Some(length) => (10, u64::from_be_bytes(length)),
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    let control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    if control && (!last || payload > 125) {
        return Err(Failure::Protocol);
    }
    Ok(Some(FrameHead { last, opcode, head, payload }))
}

/// The code of a close frame: [`NO_CODE`] when its payload is empty.
///
/// # Errors
/// [`Failure::Protocol`] for half a code, codes that may not be sent (section 7.4), and reasons
/// that are not UTF-8.
pub fn close_code(payload: &[u8]) -> Result<u16, Failure> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(NO_CODE) } else { Err(Failure::Protocol) };
    };
    let code = u16::from_be_bytes(*code);
    let sendable = matches!(code, 1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999);
    if !sendable || std::str::from_utf8(reason).is_err() {
        return Err(Failure::Protocol);
    }
    Ok(code)
}

/// Appends a whole frame, masked as a client's must be.
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode.bits());
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    let (words, rest) = out[start..].as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}
