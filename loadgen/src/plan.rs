//! The plan: a scenario resolved against the address of its target, with requests prepared.
//!
//! In: a [`Scenario`] and a base URL, or a [`Quick`] order. Out: an immutable [`Plan`] that all
//! engine threads share: flat programs of [`Op`]s, and the slots that their samples go to. When
//! iterations start is left to [`crate::schedule`], what happens in them to the engine.

mod compile;
mod quick;

pub use quick::Quick;

use crate::fault::{Fault, Faults};
use crate::scenario::{Executor, Predicate, Scenario, Span, ThresholdText};
use crate::template::Template;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// A scenario resolved.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// Name of the scenario.
    pub name: String,
    /// Seed of everything random.
    pub seed: u64,
    /// What is loaded.
    pub base: String,
    /// Where it is.
    pub address: Address,
    /// Conditions on the summary.
    pub thresholds: Vec<ThresholdText>,
    /// Flows, in the order of their names.
    pub flows: Vec<FlowPlan>,
    /// What samples are counted under.
    pub slots: Vec<Slot>,
    /// Names of checks, with the slot of their step.
    pub checks: Vec<CheckName>,
}

/// Where the target is.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Address {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What stands in the `Host` header.
    pub authority: String,
    /// What stands before each path.
    pub prefix: String,
}

/// What samples of one step, or of one flow, are counted under.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Slot {
    /// Place of the flow.
    pub flow: usize,
    /// Name of the operation, or of the flow.
    pub name: String,
    /// What is measured.
    pub kind: SlotKind,
    /// Tags: those of the flow and the step, `name`, `flow`, `scenario` (k6's word for a flow).
    pub tags: BTreeMap<String, String>,
}

/// What is measured in a slot.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotKind {
    /// Iterations of a flow.
    Flow,
    /// HTTP exchanges.
    Http,
    /// WebSocket handshakes.
    Connect,
    /// WebSocket messages out, with their replies where those are awaited.
    Send,
    /// WebSocket messages awaited by a step of their own.
    Await,
    /// Messages taken for a while.
    Listen,
    /// Pings.
    Ping,
    /// WebSocket closes.
    Close,
}

impl SlotKind {
    /// Whether it is something the target is asked to do.
    #[must_use]
    pub fn is_operation(self) -> bool {
        matches!(self, Self::Http | Self::Connect | Self::Send | Self::Ping | Self::Close)
    }
}

/// A check's name, and where it belongs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CheckName {
    /// As in the summary: `status is 200`.
    pub name: String,
    /// Slot of the step.
    pub slot: usize,
}

/// A flow resolved.
#[derive(Clone, Debug, Serialize)]
pub struct FlowPlan {
    /// Its name.
    pub name: String,
    /// What starts iterations.
    #[serde(flatten)]
    pub executor: Executor,
    /// Wait before the first iteration.
    pub start_time: Duration,
    /// Time that iterations have to end by themselves.
    pub graceful_stop: Duration,
    /// Slot of its iterations.
    pub slot: usize,
    /// Names of captures, by place.
    pub captures: Vec<String>,
    /// Sockets, by place.
    pub sockets: Vec<SocketPlan>,
    /// The program of one iteration.
    pub ops: Vec<Op>,
    /// Nested loops at most.
    pub loops: usize,
    /// How often each operation happens in one iteration.
    pub operations: BTreeMap<String, f64>,
}

/// A socket of a flow.
#[derive(Clone, Debug, Serialize)]
pub struct SocketPlan {
    /// Its name.
    pub name: String,
    /// Slot of closes that no step asks for.
    pub close_slot: usize,
    /// It is closed at the end of each iteration.
    pub per_iteration: bool,
}

/// One instruction of an iteration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// An HTTP exchange.
    Http(Box<HttpOp>),
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
    },
    /// Waits.
    Think(Span),
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
        body: Option<Template>,
    },
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
    /// Predicates, with their place in [`Plan::checks`].
    #[serde(skip)]
    pub checks: Vec<(usize, Predicate)>,
    /// Places of captures, and JSON pointers.
    pub captures: Vec<(usize, String)>,
    /// The reply's body is looked at.
    pub needs_body: bool,
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
    pub message: Template,
    /// It carries a stamp.
    pub stamp: bool,
    /// Deliveries it should lead to.
    pub expect: u64,
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
    /// Places of captures, and JSON pointers.
    pub captures: Vec<(usize, String)>,
}

