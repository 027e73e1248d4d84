//! Silence: the rule by which a target that takes connections and answers nothing counts as lost.
//! Pure. In: the intervals of a pass. Out: the word that it is over. A round has no duration of
//! its own, so without this rule a stopped process would hold a run for as long as its requests
//! time out, one after another. A target that refuses connections is left to the engine.

use ebbtide_record::event::Interval;
use std::time::Duration;

/// How long a target may be silent under load: three times what a request waits by default, so
/// that one pause of a collector or a slow disk is not taken for the end.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// How long nothing was answered.
#[derive(Debug, Default)]
pub struct Silence {
    lasted_ms: f64,
    failed: bool,
}

impl Silence {
    /// One more interval; says why the target is lost once it is. Silence counts only when
    /// something was asked and failed in it: users who think and rooms without talk are no loss.
    pub fn after(&mut self, interval: &Interval) -> Option<String> {
        if interval.bytes_received > 0 || interval.messages_received > 0 {
            *self = Self::default();
            return None;
        }
        self.lasted_ms += interval.duration_ms;
        self.failed |= interval.errors.values().any(|count| *count > 0);
        (self.failed && self.lasted_ms >= LOST_AFTER.as_secs_f64() * 1e3).then(|| {
            format!(
                "the target has answered nothing for {} s: is it stopped or stuck?",
                LOST_AFTER.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(bytes_received: u64, timeouts: u64) -> Interval {
        let errors = [("timeout".to_owned(), timeouts)].into();
        Interval { duration_ms: 1_000.0, bytes_received, errors, ..Interval::default() }
    }

    #[test]
    fn only_silence_with_failures_is_a_loss() {
        let lost = |seconds: &[(u64, u64)]| {
            let mut silence = Silence::default();
            seconds.iter().any(|(bytes, errors)| silence.after(&second(*bytes, *errors)).is_some())
        };
        assert!(lost(&[(0, 1); 30]), "time-outs alone");
        assert!(lost(&[&[(0, 0); 29][..], &[(0, 8)]].concat()), "time-outs that come late");
        assert!(!lost(&[(0, 1); 29]), "a stall that may end");
        assert!(!lost(&[(0, 0); 600]), "users who think");
        assert!(!lost(&[&[(0, 1); 29][..], &[(9, 0)], &[(0, 1); 29]].concat()), "an answer");
    }
}
