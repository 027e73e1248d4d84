//! The probe's thread: a small runtime of its own, so that a dump never runs on, and never waits
//! for, the program's async threads.
//! In: signals, seconds, orders. Out: snapshots and answers, strictly one after the other.
//! What the thread allocates is not sampled, so snapshots do not show themselves.
//! Leaves to others: the work (`desk`, `admin`) and starting and stopping it (`probe`).

use crate::admin;
use crate::allocator::Mode;
use crate::census;
use crate::desk::{Desk, Trigger};
use crate::error::StartError;
use crate::handle::{Handle, Order};
use crate::jemalloc;
use crate::listener;
use crate::process::rss_bytes;
use crate::route::Route;
use crate::signal::Signals;
use std::io;
use std::net::TcpListener;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

/// Stack of the thread: it parses and encodes without recursion.
const STACK_BYTES: usize = 512 * 1_024;

/// What the thread is given.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) desk: Desk,
    pub(crate) routes: Vec<Route>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) stop: oneshot::Receiver<()>,
    pub(crate) listener: Option<(TcpListener, Handle, bool)>,
    pub(crate) signals: bool,
    pub(crate) triggers: Triggers,
}

/// When to take a snapshot without being asked.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    pub(crate) every: Option<Duration>,
    pub(crate) rss_step: Option<u64>,
    pub(crate) at_exit: bool,
}

/// Starts the thread and waits until signals and listener are registered.
///
/// # Errors
///
/// [`StartError::System`]; the thread has ended then.
pub(crate) fn spawn(watch: Watch) -> Result<JoinHandle<()>, StartError> {
    let (ready, is_ready) = sync_channel(1);
    let system = |what| move |source| StartError::System { what, source };
    let thread = std::thread::Builder::new()
        .name("ebbtide-probe".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || watch.run(&ready))
        .map_err(system("thread"))?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(system("runtime of the probe")(error)),
        Err(_) => Err(system("thread")(io::Error::other("ended before it was ready"))),
    }
}

impl Watch {
    fn run(self, ready: &SyncSender<io::Result<()>>) {
        if Mode::current() == Mode::Jemalloc {
            jemalloc::hide_this_thread();
        }
        // The receiver waits for exactly one message, and the channel has room for it.
        let tell = |outcome| {
            let _ = ready.send(outcome);
        };
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.watch(tell)),
            Err(error) => tell(Err(error)),
        }
    }

    async fn watch(mut self, tell: impl FnOnce(io::Result<()>)) {
        let signals = match self.register() {
            Ok(signals) => signals,
            Err(error) => return tell(Err(error)),
        };
        tell(Ok(()));
        let mut clock = Clock::new(&self.triggers);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = &mut self.stop => break,
                count = next(signals.as_ref()) => {
                    // Failures are counted and kept for `/debug/memory`: nobody waits for them.
                    let _ = self.desk.take(Trigger::Signal, count - 1);
                }
                Some(order) = self.orders.recv() => self.obey(order),
                _ = second.tick() => {
                    if let Some(trigger) = clock.tick() {
                        let _ = self.desk.take(trigger, 0);
                    }
                }
            }
        }
        if self.triggers.at_exit {
            let _ = self.desk.take(Trigger::Exit, 0);
        }
    }

    /// Makes signals and listener known to the runtime.
    fn register(&mut self) -> io::Result<Option<Signals>> {
        let signals = self.signals.then(Signals::new).transpose()?;
        if let Some((listener, handle, guarded)) = self.listener.take() {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(listener::serve(listener, handle, guarded));
        }
        Ok(signals)
    }

    fn obey(&mut self, order: Order) {
        // Who has stopped waiting misses nothing that was promised to others.
        match order {
            Order::Answer(request, reply) => {
                let _ = reply.send(admin::respond(&mut self.desk, &self.routes, &request));
            }
            Order::Take(reply) => {
                let _ = reply.send(self.desk.take(Trigger::Program, 0).map(|taken| taken.path));
            }
        }
    }
}

async fn next(signals: Option<&Signals>) -> u64 {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

/// What happens by the second: the census grows older, and the triggers come due.
struct Clock {
    started: Instant,
    census_base_s: u32,
    every: Option<Duration>,
    due: Option<Instant>,
    rss_step: Option<u64>,
    rss_mark: u64,
}

impl Clock {
    fn new(triggers: &Triggers) -> Self {
        let started = Instant::now();
        Self {
            started,
            census_base_s: census::now_s(),
            every: triggers.every,
            due: triggers.every.map(|every| started + every),
            rss_step: triggers.rss_step,
            rss_mark: rss_bytes().unwrap_or(0),
        }
    }

    /// Moves on and says what is due.
    fn tick(&mut self) -> Option<Trigger> {
        let now = Instant::now();
        let elapsed_s = (now - self.started).as_secs();
        let second = u32::try_from(elapsed_s).unwrap_or(u32::MAX);
        census::tick(self.census_base_s.saturating_add(second));
        if let (Some(every), Some(due)) = (self.every, self.due)
            && now >= due
        {
            // From now, not from when it was due: a process that was stopped does not catch up.
            self.due = Some(now + every);
            return Some(Trigger::Timer);
        }
        let step = self.rss_step?;
        let rss = rss_bytes()?;
        if rss >= self.rss_mark.saturating_add(step) {
            self.rss_mark = rss;
            return Some(Trigger::Rss);
        }
        None
    }
}
