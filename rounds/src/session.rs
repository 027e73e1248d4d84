//! The session: one run from its first event to its last. In: a scenario and the reins. Out: a
//! run's folder, events to whoever watches, and an exit code.
//!
//! This is the join of the two paths: load is driven round by round, the heap is taken after
//! each, and the series is judged until it is decided. What is said at the end is said whatever
//! happened before: a target that died, a full disk and Ctrl-C all lead through `close`.

mod around;
mod heaps;
mod rest;

use crate::attach::{attach, one_of_many, site_rules, surroundings};
use crate::capture::{Capture, Captured, live_sites};
use crate::control::Control;
use crate::design::{Design, RoundPlan};
use crate::exit::Ending;
use crate::folder::{self, FolderError, RunFolder};
use crate::heap::HeapReader;
use crate::journal::{Journal, unix_ms};
use crate::observer::{self, Observer, Settled};
use crate::request::{Outcome, RunError, RunRequest};
use crate::sampling::SamplingWatch;
use crate::silence::Silence;
use crate::target::RunningTarget;
use ebbtide_loadgen::engine::Values;
use ebbtide_loadgen::guard::Guard;
use ebbtide_loadgen::hlog::HlogWriter;
use ebbtide_loadgen::scenario::MemoryWatch;
use ebbtide_loadgen::{Engine, Pass, Plan, Stopper, Totals};
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::source::Target as Source;
use ebbtide_profiler::verdict::{self, LOOKS, Rules};
use ebbtide_record::State;
use ebbtide_record::event::{
    Body, Event, MemoryPoint, Phase, PhaseStart, RoundKind, RunEnded, RunStarted, SnapshotTaken,
    Warning,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout};

/// How often all metrics are written down while load is driven.
const METRICS_EVERY: Duration = Duration::from_secs(10);
/// How long load has to drain before it is cut.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// How long errors are still counted once the target has ended.
const ERRORS_FOR: Duration = Duration::from_secs(1);
/// How long the end of a process may take to be known after its connections broke.
const REAPED_WITHIN: Duration = Duration::from_millis(200);
/// Measured rounds after which a first word is ventured, marked as undecided.
const PREVIEW_FROM: u32 = 3;

/// Runs a scenario.
///
/// # Errors
///
/// Why it could not begin, or not be written down. What went wrong with the target or the load
/// once it had begun is part of the outcome.
pub async fn run(
    request: RunRequest,
    control: Control,
    events: Sender<Event>,
) -> Result<Outcome, RunError> {
    // Faults are told before anything is started or written.
    Plan::resolve(&request.scenario, request.scenario.target.base.as_deref().unwrap_or(NOWHERE))?;
    let folder = RunFolder::create(&request.out)?;
    folder.write(folder::SCENARIO, request.scenario_text.as_bytes())?;
    let surroundings = surroundings(&request, &folder);
    let mut target = tokio::select! {
        started = RunningTarget::start(&request.scenario.target, &surroundings) => started?,
        () = control.stopped() => return Err(RunError::Interrupted),
    };
    let result = with_target(&request, control.clone(), events, &folder, &mut target).await;
    tokio::select! {
        () = target.stop() => {}
        () = control.aborted() => target.kill(),
    }
    let (exit_code, state) = result?;
    let unwritten = folder::write_summary(folder.path(), &state).err();
    Ok(Outcome { exit_code, state, folder: folder.path().to_owned(), unwritten })
}

/// Stands for the address of a target that is not started yet.
const NOWHERE: &str = "http://127.0.0.1:1";

async fn with_target(
    request: &RunRequest,
    control: Control,
    events: Sender<Event>,
    folder: &RunFolder,
    target: &mut RunningTarget,
) -> Result<(i32, State), RunError> {
    let plan = Arc::new(Plan::resolve(&request.scenario, &target.base)?);
    folder.write(folder::PLAN, &serde_json::to_vec_pretty(&*plan).unwrap_or_default())?;
    let source = attach(&request.scenario, target, &control).await?;
    // What was started for the run ends with it; what runs on is to run as it did before.
    let lent = source.clone().filter(|_| !target.is_ours());
    let leaving = tokio::spawn(release_at_abort(lent.clone(), control.clone()));
    let result = with_source(request, (control, events), folder, target, (plan, source)).await;
    leaving.abort();
    if let Some(source) = lent {
        source.release().await;
    }
    result
}

