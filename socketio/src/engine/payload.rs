//! Packets in the body of a request or a reply: joined by the record separator, binary ones in
//! base64 behind a `b`.
//!
//! Comes in: a body. Goes out: its packets, one at a time, so that what stands before an error is
//! had; and a body out of frames. Bodies are bounded by who reads them from the network.

use super::{EngineError, Packet};
use crate::frame::Frame;
use crate::text::Text;
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;

/// Between two packets.
const SEPARATOR: u8 = 0x1e;

/// The packets of a body, read as they are asked for. Ends after the first error.
#[derive(Debug)]
pub struct Payload {
    rest: Option<Text>,
}

impl Payload {
    /// Takes a body.
    ///
    /// # Errors
    /// When it is larger than `limit` bytes, or not UTF-8.
    pub fn read(body: Bytes, limit: usize) -> Result<Self, EngineError> {
        if body.len() > limit {
            return Err(EngineError::TooLarge { size: body.len(), limit });
        }
        let text = Text::from_utf8(body).map_err(|_| EngineError::Encoding)?;
        Ok(Self { rest: Some(text) })
    }
}

impl Iterator for Payload {
    type Item = Result<Packet, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        // A separator behind the last packet announces another one, which is then empty.
        let one = match text.split_once(char::from(SEPARATOR)) {
            Some((one, rest)) => {
                self.rest = Some(text.part(rest));
                text.part(one)
            }
            None => text,
        };
        let packet = decode(one);
        if packet.is_err() {
            self.rest = None;
        }
        Some(packet)
    }
}

fn decode(text: Text) -> Result<Packet, EngineError> {
    let Some(base64) = text.strip_prefix('b') else {
        return Packet::decode(Frame::Text(text));
    };
    let bytes = BASE64.decode(base64.as_bytes());
    let bytes = bytes.map_err(|error| EngineError::Base64(error.to_string()))?;
    Ok(Packet::Message(Frame::Binary(bytes.into())))
}

/// Bytes that a frame takes in a body, without its separator.
#[must_use]
pub fn encoded_len(frame: &Frame) -> usize {
    match frame {
        Frame::Text(text) => text.len(),
        Frame::Binary(bytes) => 1 + BASE64.encode_len(bytes.len()),
    }
}

/// A body of frames as they would go out on a WebSocket. A single text is not copied.
#[must_use]
pub fn join(frames: &[Frame]) -> Bytes {
    if let [Frame::Text(text)] = frames {
        return text.clone().into_bytes();
    }
    let size = frames.iter().map(|frame| encoded_len(frame) + 1).sum();
    let mut body = BytesMut::with_capacity(size);
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 {
            body.extend_from_slice(&[SEPARATOR]);
        }
        match frame {
            Frame::Text(text) => body.extend_from_slice(text.as_bytes()),
            Frame::Binary(bytes) => {
                body.extend_from_slice(b"b");
                let start = body.len();
                body.resize(start + BASE64.encode_len(bytes.len()), 0);
                BASE64.encode_mut(bytes, &mut body[start..]);
            }
        }
    }
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(body: &'static str) -> Vec<Result<Packet, EngineError>> {
        Payload::read(Bytes::from_static(body.as_bytes()), 100).unwrap().collect()
    }

    #[test]
    fn a_body_is_its_packets_and_back() {
        let frames =
            [Frame::Text("4hello".into()), Frame::Binary(Bytes::from_static(&[1, 2, 3, 4]))];
        let body = join(&frames);
        assert_eq!(body, "4hello\x1ebAQIDBA==");
        let read: Vec<Frame> =
            Payload::read(body, 100).unwrap().map(|packet| packet.unwrap().encode()).collect();
        assert_eq!(read, frames);
    }

    #[test]
    fn what_stands_before_an_error_is_had() {
        let found = packets("4a\x1ex\x1e4b");
        let [Ok(first), Err(EngineError::UnknownType('x'))] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(*first, Packet::Message(Frame::Text("a".into())));
    }

    #[test]
    fn what_is_no_body_says_why() {
        assert_eq!(packets(""), [Err(EngineError::Empty)]);
        assert_eq!(packets("\x1e\x1e\x1e\x1e"), [Err(EngineError::Empty)]);
        assert_eq!(packets("6\x1e").last(), Some(&Err(EngineError::Empty)));
        assert!(matches!(packets("bAQ")[..], [Err(EngineError::Base64(_))]));
        let large = Payload::read(Bytes::from_static(&[b'4'; 101]), 100);
        assert_eq!(large.err(), Some(EngineError::TooLarge { size: 101, limit: 100 }));
        let foreign = Payload::read(Bytes::from_static(b"4\xff"), 100);
        assert_eq!(foreign.err(), Some(EngineError::Encoding));
    }
}
