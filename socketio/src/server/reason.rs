//! Why a session or a namespace ended, in the words of npm's server.
//!
//! Comes in: nothing. Goes out: a word that the programs of others know, and the code that closes
//! a WebSocket for it.

use std::fmt;

/// Why it ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The owner ended the namespace.
    ServerNamespaceDisconnect,
    /// The owner closed the session, or nobody asked for a namespace in time.
    ForcedServerClose,
    /// No pong came in time.
    PingTimeout,
    /// The client closed the session or its WebSocket.
    TransportClose,
    /// A request was lost, or came beside another one.
    TransportError,
    /// What came could not be read.
    ParseError,
    /// The client takes its messages too slowly; npm has no word for it, and no bound.
    QueueOverflow,
}

impl Reason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ForcedServerClose => "forced server close",
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
            Self::QueueOverflow => "queue overflow",
        }
    }

    /// The code of RFC 6455 that says it to the client.
    pub(super) fn close_code(self) -> u16 {
        match self {
            Self::ParseError => 1007,
            // Try again later: connect anew and recover.
            Self::QueueOverflow => 1013,
            _ => 1000,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
