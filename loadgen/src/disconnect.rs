//! Why a connection of a user ended without the user's doing: one word per reason, the same in
//! every report. Pure.
//!
//! In: close codes and failures. Out: [`Disconnect`]s, whose text is the tag `reason` of the
//! metric `disconnects`. Counting them is left to the recorder.

use crate::sample::Failure;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a close frame without a code stands for (RFC 6455, section 7.1.5).
pub const NO_CODE: u16 = 1_005;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disconnect {
    /// The server closed it with this code of RFC 6455, section 7.4.
    Closed(u16),
    /// The server ended the connection without a word.
    Transport,
    /// The server reset it.
    Reset,
    /// The server was silent for longer than it had said.
    PingTimeout,
    /// The server left the namespace (Socket.IO's `io server disconnect`).
    Server,
    /// The server sent what its protocol forbids, or too much.
    Protocol,
    /// A request of a Socket.IO session failed.
    TransportError,
    /// What a Socket.IO server sent could not be read.
    Parse,
}

impl Disconnect {
    /// What a failed read stands for.
    #[must_use]
    pub fn of(failure: Failure) -> Self {
        match failure {
            Failure::Protocol | Failure::TooLarge => Self::Protocol,
            Failure::Closed => Self::Transport,
            _ => Self::Reset,
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(code) => match *code {
                1_000 => "normal closure",
                1_001 => "going away",
                1_002 => "protocol error",
                1_003 => "unsupported data",
                NO_CODE => "no code",
                1_007 => "invalid payload",
                1_008 => "policy violation",
                1_009 => "message too big",
                1_010 => "extension missing",
                1_011 => "internal error",
                1_012 => "service restart",
                1_013 => "try again later",
                1_014 => "bad gateway",
                code => return write!(f, "code {code}"),
            },
            Self::Transport => "transport close",
            Self::Reset => "connection reset",
            Self::PingTimeout => "ping timeout",
            Self::Server => "io server disconnect",
            Self::Protocol => "protocol violation",
            Self::TransportError => "transport error",
            Self::Parse => "parse error",
        })
    }
}
