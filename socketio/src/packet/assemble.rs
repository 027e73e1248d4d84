//! From messages to packets: a packet is whole when its attachments have come.
//!
//! Comes in: the text and binary messages of a session, in their order. Goes out: packets. Holds
//! at most one unfinished packet, within the limits.

use super::decode::{Announced, decode};
use super::{Args, Content, Packet, PacketError, PacketLimits};
use crate::frame::Frame;
use bytes::Bytes;

/// Puts packets together.
#[derive(Debug)]
pub struct Decoder {
    limits: PacketLimits,
    unfinished: Option<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    announced: Announced,
    attachments: Vec<Bytes>,
    size: usize,
}

impl Decoder {
    /// A decoder that waits for a packet's first message.
    #[must_use]
    pub fn new(limits: PacketLimits) -> Self {
        Self { limits, unfinished: None }
    }

    /// Takes a message; a packet comes out when it was the last one of it. After an error the
    /// session is to be closed: what follows could belong to anything.
    ///
    /// # Errors
    /// When the message is no packet, exceeds a limit, or comes out of turn.
    pub fn take(&mut self, message: Frame) -> Result<Option<Packet>, PacketError> {
        let size = message.len() + self.unfinished.as_ref().map_or(0, |unfinished| unfinished.size);
        if size > self.limits.bytes {
            return Err(PacketError::TooLarge { size, limit: self.limits.bytes });
        }
        match (message, self.unfinished.as_mut()) {
            (Frame::Text(text), None) => {
                let announced = decode(&text, self.limits.attachments)?;
                if announced.attachments == 0 {
                    return Ok(Some(announced.packet));
                }
                self.unfinished = Some(Unfinished { announced, attachments: Vec::new(), size });
            }
            (Frame::Text(_), Some(unfinished)) => {
                let missing = unfinished.announced.attachments - unfinished.attachments.len();
                return Err(PacketError::TextForAttachment(missing));
            }
            (Frame::Binary(bytes), Some(unfinished)) => {
                unfinished.attachments.push(bytes);
                unfinished.size = size;
            }
            (Frame::Binary(_), None) => return Err(PacketError::Unannounced),
        }
        let is_whole =
            |found: &mut Unfinished| found.attachments.len() == found.announced.attachments;
        Ok(self.unfinished.take_if(is_whole).map(Unfinished::finish))
    }
}

impl Unfinished {
    fn finish(self) -> Packet {
        let Packet { namespace, content } = self.announced.packet;
        let with = |args: Args| args.with_attachments(self.attachments);
        let content = match content {
            Content::Event { name, args, ack } => Content::Event { name, args: with(args), ack },
            Content::Ack { id, args } => Content::Ack { id, args: with(args) },
            other => other,
        };
        Packet { namespace, content }
    }
}
