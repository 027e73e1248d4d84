//! The engine: threads that drive load, and the one owner that merges what they measured.
//!
//! In: a [`Plan`] and a [`Pass`]. Out: one [`Interval`] a second, and [`Totals`] at the end. What
//! intervals are for, and what happens between two passes, is left to the caller.

mod executor;
mod files;
mod local;
mod once;
mod reach;
mod tempo;
mod thread;
mod vu;

use crate::fanout::Reunion;
use crate::plan::{Part, Plan, Slot};
use crate::recorder::Recorder;
use crate::segment::Segment;
use crate::totals::{IntervalHistograms, Slice, Totals};
use crate::wire::lane::monotonic;
use crate::wire::route::Route;
pub use crate::wire::route::RouteError;
pub use crate::wire::tls::TlsError;
use ebbtide_record::event::Interval;
pub use reach::{ReachError, ask, reach};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempo::Tempo;
use thread::Report;
use tokio::sync::mpsc;

/// Reports a thread may be ahead of the owner; past it its intervals get longer.
const REPORTS_AHEAD: usize = 8;

/// The target counts as lost after so long without an answer, while connections fail.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Iterations in progress have at most this long once the load is stopped by hand.
pub(crate) const DRAIN_GRACE_MAX: Duration = Duration::from_secs(3);

/// Threads at most: more than any machine has cores for.
const THREADS_MAX: usize = 1_024;

const LOADING: u8 = 0;
const DRAINING: u8 = 1;
const ABORTED: u8 = 2;

/// Not yet.
const NEVER: u64 = u64::MAX;

pub use once::Values;
pub use tempo::PACE_RANGE;

use once::Left;

/// Counts the engines of this process, so that stamps of one are not taken for another's.
static ENGINES: AtomicU32 = AtomicU32::new(0);

