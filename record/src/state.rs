//! What a run is right now: the fold of its events. Screens and reports read this and nothing
//! else, so that they cannot disagree. Pure, and of bounded size however long the run is: series
//! that grow too long are halved in resolution.

use crate::event::{
    Body, CheckCount, Event, Interval, MemoryPoint, Missed, PhaseStart, Quantiles, RunEnded,
    RunStarted, SnapshotTaken, Warning,
};
use crate::generator::{GENERATOR_SATURATED, Generator};
use crate::metric::Metrics;
use crate::verdict::MemoryVerdict;
use std::collections::BTreeMap;

/// Points kept of each series: an hour of seconds at full resolution. Even, since it is halved.
pub const SERIES_MAX: usize = 3_600;

/// Phases, snapshots, warnings and misses kept of each: far more than a run of the largest plan
/// makes, and a bound all the same.
pub const MARKS_MAX: usize = 10_000;

/// A value and when it was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct At<T> {
    /// Milliseconds since the run began.
    pub t_ms: u64,
    /// What was seen.
    pub value: T,
}

/// The fold of a run's events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The time of the last event, milliseconds since the run began.
    pub now_ms: u64,
    /// Events applied.
    pub events: u64,
    /// How the run began.
    pub started: Option<RunStarted>,
    /// How it ended.
    pub ended: Option<RunEnded>,
    /// The phase it is in.
    pub phase: Option<At<PhaseStart>>,
    /// All phases so far.
    pub phases: Vec<At<PhaseStart>>,
    /// Load, second by second (coarser once long).
    pub intervals: Vec<At<Interval>>,
    /// Memory, likewise.
    pub points: Vec<At<MemoryPoint>>,
    /// Snapshots taken.
    pub snapshots: Vec<At<SnapshotTaken>>,
    /// Metrics since the start.
    pub metrics: Metrics,
    /// Failed exchanges by reason.
    pub errors: BTreeMap<String, u64>,
    /// Checks by name.
    pub checks: BTreeMap<String, CheckCount>,
    /// Operations by name.
    pub operations: BTreeMap<String, u64>,
    /// Milliseconds of load the metrics were measured over.
    pub measured_ms: f64,
    /// Observations missed.
    pub missed: Vec<At<Missed>>,
    /// Doubts about the measurement, each once.
    pub warnings: Vec<Warning>,
    /// What was found in memory so far.
    pub memory: MemoryVerdict,
    /// Sums over all intervals, at full resolution.
    pub totals: Totals,
    /// Events in the log that were not understood, and marks past [`MARKS_MAX`].
    pub ignored: u64,
}

/// Sums over all intervals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Milliseconds of load.
    pub duration_ms: f64,
    /// Exchanges completed, failed ones included.
    pub requests: u64,
    /// Iterations completed.
    pub iterations: u64,
    /// Iterations dropped.
    pub dropped: u64,
    /// Exchanges that failed.
    pub failed: u64,
    /// WebSocket messages sent.
    pub messages_sent: u64,
    /// WebSocket messages received.
    pub messages_received: u64,
    /// CPU share times milliseconds.
    pub generator_cpu_ms: f64,
    /// The worst p99 of late starts, milliseconds.
    pub late_start_p99_ms: f64,
}

