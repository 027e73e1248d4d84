//! `ebb load URL`: quick load on one URL. In: flags that hands know from wrk, oha and autocannon.
//! Out: the summary; with `--out` a run's folder as well.
//! Whatever takes more than one step is left to `ebb run` and a scenario; driving the load and
//! starting a server for it to the files beside this one.

mod address;
mod drive;

use super::run::{ebb, write_report};
use super::{import, on_runtime};
use crate::events::Events;
use crate::failure::Failure;
use crate::flags::Permission;
use crate::follow::{self, Follow};
use crate::form::{Form, Reporting};
use crate::output::Output;
use crate::protocol::Speech;
use crate::push::Pushing;
use crate::transport::Way;
use crate::tui::Purpose;
use crate::{interrupt, permission, reach};
use clap::Args;
use drive::Drive;
use ebbtide_loadgen::scenario::{SEED_DEFAULT, units};
use ebbtide_loadgen::{Pass, Plan, Quick, Segment};
use ebbtide_record::State;
use ebbtide_rounds::Control;
use ebbtide_rounds::folder::{self, RunFolder};
use ebbtide_rounds::target::{RunningTarget, Surroundings};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempPath;

/// Stands for the server that is still to be started.
const SOMEWHERE: &str = "http://127.0.0.1:1";

/// The arguments of `ebb load`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb load http://127.0.0.1:8080/healthz -c 64 -d 30s
  ebb load :8080/api/v1/echo -m POST -b hello -r 500
  ebb load --http2 -c 10 -p 10 http://127.0.0.1:8080/
  ebb load ws://127.0.0.1:8080/ws -c 100 -b '{\"type\":\"user\",\"content\":\"hello\"}'
  ebb load --socketio :3000 -c 1000 -d 1m
  ebb load --socketio :3000/chat -b '[\"say\", {\"text\":\"hello\"}]' --ack
  ebb load / --on-port -- node server.js
  ebb load :8080 --har recording.har -c 20
  ebb load :8080/ -n 10000 --renderer autocannon --report junit=results.xml
With -r requests start at their times whether or not others have ended (open model), and latency
counts from those times as well.
Connections of ws:// and --socketio without -b are held for the duration; with -r or -n they are
opened and closed.

Exit codes: 0 fine, 1 tool or target failed, 2 bad arguments, 130 interrupted.")]
pub(crate) struct Load {
    /// http://, https://, ws:// or wss://; without a scheme it is http, `:8080/x` is this machine. With --on-port a
    /// path is enough; a port named here is the one waited for
    #[arg(required_unless_present_any = ["on_port", "har"])]
    url: Option<String>,

