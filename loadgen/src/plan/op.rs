//! Instructions of an iteration, as the engine runs them. Pure.
//!
//! In: nothing. Out: the types that a plan's programs are made of. How steps become instructions
//! is left to `compile.rs`.

use super::control::ControlOp;
use crate::check::{Predicate, Source};
use crate::scenario::Span;
use crate::scenario::realtime::{Expected, Payload};
use crate::template::Template;
use regex::bytes::Regex;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// One instruction of an iteration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// An HTTP exchange.
    Http(Box<HttpOp>),
    /// HTTP exchanges side by side.
    Parallel(Vec<HttpOp>),
    /// Opens a WebSocket.
    Connect(Box<ConnectOp>),
    /// Sends a WebSocket message.
    Send(Box<SendOp>),
    /// Waits for a WebSocket message.
    Await(Box<AwaitOp>),
    /// Takes messages for a while.
    Listen {
        /// Where its samples go.
        slot: usize,
        /// Place of the socket.
        socket: usize,
        /// How long.
        length: Span,
    },
    /// Sends a ping and waits for its pong.
    Ping {
        /// Where its samples go.
        slot: usize,
        /// Place of the socket.
        socket: usize,
        /// Time limit.
        within: Duration,
    },
    /// Closes a WebSocket.
    Close {
        /// Where its samples go.
        slot: usize,
        /// Place of the socket.
        socket: usize,
        /// Close code.
        code: u16,
        /// Reason beside it.
        reason: String,
    },
    /// Does something with a Socket.IO client.
    Sio(Box<super::SioOp>),
    /// Waits.
    Think(Span),
    /// Waits for a time drawn from an exponential distribution.
    Pause {
        /// Its mean.
        mean: Duration,
        /// What is drawn above it counts as this.
        max: Option<Duration>,
    },
    /// Decides which instruction is next.
    Control(ControlOp),
    /// Jumps back to `to` until the instructions from there have run `times` times.
    Again {
        /// Place of the first instruction of the loop.
        to: usize,
        /// How often.
        times: u32,
        /// Place of the loop's counter.
        counter: usize,
    },
}

/// A request, prepared as far as it can be.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Prepared {
    /// The whole of it.
    Static(#[serde(serialize_with = "as_text")] Vec<u8>),
    /// Head without its end and without the body's length, and the body.
    Dynamic {
        /// Request line and headers, each with its line end.
        head: Template,
        /// The body; its length is written by whoever renders it.
        body: Option<Vec<BodyOp>>,
    },
}

/// A piece of a body.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum BodyOp {
    /// Text with variables in it.
    Text(Template),
    /// What stays the same.
    Bytes(#[serde(serialize_with = "as_text")] Arc<[u8]>),
}

/// Which replies have their head kept, for what is to be read in it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Heads {
    /// None.
    #[default]
    Never,
    /// Those that redirect or set a cookie.
    Notable,
    /// All.
    Always,
}

/// A variable taken from a reply or a message.
#[derive(Clone, Debug, Serialize)]
pub struct CaptureOp {
    /// Place of the variable among the flow's captures.
    pub place: usize,
    /// Where it comes from.
    pub source: Source,
    /// What it is when nothing is found there.
    pub default: Option<Template>,
    /// Place in [`crate::Plan::checks`] of the check that counts whether something was found.
    pub check: Option<usize>,
}

fn as_text<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

/// An HTTP exchange.
#[derive(Clone, Debug, Serialize)]
pub struct HttpOp {
    /// Where its samples go.
    pub slot: usize,
    /// What is sent.
    pub request: Prepared,
    /// Time limit.
    pub timeout: Duration,
    /// The reply has no body, whatever its head says.
    pub head: bool,
    /// Predicates, with their place in [`Plan::checks`](super::Plan::checks).
    #[serde(skip)]
    pub checks: Vec<(usize, Predicate)>,
    /// Variables taken from the reply.
    pub captures: Vec<CaptureOp>,
    /// The reply's body is looked at.
    pub needs_body: bool,
    /// Which replies have their head kept.
    pub heads: Heads,
    /// Redirects followed at most.
    pub redirects: u32,
}

/// A WebSocket handshake.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectOp {
    /// Where its samples go.
    pub slot: usize,
    /// Place of the socket.
    pub socket: usize,
    /// Request line and headers but for the key, each with its line end.
    pub head: Template,
    /// Subprotocols offered.
    pub protocols: Vec<String>,
    /// Time limit.
    pub timeout: Duration,
}

/// A WebSocket message out.
#[derive(Clone, Debug, Serialize)]
pub struct SendOp {
    /// Where its samples go.
    pub slot: usize,
    /// Place of the socket.
    pub socket: usize,
    /// The message.
    pub payload: Payload,
    /// It carries a stamp.
    pub stamp: bool,
    /// Recipients it should reach.
    pub expect: Option<Expected>,
    /// Messages sent at once.
    pub burst: u32,
    /// The message waited for.
    pub reply: Option<ExpectOp>,
}

/// A WebSocket message waited for by a step of its own.
#[derive(Clone, Debug, Serialize)]
pub struct AwaitOp {
    /// Where its samples go.
    pub slot: usize,
    /// Place of the socket.
    pub socket: usize,
    /// What it looks like.
    pub expect: ExpectOp,
    /// Variables taken from it.
    pub captures: Vec<CaptureOp>,
}

/// What a message must look like.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectOp {
    /// Text in it.
    pub contains: Option<Template>,
    /// JSON pointers and what stands there.
    pub json: Vec<(String, Template)>,
    /// What matches somewhere in it.
    #[serde(serialize_with = "as_pattern")]
    pub matches: Option<Regex>,
    /// Whether it is a binary message.
    pub binary: Option<bool>,
    /// Its length, bytes.
    pub length: Option<u64>,
    /// Time limit.
    pub within: Duration,
}

fn as_pattern<S: serde::Serializer>(
    pattern: &Option<Regex>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    pattern.as_ref().map(Regex::as_str).serialize(serializer)
}
