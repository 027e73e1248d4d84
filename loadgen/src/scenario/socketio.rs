//! Steps of Socket.IO as typed. Pure.
//!
//! In and out: values, checked by `step/socketio.rs`. What goes over which transport is left to the
//! engine.

pub use ebbtide_socketio::client::Transports;

use super::realtime::{Expected, Reconnect};
use crate::check::Capture;
use crate::template::Template;
use std::time::Duration;

/// A step of Socket.IO.
#[derive(Clone, Debug, PartialEq)]
pub enum SioStep {
    /// Connects to a namespace, unless the user's client of that name is connected.
    Connect(SioConnectStep),
    /// Sends an event, and may wait for its acknowledgement.
    Emit(EmitStep),
    /// Waits for an event.
    Await(AwaitEventStep),
    /// Disconnects.
    Close {
        /// The client; none when there is but one.
        on: Option<String>,
    },
}

impl SioStep {
    /// The client that the step uses: outer none when it makes one.
    #[must_use]
    pub fn on(&self) -> Option<Option<&String>> {
        match self {
            Self::Connect(_) => None,
            Self::Emit(emit) => Some(emit.on.as_ref()),
            Self::Await(wait) => Some(wait.on.as_ref()),
            Self::Close { on } => Some(on.as_ref()),
        }
    }

    /// What it captures.
    #[must_use]
    pub fn captures(&self) -> &[Capture] {
        match self {
            Self::Emit(EmitStep { ack: Some(ack), .. }) => &ack.captures,
            Self::Await(wait) => &wait.captures,
            _ => &[],
        }
    }
}

/// A connection to a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct SioConnectStep {
    /// Path on the base.
    pub path: Template,
    /// Name of the client.
    pub client: String,
    /// Namespace.
    pub namespace: String,
    /// What the server is told of the user, an object as JSON.
    pub auth: Option<Template>,
    /// The ways a session goes.
    pub transports: Transports,
    /// Headers of all requests.
    pub headers: Vec<(String, Template)>,
    /// More for the query of all requests.
    pub query: Vec<(String, Template)>,
    /// Time limit.
    pub timeout: Duration,
    /// The client is closed at the end of the iteration.
    pub per_iteration: bool,
    /// How it is connected again when it is lost.
    pub reconnect: Option<Reconnect>,
}

/// An event out.
#[derive(Clone, Debug, PartialEq)]
pub struct EmitStep {
    /// The client; none when there is but one.
    pub on: Option<String>,
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
    pub ack: Option<AckStep>,
}

/// An acknowledgement waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct AckStep {
    /// Time limit.
    pub within: Duration,
    /// JSON pointers into its arguments and what must stand there.
    pub json: Vec<(String, Template)>,
    /// Variables taken from it.
    pub captures: Vec<Capture>,
}

/// An event waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct AwaitEventStep {
    /// The client; none when there is but one.
    pub on: Option<String>,
    /// Its name.
    pub event: String,
    /// JSON pointers into its arguments and what must stand there.
    pub json: Vec<(String, Template)>,
    /// Time limit.
    pub within: Duration,
    /// Variables taken from it.
    pub captures: Vec<Capture>,
}
