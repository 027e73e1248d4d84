//! The plan: a scenario resolved against the address of its target, with requests prepared.
//!
//! In: a [`Scenario`] and a base URL, or a [`Quick`] order. Out: an immutable [`Plan`] that all
//! engine threads share: flat programs of [`Op`]s, and the slots that their samples go to. When
//! iterations start is left to [`crate::schedule`], what happens in them to the engine.

mod compile;
mod control;
mod feed;
mod op;
mod quick;
mod socketio;

pub use control::{ConditionOp, ControlOp, TestOp};
pub use feed::{FeedPlan, FeederPlan, Part};
pub use op::{
    AwaitOp, BodyOp, CaptureOp, ConnectOp, ExpectOp, Heads, HttpOp, Op, Prepared, SendOp,
};
pub use quick::{Quick, Talk};
pub use socketio::{AckOp, AwaitEventOp, ClientPlan, EmitOp, SioConnectOp, SioOp};

use crate::fault::{Fault, Faults};
use crate::scenario::protocol::Protocol;
use crate::scenario::realtime::Reconnect;
use crate::scenario::transport::Transport;
use crate::scenario::{Executor, Scenario, ThresholdText};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
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
    /// How bytes get there.
    pub transport: Transport,
    /// What is spoken on connections, and who shares them.
    pub protocol: Protocol,
    /// Load at the start that is not measured. Flows of a constant load are that much longer.
    pub warmup: Duration,
    /// Conditions on the summary.
    pub thresholds: Vec<ThresholdText>,
    /// Flows, in the order of their names.
    pub flows: Vec<FlowPlan>,
    /// What samples are counted under.
    pub slots: Vec<Slot>,
    /// Names of checks, with the slot of their step.
    pub checks: Vec<CheckName>,
    /// Some messages carry a stamp.
    pub stamps: bool,
    /// Reasons for which steps let an iteration fail.
    pub reasons: Vec<String>,
    /// Tables of data.
    pub feeders: Vec<FeederPlan>,
}

/// Where the target is.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Address {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// It speaks TLS.
    pub tls: bool,
    /// What stands in the `Host` header.
    pub authority: String,
    /// What stands before each path.
    pub prefix: String,
}

/// What samples of one step, or of one flow, are counted under.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
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
    /// Groups of steps.
    Group,
    /// Socket.IO clients connected to their namespace.
    SioConnect,
    /// Socket.IO events out, with their acknowledgements where those are awaited.
    Emit,
    /// Socket.IO events awaited.
    SioAwait,
    /// Socket.IO clients closed.
    SioClose,
}

impl SlotKind {
    /// Whether it is something the target is asked to do.
    #[must_use]
    pub fn is_operation(self) -> bool {
        use SlotKind::{Close, Connect, Emit, Http, Ping, Send, SioClose, SioConnect};
        matches!(self, Http | Connect | Send | Ping | Close | SioConnect | Emit | SioClose)
    }
}

/// A check's name, and where it belongs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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
    /// Socket.IO clients, by place.
    pub clients: Vec<ClientPlan>,
    /// The program of one iteration.
    pub ops: Vec<Op>,
    /// Nested loops at most.
    pub loops: usize,
    /// How often each operation happens in one iteration.
    pub operations: BTreeMap<String, f64>,
    /// Users keep the cookies they are given.
    pub cookies: bool,
    /// They keep them from iteration to iteration.
    pub keep_cookies: bool,
    /// What it is for.
    pub part: Part,
    /// What it reads of tables.
    pub feeds: Vec<FeedPlan>,
    /// Places of variables, and what of setup they are filled from.
    pub given: Vec<(usize, String)>,
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
    /// Slot of the stamped messages it receives, if a step listens on it.
    pub delivery_slot: Option<usize>,
    /// How it is opened again when it is lost.
    pub reopen: Option<Box<Reopen>>,
    /// Tags of the step that opens it.
    #[serde(skip)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// How a lost socket is opened again.
