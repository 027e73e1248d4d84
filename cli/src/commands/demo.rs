//! `ebb demo`: the whole tool in a minute. In: nothing. Out: a leak that was planted in the
//! reference server, found by load and heap snapshots alone; the same load on the mended server,
//! called clean; and the reports of both.

use super::run::{drive, ebb};
use super::{VERSION, on_runtime};
use crate::failure::Failure;
use crate::flags::Making;
use crate::output::{self, Output};
use crate::push::Pushing;
use crate::{folder_name, interrupt};
use clap::Args;
use ebbtide_loadgen::{Scenario, Segment};
use ebbtide_record::verdict::SiteVerdict;
use ebbtide_record::{State, Summary, Verdict};
use ebbtide_reports::text::explain_command;
use ebbtide_reports::{figures, finding};
use ebbtide_rounds::{Control, Outcome, RunRequest, exit, folder};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The server with the mistake, under load, and the same without it.
const LEAK: (&str, &str) = ("leak", include_str!("../../demo/leak.toml"));
const MENDED: (&str, &str) = ("mended", include_str!("../../demo/mended.toml"));

/// The arguments of `ebb demo`.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Seed of everything random, instead of the demo's
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    making: Making,
    /// Print both summaries as one JSON document
    #[arg(long)]
    json: bool,
}

impl Demo {
    /// Runs the demo.
    ///
    /// # Errors
    ///
    /// When a run could not begin, or the demo did not show what it promised.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let screen = output.has_screen() && !self.making.no_tui && !output.is_quiet();
        let out = self.making.out.clone().unwrap_or_else(|| folder_name::fresh("demo"));
        output.say("1 of 2: a chat server that forgets to let go of something, under load");
        let runs = on_runtime(1, async {
            let control = Control::default();
            interrupt::obey(control.clone(), output)?;
            let alone = Pushing::default();
            let request = self.request(LEAK, &out)?;
            let leak = drive(request, control.clone(), output, screen, &alone).await?;
            if leak.exit_code != exit::LEAK {
                return Ok((leak, None));
            }
            output.say("2 of 2: the same load on the mended server");
            let request = self.request(MENDED, &out)?;
            let mended = drive(request, control, output, screen, &alone).await?;
            Ok((leak, Some(mended)))
        })?;
        self.tell(output, &runs.0, runs.1.as_ref())
    }

    fn request(&self, (name, text): (&str, &str), out: &Path) -> Result<RunRequest, Failure> {
        let mut scenario = Scenario::parse(text, &format!("{name}.toml"))?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        let folder = out.join(name);
        let file = output::shown(&folder.join(folder::SCENARIO));
        Ok(RunRequest {
            scenario,
            scenario_text: text.to_owned(),
            out: folder,
            command: vec!["ebb".to_owned(), "run".to_owned(), file],
            ebb: ebb()?,
            threads: 0,
            segment: Segment::default(),
            strict: false,
            version: VERSION.to_owned(),
        })
    }

    fn tell(
        &self,
        output: Output,
        leak: &Outcome,
        mended: Option<&Outcome>,
    ) -> Result<i32, Failure> {
        if leak.exit_code == exit::INTERRUPTED
            || mended.is_some_and(|mended| mended.exit_code == exit::INTERRUPTED)
        {
            output.run(&leak.state, Some(&leak.folder), self.json)?;
            return Ok(exit::INTERRUPTED);
        }
        let found = leak.state.memory.sites.first().filter(|site| is_leak(site));
        let clean = mended.is_some_and(|mended| mended.exit_code == exit::FINE);
        let (Some(site), Some(mended)) = (found, mended.filter(|_| clean)) else {
            let shown = mended.filter(|_| found.is_some()).unwrap_or(leak);
            output.run(&shown.state, Some(&shown.folder), self.json)?;
            return Err(Failure::failed(unshown(found.is_some(), &shown.state)));
        };
        if self.json {
            let document = serde_json::json!({
                "leak": Summary::of(&leak.state),
                "mended": Summary::of(&mended.state),
            });
            output.result(&format!("{document:#}\n"))?;
        } else {
            output.result(&story(site, leak, mended))?;
        }
        Ok(exit::FINE)
    }
}

fn is_leak(site: &SiteVerdict) -> bool {
    matches!(site.verdict, Verdict::Leaking | Verdict::Growing)
}

/// What was found and what was not, and where to read on.
fn story(site: &SiteVerdict, leak: &Outcome, mended: &Outcome) -> String {
    let place = finding::place(&site.function, &site.file, site.line);
    let growth = &site.growth_per_op;
    let mut out = String::new();
    let _ = writeln!(out, "\n  {}  {place}", site.verdict.key().to_uppercase());
    let _ = writeln!(
        out,
        "    keeps {} per {}, as a {}; {} live",
        figures::estimate_bytes(growth),
        if growth.operation.is_empty() { "operation" } else { &growth.operation },
        site.kind.words(),
        figures::bytes(site.live_bytes as f64)
    );
    for reason in site.reasons.iter().take(3) {
        let _ = writeln!(out, "    {reason}");
    }
    let _ = writeln!(out, "\n  the line to mend: {}:{}", site.file, site.line);
    if let Some(code) = source_line(&site.file, site.line) {
        let _ = writeln!(out, "    {code}");
    }
    let calm = mended.state.memory.verdict.key().to_uppercase();
    let _ = writeln!(out, "\n  {calm}  the same load on the mended server");
    if let Some(words) = finding::detectable(&mended.state.memory) {
        let _ = writeln!(out, "    {words}");
    }
    let report = |outcome: &Outcome| output::shown(&outcome.folder.join(folder::REPORT));
    let _ = writeln!(out, "\n  reports: {}", report(leak));
    let _ = writeln!(out, "           {}", report(mended));
    let _ = writeln!(out, "\n  next: {}", explain_command(&output::shown(&leak.folder), 1));
    out
}

/// The line of code, where the source lies beneath the working folder.
fn source_line(file: &str, line: u32) -> Option<String> {
    let path = PathBuf::from(file);
    if path.is_absolute() {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let code = text.lines().nth(line.checked_sub(1)? as usize)?.trim();
    (!code.is_empty()).then(|| code.to_owned())
}

/// Why the demo did not show what it promised.
fn unshown(found: bool, state: &State) -> String {
    let word = state.memory.verdict.key();
    let reason = state.ended.as_ref().map(|ended| ended.reason.as_str()).unwrap_or_default();
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    if found {
        format!(
            "the mended server was called {word}, not clean{reason}: is the machine busy? run it \
             again with nothing beside it"
        )
    } else {
        format!(
            "the planted leak was called {word}{reason}: is the machine busy? run it again with \
             nothing beside it"
        )
    }
}