/// What a message must look like.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectOp {
    /// Text in it.
    pub contains: Option<Template>,
    /// JSON pointers and what stands there.
    pub json: Vec<(String, Template)>,
    /// Time limit.
    pub within: Duration,
}

impl Plan {
    /// Resolves a scenario against the base URL of its target.
    ///
    /// # Errors
    /// All faults found, each with its place.
    pub fn resolve(scenario: &Scenario, base: &str) -> Result<Self, Faults> {
        let address = Address::parse(base)
            .map_err(|what| Faults { list: vec![scenario.fault(0, "target.base", what)] })?;
        let mut plan = Self {
            name: scenario.name.clone(),
            seed: scenario.seed,
            base: base.trim_end_matches('/').to_owned(),
            address,
            thresholds: scenario.thresholds.clone(),
            ..Self::default()
        };
        let mut faults: Vec<Fault> = Vec::new();
        for (name, flow) in &scenario.flows {
            compile::flow(&mut plan, (name, flow), &mut |line, path, what| {
                faults.push(scenario.fault(line, &path, what));
            });
        }
        if faults.is_empty() { Ok(plan) } else { Err(Faults { list: faults }) }
    }

    /// How often each operation happens in one iteration of a flow, by name. A connection that
    /// stays with its user counts as 0.
    #[must_use]
    pub fn operations_per_iteration(&self, flow: &str) -> BTreeMap<String, f64> {
        let found = self.flows.iter().find(|candidate| candidate.name == flow);
        found.map(|flow| flow.operations.clone()).unwrap_or_default()
    }

    /// Names of the flows, in order.
    pub fn flows(&self) -> impl Iterator<Item = &str> {
        self.flows.iter().map(|flow| flow.name.as_str())
    }

    /// Whether any flow starts its iterations by the clock.
    #[must_use]
    pub fn is_open_model(&self) -> bool {
        self.flows.iter().any(|flow| flow.executor.is_open())
    }

    /// Length of the load as planned, without graceful stops; none when counts decide.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        let lengths = self.flows.iter().map(|flow| Some(flow.start_time + flow.executor.length()?));
        lengths.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

impl Executor {
    /// Whether iterations start by the clock.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::ConstantArrivalRate { .. } | Self::RampingArrivalRate { .. })
    }

    /// When no more iterations are started, whatever their count.
    #[must_use]
    pub fn time_limit(&self) -> Duration {
        match self {
            Self::SharedIterations { max_duration, .. }
            | Self::PerVuIterations { max_duration, .. } => *max_duration,
            _ => self.length().unwrap_or_default(),
        }
    }

    /// How long iterations are started; none when a count decides.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        match self {
            Self::ConstantVus { duration, .. } | Self::ConstantArrivalRate { duration, .. } => {
                Some(*duration)
            }
            Self::RampingVus { stages, .. } | Self::RampingArrivalRate { stages, .. } => {
                Some(stages.iter().map(|stage| stage.duration).sum())
            }
            Self::SharedIterations { .. } | Self::PerVuIterations { .. } => None,
        }
    }
}

impl Address {
    /// Parses `http://host:port` or `ws://host:port`, with an optional path before all paths.
    ///
    /// # Errors
    /// What is wrong with it, with its cure.
    pub fn parse(base: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{base}` is not a URL that can be loaded: {why}");
        let url = Url::parse(base)
            .map_err(|cause| bad(&format!("{cause} (write `http://127.0.0.1:8080`)")))?;
        match url.scheme() {
            "http" | "ws" => {}
            "https" | "wss" => return Err(bad("TLS is not built yet (use `http://` or `ws://`)")),
            scheme => {
                let why = format!("scheme `{scheme}` is unknown (use `http://` or `ws://`)");
                return Err(bad(&why));
            }
        }
        let host = url.host_str().ok_or_else(|| bad("it has no host"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        if port == 0 {
            return Err(bad("port 0 cannot be connected to (give the port it listens on)"));
        }
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority,
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }
}
