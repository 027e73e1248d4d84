//! What went wrong in setup or teardown. Pure.
//!
//! In: the totals of its pass. Out: the step that failed, and why.

use super::{Totals, errors, words};
use crate::plan::{Part, Plan};
use crate::recorder::SlotRecord;
use crate::sample::Failure;

impl Totals {
    /// The first step of a part that failed, and why: its exchange failed, or its checks did not
    /// all hold, or its status is 400 or above and no check speaks for it.
    pub(crate) fn failure_of(&self, plan: &Plan, part: Part) -> Option<String> {
        if part == Part::Load {
            return None;
        }
        let of_part = |slot: usize| plan.flows[self.slots[slot].flow].part == part;
        for (check, count) in self.checks.iter().zip(&self.recorder.checks) {
            if count.fails > 0 && of_part(check.slot) {
                let step = &self.slots[check.slot].name;
                return Some(format!("`{step}`: check `{}` does not hold", check.name));
            }
        }
        let failed = |(place, record): &(usize, &SlotRecord)| {
            of_part(*place) && record.failed > 0 && !self.is_excused(*place)
        };
        let (place, _) = self.recorder.slots.iter().enumerate().find(failed)?;
        let reasons: Vec<String> = errors(&self.recorder, &self.reasons).into_keys().collect();
        Some(format!("`{}`: {}", self.slots[place].name, reasons.join(", ")))
    }

    /// A failure as it is told.
    pub(crate) fn words(&self, failure: Failure) -> String {
        words(failure, &self.reasons)
    }

    /// Whether nothing but statuses failed, and all checks of the step held.
    fn is_excused(&self, slot: usize) -> bool {
        let checked = self.checks.iter().zip(&self.recorder.checks);
        let passed = checked.filter(|(check, _)| check.slot == slot).map(|(_, it)| it.passes);
        passed.sum::<u64>() > 0
            && self.recorder.failures.keys().all(|failure| matches!(failure, Failure::Status(_)))
    }
}
