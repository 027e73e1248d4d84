//! `ebb watch PID|URL|RUN`: the screen on a live process, or on a run's folder, which may still
//! be written. In: a target. Out: a screen, or lines where there is no terminal.
//! Looking at the process is left to `rounds`, drawing to the screen.

use super::dump::target;
use super::{VERSION, on_runtime};
use crate::failure::Failure;
use crate::follow::{self, Follow};
use crate::interrupt;
use crate::output::Output;
use crate::tui::Purpose;
use clap::Args;
use ebbtide_loadgen::scenario::units;
use ebbtide_profiler::SiteRules;
use ebbtide_record::Event;
use ebbtide_rounds::heap::HeapReader;
use ebbtide_rounds::watch::{WatchRequest, watch};
use ebbtide_rounds::{Control, exit, folder};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How often the log of a run that goes on is looked at.
const LOG_EVERY: Duration = Duration::from_millis(200);

/// Snapshots more often than that would be most of what the process does.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// The arguments of `ebb watch`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb watch 4711                            a process with the probe inside
  ebb watch 4712                            a Node process as it is
  ebb watch http://127.0.0.1:6060           a heap profile served over HTTP
  ebb watch ebb-runs/20261121-094512-chat   a run, finished or not
Keys are shown by `?`.")]
pub(crate) struct Watch {
    /// Process id, URL or a run's folder
    #[arg(value_name = "PID|URL|RUN")]
    target: String,
    /// Time between two snapshots, or `off` for those taken by the key alone
    #[arg(long, default_value = "10s", value_name = "TIME")]
    every: String,
    /// Path prefix of your own code; repeatable
    #[arg(long, value_name = "PREFIX")]
    own: Vec<String>,
    /// Print lines, even on a terminal
    #[arg(long)]
    no_tui: bool,
    /// At the end, print the summary as one JSON document
    #[arg(long)]
    json: bool,
}

impl Watch {
    /// Watches until it is left, or until nothing more happens.
    ///
    /// # Errors
    ///
    /// When there is nothing to watch, or the terminal cannot be used.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let screen = output.has_screen() && !self.no_tui && !self.json;
        let path = PathBuf::from(&self.target);
        if path.exists() {
            return self.run_folder(&path, output, screen);
        }
        let mut source = target(&self.target)?;
        let every = match self.every.as_str() {
            "off" => None,
            text => Some(interval(text)?),
        };
        let rules = SiteRules { own: self.own.clone(), ..SiteRules::default() };
        if !source.has_heap() {
            output.say(&format!(
                "`{}` has no probe and no heap profile: only what the system says of its memory \
                 is shown",
                self.target
            ));
        }
        let purpose = Purpose { snapshots: source.has_heap(), owns_run: false };
        let state = on_runtime(1, async {
            let control = Control::default();
            interrupt::obey(control.clone(), output)?;
            let opened = tokio::select! {
                opened = source.open() => opened.map(|()| true),
                () = control.stopped() => Ok(false),
            };
            if !matches!(opened, Ok(true)) {
                source.release().await;
                opened?;
                return Ok(None);
            }
            // Whatever is waited for then: leaving at once leaves nothing changed behind.
            let (lent, leaving) = (source.clone(), control.clone());
            tokio::spawn(async move {
                leaving.aborted().await;
                lent.release().await;
            });
            let request = WatchRequest {
                source: source.clone(),
                name: self.target.clone(),
                every,
                heap: HeapReader::new(rules),
                version: VERSION.to_owned(),
            };
            let (sender, events) = follow::channel();
            let follow = Follow { output, screen, purpose };
            let watched = watch(request, control.clone(), sender);
            let (state, followed) = tokio::join!(watched, follow.until_end(events, control));
            source.release().await;
            followed?;
            Ok(Some(state?))
        })?;
        let Some(state) = state else { return Ok(exit::INTERRUPTED) };
        output.run(&state, None, self.json)?;
        Ok(exit::FINE)
    }

    /// Shows a run from its log, and goes on while the log does.
    fn run_folder(&self, path: &Path, output: Output, screen: bool) -> Result<i32, Failure> {
        let state = folder::read_state(path)?;
        if !screen {
            output.run(&state, Some(path), self.json)?;
            return Ok(exit::FINE);
        }
        let log = path.to_owned();
        on_runtime(1, async move {
            let control = Control::default();
            interrupt::obey(control.clone(), output)?;
            let (sender, events) = follow::channel();
            tokio::spawn(tell(log, sender));
            let purpose = Purpose { snapshots: false, owns_run: false };
            Follow { output, screen, purpose }.until_end(events, control).await
        })?;
        Ok(exit::FINE)
    }
}

/// Time between two snapshots; none at all would leave the process no time for its own work.
fn interval(text: &str) -> Result<Duration, Failure> {
    let every = units::duration(text).map_err(Failure::usage)?;
    if every < EVERY_MIN {
        return Err(Failure::usage(format!(
            "`--every {text}` is too short: write `{} s` or more, or `off`",
            EVERY_MIN.as_secs()
        )));
    }
    Ok(every)
}

/// Tells what stands in a log, and what is added to it.
async fn tell(path: PathBuf, sender: Sender<Event>) {
    let mut reader = folder::LogReader::new(&path);
    loop {
        let mut fresh = Vec::new();
        // A folder that is gone has nothing more to tell; what was seen stays on the screen.
        let _ = reader.read_on(|event| fresh.push(event));
        for event in fresh {
            if sender.send(event).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOG_EVERY).await;
    }
}
