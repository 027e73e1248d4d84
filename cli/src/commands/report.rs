//! `ebb report RUN`: a run rendered again from its event log, whether it came to its end or not.
//! In: a run's folder. Out: the summary on standard output, `summary.json` and `report.html` in
//! the folder, or the one asked for where it is asked for.

use super::command_line;
use super::run::write_report;
use crate::failure::Failure;
use crate::form::{self, Form};
use crate::output::{self, Output};
use clap::{Args, Subcommand};
use ebbtide_rounds::{exit, folder, join};
use std::path::PathBuf;

/// The arguments of `ebb report`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Report {
    #[command(subcommand)]
    more: Option<More>,
    /// The run's folder
    #[arg(required = true)]
    run: Option<PathBuf>,
    /// Explain one site as the run judged it: a row, the start of its id, or a part of its name
    #[arg(long, value_name = "SITE", conflicts_with_all = ["format", "out"])]
    explain: Option<String>,
    /// Print the summary (with --explain: the explanation) as one JSON document
    #[arg(long)]
    json: bool,
    /// Write this form to --out (to standard output without it) and leave the folder alone
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// File to write to; its ending tells the form when --format does not
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What else can be done with runs.
#[derive(Debug, Subcommand)]
enum More {
    /// Join the parts of one load (see --segment) into one run
    Merge(Merge),
}

/// The arguments of `ebb report merge`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ebb run chat.toml --segment 0/2 -o part-0    (and 1/2 on another machine)
  ebb report merge part-0 part-1 -o whole
Histograms are added up without loss, seconds are laid over each other by the clock, and thresholds
are judged anew.

Exit codes: 0 fine, 1 failed, 2 bad arguments, 95 invalid measurement, 99 threshold failed.")]
struct Merge {
    /// The runs' folders
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Folder for the joined run, which must not hold one yet
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
    /// Print the summary as one JSON document
    #[arg(long)]
    json: bool,
}

impl Merge {
    fn run(self, output: Output) -> Result<i32, Failure> {
        let (code, state) = join::join(&self.runs, &self.out, command_line())?;
        write_report(&self.out, &state)?;
        output.run(&state, Some(&self.out), self.json)?;
        Ok(code)
    }
}

impl Report {
    /// Renders the run.
    ///
    /// # Errors
    ///
    /// When there is no run, or the result cannot be written.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        if let Some(More::Merge(merge)) = self.more {
            return merge.run(output);
        }
        let run = self.run.ok_or_else(|| Failure::usage("no run: name its folder"))?;
        let state = folder::read_state(&run)?;
        if state.started.is_none() {
            return Err(Failure::failed(format!(
                "`{}` holds no event of a run yet: nothing can be reported",
                run.display()
            )));
        }
        if let Some(site) = &self.explain {
            let name = run.is_dir().then(|| output::shown(&run));
            output.explained(&state, site, name.as_deref(), self.json)?;
            return Ok(exit::FINE);
        }
        let form = self.format.or_else(|| self.out.as_deref().map(Form::of));
        if let Some(form) = form {
            let name = run.display().to_string();
            let wide = if self.out.is_some() { output.for_file() } else { output };
            let text = form.render(&state, wide, Some(&name));
            match &self.out {
                Some(out) => form::write(out, &text)?,
                None => output.result(&text)?,
            }
            return Ok(exit::FINE);
        }
        if run.is_dir() {
            folder::write_summary(&run, &state)?;
            write_report(&run, &state)?;
            output.say(&format!("wrote {}", run.join(folder::REPORT).display()));
        }
        let name = run.display().to_string();
        // To type the same command once more is no advice.
        let onward = ebbtide_reports::text::next_command(&state, Some(&name))
            .filter(|command| !command.starts_with("ebb report"));
        output.run(&state, onward.map(|_| run.as_path()), self.json)?;
        Ok(exit::FINE)
    }
}
