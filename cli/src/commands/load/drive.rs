//! The load of `ebb load` from its first event to its last: one pass of the engine, written down
//! as it happens. In: a plan, the reins, the server where ebb started it. Out: events, the
//! interval log where a folder is kept, and how it ended.

use crate::commands::{VERSION, command_line};
use ebbtide_loadgen::hlog::HlogWriter;
use ebbtide_loadgen::{Engine, Pass, Plan};
use ebbtide_record::event::{Body, Event, Phase, PhaseStart, RoundKind, RunEnded, RunStarted};
use ebbtide_record::{MemoryVerdict, State};
use ebbtide_rounds::exit::Ending;
use ebbtide_rounds::folder::{self, FolderError, RunFolder};
use ebbtide_rounds::journal::{Journal, unix_ms};
use ebbtide_rounds::silence::Silence;
use ebbtide_rounds::target::RunningTarget;
use ebbtide_rounds::{Control, RunError};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// How often all metrics are written down.
const METRICS_EVERY: Duration = Duration::from_secs(10);

/// How long the load goes on once the server that ebb started is gone, so that what fails is
/// counted by its reason.
const ERRORS_FOR: Duration = Duration::from_millis(500);

/// One load to be driven.
pub(super) struct Drive<'a> {
    /// What is loaded.
    pub(super) plan: Plan,
    /// Threads and warm-up.
    pub(super) pass: Pass,
    /// What it is called.
    pub(super) name: String,
    /// How long it is to be, where time decides.
    pub(super) length: Option<Duration>,
    /// Where it is kept.
    pub(super) folder: Option<&'a RunFolder>,
    /// The server, where ebb started it.
    pub(super) server: Option<&'a RunningTarget>,
}

impl Drive<'_> {
    /// Drives the load.
    ///
    /// # Errors
    ///
    /// When the load cannot begin, or the folder cannot be written.
    pub(super) async fn run(
        self,
        control: Control,
        events: Sender<Event>,
    ) -> Result<(i32, State), RunError> {
        let plan = Arc::new(self.plan.clone());
        let mut histograms = self.folder.map(histograms).transpose()?;
        let log = self.folder.map(RunFolder::log).transpose()?;
        let mut engine = Engine::start(Arc::clone(&plan), self.pass.clone())?;
        let mut journal = Journal::new(log, events);
        journal.note(self.started(&plan)).await?;
        let start = PhaseStart { round: 0, kind: RoundKind::New, phase: Phase::Load };
        journal.note(Body::Phase(start)).await?;
        let stopper = engine.stopper();
        let (mut draining, mut cut, mut gone) = (false, false, None);
        let mut silence = Silence::default();
        let mut lost = None;
        let (began, mut told) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                biased;
                () = control.aborted(), if !cut => {
                    cut = true;
                    stopper.abort();
                }
                () = control.stopped(), if !draining => {
                    draining = true;
                    stopper.drain();
                }
                () = gone_server(self.server), if gone.is_none() => {
                    gone = Some(tokio::time::Instant::now() + ERRORS_FOR);
                    lost = lost.or(self.server.and_then(RunningTarget::ending));
                }
                () = until(gone), if gone.is_some() && !cut => {
                    cut = true;
                    stopper.abort();
                }
                interval = engine.next() => {
                    let Some(interval) = interval else { break };
                    if let Some(log) = &mut histograms {
                        let length = Duration::from_secs_f64(interval.duration_ms / 1e3);
                        let start = began.elapsed().saturating_sub(length);
                        // The log of latencies is for other tools: its loss ends nothing.
                        if let Err(error) = log.write(engine.histograms(), start) {
                            journal.missed("histograms", error.to_string()).await?;
                        }
                    }
                    if lost.is_none() && let Some(why) = silence.after(&interval) {
                        lost = Some(why);
                        stopper.abort();
                    }
                    journal.note(Body::Interval(Box::new(interval))).await?;
                    if told.elapsed() >= METRICS_EVERY {
                        told = Instant::now();
                        journal.note(Body::Metrics(engine.totals().so_far())).await?;
                    }
                }
            }
        }
        let totals = engine.finish().await;
        if let Some(run) = self.folder {
            run.write_totals(&totals.ledger(&plan, self.pass.segment))?;
        }
        journal.note(Body::Metrics(totals.so_far())).await?;
        for warning in totals.warnings() {
            journal.warn(warning).await?;
        }
        let lost = lost.or(totals.target_lost());
        end(journal, lost, control.is_stopped()).await
    }

    fn started(&self, plan: &Plan) -> Body {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Body::RunStarted(Box::new(RunStarted {
            version: VERSION.to_owned(),
            name: self.name.clone(),
            command: command_line(),
            seed: plan.seed,
            at_unix_ms: unix_ms(),
            base: plan.base.clone(),
            target_pid: self.server.and_then(|server| server.pid),
            duration_s: self.length.map(|length| length.as_secs_f64()),
            host: BTreeMap::from([("cores".to_owned(), cores.to_string())]),
            ..RunStarted::default()
        }))
    }
}

/// Opens the interval log of the run's folder.
fn histograms(run: &RunFolder) -> Result<HlogWriter<File>, FolderError> {
    let path = run.path().join(folder::HISTOGRAMS);
    File::create(&path)
        .and_then(|file| HlogWriter::begin(file, unix_ms()))
        .map_err(|source| FolderError::Unwritable { path, source })
}

/// Waits until the server has ended, where there is one of ours.
async fn gone_server(server: Option<&RunningTarget>) {
    match server {
        Some(server) => server.gone().await,
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Writes the end of the run down: which exit codes hold, and why.
async fn end(
    mut journal: Journal,
    lost: Option<String>,
    interrupted: bool,
) -> Result<(i32, State), RunError> {
    let lost = lost.or_else(|| all_failed(journal.state()));
    let lost = lost.or_else(|| (!interrupted).then(|| nothing_done(journal.state())).flatten());
    let ending = Ending {
        interrupted,
        failed: lost.is_some(),
        memory: None::<&MemoryVerdict>,
        ..Ending::default()
    };
    let codes = ending.codes();
    let code = codes[0];
    let partial = interrupted || lost.is_some();
    let reason = lost.unwrap_or_default();
    let ended = RunEnded { exit_code: code, exit_codes: codes, partial, reason };
    journal.note(Body::RunEnded(ended)).await?;
    Ok((code, journal.into_state()))
}

/// Nothing succeeded, so there was no load: the reason most often seen says why.
fn all_failed(state: &State) -> Option<String> {
    let totals = &state.totals;
    let (reason, count) = state.errors.iter().max_by_key(|(_, count)| **count)?;
    (totals.requests > 0 && totals.failed >= totals.requests)
        .then(|| format!("no exchange succeeded: {reason} ({count} times)"))
}

/// No exchange came to its end, well or badly.
fn nothing_done(state: &State) -> Option<String> {
    (state.totals.requests == 0 && state.totals.messages_sent == 0).then(|| {
        "no exchange ended in that time: give more `--duration`, or fewer `--connections`"
            .to_owned()
    })
}
