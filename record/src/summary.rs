//! What a run amounts to: k6's `handleSummary` shape at the top, and one object of ours.
//! In: a [`State`] and nothing else, so that a run cut short by a kill can be summed up as well.
//! Out: the document. Writing it is left to others.

use crate::event::{CheckCount, Warning};
pub use crate::generator::{GENERATOR_SATURATED, Generator, SEGMENTS_MISSING};
use crate::metric::Metrics;
use crate::state::State;
use crate::verdict::MemoryVerdict;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The name and version of our object.
pub const SCHEMA: &str = "ebbtide/summary/1";

/// `summary.json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Summary {
    /// k6's metrics.
    pub metrics: Metrics,
    /// k6's tree of groups; ours has the root alone, with its checks.
    pub root_group: RootGroup,
    /// k6's options, as far as they apply.
    pub options: BTreeMap<String, Value>,
    /// k6's state of the run.
    pub state: RunState,
    /// What k6 has no place for.
    pub ebbtide: Ours,
}

/// The root group, in k6's words.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RootGroup {
    /// Empty for the root.
    pub name: String,
    /// Empty for the root.
    pub path: String,
    /// Groups inside it.
    pub groups: Vec<Value>,
    /// Checks.
    pub checks: Vec<Check>,
}

/// A check, in k6's words.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its path, `::name`.
    pub path: String,
    /// It held.
    pub passes: u64,
    /// It did not.
    pub fails: u64,
}

/// The state of the run, in k6's words.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RunState {
    /// Standard error is a terminal.
    pub is_std_err_tty: bool,
    /// Standard output is a terminal.
    pub is_std_out_tty: bool,
    /// Length of the run, milliseconds.
    pub test_run_duration_ms: f64,
}

/// What k6 has no place for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Ours {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of the tool.
    pub version: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The command line that reproduces the run.
    pub command: Vec<String>,
    /// The run was cut short.
    pub partial: bool,
    /// The exit code that won.
    pub exit_code: i32,
    /// All exit codes that held.
    pub exit_codes: Vec<i32>,
    /// Latencies of all exchanges, milliseconds.
    pub latency: Latency,
    /// Failed exchanges by reason.
    pub errors: BTreeMap<String, u64>,
    /// Operations by name.
    pub operations: BTreeMap<String, u64>,
    /// How the generator itself fared.
    pub generator: Generator,
    /// Doubts about the measurement.
    pub warnings: Vec<Warning>,
    /// What was found in memory.
    pub memory: MemoryVerdict,
}

/// Latencies of all exchanges. Corrected ones exist in the open model alone.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Latency {
    /// From the intended start, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<crate::metric::Values>,
    /// From the actual start, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncorrected: Option<crate::metric::Values>,
}

impl Summary {
    /// Sums up what has happened so far.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let trend = |name: &str| state.metrics.get(name).map(|metric| metric.values.clone());
        let started = state.started.clone().unwrap_or_default();
        Self {
            metrics: state.metrics.clone(),
            root_group: RootGroup { checks: checks(&state.checks), ..RootGroup::default() },
            options: BTreeMap::new(),
            state: RunState { test_run_duration_ms: state.now_ms as f64, ..RunState::default() },
            ebbtide: Ours {
                schema: SCHEMA.to_owned(),
                version: started.version,
                seed: started.seed,
                command: started.command,
                partial: state.ended.as_ref().is_none_or(|ended| ended.partial),
                exit_code: state.ended.as_ref().map_or(1, |ended| ended.exit_code),
                exit_codes: state
                    .ended
                    .as_ref()
                    .map(|ended| ended.exit_codes.clone())
                    .unwrap_or_default(),
                latency: Latency {
                    corrected: trend("http_req_latency").or_else(|| trend("iteration_latency")),
                    uncorrected: trend("http_req_duration").or_else(|| trend("ws_msg_rtt")),
                },
                errors: state.errors.clone(),
                operations: state.operations.clone(),
                generator: state.generator(),
                warnings: state.warnings.clone(),
                memory: state.memory.clone(),
            },
        }
    }
}

fn checks(counts: &BTreeMap<String, CheckCount>) -> Vec<Check> {
    counts
        .iter()
        .map(|(name, count)| Check {
            name: name.clone(),
            path: format!("::{name}"),
            passes: count.passes,
            fails: count.fails,
        })
        .collect()
}
