//! `ebb diff` of two V8 heap snapshots: by class instead of by site. In: two files that begin as
//! V8's do. Out: a table, or one JSON document, with who keeps the newest instances.
//! Reading and comparing them is left to the profiler.

use crate::failure::Failure;
use ebbtide_profiler::v8::{self, Change, Heap, Step};
use ebbtide_reports::figures;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What V8 writes first, white space aside.
const BEGIN: &str = "{\"snapshot\":";

/// Bytes in which the begin is looked for.
const LOOKED_AT: u64 = 64;

/// Steps of a way from the root that fit a line: its end is what the reader knows.
const STEPS_SHOWN: usize = 6;

/// Whether a file begins as a V8 heap snapshot does.
pub(super) fn is_heap(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut begin));
    begin.retain(|byte| !byte.is_ascii_whitespace());
    read.is_ok() && begin.starts_with(BEGIN.as_bytes())
}

/// Compares two snapshots and gives the text to print.
///
/// # Errors
/// When one of them cannot be read, or is no such snapshot.
pub(super) fn compare(
    (before, after): (&Path, &Path),
    limit: usize,
    json: bool,
) -> Result<String, Failure> {
    let changes = v8::compare(&read(before)?, &read(after)?);
    Ok(if json { as_json(&changes) } else { as_table(&changes, limit) })
}

fn read(path: &Path) -> Result<Heap, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::usage(format!("`{}`: {error}", path.display())))?;
    Heap::read(file).map_err(|error| {
        let both = "two V8 heap snapshots are compared with each other alone";
        Failure::usage(format!("`{}`: {error} ({both})", path.display()))
    })
}

fn as_table(changes: &[Change], limit: usize) -> String {
    let grown: i64 = changes.iter().map(|change| change.size_delta).sum();
    let mut out = format!("own bytes of all objects: {}\n\n", signed(grown));
    let _ = writeln!(
        out,
        "{:>9} {:>9} {:>10} {:>13} {:>13}  class",
        "new", "deleted", "instances", "own bytes", "kept bytes"
    );
    for change in changes.iter().take(limit) {
        let _ = writeln!(
            out,
            "{:>9} {:>9} {:>10} {:>13} {:>13}  {}",
            change.new,
            change.deleted,
            change.count,
            signed(change.size_delta),
            signed(change.retained_delta),
            change.name
        );
        if let Some(way) = change.held_by.first().filter(|way| !way.is_empty()) {
            let _ = writeln!(out, "{:>60} {}", "newest kept by", way_text(way));
        }
    }
    let more = changes.len().saturating_sub(limit);
    if more > 0 {
        let _ = writeln!(out, "and {more} more (see them with --limit)");
    }
    out
}

fn signed(bytes: i64) -> String {
    let sign = if bytes > 0 { "+" } else { "" };
    format!("{sign}{}", figures::bytes(bytes as f64))
}

/// The end of a way, which is what its reader knows.
fn way_text(way: &[Step]) -> String {
    let skipped = way.len().saturating_sub(STEPS_SHOWN);
    let steps: Vec<String> = way[skipped..].iter().map(ToString::to_string).collect();
    let dots = if skipped > 0 { "... > " } else { "" };
    format!("{dots}{}", steps.join(" > "))
}

fn as_json(changes: &[Change]) -> String {
    let rows: Vec<serde_json::Value> = changes.iter().map(row_json).collect();
    let document = serde_json::json!({ "schema": "ebbtide/class-diff/1", "classes": rows });
    format!("{document:#}\n")
}

fn row_json(change: &Change) -> serde_json::Value {
    let ways: Vec<Vec<String>> =
        change.held_by.iter().map(|way| way.iter().map(ToString::to_string).collect()).collect();
    serde_json::json!({
        "class": change.name,
        "new": change.new,
        "deleted": change.deleted,
        "instances": change.count,
        "own_bytes_delta": change.size_delta,
        "kept_bytes_delta": change.retained_delta,
        "newest_kept_by": ways,
    })
}
