//! What was measured so far: the sum of what all threads recorded, and its metrics. Pure.
//!
//! In: recorders of threads, other totals. Out: metrics in k6's names, operations, warnings, and
//! the interval of a second. When it is asked, and where it goes, is left to the caller.

mod ledger;
mod metrics;
mod once;
mod realtime;

pub use ledger::{Ledger, SCHEMA as LEDGER_SCHEMA};

use crate::plan::{CheckName, Plan, Slot, SlotKind};
use crate::recorder::{Counters, Notice, Recorder, Trend, add, histogram};
use crate::sample::Failure;
use crate::scenario::ThresholdText;
use ebbtide_record::event::{Interval, MetricsSoFar, Quantiles, Warning};
use ebbtide_record::summary::GENERATOR_SATURATED;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Share of a thread's time above which the generator is taken for the bottleneck.
const CPU_SATURATED: f64 = 0.95;

/// Share of a thread's time spent waiting for a CPU that is worth a word, and above which the
/// generator is taken for the bottleneck, as it is when it waits longer than it runs: a reply that
/// lies there meanwhile is measured as that of a slow target.
const WAITED: f64 = 0.10;
const WAITED_SATURATED: f64 = 0.30;

/// Starts this late at the 99th percentile are worth a word, milliseconds.
const LATE_START_MS: f64 = 20.0;

/// Starts this late say that the generator was the bottleneck, milliseconds.
const LATE_START_SATURATED_MS: f64 = 100.0;

/// Measured time under which nothing is said of the generator's health.
const HEALTH_MIN_S: f64 = 1.0;

/// What a thread's interval cost, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Its length.
    pub(crate) length: u64,
    /// CPU used.
    pub(crate) cpu: u64,
    /// Time in which the thread could have run and had no CPU.
    pub(crate) waited: u64,
}

/// Latencies of one interval, for [`crate::hlog`]; warm-up excluded.
#[derive(Clone, Default)]
pub struct IntervalHistograms {
    pub(crate) slots: Arc<Vec<Slot>>,
    pub(crate) recorder: Recorder,
    pub(crate) length: Duration,
}

impl IntervalHistograms {
    /// The histograms of an interval of a plan with these slots.
    #[must_use]
    pub fn new(slots: Arc<Vec<Slot>>, recorder: Recorder, length: Duration) -> Self {
        Self { slots, recorder, length }
    }

    /// Latency from the actual start, from the intended one in the open model, and of deliveries
    /// where there were any.
    #[must_use]
    pub fn quantiles(&self, open_model: bool) -> (Quantiles, Option<Quantiles>, Option<Quantiles>) {
        let kinds: Vec<SlotKind> = self.slots.iter().map(|slot| slot.kind).collect();
        quantiles_of(&self.recorder, &kinds, open_model)
    }
}

fn quantiles_of(
    recorder: &Recorder,
    kinds: &[SlotKind],
    open_model: bool,
) -> (Quantiles, Option<Quantiles>, Option<Quantiles>) {
    let exchange = |place: usize| {
        matches!(
            kinds[place],
            SlotKind::Http | SlotKind::Connect | SlotKind::Send | SlotKind::Ping | SlotKind::Close
        )
    };
    let latency = sum_trends(recorder, exchange, &[Trend::Duration, Trend::DurationLong]);
    let corrected = open_model.then(|| sum_trends(recorder, exchange, &[Trend::Latency]));
    let listen = |place: usize| kinds[place] == SlotKind::Listen;
    let delivery = sum_trends(recorder, listen, &[Trend::Delivery]);
    (
        quantiles(&latency),
        corrected.as_ref().map(quantiles),
        (!delivery.is_empty()).then(|| quantiles(&delivery)),
    )
}

