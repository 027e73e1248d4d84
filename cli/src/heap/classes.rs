//! V8 heap snapshots, one or two: by class instead of by site. In: a question on files that begin
//! as V8's do. Out: a table, or one JSON document, with who keeps the newest instances. Reading
//! and comparing them is left to the profiler.

use super::rows::{By, Figures};
use super::{HeapForm, Question, table};
use crate::failure::Failure;
use ebbtide_profiler::kind;
use ebbtide_profiler::v8::{self, Change, Heap, Step};
use ebbtide_record::Kind;
use ebbtide_reports::figures;
use ebbtide_reports::text::clean;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What V8 writes first, white space aside.
const BEGIN: &str = "{\"snapshot\":";

/// Bytes in which the begin is looked for: V8's description of its own fields has two thousand.
const LOOKED_AT: u64 = 16 << 10;

/// Steps of a way from the root that fit a line: its end is what the reader knows.
const STEPS_SHOWN: usize = 6;

/// The row that V8's own classes are folded to, unless all rows are wanted.
const ENGINE: &str = "(V8 itself: code, shapes, system)";

/// Whether a file begins as a V8 heap snapshot does.
pub(super) fn is_heap(path: &Path) -> bool {
    begin(path).starts_with(BEGIN.as_bytes())
}

/// Whether V8 has recorded in a heap where its objects were made.
pub(super) fn has_stacks(path: &Path) -> bool {
    let begin = String::from_utf8_lossy(&begin(path)).into_owned();
    let count = begin.split_once("\"trace_function_count\":").map(|(_, rest)| rest);
    count.is_some_and(|count| count.starts_with(|digit: char| ('1'..='9').contains(&digit)))
}

/// The begin of a file without white space; nothing of one that cannot be read.
fn begin(path: &Path) -> Vec<u8> {
    let mut begin = Vec::new();
    // To open a pipe that nobody writes to would wait for ever.
    if !path.is_file() {
        return begin;
    }
    let read = File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut begin));
    begin.retain(|byte| read.is_ok() && !byte.is_ascii_whitespace());
    begin
}

/// Heaps compared, or one of them.
pub(super) struct Comparison<'a> {
    question: Question<'a>,
    by: By,
    /// Own bytes before and after, of all classes.
    whole: (u64, u64),
    row_count: usize,
    /// Rows wanted, sorted.
    rows: Vec<Row>,
    /// No object of one is in the other.
    strangers: bool,
    /// Nobody said what a row is to stand for.
    by_default: bool,
    /// V8 has recorded in each file where its objects were made.
    have_stacks: bool,
}

struct Row {
    change: Change,
    kind: Kind,
}

impl Row {
    fn figures(&self) -> Figures<'_> {
        Figures {
            name: &self.change.name,
            growth: self.change.size_delta as f64,
            before: self.change.size_before() as f64,
            after: self.change.size as f64,
            objects: self.change.delta() as f64,
        }
    }
}

