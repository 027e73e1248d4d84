//! `ebb diff A B`: two snapshots compared, with what sampling allows. In: two files, and which
//! rows are wanted. Out: a table, JSON, or files for other tools. A verdict over more than two,
//! and fetching snapshots, is left to `leaks` and `dump`.

use crate::failure::Failure;
use crate::heap::{self, HeapReporting, Question, Rows};
use crate::output::Output;
use clap::Args;
use ebbtide_rounds::exit;
use std::path::PathBuf;

/// The arguments of `ebb diff`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb diff first.pb.gz last.pb.gz --by stack -n 5
  ebb diff first.pb.gz last.pb.gz --kind listener --min 64KiB
  ebb diff first.pb.gz last.pb.gz --report svg=growth.svg --report pprof=growth.pb.gz
  ebb diff first.heapsnapshot last.heapsnapshot --filter Session

Exit codes: 0 fine, 1 failed, 2 bad arguments.")]
pub(crate) struct Diff {
    /// The earlier snapshot
    before: PathBuf,
    /// The later snapshot
    after: PathBuf,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    reporting: HeapReporting,
}

impl Diff {
    /// Compares the two and gives the result in the forms wanted.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read, or has not what is asked for.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let (before, after) = (Some(self.before.as_path()), self.after.as_path());
        heap::answer(Question { before, after, rows: &self.rows }, &self.reporting, output)?;
        Ok(exit::FINE)
    }
}
