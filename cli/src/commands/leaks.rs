//! `ebb leaks SNAPSHOT...` or `RUN`: a verdict over a series of snapshots, by the run's rules or by
//! others. In: files in the order in which they were taken, a folder of such, or a run's. Out: the
//! summary or the explanation of one site, and 98 when something leaks.
//! How a series is judged is left to `profiler`, and its words to `reports`.

use crate::failure::Failure;
use crate::output::{self, Output};
use clap::Args;
use ebbtide_loadgen::scenario::units;
use ebbtide_record::event::{Body, Event};
use ebbtide_record::verdict::SiteVerdict;
use ebbtide_record::{Kind, MemoryVerdict, State, Verdict};
use ebbtide_reports::finding;
use ebbtide_reports::text::clean;
use ebbtide_rounds::archive::{SNAPSHOTS_MIN, Terms, Work};
use ebbtide_rounds::exit::Ending;
use ebbtide_rounds::{archive, exit, folder};
use std::path::{Path, PathBuf};

/// Words that fail a series of files, unless others are asked for.
const FAILING: [Verdict; 2] = [Verdict::Leaking, Verdict::Growing];

/// The arguments of `ebb leaks`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb leaks ebb-runs/x                            judge a run again, killed ones too
  ebb leaks ebb-runs/x --explain 1                why the first site got its word, and the cure
  ebb leaks ebb-runs/x --limit 64 --bounded SessionCache=50MB
                                                  the same snapshots by other rules
  ebb leaks heap-*.pb.gz --operations 10000 --per 'POST /log'
                                                  files, with what was done between each two

Growth is counted per operation in a run. Of files alone nobody knows the operations: say them with
--operations, or growth is counted per second and nothing is called leaking.

Exit codes: 0 fine, 1 snapshots cannot be read, 2 bad arguments, 96 inconclusive (with --strict),
98 a site has one of the words of --fail-on. They count all sites, whichever are listed.")]
pub(crate) struct Leaks {
    /// Snapshots, the oldest first; or a folder of them; or one run's folder
    #[arg(required = true, value_name = "SNAPSHOT|RUN")]
    paths: Vec<PathBuf>,
    /// Explain one site: evidence, stack, likely cause, cure, what to measure next. A row, the
    /// start of its id, or a part of its function or file
    #[arg(long, value_name = "SITE")]
    explain: Option<String>,
    #[command(flatten)]
    rules: JudgeBy,
    #[command(flatten)]
    listing: Listing,
    /// Print the verdict (with --explain: the explanation) as one JSON document
    #[arg(long)]
    json: bool,
    /// Exit with 96 when nothing could be told
    #[arg(long)]
    strict: bool,
}

/// What is judged by.
#[derive(Args, Debug)]
#[command(next_help_heading = "Rules")]
struct JudgeBy {
    /// Path prefix of your own code, in place of the run's; repeatable
    #[arg(long, value_name = "PREFIX")]
    own: Vec<String>,
    /// Growth of no interest, bytes per operation, of one operation or of all without a limit of
    /// their own; repeatable [default: the run's, or 16]
    #[arg(long, value_name = "[OPERATION=]BYTES", value_parser = limit)]
    limit: Vec<(String, f64)>,
    /// A site (by a part of its function) that may hold so much and no more; repeatable
    #[arg(long, value_name = "NAME=BYTES", value_parser = bound)]
    bounded: Vec<(String, u64)>,
    /// Words that end with 98 [default: the run's, or leaking,growing]
    #[arg(long, value_name = "WORD", value_delimiter = ',', value_parser = word)]
    fail_on: Vec<Verdict>,
    /// Operations done between each two files: one number for all gaps, or one for each
    #[arg(long, value_name = "N", value_delimiter = ',')]
    operations: Vec<u64>,
    /// What those operations are called
    #[arg(long, value_name = "NAME", default_value = "operation", requires = "operations")]
    per: String,
}

/// Which sites are listed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sites listed")]
struct Listing {
    /// Only sites of this kind; repeatable
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kind: Vec<Kind>,
    /// Only sites with this text in their function or file
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// At most so many
    #[arg(short = 'n', value_name = "N")]
    most: Option<usize>,
}

/// A folder that no run wrote, with snapshots that others left there.
fn is_pile(path: &Path) -> bool {
    path.is_dir() && !path.join(folder::EVENTS).exists()
}