/// Reads and compares.
///
/// # Errors
///
/// When a file cannot be read or is no such snapshot, or rows are wanted that it does not have.
pub(super) fn read(question: Question<'_>) -> Result<Comparison<'_>, Failure> {
    let rows = question.rows;
    let by = rows.by.unwrap_or(By::Type);
    if !matches!(by, By::Type | By::Kind) {
        return Err(Failure::usage(format!(
            "`--by {}`: `{}` is a V8 heap snapshot, which has objects by class and no stacks: \
             `--by type` or `kind`, or take sampling profiles or allocation timelines, which have \
             stacks",
            table::word(by),
            question.paths().find(|path| !has_stacks(path)).unwrap_or(question.after).display()
        )));
    }
    if rows.cumulative {
        return Err(Failure::usage(
            "`--cumulative`: by class there is what is live and nothing of what was freed: leave \
             it out, or take `--by site` where the files are allocation timelines",
        ));
    }
    let changes = match question.before {
        Some(before) => v8::compare(&heap(before)?, &heap(question.after)?),
        None => v8::survey(&heap(question.after)?),
    };
    let whole = changes
        .iter()
        .fold((0, 0), |sum, change| (sum.0 + change.size_before(), sum.1 + change.size));
    let strangers = question.before.is_some()
        && changes.iter().all(|change| change.deleted == change.count_before);
    let mut all: Vec<Row> = changes
        .into_iter()
        .map(|change| Row { kind: kind::of_class(&change.name), change })
        .filter(|row| rows.wants_kind(row.kind))
        .collect();
    if by == By::Kind {
        all = joined(all, |row| Some(row.kind.key().to_owned()));
    } else if !rows.all && !rows.is_choosy() {
        all = joined(all, |row| row.change.is_engine().then(|| ENGINE.to_owned()));
    }
    let row_count = all.len();
    all.retain(|row| {
        rows.wants_size(&row.figures()) && rows.wants_name([row.change.name.as_str()].into_iter())
    });
    rows.sort(&mut all, Row::figures);
    let (by_default, have_stacks) = (rows.by.is_none(), question.paths().all(has_stacks));
    Ok(Comparison { question, by, whole, row_count, rows: all, strangers, by_default, have_stacks })
}

fn heap(path: &Path) -> Result<Heap, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::failed(format!("`{}`: {error}", path.display())))?;
    Heap::read(file).map_err(|error| Failure::failed(format!("`{}`: {error}", path.display())))
}

/// Rows of one new name as one row; those without stay as they are. What classes keep overlaps,
/// so of a joined row no kept bytes can be said.
fn joined(rows: Vec<Row>, name: impl Fn(&Row) -> Option<String>) -> Vec<Row> {
    let (mut apart, mut sums) = (Vec::new(), BTreeMap::<String, Row>::new());
    for row in rows {
        let Some(name) = name(&row) else {
            apart.push(row);
            continue;
        };
        let sum = sums.entry(name.clone()).or_insert_with(|| Row {
            change: Change { name, ..Change::default() },
            kind: row.kind,
        });
        sum.change.new += row.change.new;
        sum.change.deleted += row.change.deleted;
        sum.change.count += row.change.count;
        sum.change.count_before += row.change.count_before;
        sum.change.size += row.change.size;
        sum.change.size_delta += row.change.size_delta;
    }
    apart.extend(sums.into_values());
    apart
}