/// What was measured over one pass, or over several merged.
#[derive(Clone, Default)]
pub struct Totals {
    slots: Vec<Slot>,
    checks: Vec<CheckName>,
    /// Reasons for which steps let an iteration fail.
    reasons: Vec<String>,
    thresholds: Vec<ThresholdText>,
    /// Arrivals come by the clock.
    open_model: bool,
    /// Failed exchanges that are known by their words alone.
    told: BTreeMap<String, u64>,
    recorder: Recorder,
    /// Length by thread, nanoseconds.
    lengths: Vec<u64>,
    /// Length of passes merged into this one, nanoseconds.
    earlier: u64,
    cpu: u64,
    /// Time that threads waited for a CPU, nanoseconds.
    waited: u64,
    wall: u64,
    threads: usize,
    vus: u64,
    /// Fewest and most users at the end of a second.
    vus_low: u64,
    vus_high: u64,
    vus_max: u64,
    lost: Option<String>,
}

impl Totals {
    pub(crate) fn new(plan: &Plan, threads: usize) -> Self {
        Self {
            slots: plan.slots.clone(),
            checks: plan.checks.clone(),
            reasons: plan.reasons.clone(),
            thresholds: plan.thresholds.clone(),
            recorder: Recorder::new(plan.slots.len(), plan.checks.len()),
            lengths: vec![0; threads],
            open_model: plan.is_open_model(),
            threads,
            vus_low: u64::MAX,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, thread: usize, recorder: &Recorder, spent: Spent) {
        self.recorder.merge(recorder);
        self.lengths[thread] += spent.length;
        self.wall += spent.length;
        self.cpu += spent.cpu;
        self.waited += spent.waited;
    }

    /// Adds the spread of a message, nanoseconds.
    pub(crate) fn spread(&mut self, slot: usize, length: u64) {
        self.recorder.record(slot, Trend::Spread, length);
    }

    pub(crate) fn set_vus(&mut self, vus: u64, vus_max: u64) {
        self.vus = vus;
        self.vus_low = self.vus_low.min(vus);
        self.vus_high = self.vus_high.max(vus);
        self.vus_max = self.vus_max.max(vus_max);
    }

    pub(crate) fn set_lost(&mut self, why: String) {
        self.lost = Some(why);
    }

    /// Adds what another pass of the same scenario measured.
    pub fn merge(&mut self, other: &Self) {
        if self.slots.is_empty() {
            let earlier = self.measured_ns();
            *self = other.clone();
            self.earlier += earlier;
            return;
        }
        // Passes of one scenario have the same slots and checks: the plan differs in the address.
        debug_assert_eq!(self.slots.len(), other.slots.len());
        self.recorder.merge(&other.recorder);
        self.earlier += other.measured_ns();
        self.cpu += other.cpu;
        self.waited += other.waited;
        self.wall += other.wall;
        self.threads = self.threads.max(other.threads);
        self.vus = other.vus;
        self.vus_low = self.vus_low.min(other.vus_low);
        self.vus_high = self.vus_high.max(other.vus_high);
        self.vus_max = self.vus_max.max(other.vus_max);
        if other.lost.is_some() {
            self.lost.clone_from(&other.lost);
        }
    }

    /// Adds the samples of what was done once around the load, but not its time: rates are those
    /// of the load.
    pub fn merge_once(&mut self, other: &Self) {
        if self.slots.is_empty() {
            let Self { slots, checks, reasons, thresholds, recorder, .. } = other.clone();
            *self = Self { slots, checks, reasons, thresholds, recorder, ..Self::default() };
            return;
        }
        self.recorder.merge(&other.recorder);
    }

    fn measured_ns(&self) -> u64 {
        self.earlier + self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Time measured, warm-up excluded.
    #[must_use]
    pub fn measured(&self) -> Duration {
        Duration::from_nanos(self.measured_ns())
    }

    /// All metrics, in k6's names.
    #[must_use]
    pub fn so_far(&self) -> MetricsSoFar {
        MetricsSoFar {
            metrics: self.metrics(),
            errors: self.errors(),
            checks: self.check_counts(),
            operations: self.operations(),
            measured_ms: self.measured_ns() as f64 / 1e6,
        }
    }

    /// Failed exchanges by reason.
    fn errors(&self) -> BTreeMap<String, u64> {
        let mut all = errors(&self.recorder, &self.reasons);
        for (reason, count) in &self.told {
            *all.entry(reason.clone()).or_default() += count;
        }
        all
    }

    fn check_counts(&self) -> BTreeMap<String, ebbtide_record::event::CheckCount> {
        let mut counts: BTreeMap<String, ebbtide_record::event::CheckCount> = BTreeMap::new();
        for (check, count) in self.checks.iter().zip(&self.recorder.checks) {
            let sum = counts.entry(check.name.clone()).or_default();
            sum.passes += count.passes;
            sum.fails += count.fails;
        }
        counts
    }

    /// Operations by name, failed ones included.
    #[must_use]
    pub fn operations(&self) -> BTreeMap<String, u64> {
        let mut operations = BTreeMap::new();
        for (slot, record) in self.slots.iter().zip(&self.recorder.slots) {
            if slot.kind.is_operation() && record.count > 0 {
                *operations.entry(slot.name.clone()).or_default() += record.count;
            }
        }
        operations
    }

    /// Doubts about the measurement.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let seconds = self.measured_ns() as f64 / 1e9;
        if seconds >= HEALTH_MIN_S {
            warnings.extend(self.saturation());
        }
        let dropped = self.recorder.counters.dropped;
        if dropped > 0 {
            warnings.push(Warning {
                code: "dropped_iterations".to_owned(),
                message: format!(
                    "{dropped} of {} iterations found no free virtual user",
                    self.recorder.counters.offered
                ),
                advice: "raise `max_vus` or `queue`, or lower the rate".to_owned(),
            });
        }
        let exhausted = self.recorder.counters.exhausted;
        if exhausted > 0 {
            warnings.push(Warning {
                code: "data_exhausted".to_owned(),
                message: format!("{exhausted} virtual users stopped: no row of data was left"),
                advice: "add rows, or write `when_exhausted = \"repeat\"`".to_owned(),
            });
        }
        let lost = self.lost_deliveries();
        if lost > 0 {
            warnings.push(Warning {
                code: "deliveries_lost".to_owned(),
                message: format!(
                    "{lost} of {} deliveries were not seen",
                    self.recorder.counters.delivery_expected
                ),
                advice: "listen longer than the last message takes, or look for drops in the \
                         server"
                    .to_owned(),
            });
        }
        warnings.extend(self.recorder.notices.iter().map(|(notice, count)| told(*notice, *count)));
        warnings
    }

    fn saturation(&self) -> Option<Warning> {
        let cpu = self.generator_cpu();
        // Waiting for a free user is the target's doing; being late to look for one is not.
        let queued = self.recorder.counters.queued > 0;
        let own = if queued { Trend::Pacing } else { Trend::LateStart };
        let late = self.trend(SlotKind::Flow, &[own]);
        let late_ms = late.value_at_quantile(0.99) as f64 / 1e3;
        let waited = self.generator_wait();
        let (code, message) = if cpu >= CPU_SATURATED {
            let busy = cpu * 100.0;
            let message = format!("the generator's threads were busy {busy:.0} % of the time");
            (GENERATOR_SATURATED, message)
        } else if waited >= WAITED {
            let saturated = waited >= cpu.min(WAITED_SATURATED) || cpu + waited >= CPU_SATURATED;
            let code = if saturated { GENERATOR_SATURATED } else { "generator_waited" };
            let share = waited * 100.0;
            (code, format!("the generator's threads waited for a CPU {share:.0} % of the time"))
        } else if late_ms > LATE_START_MS {
            let saturated = late_ms > LATE_START_SATURATED_MS;
            let code = if saturated { GENERATOR_SATURATED } else { "late_starts" };
            (code, format!("1 % of the iterations started {late_ms:.0} ms late or more"))
        } else {
            return None;
        };
        Some(Warning {
            code: code.to_owned(),
            message,
            advice: "latencies include the generator's own delay: lower the rate, give it more \
                     threads (`--threads`) or a machine of its own"
                .to_owned(),
        })
    }

    /// CPU of the generator's threads as a share of their time, 0 to 1.
    #[must_use]
    pub fn generator_cpu(&self) -> f64 {
        if self.wall == 0 { 0.0 } else { self.cpu as f64 / self.wall as f64 }
    }

    /// Time in which the generator's threads could have run and others did, as a share of their
    /// time, 0 to 1: the delay that no target is the reason of, in either model.
    #[must_use]
    pub fn generator_wait(&self) -> f64 {
        if self.wall == 0 { 0.0 } else { self.waited as f64 / self.wall as f64 }
    }

    /// Deliveries that were expected and not seen.
    #[must_use]
    pub fn lost_deliveries(&self) -> u64 {
        let counters = &self.recorder.counters;
        counters.delivery_expected.saturating_sub(counters.delivered)
    }

    /// Why the target counts as lost; none while it answers.
    #[must_use]
    pub fn target_lost(&self) -> Option<String> {
        self.lost.clone()
    }

    /// The sum of some trends over all slots of a kind.
    fn trend(&self, kind: SlotKind, trends: &[Trend]) -> Histogram<u64> {
        sum_trends(&self.recorder, |place| self.slots[place].kind == kind, trends)
    }
}

fn sum_trends(
    recorder: &Recorder,
    wanted: impl Fn(usize) -> bool,
    trends: &[Trend],
) -> Histogram<u64> {
    let mut sum = histogram();
    for (place, record) in recorder.slots.iter().enumerate() {
        if !wanted(place) {
            continue;
        }
        for trend in trends {
            if let Some(histogram) = &record.trends[*trend as usize] {
                add(&mut sum, histogram);
            }
        }
    }
    sum
}

fn told(notice: Notice, count: u64) -> Warning {
    let (code, message, advice) = match notice {
        Notice::RedirectElsewhere => (
            "redirects_elsewhere",
            format!("{count} redirects led to another host and were not followed"),
            "only the target may be loaded: set `redirects = 0` to look at the redirect itself",
        ),
        Notice::RedirectsTooMany => (
            "redirects_too_many",
            format!("{count} times the last redirect that may be followed led to another"),
            "raise `redirects`, or look for a circle in the target",
        ),
    };
    Warning { code: code.to_owned(), message, advice: advice.to_owned() }
}

fn errors(recorder: &Recorder, reasons: &[String]) -> BTreeMap<String, u64> {
    recorder.failures.iter().map(|(failure, count)| (words(*failure, reasons), *count)).collect()
}

/// A failure as it is told.
fn words(failure: Failure, reasons: &[String]) -> String {
    let asked = match failure {
        Failure::Asked(place) => reasons.get(usize::from(place)).cloned(),
        _ => None,
    };
    asked.unwrap_or_else(|| failure.to_string())
}

/// One second of load, while it is put together from the reports of all threads.
pub(crate) struct Slice {
    kinds: Vec<SlotKind>,
    reasons: Vec<String>,
    open_model: bool,
    recorder: Recorder,
    /// What does not belong to the warm-up, where there is one.
    measured: Option<Recorder>,
    lengths: Vec<u64>,
    cpu: u64,
}

impl Slice {
    pub(crate) fn new(plan: &Plan, threads: usize, warms_up: bool) -> Self {
        let empty = || Recorder::new(plan.slots.len(), plan.checks.len());
        Self {
            kinds: plan.slots.iter().map(|slot| slot.kind).collect(),
            reasons: plan.reasons.clone(),
            open_model: plan.is_open_model(),
            recorder: empty(),
            measured: warms_up.then(empty),
            lengths: vec![0; threads],
            cpu: 0,
        }
    }

