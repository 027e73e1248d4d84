//! The runs that were made: one JSON line each, in `docs/truth/TABLE.ndjson`.
//!
//! Comes in: runs as they end. Goes out: all runs of a table, those of older revisions too. A line
//! is written at once and whole; what a cut-off command left of its last line is passed over.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name and version of a line.
pub(super) const SCHEMA: &str = "ebbtide/truth/1";

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The verdict fits the truth.
    Right,
    /// It does not.
    Wrong,
    /// There was no verdict: the run could not be made or not be measured.
    #[default]
    Failed,
}

/// An estimate with its interval, bytes per operation.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Growth {
    /// Best guess.
    pub(super) value: f64,
    /// Lower end.
    pub(super) low: f64,
    /// Upper end.
    pub(super) high: f64,
}

/// One run. Absent is what is unknown.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Line {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) cell: String,
    /// From 1.
    pub(super) run: u32,
    pub(super) seed: u64,
    pub(super) revision: String,
    pub(super) at_unix_ms: u64,
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) why: String,
    pub(super) word: String,
    pub(super) exit: Option<i64>,
    pub(super) function: String,
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) kind: String,
    pub(super) operation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) growth: Option<Growth>,
    /// True growth, bytes per operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truth: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) strays: Vec<String>,
    pub(super) rounds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operations: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<u64>,
    pub(super) interval: Option<f64>,
    pub(super) seconds: f64,
    /// Runs that went on beside it.
    pub(super) loaded: u32,
}

impl Line {
    /// Whether the interval of growth covers the truth; none where one of them is unknown.
    pub(super) fn covers(&self) -> Option<bool> {
        let (truth, growth) = (self.truth?, self.growth?);
        Some(growth.low <= truth && truth <= growth.high)
    }
}

/// The file of a table, below the folder that records are kept in.
pub(super) fn path(records: &Path, table: &str) -> PathBuf {
    records.join("truth").join(format!("{table}.ndjson"))
}

/// All runs of a table in the order they were made.
///
/// # Errors
/// When the file is there and cannot be read, or a line other than the last is damaged.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{}:{}", path.display(), index + 1));
            }
        }
    }
    Ok(lines)
}

/// Adds a run, after what is there.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn append(path: &Path, line: &Line) -> Result<()> {
    let context = || path.display().to_string();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    if std::fs::read(path).is_ok_and(|before| before.last().is_some_and(|byte| *byte != b'\n')) {
        drop_torn_line(path).with_context(context)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)
}

/// Cuts off what comes after the last whole line.
fn drop_torn_line(path: &Path) -> std::io::Result<()> {
    let bytes = std::fs::read(path)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    OpenOptions::new().write(true).open(path)?.set_len(whole as u64)
}

/// The sources a run is made with: the last commit that touched anything but papers, and `+`
/// where files differ from it.
pub(super) fn revision(root: &Path) -> Result<String> {
    const SOURCES: [&str; 4] = ["--", ".", ":(exclude)docs", ":(exclude,glob)**/*.md"];
    let git = |words: &[&str]| -> Result<String> {
        let output = Command::new("git").args(words).args(SOURCES).current_dir(root).output();
        let output = output.context("git; runs are kept with the revision of their sources")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["log", "-1", "--format=%h", "--abbrev=10"])?;
    let changed = git(&["status", "--porcelain"])?;
    Ok(if changed.is_empty() { commit } else { format!("{commit}+") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_passed_over_and_cut_off_by_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep").join("mix.ndjson");
        let line = |run| Line { cell: "a".to_owned(), run, ..Line::default() };
        append(&path, &line(1)).expect("a line");
        let mut file = OpenOptions::new().append(true).open(&path).expect("the file");
        file.write_all(b"{\"cell\":\"a\",\"ru").expect("half a line");
        assert_eq!(read(&path).expect("lines"), [line(1)]);
        append(&path, &line(2)).expect("a line");
        assert_eq!(read(&path).expect("lines"), [line(1), line(2)]);
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mix.ndjson");
        std::fs::write(&path, "{}\nnonsense\n{}\n").expect("a file");
        let error = format!("{:#}", read(&path).expect_err("damage"));
        assert!(error.contains("mix.ndjson:2"), "{error}");
    }

    #[test]
    fn an_interval_is_held_against_the_truth() {
        let growth = Some(Growth { value: 10.0, low: 9.0, high: 11.0 });
        for (truth, growth, covers) in [
            (Some(9.0), growth, Some(true)),
            (Some(11.5), growth, Some(false)),
            (None, growth, None),
            (Some(9.0), None, None),
        ] {
            assert_eq!(Line { truth, growth, ..Line::default() }.covers(), covers);
        }
    }
}
