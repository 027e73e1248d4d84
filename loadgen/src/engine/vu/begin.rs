//! What a virtual user knows when an iteration begins: what setup left behind, and rows of data.
//!
//! In: the numbers of an iteration. Out: variables in the user's scope. Which row an iteration
//! gets is left to [`crate::feeder`].

use super::Vu;
use crate::engine::once::Values;
use crate::feeder::{Exhausted, Turn};
use crate::plan::FlowPlan;
use crate::recorder::Trend;
use crate::sample::Failure;

impl Vu {
    /// Takes the steps once, as setup and teardown do: user 0, iteration 0.
    pub(crate) async fn once(&mut self) -> Result<(), Failure> {
        let plan = std::sync::Arc::clone(&self.plan);
        let flow = &plan.flows[self.flow];
        let start = self.clock();
        self.scope.begin(plan.seed, self.flow, 0, 0);
        if !flow.feeds.is_empty() {
            self.feed(flow);
        }
        let result = self.run(flow).await;
        let end = self.clock();
        self.end_groups(end, result);
        self.local.note(|recorder| {
            recorder.slots[flow.slot].count += 1;
            recorder.record(flow.slot, Trend::Duration, end - start);
        });
        result
    }

    /// All variables by name.
    pub(crate) fn values(&self) -> Values {
        let names = self.plan.flows[self.flow].captures.iter().cloned();
        names.zip(self.scope.captures.iter().cloned()).collect()
    }

    /// Takes over what setup left behind.
    pub(super) fn take_given(&mut self) {
        for (place, name) in &self.plan.flows[self.flow].given {
            if let Some(value) = self.local.pass.given.get(name) {
                self.scope.captures[*place].clone_from(value);
            }
        }
    }

    /// Takes the rows of an iteration that has begun. False when there is none left.
    pub(super) fn feed(&mut self, flow: &FlowPlan) -> bool {
        for feed in &flow.feeds {
            let feeder = &self.plan.feeders[feed.feeder];
            let turn = Turn {
                vu: self.scope.vu,
                sequence: self.scope.sequence(),
                stride: self.scope.stride,
                random: self.scope.aside(feed.feeder as u64),
                share: feed.share,
            };
            let table = &feeder.table;
            let Some(row) = feeder.pick.row(feeder.when_exhausted, table.rows(), &turn) else {
                self.exhausted = true;
                self.local.note(|recorder| recorder.counters.exhausted += 1);
                if feeder.when_exhausted == Exhausted::Fault {
                    let (name, rows) = (&feeder.name, table.rows());
                    self.local.shared.give_up(format!(
                        "the data `{name}` is exhausted: {rows} rows are too few (add rows, or \
                         write `when_exhausted = \"repeat\"`)"
                    ));
                }
                return false;
            };
            for (place, column) in &feed.columns {
                let variable = &mut self.scope.captures[*place];
                variable.clear();
                variable.push_str(table.value(row, *column));
            }
        }
        true
    }

    /// Whether the user has no data left, and is done.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted
    }
}