    pub(crate) fn add(
        &mut self,
        thread: usize,
        recorder: &Recorder,
        (spent, warmup): (Spent, bool),
    ) {
        self.recorder.merge(recorder);
        if let Some(measured) = self.measured.as_mut().filter(|_| !warmup) {
            measured.merge(recorder);
        }
        self.lengths[thread] += spent.length;
        self.cpu += spent.cpu;
    }

    pub(crate) fn spread(&mut self, slot: usize, (length, measured): (u64, bool)) {
        self.recorder.record(slot, Trend::Spread, length);
        if let Some(recorder) = self.measured.as_mut().filter(|_| measured) {
            recorder.record(slot, Trend::Spread, length);
        }
    }

    pub(crate) fn length(&self) -> Duration {
        Duration::from_nanos(self.lengths.iter().copied().max().unwrap_or(0))
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.recorder.counters
    }

    /// What was measured; warm-up excluded.
    pub(crate) fn into_recorder(self) -> Recorder {
        self.measured.unwrap_or(self.recorder)
    }

    pub(crate) fn interval(&self, vus: u64) -> Interval {
        let counters = &self.recorder.counters;
        let (latency, corrected, delivery) =
            quantiles_of(&self.recorder, &self.kinds, self.open_model);
        let flow = |place: usize| self.kinds[place] == SlotKind::Flow;
        let late = sum_trends(&self.recorder, flow, &[Trend::LateStart]);
        let wall: u64 = self.lengths.iter().sum();
        Interval {
            duration_ms: self.length().as_secs_f64() * 1e3,
            offered: self.open_model.then_some(counters.offered),
            iterations: counters.iterations,
            requests: counters.requests,
            errors: errors(&self.recorder, &self.reasons),
            dropped: counters.dropped,
            vus,
            messages_sent: counters.messages_sent,
            messages_received: counters.messages_received,
            bytes_sent: counters.bytes_sent,
            bytes_received: counters.bytes_received,
            latency,
            corrected,
            delivery,
            generator_cpu: if wall == 0 { 0.0 } else { self.cpu as f64 / wall as f64 },
            late_start_p99_ms: late.value_at_quantile(0.99) as f64 / 1e3,
        }
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Quantiles {
        count: histogram.len(),
        mean: histogram.mean() / 1e3,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max() as f64 / 1e3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Quick;

    #[test]
    fn a_generator_that_waits_for_a_cpu_says_so() {
        let url = "http://127.0.0.1:1/".to_owned();
        let plan = Plan::quick(&Quick { url, ..Quick::default() }).expect("a plan");
        // Parts of a second: run, waited.
        for (cpu, waited, code) in [
            (0.20, 0.02, None),
            (0.01, 0.09, None),
            (0.60, 0.12, Some("generator_waited")),
            (0.05, 0.12, Some(GENERATOR_SATURATED)),
            (0.55, 0.31, Some(GENERATOR_SATURATED)),
            (0.80, 0.16, Some(GENERATOR_SATURATED)),
            (0.96, 0.00, Some(GENERATOR_SATURATED)),
        ] {
            let ns = |seconds: f64| (seconds * 2e9) as u64;
            let spent = Spent { length: ns(1.0), cpu: ns(cpu), waited: ns(waited) };
            let mut totals = Totals::new(&plan, 1);
            totals.add(0, &Recorder::default(), spent);
            let warnings = totals.warnings();
            assert_eq!(warnings.first().map(|it| it.code.as_str()), code, "{cpu} {waited}");
        }
    }

    #[test]
    fn a_generator_that_is_late_itself_is_told_from_a_target_that_is_slow() {
        let url = "http://127.0.0.1:1/".to_owned();
        let quick = Quick { url, rate: Some(100.0), ..Quick::default() };
        let plan = Plan::quick(&quick).expect("a plan");
        let slot = plan.flows[0].slot;
        // Milliseconds: the generator's own part, the whole; arrivals that waited for a user.
        for (own, late, queued, code) in [
            (0, 0, 0, None),
            (0, 50, 0, Some("late_starts")),
            (0, 500, 0, Some(GENERATOR_SATURATED)),
            (0, 500, 9, None),
            (50, 500, 9, Some("late_starts")),
            (500, 500, 9, Some(GENERATOR_SATURATED)),
        ] {
            let mut recorder = Recorder::new(plan.slots.len(), plan.checks.len());
            recorder.counters.queued = queued;
            recorder.record(slot, Trend::Pacing, own * 1_000_000);
            recorder.record(slot, Trend::LateStart, late * 1_000_000);
            let mut totals = Totals::new(&plan, 1);
            let spent = Spent { length: 2_000_000_000, cpu: 1_000_000, waited: 0 };
            totals.add(0, &recorder, spent);
            let codes: Vec<String> =
                totals.warnings().into_iter().map(|warning| warning.code).collect();
            assert_eq!(codes.first().map(String::as_str), code, "{own} {late} {queued}");
        }
    }
}
