//! How sessions are ended when the server stops: in batches, with jitter, within a bound.
//! In: the open sessions and the time there is. Out: each is told to go and to come back.
//! Leaves to others: what a session says (`session`, `sio`), who waits for the last (`server`).

use crate::registry::Registry;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Sessions closed together, when there is time.
const BATCH: usize = 100;

/// Mean time between two batches, so that clients do not come back all at once.
const PAUSE: Duration = Duration::from_millis(20);

/// Part of the time that telling may take; the rest is for those who have been told.
const SHARE: u32 = 2;

/// How many are told at once, so that all are told in time.
fn batch(sessions: usize, within: Duration) -> usize {
    let steps = (within / SHARE).as_nanos() / PAUSE.as_nanos();
    let steps = usize::try_from(steps).unwrap_or(usize::MAX).max(1);
    sessions.div_ceil(steps).max(BATCH)
}

/// Half to one and a half of the pause, so that several servers that stop together do not beat in
/// time. The hasher of the standard library brings the chance.
fn pause(chance: &RandomState, step: u64) -> Duration {
    let part = u32::try_from(chance.hash_one(step) % 1_000).unwrap_or_default();
    PAUSE / 2 + PAUSE * part / 1_000
}

/// Tells all sessions to end; more may have begun meanwhile, which know it from the start.
pub(crate) async fn end_sessions(registry: &Registry, within: Duration) {
    let chance = RandomState::new();
    let begun = Instant::now();
    let count = batch(registry.len(), within);
    let (mut after, mut step) = (0, 0);
    while let Some(number) = registry.end_some(after, count) {
        after = number;
        step += 1;
        if begun.elapsed() < within / SHARE {
            tokio::time::sleep(pause(&chance, step)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_told_in_time() {
        for (sessions, within_ms, expected) in
            [(0, 10_000, 100), (10_000, 10_000, 100), (50_000, 10_000, 200), (1_000, 1, 1_000)]
        {
            assert_eq!(batch(sessions, Duration::from_millis(within_ms)), expected, "{sessions}");
        }
    }

    #[test]
    fn pauses_differ_around_the_mean() {
        let chance = RandomState::new();
        let pauses: Vec<_> = (0..1_000).map(|step| pause(&chance, step)).collect();
        assert!(pauses.iter().all(|one| (PAUSE / 2..PAUSE * 3 / 2).contains(one)));
        assert!(pauses.windows(2).any(|two| two[0] != two[1]));
        let mean = pauses.iter().sum::<Duration>() / 1_000;
        assert!(mean > PAUSE * 9 / 10 && mean < PAUSE * 11 / 10, "{mean:?}");
    }
}