impl Comparison<'_> {
    /// What stands against trust in it.
    pub(super) fn notes(&self) -> Vec<String> {
        let strangers = "no object of one is in the other: V8 numbers objects within one process, \
                         and these look like snapshots of two";
        let stacks = "an allocation timeline has stacks too: `--by site` reads it as a profile";
        let strangers = self.strangers.then(|| strangers.to_owned());
        let stacks = (self.by_default && self.have_stacks).then(|| stacks.to_owned());
        strangers.into_iter().chain(stacks).collect()
    }

    /// The result in a form.
    pub(super) fn render(&self, form: HeapForm) -> Result<Vec<u8>, Failure> {
        match form {
            HeapForm::Text => Ok(self.as_table().into_bytes()),
            HeapForm::Json => Ok(self.as_json().into_bytes()),
            form if self.have_stacks => Err(Failure::usage(format!(
                "`{}`: by class there are objects and no stacks: `--by site` reads an allocation \
                 timeline as a profile, of which it can be made",
                form.word()
            ))),
            form => Err(Failure::usage(format!(
                "`{}`: a V8 heap snapshot has objects and no stacks: `text` and `json` can be \
                 made of it, the others of a sampling profile",
                form.word()
            ))),
        }
    }

    fn as_table(&self) -> String {
        let compared = self.question.before.is_some();
        let (before, after) = self.whole;
        let mut out = if compared {
            format!(
                "own bytes of all objects: {} to {} ({})\n\n{:>9} {:>9} {:>10} {:>13} {:>13}  {}\n",
                figures::bytes(before as f64),
                figures::bytes(after as f64),
                figures::bytes_change(after as f64 - before as f64),
                "new",
                "deleted",
                "instances",
                "own bytes",
                "kept bytes",
                table::word(self.by),
            )
        } else {
            format!(
                "own bytes of all objects: {}\n\n{:>10} {:>13} {:>13}  {}\n",
                figures::bytes(after as f64),
                "instances",
                "own bytes",
                "kept bytes",
                table::word(self.by),
            )
        };
        for row in self.rows.iter().take(self.question.rows.limit()) {
            self.row(&mut out, &row.change, compared);
        }
        let more = self.rows.len().saturating_sub(self.question.rows.limit());
        if more > 0 {
            let _ = writeln!(out, "and {more} more (see them with --all)");
        }
        out
    }

    fn row(&self, out: &mut String, change: &Change, compared: bool) {
        let kept = match (is_joined(self.by, change), compared) {
            (true, _) => "-".to_owned(),
            (false, true) => figures::bytes_change(change.retained_delta as f64),
            (false, false) => figures::bytes(change.retained as f64),
        };
        let name = clean(&change.name);
        let _ = if compared {
            writeln!(
                out,
                "{:>9} {:>9} {:>10} {:>13} {kept:>13}  {name}",
                change.new,
                change.deleted,
                change.count,
                figures::bytes_change(change.size_delta as f64),
            )
        } else {
            let own = figures::bytes(change.size as f64);
            writeln!(out, "{:>10} {own:>13} {kept:>13}  {name}", change.count)
        };
        if let Some(way) = change.held_by.first().filter(|way| !way.is_empty()) {
            let _ = writeln!(out, "{:>38}  newest kept by {}", "", way_text(way));
        }
    }

    fn as_json(&self) -> String {
        let compared = self.question.before.is_some();
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row_json(row)).collect();
        let mut document = json!({
            "schema": if compared { "ebbtide/class-diff/1" } else { "ebbtide/class-show/1" },
            "by": table::word(self.by),
            "notes": self.notes(),
            "row_count": self.row_count,
            "after_bytes": self.whole.1,
            "classes": rows,
        });
        if compared {
            document["before_bytes"] = json!(self.whole.0);
        }
        format!("{document:#}\n")
    }

    fn row_json(&self, row: &Row) -> Value {
        let change = &row.change;
        let ways = change.held_by.iter();
        let ways: Vec<Vec<String>> =
            ways.map(|way| way.iter().map(ToString::to_string).collect()).collect();
        let mut json = json!({
            "class": change.name,
            "kind": row.kind,
            "instances": change.count,
            "own_bytes": change.size,
            "newest_kept_by": ways,
        });
        let joined = is_joined(self.by, change);
        if !joined {
            json["kept_bytes"] = json!(change.retained);
        }
        if self.question.before.is_some() {
            json["new"] = json!(change.new);
            json["deleted"] = json!(change.deleted);
            json["instances_before"] = json!(change.count_before);
            json["own_bytes_before"] = json!(change.size_before());
            json["own_bytes_delta"] = json!(change.size_delta);
            if !joined {
                json["kept_bytes_before"] = json!(change.retained_before());
                json["kept_bytes_delta"] = json!(change.retained_delta);
            }
        }
        json
    }
}

fn is_joined(by: By, change: &Change) -> bool {
    by == By::Kind || change.name == ENGINE
}

/// The end of a way, which is what its reader knows.
fn way_text(way: &[Step]) -> String {
    let skipped = way.len().saturating_sub(STEPS_SHOWN);
    let steps: Vec<String> = way[skipped..].iter().map(ToString::to_string).collect();
    let dots = if skipped > 0 { "... > " } else { "" };
    clean(&format!("{dots}{}", steps.join(" > ")))
}
