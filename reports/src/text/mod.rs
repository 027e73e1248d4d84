//! The summary on a terminal: thresholds first, then results by protocol, errors, checks, the
//! generator's own health and warnings, then memory; what was found is the last thing said, with
//! the next command to type. In goes the state of a run, out comes text with a line end.
//!
//! Control characters in names that came from outside are replaced, so that a server's reply
//! cannot drive the terminal. Whether there is a terminal, and how wide, is the caller's to say.

mod classes;
mod explain;
mod load;
mod memory;
mod table;

use crate::figures;
use crate::finding::{self, Finding, Tone};
pub use crate::shell::clean;
use crate::shell::quoted;
use ebbtide_record::{State, Verdict};
pub use explain::{bars, explain};
pub(crate) use load::plain_value;
use std::fmt::Write as _;
use table::{Cell, Paint, Table};

/// The narrowest text that is laid out for.
const WIDTH_MIN: usize = 60;

/// The widest: longer lines are hard to follow.
const WIDTH_MAX: usize = 120;

/// How the text is to look.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// Write ANSI colours.
    pub color: bool,
    /// Columns to fit into.
    pub width: usize,
    /// The run's folder, which the next command names; without it there is none.
    pub folder: Option<&'a str>,
    /// Rows of the sites to list, from 1; without them those that a person must know.
    pub rows: Option<&'a [usize]>,
}

impl Default for Style<'_> {
    fn default() -> Self {
        Self { color: false, width: 80, folder: None, rows: None }
    }
}

impl Style<'_> {
    fn width(&self) -> usize {
        self.width.clamp(WIDTH_MIN, WIDTH_MAX)
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.color { paint.wrap(text) } else { text.to_owned() }
    }

    fn heading(&self, text: &str) -> String {
        format!("\n  {}\n", self.paint(Paint::Strong, text))
    }
}

/// The whole summary of a run.
#[must_use]
pub fn render(state: &State, style: Style<'_>) -> String {
    let mut out = head(state, style);
    out.push_str(&load::thresholds(state, style));
    out.push_str(&load::protocols(state, style));
    out.push_str(&load::errors(state, style));
    out.push_str(&load::checks(state, style));
    out.push_str(&load::generator(state, style));
    out.push_str(&load::warnings(state, style));
    out.push_str(&memory::rounds(state, style));
    out.push_str(&memory::sites(state, style));
    out.push_str(&classes::classes(state, style));
    out.push('\n');
    out.push_str(&verdict_banner(state, style));
    out
}

/// What was found, the most important last, and the next command to type.
#[must_use]
pub fn verdict_banner(state: &State, style: Style<'_>) -> String {
    let findings = finding::findings(state);
    let mut out = String::new();
    for finding in findings.iter().rev() {
        out.push_str(&banner_lines(finding, style));
    }
    if let Some(command) = next_command(state, style.folder) {
        let _ = writeln!(out, "\n  next: {}", style.paint(Paint::Strong, &clean(&command)));
    }
    out
}

/// The command that is most likely wanted after such a run; `folder` is the run's.
#[must_use]
pub fn next_command(state: &State, folder: Option<&str>) -> Option<String> {
    let folder = quoted(folder?);
    let unfinished = state.ended.is_none();
    Some(match state.memory.verdict {
        _ if unfinished => format!("ebb report {folder}"),
        Verdict::Inconclusive => format!("ebb leaks {folder}"),
        Verdict::Leaking | Verdict::Growing => format!("ebb leaks {folder} --explain 1"),
        _ => format!("ebb report {folder}"),
    })
}

/// Rows of words as lines, indented, whose columns stand under each other: the first from the
/// left, the others from the right.
#[must_use]
pub fn columns(rows: &[Vec<String>], indent: usize) -> String {
    let mut table = Table::default();
    for row in rows {
        let cell = |(place, text): (usize, &String)| match place {
            0 => Cell::left(text),
            _ => Cell::right(text),
        };
        table.row(row.iter().enumerate().map(cell).collect());
    }
    table.lines(indent, false)
}

/// The command that explains the site of a row, from 1.
#[must_use]
pub fn explain_command(folder: &str, row: usize) -> String {
    format!("ebb leaks {} --explain {row}", quoted(folder))
}

fn banner_lines(finding: &Finding, style: Style<'_>) -> String {
    let mut out = String::new();
    let indent = 2 + finding.word.chars().count() + 2;
    let room = style.width().saturating_sub(indent).max(20);
    let mut lines = table::wrapped(&clean(&finding.sentence), room).into_iter();
    let word = style.paint(Paint::of(finding.tone), &finding.word);
    let _ = writeln!(out, "  {word}  {}", lines.next().unwrap_or_default());
    for line in lines {
        let _ = writeln!(out, "{:indent$}{line}", "");
    }
    for note in &finding.notes {
        for line in table::wrapped(&clean(note), room) {
            let _ = writeln!(out, "{:indent$}{}", "", style.paint(Paint::Quiet, &line));
        }
    }
    out
}

fn head(state: &State, style: Style<'_>) -> String {
    let Some(started) = &state.started else {
        return String::new();
    };
    let mut parts = Vec::new();
    if !started.base.is_empty() {
        parts.push(started.base.clone());
    }
    if let Some(pid) = started.target_pid {
        parts.push(format!("pid {pid}"));
    }
    parts.push(figures::duration(state.now_ms as f64));
    parts.push(format!("seed {}", started.seed));
    let name = style.paint(Paint::Strong, &clean(&started.name));
    let mut out = format!("\n  {name}\n");
    for line in table::wrapped(&clean(&parts.join(", ")), style.width() - 2) {
        let _ = writeln!(out, "  {}", style.paint(Paint::Quiet, &line));
    }
    out
}

/// The mark before a line that says how something ended; a shape, so that no colour is needed.
fn mark(ok: bool, style: Style<'_>) -> String {
    if ok {
        style.paint(Paint::of(Tone::Good), "✓")
    } else {
        style.paint(Paint::of(Tone::Bad), "✗")
    }
}
