//! When iterations start, and how many users there are, as closed forms of the plan. Pure.
//!
//! In: an executor. Out: the n-th intended start (for a linear ramp the integral of the rate,
//! inverted), the turns of each user, and the shares of segments. Waiting for those times is left
//! to the engine.

mod ramp;
mod starts;

pub use ramp::{Ramp, Turn};
pub use starts::{Start, Starts};

use crate::scenario::{Executor, Stage};
use std::time::Duration;

/// A product like 0.1 x 30 must not gain an arrival by rounding.
const ROUNDING: f64 = 1e-9;

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

    /// A schedule of linear stages, rates per second. A stage without length is a jump.
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

    /// The integral of the rate over the whole schedule.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.pieces.last().map_or(0.0, |piece| piece.before + piece.arrivals())
    }

    /// Arrivals of the whole schedule when they come evenly: those whose start lies before its
    /// end.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.total() - ROUNDING).ceil().max(0.0) as u64
    }

    /// Whether this many arrivals are past the schedule's end.
    #[must_use]
    pub fn is_past(&self, arrivals: f64) -> bool {
        arrivals >= self.total() - ROUNDING
    }

    /// The n-th intended start of even arrivals, from 0, counted from the schedule's begin.
    #[must_use]
    pub fn nth(&self, n: u64) -> Duration {
        self.time_of(n as f64)
    }

    /// When so many arrivals have come: the inverse of [`Schedule::arrivals_until`]. Past the end
    /// the last piece's rate is held, for passes that count iterations instead of seconds.
    #[must_use]
    pub fn time_of(&self, arrivals: f64) -> Duration {
        let after = self.pieces.partition_point(|piece| piece.before <= arrivals);
        let Some(piece) = self.pieces.get(after.saturating_sub(1)) else {
            return Duration::ZERO;
        };
        let within = arrivals - piece.before;
        let seconds = if within <= piece.arrivals() {
            piece.start + piece.time_of(within)
        } else {
            let rate = if piece.to > 0.0 { piece.to } else { piece.from.max(1.0) };
            piece.start + piece.length + (within - piece.arrivals()) / rate
        };
        Duration::from_secs_f64(seconds)
    }

    /// Arrivals with an intended start before `time`: the integral of the rate.
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

/// Users that a flow ever has.
#[must_use]
pub fn vus_max(executor: &Executor) -> u32 {
    match executor {
        Executor::SharedIterations { vus, .. } | Executor::PerVuIterations { vus, .. } => *vus,
        Executor::ConstantArrivalRate { pool, .. } | Executor::RampingArrivalRate { pool, .. } => {
            pool.max
        }
        Executor::ConstantVus { .. } | Executor::RampingVus { .. } => {
            Ramp::of(executor).map_or(0, |ramp| ramp.most()).max(1)
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
