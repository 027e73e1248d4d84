//! What the tasks of one engine thread share: the plan, the clock, the recorder, and the watches
//! by which one coarse sweep cuts waits whose time is up, so that no exchange needs a timer.
//!
//! In: a plan and a pass. Out: shared state for one thread; nothing here is ever locked.

use super::{Pass, Shared};
use crate::plan::Plan;
use crate::recorder::{Recorder, Trend};
use crate::sample::Failure;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// No deadline.
const NEVER: u64 = u64::MAX;

/// What the tasks of one thread share.
pub(crate) struct Local {
    pub(crate) plan: Arc<Plan>,
    pub(crate) pass: Pass,
    pub(crate) shared: Arc<Shared>,
    /// Addresses of the target.
    pub(crate) addresses: Vec<SocketAddr>,
    /// This thread's place, and how many there are.
    pub(crate) place: usize,
    pub(crate) threads: usize,
    pub(crate) recorder: RefCell<Recorder>,
    watches: RefCell<Vec<Rc<Watch>>>,
    /// Users of this thread that exist.
    pub(crate) vus: Cell<u64>,
    pub(crate) vus_max: Cell<u64>,
}

/// What a task waits under: a deadline, and who to wake when it passes.
pub(crate) struct Watch {
    deadline: Cell<u64>,
    cut: Cell<bool>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    pub(crate) flow: usize,
}

impl Local {
    pub(crate) fn new(
        (plan, pass, shared): (Arc<Plan>, Pass, Arc<Shared>),
        addresses: Vec<SocketAddr>,
        (place, threads): (usize, usize),
    ) -> Rc<Self> {
        let recorder = Recorder::new(plan.slots.len(), plan.checks.len());
        Rc::new(Self {
            plan,
            pass,
            shared,
            addresses,
            place,
            threads,
            recorder: RefCell::new(recorder),
            watches: RefCell::default(),
            vus: Cell::new(0),
            vus_max: Cell::new(0),
        })
    }

    /// Nanoseconds since the engine began.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.shared.epoch.elapsed().as_nanos() as u64
    }

    /// The moment `nanos` after the engine began.
    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        self.shared.epoch + Duration::from_nanos(nanos)
    }

    /// Nanoseconds at which a flow's own time begins.
    pub(crate) fn flow_start(&self, flow: usize) -> u64 {
        self.plan.flows[flow].start_time.as_nanos() as u64
    }

    /// Changes what was measured.
    #[inline]
    pub(crate) fn note<T>(&self, change: impl FnOnce(&mut Recorder) -> T) -> T {
        change(&mut self.recorder.borrow_mut())
    }

    #[inline]
    pub(crate) fn record(&self, slot: usize, trend: Trend, nanos: u64) {
        self.recorder.borrow_mut().record(slot, trend, nanos);
    }

    /// A watch for a task of a flow.
    pub(crate) fn watch(&self, flow: usize) -> Rc<Watch> {
        let watch = Rc::new(Watch {
            deadline: Cell::new(NEVER),
            cut: Cell::new(false),
            expired: Cell::new(false),
            waker: RefCell::new(None),
            flow,
        });
        self.watches.borrow_mut().push(Rc::clone(&watch));
        watch
    }

    /// Drops the watches whose tasks have ended.
    pub(crate) fn forget_watches(&self) {
        self.watches.borrow_mut().retain(|watch| Rc::strong_count(watch) > 1);
    }

    /// Wakes every task whose deadline has passed.
    pub(crate) fn sweep(&self, now: u64) {
        for watch in self.watches.borrow().iter() {
            if watch.deadline.get() <= now {
                watch.deadline.set(NEVER);
                watch.expired.set(true);
                watch.wake();
            }
        }
    }

    /// Cuts every wait of a flow, now and later.
    pub(crate) fn cut(&self, flow: usize) {
        for watch in self.watches.borrow().iter().filter(|watch| watch.flow == flow) {
            if !watch.cut.replace(true) {
                watch.wake();
            }
        }
    }

    /// Wakes every task, so that it sees that the load is over.
    pub(crate) fn wake_all(&self) {
        for watch in self.watches.borrow().iter() {
            watch.wake();
        }
    }
}

impl Watch {
    /// Sets the deadline of the next waits, nanoseconds since the engine began.
    #[inline]
    pub(crate) fn set(&self, deadline: u64) {
        self.deadline.set(deadline);
        self.expired.set(false);
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

    /// Sleeps until a moment, or until it is cut.
    pub(crate) async fn sleep_until(&self, moment: Instant) -> Result<(), Failure> {
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(moment.into()));
        poll_fn(|context| {
            if sleep.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.poll_end(context).map(Err)
        })
        .await
    }
}
