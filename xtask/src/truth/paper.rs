//! The tables of `docs/truth.md`, from the runs on record.
//!
//! Comes in: the lines of all tables. Goes out: Markdown, below the mark, in the place of what was
//! there. For each run of each cell the newest line counts; older ones are told by number.

use super::cell::{CI, Cell, TABLES, table};
use super::ledger::{self, Line, Outcome};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// What comes after this line is written by the command.
const MARK: &str = "<!-- tables -->";

/// Of a standard normal distribution: 95 % lie within so many deviations.
const Z95: f64 = 1.96;

/// Writes the tables anew, of scenarios below `root` and lines below `records`.
///
/// # Errors
/// When a file cannot be read or written, or the paper has no mark.
pub(super) fn write(root: &Path, records: &Path) -> Result<()> {
    let paper = root.join("docs").join("truth.md");
    let paper = std::fs::read_to_string(&paper).context("docs/truth.md")?;
    let Some((head, _)) = paper.split_once(MARK) else {
        bail!("docs/truth.md has no line `{MARK}`");
    };
    let path = records.join("truth.md");
    let mut all = Vec::new();
    let mut sections = String::new();
    for (name, folder) in TABLES.into_iter().filter(|(name, _)| *name != CI) {
        let lines = ledger::read(&ledger::path(records, name))?;
        let cells = table(root, name, folder)?;
        let newest = newest(&lines);
        if !newest.is_empty() {
            sections.push_str(&section(name, &cells, &newest, lines.len()));
        }
        all.extend(newest);
    }
    let text = format!("{head}{MARK}\n\n{}{sections}", coverage(&all));
    std::fs::write(&path, text.trim_end().to_owned() + "\n")
        .with_context(|| path.display().to_string())?;
    println!("written to {}", path.display());
    Ok(())
}

/// The newest line of each run of each cell, in the order of cells and runs.
fn newest(lines: &[Line]) -> Vec<Line> {
    let mut newest: BTreeMap<(&str, u32), &Line> = BTreeMap::new();
    for line in lines {
        newest.insert((&line.cell, line.run), line);
    }
    newest.into_values().cloned().collect()
}

/// The share of runs whose interval of growth holds the truth, over all tables.
fn coverage(lines: &[Line]) -> String {
    let held: Vec<bool> =
        lines.iter().filter(|line| is_named(line)).filter_map(Line::covers).collect();
    if held.is_empty() {
        return String::new();
    }
    let within = held.iter().filter(|held| **held).count();
    format!(
        "**The interval of growth** (nominal 95 %) holds the true growth in {} of the runs that \
         were called leaking and whose truth is known in bytes.\n\n",
        share(within, held.len())
    )
}

/// The leak was found, so that its growth can be held against the truth.
fn is_named(line: &Line) -> bool {
    line.word == "leaking" && line.outcome != Outcome::Failed
}

fn section(name: &str, cells: &[Cell], lines: &[Line], written: usize) -> String {
    let mut text = format!("## `{name}`\n\n");
    let right = lines.iter().filter(|line| line.outcome == Outcome::Right).count();
    let judged = lines.iter().filter(|line| line.outcome != Outcome::Failed).count();
    let revisions = counted(lines.iter().map(|line| line.revision.as_str()));
    let loaded = lines.iter().filter(|line| line.loaded > 0).count();
    text += &format!("{} right; made with {revisions}", share(right, judged));
    if loaded > 0 {
        text += &format!("; {loaded} runs with another beside them");
    }
    if written > lines.len() {
        text += &format!("; {} older lines are on record", written - lines.len());
    }
    text.push_str(".\n\n");
    let theory = lines.iter().any(|line| line.truth.is_some());
    text.push_str("| cell | right | words | first site | per | strays | rounds | seconds |");
    text.push_str(if theory {
        " growth (truth) | covered | operations: word stood, verdict | 3 R/B, 100 R/B |\n"
    } else {
        "\n"
    });
    text += &format!("|{}\n", "---|".repeat(if theory { 11 } else { 8 }));
    for cell in cells {
        let lines: Vec<&Line> = lines.iter().filter(|line| line.cell == cell.name).collect();
        if !lines.is_empty() {
            text.push_str(&row(cell, &lines, theory));
        }
    }
    text.push('\n');
    text.push_str(&faults(lines));
    text
}

