//! `ebb diff A B`: two snapshots compared, site by site, with what sampling allows. In: two
//! files. Out: a table, or one JSON document. Two V8 heap snapshots are compared by class.
//! A verdict over more than two, and fetching snapshots, is left to `leaks` and `dump`.

use super::classes;
use crate::failure::Failure;
use crate::output::Output;
use clap::Args;
use ebbtide_profiler::diff::{Diff as Compared, DiffRow, diff};
use ebbtide_profiler::{Folded, SiteRules};
use ebbtide_reports::{figures, finding};
use ebbtide_rounds::exit;
use ebbtide_rounds::heap::HeapReader;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The arguments of `ebb diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The earlier snapshot
    before: PathBuf,
    /// The later snapshot
    after: PathBuf,
    /// Lines of the table
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    limit: usize,
    /// Path prefix of your own code; repeatable
    #[arg(long, value_name = "PREFIX")]
    own: Vec<String>,
    /// Print all rows as one JSON document
    #[arg(long)]
    json: bool,
}

impl Diff {
    /// Compares the two and prints the table.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        if classes::is_heap(&self.before) || classes::is_heap(&self.after) {
            let text = classes::compare((&self.before, &self.after), self.limit, self.json)?;
            output.result(&text)?;
            return Ok(exit::FINE);
        }
        let rules = SiteRules { own: self.own.clone(), ..SiteRules::default() };
        let reader = HeapReader::new(rules);
        let compared = diff(&read(&reader, &self.before)?, &read(&reader, &self.after)?);
        let text = if self.json { as_json(&compared) } else { as_table(&compared, self.limit) };
        output.result(&text)?;
        for note in &compared.notes {
            output.say(&format!("note: {note}"));
        }
        Ok(exit::FINE)
    }
}

fn read(reader: &HeapReader, path: &Path) -> Result<Folded, Failure> {
    Ok(reader.fold_file(path)?)
}

fn as_table(compared: &Compared, limit: usize) -> String {
    let mut out = format!(
        "live heap {} to {}, growth {}\n\n",
        figures::bytes(compared.before_bytes),
        figures::bytes(compared.after_bytes),
        figures::estimate_bytes(&compared.growth)
    );
    let _ = writeln!(
        out,
        "{:>26}  {:>11}  {:>11}  {:<10}  site",
        "growth, 95 % interval", "before", "after", "kind"
    );
    for row in compared.rows.iter().take(limit) {
        let _ = writeln!(
            out,
            "{:>26}  {:>11}  {:>11}  {:<10}  {}",
            figures::estimate_bytes(&row.bytes),
            figures::bytes(row.before.live_bytes),
            figures::bytes(row.after.live_bytes),
            row.kind.key(),
            finding::place(&row.function, &row.file, row.line)
        );
    }
    let more = compared.rows.len().saturating_sub(limit);
    if more > 0 {
        let _ = writeln!(out, "and {more} more (see them with --limit)");
    }
    out
}

fn as_json(compared: &Compared) -> String {
    let rows: Vec<serde_json::Value> = compared.rows.iter().map(row_json).collect();
    let document = serde_json::json!({
        "schema": "ebbtide/diff/1",
        "before_bytes": compared.before_bytes,
        "after_bytes": compared.after_bytes,
        "growth_bytes": compared.growth,
        "notes": compared.notes,
        "sites": rows,
    });
    format!("{document:#}\n")
}

fn row_json(row: &DiffRow) -> serde_json::Value {
    serde_json::json!({
        "id": row.id,
        "function": row.function,
        "file": row.file,
        "line": row.line,
        "kind": row.kind,
        "before_bytes": row.before.live_bytes,
        "after_bytes": row.after.live_bytes,
        "growth_bytes": row.bytes,
        "growth_objects": row.objects,
        "certain": row.is_certain(),
        "stack": row.stack,
    })
}
