//! When to try again: delays that double up to a bound, spread so that a thousand clients do not
//! come back at once.
//!
//! Comes in: how many attempts there have been, and a seed. Goes out: the next delay, or none
//! when it is enough. The formula is that of `socket.io-client` (backo2).

use std::time::Duration;

/// The policy; its defaults are npm's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reconnection {
    /// Before the first attempt.
    pub delay: Duration,
    /// At most, before any.
    pub max_delay: Duration,
    /// Which share of a delay is left to chance, 0 to 1.
    pub jitter: f64,
    /// How often to try in a row; none is for ever.
    pub attempts: Option<u32>,
}

impl Eq for Reconnection {}

impl Default for Reconnection {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(5),
            jitter: 0.5,
            attempts: None,
        }
    }
}

impl Reconnection {
    /// The delay before the attempt after `attempts` failed ones; `chance` is in 0..1.
    #[must_use]
    pub fn next_delay(&self, attempts: u32, chance: f64) -> Option<Duration> {
        /// 2^30 of the shortest delays is beyond any bound.
        const LARGEST_EXPONENT: u32 = 30;
        if self.attempts.is_some_and(|limit| attempts >= limit) {
            return None;
        }
        let factor = 1_u32 << attempts.min(LARGEST_EXPONENT);
        let base = self.delay.saturating_mul(factor).min(self.max_delay.saturating_mul(2));
        let jitter = if self.jitter.is_finite() { self.jitter.clamp(0.0, 1.0) } else { 0.0 };
        let spread = base.mul_f64(jitter * chance.clamp(0.0, 1.0));
        // npm takes the sign from the first decimal of the same number.
        let is_shorter = ((chance * 10.0) as u32).is_multiple_of(2);
        let delay = if is_shorter { base.saturating_sub(spread) } else { base + spread };
        Some(delay.min(self.max_delay))
    }
}

/// A sequence of numbers in 0..1 out of a seed: splitmix64.
#[derive(Debug)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper 53 bits, as many as a float holds.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound() {
        let policy = Reconnection { jitter: 0.0, attempts: Some(5), ..Reconnection::default() };
        let seconds: Vec<Option<u64>> = (0..6)
            .map(|tried| policy.next_delay(tried, 0.9).map(|delay| delay.as_secs()))
            .collect();
        assert_eq!(seconds, [Some(1), Some(2), Some(4), Some(5), Some(5), None]);
    }

    #[test]
    fn jitter_goes_both_ways_within_its_share() {
        let policy = Reconnection::default();
        let ms = |chance| policy.next_delay(0, chance).unwrap().as_millis();
        assert_eq!((ms(0.4), ms(0.5)), (800, 1250));
        let mut chance = Chance(7);
        for attempts in [0, 1, 31, u32::MAX] {
            for _ in 0..1000 {
                let next = chance.next();
                assert!((0.0..1.0).contains(&next));
                let delay = policy.next_delay(attempts, next).unwrap();
                assert!(delay >= Duration::from_millis(500) && delay <= policy.max_delay);
            }
        }
    }
}