/// One cell.
fn row(cell: &Cell, lines: &[&Line], theory: bool) -> String {
    let judged: Vec<&Line> =
        lines.iter().copied().filter(|line| line.outcome != Outcome::Failed).collect();
    let right = judged.iter().filter(|line| line.outcome == Outcome::Right).count();
    let words = counted(lines.iter().map(|line| match line.outcome {
        Outcome::Failed => "*failed*",
        _ => line.word.as_str(),
    }));
    let named = || judged.iter().filter(|line| line.word == "leaking" || line.word == "growing");
    let median = |numbers: Vec<f64>, digits| shown(middle(numbers), digits);
    let mut text = format!(
        "| {} | {} | {words} | {} | {} | {} | {} | {} |",
        cell.name,
        share(right, judged.len()),
        code(&counted(named().map(|line| line.function.as_str()))),
        counted(named().map(|line| line.operation.as_str())),
        judged.iter().map(|line| line.strays.len()).sum::<usize>(),
        median(judged.iter().map(|line| line.rounds as f64).collect(), 0),
        median(judged.iter().map(|line| line.seconds).collect(), 0),
    );
    if theory {
        let found: Vec<&&Line> = judged.iter().filter(|line| is_named(line)).collect();
        let growth = found.iter().filter_map(|line| Some(line.growth?.value)).collect();
        let covers: Vec<bool> = found.iter().filter_map(|line| line.covers()).collect();
        let held = covers.iter().filter(|held| **held).count();
        let count = |of: fn(&Line) -> Option<u64>| {
            median(found.iter().filter_map(|line| of(line)).map(|n| n as f64).collect(), 0)
        };
        let needed = |times: f64| {
            let (interval, truth) = (lines[0].interval?, lines[0].truth?);
            Some(times * interval / truth)
        };
        text += &format!(
            " {} ({}) | {held}/{} | {}, {} | {}, {} |",
            median(growth, 1),
            shown(lines[0].truth, 0),
            covers.len(),
            count(|line| line.first),
            count(|line| line.operations),
            shown(needed(3.0), 0),
            shown(needed(100.0), 0),
        );
    }
    text.push('\n');
    text
}

/// Runs that were not right, each with its reason.
fn faults(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines.iter().filter(|line| line.outcome != Outcome::Right) {
        let word = if line.outcome == Outcome::Wrong { "wrong" } else { "failed" };
        text += &format!("- {} #{}: {word}: {}\n", line.cell, line.run, line.why);
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// `4 of 5 (0.38 to 0.96)`: with Wilson's interval of 95 % (Wilson 1927).
fn share(count: usize, total: usize) -> String {
    let Some((low, high)) = wilson(count, total) else { return "none".to_owned() };
    format!("{count} of {total} ({low:.2} to {high:.2})")
}

fn wilson(count: usize, total: usize) -> Option<(f64, f64)> {
    if total == 0 {
        return None;
    }
    let (n, p) = (total as f64, count as f64 / total as f64);
    let middle = p + Z95 * Z95 / (2.0 * n);
    let wide = Z95 * (p * (1.0 - p) / n + Z95 * Z95 / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z95 * Z95 / n;
    Some((((middle - wide) / whole).max(0.0), ((middle + wide) / whole).min(1.0)))
}

/// Words and how often each is there: `leaking 4, growing 1`, or the word alone.
fn counted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in words.filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
    }
    if let (1, Some((word, _))) = (counts.len(), counts.first_key_value()) {
        return (*word).to_owned();
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let texts: Vec<String> = counts.iter().map(|(word, count)| format!("{word} {count}")).collect();
    texts.join(", ")
}

/// Functions in type for code; generic parameters and pipes would break the table.
fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}

fn middle(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let (low, high) =
        (numbers.get(numbers.len().checked_sub(1)? / 2)?, numbers.get(numbers.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// A number with thousands apart, `-` when there is none.
fn shown(number: Option<f64>, digits: usize) -> String {
    let Some(number) = number else { return "-".to_owned() };
    let text = format!("{number:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::ledger::Growth;
    use std::path::PathBuf;

    #[test]
    fn shares_have_wilsons_interval() {
        assert_eq!(share(50, 50), "50 of 50 (0.93 to 1.00)");
        assert_eq!(share(4, 5), "4 of 5 (0.38 to 0.96)");
        assert_eq!(share(0, 0), "none");
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(shown(Some(1_234_567.0), 0), "1,234,567");
        assert_eq!(shown(Some(999.54), 1), "999.5");
        assert_eq!(shown(middle(vec![3.0, 1.0]), 0), "2");
        assert_eq!(shown(middle(Vec::new()), 0), "-");
        assert_eq!(counted(["b", "a", "b", ""].into_iter()), "b 2, a 1");
    }

    #[test]
    fn a_table_tells_the_newest_runs_with_theory_and_faults() {
        let folder = tempfile::tempdir().expect("a folder");
        let head = "# expect: leaking bytes=100 operation=x\n";
        std::fs::write(folder.path().join("a.toml"), head).expect("a cell");
        let cells = table(&PathBuf::from("/"), "t", &folder.path().display().to_string()[1..]);
        let line = |run, outcome, value| Line {
            cell: "a".to_owned(),
            run,
            outcome,
            word: "leaking".to_owned(),
            function: "f".to_owned(),
            why: "because".to_owned(),
            truth: Some(100.0),
            interval: Some(1_000.0),
            operations: Some(2_000),
            growth: Some(Growth { value, low: value - 5.0, high: value + 5.0 }),
            ..Line::default()
        };
        let lines = [
            line(1, Outcome::Wrong, 100.0),
            line(2, Outcome::Wrong, 120.0),
            line(1, Outcome::Right, 98.0),
        ];
        let text = section("t", &cells.expect("cells"), &newest(&lines), lines.len());
        for part in [
            "1 of 2 (0.09 to 0.91) right",
            "1 older lines are on record",
            "| 109.0 (100) | 1/2 | -, 2,000 | 30, 1,000 |",
            "- a #2: wrong: because",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("a #1"), "{text}");
    }
}
