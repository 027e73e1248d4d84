//! Engine.IO v4: its packets, their two encodings, its handshake.
//!
//! Comes in: WebSocket messages and bodies of HTTP. Goes out: packets, or an [`EngineError`] that
//! says why there are none; and the way back. Which packet may come when is for `client` and
//! `server`. The protocol: `docs/engine.io-protocol/v4-current.md` of `socketio/socket.io`.

mod handshake;
mod packet;
mod payload;
mod query;

pub use handshake::Handshake;
pub use packet::Packet;
pub use payload::{Payload, encoded_len, join};
pub use query::{Query, escape};

/// Why bytes are no Engine.IO.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// There is no type.
    #[error("empty packet: its first character would be its type, 0 to 6")]
    Empty,
    /// The type is none of ours.
    #[error("unknown packet type `{0}`: it goes from 0 to 6, or is b in a body")]
    UnknownType(char),
    /// A type that stands alone has content.
    #[error("packet type `{0}` carries {1} bytes, and may carry none")]
    Content(char, usize),
    /// Not UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// What follows `b` is not base64.
    #[error("binary packet is not base64 with padding: {0}")]
    Base64(String),
    /// The first packet of a server is unreadable.
    #[error("handshake: {0}")]
    Handshake(String),
    /// More than was agreed on.
    #[error("{size} bytes exceed the limit of {limit}")]
    TooLarge {
        /// Bytes that came.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
}
