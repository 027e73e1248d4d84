//! Users over time: when each user of a closed flow has its turn. Pure.
//!
//! In: an executor whose users follow the clock. Out: for each user the stretches of time in which
//! it starts iterations. On the way up user n comes when n + 1 users are reached, on the way down
//! it goes when n are, as in k6: fractions of a user are never there early and never gone early.

use crate::scenario::{Executor, Stage};
use std::time::Duration;

/// A stretch of time in which a user starts iterations, since the flow's begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// Its begin.
    pub from: Duration,
    /// Its end.
    pub to: Duration,
}

/// Numbers of users over time, in linear pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Ramp {
    start: f64,
    stages: Vec<Stage>,
}

impl Ramp {
    /// The users of an executor; none when they do not follow the clock.
    #[must_use]
    pub fn of(executor: &Executor) -> Option<Self> {
        match executor {
            Executor::ConstantVus { vus, duration } => {
                let hold = Stage { duration: *duration, target: f64::from(*vus) };
                Some(Self::new(*vus, &[hold]))
            }
            Executor::RampingVus { start_vus, stages, .. } => Some(Self::new(*start_vus, stages)),
            _ => None,
        }
    }

    /// Users that begin as `start` and follow `stages`; targets are rounded to whole users.
    #[must_use]
    pub fn new(start: u32, stages: &[Stage]) -> Self {
        let whole = |stage: &Stage| Stage { target: stage.target.round(), ..*stage };
        Self { start: f64::from(start), stages: stages.iter().map(whole).collect() }
    }

    /// The same with `factor` times the users, rounded.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |users: f64| (users * factor).round();
        let stages = self.stages.iter();
        Self {
            start: scale(self.start),
            stages: stages.map(|stage| Stage { target: scale(stage.target), ..*stage }).collect(),
        }
    }

    /// The most users there are at any time.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.stages.iter().map(|stage| stage.target).fold(self.start, f64::max) as u32
    }

    /// Users at a time since the begin; none past the end.
    #[must_use]
    pub fn users_at(&self, time: Duration) -> Option<u32> {
        let mut from = self.start;
        let mut rest = time;
        for stage in &self.stages {
            if rest < stage.duration {
                let share = rest.as_secs_f64() / stage.duration.as_secs_f64();
                let users = from + (stage.target - from) * share;
                // What rounding leaves of a whole number is that number.
                let whole = users.round();
                let users = if (users - whole).abs() < 1e-9 { whole } else { users };
                let users = if stage.target < from { users.ceil() } else { users.floor() };
                return Some(users as u32);
            }
            rest -= stage.duration;
            from = stage.target;
        }
        None
    }

    /// The turns of a user, in order, none of them empty.
    #[must_use]
    pub fn turns(&self, vu: u32) -> Vec<Turn> {
        let (place, above) = (f64::from(vu), f64::from(vu) + 1.0);
        let mut turns: Vec<Turn> = Vec::new();
        let (mut begin, mut from) = (Duration::ZERO, self.start);
        for stage in &self.stages {
            let to = stage.target;
            let end = begin + stage.duration;
            let part = |share: f64| begin + stage.duration.mul_f64(share.clamp(0.0, 1.0));
            let turn = if from.min(to) >= above {
                Some((begin, end))
            } else if to >= above {
                Some((part((above - from) / (to - from)), end))
            } else if from >= above {
                Some((begin, part((from - place) / (from - to))))
            } else {
                None
            };
            if let Some((from, to)) = turn.filter(|(from, to)| from < to) {
                match turns.last_mut() {
                    Some(last) if last.to == from => last.to = to,
                    _ => turns.push(Turn { from, to }),
                }
            }
            (begin, from) = (end, to);
        }
        turns
    }
}
