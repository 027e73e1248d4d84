//! `ebb leaks SNAPSHOT...` or `RUN`: a verdict over a series of snapshots. In: files in the order
//! in which they were taken, or a run's folder. Out: the summary, and 98 when something leaks.
//! How a series is judged is left to `profiler`, and its words to `reports`.

use crate::failure::Failure;
use crate::output::Output;
use clap::Args;
use ebbtide_profiler::SiteRules;
use ebbtide_record::event::{Body, Event};
use ebbtide_record::{MemoryVerdict, State, Verdict};
use ebbtide_rounds::exit;
use ebbtide_rounds::heap::HeapReader;
use ebbtide_rounds::{archive, folder};
use std::path::PathBuf;

/// Fewer snapshots give no growth with an interval.
const SNAPSHOTS_MIN: usize = 3;

/// The arguments of `ebb leaks`.
#[derive(Args, Debug)]
#[command(after_help = "\
Growth is counted per operation in a run; of files alone nobody knows the operations, so it is
counted per second. Exit code 98 says that something leaks or grows.")]
pub(crate) struct Leaks {
    /// Snapshots, the oldest first; or one run's folder
    #[arg(required = true, value_name = "SNAPSHOT|RUN")]
    paths: Vec<PathBuf>,
    /// Path prefix of your own code; repeatable
    #[arg(long, value_name = "PREFIX")]
    own: Vec<String>,
    /// Print the verdict as one JSON document
    #[arg(long)]
    json: bool,
    /// Exit with 96 when nothing could be told
    #[arg(long)]
    strict: bool,
}

impl Leaks {
    /// Judges the series and prints what was found.
    ///
    /// # Errors
    ///
    /// When a snapshot cannot be read, or there are too few.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let rules = SiteRules { own: self.own.clone(), ..SiteRules::default() };
        let reader = HeapReader::new(rules);
        let (state, verdict) = match self.paths.as_slice() {
            [run] if run.is_dir() || run.ends_with(folder::EVENTS) => {
                archive::judge_run(run, &reader)?
            }
            files if files.len() < SNAPSHOTS_MIN => {
                return Err(Failure::usage(format!(
                    "{} snapshots say nothing of growth: give {SNAPSHOTS_MIN} or more, or a \
                     run's folder",
                    files.len()
                )));
            }
            files => (State::default(), archive::judge_files(files, &reader)?),
        };
        let code = self.exit_code(&verdict);
        if self.json {
            let text = serde_json::to_string_pretty(&verdict).unwrap_or_default();
            output.result(&format!("{text}\n"))?;
        } else {
            output.run(&only_memory(state, verdict, code), None, false)?;
        }
        Ok(code)
    }

    fn exit_code(&self, verdict: &MemoryVerdict) -> i32 {
        match verdict.verdict {
            Verdict::Leaking | Verdict::Growing => exit::LEAK,
            Verdict::Inconclusive if self.strict => exit::INCONCLUSIVE,
            _ => exit::FINE,
        }
    }
}

/// A state with what was found in memory, and nothing of the load that was not judged again.
fn only_memory(state: State, verdict: MemoryVerdict, exit_code: i32) -> State {
    let mut judged = State { snapshots: state.snapshots, ..State::default() };
    let started = state.started.unwrap_or_default();
    let ended = ebbtide_record::event::RunEnded {
        exit_code,
        exit_codes: vec![exit_code],
        ..Default::default()
    };
    for body in [
        Body::RunStarted(Box::new(started)),
        Body::Verdict(Box::new(verdict)),
        Body::RunEnded(ended),
    ] {
        judged.apply(&Event { body, t_ms: state.now_ms, ..Event::default() });
    }
    judged
}
