//! The scenario as the user wrote it, typed: what load, on what target, what memory watch, what
//! thresholds. Pure.
//!
//! In: the text of a TOML file. Out: a [`Scenario`], or all faults of the text, each with its
//! line and its cure. Files that it names, and the base URL of a target that ebb starts, are
//! left to the caller; what the load amounts to in bytes and time is left to [`crate::plan`].

mod control;
mod document;
mod exchange;
mod feeder;
mod flow;
mod once;
pub mod protocol;
mod reader;
pub mod realtime;
pub mod socketio;
pub(crate) mod step;
pub mod transport;
pub mod units;
pub(crate) mod verify;

pub use crate::check::{Capture, Check, Predicate};
pub use crate::threshold::ThresholdText;
pub use control::{Choice, Condition, Control, Test};
pub use exchange::{Auth, BodyPiece, HttpStep, Inherited};
pub use feeder::Rows;
pub(crate) use flow::RATE_MAX;

pub(crate) use once::sets;

use crate::feeder::{Exhausted, Pick, Table};
use crate::template::Template;
use ebbtide_record::{Kind, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use transport::Transport;

/// The only version of the scenario form there is.
pub const SCHEMA: u64 = 1;

/// The seed of a scenario that names none: runs can be compared without asking.
pub const SEED_DEFAULT: u64 = 1;

/// A scenario file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    /// Its name; the file's stem when it gives none.
    pub name: String,
    /// The file as the user named it.
    pub file: String,
    /// Seed of everything random.
    pub seed: u64,
    /// What is loaded.
    pub target: Target,
    /// Flows by name, what k6 calls scenarios.
    pub flows: BTreeMap<String, Flow>,
    /// Rounds, when memory is watched.
    pub memory: Option<MemoryWatch>,
    /// Load at the start that is not measured.
    pub warmup: Duration,
    /// Conditions on the summary.
    pub thresholds: Vec<ThresholdText>,
    /// Data that users work with, by name.
    pub feeders: BTreeMap<String, Feeder>,
    /// What is done once before the load.
    pub setup: Option<Once>,
    /// What is done once after the load.
    pub teardown: Option<Once>,
    /// Environment variables that go before those of the process.
    pub env: BTreeMap<String, String>,
    /// Files that it names, by path as written.
    pub files: BTreeMap<String, WantedFile>,
}

/// A file that a scenario names, and what is in it once it has been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedFile {
    /// Line that names it first, from 1.
    pub line: usize,
    /// Place in the file that names it: `flow.a.steps[0].file`.
    pub place: String,
    /// Its bytes; none until [`crate::files::read`].
    pub bytes: Option<Arc<[u8]>>,
}

/// Data that users work with.
#[derive(Clone, Debug, PartialEq)]
pub struct Feeder {
    /// Where its rows are.
    pub rows: Rows,
    /// Which row an iteration gets.
    pub pick: Pick,
    /// What happens once a user has none left.
    pub when_exhausted: Exhausted,
    /// Line of the table in the file, from 1.
    pub line: usize,
    /// Its rows once they are read, or what is wrong with them.
    pub(crate) table: OnceLock<Result<Arc<Table>, String>>,
}

/// What is done once before or after the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Once {
    /// What is done.
    pub steps: Vec<Step>,
    /// How long it may take.
    pub timeout: Duration,
    /// Line of the table in the file, from 1.
    pub line: usize,
}

/// What a document provides for the steps of all flows.
#[derive(Default)]
pub(crate) struct Provided<'a, 't> {
    /// Lists of steps that may be used.
    pub(crate) lists: step::Lists<'a, 't>,
    /// Tables of data.
    pub(crate) feeders: BTreeMap<String, Feeder>,
    /// Variables that setup sets; none when there is no setup.
    pub(crate) setup: Option<Vec<String>>,
}

/// What is loaded, and how its heap is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Target {
    /// URL of a target that runs already: `http://127.0.0.1:8080`.
    pub base: Option<String>,
    /// Command that starts the target; `${port}` in it stands for a free port.
    pub command: Vec<String>,
    /// Path that answers with success once the target is ready.
    pub ready: Option<String>,
    /// Process whose memory is watched.
    pub pid: Option<u32>,
    /// URL of a pprof heap profile.
    pub pprof: Option<String>,
    /// WebSocket URL of a Node inspector.
    pub inspector: Option<String>,
    /// Where heap snapshots come from.
    pub heap: HeapSource,
    /// Environment of the command.
    pub env: BTreeMap<String, String>,
    /// Path prefixes of sources that count as the user's own.
    pub own: Vec<String>,
    /// How bytes reach it.
    pub transport: Transport,
    /// What all HTTP steps inherit.
    pub inherited: Inherited,
    /// What is spoken on connections, and who shares them.
    pub protocol: protocol::Protocol,
}