    /// Connections, each with one request at a time unless -p says more
    #[arg(short, long, default_value_t = 10, help_heading = "Load")]
    connections: u32,
    /// How long, such as 10s or 2m
    #[arg(short, long, default_value = "10s", value_parser = units::duration,
          help_heading = "Load")]
    duration: Duration,
    /// So many requests, instead of a duration
    #[arg(short = 'n', long, conflicts_with = "duration", help_heading = "Load")]
    requests: Option<u64>,
    /// Requests per second, started on time
    #[arg(short, long, help_heading = "Load")]
    rate: Option<f64>,
    /// Load at the start that is not measured
    #[arg(long, default_value = "0s", value_parser = units::duration, help_heading = "Load")]
    warmup: Duration,
    /// Drive one part of the load: 0/3, 1/3 and 2/3 on three machines, joined by `report merge`
    #[arg(
        long,
        value_name = "I/N",
        default_value = "0/1",
        hide_default_value = true,
        help_heading = "Load"
    )]
    segment: Segment,
    /// Threads [default: one per core]
    #[arg(
        short = 'w',
        long,
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Load"
    )]
    threads: usize,
    /// Seed of everything random
    #[arg(long, default_value_t = SEED_DEFAULT, help_heading = "Load")]
    seed: u64,

    /// HTTP method [default: GET]
    #[arg(short, long, default_value = "GET", hide_default_value = true, help_heading = "Request")]
    method: String,
    /// A header, as `name: value`; repeatable
    #[arg(short = 'H', long, value_parser = header, help_heading = "Request")]
    header: Vec<(String, String)>,
    /// Body, or for ws:// the message, for --socketio the event; `@file` reads a file
    #[arg(short, long, default_value = "", hide_default_value = true, help_heading = "Request")]
    body: String,
    /// Load what a browser recorded, in place of one request; the URL says where instead of the
    /// recording. Counts and rates are those of the whole recording
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "header", "body"],
          help_heading = "Request")]
    har: Option<String>,
    /// Time limit of one request
    #[arg(short, long, value_parser = units::duration, help_heading = "Request")]
    timeout: Option<Duration>,

    #[command(flatten)]
    speech: Speech,
    #[command(flatten)]
    events: Events,
    #[command(flatten)]
    way: Way,

    /// Start a server by the command after `--`, load the port it listens on, stop it
    #[arg(long, requires = "command", help_heading = "Target")]
    on_port: bool,
    /// The server's command, after `--`
    #[arg(last = true, requires = "on_port", value_name = "COMMAND", help_heading = "Target")]
    command: Vec<String>,

    /// Folder to keep the run in; none is made without it
    #[arg(short, long, value_name = "FOLDER", help_heading = "Results")]
    out: Option<PathBuf>,
    /// Form of the summary
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "FORM",
        conflicts_with = "json",
        help_heading = "Results"
    )]
    renderer: Form,
    #[command(flatten)]
    reporting: Reporting,
    #[command(flatten)]
    pushing: Pushing,
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
        // Before anything is made or started: most mistakes are found here.
        let plan = self.plan(if self.on_port { SOMEWHERE } else { "" })?;
        if !self.on_port {
            permission::to_load(&plan, &self.permission.allow_host)?;
            reach::target(&plan)?;
        }
        let folder = self.out.as_deref().map(RunFolder::create).transpose()?;
        let (code, state) = on_runtime(1, self.load(folder.as_ref(), output))?;
        if let Some(folder) = &folder {
            folder::write_summary(folder.path(), &state)?;
            write_report(folder.path(), &state)?;
        }
        let shown = self.reporting.as_form(self.renderer);
        shown.deliver(&state, output, folder.as_ref().map(RunFolder::path))?;
        Ok(code)
    }

    async fn load(
        &self,
        folder: Option<&RunFolder>,
        output: Output,
    ) -> Result<(i32, State), Failure> {
        let control = Control::default();
        interrupt::obey(control.clone(), output)?;
        let (log, kept) = log(folder)?;
        let mut server = if self.on_port { Some(self.start(log, &control).await?) } else { None };
        let base = server.as_ref().map_or("", |server| server.base.as_str());
        let plan = self.plan(base)?;
        if let Some(folder) = folder {
            folder.write(folder::PLAN, &serde_json::to_vec_pretty(&plan).unwrap_or_default())?;
        }
        let (sender, events) = follow::channel();
        let (events, pushers) = self.pushing.on_the_way(events, output);
        let purpose = Purpose { snapshots: false, owns_run: true };
        let follow = Follow { output, screen: false, purpose };
        let drive = Drive {
            name: plan.base.clone(),
            pass: Pass {
                threads: self.threads,
                warmup: self.warmup,
                segment: self.segment,
                ..Pass::default()
            },
            length: self.requests.is_none().then_some(self.duration),
            plan,
            folder,
            server: server.as_ref(),
        };
        let load = drive.run(control.clone(), sender);
        let (ended, followed) = tokio::join!(load, follow.until_end(events, control));
        pushers.finish(output).await;
        if let Some(server) = &mut server {
            if server.ended().is_some() {
                // The reason of the run's end names it.
                kept.map(TempPath::keep).transpose().map_err(Failure::failed)?;
            }
            server.stop().await;
        }
        followed?;
        Ok(ended?)
    }

    /// Starts the server, and waits until it listens.
    async fn start(&self, log: PathBuf, control: &Control) -> Result<RunningTarget, Failure> {
        let typed = self.url.as_deref().unwrap_or("/");
        let on_any = address::on(SOMEWHERE, typed)?;
        let path = on_any.split(SOMEWHERE.trim_start_matches("http://")).nth(1).unwrap_or("/");
        let hints = (address::port_wanted(typed), path);
        let around = Surroundings { ebb: ebb()?, log, ..Surroundings::default() };
        tokio::select! {
            started = RunningTarget::listening(&self.command, hints, &around) => {
                started.map_err(Failure::failed)
            }
            () = control.stopped() => Err(Failure::interrupted("interrupted before the load")),
        }
    }

    /// The plan on the given URL, on the server at `base` where ebb started one.
    fn plan(&self, base: &str) -> Result<Plan, Failure> {
        let url = self.url.as_deref().unwrap_or("/");
        let url = if base.is_empty() { address::whole(url) } else { address::on(base, url)? };
        address::check_connections(self.connections)?;
        let Some(har) = &self.har else { return Ok(Plan::quick(&self.quick(url)?)?) };
        let (mut scenario, _) = import::recorded(har)?;
        let recorded = scenario.target.base.clone().unwrap_or_default();
        let base = match (&self.url, base) {
            (Some(_), _) => url.clone(),
            (None, "") => recorded,
            (None, base) => base.to_owned(),
        };
        let quick = self.quick(url)?;
        let executor = quick.executor();
        scenario.target.transport = quick.transport;
        scenario.target.protocol = quick.protocol;
        scenario.seed = self.seed;
        self.way.over(&mut scenario.target.transport)?;
        scenario.thresholds.clear();
        for flow in scenario.flows.values_mut() {
            flow.executor = executor.clone();
            flow.graceful_stop = Duration::ZERO;
            flow.inherited.timeout = self.timeout.or(flow.inherited.timeout);
        }
        Ok(Plan::resolve(&scenario, &base)?)
    }

    fn quick(&self, url: String) -> Result<Quick, Failure> {
        let body = match self.body.strip_prefix('@') {
            None => self.body.clone().into_bytes(),
            Some(path) => std::fs::read(path)
                .map_err(|error| Failure::usage(format!("body `{path}`: {error}")))?,
        };
        // More connections than requests would have nothing to do.
        let most = self.requests.filter(|requests| *requests > 0).unwrap_or(u64::MAX);
        Ok(Quick {
            url,
            connections: self.connections.min(u32::try_from(most).unwrap_or(u32::MAX)),
            duration: self.duration + self.warmup,
            requests: self.requests,
            rate: self.rate,
            method: self.method.clone(),
            headers: self.header.clone(),
            body,
            timeout: self.timeout.unwrap_or(Quick::default().timeout),
            seed: self.seed,
            protocol: self.speech.protocol()?,
            transport: self.way.transport()?,
            socketio: self.events.talk(),
        })
    }
}

/// Where the output of a server goes: into the run's folder, else into a file that goes away.
fn log(folder: Option<&RunFolder>) -> Result<(PathBuf, Option<TempPath>), Failure> {
    if let Some(folder) = folder {
        return Ok((folder.path().join(folder::TARGET_LOG), None));
    }
    let file = tempfile::Builder::new().prefix("ebb-").suffix(".log").tempfile()?;
    let path = file.into_temp_path();
    Ok((path.to_path_buf(), Some(path)))
}

/// A header as it is typed.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| "a header is written `name: value`".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
