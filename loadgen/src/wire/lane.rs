//! What everything on one engine thread works with: the reactor and its clock, the recorder, the
//! watches, the way to the target.
//!
//! In: an epoch, a route, an empty recorder. Out: the time, notes in the recorder, waits. Plans
//! and passes are left to the engine; nothing here is ever locked.

use super::names::{Found, Names};
use super::reactor::Reactor;
use super::route::Route;
use super::tls::TlsClient;
use super::watch::Watch;
use crate::fanout::Fanout;
use crate::recorder::{Recorder, Trend};
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that one read of a WebSocket takes at most: hundreds of small messages.
const SHARED_BUFFER: usize = 64 * 1024;

/// No edition of the addresses.
const NEVER: u64 = u64::MAX;

/// What the tasks of one thread work with.
pub(crate) struct Lane {
    pub(crate) reactor: Rc<Reactor>,
    /// The way to the target.
    pub(crate) route: Arc<Route>,
    /// TLS settings, with the sessions of this thread.
    pub(crate) tls: Option<TlsClient>,
    /// Addresses as this thread knows them, and their edition.
    found: RefCell<(u64, Arc<Found>)>,
    pub(crate) recorder: RefCell<Recorder>,
    /// Stamped messages that reach users of this thread.
    pub(crate) fanout: RefCell<Fanout>,
    watches: RefCell<Vec<Rc<Watch>>>,
    /// What connections without a buffer of their own are read into; made when first needed.
    buffer: RefCell<Vec<u8>>,
    /// The machine's monotonic clock at the epoch.
    clock_base: u64,
    /// The last stamp given out.
    stamped: Cell<u64>,
}

impl Lane {
    /// For one thread; `epoch` is the engine's begin, beside the machine's monotonic clock then.
    pub(crate) fn new(
        (epoch, clock_base): (Instant, u64),
        route: Arc<Route>,
        recorder: Recorder,
    ) -> io::Result<Self> {
        Ok(Self {
            reactor: Reactor::new(epoch)?,
            tls: route.tls.as_ref().map(|tls| tls.for_thread(route.resumption)),
            route,
            found: RefCell::new((NEVER, Arc::default())),
            recorder: RefCell::new(recorder),
            fanout: RefCell::default(),
            watches: RefCell::default(),
            buffer: RefCell::default(),
            clock_base,
            stamped: Cell::new(0),
        })
    }

    /// Addresses of a host, asked for anew when others were found.
    pub(crate) fn addresses(&self, names: &Names) -> Arc<Found> {
        let edition = names.edition();
        let mut known = self.found.borrow_mut();
        if known.0 != edition {
            *known = (edition, names.found());
        }
        Arc::clone(&known.1)
    }

    /// Nanoseconds since the engine began.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.reactor.now()
    }

    /// The same as read last: right for what an event has just brought.
    pub(crate) fn latest(&self) -> u64 {
        self.reactor.latest()
    }

    /// A stamp for a message that is sent at `now`: the machine's monotonic clock, nanoseconds.
    /// No two messages get the same, of any thread: thread k of n gives out every n-th.
    pub(crate) fn stamp(&self, now: u64, (place, threads): (usize, usize)) -> u64 {
        let (place, threads) = (place as u64, threads as u64);
        let least = (self.clock_base + now).max(self.stamped.get() + 1);
        let stamp = least + (place + threads - least % threads) % threads;
        self.stamped.set(stamp);
        stamp
    }

    /// A stamp as nanoseconds since the engine began.
    pub(crate) fn since_epoch(&self, stamp: u64) -> u64 {
        stamp.saturating_sub(self.clock_base)
    }

    /// What connections without a buffer of their own are read into.
    pub(crate) fn shared_buffer(&self) -> RefMut<'_, Vec<u8>> {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            buffer.resize(SHARED_BUFFER, 0);
        }
        buffer
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
}

/// The machine's monotonic clock, nanoseconds.
pub(crate) fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
