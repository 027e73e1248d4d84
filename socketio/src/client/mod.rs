//! The client's end: a session that opens, upgrades, beats, closes and opens again, and the
//! namespaces on it.
//!
//! Comes in: replies to the requests asked for, WebSocket messages, the user's wishes, the time.
//! Goes out: [`Action`]s for the host to carry out in their order, and [`Event`]s for the user.
//! [`Engine`] is Engine.IO alone; [`Client`] is Socket.IO on it. Leaves sockets and time to the
//! host.

mod engine;
mod event;
mod machine;
mod namespace;
mod options;
mod reason;
mod reconnection;

pub use crate::acks::AckId;
pub use engine::{Action, Engine, Happening};
pub use event::{EmitError, Event, NamespaceId};
pub use machine::Client;
pub use options::{Options, Transports};
pub use reason::Reason;
pub use reconnection::Reconnection;
