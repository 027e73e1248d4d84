//! Watches: what a wait is given up for, its deadline or the end of its flow, so that one coarse
//! sweep serves all and no exchange needs a timer.
//!
//! In: deadlines, and being told that they have passed. Out: a reason to stop waiting. When to
//! sweep is left to the engine.

use crate::sample::Failure;
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// What a task waits under: a deadline, and who to wake when it passes.
pub(crate) struct Watch {
    deadline: Cell<u64>,
    /// When it is cut by itself.
    limit: Cell<u64>,
    cut: Cell<bool>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    pub(crate) flow: usize,
}

impl Watch {
    pub(super) fn new(flow: usize) -> Self {
        Self {
            deadline: Cell::new(NEVER),
            limit: Cell::new(NEVER),
            cut: Cell::new(false),
            expired: Cell::new(false),
            waker: RefCell::new(None),
            flow,
        }
    }

    /// Ends the wait if its deadline has passed, and all waits if their limit has.
    pub(super) fn sweep(&self, now: u64) {
        if self.deadline.get() <= now {
            self.deadline.set(NEVER);
            self.expired.set(true);
            self.wake();
        }
        if self.limit.get() <= now {
            self.limit.set(NEVER);
            self.cut();
        }
    }

    /// Sets when this wait and later ones end, whatever their deadlines.
    pub(crate) fn set_limit(&self, limit: u64) {
        self.limit.set(limit);
    }

    /// When this wait and later ones end, whatever their deadlines.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.get()
    }

    /// Ends this wait and later ones.
    pub(super) fn cut(&self) {
        if !self.cut.replace(true) {
            self.wake();
        }
    }

    /// Sets the deadline of the next waits, nanoseconds since the engine began.
    #[inline]
    pub(crate) fn set(&self, deadline: u64) {
        self.deadline.set(deadline);
        self.expired.set(false);
    }

    /// The deadline of the waits; the greatest moment when there is none.
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.get()
    }

    /// No deadline until the next one is set.
    #[inline]
    pub(crate) fn clear(&self) {
        self.set(NEVER);
    }

    /// Lets a task that was cut wait again, for its farewell.
    pub(crate) fn mend(&self) {
        self.cut.set(false);
        self.clear();
    }

    /// Whether the flow's time is up altogether.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// The reason not to wait any longer, if there is one. The task is woken when there will be.
    #[inline]
    pub(crate) fn poll_end(&self, context: &Context<'_>) -> Poll<Failure> {
        if self.expired.get() {
            return Poll::Ready(Failure::TimedOut);
        }
        if self.cut.get() {
            return Poll::Ready(Failure::Interrupted);
        }
        let mut waker = self.waker.borrow_mut();
        // A task's waker stays the same, so that it is cloned once.
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
