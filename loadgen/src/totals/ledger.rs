//! Totals written down and read back, so that runs can be joined: everything but the histograms,
//! which the interval log has. Pure.
//!
//! In: totals, or a ledger and the histograms that go with it. Out: the other one. Files and the
//! check that runs belong together are left to the caller.

use super::Totals;
use crate::disconnect::Disconnect;
use crate::plan::{CheckName, Plan, Slot};
use crate::recorder::{Counters, Recorder};
use crate::scenario::ThresholdText;
use crate::segment::Segment;
use ebbtide_record::event::CheckCount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The name and version of the form.
pub const SCHEMA: &str = "ebbtide/totals/1";

/// What a run measured, but for its histograms (`totals.json`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Ledger {
    /// [`SCHEMA`].
    pub schema: String,
    /// What its plan is told from others by, see [`crate::Plan::hash`].
    pub plan: String,
    /// Which part of the load it is, from 0.
    pub segment_index: u64,
    /// Of how many.
    pub segment_count: u64,
    /// Arrivals came by the clock.
    pub open_model: bool,
    /// What samples are counted under.
    pub slots: Vec<Slot>,
    /// Exchanges of each slot, and those that failed.
    pub counts: Vec<(u64, u64)>,
    /// Names of checks.
    pub checks: Vec<CheckName>,
    /// How often each held.
    pub check_counts: Vec<CheckCount>,
    /// Reasons for which steps let an iteration fail.
    pub reasons: Vec<String>,
    /// Conditions on the summary.
    pub thresholds: Vec<ThresholdText>,
    /// Plain sums.
    pub counters: Counters,
    /// Failed exchanges by reason, in words.
    pub errors: BTreeMap<String, u64>,
    /// Connections lost by reason.
    pub disconnects: Vec<(Disconnect, u64)>,
    /// Time measured, nanoseconds.
    pub measured_ns: u64,
    /// CPU of the generator's threads, nanoseconds.
    pub cpu_ns: u64,
    /// Time that they waited for a CPU, nanoseconds.
    pub waited_ns: u64,
    /// Their time, nanoseconds.
    pub wall_ns: u64,
    /// How many there were.
    pub threads: usize,
    /// Users at the end, fewest and most at the end of a second, and those made ready.
    pub vus: [u64; 4],
    /// Why the target counts as lost.
    pub lost: Option<String>,
}

impl Totals {
    /// What was measured by a segment of a plan, but for the histograms.
    #[must_use]
    pub fn ledger(&self, plan: &Plan, segment: Segment) -> Ledger {
        self.amended(Ledger {
            plan: plan.hash(),
            segment_index: segment.index(),
            segment_count: segment.count(),
            ..Ledger::default()
        })
    }

    /// The ledger of these totals, of the plan and the segment that stand in `of`.
    #[must_use]
    pub fn amended(&self, of: Ledger) -> Ledger {
        let recorder = &self.recorder;
        Ledger {
            schema: SCHEMA.to_owned(),
            plan: of.plan,
            segment_index: of.segment_index,
            segment_count: of.segment_count,
            open_model: self.open_model,
            slots: self.slots.clone(),
            counts: recorder.slots.iter().map(|slot| (slot.count, slot.failed)).collect(),
            checks: self.checks.clone(),
            check_counts: recorder.checks.clone(),
            reasons: self.reasons.clone(),
            thresholds: self.thresholds.clone(),
            counters: recorder.counters.clone(),
            errors: self.errors(),
            disconnects: recorder.disconnects.iter().map(|(why, count)| (*why, *count)).collect(),
            measured_ns: self.measured_ns(),
            cpu_ns: self.cpu,
            waited_ns: self.waited,
            wall_ns: self.wall,
            threads: self.threads,
            vus: [self.vus, self.vus_low, self.vus_high, self.vus_max],
            lost: self.lost.clone(),
        }
    }

    /// The totals that a ledger and the histograms in `recorder` stand for. Counts of the
    /// recorder are not looked at.
    #[must_use]
    pub fn restored(ledger: &Ledger, mut recorder: Recorder) -> Self {
        for (slot, (count, failed)) in recorder.slots.iter_mut().zip(&ledger.counts) {
            (slot.count, slot.failed) = (*count, *failed);
        }
        recorder.counters = ledger.counters.clone();
        recorder.checks.clone_from(&ledger.check_counts);
        recorder.disconnects = ledger.disconnects.iter().copied().collect();
        let [vus, vus_low, vus_high, vus_max] = ledger.vus;
        Self {
            slots: ledger.slots.clone(),
            checks: ledger.checks.clone(),
            reasons: ledger.reasons.clone(),
            thresholds: ledger.thresholds.clone(),
            open_model: ledger.open_model,
            told: ledger.errors.clone(),
            recorder,
            lengths: Vec::new(),
            earlier: ledger.measured_ns,
            cpu: ledger.cpu_ns,
            waited: ledger.waited_ns,
            wall: ledger.wall_ns,
            threads: ledger.threads,
            vus,
            vus_low,
            vus_high,
            vus_max,
            lost: ledger.lost.clone(),
        }
    }

    /// The same with other measurements, taken over `length`.
    #[must_use]
    pub(crate) fn with_recorder(&self, recorder: Recorder, length: Duration) -> Self {
        let earlier = length.as_nanos() as u64;
        Self { recorder, earlier, lengths: Vec::new(), told: BTreeMap::new(), ..self.clone() }
    }

    /// Adds what another part of the same load measured at the same time.
    pub fn join(&mut self, other: &Self) {
        if self.slots.is_empty() {
            *self = other.clone();
            return;
        }
        let measured = self.measured_ns().max(other.measured_ns());
        self.recorder.merge(&other.recorder);
        for (reason, count) in &other.told {
            *self.told.entry(reason.clone()).or_default() += count;
        }
        (self.lengths, self.earlier) = (Vec::new(), measured);
        self.cpu += other.cpu;
        self.waited += other.waited;
        self.wall += other.wall;
        self.threads += other.threads;
        self.vus += other.vus;
        self.vus_low += other.vus_low;
        self.vus_high += other.vus_high;
        self.vus_max += other.vus_max;
        if self.lost.is_none() {
            self.lost.clone_from(&other.lost);
        }
    }
}
