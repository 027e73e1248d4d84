//! One Engine.IO packet and what it is in a WebSocket message.
//!
//! Comes in: a message. Goes out: a packet that shares its memory; and back.

use super::EngineError;
use crate::frame::Frame;
use crate::text::Text;

/// A packet, either way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// `0`: the server's handshake, JSON.
    Open(Text),
    /// `1`: the session ends.
    Close,
    /// `2`: by the server, to hear from the client; with `probe`, by the client, on a transport it
    /// wants to upgrade to.
    Ping(Text),
    /// `3`: the answer, with the ping's content.
    Pong(Text),
    /// `4`, or a binary message as it is.
    Message(Frame),
    /// `5`: from now on this transport.
    Upgrade,
    /// `6`: ends a hanging GET.
    Noop,
}

impl Packet {
    /// Reads the message of a WebSocket.
    ///
    /// # Errors
    /// When there is no type or an unknown one, or content where none may be.
    pub fn decode(frame: Frame) -> Result<Self, EngineError> {
        let text = match frame {
            Frame::Binary(_) => return Ok(Self::Message(frame)),
            Frame::Text(text) => text,
        };
        let whole = text.as_str();
        let kind = whole.chars().next().ok_or(EngineError::Empty)?;
        let content = &whole[kind.len_utf8()..];
        let bare = |packet: Self| match content.len() {
            0 => Ok(packet),
            len => Err(EngineError::Content(kind, len)),
        };
        match kind {
            '0' => Ok(Self::Open(text.part(content))),
            '1' => bare(Self::Close),
            '2' => Ok(Self::Ping(text.part(content))),
            '3' => Ok(Self::Pong(text.part(content))),
            '4' => Ok(Self::Message(Frame::Text(text.part(content)))),
            '5' => bare(Self::Upgrade),
            '6' => bare(Self::Noop),
            other => Err(EngineError::UnknownType(other)),
        }
    }

    /// The message of a WebSocket. A text message is copied behind its type; who sends many
    /// writes the `4` before the text at once and does without this.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let with = |kind: char, content: &str| {
            let mut text = String::with_capacity(content.len() + 1);
            text.push(kind);
            text.push_str(content);
            Frame::Text(text.into())
        };
        match self {
            Self::Open(text) => with('0', text),
            Self::Close => Frame::Text(Text::fixed("1")),
            Self::Ping(text) => with('2', text),
            Self::Pong(text) => with('3', text),
            Self::Message(Frame::Text(text)) => with('4', text),
            Self::Message(binary @ Frame::Binary(_)) => binary.clone(),
            Self::Upgrade => Frame::Text(Text::fixed("5")),
            Self::Noop => Frame::Text(Text::fixed("6")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_what_it_was() {
        for (text, packet) in [
            ("0{}", Packet::Open("{}".into())),
            ("1", Packet::Close),
            ("2", Packet::Ping(Text::new())),
            ("3probe", Packet::Pong("probe".into())),
            ("4", Packet::Message(Frame::Text(Text::new()))),
            ("4€", Packet::Message(Frame::Text("€".into()))),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
        ] {
            let frame = Frame::Text(text.into());
            assert_eq!(Packet::decode(frame.clone()), Ok(packet.clone()));
            assert_eq!(packet.encode(), frame);
        }
    }

    #[test]
    fn what_is_no_packet_says_why() {
        for (text, error) in [
            ("", EngineError::Empty),
            ("abc", EngineError::UnknownType('a')),
            ("7", EngineError::UnknownType('7')),
            ("€", EngineError::UnknownType('€')),
            ("1x", EngineError::Content('1', 1)),
            ("6xy", EngineError::Content('6', 2)),
        ] {
            assert_eq!(Packet::decode(Frame::Text(text.into())), Err(error));
        }
    }
}
