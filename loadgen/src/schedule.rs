//! When iterations start, and how many users there are, as closed forms of the plan. Pure.
//!
//! In: an executor. Out: the n-th intended start (for a linear ramp the integral of the rate,
//! inverted), and the users at a time. Waiting for those times is left to the engine.

use crate::scenario::{Executor, Stage};
use std::time::Duration;

/// Intended starts of an open flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    pieces: Vec<Piece>,
}

/// A stretch of time in which the rate changes linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    /// Where it begins, seconds.
    start: f64,
    /// Its length, seconds.
    length: f64,
    /// Rate at its start, per second.
    from: f64,
    /// Rate at its end, per second.
    to: f64,
    /// Arrivals before it.
    before: f64,
}

impl Piece {
    fn arrivals(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.length
    }

    /// Time within the piece at which `arrivals` have come: the root of
    /// `from t + (to - from) / (2 length) t^2 = arrivals`, in the form that does not cancel.
    fn time_of(&self, arrivals: f64) -> f64 {
        let bend = (self.to - self.from) / (2.0 * self.length);
        let root = (self.from * self.from + 4.0 * bend * arrivals).max(0.0).sqrt();
        let divisor = self.from + root;
        if divisor <= 0.0 { 0.0 } else { (2.0 * arrivals / divisor).min(self.length) }
    }
}

impl Schedule {
    /// The schedule of an executor; none for those that do not start by the clock.
    #[must_use]
    pub fn of(executor: &Executor) -> Option<Self> {
        match executor {
            Executor::ConstantArrivalRate { rate, time_unit, duration, .. } => {
                let per_second = rate / time_unit.as_secs_f64();
                let hold = Stage { duration: *duration, target: per_second };
                Some(Self::from_stages(per_second, &[hold]))
            }
            Executor::RampingArrivalRate { start_rate, time_unit, stages, .. } => {
                let unit = time_unit.as_secs_f64();
                let scaled: Vec<Stage> = stages
                    .iter()
                    .map(|stage| Stage { target: stage.target / unit, ..*stage })
                    .collect();
                Some(Self::from_stages(start_rate / unit, &scaled))
            }
            _ => None,
        }
    }

    /// A schedule of linear stages, rates per second.
    #[must_use]
    pub fn from_stages(start_rate: f64, stages: &[Stage]) -> Self {
        let (mut start, mut from, mut before) = (0.0, start_rate, 0.0);
        let mut pieces = Vec::with_capacity(stages.len());
        for stage in stages {
            let length = stage.duration.as_secs_f64();
            if length > 0.0 {
                let piece = Piece { start, length, from, to: stage.target, before };
                before += piece.arrivals();
                start += length;
                pieces.push(piece);
            }
            from = stage.target;
        }
        Self { pieces }
    }

    /// Arrivals of the whole schedule: those whose start lies before its end.
    #[must_use]
    pub fn count(&self) -> u64 {
        let total = self.pieces.last().map_or(0.0, |piece| piece.before + piece.arrivals());
        // A product like 0.1 x 30 must not gain an arrival by rounding.
        (total - 1e-9).ceil().max(0.0) as u64
    }

    /// The n-th intended start, from 0, counted from the schedule's begin. Past the end the last
    /// piece's rate is held, for passes that count iterations instead of seconds.
    #[must_use]
    pub fn nth(&self, n: u64) -> Duration {
        let wanted = n as f64;
        let after = self.pieces.partition_point(|piece| piece.before <= wanted);
        let Some(piece) = self.pieces.get(after.saturating_sub(1)) else {
            return Duration::ZERO;
        };
        let within = wanted - piece.before;
        let seconds = if within <= piece.arrivals() {
            piece.start + piece.time_of(within)
        } else {
            let rate = if piece.to > 0.0 { piece.to } else { piece.from.max(1.0) };
            piece.start + piece.length + (within - piece.arrivals()) / rate
        };
        Duration::from_secs_f64(seconds)
    }

    /// Arrivals with an intended start before `time`.
    #[must_use]
    pub fn arrivals_until(&self, time: Duration) -> f64 {
        let time = time.as_secs_f64();
        let mut sum = 0.0;
        for piece in &self.pieces {
            let t = (time - piece.start).clamp(0.0, piece.length);
            sum += piece.from * t + (piece.to - piece.from) / (2.0 * piece.length) * t * t;
        }
        sum
    }
}

/// Users of a ramp at a time since its begin, rounded to the nearest; none past its end.
#[must_use]
pub fn vus_at(start_vus: u32, stages: &[Stage], time: Duration) -> Option<u32> {
    let mut from = f64::from(start_vus);
    let mut rest = time;
    for stage in stages {
        if rest < stage.duration {
            let share = rest.as_secs_f64() / stage.duration.as_secs_f64();
            return Some((from + (stage.target - from) * share).round() as u32);
        }
        rest -= stage.duration;
        from = stage.target;
    }
    None
}

/// Users that a flow ever has.
#[must_use]
pub fn vus_max(executor: &Executor) -> u32 {
    match executor {
        Executor::ConstantVus { vus, .. }
        | Executor::SharedIterations { vus, .. }
        | Executor::PerVuIterations { vus, .. } => *vus,
        Executor::RampingVus { start_vus, stages } => {
            stages.iter().map(|stage| stage.target.round() as u32).fold(*start_vus, u32::max).max(1)
        }
        Executor::ConstantArrivalRate { pool, .. } | Executor::RampingArrivalRate { pool, .. } => {
            pool.max
        }
    }
}

/// Iterations of user `vu` when `total` are split evenly over `vus`: the first users take what
/// does not divide.
#[must_use]
pub fn share(total: u64, vus: u32, vu: u32) -> u64 {
    let vus = u64::from(vus.max(1));
    total / vus + u64::from(u64::from(vu) < total % vus)
}
