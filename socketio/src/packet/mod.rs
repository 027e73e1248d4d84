//! Socket.IO v5: its packets and how they are written.
//!
//! Comes in: the messages of an Engine.IO session. Goes out: packets with their attachments, their
//! JSON checked once and handed on as text that shares memory with the message; and packets
//! encoded once for any number of receivers. Which packet may come when is for `client` and
//! `server`. The protocol: `docs/socket.io-protocol/v5-current.md` of `socketio/socket.io`.

mod args;
mod assemble;
mod decode;
mod encode;
mod json;

pub use args::{Arg, Args};
pub use assemble::Decoder;
pub use encode::Encoded;

use crate::text::Text;

/// The main namespace, which stands on the wire as nothing.
pub const MAIN: &str = "/";
/// A namespace is a name; npm's have no limit, and none in use comes near this one.
pub const NAMESPACE_BYTES: usize = 512;
/// The largest id of an ack: beyond it JavaScript no longer counts in steps of one.
pub const LARGEST_ID: u64 = (1 << 53) - 1;
/// Names that a program listens to for itself; as an event they would be mistaken for that.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// A packet with everything that belongs to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// `/` or `/name`.
    pub namespace: Text,
    /// What it says.
    pub content: Content,
}

/// What a packet says. Binary events and acks are events and acks whose arguments have
/// attachments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// `0`: asks for a namespace, with an object as credentials; or grants it, with the `sid`.
    Connect(Option<Text>),
    /// `1`: leaves the namespace.
    Disconnect,
    /// `2`, `5`.
    Event {
        /// The event's name, unescaped.
        name: Text,
        /// What stands behind the name.
        args: Args,
        /// Under which id an answer is awaited.
        ack: Option<u64>,
    },
    /// `3`, `6`: the answer.
    Ack {
        /// The id of the event.
        id: u64,
        /// What is answered.
        args: Args,
    },
    /// `4`: the namespace is refused; an object with `message`, or a string.
    ConnectError(Text),
}

/// What a sender may make us hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketLimits {
    /// Attachments of one packet; npm's default.
    pub attachments: usize,
    /// Bytes of one packet with its attachments, together.
    pub bytes: usize,
}

impl Default for PacketLimits {
    /// 10 attachments as npm's parser, and a megabyte as npm's `maxHttpBufferSize`.
    fn default() -> Self {
        Self { attachments: 10, bytes: 1_000_000 }
    }
}

/// Why a message is no Socket.IO.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PacketError {
    /// The type is missing or none of ours.
    #[error("unknown packet type `{0}`: it goes from 0 to 6")]
    UnknownType(String),
    /// The number of attachments is no number, or has no `-` behind it.
    #[error("number of attachments is no number with `-` behind it")]
    Attachments,
    /// More than the limit.
    #[error("{count} attachments exceed the limit of {limit}")]
    TooManyAttachments {
        /// Announced.
        count: u64,
        /// Allowed.
        limit: usize,
    },
    /// Does not begin with `/`, has a `,` or a control character in it, or is too long.
    #[error(
        "namespace `{0:.40}`: it begins with `/`, has no `,` and at most {NAMESPACE_BYTES} bytes"
    )]
    Namespace(String),
    /// Not a number within 2^53, missing in an ack, or there where none may be.
    #[error("id of an ack: {0}")]
    Id(&'static str),
    /// The payload is not what this type carries.
    #[error("payload: {0}")]
    Payload(String),
    /// An event by a name of the library.
    #[error("event `{0}`: the name is reserved")]
    Reserved(String),
    /// A placeholder points at an attachment that is not there.
    #[error("placeholder {num} with {count} attachments")]
    Placeholder {
        /// The attachment it names, from 0.
        num: u64,
        /// How many there are.
        count: usize,
    },
    /// Text came while attachments were still to come.
    #[error("text while {0} attachments were to come")]
    TextForAttachment(usize),
    /// Bytes came that no packet announced.
    #[error("binary message that no packet announced")]
    Unannounced,
    /// Larger than the limit.
    #[error("packet of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes so far.
        size: usize,
        /// Allowed.
        limit: usize,
    },
}

/// Checks the name of a namespace.
///
/// # Errors
/// When it could not be told from what follows it, or is too long.
pub fn check_namespace(name: &str) -> Result<(), PacketError> {
    // A control character could end the packet in a body of HTTP.
    let is_foreign = |c: char| c == ',' || c.is_ascii_control();
    if name.starts_with('/') && !name.contains(is_foreign) && name.len() <= NAMESPACE_BYTES {
        return Ok(());
    }
    Err(PacketError::Namespace(name.to_owned()))
}

/// Checks the payload of a connect.
///
/// # Errors
/// When it is not a JSON object.
pub fn check_credentials(payload: &str) -> Result<(), PacketError> {
    let shape = json::inspect(payload, false);
    match shape.map_err(|error| PacketError::Payload(error.to_string()))?.kind {
        json::Kind::Object => Ok(()),
        _ => Err(PacketError::Payload("a connect carries an object".to_owned())),
    }
}

/// Checks the name of an event.
///
/// # Errors
/// When programs listen to it for something else.
pub fn check_event(name: &str) -> Result<(), PacketError> {
    if RESERVED.contains(&name) {
        return Err(PacketError::Reserved(name.to_owned()));
    }
    Ok(())
}
