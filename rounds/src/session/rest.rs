//! The rest at the end of a run that found growth: time passes and no operation is done. In: the
//! series so far. Out: one more observation. What grows in it grows with the clock, what shrinks
//! in it is given back with time; saying so is left to the profiler.

use super::Session;
use crate::observer;
use crate::request::RunError;
use ebbtide_loadgen::scenario::MemoryWatch;
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::verdict::{self, Rules};
use ebbtide_record::Verdict;
use ebbtide_record::event::{Body, Phase, PhaseStart, RoundKind};
use std::time::Duration;

/// A rest is as long as a round was, but not so short that a clock of seconds does not show.
const LEAST: Duration = Duration::from_secs(2);
/// And not so long that a run is held up by it.
const MOST: Duration = Duration::from_secs(15);

impl Session<'_> {
    /// The end of the rounds: a rest and a last verdict, where growth was found that time could
    /// explain.
    pub(super) async fn rest_and_judge(
        &mut self,
        (index, found): (u32, Verdict),
        mut series: Series,
        (watch, rules): (&MemoryWatch, &Rules),
    ) -> Result<(), RunError> {
        if !matches!(found, Verdict::Leaking | Verdict::Growing) {
            return Ok(());
        }
        let Some(observation) = self.rest(index, &series, watch).await? else { return Ok(()) };
        // One that could not be taken says nothing.
        if observation.at_s.is_some() {
            series.push(observation);
            let verdict = verdict::judge(&series, rules);
            self.journal.note(Body::Verdict(Box::new(verdict))).await?;
        }
        Ok(())
    }

    /// Rests for about as long as a round took, and takes a snapshot. `None` when the run is over.
    async fn rest(
        &mut self,
        index: u32,
        series: &Series,
        watch: &MemoryWatch,
    ) -> Result<Option<Observation>, RunError> {
        let Some(source) = self.source.clone() else { return Ok(None) };
        let mut mark = PhaseStart { round: index, kind: RoundKind::Rest, phase: Phase::Settle };
        self.journal.note(Body::Phase(mark)).await?;
        let length = series.round_seconds().map_or(LEAST, Duration::from_secs_f64);
        let pause = async {
            tokio::time::sleep(length.clamp(LEAST, MOST)).await;
            observer::settle(&source, watch.settle_quiet, watch.settle_timeout).await
        };
        let settled = tokio::select! {
            settled = pause => settled,
            () = self.control.stopped() => return Ok(None),
            () = self.target.gone() => return Ok(None),
        };
        let mut observation = Observation {
            round: index,
            kind: RoundKind::Rest,
            settled_ms: settled.settled_ms,
            unsettled: settled.unsettled,
            ..Observation::default()
        };
        mark.phase = Phase::Snapshot;
        self.journal.note(Body::Phase(mark)).await?;
        // What was found stands without this last look: its loss is written down and no failure.
        let failure = self.failure.take();
        self.snapshot(&source, &mut observation, Some(settled)).await?;
        let missed = self.failure.is_some();
        self.failure = failure;
        Ok((!missed && !self.is_over()).then_some(observation))
    }
}
