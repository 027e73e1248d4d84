//! The server's end: a session that opens, upgrades, beats and closes, and the namespaces on it.
//!
//! Comes in: requests, WebSocket messages, what the owner sends, the time. Goes out: [`Output`]s
//! for the host to carry out, [`Event`]s for the owner. [`Session`] is Engine.IO alone;
//! [`Connection`] is Socket.IO on it. Leaves to the host: sockets, HTTP, CORS, the map from ids
//! to sessions, making ids that cannot be guessed.

mod connection;
mod event;
mod reason;
mod request;
mod session;
mod settings;

pub use crate::acks::AckId;
pub use connection::Connection;
pub use event::{Event, Grant, MemberId, Recovery, SendError};
pub use reason::Reason;
pub use request::{Refusal, Route, Transport};
pub use session::{Happening, Output, Session};
pub use settings::Settings;
