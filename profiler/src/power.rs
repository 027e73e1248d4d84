//! What a plan can see, before it is run: the smallest growth that has a 95 % chance of being
//! called, at each look. In: operations in a round by name, the sample interval, what is of
//! interest. Out: bytes per operation, by operation and look. The verdict says the same of a run
//! that was made, from the errors that it really had. Pure.

use crate::rules::{ALPHA_SPENT, LOOKS, Rules, look};
use crate::trend::quantile;
use std::collections::BTreeMap;

/// Chance with which growth of the detectable size is seen.
pub(crate) const POWER: f64 = 0.95;
/// Sites a heap is taken to have before it is seen. The answer hardly depends on it: ten times
/// as many ask for a fifth more samples.
const SITES_EXPECTED: f64 = 300.0;

/// A run that is planned.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Operations in one measured round, by the name they are reported under, mean of the mix.
    pub operations: BTreeMap<String, f64>,
    /// Mean bytes between two heap samples; 1 where each allocation is counted.
    pub interval_bytes: f64,
    /// Measured rounds before the first look.
    pub rounds: u32,
    /// Measured rounds at most.
    pub max_rounds: u32,
    /// What growth is of interest.
    pub rules: Rules,
}

/// What can be seen once so many rounds are done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Power {
    /// Measured rounds.
    pub rounds: u32,
    /// Operations of all names in them.
    pub operations: f64,
    /// Error spent at this look, over all sites.
    pub alpha: f64,
    /// Samples that growth must bring to be called with a chance of 95 %.
    pub samples: f64,
    /// The growth that brings them, bytes per operation, by operation.
    pub detectable: BTreeMap<String, f64>,
    /// Whether that is within the limit of interest for every operation.
    pub suffices: bool,
}

/// The rounds after which a run with these bounds is judged: its first, and each look after it.
#[must_use]
pub fn looks(rounds: u32, max_rounds: u32) -> Vec<u32> {
    let between = LOOKS.iter().copied().filter(|at| *at > rounds && *at < max_rounds);
    let mut all: Vec<u32> = std::iter::once(rounds).chain(between).collect();
    if max_rounds > rounds {
        all.push(max_rounds);
    }
    all
}

/// The power of a plan at each of its looks, the first first.
#[must_use]
pub fn power(plan: &Plan) -> Vec<Power> {
    looks(plan.rounds, plan.max_rounds).into_iter().map(|rounds| at(plan, rounds)).collect()
}

fn at(plan: &Plan, rounds: u32) -> Power {
    let alpha = ALPHA_SPENT[look(rounds as usize)];
    let samples = samples_needed(alpha, SITES_EXPECTED);
    let bytes = samples * plan.interval_bytes.max(1.0);
    let detectable: BTreeMap<String, f64> = plan
        .operations
        .iter()
        .map(|(name, each)| (name.clone(), bytes / (each * f64::from(rounds)).max(1.0)))
        .collect();
    let suffices =
        detectable.iter().all(|(name, growth)| *growth <= plan.rules.limit_of(name).proof);
    let operations = plan.operations.values().sum::<f64>() * f64::from(rounds);
    Power { rounds, operations, alpha, samples, detectable, suffices }
}

/// Samples a site of its own must bring to be called with a chance of [`POWER`], among so many:
/// the square of the sum of the two quantiles, since n samples have a deviation of root n.
pub(crate) fn samples_needed(alpha: f64, sites: f64) -> f64 {
    errors_needed(alpha, sites).powi(2)
}

/// The same for growth with a known standard error: how many of those it must be large.
pub(crate) fn errors_needed(alpha: f64, sites: f64) -> f64 {
    quantile(1.0 - alpha / sites.max(1.0), f64::INFINITY) + quantile(POWER, f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(each: f64) -> Plan {
        Plan {
            operations: BTreeMap::from([("GET /".to_owned(), each)]),
            interval_bytes: 65_536.0,
            rounds: 8,
            max_rounds: 32,
            rules: Rules::default(),
        }
    }

    #[test]
    fn more_rounds_and_more_operations_see_less_growth() {
        let small = power(&plan(2_000.0));
        let rounds: Vec<u32> = small.iter().map(|power| power.rounds).collect();
        assert_eq!(rounds, [8, 12, 16, 24, 32]);
        let seen = |all: &[Power]| -> Vec<f64> {
            all.iter().map(|power| power.detectable["GET /"]).collect()
        };
        assert!(seen(&small).is_sorted_by(|a, b| a > b), "{small:?}");
        let large = power(&plan(200_000.0));
        assert!(seen(&large).iter().zip(seen(&small)).all(|(a, b)| (a * 100.0 - b).abs() < 1e-6));
        assert!(!small[0].suffices && large[0].suffices, "{small:?} {large:?}");
    }

    #[test]
    fn looks_are_the_first_round_and_those_after_it() {
        assert_eq!(looks(8, 8), [8]);
        assert_eq!(looks(8, 16), [8, 12, 16]);
        assert_eq!(looks(10, 14), [10, 12, 14]);
        assert_eq!(looks(40, 48), [40, 48]);
    }
}