/// Lets go of the target as soon as leaving at once is asked for, whatever is waited for.
async fn release_at_abort(source: Option<Source>, control: Control) {
    control.aborted().await;
    if let Some(source) = source {
        source.release().await;
    }
}

async fn with_source(
    request: &RunRequest,
    (control, events): (Control, Sender<Event>),
    folder: &RunFolder,
    target: &mut RunningTarget,
    (plan, source): (Arc<Plan>, Option<Source>),
) -> Result<(i32, State), RunError> {
    let hlog_path = folder.path().join(folder::HISTOGRAMS);
    let unwritable = |source| FolderError::Unwritable { path: hlog_path.clone(), source };
    let hlog = File::create(&hlog_path)
        .and_then(|file| HlogWriter::begin(file, unix_ms()))
        .map_err(unwritable)?;
    let rules = site_rules(&request.scenario);
    let sampling = SamplingWatch::of(request.scenario.memory.as_ref());
    let mut session = Session {
        journal: Journal::new(Some(folder.log()?), events),
        observer: Observer::start(source.clone()),
        capture: Capture::new(folder, HeapReader::new(rules), sampling),
        totals: Totals::default(),
        operations: BTreeMap::new(),
        given: Arc::default(),
        busy: None,
        failure: None,
        guard: Guard::new(&plan.thresholds),
        ended: None,
        began: Instant::now(),
        request,
        folder,
        control,
        target,
        plan,
        source,
        hlog,
    };
    let started = session.started();
    session.journal.note(started).await?;
    if let Some(warning) = session.many() {
        session.journal.warn(warning).await?;
    }
    let outcome = session.parts().await;
    session.let_go().await;
    session.close(outcome).await
}

/// A run in progress.
struct Session<'a> {
    request: &'a RunRequest,
    folder: &'a RunFolder,
    control: Control,
    target: &'a mut RunningTarget,
    plan: Arc<Plan>,
    source: Option<Source>,
    observer: Observer,
    capture: Capture,
    journal: Journal,
    hlog: HlogWriter<File>,
    totals: Totals,
    operations: BTreeMap<String, u64>,
    /// What setup has left for the flows.
    given: Arc<Values>,
    busy: Option<u64>,
    failure: Option<String>,
    guard: Guard,
    /// Why a threshold ended the run.
    ended: Option<String>,
    began: Instant,
}

