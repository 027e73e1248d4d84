//! One engine thread: its users, the sweep that cuts what is overdue, and the report
//! it hands over once a second.
//!
//! In: a plan, a pass, the way to the target. Out: [`Report`]s. Merging them is left to the
//! owner.

use super::executor;
use super::local::Local;
use super::{Pass, Shared};
use crate::fanout::{self, Spread};
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::totals::Spent;
use crate::wire::route::Route;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often deadlines are looked at: time limits are seconds, so they hold within 5 %.
const SWEEP: Duration = Duration::from_millis(25);

/// Length of an interval.
pub(crate) const INTERVAL_NS: u64 = 1_000_000_000;

/// What a thread measured in one interval.
#[derive(Default)]
pub(crate) struct Report {
    /// Which thread.
    pub(crate) thread: usize,
    /// The samples.
    pub(crate) recorder: Recorder,
    /// Stamped messages followed to their end, and until when those were sent.
    pub(crate) spreads: (Vec<Spread>, u64),
    /// What it cost.
    pub(crate) spent: Spent,
    /// Users at its end, and most so far.
    pub(crate) vus: u64,
    pub(crate) vus_max: u64,
    /// It belongs to the warm-up.
    pub(crate) warmup: bool,
    /// The thread has ended.
    pub(crate) last: bool,
}

/// Runs the thread's share of a pass, until load and drain are over.
pub(crate) fn run(
    (plan, pass, shared): (Arc<Plan>, Pass, Arc<Shared>),
    route: Arc<Route>,
    (place, threads): (usize, usize),
    reports: mpsc::Sender<Report>,
) {
    let local = match Local::new((plan, pass, Arc::clone(&shared)), route, (place, threads)) {
        Ok(local) => local,
        // Without a reactor there is no load; the owner learns it from the empty last report.
        Err(error) => {
            shared.fail(error.to_string());
            let _ =
                reports.blocking_send(Report { thread: place, last: true, ..Report::default() });
            return;
        }
    };
    for flow in 0..local.plan.flows.len() {
        executor::start(&local, flow);
    }
    let mut keeper = Keeper::new(&local);
    // A user that panicked has said why on its own; the owner must learn that there is no load.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        local.reactor.run(|now| {
            keeper.look(&local, now, &reports);
            now + SWEEP.as_nanos() as u64
        })
    }));
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => shared.fail(error.to_string()),
        Err(_) => shared.fail("a virtual user panicked".to_owned()),
    }
    // An owner that is gone needs no report.
    let _ = reports.blocking_send(keeper.report(&local, true));
}

/// Looks after time: deadlines, ends of flows, intervals.
struct Keeper {
    /// Begin of the current interval, nanoseconds.
    begin: Cell<u64>,
    cpu: Cell<u64>,
    waited: Cell<u64>,
    queue: Queue,
    stage: u8,
    /// Flows whose waits have been cut.
    cut: Vec<bool>,
    /// End of the warm-up, nanoseconds.
    warm: u64,
    looks: u32,
}

impl Keeper {
    fn new(local: &Local) -> Self {
        let queue = Queue::open();
        Self {
            begin: Cell::new(local.now()),
            cpu: Cell::new(thread_cpu()),
            waited: Cell::new(queue.waited()),
            queue,
            stage: 0,
            cut: vec![false; local.plan.flows.len()],
            warm: local.pass.warmup.as_nanos() as u64,
            looks: 0,
        }
    }

    fn look(&mut self, local: &Rc<Local>, now: u64, reports: &mpsc::Sender<Report>) {
        local.sweep(now);
        if local.pulse.look(&local.shared.tempo) {
            local.clear_limits();
            executor::adjust(local);
            local.wake_all();
        }
        let stage = local.shared.stage();
        if stage != self.stage {
            self.stage = stage;
            local.shared.drain_began(now);
            local.wake_all();
        }
        for flow in 0..self.cut.len() {
            if !self.cut[flow] && self.is_cut(local, flow, now) {
                self.cut[flow] = true;
                local.cut(flow);
            }
        }
        self.looks += 1;
        if self.looks.is_multiple_of(64) {
            local.forget_watches();
        }
        if now >= self.interval_end() {
            // An owner that does not keep up gets longer intervals instead of more of them.
            if let Ok(permit) = reports.try_reserve() {
                permit.send(self.report(local, false));
            }
        }
    }

    /// When the current interval ends: at whole seconds since the warm-up's end, and at that end.
    fn interval_end(&self) -> u64 {
        let offset = self.warm % INTERVAL_NS;
        let since = self.begin.get().saturating_sub(offset);
        // An interval that begins within a sweep of its boundary takes the next one.
        let slack = SWEEP.as_nanos() as u64;
        if self.begin.get() + slack < offset {
            return offset;
        }
        offset + ((since + slack) / INTERVAL_NS + 1) * INTERVAL_NS
    }

    /// Whether the waits of a flow are to be cut: its graceful stop has passed.
    fn is_cut(&self, local: &Local, flow: usize, now: u64) -> bool {
        if local.shared.is_aborted() {
            return true;
        }
        let plan = &local.plan.flows[flow];
        let graceful = plan.graceful_stop.as_nanos() as u64;
        if let Some(began) = local.shared.drain_begin() {
            return now >= began + graceful.min(super::DRAIN_GRACE_MAX.as_nanos() as u64);
        }
        if local.pass.iterations.is_some() {
            return false;
        }
        let end = |length: Duration| local.flow_start(flow) + length.as_nanos() as u64 + graceful;
        local.pulse.plan_time(now) >= end(plan.executor.time_limit())
    }

    fn report(&self, local: &Local, last: bool) -> Report {
        let now = local.now();
        let cpu = thread_cpu();
        let waited = self.queue.waited();
        let spare = local.shared.spare(&local.plan);
        let until = if last { u64::MAX } else { now.saturating_sub(fanout::WINDOW_NS) };
        let report = Report {
            thread: local.place,
            recorder: local.recorder.replace(spare),
            spreads: (local.fanout.borrow_mut().take(until), until),
            spent: Spent {
                length: now - self.begin.get(),
                cpu: cpu - self.cpu.get(),
                waited: waited.saturating_sub(self.waited.get()),
            },
            vus: local.vus.get(),
            vus_max: local.vus_max.get(),
            // By its begin: a thread that was kept waiting reports the warm-up's end late.
            warmup: self.begin.get() + (SWEEP.as_nanos() as u64) < self.warm,
            last,
        };
        self.begin.set(now);
        self.cpu.set(cpu);
        self.waited.set(waited);
        report
    }
}

/// How long this thread has waited for a CPU, as the kernel's scheduler counts it: the second
/// number of `schedstat`, nanoseconds in which it could have run and others did.
struct Queue {
    file: Option<File>,
}

impl Queue {
    /// Where the kernel keeps no such count, nothing is said.
    fn open() -> Self {
        Self { file: File::open("/proc/thread-self/schedstat").ok() }
    }

    fn waited(&self) -> u64 {
        let mut text = [0; 64];
        let read = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok());
        let text = std::str::from_utf8(&text[..read.unwrap_or(0)]).unwrap_or_default();
        text.split_whitespace().nth(1).and_then(|waited| waited.parse().ok()).unwrap_or(0)
    }
}

/// Nanoseconds of CPU that this thread has used.
fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
