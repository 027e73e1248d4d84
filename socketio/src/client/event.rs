//! What a client tells its user, and why it could not do what was asked.
//!
//! Comes in: nothing. Goes out: values. When they come is for `machine`.

use super::reason::Reason;
use crate::acks::AckId;
use crate::packet::{Args, PacketError};
use crate::text::Text;
use std::time::Duration;

/// A namespace of one client, given by `Client::connect`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct NamespaceId(pub(super) u8);

/// What the user is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A session is open; the namespaces are asked for now.
    Opened {
        /// The session's id, not that of a namespace.
        sid: Text,
    },
    /// From now on messages go over WebSocket.
    Upgraded,
    /// WebSocket did not work; polling goes on.
    UpgradeFailed,
    /// A namespace is connected; what was emitted before goes out.
    Connected {
        /// Which.
        namespace: NamespaceId,
        /// The id of this client in it.
        sid: Text,
        /// Whether the server restored the state of the connection before.
        is_recovered: bool,
    },
    /// The server refused a namespace. It is asked for again by `Client::connect` alone.
    ConnectError {
        /// Which.
        namespace: NamespaceId,
        /// What is wrong, in the server's words.
        message: Text,
        /// The whole payload, JSON.
        payload: Text,
    },
    /// An event came.
    Message {
        /// Where.
        namespace: NamespaceId,
        /// Its name.
        name: Text,
        /// What it carries.
        args: Args,
        /// Where to answer, when the server waits for it; see `Client::answer`.
        ack: Option<AckId>,
    },
    /// The answer to an event.
    Answer {
        /// Where.
        namespace: NamespaceId,
        /// To which.
        ack: AckId,
        /// The answer.
        args: Args,
    },
    /// No answer will come.
    AnswerLost {
        /// Where.
        namespace: NamespaceId,
        /// To which.
        ack: AckId,
        /// Whether the time was up; otherwise the connection ended.
        is_late: bool,
    },
    /// A connected namespace ended.
    Disconnected {
        /// Which.
        namespace: NamespaceId,
        /// Why.
        reason: Reason,
    },
    /// The session ended, or did not come about.
    Closed {
        /// Why.
        reason: Reason,
        /// When the next attempt begins, from now; none when there will be none.
        retry_in: Option<Duration>,
    },
}

/// Why something was not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EmitError {
    /// What waits already is at the limit.
    #[error("{waiting} bytes wait to be sent, the limit is {limit}; wait, or emit less")]
    QueueFull {
        /// Bytes that wait.
        waiting: usize,
        /// `Options::queue_bytes`.
        limit: usize,
    },
    /// Too many answers are awaited already.
    #[error("{0} answers are awaited, which is the limit; give them a timeout")]
    TooManyAcks(usize),
    /// The namespace was left, or refused.
    #[error("namespace `{0}` is not connected and not about to be; connect it first")]
    NotConnected(Text),
    /// The arguments exceed a limit.
    #[error(transparent)]
    Packet(#[from] PacketError),
}
