//! `ebb report RUN`: a run rendered again from its event log, whether it came to its end or not.
//! In: a run's folder. Out: the summary on standard output, `summary.json` and `report.html` in
//! the folder, or the one asked for where it is asked for.

use super::run::write_report;
use crate::failure::Failure;
use crate::form::{self, Form};
use crate::output::Output;
use clap::Args;
use ebbtide_rounds::{exit, folder};
use std::path::PathBuf;

/// The arguments of `ebb report`.
#[derive(Args, Debug)]
pub(crate) struct Report {
    /// The run's folder
    run: PathBuf,
    /// Print the summary as one JSON document
    #[arg(long)]
    json: bool,
    /// Write this form to --out (to standard output without it) and leave the folder alone
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// File to write to; its ending tells the form when --format does not
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Report {
    /// Renders the run.
    ///
    /// # Errors
    ///
    /// When there is no run, or the result cannot be written.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let state = folder::read_state(&self.run)?;
        if state.started.is_none() {
            return Err(Failure::failed(format!(
                "`{}` holds no event of a run yet: nothing can be reported",
                self.run.display()
            )));
        }
        let form = self.format.or_else(|| self.out.as_deref().map(Form::of));
        if let Some(form) = form {
            let name = self.run.display().to_string();
            let wide = if self.out.is_some() { output.for_file() } else { output };
            let text = form.render(&state, wide, Some(&name));
            match &self.out {
                Some(out) => form::write(out, &text)?,
                None => output.result(&text)?,
            }
            return Ok(exit::FINE);
        }
        if self.run.is_dir() {
            folder::write_summary(&self.run, &state)?;
            write_report(&self.run, &state)?;
            output.say(&format!("wrote {}", self.run.join(folder::REPORT).display()));
        }
        let name = self.run.display().to_string();
        // To type the same command once more is no advice.
        let onward = ebbtide_reports::text::next_command(&state, Some(&name))
            .filter(|command| !command.starts_with("ebb report"));
        output.run(&state, onward.map(|_| self.run.as_path()), self.json)?;
        Ok(exit::FINE)
    }
}
