//! What happens in a run, one line of `events.ndjson` each. Fields are added, never changed in
//! meaning; a reader ignores what it does not know, a type of event too.
//! In: nothing. Out: a closed list of events. Writing and reading the log is left to `rounds`.

use crate::census::CensusCount;
use crate::kind::Kind;
use crate::metric::Metrics;
pub use crate::round::{Phase, RoundKind};
use crate::verdict::MemoryVerdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version written as `v`.
pub const VERSION: u32 = 1;

/// One line of the log.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Event {
    /// [`VERSION`].
    pub v: u32,
    /// Counts the events of a run, from 0, without a gap.
    pub seq: u64,
    /// Milliseconds since the run began, by a clock that does not step.
    pub t_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    /// The run began.
    RunStarted(Box<RunStarted>),
    /// A phase of a round began.
    Phase(PhaseStart),
    /// One second of load, or what was left of it.
    Interval(Box<Interval>),
    /// All metrics since the start, every ten seconds and at the end of each phase of load.
    Metrics(MetricsSoFar),
    /// What the target's memory was at one moment.
    Memory(Box<MemoryPoint>),
    /// A snapshot was taken.
    Snapshot(Box<SnapshotTaken>),
    /// Something that should have been observed was not.
    Missed(Missed),
    /// The measurement itself is in doubt.
    Warning(Warning),
    /// The series was judged.
    Verdict(Box<MemoryVerdict>),
    /// The run ended.
    RunEnded(RunEnded),
    /// A type that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The run began.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RunStarted {
    /// Version of the tool.
    pub version: String,
    /// Name of the scenario, or the URL.
    pub name: String,
    /// The command line that reproduces the run.
    pub command: Vec<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// Unix milliseconds.
    pub at_unix_ms: u64,
    /// What is loaded: a base URL, or empty when nothing is.
    pub base: String,
    /// The command that was started as the target; empty when it ran already.
    pub target_command: Vec<String>,
    /// The target's process, where it is known.
    pub target_pid: Option<u32>,
    /// Rounds planned; 0 when memory is not watched.
    pub warmup_rounds: u32,
    /// Measured rounds planned at first.
    pub rounds: u32,
    /// Measured rounds at most.
    pub max_rounds: u32,
    /// Planned length of the load, seconds, where it is known.
    pub duration_s: Option<f64>,
    /// Cores, kernel and the like, for the reader of a report.
    pub host: BTreeMap<String, String>,
}

/// A phase of a round began.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct PhaseStart {
    /// From 0, warm-up rounds included.
    pub round: u32,
    /// Why the round is driven.
    pub kind: RoundKind,
    /// The phase.
    pub phase: Phase,
}

/// Percentiles of a latency, milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Quantiles {
    /// Values counted.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 % are at most this.
    pub p90: f64,
    /// 99 % are at most this.
    pub p99: f64,
    /// 99.9 % are at most this.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

/// One second of load, or what was left of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Interval {
    /// Its length, milliseconds.
    pub duration_ms: f64,
    /// Iterations that were due; absent in the closed model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<u64>,
    /// Iterations completed.
    pub iterations: u64,
    /// Exchanges completed (HTTP requests, awaited WebSocket messages), failed ones included.
    pub requests: u64,
    /// Exchanges that failed, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// Iterations due that found no free virtual user.
    pub dropped: u64,
    /// Virtual users at its end.
    pub vus: u64,
    /// WebSocket messages sent.
    pub messages_sent: u64,
    /// WebSocket messages received.
    pub messages_received: u64,
    /// Bytes written.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// From the actual start.
    pub latency: Quantiles,
    /// From the intended start; absent in the closed model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Quantiles>,
    /// Delivery of stamped messages; absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Quantiles>,
    /// CPU of the generator's threads, as a share of the threads' time (0 to 1).
    pub generator_cpu: f64,
    /// 99 % of iterations started at most this late, milliseconds.
    pub late_start_p99_ms: f64,
}

/// All metrics since the start.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct MetricsSoFar {
    /// By name.
    pub metrics: Metrics,
    /// Failed exchanges by reason.
    pub errors: BTreeMap<String, u64>,
    /// Checks by name.
    pub checks: BTreeMap<String, CheckCount>,
    /// Operations by name.
    pub operations: BTreeMap<String, u64>,
    /// Milliseconds of load these were measured over.
    pub measured_ms: f64,
}

/// How often a check held.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct CheckCount {
    /// It held.
    pub passes: u64,
    /// It did not.
    pub fails: u64,
}

/// What the target's memory was at one moment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct MemoryPoint {
    /// Resident set, bytes.
    pub rss_bytes: Option<u64>,
    /// Live heap by the allocator's own count, bytes.
    pub live_bytes: Option<u64>,
    /// Requests in flight, as the target counts them.
    pub in_flight: Option<u64>,
    /// Live objects by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub census: BTreeMap<Kind, CensusCount>,
}

/// A snapshot was taken.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SnapshotTaken {
    /// Counts the snapshots of the run, from 0. The one before any load belongs to no round.
    pub index: u32,
    /// The round it ends; absent for one taken by hand or before any load.
    pub round: Option<u32>,
    /// Why that round was driven.
    pub kind: RoundKind,
    /// Path, relative to the run's folder.
    pub file: String,
    /// Operations since the start of the run, by name.
    pub operations: BTreeMap<String, u64>,
    /// Live bytes in it.
    pub live_bytes: u64,
    /// Live objects in it, where it counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_objects: Option<u64>,
    /// Resident set, bytes.
    pub rss_bytes: Option<u64>,
    /// Live heap at the end of the load, before the drain, bytes.
    pub busy_bytes: Option<u64>,
    /// Time the target took to settle, milliseconds.
    pub settled_ms: u64,
    /// The deadline passed before the target had settled.
    pub unsettled: bool,
    /// Mean bytes between two samples.
    pub sample_interval_bytes: u64,
    /// Live objects by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub census: BTreeMap<Kind, CensusCount>,
    /// Largest sites, at most [`SITES_IN_SNAPSHOT_MAX`].
    pub sites: Vec<SiteLive>,
}

/// Sites written with each snapshot, so that any two can be compared without the files.
pub const SITES_IN_SNAPSHOT_MAX: usize = 100;

/// One site in one snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SiteLive {
    /// As in [`crate::verdict::SiteVerdict::id`].
    pub id: String,
    /// Function of the site.
    pub function: String,
    /// Its source file.
    pub file: String,
    /// Its line.
    pub line: u32,
    /// What it holds.
    pub kind: Kind,
    /// Live bytes.
    pub live_bytes: f64,
    /// Live objects, where the snapshot counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_objects: Option<f64>,
}

/// Something that should have been observed was not.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Missed {
    /// What: `snapshot`, `census`, `memory`.
    pub what: String,
    /// Why, in words.
    pub reason: String,
}

/// A doubt about the measurement itself, with advice.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Warning {
    /// Stable name: `generator_saturated`.
    pub code: String,
    /// What was seen.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

/// The run ended.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RunEnded {
    /// The exit code that won.
    pub exit_code: i32,
    /// All exit codes that held.
    pub exit_codes: Vec<i32>,
    /// The run was cut short.
    pub partial: bool,
    /// Why it ended, in words; empty when it simply came to its end.
    pub reason: String,
}
