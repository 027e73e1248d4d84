//! The reins of a run, held by whoever watches it: stop after this operation, leave now, take a
//! snapshot. Cheap to clone; never blocks.
//! In: wishes from a keyboard or a signal. Out: the same, to whoever asks or waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use tokio::sync::Notify;

// Wishes only grow; zero is none.
const STOP: u8 = 1;
const ABORT: u8 = 2;

/// The reins of a run.
#[derive(Clone, Debug, Default)]
pub struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    wish: AtomicU8,
    snapshots: AtomicU32,
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

    async fn until(&self, holds: fn(&Self) -> bool) {
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