impl Leaks {
    /// Judges the series and prints what was found.
    ///
    /// # Errors
    ///
    /// When a snapshot cannot be read, or there are too few.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let terms = self.rules.terms()?;
        let (state, verdict, fail_on) = match self.paths.as_slice() {
            [run] if run.is_dir() || run.ends_with(folder::EVENTS) => {
                if is_pile(run) {
                    let (verdict, skipped) = archive::judge_pile(run, &terms)?;
                    for line in skipped {
                        output.say(&clean(&line));
                    }
                    return self.told(State::default(), verdict, FAILING.to_vec(), output);
                }
                if terms.work.is_some() {
                    return Err(Failure::usage(
                        "a run has counted its operations: leave `--operations` out",
                    ));
                }
                let judged = archive::judge_run(run, &terms)?;
                (judged.state, judged.verdict, judged.fail_on)
            }
            files if files.len() < SNAPSHOTS_MIN => {
                return Err(Failure::usage(format!(
                    "{} snapshots say nothing of growth: give {SNAPSHOTS_MIN} or more, or a \
                     run's folder",
                    files.len()
                )));
            }
            files => {
                let verdict = archive::judge_files(files, &terms)?;
                (State::default(), verdict, FAILING.to_vec())
            }
        };
        self.told(state, verdict, fail_on, output)
    }

    fn told(
        &self,
        state: State,
        verdict: MemoryVerdict,
        fail_on: Vec<Verdict>,
        output: Output,
    ) -> Result<i32, Failure> {
        let fail_on =
            if self.rules.fail_on.is_empty() { fail_on } else { self.rules.fail_on.clone() };
        let code = self.exit_code(&verdict, &fail_on);
        self.print(only_memory(state, verdict, code), output)?;
        Ok(code)
    }

    fn exit_code(&self, verdict: &MemoryVerdict, fail_on: &[Verdict]) -> i32 {
        let ending =
            Ending { memory: Some(verdict), fail_on, strict: self.strict, ..Ending::default() };
        exit::winner(&ending.codes())
    }

    fn print(&self, mut state: State, output: Output) -> Result<(), Failure> {
        let folder = self.folder().map(output::shown);
        if let Some(site) = &self.explain {
            return output.explained(&state, site, folder.as_deref(), self.json);
        }
        let rows = self.listing.rows(&state.memory.sites);
        if self.json {
            if let Some(rows) = &rows {
                let all = std::mem::take(&mut state.memory.sites);
                let listed = all.into_iter().enumerate().filter(|(at, _)| rows.contains(&(at + 1)));
                state.memory.sites = listed.map(|(_, site)| site).collect();
            }
            let text = serde_json::to_string_pretty(&state.memory).unwrap_or_default();
            return output.result(&format!("{text}\n"));
        }
        let mut style = output.style(None);
        style.rows = rows.as_deref();
        let mut text = ebbtide_reports::text::render(&state, style);
        text.push_str(&self.onward(&state, folder.as_deref()));
        output.result(&text)
    }

    fn folder(&self) -> Option<&Path> {
        match self.paths.as_slice() {
            [run] if run.is_dir() => Some(run),
            _ => None,
        }
    }

    /// How to go on from the list: the reasons of the first site that is not calm.
    fn onward(&self, state: &State, folder: Option<&str>) -> String {
        let worth = |site: &SiteVerdict| finding::Tone::of(site.verdict) != finding::Tone::Good;
        match (folder, state.memory.sites.iter().position(worth)) {
            (Some(folder), Some(at)) => {
                let command = ebbtide_reports::text::explain_command(folder, at + 1);
                format!("\n  next: {command}\n")
            }
            _ => String::new(),
        }
    }
}

impl JudgeBy {
    fn terms(&self) -> Result<Terms, Failure> {
        if self.operations.contains(&0) {
            return Err(Failure::usage("`--operations` counts from 1: nothing grows by no work"));
        }
        let work = (!self.operations.is_empty())
            .then(|| Work { name: self.per.clone(), counts: self.operations.clone() });
        Ok(Terms {
            own: self.own.clone(),
            limits: self.limit.iter().cloned().collect(),
            bounded: self.bounded.iter().cloned().collect(),
            work,
        })
    }
}

impl Listing {
    /// Rows of the sites that are listed, from 1; none when nothing was said.
    fn rows(&self, sites: &[SiteVerdict]) -> Option<Vec<usize>> {
        if self.kind.is_empty() && self.filter.is_none() && self.most.is_none() {
            return None;
        }
        let wanted = self.filter.as_ref().map(|text| text.to_lowercase());
        let fits = |site: &SiteVerdict| {
            let place = finding::place(&site.function, &site.file, site.line).to_lowercase();
            (self.kind.is_empty() || self.kind.contains(&site.kind))
                && wanted.as_ref().is_none_or(|wanted| place.contains(wanted))
        };
        let rows = (1..=sites.len()).filter(|row| fits(&sites[row - 1]));
        Some(rows.take(self.most.unwrap_or(usize::MAX)).collect())
    }
}

/// `64`, or `POST /log=64`.
fn limit(text: &str) -> Result<(String, f64), String> {
    let (name, bytes) = text.rsplit_once('=').unwrap_or(("*", text));
    let bytes = bytes.trim().parse().or_else(|_| units::size(bytes).map(|bytes| bytes as f64))?;
    if !bytes.is_finite() || bytes < 0.0 || name.is_empty() {
        return Err("a limit is written `64`, `1KiB` or `POST /log=64`, and is not below 0".into());
    }
    Ok((name.to_owned(), bytes))
}

/// `SessionCache=50MB`.
fn bound(text: &str) -> Result<(String, u64), String> {
    match text.rsplit_once('=') {
        Some((name, bytes)) if !name.is_empty() => Ok((name.to_owned(), units::size(bytes)?)),
        _ => Err("a bound is written `NAME=BYTES`, such as `SessionCache=50MB`".to_owned()),
    }
}

/// A word of the verdict.
fn word(text: &str) -> Result<Verdict, String> {
    let words = [Verdict::Leaking, Verdict::Growing, Verdict::Inconclusive, Verdict::Warming];
    words.into_iter().find(|word| word.key() == text).ok_or_else(|| {
        format!(
            "`{text}` is no word that can fail (known: leaking, growing, inconclusive, warming)"
        )
    })
}

/// A kind, by its word.
fn kind(text: &str) -> Result<Kind, String> {
    Kind::ALL.into_iter().find(|kind| kind.key() == text).ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.key()).collect();
        format!("`{text}` is no kind (known: {})", known.join(", "))
    })
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
