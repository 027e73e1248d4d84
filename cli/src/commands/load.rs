//! `ebb load URL`: quick load on one URL. In: flags that hands know from wrk, oha and autocannon.
//! Out: the summary; with `--out` a run's folder as well.
//! Whatever takes more than one step is left to `ebb run` and a scenario.

use super::run::write_report;
use super::{VERSION, command_line, on_runtime};
use crate::failure::Failure;
use crate::flags::Permission;
use crate::follow::{self, Follow};
use crate::form::Reporting;
use crate::output::Output;
use crate::tui::Purpose;
use crate::{interrupt, permission, reach};
use clap::Args;
use ebbtide_loadgen::scenario::{SEED_DEFAULT, units};
use ebbtide_loadgen::{Engine, Pass, Plan, Quick};
use ebbtide_record::event::{Body, Event, Phase, PhaseStart, RoundKind, RunEnded, RunStarted};
use ebbtide_record::{MemoryVerdict, State};
use ebbtide_rounds::exit::Ending;
use ebbtide_rounds::folder::{self, RunFolder};
use ebbtide_rounds::journal::{Journal, unix_ms};
use ebbtide_rounds::silence::Silence;
use ebbtide_rounds::{Control, RunError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// How often all metrics are written down.
const METRICS_EVERY: Duration = Duration::from_secs(10);

/// The arguments of `ebb load`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb load http://127.0.0.1:8080/healthz -c 64 -d 30s
  ebb load http://127.0.0.1:8080/api/v1/echo -m POST -b hello -r 500
  ebb load ws://127.0.0.1:8080/ws -c 100 -b '{\"type\":\"user\",\"content\":\"hello\"}'
With -r requests start at their times whether or not others have ended (open model), and latency
counts from those times as well.")]
pub(crate) struct Load {
    /// http:// or ws://
    url: String,
    /// Connections, each with one request at a time
    #[arg(short, long, default_value_t = 10)]
    connections: u32,
    /// How long, such as 10s or 2m
    #[arg(short, long, default_value = "10s", value_parser = units::duration)]
    duration: Duration,
    /// So many requests, instead of a duration
    #[arg(short = 'n', long, conflicts_with = "duration")]
    requests: Option<u64>,
    /// Requests per second, started on time
    #[arg(short, long)]
    rate: Option<f64>,
    /// HTTP method
    #[arg(short, long, default_value = "GET")]
    method: String,
    /// A header, as `name: value`; repeatable
    #[arg(short = 'H', long, value_parser = header)]
    header: Vec<(String, String)>,
    /// Body, or for ws:// the message; `@file` reads a file
    #[arg(short, long, default_value = "")]
    body: String,
    /// Time limit of one request
    #[arg(short, long, value_parser = units::duration)]
    timeout: Option<Duration>,
    /// Threads [default: one per core]
    #[arg(short = 'w', long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Load at the start that is not measured
    #[arg(long, default_value = "0s", value_parser = units::duration)]
    warmup: Duration,
    /// Seed of everything random
    #[arg(long, default_value_t = SEED_DEFAULT)]
    seed: u64,
    /// Folder to keep the run in; none is made without it
    #[arg(short, long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    reporting: Reporting,
    #[command(flatten)]
    permission: Permission,
}

impl Load {
    /// Loads the URL and prints the summary.
    ///
    /// # Errors
    ///
    /// When the arguments are at fault, the host has no address or the folder cannot be written.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        self.reporting.check()?;
        let plan = Plan::quick(&self.quick()?)?;
        permission::to_load(&plan.address.host, &self.permission.allow_host)?;
        on_runtime(1, reach::target(&plan.address))?;
        let folder = self.out.as_deref().map(RunFolder::create).transpose()?;
        let log = folder.as_ref().map(RunFolder::log).transpose()?;
        if let Some(folder) = &folder {
            folder.write(folder::PLAN, &serde_json::to_vec_pretty(&plan).unwrap_or_default())?;
        }
        let (code, state) = on_runtime(1, async {
            let control = Control::default();
            interrupt::obey(control.clone(), output)?;
            let (sender, events) = follow::channel();
            let purpose = Purpose { snapshots: false, owns_run: true };
            let follow = Follow { output, screen: false, purpose };
            let load = self.drive(plan, control.clone(), sender, log);
            let (ended, followed) = tokio::join!(load, follow.until_end(events, control));
            followed?;
            Ok(ended?)
        })?;
        if let Some(folder) = &folder {
            folder::write_summary(folder.path(), &state)?;
            write_report(folder.path(), &state)?;
        }
        self.reporting.deliver(&state, output, folder.as_ref().map(RunFolder::path))?;
        Ok(code)
    }

    fn quick(&self) -> Result<Quick, Failure> {
        let body = match self.body.strip_prefix('@') {
            None => self.body.clone().into_bytes(),
            Some(path) => std::fs::read(path)
                .map_err(|error| Failure::usage(format!("body `{path}`: {error}")))?,
        };
        Ok(Quick {
            url: self.url.clone(),
            connections: self.connections,
            duration: self.duration,
            requests: self.requests,
            rate: self.rate,
            method: self.method.clone(),
            headers: self.header.clone(),
            body,
            timeout: self.timeout.unwrap_or(Quick::default().timeout),
            seed: self.seed,
        })
    }

    async fn drive(
        &self,
        plan: Plan,
        control: Control,
        events: Sender<Event>,
        log: Option<folder::EventLog>,
    ) -> Result<(i32, State), RunError> {
        let plan = Arc::new(plan);
        let pass = Pass { threads: self.threads, warmup: self.warmup, ..Pass::default() };
        let mut engine = Engine::start(Arc::clone(&plan), pass)?;
        let mut journal = Journal::new(log, events);
        journal.note(self.started(&plan)).await?;
        let start = PhaseStart { round: 0, kind: RoundKind::New, phase: Phase::Load };
        journal.note(Body::Phase(start)).await?;
        let stopper = engine.stopper();
        let (mut draining, mut cut) = (false, false);
        let mut silence = Silence::default();
        let mut lost = None;
        let mut told = Instant::now();
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
                interval = engine.next() => {
                    let Some(interval) = interval else { break };
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
        journal.note(Body::Metrics(totals.so_far())).await?;
        for warning in totals.warnings() {
            journal.warn(warning).await?;
        }
        let interrupted = control.is_stopped();
        let lost = totals.target_lost().or(lost).or_else(|| all_failed(journal.state()));
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

    fn started(&self, plan: &Plan) -> Body {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Body::RunStarted(Box::new(RunStarted {
            version: VERSION.to_owned(),
            name: self.url.clone(),
            command: command_line(),
            seed: plan.seed,
            at_unix_ms: unix_ms(),
            base: plan.base.clone(),
            duration_s: self.requests.is_none().then_some(self.duration.as_secs_f64()),
            host: BTreeMap::from([("cores".to_owned(), cores.to_string())]),
            ..RunStarted::default()
        }))
    }
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

/// A header as it is typed.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| "a header is written `name: value`".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