/// Where heap snapshots come from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeapSource {
    /// Whatever the target offers, best first.
    #[default]
    Auto,
    /// The probe's admin listener or its snapshot folder.
    Probe,
    /// A pprof URL.
    Pprof,
    /// A Node inspector.
    Node,
    /// A signal that makes the target write a snapshot.
    Signal,
    /// No heap: resident memory alone.
    Rss,
}

/// Rounds of load with a snapshot after each.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryWatch {
    /// Rounds that fill what fills once.
    pub warmup_rounds: u32,
    /// Measured rounds.
    pub rounds: u32,
    /// Measured rounds at most, while undecided.
    pub max_rounds: u32,
    /// Operations in each round, over all flows.
    pub operations_per_round: u64,
    /// The target counts as settled once nothing moved for so long.
    pub settle_quiet: Duration,
    /// It is given up for this round after so long.
    pub settle_timeout: Duration,
    /// Replay rounds are driven too.
    pub replay: bool,
    /// Mean bytes between two heap samples.
    pub sample_interval_bytes: u64,
    /// Growth of no interest, bytes per operation, by operation; `*` for all others.
    pub limit: BTreeMap<String, f64>,
    /// Verdicts that fail the run.
    pub fail_on: Vec<Verdict>,
    /// Sites known to be bounded, with their bound in bytes, by a part of their name.
    pub bounded: BTreeMap<String, u64>,
    /// Kind of a site by a part of a frame's name.
    pub kinds: BTreeMap<String, Kind>,
}

impl Default for MemoryWatch {
    fn default() -> Self {
        Self {
            warmup_rounds: 2,
            rounds: 8,
            max_rounds: 32,
            operations_per_round: 20_000,
            settle_quiet: Duration::from_millis(500),
            settle_timeout: Duration::from_secs(10),
            replay: true,
            sample_interval_bytes: 64 * 1024,
            limit: BTreeMap::from([("*".to_owned(), 16.0)]),
            fail_on: vec![Verdict::Leaking, Verdict::Growing],
            bounded: BTreeMap::new(),
            kinds: BTreeMap::new(),
        }
    }
}

/// Steps, and who takes them when.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// What starts iterations.
    pub executor: Executor,
    /// Wait before the first iteration.
    pub start_time: Duration,
    /// Time that iterations have to end by themselves once the load is over.
    pub graceful_stop: Duration,
    /// Tags of all its samples.
    pub tags: BTreeMap<String, String>,
    /// Environment variables of its own.
    pub env: BTreeMap<String, String>,
    /// Connections are closed at the end of each iteration.
    pub per_iteration: bool,
    /// What its steps inherit.
    pub inherited: Inherited,
    /// One iteration.
    pub steps: Vec<Step>,
    /// Line of the flow in the file, from 1.
    pub line: usize,
}

/// What starts iterations, by k6's names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "executor", rename_all = "kebab-case")]
pub enum Executor {
    /// So many users, each starting the next iteration when the last has ended.
    ConstantVus {
        /// Virtual users.
        vus: u32,
        /// How long.
        duration: Duration,
    },
    /// The same with a number of users that follows `stages`.
    RampingVus {
        /// Users at the start.
        start_vus: u32,
        /// Linear pieces; `target` is in users.
        stages: Vec<Stage>,
        /// Time that the iteration of a user has to end once the ramp has no place for it.
        graceful_ramp_down: Duration,
    },
    /// So many iterations, taken by whoever is free.
    SharedIterations {
        /// Virtual users.
        vus: u32,
        /// Iterations of all users together.
        iterations: u64,
        /// Time limit.
        max_duration: Duration,
    },
    /// So many iterations for each user.
    PerVuIterations {
        /// Virtual users.
        vus: u32,
        /// Iterations of each user.
        iterations: u64,
        /// Time limit.
        max_duration: Duration,
    },
    /// Iterations started at a fixed rate, whether or not earlier ones have ended.
    ConstantArrivalRate {
        /// Iterations per `time_unit`.
        rate: f64,
        /// What the rate counts per.
        time_unit: Duration,
        /// How long.
        duration: Duration,
        /// Users there are and may be.
        pool: VuPool,
        /// How arrivals come.
        arrivals: Arrivals,
    },
    /// The same at a rate that follows `stages`.
    RampingArrivalRate {
        /// Rate at the start.
        start_rate: f64,
        /// What rates count per.
        time_unit: Duration,
        /// Linear pieces; `target` is a rate.
        stages: Vec<Stage>,
        /// Users there are and may be.
        pool: VuPool,
        /// How arrivals come.
        arrivals: Arrivals,
    },
}

