//! The reins of a run, held by whoever watches it: stop after this operation, leave now, take a
//! snapshot, hold the load or change its pace. Cheap to clone; never blocks.
//! In: wishes from a keyboard or a signal. Out: the same, to whoever asks or waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, Ordering};
use tokio::sync::Notify;

// Wishes only grow; zero is none.
const STOP: u8 = 1;
const ABORT: u8 = 2;

/// What one step multiplies the load by.
const PACE_STEP: f64 = 1.25;

/// Steps at most, up or down: from an eighty-sixth to eighty-six times the load.
const STEPS: i32 = 20;

/// The reins of a run.
#[derive(Clone, Debug, Default)]
pub struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    wish: AtomicU8,
    snapshots: AtomicU32,
    held: AtomicBool,
    /// Steps of the pace, up or down.
    steps: AtomicI32,
    /// Wishes about the load so far.
    adjustments: AtomicU32,
    changed: Notify,
}

impl Control {
    /// Asks the run to drain, report what there is and end as interrupted.
    pub fn stop(&self) {
        self.inner.wish.fetch_max(STOP, Ordering::SeqCst);
        self.inner.changed.notify_waiters();
    }

    /// Asks the run to end without draining.
    pub fn abort(&self) {
        self.inner.wish.fetch_max(ABORT, Ordering::SeqCst);
        self.inner.changed.notify_waiters();
    }

    /// Asks for a snapshot now, outside the plan.
    pub fn snapshot_now(&self) {
        self.inner.snapshots.fetch_add(1, Ordering::SeqCst);
        self.inner.changed.notify_waiters();
    }

    /// Asks for the load to be held, or for a held one to go on.
    pub fn toggle_hold(&self) {
        self.inner.held.fetch_xor(true, Ordering::SeqCst);
        self.adjusted_now();
    }

    /// Asks for more load, or for less, by a step of a quarter.
    pub fn change_pace(&self, faster: bool) {
        let step = |steps: i32| Some((steps + if faster { 1 } else { -1 }).clamp(-STEPS, STEPS));
        // The closure never declines.
        let _ = self.inner.steps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        self.adjusted_now();
    }

    fn adjusted_now(&self) {
        self.inner.adjustments.fetch_add(1, Ordering::SeqCst);
        self.inner.changed.notify_waiters();
    }

    /// Whether the load is to be held, and what it is to be multiplied by.
    #[must_use]
    pub fn pace(&self) -> (bool, f64) {
        let steps = self.inner.steps.load(Ordering::SeqCst);
        (self.inner.held.load(Ordering::SeqCst), PACE_STEP.powi(steps))
    }

    /// How often something was wished about the load.
    #[must_use]
    pub fn adjustments(&self) -> u32 {
        self.inner.adjustments.load(Ordering::SeqCst)
    }

    /// Waits until there are other adjustments than `seen`.
    pub async fn adjusted(&self, seen: u32) {
        self.until(|control| control.adjustments() != seen).await;
    }

    /// A stop, or more, was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.wish.load(Ordering::SeqCst) >= STOP
    }

    /// Leaving at once was asked for.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.inner.wish.load(Ordering::SeqCst) >= ABORT
    }

    /// Takes the wish for a snapshot, if there is one. Several become one.
    #[must_use]
    pub fn take_snapshot_wish(&self) -> bool {
        self.inner.snapshots.swap(0, Ordering::SeqCst) > 0
    }

    /// Waits until a stop is asked for.
    pub async fn stopped(&self) {
        self.until(Self::is_stopped).await;
    }

    /// Waits until leaving at once is asked for.
    pub async fn aborted(&self) {
        self.until(Self::is_aborted).await;
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that a wish in between is not lost.
            changed.as_mut().enable();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }
}
