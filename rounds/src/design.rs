//! The design of the load: how many iterations of each flow each round has, and whether its
//! input is new or seen before. In: the flows with their operations, the watch of the scenario.
//! Out: one [`RoundPlan`] per index, for as many rounds as it takes. Pure.
//!
//! Two things are designed. *Novelty*: of each four measured rounds two bring new input and two
//! replay it, so that what grows with new keys alone is told from what grows with every
//! operation. *Mix*: each flow's share is raised and lowered on a balanced plan, so that a
//! regression over rounds can tell which operation does it. A replay has the mix of its original.

use ebbtide_loadgen::Plan;
use ebbtide_loadgen::scenario::{Executor, Flow, MemoryWatch, Scenario};
use ebbtide_record::RoundKind;
use std::collections::BTreeMap;

/// By how much a flow's share is raised or lowered.
const SWING: f64 = 0.5;
/// Measured rounds in one block of new and replayed input.
const BLOCK: u32 = 4;

/// A flow as the design sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowShare {
    /// Its name.
    pub name: String,
    /// Its share of the operations before the mix, relative to the others': its users.
    pub weight: f64,
    /// Operations in one iteration, at least a little.
    pub operations_per_iteration: f64,
}

/// The design of a run's load.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    /// All flows.
    pub flows: Vec<FlowShare>,
    /// Rounds that are kept apart.
    pub warmup_rounds: u32,
    /// Operations of all flows together in one round.
    pub operations_per_round: u64,
    /// Whether rounds are replayed at all.
    pub replay: bool,
}

/// One round.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundPlan {
    /// From 0, warm-up rounds included.
    pub index: u32,
    /// Why it is driven.
    pub kind: RoundKind,
    /// The round whose input it has: its own, or the one it replays.
    pub input_round: u32,
    /// Iterations of each flow.
    pub iterations: BTreeMap<String, u64>,
}

impl Design {
    /// The design of a scenario's rounds.
    #[must_use]
    pub fn of(scenario: &Scenario, plan: &Plan, watch: &MemoryWatch) -> Self {
        let operations = |flow: &str| -> f64 {
            let all = plan.operations_per_iteration(flow);
            all.iter().filter(|(name, _)| !name.starts_with("close ")).map(|(_, n)| n).sum()
        };
        let flows = plan.flows().map(|name| FlowShare {
            name: name.to_owned(),
            weight: scenario.flows.get(name).map_or(1.0, users),
            operations_per_iteration: operations(name).max(1.0),
        });
        Self {
            flows: flows.collect(),
            warmup_rounds: watch.warmup_rounds,
            operations_per_round: watch.operations_per_round,
            replay: watch.replay,
        }
    }

    /// The round at `index`, warm-up rounds included.
    #[must_use]
    pub fn round(&self, index: u32) -> RoundPlan {
        let Some(measured) = index.checked_sub(self.warmup_rounds) else {
            return self.plan(index, RoundKind::Warmup, index, None);
        };
        if !self.replay {
            return self.plan(index, RoundKind::New, index, Some(measured));
        }
        let (block, place) = (measured / BLOCK, measured % BLOCK);
        let half = BLOCK / 2;
        let fresh = block * half + place % half;
        if place < half {
            self.plan(index, RoundKind::New, index, Some(fresh))
        } else {
            self.plan(index, RoundKind::Replay, index - half, Some(fresh))
        }
    }

    fn plan(&self, index: u32, kind: RoundKind, input_round: u32, mix: Option<u32>) -> RoundPlan {
        let weights: Vec<f64> = (0..self.flows.len())
            .map(|flow| {
                let swing = mix.map_or(0.0, |mix| SWING * self.sign(flow, mix));
                self.flows[flow].weight * (1.0 + swing)
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        let iterations = self
            .flows
            .iter()
            .zip(&weights)
            .map(|(flow, weight)| {
                let operations = self.operations_per_round as f64 * weight / sum;
                let count = operations / flow.operations_per_iteration.max(f64::MIN_POSITIVE);
                (flow.name.clone(), (count.round() as u64).max(1))
            })
            .collect();
        RoundPlan { index, kind, input_round, iterations }
    }

    /// Raised or lowered: for two flows turn about, for more by Walsh functions, whose columns
    /// are balanced and uncorrelated over each full period.
    fn sign(&self, flow: usize, mix: u32) -> f64 {
        let mask = match self.flows.len() {
            0 | 1 => return 0.0,
            2 => 1,
            _ => flow as u32 + 1,
        };
        let flipped = self.flows.len() == 2 && flow == 1;
        let odd = (mix & mask).count_ones() % 2 == 1;
        if odd ^ flipped { -1.0 } else { 1.0 }
    }
}

/// Users of a flow, by which its share of the operations goes.
fn users(flow: &Flow) -> f64 {
    let users = match &flow.executor {
        Executor::ConstantVus { vus, .. }
        | Executor::SharedIterations { vus, .. }
        | Executor::PerVuIterations { vus, .. } => f64::from(*vus),
        Executor::RampingVus { start_vus, stages, .. } => {
            stages.iter().map(|stage| stage.target).fold(f64::from(*start_vus), f64::max)
        }
        Executor::ConstantArrivalRate { pool, .. } | Executor::RampingArrivalRate { pool, .. } => {
            f64::from(pool.pre_allocated)
        }
    };
    users.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design(flows: usize, replay: bool) -> Design {
        Design {
            flows: (0..flows)
                .map(|i| FlowShare {
                    name: format!("f{i}"),
                    weight: 1.0,
                    operations_per_iteration: 2.0,
                })
                .collect(),
            warmup_rounds: 2,
            operations_per_round: 8_000,
            replay,
        }
    }

    #[test]
    fn half_of_the_rounds_replay_an_earlier_one_with_its_mix() {
        let design = design(2, true);
        let kinds: Vec<RoundKind> = (0..10).map(|i| design.round(i).kind).collect();
        use RoundKind::{New, Replay, Warmup};
        assert_eq!(kinds, [Warmup, Warmup, New, New, Replay, Replay, New, New, Replay, Replay]);
        for index in 0..34 {
            let round = design.round(index);
            let original = design.round(round.input_round);
            assert_eq!(round.iterations, original.iterations);
            assert_ne!(original.kind, Replay, "a replay replays no replay");
        }
    }

    #[test]
    fn operations_are_the_same_each_round_and_shares_are_balanced() {
        for flows in 1..=3 {
            let design = design(flows, true);
            let rounds: Vec<RoundPlan> = (2..10).map(|i| design.round(i)).collect();
            for flow in 0..flows {
                let name = format!("f{flow}");
                let counts: Vec<u64> = rounds.iter().map(|r| r.iterations[&name]).collect();
                let fair = 8_000 / 2 / flows as u64;
                let mean = counts.iter().sum::<u64>() / rounds.len() as u64;
                assert!(mean.abs_diff(fair) <= 1, "{name} of {flows}: {mean}, not {fair}");
                assert!(flows == 1 || counts.iter().min() != counts.iter().max());
            }
            for round in rounds {
                let total: u64 = round.iterations.values().sum::<u64>() * 2;
                assert!(total.abs_diff(8_000) <= 2 * flows as u64, "{total}");
            }
        }
    }

    #[test]
    fn without_replay_all_input_is_new() {
        let design = design(1, false);
        for index in 2..20 {
            let round = design.round(index);
            assert_eq!((round.kind, round.input_round), (RoundKind::New, index));
        }
    }
}