impl Session<'_> {
    fn many(&self) -> Option<Warning> {
        // Without a watch nothing is said of memory that others could have a share in.
        self.request.scenario.memory.as_ref()?;
        one_of_many(self.source.as_ref()?, &self.target.base)
    }

    fn started(&self) -> Body {
        let scenario = &self.request.scenario;
        let watch = scenario.memory.as_ref();
        let host = BTreeMap::from([
            (
                "cores".to_owned(),
                std::thread::available_parallelism().map_or(0, usize::from).to_string(),
            ),
            ("kernel".to_owned(), kernel()),
        ]);
        Body::RunStarted(Box::new(RunStarted {
            version: self.request.version.clone(),
            name: scenario.name.clone(),
            command: self.request.command.clone(),
            seed: scenario.seed,
            at_unix_ms: unix_ms(),
            base: self.target.base.clone(),
            target_command: scenario.target.command.clone(),
            target_pid: self.target.pid,
            warmup_rounds: watch.map_or(0, |watch| watch.warmup_rounds),
            rounds: watch.map_or(0, |watch| watch.rounds),
            max_rounds: watch.map_or(0, |watch| watch.max_rounds),
            duration_s: self.plan.duration().map(|length| length.as_secs_f64()),
            host,
        }))
    }

    /// Load without rounds: one pass of the plan as it stands.
    async fn load_once(&mut self) -> Result<(), RunError> {
        let start = PhaseStart { round: 0, kind: RoundKind::New, phase: Phase::Load };
        self.journal.note(Body::Phase(start)).await?;
        let pass = Pass {
            threads: self.request.threads,
            segment: self.request.segment,
            warmup: self.plan.warmup,
            given: Arc::clone(&self.given),
            ..Pass::default()
        };
        self.drive(pass, start).await
    }

    /// Load in rounds, until the series is decided.
    async fn rounds(&mut self, watch: &MemoryWatch) -> Result<(), RunError> {
        let design = Design::of(&self.request.scenario, &self.plan, watch);
        let rules =
            Rules { limits: watch.limit.clone(), bounded: watch.bounded.clone(), known_load: true };
        let mut series = Series::default();
        for index in 0..watch.warmup_rounds + watch.max_rounds {
            let plan = design.round(index);
            let Some(observation) = self.round(&plan, watch).await? else { return Ok(()) };
            series.push(observation);
            self.first_heap(index, watch).await?;
            let measured = (index + 1).saturating_sub(watch.warmup_rounds);
            if measured < PREVIEW_FROM.min(watch.rounds) {
                continue;
            }
            let due = measured == watch.rounds
                || measured == watch.max_rounds
                || (measured > watch.rounds && LOOKS.contains(&measured));
            let mut verdict = verdict::judge(&series, &rules);
            let ends = due && (!verdict.undecided || measured == watch.max_rounds);
            verdict.undecided |= !due;
            let found = verdict.verdict;
            self.journal.note(Body::Verdict(Box::new(verdict))).await?;
            if ends {
                self.rest_and_judge((index + 1, found), series, (watch, &rules)).await?;
                break;
            }
        }
        self.last_heap().await
    }

    /// One round: load, drain, settle, snapshot. `None` when the run is over.
    async fn round(
        &mut self,
        plan: &RoundPlan,
        watch: &MemoryWatch,
    ) -> Result<Option<Observation>, RunError> {
        let mut mark = PhaseStart { round: plan.index, kind: plan.kind, phase: Phase::Load };
        self.journal.note(Body::Phase(mark)).await?;
        let before = self.operations.clone();
        let pass = Pass {
            input_round: plan.input_round,
            iterations: Some(plan.iterations.clone()),
            threads: self.request.threads,
            segment: self.request.segment,
            given: Arc::clone(&self.given),
            ..Pass::default()
        };
        self.busy = None;
        self.drive(pass, mark).await?;
        if self.is_over() {
            return Ok(None);
        }
        let mut observation = Observation {
            round: plan.index,
            kind: plan.kind,
            busy_bytes: self.busy,
            operations: since(&before, &self.operations),
            ..Observation::default()
        };
        let Some(source) = self.source.clone() else { return Ok(None) };
        mark.phase = Phase::Settle;
        self.journal.note(Body::Phase(mark)).await?;
        let rest = observer::settle(&source, watch.settle_quiet, watch.settle_timeout);
        let settled = tokio::select! {
            settled = rest => settled,
            () = self.control.stopped() => return Ok(None),
            () = self.target.gone() => return Ok(None),
        };
        observation.settled_ms = settled.settled_ms;
        observation.unsettled = settled.unsettled;
        mark.phase = Phase::Snapshot;
        self.journal.note(Body::Phase(mark)).await?;
        self.snapshot(&source, &mut observation, Some(settled)).await?;
        Ok((!self.is_over()).then_some(observation))
    }

    /// Drives one pass, writing down each second, and adds it to what was measured so far.
    async fn drive(&mut self, pass: Pass, mut mark: PhaseStart) -> Result<(), RunError> {
        let mut engine = Engine::start(Arc::clone(&self.plan), pass)?;
        let stopper = engine.stopper();
        let mut told = Instant::now();
        let mut cut: Option<Instant> = None;
        let mut aborted = false;
        let mut silence = Silence::default();
        let mut lost = None;
        let mut adjusted = self.control.adjustments();
        loop {
            let stopping = cut.is_some();
            tokio::select! {
                biased;
                () = self.control.aborted(), if !aborted => {
                    aborted = true;
                    stopper.abort();
                }
                () = self.control.stopped(), if !stopping => {
                    stopper.drain();
                    cut = Some(Instant::now() + DRAIN_WITHIN);
                }
                () = self.target.gone(), if !stopping => {
                    // What fails until then is counted by its reason.
                    cut = Some(Instant::now() + ERRORS_FOR);
                }
                () = until(cut), if stopping && !aborted => {
                    aborted = true;
                    stopper.abort();
                }
                () = self.control.adjusted(adjusted) => {
                    adjusted = self.control.adjustments();
                    self.adjust(&stopper).await?;
                }
                point = self.observer.next() => self.see(point).await?,
                interval = engine.next() => {
                    let Some(interval) = interval else { break };
                    self.keep_histograms(&engine, interval.duration_ms).await?;
                    if lost.is_none() && let Some(why) = silence.after(&interval) {
                        lost = Some(why);
                        stopper.abort();
                    }
                    self.journal.note(Body::Interval(Box::new(interval))).await?;
                    if self.ended.is_none() && self.is_guarded_out(&engine) {
                        stopper.drain();
                    }
                    if engine.is_draining() && mark.phase == Phase::Load {
                        mark.phase = Phase::Drain;
                        self.journal.note(Body::Phase(mark)).await?;
                    }
                    if told.elapsed() >= METRICS_EVERY {
                        told = Instant::now();
                        let mut so_far = self.totals.clone();
                        so_far.merge(engine.totals());
                        self.journal.note(Body::Metrics(so_far.so_far())).await?;
                    }
                    self.snapshot_if_wished().await?;
                }
            }
        }
        let measured = engine.finish().await;
        self.totals.merge(&measured);
        self.operations = self.totals.operations();
        self.failure = measured.target_lost().or(lost);
        self.journal.note(Body::Metrics(self.totals.so_far())).await?;
        for warning in self.totals.warnings() {
            self.journal.warn(warning).await?;
        }
        Ok(())
    }

    /// Writes the latencies of an interval down.
    async fn keep_histograms(&mut self, engine: &Engine, length_ms: f64) -> Result<(), RunError> {
        let length = Duration::from_secs_f64(length_ms / 1e3);
        let start = self.began.elapsed().saturating_sub(length);
        // What is measured stands in the events as well: its loss ends nothing.
        if let Err(error) = self.hlog.write(engine.histograms(), start) {
            self.journal.missed("histograms", error.to_string()).await?;
        }
        Ok(())
    }

    /// Holds the load or changes its pace, as the reins say, and writes it down.
    async fn adjust(&mut self, stopper: &Stopper) -> Result<(), RunError> {
        let (held, pace) = self.control.pace();
        let turned = if held { stopper.pause() } else { stopper.resume() };
        if !stopper.set_pace(pace) && !turned {
            return Ok(());
        }
        let times = self.control.adjustments();
        let at = self.began.elapsed().as_secs_f64();
        let what = if held { "held".to_owned() } else { format!("{pace:.2} times the plan") };
        self.journal
            .warn(Warning {
                code: "load_adjusted".to_owned(),
                message: format!(
                    "the load was changed by hand {times} times, last at {at:.1} s: {what}"
                ),
                advice: "compare this run with none that kept to its plan".to_owned(),
            })
            .await?;
        Ok(())
    }

    /// Whether a threshold that ends the run has failed.
    fn is_guarded_out(&mut self, engine: &Engine) -> bool {
        if !self.guard.is_idle() {
            let mut so_far = self.totals.clone();
            so_far.merge(engine.totals());
            self.ended = self.guard.see(&so_far, engine.histograms());
        }
        self.ended.is_some()
    }

    async fn see(&mut self, point: MemoryPoint) -> Result<(), RunError> {
        self.busy = self.busy.max(point.live_bytes);
        self.journal.note(Body::Memory(Box::new(point))).await?;
        Ok(())
    }

    async fn snapshot_if_wished(&mut self) -> Result<(), RunError> {
        let Some(source) = self.source.clone() else { return Ok(()) };
        if self.control.take_snapshot_wish() {
            self.snapshot(&source, &mut Observation::default(), None).await?;
        }
        Ok(())
    }

    /// Takes a snapshot, writes it down, and puts it into the observation. One that cannot be
    /// had is an observation missed, unless the target is gone.
    async fn snapshot(
        &mut self,
        source: &Source,
        observation: &mut Observation,
        settled: Option<Settled>,
    ) -> Result<(), RunError> {
        let taken = tokio::select! {
            taken = self.capture.take(source, settled.is_some()) => taken,
            () = self.control.stopped() => return Ok(()),
            () = self.target.gone() => return Ok(()),
        };
        let captured = match taken {
            Ok(captured) => captured,
            Err(error) => {
                // A connection breaks a moment before the kernel says that its owner has ended.
                let _ = timeout(REAPED_WITHIN, self.target.gone()).await;
                self.failure = self.failure.take().or_else(|| Some(error.to_string()));
                self.journal.missed("snapshot", error.to_string()).await?;
                return Ok(());
            }
        };
        let Captured { index, file, sidecar, folded, warnings } = captured;
        let rss = sidecar.as_ref().map(|s| s.process.rss_bytes).filter(|bytes| *bytes > 0);
        let census = sidecar.map(|sidecar| sidecar.census).unwrap_or_default();
        let event = SnapshotTaken {
            index,
            round: settled.map(|_| observation.round),
            kind: observation.kind,
            file: file.clone(),
            operations: self.operations.clone(),
            live_bytes: folded.live_bytes.max(0.0) as u64,
            live_objects: folded.live_objects.map(|objects| objects.max(0.0) as u64),
            rss_bytes: rss,
            busy_bytes: observation.busy_bytes,
            settled_ms: observation.settled_ms,
            unsettled: observation.unsettled,
            sample_interval_bytes: folded.interval_bytes as u64,
            census: census.kinds.clone(),
            sites: live_sites(&folded),
        };
        self.journal.note(Body::Snapshot(Box::new(event))).await?;
        for warning in warnings {
            self.journal.warn(warning).await?;
        }
        observation.rss_bytes = rss;
        observation.snapshot = file;
        observation.census = census;
        observation.folded = folded;
        observation.at_s = Some(self.began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Whether there is nothing more to do: stopped, or the target is gone.
    fn is_over(&mut self) -> bool {
        if let Some(ending) = self.target.ending() {
            self.failure = Some(ending);
        }
        self.failure.is_some() || self.ended.is_some() || self.control.is_stopped()
    }

    /// Says how it ended, whatever happened before.
    async fn close(mut self, outcome: Result<(), RunError>) -> Result<(i32, State), RunError> {
        if let Err(error) = outcome {
            self.failure = Some(error.to_string());
        }
        self.is_over();
        let ledger = self.totals.ledger(&self.plan, self.request.segment);
        if let Err(error) = self.folder.write_totals(&ledger) {
            self.failure.get_or_insert(error.to_string());
        }
        let mut so_far = self.totals.so_far();
        let failed = self.guard.judge(&mut so_far.metrics);
        if let Some(warning) = self.guard.warning() {
            let _ = self.journal.warn(warning).await;
        }
        // A full disk must not keep the end from being told: the state has it in any case.
        if let Err(error) = self.journal.note(Body::Metrics(so_far)).await {
            self.failure.get_or_insert(error.to_string());
        }
        let interrupted = self.control.is_stopped();
        let state = self.journal.state();
        let watch = self.request.scenario.memory.as_ref();
        let ending = Ending {
            interrupted,
            failed: self.failure.is_some(),
            thresholds_failed: !failed.is_empty() || self.ended.is_some(),
            latency_claimed: self.claims_latency(),
            warnings: &state.warnings,
            memory: watch.map(|_| &state.memory),
            fail_on: watch.map_or(&[], |watch| &watch.fail_on),
            strict: self.request.strict,
            cut_short: self.ended.is_some(),
        };
        let codes = ending.codes();
        let ended = RunEnded {
            exit_code: codes[0],
            exit_codes: codes.clone(),
            partial: interrupted || self.failure.is_some() || self.ended.is_some(),
            reason: self.failure.clone().or(self.ended.clone()).unwrap_or_default(),
        };
        // When the disk is full, the line before has said so in all likelihood.
        let _ = self.journal.note(Body::RunEnded(ended)).await;
        Ok((codes[0], self.journal.into_state()))
    }

    fn claims_latency(&self) -> bool {
        self.plan.thresholds.iter().any(|threshold| threshold.speaks_of_latency())
    }
}

/// Release of the kernel, for the reader of a report.
fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn since(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let done = |name: &String| before.get(name).copied().unwrap_or(0);
    after.iter().map(|(name, count)| (name.clone(), count - done(name))).collect()
}
