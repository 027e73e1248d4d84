//! `ebb show SNAPSHOT`: what one snapshot holds, with what sampling allows. In: a file, and which
//! rows are wanted. Out: a table, JSON, or files for other tools. What changed between two is
//! left to `diff`.

use crate::failure::Failure;
use crate::heap::{self, HeapReporting, Question, Rows};
use crate::output::Output;
use clap::Args;
use ebbtide_rounds::exit;
use std::path::PathBuf;

/// The arguments of `ebb show`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb show last.pb.gz --by module
  ebb show last.heap --report svg=live.svg --report pprof=live.pb.gz
  ebb show last.heapsnapshot -n 40

Exit codes: 0 fine, 1 failed, 2 bad arguments.")]
pub(crate) struct Show {
    /// The snapshot
    snapshot: PathBuf,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    reporting: HeapReporting,
}

impl Show {
    /// Reads it and gives the result in the forms wanted.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or has not what is asked for.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let question = Question { before: None, after: &self.snapshot, rows: &self.rows };
        heap::answer(question, &self.reporting, output)?;
        Ok(exit::FINE)
    }
}
