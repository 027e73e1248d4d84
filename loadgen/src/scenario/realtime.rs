//! What steps of open connections are told beyond a path and a text: what a message is made of,
//! how many it should reach, how a lost connection is opened again. Pure.
//!
//! In and out: values as typed, checked by `step/websocket.rs`.

use crate::template::Template;
use serde::Serialize;
use std::time::Duration;

/// What a message is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// Text.
    Text(Template),
    /// The same bytes in a binary message.
    Binary(Template),
    /// Bytes that need not be text, in a binary message.
    Bytes(Vec<u8>),
}

impl Payload {
    /// Its template, if it has one.
    #[must_use]
    pub fn template(&self) -> Option<&Template> {
        match self {
            Self::Text(template) | Self::Binary(template) => Some(template),
            Self::Bytes(_) => None,
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::Text(Template::default())
    }
}

/// How many recipients a stamped message should reach.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// So many.
    Count(u64),
    /// As many as the text says once it is rendered.
    Text(Template),
}

/// How a lost connection is opened again: the n-th attempt waits `delay` doubled n times, up to
/// `max`, give or take a random share up to `jitter`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reconnect {
    /// Before the first attempt.
    pub delay: Duration,
    /// At most.
    pub max: Duration,
    /// Share of the delay, 0 to 1.
    pub jitter: f64,
    /// Attempts in a row; 0 for no end.
    pub attempts: u32,
}

impl Default for Reconnect {
    /// The defaults of Socket.IO's client, whose users have met them all along.
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            max: Duration::from_secs(5),
            jitter: 0.5,
            attempts: 0,
        }
    }
}

impl Reconnect {
    /// The wait before an attempt, counted from 0; `random` decides the jitter.
    #[must_use]
    pub fn wait(&self, attempt: u32, random: u64) -> Duration {
        let doubled = self.delay.as_secs_f64() * 2_f64.powi(attempt.min(64) as i32);
        let capped = doubled.min(self.max.as_secs_f64());
        let share = random as f64 / u64::MAX as f64 * 2.0 - 1.0;
        let wait = capped * (1.0 + self.jitter * share);
        Duration::from_secs_f64(wait.clamp(0.0, self.max.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let policy = Reconnect {
            delay: Duration::from_millis(100),
            max: Duration::from_secs(1),
            jitter: 0.5,
            attempts: 0,
        };
        for (attempt, random, ms) in [
            (0, 0, 50),
            (0, u64::MAX, 150),
            (1, 0, 100),
            (3, u64::MAX / 2, 800),
            (4, 0, 500),
            (4, u64::MAX, 1_000),
            (u32::MAX, u64::MAX / 2, 1_000),
        ] {
            let wait = policy.wait(attempt, random).as_secs_f64() * 1e3;
            assert!((wait - f64::from(ms)).abs() < 0.01, "{attempt} {random}: {wait}");
        }
    }
}
