//! One thread's event loop: epoll, one timer of nanoseconds, and the tasks that wait for them.
//!
//! In: futures, descriptors, moments. Out: each future polled when what it waits for is there. A
//! runtime for any program wakes a task by way of locks and a queue; here an event leads straight
//! to the future whose descriptor it is, and an edge is told once, so that an exchange costs one
//! `send` and one `recv`. What the tasks do is left to them.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// Events taken at once. A batch is worked through before the next look at epoll, not before the
/// next look at the timers.
const EVENTS: usize = 256;

/// What a task may do in one go without waiting, before the others get their turn.
const BREATHS: u32 = 32;

/// Bytes that cost as much as a breath.
const BYTES_A_BREATH: usize = 8 * 1024;

/// Key of the timer; sources have their place as key.
const TIMER: u64 = u64::MAX;

/// No moment.
const NEVER: u64 = u64::MAX;

/// The event loop of one thread.
pub(crate) struct Reactor {
    epoch: Instant,
    poll: OwnedFd,
    timer: OwnedFd,
    /// For when the timer is set.
    armed: Cell<u64>,
    /// When the clock was read last.
    latest: Cell<u64>,
    tasks: RefCell<Vec<Option<Task>>>,
    free: RefCell<Vec<usize>>,
    /// Tasks that have not ended.
    live: Cell<usize>,
    /// The task that is being polled, and its breaths.
    current: Cell<usize>,
    breaths: Cell<u32>,
    woken: Arc<Mutex<Vec<usize>>>,
    /// Tasks that gave way, or were woken by others of this thread: so without a lock.
    gave_way: RefCell<Vec<usize>>,
    /// Those that have their turn now.
    turn: Cell<Vec<usize>>,
    /// Those that want to be polled once all others have been.
    late: RefCell<Vec<usize>>,
    moments: RefCell<BinaryHeap<Reverse<(u64, usize)>>>,
    /// The earliest of the moments.
    next: Cell<u64>,
    sources: RefCell<Vec<Option<Rc<Source>>>>,
    free_sources: RefCell<Vec<usize>>,
}

/// A future and its waker.
struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

/// Wakes a task from anywhere. From another thread it is seen with the next event.
struct Bell {
    task: usize,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
    }
}

/// What epoll has said of a descriptor and has not been used up.
#[derive(Default)]
struct Source {
    task: usize,
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// The peer writes no more, so that reading always leads to something.
    ended: Cell<bool>,
}

/// A descriptor that the reactor watches, until this is dropped. The descriptor is to be closed
/// at the same time.
pub(crate) struct Registration {
    reactor: Rc<Reactor>,
    place: usize,
    source: Rc<Source>,
}