/// One drive of a plan.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// What random input is derived from besides the seed: the same round gives the same bytes.
    pub input_round: u32,
    /// Iterations per flow; replaces durations. Flows that are not named get none.
    pub iterations: Option<BTreeMap<String, u64>>,
    /// Threads; 0 for one per core.
    pub threads: usize,
    /// Load at the start that is not measured.
    pub warmup: Duration,
    /// Which part of the load is driven.
    pub segment: Segment,
    /// The load itself, or what is done once before or after it.
    pub part: Part,
    /// Variables that setup has left behind.
    pub given: Arc<Values>,
}

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The load needs more open files than the process may have.
    #[error(
        "the load needs {needed} open files and the limit is {limit} (raise it with \
         `ulimit -Hn {needed}`, or ask for fewer connections)"
    )]
    Files {
        /// Connections, and some for the rest.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// A thread could not be started.
    #[error("engine thread could not be started: {0} (fewer threads may do: `--threads`)")]
    Thread(#[from] std::io::Error),
    /// There is no way to the target.
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// What the threads of an engine share. Nothing here is touched per request, but for `taken` by
/// the one executor whose users share a count.
pub(crate) struct Shared {
    /// When the engine began.
    pub(crate) epoch: Instant,
    /// What the machine's monotonic clock said then, nanoseconds: one number for all threads, so
    /// that they know a message by when it was sent.
    pub(crate) clock_base: u64,
    /// Iterations taken of each flow's common count.
    pub(crate) taken: Vec<AtomicU64>,
    /// What tells this engine's stamps from another's.
    pub(crate) token: u32,
    /// Corrected latencies are kept.
    pub(crate) open_model: bool,
    /// Pauses and paces.
    pub(crate) tempo: Tempo,
    stage: AtomicU8,
    drained: AtomicU64,
    spares: Mutex<Vec<Recorder>>,
    failure: Mutex<Option<String>>,
    /// What setup or teardown has left behind.
    left: Mutex<Option<Left>>,
}

impl Shared {
    fn new(plan: &Plan, part: Part) -> Self {
        let engine = ENGINES.fetch_add(1, Ordering::Relaxed);
        Self {
            epoch: Instant::now(),
            clock_base: monotonic(),
            taken: plan.flows.iter().map(|_| AtomicU64::new(0)).collect(),
            token: std::process::id().rotate_left(12) ^ engine,
            open_model: part == Part::Load && plan.is_open_model(),
            tempo: Tempo::default(),
            stage: AtomicU8::new(LOADING),
            drained: AtomicU64::new(NEVER),
            spares: Mutex::default(),
            failure: Mutex::default(),
            left: Mutex::default(),
        }
    }

    pub(crate) fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    /// No new iterations.
    pub(crate) fn is_over(&self) -> bool {
        self.stage() != LOADING
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.stage() == ABORTED
    }

    /// Notes when the drain was first seen, nanoseconds since the engine began.
    pub(crate) fn drain_began(&self, now: u64) {
        self.drained.fetch_min(now, Ordering::Relaxed);
    }

    pub(crate) fn drain_begin(&self) -> Option<u64> {
        let began = self.drained.load(Ordering::Relaxed);
        (began != NEVER).then_some(began)
    }

    /// An empty recorder: one that was handed back, if there is one.
    pub(crate) fn spare(&self, plan: &Plan) -> Recorder {
        let spare = self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Recorder::new(plan.slots.len(), plan.checks.len()))
    }

    fn hand_back(&self, mut recorder: Recorder) {
        recorder.clear();
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).push(recorder);
    }

    /// Says why a thread could not do its work.
    pub(crate) fn fail(&self, why: String) {
        self.give_up(format!("a thread of the generator failed: {why}"));
    }

    /// Says why the load cannot go on.
    pub(crate) fn give_up(&self, why: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// Ends the load before its time, holds it, or changes its pace. Clones act on the same load.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
    /// Iterations are counted, so that time and pace are nobody's business.
    counted: bool,
}

impl Stopper {
    /// No new iterations; those in progress may end within their graceful stop, or three seconds
    /// if that is shorter. Connections are closed cleanly.
    pub fn drain(&self) {
        self.shared.stage.fetch_max(DRAINING, Ordering::Relaxed);
    }

    /// No new iterations until [`Stopper::resume`]; those in progress go on, and the time as
    /// planned stands still. False when nothing changes: it is paused already, or the pass counts
    /// iterations.
    #[must_use]
    pub fn pause(&self) -> bool {
        self.change(|change| change.paused = true)
    }

    /// Ends a pause: what was due next is due now. False when there was none.
    #[must_use]
    pub fn resume(&self) -> bool {
        self.change(|change| change.paused = false)
    }

    /// From now on `factor` times the load of the plan: arrivals in the open model, users in the
    /// closed one where the executor names a time. Held to [`PACE_RANGE`]. False when nothing
    /// changes.
    #[must_use]
    pub fn set_pace(&self, factor: f64) -> bool {
        factor.is_finite() && self.change(|change| change.pace = factor)
    }

    fn change(&self, wish: impl FnOnce(&mut tempo::Change)) -> bool {
        let now = self.shared.epoch.elapsed().as_nanos() as u64;
        !self.counted && self.shared.tempo.change(now, wish)
    }

    /// Everything in flight is cut, and connections are dropped.
    pub fn abort(&self) {
        self.shared.stage.fetch_max(ABORTED, Ordering::Relaxed);
    }
}

/// Load in progress.
pub struct Engine {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    reports: mpsc::Receiver<Report>,
    /// Threads that have not ended.
    live: Vec<bool>,
    totals: Totals,
    reunion: Reunion,
    histograms: IntervalHistograms,
    /// Since when no answer has come while connections failed.
    silent: Duration,
    /// Users of each thread.
    vus: Vec<u64>,
    vus_max: Vec<u64>,
    /// End of the warm-up, nanoseconds since the engine began.
    warm: u64,
    planned: Option<Duration>,
    counted: bool,
    warms_up: bool,
    slots: Arc<Vec<Slot>>,
    part: Part,
}

impl Engine {
    /// Starts the threads of a pass. Looks up the target's address, which blocks for as long as
    /// the resolver takes when it is a name.
    ///
    /// # Errors
    /// When the host has no address or a thread cannot be started.
    pub fn start(plan: Arc<Plan>, pass: Pass) -> Result<Self, EngineError> {
        files::provide(&plan)?;
        let route = Arc::new(Route::new(&plan)?);
        let threads = match pass.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads.min(THREADS_MAX),
        };
        let shared = Arc::new(Shared::new(&plan, pass.part));
        let (sender, reports) = mpsc::channel(REPORTS_AHEAD * threads);
        for place in 0..threads {
            let share = (Arc::clone(&plan), pass.clone(), Arc::clone(&shared));
            let (route, sender) = (Arc::clone(&route), sender.clone());
            std::thread::Builder::new().name(format!("ebb-load-{place}")).spawn(move || {
                thread::run(share, route, (place, threads), sender);
            })?;
        }
        let warm = pass.warmup.as_nanos() as u64;
        let planned = if pass.iterations.is_some() { None } else { plan.duration() };
        Ok(Self {
            totals: Totals::new(&plan, threads),
            slots: Arc::new(plan.slots.clone()),
            plan,
            shared,
            reports,
            live: vec![true; threads],
            reunion: Reunion::new(threads),
            warm,
            histograms: IntervalHistograms::default(),
            silent: Duration::ZERO,
            vus: vec![0; threads],
            vus_max: vec![0; threads],
            planned,
            counted: pass.iterations.is_some(),
            warms_up: !pass.warmup.is_zero(),
            part: pass.part,
        })
    }

    /// Waits for the next second of load. None once load and drain are over.
    pub async fn next(&mut self) -> Option<Interval> {
        let threads = self.live.len();
        let mut slice = Slice::new(&self.plan, threads, self.warms_up);
        let mut seen: Vec<bool> = self.live.iter().map(|live| !live).collect();
        if seen.iter().all(|seen| *seen) {
            return None;
        }
        while !seen.iter().all(|seen| *seen) {
            let Some(report) = self.reports.recv().await else {
                // Every thread is gone, the last ones without a word.
                self.live.fill(false);
                break;
            };
            seen[report.thread] = true;
            self.vus[report.thread] = report.vus;
            self.vus_max[report.thread] = report.vus_max;
            if report.last {
                self.live[report.thread] = false;
            }
            if !report.warmup {
                self.totals.add(report.thread, &report.recorder, report.spent);
            }
            slice.add(report.thread, &report.recorder, (report.spent, report.warmup));
            self.reunion.add(report.thread, &report.spreads.0, report.spreads.1);
            self.shared.hand_back(report.recorder);
        }
        for spread in self.reunion.finished() {
            let Some(length) = spread.length() else { continue };
            let measured = spread.sent >= self.warm;
            slice.spread(spread.slot as usize, (length, measured));
            if measured {
                self.totals.spread(spread.slot as usize, length);
            }
        }
        let vus: u64 = self.vus.iter().sum();
        self.totals.set_vus(vus, self.vus_max.iter().sum());
        let interval = slice.interval(vus);
        self.watch_target(&slice);
        let length = slice.length();
        let slots = Arc::clone(&self.slots);
        self.histograms = IntervalHistograms::new(slots, slice.into_recorder(), length);
        Some(interval)
    }

    /// Ends the load when the target is lost for good.
    fn watch_target(&mut self, slice: &Slice) {
        let counters = slice.counters();
        if counters.answered > 0 {
            self.silent = Duration::ZERO;
        } else if counters.unreachable > 0 {
            self.silent += slice.length();
        }
        if self.silent >= LOST_AFTER && self.totals.target_lost().is_none() {
            let seconds = LOST_AFTER.as_secs();
            self.totals.set_lost(format!(
                "target `{}` is lost: connections have failed for {seconds} s and nothing was \
                 answered (is it still running?)",
                self.plan.base
            ));
            self.stopper().drain();
        }
        if let Some(why) = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            self.totals.set_lost(why);
            self.stopper().abort();
        }
    }

    /// Latencies of the interval that [`Engine::next`] gave last.
    #[must_use]
    pub fn histograms(&self) -> &IntervalHistograms {
        &self.histograms
    }

    /// What was measured so far; warm-up excluded.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Whether no more iterations are started and connections are being closed.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let past = self.planned.is_some_and(|planned| {
            let now = self.shared.epoch.elapsed();
            let lost = self.shared.tempo.lost(now.as_nanos() as u64);
            now >= planned + Duration::from_nanos(lost)
        });
        self.shared.is_over() || past || self.live.iter().all(|live| !live)
    }

    /// What ends the load early.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper { shared: Arc::clone(&self.shared), counted: self.counted }
    }

    /// Waits until load and drain are over, and gives what was measured.
    pub async fn finish(mut self) -> Totals {
        while self.next().await.is_some() {}
        std::mem::take(&mut self.totals)
    }
}

impl Drop for Engine {
    /// An engine that nobody asks any more has no reason to load anybody.
    fn drop(&mut self) {
        self.stopper().abort();
    }
}
