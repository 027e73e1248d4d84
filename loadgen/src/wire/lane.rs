//! What everything on one engine thread works with: the reactor and its clock, the recorder, the
//! watches, the way to the target.
//!
//! In: an epoch, a route, an empty recorder. Out: the time, notes in the recorder, waits. Plans
//! and passes are left to the engine; nothing here is ever locked.

use super::reactor::Reactor;
use super::route::Route;
use super::tls::TlsClient;
use super::watch::Watch;
use crate::recorder::{Recorder, Trend};
use crate::sample::Failure;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// What the tasks of one thread work with.
pub(crate) struct Lane {
    pub(crate) reactor: Rc<Reactor>,
    /// The way to the target.
    pub(crate) route: Arc<Route>,
    /// TLS settings, with the sessions of this thread.
    pub(crate) tls: Option<TlsClient>,
    pub(crate) recorder: RefCell<Recorder>,
    watches: RefCell<Vec<Rc<Watch>>>,
}

impl Lane {
    pub(crate) fn new(epoch: Instant, route: Arc<Route>, recorder: Recorder) -> io::Result<Self> {
        Ok(Self {
            reactor: Reactor::new(epoch)?,
            tls: route.tls.as_ref().map(|tls| tls.for_thread(&route.transport.tls)),
            route,
            recorder: RefCell::new(recorder),
            watches: RefCell::default(),
        })
    }

    /// Nanoseconds since the engine began.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.reactor.now()
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
        let watch = Rc::new(Watch::new(flow));
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
            watch.sweep(now);
        }
    }

    /// Cuts every wait of a flow, now and later.
    pub(crate) fn cut(&self, flow: usize) {
        for watch in self.watches.borrow().iter().filter(|watch| watch.flow == flow) {
            watch.cut();
        }
    }

    /// Takes back all limits: what they were for has changed.
    pub(crate) fn clear_limits(&self) {
        for watch in self.watches.borrow().iter() {
            watch.set_limit(super::watch::NEVER);
        }
    }

    /// Wakes every task, so that it sees that the load is over or has changed.
    pub(crate) fn wake_all(&self) {
        for watch in self.watches.borrow().iter() {
            watch.wake();
        }
    }

    /// Sleeps until a moment, nanoseconds since the engine began, or until the watch ends it.
    /// Whenever the task is polled meanwhile, so is `service`.
    pub(crate) async fn sleep_until(
        &self,
        due: u64,
        watch: &Watch,
        mut service: impl FnMut(),
    ) -> Result<(), Failure> {
        let mut asked = false;
        poll_fn(|context| {
            if self.now() >= due {
                return Poll::Ready(Ok(()));
            }
            if !std::mem::replace(&mut asked, true) {
                self.reactor.poll_at(due);
            }
            service();
            watch.poll_end(context).map(Err)
        })
        .await
    }
}
