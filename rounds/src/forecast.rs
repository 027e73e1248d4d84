//! What a run with rounds would do and could see, before anything is started: its rounds with
//! their operations by name, its looks with the growth that each would show, and how long it
//! takes as far as that is known. In: a scenario and its plan. Out: numbers. Pure.
//!
//! The formula of what can be seen is the profiler's; saying it in words is left to commands.

use crate::design::Design;
use ebbtide_loadgen::Plan;
use ebbtide_loadgen::scenario::{HeapSource, MemoryWatch, Scenario};
use ebbtide_loadgen::schedule::{Schedule, vus_max};
use ebbtide_profiler::power::{self, Power};
use ebbtide_profiler::source::NODE_INTERVAL;
use ebbtide_profiler::verdict::Rules;
use ebbtide_record::RoundKind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A run with rounds, foretold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// All rounds that may be driven, warm-up rounds first.
    pub rounds: Vec<RoundForecast>,
    /// Each operation, those left out that only follow from others.
    pub operations: Vec<OperationForecast>,
    /// Measured rounds after which it is judged.
    pub looks: Vec<LookForecast>,
    /// Mean bytes between two heap samples that the scenario asks for.
    pub sample_interval_bytes: u64,
}

/// One round, foretold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundForecast {
    /// From 0, warm-up rounds included.
    pub index: u32,
    /// Why it is driven.
    pub kind: RoundKind,
    /// The round whose input it has.
    pub input_round: u32,
    /// Iterations of each flow.
    pub iterations: BTreeMap<String, u64>,
    /// Operations, by name.
    pub operations: BTreeMap<String, u64>,
    /// Length of its load, seconds; none where users wait for replies, since nobody knows how
    /// long those take.
    pub load_s: Option<f64>,
}

/// One operation, foretold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationForecast {
    /// Its name.
    pub name: String,
    /// How often it is done in a measured round, at least.
    pub least: u64,
    /// At most: the mix differs from round to round.
    pub most: u64,
    /// Growth that must be ruled out for `steady`, bytes per operation.
    pub limit_bytes: f64,
    /// Operations over all measured rounds that would show that much at the first look.
    pub needed_for_limit: f64,
}

/// One look, foretold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LookForecast {
    /// Measured rounds by then.
    pub rounds: u32,
    /// Chance of a false word that is spent on it.
    pub alpha: f64,
    /// Growth that is seen with a chance of 95 %, bytes per operation, by operation.
    pub detectable: BTreeMap<String, f64>,
    /// That is within the limit for each operation.
    pub suffices: bool,
    /// Operations of all names by then, warm-up rounds included.
    pub operations: u64,
    /// How long that takes, seconds.
    pub takes: Takes,
}

/// A length of time, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Takes {
    /// Load; none where users wait for replies.
    pub load_s: Option<f64>,
    /// Waiting for the target to be quiet, when it is at once.
    pub settle_least_s: f64,
    /// The same, when each round's deadline passes.
    pub settle_most_s: f64,
}

impl Forecast {
    /// Foretells a run; none without a memory watch.
    #[must_use]
    pub fn of(scenario: &Scenario, plan: &Plan) -> Option<Self> {
        let watch = scenario.memory.as_ref()?;
        let design = Design::of(scenario, plan, watch);
        let rounds: Vec<RoundForecast> = (0..watch.warmup_rounds + watch.max_rounds)
            .map(|index| round(&design, plan, index))
            .collect();
        let measured = &rounds[watch.warmup_rounds as usize..];
        let first = &measured[..measured.len().min(watch.rounds as usize)];
        let rules =
            Rules { limits: watch.limit.clone(), bounded: watch.bounded.clone(), known_load: true };
        let planned = power::Plan {
            operations: mean(first),
            interval_bytes: interval(scenario, watch) as f64,
            rounds: watch.rounds,
            max_rounds: watch.max_rounds,
            rules,
        };
        let powers = power::power(&planned);
        let operations = operations(first, &planned, &powers);
        let looks = powers.into_iter().map(|power| look(power, &rounds, watch)).collect();
        let sample_interval_bytes = interval(scenario, watch);
        Some(Self { rounds, operations, looks, sample_interval_bytes })
    }
}

