//! What a connection tells its owner, and what the owner answers.
//!
//! Comes in: nothing. Goes out: values. When they come is for `connection`.

use super::reason::Reason;
use crate::acks::AckId;
use crate::packet::{Args, PacketError};
use crate::text::Text;

/// A namespace of one connection. Ids are not used again within a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberId(pub(super) u64);

/// What a client sends to have an earlier connection's state back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recovery {
    /// The private id that was granted then.
    pub pid: Text,
    /// Of the last event it has seen, if it saw one.
    pub offset: Option<Text>,
}

/// What is granted to a client that asks for a namespace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// The client's id in the namespace, which others may know.
    pub sid: Text,
    /// The id that nobody else knows, when the state of this connection can be recovered. With it
    /// granted, every event ends in its offset, a string, which the client sends back. The same as
    /// before says that the state has been recovered; what was missed is sent right behind.
    pub pid: Option<Text>,
}

/// What the owner is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A client asks for a namespace; answer by `accept` or `refuse`. Nothing else of the
    /// namespace comes before.
    Request {
        /// Which connection of the namespace it will be.
        member: MemberId,
        /// The name of the namespace.
        namespace: Text,
        /// The credentials, a JSON object, recovery included.
        auth: Option<Text>,
        /// What it wants back.
        recovery: Option<Recovery>,
    },
    /// An event came.
    Message {
        /// Where.
        member: MemberId,
        /// Its name.
        name: Text,
        /// What it carries.
        args: Args,
        /// Where to answer, when the client waits for it.
        ack: Option<AckId>,
    },
    /// The answer to an event.
    Answer {
        /// Where.
        member: MemberId,
        /// To which.
        ack: AckId,
        /// The answer.
        args: Args,
    },
    /// No answer will come.
    AnswerLost {
        /// Where.
        member: MemberId,
        /// To which.
        ack: AckId,
        /// Whether the time was up; otherwise the connection ended.
        is_late: bool,
    },
    /// From now on messages go over WebSocket.
    Upgraded,
    /// A namespace ended: accepted before, or still asked for.
    Disconnected {
        /// Which.
        member: MemberId,
        /// Why.
        reason: Reason,
    },
    /// The session ended; every namespace was told before.
    Closed {
        /// Why.
        reason: Reason,
    },
}

/// Why something was not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The namespace has ended or was not accepted yet.
    #[error("the client is not connected to this namespace")]
    NotConnected,
    /// Too many answers are awaited already.
    #[error("{0} answers are awaited, which is the limit; give them a timeout")]
    TooManyAcks(usize),
    /// The arguments exceed a limit, or the name is reserved.
    #[error(transparent)]
    Packet(#[from] PacketError),
}