impl State {
    /// Folds all events of a log.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut state = Self::default();
        for event in events {
            state.apply(event);
        }
        state
    }

    /// Folds one event in. Never fails: what is not understood is counted in `ignored`.
    pub fn apply(&mut self, event: &Event) {
        self.now_ms = self.now_ms.max(event.t_ms);
        self.events += 1;
        let t_ms = event.t_ms;
        match &event.body {
            Body::RunStarted(started) => self.started = Some((**started).clone()),
            Body::Phase(phase) => {
                let mark = At { t_ms, value: *phase };
                self.phase = Some(mark.clone());
                self.mark(mark, |state| &mut state.phases);
            }
            Body::Interval(interval) => self.apply_interval(t_ms, interval),
            Body::Metrics(so_far) => {
                self.metrics = so_far.metrics.clone();
                self.errors = so_far.errors.clone();
                self.checks = so_far.checks.clone();
                self.operations = so_far.operations.clone();
                self.measured_ms = so_far.measured_ms;
            }
            Body::Memory(point) => {
                push_halving(&mut self.points, At { t_ms, value: (**point).clone() }, |_, _| {});
            }
            Body::Snapshot(taken) => {
                self.mark(At { t_ms, value: (**taken).clone() }, |state| &mut state.snapshots);
            }
            Body::Missed(missed) => {
                self.mark(At { t_ms, value: missed.clone() }, |state| &mut state.missed);
            }
            Body::Warning(warning) => self.apply_warning(warning),
            Body::Verdict(verdict) => self.memory = (**verdict).clone(),
            Body::RunEnded(ended) => self.ended = Some(ended.clone()),
            Body::Unknown => self.ignored += 1,
        }
    }

    /// How the generator itself fared so far.
    #[must_use]
    pub fn generator(&self) -> Generator {
        let totals = &self.totals;
        let threads = self
            .metrics
            .get("generator_threads")
            .and_then(|metric| metric.value("value"))
            .unwrap_or(0.0);
        Generator {
            threads: threads as u32,
            cpu_fraction: if totals.duration_ms > 0.0 {
                totals.generator_cpu_ms / totals.duration_ms
            } else {
                0.0
            },
            late_start_p99_ms: totals.late_start_p99_ms,
            saturated: self.warnings.iter().any(|warning| warning.code == GENERATOR_SATURATED),
            dropped_iterations: totals.dropped,
        }
    }

    fn apply_interval(&mut self, t_ms: u64, interval: &Interval) {
        let totals = &mut self.totals;
        totals.duration_ms += interval.duration_ms;
        totals.requests += interval.requests;
        totals.iterations += interval.iterations;
        totals.dropped += interval.dropped;
        totals.failed += interval.errors.values().sum::<u64>();
        totals.messages_sent += interval.messages_sent;
        totals.messages_received += interval.messages_received;
        totals.generator_cpu_ms += interval.generator_cpu * interval.duration_ms;
        totals.late_start_p99_ms = totals.late_start_p99_ms.max(interval.late_start_p99_ms);
        push_halving(&mut self.intervals, At { t_ms, value: interval.clone() }, merge_intervals);
    }

    fn apply_warning(&mut self, warning: &Warning) {
        if let Some(known) = self.warnings.iter_mut().find(|known| known.code == warning.code) {
            *known = warning.clone();
        } else if self.warnings.len() < MARKS_MAX {
            self.warnings.push(warning.clone());
        } else {
            self.ignored += 1;
        }
    }

    fn mark<T>(&mut self, mark: At<T>, series: impl Fn(&mut Self) -> &mut Vec<At<T>>) {
        if series(self).len() < MARKS_MAX {
            series(self).push(mark);
        } else {
            self.ignored += 1;
        }
    }
}

/// Appends a point; when the series is full, each pair becomes one: the later, after `merge` has
/// put into it what the earlier had.
fn push_halving<T>(series: &mut Vec<At<T>>, point: At<T>, merge: impl Fn(&T, &mut T)) {
    if series.len() >= SERIES_MAX {
        let mut halved = Vec::with_capacity(SERIES_MAX / 2 + 1);
        let mut points = std::mem::take(series).into_iter();
        while let Some(first) = points.next() {
            match points.next() {
                Some(mut second) => {
                    merge(&first.value, &mut second.value);
                    halved.push(second);
                }
                None => halved.push(first),
            }
        }
        *series = halved;
    }
    series.push(point);
}

/// Sums of both; of percentiles the larger, which overstates and never hides.
fn merge_intervals(earlier: &Interval, later: &mut Interval) {
    later.duration_ms += earlier.duration_ms;
    later.offered = match (earlier.offered, later.offered) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    later.iterations += earlier.iterations;
    later.requests += earlier.requests;
    later.dropped += earlier.dropped;
    later.messages_sent += earlier.messages_sent;
    later.messages_received += earlier.messages_received;
    later.bytes_sent += earlier.bytes_sent;
    later.bytes_received += earlier.bytes_received;
    for (reason, count) in &earlier.errors {
        *later.errors.entry(reason.clone()).or_default() += count;
    }
    later.latency = worse(earlier.latency, later.latency);
    later.corrected = worse_of(earlier.corrected, later.corrected);
    later.delivery = worse_of(earlier.delivery, later.delivery);
    later.generator_cpu = later.generator_cpu.max(earlier.generator_cpu);
    later.late_start_p99_ms = later.late_start_p99_ms.max(earlier.late_start_p99_ms);
}

fn worse_of(a: Option<Quantiles>, b: Option<Quantiles>) -> Option<Quantiles> {
    match (a, b) {
        (Some(a), Some(b)) => Some(worse(a, b)),
        (a, b) => a.or(b),
    }
}

fn worse(a: Quantiles, b: Quantiles) -> Quantiles {
    let count = a.count + b.count;
    let weight = |x: f64, n: u64| x * n as f64;
    Quantiles {
        count,
        mean: if count > 0 {
            (weight(a.mean, a.count) + weight(b.mean, b.count)) / count as f64
        } else {
            0.0
        },
        p50: a.p50.max(b.p50),
        p90: a.p90.max(b.p90),
        p99: a.p99.max(b.p99),
        p999: a.p999.max(b.p999),
        max: a.max.max(b.max),
    }
}
