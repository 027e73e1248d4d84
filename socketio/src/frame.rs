//! What a WebSocket carries, and what a message is: text or bytes.
//!
//! Comes in: text, bytes. Goes out: the same, cheap to clone. The framing of RFC 6455 is the
//! host's.

use crate::text::Text;
use bytes::Bytes;

/// A WebSocket message, or the content of an Engine.IO message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// UTF-8.
    Text(Text),
    /// Bytes as they are.
    Binary(Bytes),
}

impl Frame {
    /// Bytes of content.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there is no content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
