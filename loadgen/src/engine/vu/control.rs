//! The control instructions of a virtual user: which instruction is next. Waits for nothing.
//!
//! In: an instruction and the place after it. Out: the place of the next one. Whatever is random
//! follows from the iteration's scope, so that a replay takes the same way.

use super::Vu;
use super::exchange::contains;
use crate::plan::{ConditionOp, ControlOp, TestOp};
use crate::recorder::Trend;
use crate::sample::Failure;
use crate::template::Template;
use std::time::Duration;

impl Vu {
    /// The place of the next instruction; `end` is that of the program's end.
    pub(super) fn steer(
        &mut self,
        op: &ControlOp,
        place: usize,
        end: usize,
    ) -> Result<usize, Failure> {
        match op {
            ControlOp::Choose { upto } => {
                let total = upto.last().map_or(0, |(sum, _)| *sum);
                let drawn = (u128::from(self.scope.random()) * u128::from(total)) >> 64;
                let chosen = upto.iter().find(|(sum, _)| drawn < u128::from(*sum));
                return Ok(chosen.map_or(place, |(_, to)| *to));
            }
            ControlOp::Unless { condition, is, to } => {
                if self.holds(condition) != *is {
                    return Ok(*to);
                }
            }
            ControlOp::Jump(to) => return Ok(*to),
            ControlOp::Reset(counter) => self.counters[*counter] = 0,
            ControlOp::Enter(slot) => {
                let now = self.clock();
                self.groups.push((*slot, now));
            }
            ControlOp::Leave => {
                if let Some((slot, since)) = self.groups.pop() {
                    let now = self.clock();
                    self.local.record(slot, Trend::Duration, now - since);
                }
            }
            ControlOp::Set(values) => {
                for (place, value) in values {
                    self.assign(*place, value);
                }
            }
            ControlOp::Fail(reason) => {
                let failure = Failure::Asked(*reason);
                self.local.note(|recorder| *recorder.failures.entry(failure).or_default() += 1);
                return Err(failure);
            }
            ControlOp::Stop => return Ok(end),
        }
        Ok(place)
    }

    fn assign(&mut self, place: usize, value: &Template) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        value.render(&mut text, &mut self.scope);
        let variable = &mut self.scope.captures[place];
        variable.clear();
        variable.push_str(&String::from_utf8_lossy(&text));
        self.scratch = text;
    }

    fn holds(&mut self, condition: &ConditionOp) -> bool {
        let value = self.text(&condition.value);
        condition.tests.iter().all(|test| self.passes(test, &value))
    }

    fn passes(&mut self, test: &TestOp, value: &[u8]) -> bool {
        match test {
            TestOp::Exists(exists) => value.is_empty() != *exists,
            TestOp::Equals(text) => value == self.text(text),
            TestOp::NotEquals(text) => value != self.text(text),
            TestOp::Contains(text) => contains(value, &self.text(text)),
            TestOp::Matches(regex) => regex.is_match(&String::from_utf8_lossy(value)),
            TestOp::Less(text) => number(value) < number(&self.text(text)),
            TestOp::Greater(text) => number(value) > number(&self.text(text)),
            TestOp::Chance(bound) => u128::from(self.scope.random()) < *bound,
        }
    }

    /// Ends the groups that an iteration has left by failing or stopping inside them.
    pub(super) fn end_groups(&mut self, end: u64, result: Result<(), Failure>) {
        let cut = result == Err(Failure::Interrupted);
        while let Some((slot, since)) = self.groups.pop() {
            if !cut {
                self.local.record(slot, Trend::Duration, end - since);
            }
        }
    }

    /// Nanoseconds drawn from an exponential distribution: its quantile function, `-mean ln(1-u)`,
    /// of an even `u`.
    pub(super) fn draw_exponential(&mut self, mean: Duration, max: Option<Duration>) -> u64 {
        // 53 bits are what a float holds; `u` stays below 1, so that the logarithm is finite.
        let even = (self.scope.random() >> 11) as f64 / (1_u64 << 53) as f64;
        let drawn = -(1.0 - even).ln() * mean.as_nanos() as f64;
        let most = max.map_or(f64::MAX, |max| max.as_nanos() as f64);
        drawn.min(most) as u64
    }
}

/// A number as text; what is none compares as neither smaller nor larger.
fn number(text: &[u8]) -> f64 {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.trim().parse().unwrap_or(f64::NAN)
}
