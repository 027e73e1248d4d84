//! Why a connection ended, in Socket.IO's words.
//!
//! Comes in: nothing. Goes out: a word that the programs of others know. They are those of
//! `https://socket.io/docs/v4/client-socket-instance/#disconnect`.

use std::fmt;

/// Why a session or a namespace ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The server sent a disconnect for the namespace.
    IoServerDisconnect,
    /// The user asked for it.
    IoClientDisconnect,
    /// No ping came in time.
    PingTimeout,
    /// The transport was closed by the other side.
    TransportClose,
    /// The transport failed: a status other than 200, a connection lost, an open that took too
    /// long.
    TransportError,
    /// What came could not be read.
    ParseError,
}

impl Reason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IoServerDisconnect => "io server disconnect",
            Self::IoClientDisconnect => "io client disconnect",
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
