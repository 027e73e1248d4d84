//! The echo target of the WebSocket bench: one thread, each message back as it came.
//!
//! Comes in: handshakes and masked frames. Goes out: the frames' payloads, unmasked. It checks
//! nothing that a client of a bench gets right, so that the generator is what is measured. The
//! sockets are left to the loop of all targets.

use crate::bench::target::Talk;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// First bytes of frames: final, and the opcode.
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// What a client has said and has not been answered.
#[derive(Default)]
pub(crate) struct Session {
    open: bool,
    held: Vec<u8>,
}

impl Talk for Session {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<u64> {
        self.held.extend_from_slice(bytes);
        if !self.open && !self.shake_hands(out)? {
            return Some(0);
        }
        let mut echoed = 0;
        let mut at = 0;
        while let Some(frame) = Frame::parse(&self.held[at..]) {
            let payload = at + frame.head..at + frame.head + frame.payload;
            at = payload.end;
            let first = if frame.first == PING { PONG } else { frame.first };
            if first == PONG && frame.first == PONG {
                continue;
            }
            out.push(first);
            match frame.payload {
                length @ 0..=125 => out.push(u8::try_from(length).ok()?),
                length => {
                    out.push(126);
                    out.extend_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
                }
            }
            let masked = self.held[payload].iter().zip(frame.mask.iter().cycle());
            out.extend(masked.map(|(byte, mask)| byte ^ mask));
            echoed += u64::from(!matches!(frame.first, PING | CLOSE));
        }
        self.held.drain(..at);
        Some(echoed)
    }
}

impl Session {
    /// Answers the handshake once it is whole.
    fn shake_hands(&mut self, out: &mut Vec<u8>) -> Option<bool> {
        let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Some(false);
        };
        let head = String::from_utf8_lossy(&self.held[..end]).into_owned();
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
        })?;
        let accept = derive_accept_key(key.as_bytes());
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(accept.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        self.held.drain(..end + 4);
        self.open = true;
        Some(true)
    }
}

/// A whole frame at the start of some bytes.
struct Frame {
    first: u8,
    head: usize,
    payload: usize,
    mask: [u8; 4],
}

impl Frame {
    /// None while it is not whole. Payloads of 64 KiB and more are not for an echo bench.
    fn parse(bytes: &[u8]) -> Option<Frame> {
        let (&first, rest) = bytes.split_first()?;
        let (start, payload) = match rest.first()? & 0x7F {
            126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
            127 => return None,
            length => (2, usize::from(length)),
        };
        let mask = *bytes.get(start..)?.first_chunk()?;
        let head = start + 4;
        (bytes.len() >= head + payload).then_some(Frame { first, head, payload, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3, and a masked `Hello` of section 5.7.
    #[test]
    fn echoes_come_back_however_the_bytes_are_cut() {
        let mut bytes =
            b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        bytes.extend_from_slice(&hello);
        bytes.extend_from_slice(&hello);
        for cut in 0..bytes.len() {
            let mut session = Session::default();
            let mut text = Vec::new();
            let mut echoed = 0;
            for part in [&bytes[..cut], &bytes[cut..]] {
                echoed += session.take(part, &mut text).expect("a client that knows how");
            }
            assert_eq!(echoed, 2, "cut at {cut}");
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(text.contains("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{text}");
            assert!(text.ends_with("Hello"), "{text}");
        }
    }
}
