//! A token bucket in one number: the time at which it will be full again (the generic cell rate
//! algorithm of ITU-T I.371, which is the same bucket seen from the other side).
//! In: times in nanoseconds. Out: yes, or how long to wait.
//! Leaves to others: whose bucket it is (`table`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What `Rate` is called when there is none.
const OFF: &str = "off";

/// The most a rate may say, a second or at once: beyond it, a token lasts no nanosecond.
const MOST: u32 = 1_000_000_000;

/// How often something may be done: so many times a second, and so many at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

/// Time until it may be tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Wait(Duration);

impl Wait {
    /// Whole seconds, rounded up, as `Retry-After` of RFC 9110 section 10.2.3 wants them.
    pub(crate) fn seconds(self) -> u64 {
        let whole = self.0.as_secs();
        whole + u64::from(self.0.subsec_nanos() > 0)
    }
}

impl Rate {
    /// No limit.
    pub const OFF: Self = Self { per_second: 0, burst: 0 };

    /// So many a second, and `burst` at once. 0 a second is no limit.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }

    pub(super) fn is_off(self) -> bool {
        self.per_second == 0
    }

    /// Takes a token at `now` from a bucket that is full again at `full`; gives the time at which
    /// it will be full then.
    pub(super) fn take(self, full: u64, now: u64) -> Result<u64, Wait> {
        let token = 1_000_000_000 / u64::from(self.per_second.max(1));
        let depth = token.saturating_mul(u64::from(self.burst.max(1)));
        let after = full.max(now).saturating_add(token);
        let missing = (after - now).saturating_sub(depth);
        if missing > 0 { Err(Wait(Duration::from_nanos(missing))) } else { Ok(after) }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == OFF {
            return Ok(Self::OFF);
        }
        let wrong =
            || format!("`{text}` is no rate (`50:200`: 50 a second, 200 at once; or `off`)");
        let (per_second, burst) = text.split_once(':').ok_or_else(wrong)?;
        let number = |text: &str| text.parse().ok().filter(|number| (1..=MOST).contains(number));
        let (per_second, burst) = (number(per_second), number(burst));
        Ok(Self { per_second: per_second.ok_or_else(wrong)?, burst: burst.ok_or_else(wrong)? })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_off() {
            return f.write_str(OFF);
        }
        write!(f, "{}:{}", self.per_second, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let rate = Rate::new(10, 5);
        let mut full = 0;
        for _ in 0..5 {
            full = rate.take(full, SECOND).unwrap();
        }
        let wait = rate.take(full, SECOND).unwrap_err();
        assert_eq!(wait, Wait(Duration::from_millis(100)));
        assert_eq!(wait.seconds(), 1);
        full = rate.take(full, SECOND + SECOND / 10).unwrap();
        assert!(rate.take(full, SECOND + SECOND / 10).is_err());
        // After a rest the burst is there again, and not more.
        let later = 100 * SECOND;
        for _ in 0..5 {
            full = rate.take(full, later).unwrap();
        }
        assert!(rate.take(full, later).is_err());
        // In ten seconds so many go through as ten seconds allow.
        let mut taken = 0;
        for step in 0..10_000 {
            if let Ok(next) = rate.take(full, later + step * SECOND / 1_000) {
                full = next;
                taken += 1;
            }
        }
        assert!((99..=100).contains(&taken), "{taken}");
    }

    #[test]
    fn rates_are_read() {
        for text in ["50:200", "1:1", "off"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for wrong in ["", "50", "0:1", "1:0", "-1:1", "a:b", "1:2:3", "9999999999:1"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
