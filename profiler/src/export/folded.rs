//! Folded stacks: a line per stack, frames from the root parted by `;`, then a number, or two
//! for a comparison. In: stacks. Out: text that flamegraph.pl, inferno and speedscope read.
//!
//! Source: FlameGraph `stackcollapse.pl`, and `difffolded.pl` for lines with two numbers.

use super::whole;
use crate::stacks::{StackRow, Stacks};
use std::collections::BTreeMap;

/// Bytes before and after, in two columns: what `difffolded.pl` gives and `flamegraph.pl` colours.
#[must_use]
pub fn before_and_after(stacks: &Stacks) -> String {
    write(stacks, |(before, after)| {
        let (before, after) = (whole(before), whole(after));
        (before + after > 0).then(|| format!("{before} {after}"))
    })
}

/// Bytes after, in one column.
#[must_use]
pub fn after(stacks: &Stacks) -> String {
    write(stacks, |(_, after)| Some(whole(after)).filter(|n| *n > 0).map(|n| n.to_string()))
}

/// Growth in one column. The form knows no number below 0: stacks that shrank are left out.
#[must_use]
pub fn growth(stacks: &Stacks) -> String {
    let grown = |(before, after): (f64, f64)| Some(whole(after - before)).filter(|n| *n > 0);
    write(stacks, |bytes| grown(bytes).map(|n| n.to_string()))
}

/// Lines in the order of their text. Stacks that differ in lines alone are one.
fn write(stacks: &Stacks, numbers: impl Fn((f64, f64)) -> Option<String>) -> String {
    let mut lines: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for row in &stacks.rows {
        let sum = lines.entry(line(stacks, row)).or_default();
        let (before, after) = row.bytes();
        *sum = (sum.0 + before, sum.1 + after);
    }
    let mut text = String::new();
    for (line, bytes) in lines {
        if let Some(numbers) = numbers(bytes) {
            text.push_str(&line);
            text.push(' ');
            text.push_str(&numbers);
            text.push('\n');
        }
    }
    text
}

fn line(stacks: &Stacks, row: &StackRow) -> String {
    let frames =
        row.frames.iter().rev().map(|frame| word(&stacks.frames[*frame as usize].function));
    let frames: Vec<String> = frames.collect();
    if frames.is_empty() { "[empty stack]".to_owned() } else { frames.join(";") }
}

/// A name without what parts frames and lines.
fn word(function: &str) -> String {
    let plain = function.replace(';', ",").replace(['\n', '\r', '\t'], " ");
    if plain.trim().is_empty() { "[unknown]".to_owned() } else { plain }
}