/// Programs that are Node, or start it.
const NODE: [&str; 9] =
    ["node", "nodejs", "npm", "npx", "yarn", "pnpm", "tsx", "ts-node", "ts-node-dev"];

/// Whether a target's heap will be seen by the inspector of Node, as far as its scenario tells.
#[must_use]
pub fn is_node(scenario: &Scenario) -> bool {
    let target = &scenario.target;
    let first = target.command.first().map(Path::new).and_then(Path::file_name);
    let name = first.and_then(|name| name.to_str()).unwrap_or_default();
    match target.heap {
        HeapSource::Node => true,
        HeapSource::Auto if target.pprof.is_none() => {
            target.inspector.is_some() || NODE.contains(&name)
        }
        _ => false,
    }
}

/// Mean bytes between two heap samples: Node is sampled finer than was asked for, unless that is
/// finer still.
fn interval(scenario: &Scenario, watch: &MemoryWatch) -> u64 {
    let asked = watch.sample_interval_bytes;
    if is_node(scenario) { asked.min(NODE_INTERVAL) } else { asked }
}

fn round(design: &Design, plan: &Plan, index: u32) -> RoundForecast {
    let round = design.round(index);
    let mut operations: BTreeMap<String, u64> = BTreeMap::new();
    let mut load_s = Some(0.0_f64);
    for flow in &plan.flows {
        let Some(iterations) = round.iterations.get(&flow.name).copied() else { continue };
        for (name, each) in &flow.operations {
            // A connection that stays with its user is opened once a round.
            let users = u64::from(vus_max(&flow.executor)).min(iterations);
            let count =
                if *each == 0.0 { users } else { (iterations as f64 * each).round() as u64 };
            *operations.entry(name.clone()).or_default() += count;
        }
        let ends = Schedule::of(&flow.executor)
            .map(|schedule| (flow.start_time + schedule.time_of(iterations as f64)).as_secs_f64());
        load_s = load_s.zip(ends).map(|(longest, ends)| longest.max(ends));
    }
    RoundForecast {
        index,
        kind: round.kind,
        input_round: round.input_round,
        iterations: round.iterations,
        operations,
        load_s,
    }
}

/// Operations in a round on average, those left out that only follow from others.
fn mean(rounds: &[RoundForecast]) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (name, count) in rounds.iter().flat_map(|round| &round.operations) {
        if !follows(name) {
            *sums.entry(name.clone()).or_default() += *count as f64 / rounds.len() as f64;
        }
    }
    sums
}

/// It only follows from another operation, and is charged with that.
fn follows(name: &str) -> bool {
    name.starts_with("close ") || name.starts_with("sio_close ")
}

fn operations(
    rounds: &[RoundForecast],
    planned: &power::Plan,
    powers: &[Power],
) -> Vec<OperationForecast> {
    let detectable = powers.first().map(|power| &power.detectable);
    let of = |(name, each): (&String, &f64)| {
        let counts = || rounds.iter().map(|round| round.operations.get(name).copied().unwrap_or(0));
        let limit_bytes = planned.rules.limit_of(name).proof;
        let seen = detectable.and_then(|all| all.get(name)).copied().unwrap_or_default();
        OperationForecast {
            name: name.clone(),
            least: counts().min().unwrap_or(0),
            most: counts().max().unwrap_or(0),
            limit_bytes,
            needed_for_limit: seen * each * f64::from(planned.rounds) / limit_bytes,
        }
    };
    planned.operations.iter().map(of).collect()
}

fn look(power: Power, rounds: &[RoundForecast], watch: &MemoryWatch) -> LookForecast {
    let until = ((watch.warmup_rounds + power.rounds) as usize).min(rounds.len());
    let driven = &rounds[..until];
    let settles = |each: Duration| each.as_secs_f64() * until as f64;
    LookForecast {
        rounds: power.rounds,
        alpha: power.alpha,
        detectable: power.detectable,
        suffices: power.suffices,
        operations: driven.iter().flat_map(|round| round.operations.values()).sum(),
        takes: Takes {
            load_s: driven.iter().map(|round| round.load_s).sum(),
            settle_least_s: settles(watch.settle_quiet),
            settle_most_s: settles(watch.settle_timeout),
        },
    }
}
