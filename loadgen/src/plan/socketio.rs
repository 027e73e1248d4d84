//! Socket.IO instructions of an iteration, and the clients of a flow. Pure.
//!
//! In: nothing. Out: the types that programs are made of. How steps become instructions is left to
//! `compile/socketio.rs`.

use super::CaptureOp;
use crate::scenario::Span;
use crate::scenario::realtime::{Expected, Reconnect};
use crate::template::Template;
use ebbtide_socketio::client::Transports;
use serde::Serialize;
use std::time::Duration;

/// An instruction of Socket.IO.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SioOp {
    /// Connects a client to its namespace.
    Connect(SioConnectOp),
    /// Sends an event.
    Emit(EmitOp),
    /// Waits for an event.
    Await(AwaitEventOp),
    /// Takes events for a while.
    Listen {
        /// Where its samples go.
        slot: usize,
        /// Place of the client.
        client: usize,
        /// How long.
        length: Span,
    },
    /// Disconnects.
    Close {
        /// Where its samples go.
        slot: usize,
        /// Place of the client.
        client: usize,
    },
}

/// A client of a flow.
#[derive(Clone, Debug, Serialize)]
pub struct ClientPlan {
    /// Its name.
    pub name: String,
    /// Slot of closes that no step asks for.
    pub close_slot: usize,
    /// It is closed at the end of each iteration.
    pub per_iteration: bool,
    /// Slot of the stamped events it receives, if a step listens on it.
    pub delivery_slot: Option<usize>,
    /// Tags of the step that connects it.
    #[serde(skip)]
    pub(crate) tags: std::collections::BTreeMap<String, String>,
}

/// A connection to a namespace.
#[derive(Clone, Debug, Serialize)]
pub struct SioConnectOp {
    /// Where its samples go.
    pub slot: usize,
    /// Place of the client.
    pub client: usize,
    /// Path of all requests.
    pub path: Template,
    /// More for their query.
    pub query: Template,
    /// Their headers, each with its line end.
    pub headers: Template,
    /// Namespace.
    pub namespace: String,
    /// What the server is told of the user.
    pub auth: Option<Template>,
    /// The ways a session goes.
    #[serde(serialize_with = "as_words")]
    pub transports: Transports,
    /// Time limit.
    pub timeout: Duration,
    /// How it is connected again when it is lost.
    pub reconnect: Option<Reconnect>,
}

fn as_words<S: serde::Serializer>(ways: &Transports, serializer: S) -> Result<S::Ok, S::Error> {
    let words: &[&str] = match ways {
        Transports::PollingThenWebSocket => &["polling", "websocket"],
        Transports::WebSocket => &["websocket"],
        Transports::Polling => &["polling"],
    };
    words.serialize(serializer)
}

/// An event out.
#[derive(Clone, Debug, Serialize)]
pub struct EmitOp {
    /// Where its samples go.
    pub slot: usize,
    /// Place of the client.
    pub client: usize,
    /// Its name.
    pub event: String,
    /// Arguments as JSON, without the brackets of their array.
    pub args: Template,
    /// The bytes that placeholders in it stand for.
    pub attachments: Vec<Vec<u8>>,
    /// It carries a stamp.
    pub stamp: bool,
    /// Recipients it should reach.
    pub expect: Option<Expected>,
    /// The acknowledgement waited for.
    pub ack: Option<AckOp>,
}

/// An acknowledgement waited for.
#[derive(Clone, Debug, Serialize)]
pub struct AckOp {
    /// Time limit.
    pub within: Duration,
    /// JSON pointers into its arguments and what must stand there.
    pub json: Vec<(String, Template)>,
    /// Variables taken from it.
    #[serde(skip)]
    pub captures: Vec<CaptureOp>,
}

/// An event waited for.
#[derive(Clone, Debug, Serialize)]
pub struct AwaitEventOp {
    /// Where its samples go.
    pub slot: usize,
    /// Place of the client.
    pub client: usize,
    /// Its name.
    pub event: String,
    /// JSON pointers into its arguments and what must stand there.
    pub json: Vec<(String, Template)>,
    /// Time limit.
    pub within: Duration,
    /// Variables taken from it.
    #[serde(skip)]
    pub captures: Vec<CaptureOp>,
}
