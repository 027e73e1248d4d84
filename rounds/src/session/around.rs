//! What is done once around the load: setup before the first round, teardown after the last. In:
//! the parts of the plan, the reins. Out: the variables that setup leaves for the flows, or why the
//! run ends here.
//!
//! Teardown is taken after Ctrl-C as well, since whatever setup has made is still there; not when
//! setup failed, the target is gone, or leaving at once was asked for.

use super::Session;
use crate::request::RunError;
use ebbtide_loadgen::plan::Part;
use ebbtide_loadgen::{Engine, Pass};
use ebbtide_record::event::Body;
use std::sync::Arc;

impl Session<'_> {
    /// Setup, the load, teardown.
    pub(super) async fn parts(&mut self) -> Result<(), RunError> {
        if !self.once(Part::Setup).await? {
            return Ok(());
        }
        let outcome = match &self.request.scenario.memory {
            Some(watch) => self.rounds(watch).await,
            None => self.load_once().await,
        };
        let alive = self.failure.is_none() && self.target.ending().is_none();
        if outcome.is_ok() && alive && !self.control.is_aborted() {
            self.once(Part::Teardown).await?;
        }
        outcome
    }

    /// Takes the steps of a part once, if there are any. False when the run is over.
    async fn once(&mut self, part: Part) -> Result<bool, RunError> {
        // One segment does it for all, unless each needs values of its own.
        let mine = self.request.segment.is_first() || self.plan.needs_setup();
        if !self.plan.has(part) || !mine {
            return Ok(true);
        }
        let given = Arc::clone(&self.given);
        let pass = Pass { threads: 1, part, given, ..Pass::default() };
        let mut engine = Engine::start(Arc::clone(&self.plan), pass)?;
        let stopper = engine.stopper();
        let (mut stopped, mut aborted) = (part == Part::Teardown, false);
        loop {
            tokio::select! {
                biased;
                () = self.control.aborted(), if !aborted => {
                    aborted = true;
                    stopper.abort();
                }
                () = self.control.stopped(), if !stopped => {
                    stopped = true;
                    stopper.drain();
                }
                () = self.target.gone(), if !aborted => {
                    aborted = true;
                    stopper.abort();
                }
                point = self.observer.next() => self.see(point).await?,
                interval = engine.next() => if interval.is_none() { break },
            }
        }
        let left = engine.left();
        self.totals.merge_once(&engine.finish().await);
        self.operations = self.totals.operations();
        self.journal.note(Body::Metrics(self.totals.so_far())).await?;
        match left {
            // Whatever was cut short by hand is nobody's failure.
            Err(_) if aborted || (part == Part::Setup && self.control.is_stopped()) => Ok(false),
            Err(why) => {
                self.failure = Some(why);
                Ok(false)
            }
            Ok(values) => {
                if part == Part::Setup {
                    self.given = Arc::new(values);
                }
                Ok(true)
            }
        }
    }
}
