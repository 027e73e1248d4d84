//! Rows of heap profiles as a table and as JSON. In: what was read and picked. Out: text. Which
//! rows there are, and in which order, is left to `sites`; V8's classes have other columns, which
//! `classes` draws.

use super::rows::By;
use super::sites::Sites;
use clap::ValueEnum;
use ebbtide_profiler::diff::DiffRow;
use ebbtide_record::verdict::FrameLine;
use ebbtide_reports::text::clean;
use ebbtide_reports::{figures, finding};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// Frames of a stack in the table; the JSON has more.
const FRAMES_SHOWN: usize = 12;

/// The word of a flag's value.
pub(super) fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The table.
pub(super) fn sites_text(sites: &Sites<'_>) -> String {
    let compared = sites.question.before.is_some();
    let rows = sites.question.rows;
    // Places where something was allocated and nothing is held are for those who want all.
    let held = |row: &&DiffRow| row.before.live_bytes > 0.0 || row.after.live_bytes > 0.0;
    let shown: Vec<&DiffRow> =
        sites.rows.iter().filter(|row| rows.all || held(row)).take(rows.limit()).collect();
    let title = if compared { "growth, 95 % interval" } else { "bytes, 95 % interval" };
    let estimates: Vec<String> =
        shown.iter().map(|row| figures::estimate_bytes(&row.bytes)).collect();
    let width = estimates.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let width = width.max(title.len());
    let mut out = head(sites);
    let columns = if compared {
        format!("{:>11}  {:>11}  {:>9}", "before", "after", "objects")
    } else {
        format!("{:>8}  {:>9}", "share", "objects")
    };
    let _ = writeln!(out, "{title:>width$}  {columns}  {:<10}  {}", "kind", word(sites.by));
    for (row, estimate) in shown.iter().zip(&estimates) {
        let columns = if compared {
            format!(
                "{:>11}  {:>11}  {:>9}",
                figures::bytes(row.before.live_bytes),
                figures::bytes(row.after.live_bytes),
                row.objects.as_ref().map_or_else(|| "-".to_owned(), |n| signed(n.value)),
            )
        } else {
            format!(
                "{:>8}  {:>9}",
                figures::percent(share(row, sites)),
                row.objects.as_ref().map_or_else(|| "-".to_owned(), |n| count(n.value)),
            )
        };
        let place = clean(&finding::place(&row.function, &row.file, row.line));
        let kind = row.kind.key();
        let _ = writeln!(out, "{estimate:>width$}  {columns}  {kind:<10}  {place}");
        if sites.by == By::Stack {
            frames(&mut out, &row.stack);
        }
    }
    let more = sites.rows.len() - shown.len();
    if more > 0 {
        let _ = writeln!(out, "and {more} more (see them with --all)");
    }
    out
}

/// What the whole heap did, and what of it the rows are.
fn head(sites: &Sites<'_>) -> String {
    let (whole, rows) = (&sites.whole, sites.question.rows);
    let what = if rows.cumulative { "ever allocated" } else { "live heap" };
    let mut out = if sites.question.before.is_some() {
        format!(
            "{what} {} to {}, growth {}\n",
            figures::bytes(whole.before_bytes),
            figures::bytes(whole.after_bytes),
            figures::estimate_bytes(&whole.growth)
        )
    } else {
        format!("{what} {}\n", figures::estimate_bytes(&whole.growth))
    };
    if rows.is_choosy() {
        let sum: f64 = sites.rows.iter().map(|row| row.bytes.value).sum();
        let sum = if sites.question.before.is_some() {
            figures::bytes_change(sum)
        } else {
            figures::bytes(sum)
        };
        let _ = writeln!(out, "picked {} of {} rows: {sum}", sites.rows.len(), sites.row_count);
    }
    out.push('\n');
    out
}

fn share(row: &DiffRow, sites: &Sites<'_>) -> f64 {
    if sites.whole.after_bytes > 0.0 { row.bytes.value / sites.whole.after_bytes } else { 0.0 }
}

fn count(value: f64) -> String {
    figures::count(value.round().max(0.0) as u64)
}

fn signed(count: f64) -> String {
    let sign = match count.round() {
        count if count > 0.0 => "+",
        count if count < 0.0 => "-",
        _ => "",
    };
    format!("{sign}{}", figures::count(count.round().abs() as u64))
}

fn frames(out: &mut String, stack: &[Arc<FrameLine>]) {
    for line in stack.iter().take(FRAMES_SHOWN) {
        let mark = if line.own { "*" } else { " " };
        let place = clean(&finding::place(&line.function, &line.file, line.line));
        let _ = writeln!(out, "{:>30} {place}", mark);
    }
    let more = stack.len().saturating_sub(FRAMES_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "{:>30} ... {more} more frames", "");
    }
}

/// One JSON document, all picked rows.
pub(super) fn sites_json(sites: &Sites<'_>) -> String {
    let whole = &sites.whole;
    let compared = sites.question.before.is_some();
    let rows: Vec<Value> = sites.rows.iter().map(|row| row_json(row, compared)).collect();
    let picked: f64 = sites.rows.iter().map(|row| row.bytes.value).sum();
    let mut document = json!({
        "schema": if compared { "ebbtide/diff/1" } else { "ebbtide/show/1" },
        "by": word(sites.by),
        "cumulative": sites.question.rows.cumulative,
        "notes": whole.notes,
        "row_count": sites.row_count,
        "sites": rows,
    });
    if compared {
        document["before_bytes"] = json!(whole.before_bytes);
        document["after_bytes"] = json!(whole.after_bytes);
        document["growth_bytes"] = json!(whole.growth);
        document["picked_growth_bytes"] = json!(picked);
    } else {
        document["bytes"] = json!(whole.growth);
        document["picked_bytes"] = json!(picked);
    }
    format!("{document:#}\n")
}

fn row_json(row: &DiffRow, compared: bool) -> Value {
    let mut json = json!({
        "id": row.id,
        "function": row.function,
        "file": row.file,
        "line": row.line,
        "kind": row.kind,
        "own": row.own,
        "stack": row.stack.iter().map(Arc::as_ref).collect::<Vec<_>>(),
    });
    if compared {
        json["before_bytes"] = json!(row.before.live_bytes);
        json["after_bytes"] = json!(row.after.live_bytes);
        json["before_objects"] = json!(row.before.live_objects);
        json["after_objects"] = json!(row.after.live_objects);
        json["growth_bytes"] = json!(row.bytes);
        json["growth_objects"] = json!(row.objects);
        json["certain"] = json!(row.is_certain());
    } else {
        json["bytes"] = json!(row.bytes);
        json["objects"] = json!(row.objects);
    }
    json
}