impl Reactor {
    /// A reactor whose clock begins at `epoch`.
    pub(crate) fn new(epoch: Instant) -> io::Result<Rc<Self>> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // The timer is never read: setting it anew resets its count, and each expiry is an edge.
        let edges = EventFlags::IN | EventFlags::ET;
        epoll::add(&poll, &timer, EventData::new_u64(TIMER), edges)?;
        Ok(Rc::new(Self {
            epoch,
            poll,
            timer,
            armed: Cell::new(NEVER),
            latest: Cell::new(0),
            tasks: RefCell::default(),
            free: RefCell::default(),
            live: Cell::new(0),
            current: Cell::new(0),
            breaths: Cell::new(0),
            woken: Arc::default(),
            gave_way: RefCell::default(),
            turn: Cell::default(),
            late: RefCell::default(),
            moments: RefCell::default(),
            next: Cell::new(NEVER),
            sources: RefCell::default(),
            free_sources: RefCell::default(),
        }))
    }

    /// Nanoseconds since the epoch.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        let now = self.epoch.elapsed().as_nanos() as u64;
        self.latest.set(now);
        now
    }

    /// The time when it was read last.
    pub(crate) fn latest(&self) -> u64 {
        self.latest.get()
    }

    /// Adds a task, which is polled for the first time once its maker waits.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            tasks.push(None);
            tasks.len() - 1
        });
        let bell = Arc::new(Bell { task: place, woken: Arc::clone(&self.woken) });
        bell.wake_by_ref();
        tasks[place] = Some(Task { future: Box::pin(future), waker: bell.into() });
        self.live.set(self.live.get() + 1);
    }

    /// Polls tasks until all have ended. `look` is called at the moment that it gave last.
    ///
    /// # Errors
    /// When epoll or the timer fail.
    pub(crate) fn run(&self, mut look: impl FnMut(u64) -> u64) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut next_look = 0;
        while self.live.get() > 0 {
            let now = self.now();
            if now >= next_look {
                next_look = look(now);
            }
            self.poll_due();
            self.poll_woken();
            self.poll_late();
            if self.live.get() == 0 {
                break;
            }
            // Whoever was woken meanwhile is not to wait for an event.
            let idle = self.gave_way.borrow().is_empty()
                && self.late.borrow().is_empty()
                && self.woken.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            if idle {
                self.arm(next_look.min(self.next.get()))?;
            }
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            events.clear();
            match epoll::wait(
                &self.poll,
                spare_capacity(&mut events),
                if idle { None } else { Some(&at_once) },
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.poll_event(event);
            }
        }
        Ok(())
    }

    #[inline]
    fn poll_event(&self, event: &Event) {
        let key = event.data.u64();
        if key == TIMER {
            self.armed.set(NEVER);
            return;
        }
        let task = {
            let sources = self.sources.borrow();
            // A source may have gone since epoll told of it.
            let Some(Some(source)) = sources.get(key as usize) else { return };
            source.note(event.flags);
            source.task
        };
        self.poll(task);
        if self.latest.get() >= self.next.get() {
            self.poll_due();
            self.poll_woken();
        }
    }

    /// Polls the tasks that were woken; those woken meanwhile come next time.
    fn poll_woken(&self) {
        // Two lists change places, so that neither is allocated anew.
        let mut turn = self.turn.take();
        std::mem::swap(&mut turn, &mut *self.gave_way.borrow_mut());
        turn.append(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner));
        for task in turn.drain(..) {
            self.poll(task);
        }
        self.turn.set(turn);
    }

    /// Polls the tasks that wanted to be late; those that join them meanwhile come next time.
    fn poll_late(&self) {
        if self.late.borrow().is_empty() {
            return;
        }
        let mut turn = self.turn.take();
        std::mem::swap(&mut turn, &mut *self.late.borrow_mut());
        for task in turn.drain(..) {
            self.poll(task);
        }
        self.turn.set(turn);
    }

    /// The task that is being polled.
    #[inline]
    pub(crate) fn current(&self) -> usize {
        self.current.get()
    }

    /// Has a task of this thread polled soon. One that has ended meanwhile is passed over, or
    /// whoever has its place is polled in vain.
    #[inline]
    pub(crate) fn rouse(&self, task: usize) {
        self.gave_way.borrow_mut().push(task);
    }

    /// Has a task of this thread polled once all others have been that are woken: whoever sends
    /// what several of them have to say, sends it at once.
    #[inline]
    pub(crate) fn rouse_late(&self, task: usize) {
        self.late.borrow_mut().push(task);
    }

    /// Polls the tasks whose moment has come.
    fn poll_due(&self) {
        while self.next.get() <= self.latest.get() {
            let due = self.moments.borrow_mut().pop();
            let next = self.moments.borrow().peek().map_or(NEVER, |moment| moment.0.0);
            self.next.set(next);
            if let Some(Reverse((_, task))) = due {
                self.poll(task);
            }
        }
    }

    #[inline]
    fn poll(&self, place: usize) {
        // It is out of its place while it is polled, so that it may add others.
        let taken = self.tasks.borrow_mut().get_mut(place).and_then(Option::take);
        let Some(mut task) = taken else { return };
        self.current.set(place);
        self.breaths.set(0);
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&task.waker));
        if polled.is_pending() {
            self.tasks.borrow_mut()[place] = Some(task);
            return;
        }
        drop(task);
        self.free.borrow_mut().push(place);
        self.live.set(self.live.get() - 1);
    }

    /// Sets the timer for a moment, if it is not set for it.
    fn arm(&self, moment: u64) -> io::Result<()> {
        if self.armed.replace(moment) == moment {
            return Ok(());
        }
        // A value of zero would switch it off.
        let left = moment.saturating_sub(self.now()).max(1);
        let value = Timespec {
            tv_sec: (left / 1_000_000_000) as i64,
            tv_nsec: (left % 1_000_000_000) as i64,
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// Has the current task polled at a moment.
    pub(crate) fn poll_at(&self, moment: u64) {
        self.moments.borrow_mut().push(Reverse((moment, self.current.get())));
        self.next.set(self.next.get().min(moment));
    }

    /// Lets the others have their turn, if the current task has gone on for long; true if so.
    #[inline]
    pub(crate) async fn breathe(&self) -> bool {
        let breaths = self.breaths.get() + 1;
        self.breaths.set(breaths);
        if breaths < BREATHS {
            return false;
        }
        let mut waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        true
    }

    /// Counts a read of so many bytes among what the current task does without waiting.
    #[inline]
    pub(crate) fn tire(&self, bytes: usize) {
        let more = 1 + (bytes / BYTES_A_BREATH) as u32;
        self.breaths.set(self.breaths.get().saturating_add(more).min(BREATHS));
    }

    /// Whether the current task has gone on for so long that the others are to have their turn.
    /// It is polled again after them. Whoever reads asks before: a peer that sends faster than it
    /// is read would keep the thread for ever.
    #[inline]
    pub(crate) fn is_winded(&self) -> bool {
        if self.breaths.get() == BREATHS {
            self.breaths.set(BREATHS + 1);
            self.rouse(self.current.get());
        }
        self.breaths.get() > BREATHS
    }

    /// Lets all others have their turn. A user that gives way between two iterations lets the
    /// thread take all replies that are there before it sends all next requests: each reply's
    /// time is taken sooner, and the kernel runs the same path many times over, which costs less
    /// than one path and the other in turn.
    #[inline]
    pub(crate) async fn give_way(&self) {
        let mut waited = false;
        poll_fn(|_| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.gave_way.borrow_mut().push(self.current.get());
            Poll::Pending
        })
        .await;
    }

    /// Watches a descriptor for the current task.
    pub(crate) fn register(self: &Rc<Self>, file: impl AsFd) -> io::Result<Registration> {
        let source = Rc::new(Source { task: self.current.get(), ..Source::default() });
        let mut sources = self.sources.borrow_mut();
        let place = self.free_sources.borrow_mut().pop().unwrap_or_else(|| {
            sources.push(None);
            sources.len() - 1
        });
        sources[place] = Some(Rc::clone(&source));
        let registration = Registration { reactor: Rc::clone(self), place, source };
        drop(sources);
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.poll, file, EventData::new_u64(place as u64), edges)?;
        Ok(registration)
    }
}

impl Source {
    #[inline]
    fn note(&self, flags: EventFlags) {
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(ended) {
            self.ended.set(true);
        }
        if flags.intersects(ended | EventFlags::IN) {
            self.readable.set(true);
        }
        if flags.intersects(ended | EventFlags::OUT) {
            self.writable.set(true);
        }
    }
}

impl Registration {
    /// Whether there may be something to read.
    #[inline]
    pub(crate) fn is_readable(&self) -> bool {
        self.source.readable.get()
    }

    /// Whether the peer writes no more.
    #[inline]
    pub(crate) fn is_ended(&self) -> bool {
        self.source.ended.get()
    }

    /// All that there was has been read: the next bytes will be an edge of their own.
    #[inline]
    pub(crate) fn drained(&self) {
        self.source.readable.set(self.source.ended.get());
    }

    /// Whether there may be room to write.
    pub(crate) fn is_writable(&self) -> bool {
        self.source.writable.get()
    }

    /// There was no room: room will be an edge of its own.
    pub(crate) fn filled(&self) {
        self.source.writable.set(false);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.reactor.sources.borrow_mut()[self.place] = None;
        self.reactor.free_sources.borrow_mut().push(self.place);
    }
}