/// How the arrivals of an open flow come at a given rate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Even,
    /// As those of users who know nothing of each other: at distances drawn from the seed,
    /// exponentially distributed.
    Poisson,
}

/// Users of an open flow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct VuPool {
    /// Users made before the load begins.
    pub pre_allocated: u32,
    /// Users at most.
    pub max: u32,
    /// Arrivals that may wait for a free user.
    pub queue: u32,
}

/// One linear piece of a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Its length.
    pub duration: Duration,
    /// The value at its end.
    pub target: f64,
}

/// One step of an iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is done.
    pub verb: Verb,
    /// The operation's name, where the user gave one.
    pub name: Option<String>,
    /// Tags of its samples.
    pub tags: BTreeMap<String, String>,
    /// Line of the step in the file, from 1.
    pub line: usize,
}

impl Step {
    /// The operation's name: the user's, or what the step amounts to.
    #[must_use]
    pub fn named(&self, default: String) -> String {
        self.name.clone().unwrap_or(default)
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// An HTTP exchange.
    Http(Box<HttpStep>),
    /// HTTP exchanges side by side.
    Parallel(Vec<Step>),
    /// Opens a WebSocket, unless the user's socket of that name is open.
    Connect(Box<ConnectStep>),
    /// Sends a WebSocket message, and may wait for one.
    Send(Box<SendStep>),
    /// Waits for a WebSocket message.
    Await(AwaitStep),
    /// Takes messages for a while, and measures delivery of stamped ones.
    Listen {
        /// The socket; none when there is but one.
        on: Option<String>,
        /// How long.
        length: Span,
    },
    /// Sends a ping and waits for its pong.
    Ping {
        /// The socket; none when there is but one.
        on: Option<String>,
        /// Time limit of the pong.
        within: Duration,
    },
    /// Closes a WebSocket and waits for the peer's close.
    Close {
        /// The socket; none when there is but one.
        on: Option<String>,
        /// Close code.
        code: u16,
        /// Reason beside it.
        reason: String,
    },
    /// Does something with a Socket.IO client.
    Sio(Box<socketio::SioStep>),
    /// Waits.
    Think(Span),
    /// Repeats steps.
    Repeat {
        /// How often.
        count: u32,
        /// What.
        steps: Vec<Step>,
    },
    /// Decides which steps are taken, how often, and under what name.
    Control(Control),
}

/// A length of time, fixed or drawn evenly from a range.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Span {
    /// At least.
    pub low: Duration,
    /// At most.
    pub high: Duration,
}

/// A WebSocket handshake.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectStep {
    /// Path on the base.
    pub url: Template,
    /// Name of the socket.
    pub socket: String,
    /// Headers.
    pub headers: Vec<(String, Template)>,
    /// Subprotocols offered.
    pub protocols: Vec<String>,
    /// Time limit.
    pub timeout: Duration,
    /// The socket is closed at the end of the iteration.
    pub per_iteration: bool,
    /// How it is opened again when it is lost; none to leave it to the next `connect`.
    pub reconnect: Option<realtime::Reconnect>,
}

/// A WebSocket message out.
#[derive(Clone, Debug, PartialEq)]
pub struct SendStep {
    /// The socket; none when there is but one.
    pub on: Option<String>,
    /// The message.
    pub payload: realtime::Payload,
    /// It carries a stamp, which lets listeners measure delivery.
    pub stamp: bool,
    /// Recipients that one message should reach.
    pub expect: Option<realtime::Expected>,
    /// Messages sent at once, in as few writes as they fit.
    pub burst: u32,
    /// The message waited for.
    pub reply: Option<Expectation>,
}

/// A WebSocket message waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct AwaitStep {
    /// The socket; none when there is but one.
    pub on: Option<String>,
    /// What it looks like.
    pub expectation: Expectation,
    /// Variables taken from it.
    pub captures: Vec<Capture>,
}

/// What a message must look like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectation {
    /// Text in it.
    pub contains: Option<Template>,
    /// JSON pointers and what stands there.
    pub json: Vec<(String, Template)>,
    /// A regular expression that matches somewhere in it.
    pub matches: Option<String>,
    /// Whether it is a binary message.
    pub binary: Option<bool>,
    /// Its length, bytes.
    pub length: Option<u64>,
    /// Time limit.
    pub within: Duration,
}
