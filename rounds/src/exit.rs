//! Exit codes: which hold at the end of a run, and which of them wins. Pure.
//! In: what is known at the end. Out: the codes that hold, the winner first.
//! Ending the process is left to the command.

use ebbtide_record::event::Warning;
use ebbtide_record::summary::{GENERATOR_SATURATED, SEGMENTS_MISSING};
use ebbtide_record::{MemoryVerdict, Verdict};

/// All is well.
pub const FINE: i32 = 0;
/// The tool failed, or the target was lost for good.
pub const FAILED: i32 = 1;
/// Bad arguments or scenario.
pub const USAGE: i32 = 2;
/// The measurement is not to be trusted.
pub const INVALID: i32 = 95;
/// Nothing could be told (only when asked to be strict).
pub const INCONCLUSIVE: i32 = 96;
/// A regression.
pub const REGRESSION: i32 = 97;
/// A leak was found.
pub const LEAK: i32 = 98;
/// A threshold failed (k6's number).
pub const THRESHOLD: i32 = 99;
/// Interrupted.
pub const INTERRUPTED: i32 = 130;

/// When several hold, the first of these wins.
const PRECEDENCE: [i32; 8] =
    [INTERRUPTED, USAGE, FAILED, INVALID, LEAK, REGRESSION, THRESHOLD, INCONCLUSIVE];

/// The first in order of precedence of codes that hold; [`FINE`] when none does.
#[must_use]
pub fn winner(codes: &[i32]) -> i32 {
    PRECEDENCE.into_iter().find(|code| codes.contains(code)).unwrap_or(FINE)
}

/// What decides how a run ends.
#[derive(Debug, Default)]
pub struct Ending<'a> {
    /// Interrupted by the user.
    pub interrupted: bool,
    /// The target is gone, or the run could not go on.
    pub failed: bool,
    /// A threshold failed.
    pub thresholds_failed: bool,
    /// A threshold speaks of latency, so a saturated generator makes it void.
    pub latency_claimed: bool,
    /// Doubts about the measurement.
    pub warnings: &'a [Warning],
    /// What was found in memory.
    pub memory: Option<&'a MemoryVerdict>,
    /// Words for memory that fail a run.
    pub fail_on: &'a [Verdict],
    /// Inconclusive is a failure too.
    pub strict: bool,
    /// The rounds were ended before their time, so that a word still open stays without effect.
    pub cut_short: bool,
}

impl Ending<'_> {
    /// All codes that hold, the winner first; `[0]` when none does.
    #[must_use]
    pub fn codes(&self) -> Vec<i32> {
        let word = self.memory.map_or(Verdict::NotWatched, |memory| memory.verdict);
        let saturated = self.warnings.iter().any(|warning| warning.code == GENERATOR_SATURATED);
        let incomplete = self.warnings.iter().any(|warning| warning.code == SEGMENTS_MISSING);
        let found = self.memory.is_some_and(|memory| {
            let open = self.cut_short && memory.undecided;
            !open && memory.sites.iter().any(|s| self.fail_on.contains(&s.verdict))
        });
        let holds = |code: &i32| match *code {
            INTERRUPTED => self.interrupted,
            FAILED => self.failed,
            INVALID => incomplete || (saturated && self.latency_claimed),
            LEAK => found,
            THRESHOLD => self.thresholds_failed,
            INCONCLUSIVE => self.strict && word == Verdict::Inconclusive,
            _ => false,
        };
        let codes: Vec<i32> = PRECEDENCE.into_iter().filter(holds).collect();
        if codes.is_empty() { vec![FINE] } else { codes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_record::verdict::SiteVerdict;

    #[test]
    fn the_first_in_order_wins_and_all_are_listed() {
        let memory = MemoryVerdict {
            verdict: Verdict::Leaking,
            sites: vec![SiteVerdict { verdict: Verdict::Leaking, ..SiteVerdict::default() }],
            ..MemoryVerdict::default()
        };
        let fail_on = [Verdict::Leaking, Verdict::Growing];
        let leak = Ending { memory: Some(&memory), fail_on: &fail_on, ..Ending::default() };
        assert_eq!(leak.codes(), [LEAK]);
        let both = Ending { thresholds_failed: true, ..leak };
        assert_eq!(both.codes(), [LEAK, THRESHOLD]);
        let lost = Ending { failed: true, ..both };
        assert_eq!(lost.codes(), [FAILED, LEAK, THRESHOLD]);
        let cut = Ending { interrupted: true, ..lost };
        assert_eq!(cut.codes(), [INTERRUPTED, FAILED, LEAK, THRESHOLD]);
        assert_eq!(Ending::default().codes(), [FINE]);
    }

    #[test]
    fn a_word_that_was_still_open_when_the_rounds_were_cut_fails_nothing() {
        let memory = MemoryVerdict {
            undecided: true,
            sites: vec![SiteVerdict { verdict: Verdict::Growing, ..SiteVerdict::default() }],
            ..MemoryVerdict::default()
        };
        let fail_on = [Verdict::Leaking, Verdict::Growing];
        let whole = Ending { memory: Some(&memory), fail_on: &fail_on, ..Ending::default() };
        assert_eq!(whole.codes(), [LEAK]);
        let cut = Ending { cut_short: true, thresholds_failed: true, ..whole };
        assert_eq!(cut.codes(), [THRESHOLD]);
    }

    #[test]
    fn a_saturated_generator_voids_latency_claims_alone() {
        let warnings = [Warning { code: GENERATOR_SATURATED.to_owned(), ..Warning::default() }];
        let ending = Ending { warnings: &warnings, ..Ending::default() };
        assert_eq!(ending.codes(), [FINE]);
        assert_eq!(Ending { latency_claimed: true, ..ending }.codes(), [INVALID]);
    }

    #[test]
    fn a_load_with_missing_parts_is_no_measurement_of_the_whole() {
        let warnings = [Warning { code: SEGMENTS_MISSING.to_owned(), ..Warning::default() }];
        let ending = Ending { warnings: &warnings, thresholds_failed: true, ..Ending::default() };
        assert_eq!(ending.codes(), [INVALID, THRESHOLD]);
    }

    #[test]
    fn inconclusive_fails_only_when_strict() {
        let memory = MemoryVerdict { verdict: Verdict::Inconclusive, ..MemoryVerdict::default() };
        let ending = Ending { memory: Some(&memory), ..Ending::default() };
        assert_eq!(ending.codes(), [FINE]);
        assert_eq!(Ending { strict: true, ..ending }.codes(), [INCONCLUSIVE]);
    }
}
