//! Pausing a load and changing its pace while it goes on.
//!
//! In: wishes from whoever holds the reins. Out: the same changes, at the same moments, for all
//! threads. Plan time stands still in a pause; a pace multiplies what is due, arrivals or users,
//! and leaves the time as planned. What follows for arrivals and users is left to the executors.

use std::cell::{Cell, Ref, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Changes of one load at most: more than a hand makes.
const CHANGES_MAX: usize = 10_000;

/// Slowest and fastest pace.
pub const PACE_RANGE: (f64, f64) = (0.01, 100.0);

/// What holds from a moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    /// Nanoseconds since the engine began.
    pub(crate) at: u64,
    pub(crate) paused: bool,
    pub(crate) pace: f64,
}

const UNCHANGED: Change = Change { at: 0, paused: false, pace: 1.0 };

/// The changes of a load, for all its threads.
#[derive(Default)]
pub(crate) struct Tempo {
    changes: Mutex<Vec<Change>>,
    /// How many there are: what threads look at.
    count: AtomicUsize,
}

impl Tempo {
    /// Notes a change; false when nothing changes.
    pub(crate) fn change(&self, now: u64, wish: impl FnOnce(&mut Change)) -> bool {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = changes.last().copied().unwrap_or(UNCHANGED);
        let mut next = Change { at: now.max(latest.at), ..latest };
        wish(&mut next);
        next.pace = next.pace.clamp(PACE_RANGE.0, PACE_RANGE.1);
        let same = next.paused == latest.paused && next.pace == latest.pace;
        if same || changes.len() >= CHANGES_MAX {
            return false;
        }
        changes.push(next);
        self.count.store(changes.len(), Ordering::Release);
        true
    }

    /// Nanoseconds of pauses up to a moment.
    pub(crate) fn lost(&self, now: u64) -> u64 {
        if self.count.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let pulse = Pulse::default();
        pulse.look(self);
        now - pulse.plan_time(now).min(now)
    }
}

/// One thread's view of the changes.
#[derive(Default)]
pub(crate) struct Pulse {
    changes: RefCell<Vec<Change>>,
    seen: Cell<usize>,
    /// Since when it is paused.
    since: Cell<Option<u64>>,
    /// Nanoseconds of pauses that are over.
    lost: Cell<u64>,
}

impl Pulse {
    /// Takes in what is new; true when something is.
    pub(crate) fn look(&self, tempo: &Tempo) -> bool {
        let count = tempo.count.load(Ordering::Acquire);
        if count == self.seen.get() {
            return false;
        }
        let all = tempo.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for change in all.iter().take(count).skip(self.seen.get()) {
            match (self.since.get(), change.paused) {
                (None, true) => self.since.set(Some(change.at)),
                (Some(since), false) => {
                    self.lost.set(self.lost.get() + change.at - since);
                    self.since.set(None);
                }
                _ => {}
            }
            self.changes.borrow_mut().push(*change);
        }
        self.seen.set(count);
        true
    }

    /// Changes seen so far.
    #[inline]
    pub(crate) fn seen(&self) -> usize {
        self.seen.get()
    }

    /// The changes seen so far.
    pub(crate) fn changes(&self) -> Ref<'_, Vec<Change>> {
        self.changes.borrow()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.since.get().is_some()
    }

    /// What due arrivals and users are multiplied by.
    pub(crate) fn pace(&self) -> f64 {
        self.changes.borrow().last().unwrap_or(&UNCHANGED).pace
    }

    /// The time as planned, in which pauses do not count.
    #[inline]
    pub(crate) fn plan_time(&self, now: u64) -> u64 {
        let now = if self.seen.get() == 0 { now } else { self.since.get().unwrap_or(now).min(now) };
        now.saturating_sub(self.lost.get())
    }

    /// When a planned time comes; none while that is not known.
    #[inline]
    pub(crate) fn real_time(&self, planned: u64) -> Option<u64> {
        self.since.get().is_none().then(|| planned.saturating_add(self.lost.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_time_stands_still_in_a_pause() {
        let (tempo, pulse) = (Tempo::default(), Pulse::default());
        assert!(!pulse.look(&tempo));
        assert!(tempo.change(100, |change| change.paused = true));
        assert!(!tempo.change(120, |change| change.paused = true), "paused already");
        assert!(pulse.look(&tempo) && pulse.is_paused());
        assert_eq!((pulse.plan_time(50), pulse.plan_time(170)), (50, 100));
        assert_eq!(pulse.real_time(130), None);
        assert!(tempo.change(180, |change| change.paused = false));
        assert!(tempo.change(190, |change| change.pace = 1e9));
        assert!(pulse.look(&tempo) && !pulse.is_paused());
        assert_eq!((pulse.plan_time(200), pulse.real_time(120)), (120, Some(200)));
        assert_eq!((pulse.pace(), tempo.lost(200)), (PACE_RANGE.1, 80));
    }
}
