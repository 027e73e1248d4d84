//! Thresholds while the load goes on: those that end it when they fail, and those that must hold
//! in every window of some seconds. Pure.
//!
//! In: what was measured so far, second by second. Out: why the load is to end, and at the end the
//! windows in which a threshold did not hold. Ending the load is left to the caller.

use crate::recorder::Recorder;
use crate::scenario::ThresholdText;
use crate::threshold;
use crate::totals::{IntervalHistograms, Totals};
use ebbtide_record::Metrics;
use ebbtide_record::event::Warning;
use std::collections::VecDeque;
use std::time::Duration;

/// Code of the warning that says which window broke a threshold.
pub const WINDOW_BROKEN: &str = "threshold_window";

/// Watches the thresholds of a load.
#[derive(Default)]
pub struct Guard {
    thresholds: Vec<ThresholdText>,
    /// By place of the threshold: the first window that broke it, seconds, and how many did.
    broken: Vec<Option<(f64, f64, u32)>>,
    seconds: VecDeque<(Recorder, Duration)>,
    /// When the oldest of them began, seconds of measured load.
    begin: f64,
}

impl Guard {
    /// A guard over these thresholds.
    #[must_use]
    pub fn new(thresholds: &[ThresholdText]) -> Self {
        let thresholds = thresholds.to_vec();
        Self { broken: vec![None; thresholds.len()], thresholds, ..Self::default() }
    }

    /// Whether there is nothing to watch, so that nobody needs to ask.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.thresholds.iter().any(|text| text.abort_on_fail || text.over.is_some())
    }

    /// Looks at what was measured so far, of which `second` is the latest part. Says why the load
    /// is to end. A metric without samples is not judged yet, as in k6.
    pub fn see(&mut self, so_far: &Totals, second: &IntervalHistograms) -> Option<String> {
        self.look_at_windows(so_far, second);
        let elapsed = so_far.measured();
        let due = |text: &ThresholdText| text.abort_on_fail && elapsed > text.delay_abort_eval;
        if !self.thresholds.iter().any(due) {
            return None;
        }
        let metrics = so_far.so_far().metrics;
        let failed = self.thresholds.iter().zip(&self.broken).find(|(text, broken)| {
            due(text)
                && match text.over {
                    Some(_) => broken.is_some(),
                    None => threshold::holds_of(text, &metrics) == Some(false),
                }
        });
        failed.map(|(text, _)| format!("threshold `{}: {}` failed", text.metric, text.label()))
    }

    fn look_at_windows(&mut self, so_far: &Totals, second: &IntervalHistograms) {
        let longest = self.thresholds.iter().filter_map(|text| text.over).max();
        let (Some(longest), false) = (longest, second.length.is_zero()) else { return };
        self.seconds.push_back((second.recorder.clone(), second.length));
        let length = |seconds: &VecDeque<(Recorder, Duration)>| -> Duration {
            seconds.iter().map(|(_, length)| *length).sum()
        };
        while self.seconds.len() > 1
            && length(&self.seconds) - self.seconds[0].1 >= longest.saturating_sub(SLACK)
        {
            let gone = self.seconds.pop_front().map_or(Duration::ZERO, |(_, length)| length);
            self.begin += gone.as_secs_f64();
        }
        let end = self.begin + length(&self.seconds).as_secs_f64();
        for place in 0..self.thresholds.len() {
            let Some(over) = self.thresholds[place].over else { continue };
            let Some((metrics, begin)) = self.window(so_far, (over, end)) else { continue };
            if threshold::holds_of(&self.thresholds[place], &metrics) == Some(false) {
                let first = self.broken[place].unwrap_or((begin, end, 0));
                self.broken[place] = Some((first.0, first.1, first.2 + 1));
            }
        }
    }

    /// What was measured in the latest seconds that fill a window, and when it began.
    fn window(&self, so_far: &Totals, (over, end): (Duration, f64)) -> Option<(Metrics, f64)> {
        let mut sum = Recorder::default();
        let mut length = Duration::ZERO;
        for (recorder, more) in self.seconds.iter().rev() {
            sum.merge(recorder);
            length += *more;
            if length >= over.saturating_sub(SLACK) {
                let metrics = so_far.with_recorder(sum, length).so_far().metrics;
                return Some((metrics, end - length.as_secs_f64()));
            }
        }
        None
    }

    /// Judges all thresholds at the end: marks them on the metrics, and gives those that failed.
    pub fn judge(&self, metrics: &mut Metrics) -> Vec<String> {
        let mut failed = threshold::judge(&self.thresholds, metrics);
        for (text, broken) in self.thresholds.iter().zip(&self.broken) {
            if text.over.is_none() {
                continue;
            }
            if let Some(metric) = metrics.get_mut(&text.metric) {
                metric.thresholds.entry(text.label()).or_default().ok = broken.is_none();
            }
            if broken.is_some() {
                failed.push(format!("{}: {}", text.metric, text.label()));
            }
        }
        failed
    }

    /// Says which windows broke a threshold.
    #[must_use]
    pub fn warning(&self) -> Option<Warning> {
        let told = self.thresholds.iter().zip(&self.broken).filter_map(|(text, broken)| {
            let (begin, end, count) = (*broken)?;
            let windows = if count == 1 { "window" } else { "windows" };
            Some(format!(
                "`{}: {}` did not hold in {count} {windows}, first from {begin:.0} s to {end:.0} s",
                text.metric,
                text.label()
            ))
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| Warning {
            code: WINDOW_BROKEN.to_owned(),
            message: told.join("; "),
            advice: "look at these seconds in the series".to_owned(),
        })
    }
}

/// Seconds are measured by several threads, and never to the nanosecond.
const SLACK: Duration = Duration::from_millis(100);