#[derive(Clone, Debug, Serialize)]
pub struct Reopen {
    /// When.
    pub policy: Reconnect,
    /// The handshake.
    pub connect: ConnectOp,
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
            base: without_credentials(base),
            address,
            transport: scenario.target.transport.clone(),
            protocol: scenario.target.protocol,
            warmup: scenario.warmup,
            thresholds: scenario.thresholds.clone(),
            ..Self::default()
        };
        let mut faults: Vec<Fault> = Vec::new();
        let mut note = |line: usize, path: String, what: String| {
            faults.push(scenario.fault(line, &path, what));
        };
        compile::tables(&mut plan, scenario, &mut note);
        for (name, flow) in &scenario.flows {
            compile::flow(&mut plan, scenario, (name, flow), (base, &mut note));
        }
        for (part, once) in [(Part::Setup, &scenario.setup), (Part::Teardown, &scenario.teardown)] {
            if let Some(once) = once {
                compile::once(&mut plan, scenario, (part, once), (base, &mut note));
            }
        }
        compile::share(&mut plan, scenario, &mut note);
        if faults.is_empty() { Ok(plan) } else { Err(Faults { list: faults }) }
    }

    /// How often each operation happens in one iteration of a flow, by name. A connection that
    /// stays with its user counts as 0.
    #[must_use]
    pub fn operations_per_iteration(&self, flow: &str) -> BTreeMap<String, f64> {
        let found = self.flows.iter().find(|candidate| candidate.name == flow);
        found.map(|flow| flow.operations.clone()).unwrap_or_default()
    }

    /// What tells it from other plans: 16 hexadecimal digits of FNV-1a over all that is in it.
    /// The same for all segments of one load, and for the same version of the tool alone.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Fnv(0xCBF2_9CE4_8422_2325);
        // Hashing cannot fail.
        let _ = write!(hash, "{self:?}");
        format!("{:016x}", hash.0)
    }

    /// The flows that are the load.
    fn load(&self) -> impl Iterator<Item = &FlowPlan> {
        self.flows.iter().filter(|flow| flow.part == Part::Load)
    }

    /// Names of the flows, in order.
    pub fn flows(&self) -> impl Iterator<Item = &str> {
        self.load().map(|flow| flow.name.as_str())
    }

    /// Whether there is something to do in a part of the run.
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        self.flows.iter().any(|flow| flow.part == part)
    }

    /// Whether the load reads what setup leaves behind.
    #[must_use]
    pub fn needs_setup(&self) -> bool {
        self.load().any(|flow| !flow.given.is_empty())
    }

    /// Whether any flow starts its iterations by the clock.
    #[must_use]
    pub fn is_open_model(&self) -> bool {
        self.load().any(|flow| flow.executor.is_open())
    }

    /// Length of the load as planned, without graceful stops; none when counts decide.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        let lengths = self.load().map(|flow| Some(flow.start_time + flow.executor.length()?));
        lengths.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

/// The base URL as it may be shown.
fn without_credentials(base: &str) -> String {
    let shown = base.trim_end_matches('/');
    let (Some((scheme, rest)), true) = (shown.split_once("://"), shown.contains('@')) else {
        return shown.to_owned();
    };
    let (_, host) = compile::split_credentials(rest);
    format!("{scheme}://{host}")
}

/// FNV-1a of 64 bits (Fowler, Noll and Vo).
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        Ok(())
    }
}

impl Executor {
    /// Whether iterations start by the clock.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::ConstantArrivalRate { .. } | Self::RampingArrivalRate { .. })
    }

    /// Users that number their iterations each for itself; 0 when iterations have numbers over
    /// the whole flow. `counted` is a pass whose iterations are given out to users beforehand.
    #[must_use]
    pub fn stride(&self, counted: bool) -> u64 {
        match self {
            Self::ConstantArrivalRate { .. } | Self::RampingArrivalRate { .. } => 0,
            Self::SharedIterations { .. } if !counted => 0,
            _ => u64::from(crate::schedule::vus_max(self)),
        }
    }

    /// The same with a stretch before it that is not measured: where the load is constant, it is
    /// that much longer; a ramp and a count stay what they are, and begin unmeasured.
    #[must_use]
    pub fn after(mut self, warmup: Duration) -> Self {
        if let Self::ConstantVus { duration, .. } | Self::ConstantArrivalRate { duration, .. } =
            &mut self
        {
            *duration += warmup;
        }
        self
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
    /// Parses `http://host:port`, `ws://host:port` or the same with TLS (`https`, `wss`), with an
    /// optional path before all paths.
    ///
    /// # Errors
    /// What is wrong with it, with its cure.
    pub fn parse(base: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{base}` is not a URL that can be loaded: {why}");
        let url = Url::parse(base)
            .map_err(|cause| bad(&format!("{cause} (write `http://127.0.0.1:8080`)")))?;
        let tls = match url.scheme() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            scheme => {
                let why = format!("scheme `{scheme}` is unknown (use `http://` or `ws://`)");
                return Err(bad(&why));
            }
        };
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
            tls,
            authority,
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }
}
