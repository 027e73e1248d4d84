//! The table of a bench as Markdown: what was measured, on what, and how to do it again.
//!
//! Comes in: comparisons. Goes out: text for `docs/benchmarks.md` and the terminal. The machine
//! is asked for its processor, its kernel and its load; nothing that names a person or a place.

use super::Settings;
use super::compare::{Comparison, Measured};
use super::numbers::{median, median_interval};
use super::peers::Peer;
use crate::process;
use anyhow::{Context, Result};
use std::fmt::Write;

/// What the median of a ratio must reach: (ours, peer, CPU at most, rate at least).
const GOALS: [(Peer, Peer, f64, Option<f64>); 4] = [
    (Peer::Ebb, Peer::Wrk, 0.80, Some(1.1)),
    (Peer::Ebb, Peer::Oha, 0.62, None),
    (Peer::Ebb, Peer::Autocannon, 0.40, None),
    (Peer::Checked, Peer::Wrk, 1.0, None),
];

/// What the paper begins with, before the first bench has written its section.
const HEAD: &str = "# Benchmarks\n\n\
    Each section is written by the command that it names; run that again rather than edit this.\n";

/// The paper with the section of one bench put in, in place of its last one or at the end. A
/// section reaches from its heading of the second level to the next one.
pub(super) fn put_section(paper: &str, section: &str) -> String {
    let heading = section.lines().next().unwrap_or_default();
    let paper = if paper.starts_with("# ") { paper } else { HEAD };
    let mut parts: Vec<&str> = Vec::new();
    let mut begin = 0;
    for (place, _) in paper.match_indices("\n## ") {
        parts.push(&paper[begin..=place]);
        begin = place + 1;
    }
    parts.push(&paper[begin..]);
    let is_it = |part: &&str| part.lines().next() == Some(heading);
    let place = parts.iter().position(is_it).unwrap_or(parts.len());
    parts.retain(|part| !is_it(part));
    parts.insert(place, section);
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    parts.join("\n\n") + "\n"
}

/// The section of `bench load`.
pub(super) fn section(settings: &Settings, comparisons: &[Comparison]) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "## HTTP/1.1: `ebb load` beside its peers\n\n\
         Written by `cargo xtask bench load`. A trivial target (one thread, one fixed reply of \
         14 bytes, HTTP/1.1 keep-alive) on one \
         core, the generator on another, 64 connections, no pipelining, {} s a run. `ebb` records \
         as it always does. {} pairs for each peer after one that is thrown away, the order within \
         a pair drawn by a coin (seed {}). CPU is user and system time of the generator's process, \
         all threads, for each request that the target answered; the rate is the target's count, \
         too. Ratios are ebb / peer within a pair: their median, its 95 % interval (sign test; \
         below six pairs the extremes), and the goal.\n\n",
        settings.seconds, settings.pairs, settings.seed
    )?;
    text.push_str(
        "| ours | peer | CPU per request, ours | peer | ratio | goal \
         | requests/s, ours | peer | ratio | goal |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for comparison in comparisons {
        text.push_str(&row(comparison)?);
    }
    text.push_str("\nWhat each sends:\n\n");
    for comparison in comparisons {
        let request = comparison.request.trim_end().replace("\r\n", "\n    ");
        writeln!(
            text,
            "- {} and {}: {}, {} bytes:\n\n    {request}\n",
            comparison.peer.name(),
            comparison.ours.name(),
            comparison.likeness,
            comparison.request.len(),
        )?;
    }
    text.push_str("Measured with:\n\n");
    let versions = comparisons.iter().map(|comparison| comparison.peer_version.clone());
    let ours = comparisons.first().map(|comparison| comparison.ebb_version.clone());
    for line in circumstances(ours.into_iter().chain(versions)) {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

/// A line of the table: medians of both, and the ratios with their goals.
fn row(comparison: &Comparison) -> Result<String> {
    let rivals = (comparison.ours, comparison.peer);
    let goal = GOALS.iter().find(|(ours, peer, ..)| (*ours, *peer) == rivals);
    let cpu = |measured: &Measured| measured.cpu_us;
    let rate = |measured: &Measured| measured.rate;
    let middle = |values: Vec<f64>| median(&values).context("no pair was measured");
    let of_ebb =
        |figure: fn(&Measured) -> f64| comparison.pairs.iter().map(|p| figure(&p.0)).collect();
    let of_peer =
        |figure: fn(&Measured) -> f64| comparison.pairs.iter().map(|p| figure(&p.1)).collect();
    Ok(format!(
        "| {} | {} | {:.2} us | {:.2} us | {} | {} | {:.0} | {:.0} | {} | {} |\n",
        comparison.ours.name(),
        comparison.peer.name(),
        middle(of_ebb(cpu))?,
        middle(of_peer(cpu))?,
        ratio(&comparison.ratios(cpu))?,
        goal.map_or("-".to_owned(), |(_, _, most, _)| format!("<= {most}")),
        middle(of_ebb(rate))?,
        middle(of_peer(rate))?,
        ratio(&comparison.ratios(rate))?,
        goal.and_then(|goal| goal.3).map_or("-".to_owned(), |least| format!(">= {least}")),
    ))
}

/// A median ratio with its interval.
pub(super) fn ratio(ratios: &[f64]) -> Result<String> {
    let middle = median(ratios).context("no pair was measured")?;
    let (low, high) = median_interval(ratios).context("no pair was measured")?;
    Ok(format!("**{middle:.2}** ({low:.2} to {high:.2})"))
}

/// What a bench was run with: versions, each once, processor, kernel, load.
pub(super) fn circumstances(versions: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for version in versions {
        if !lines.contains(&version) {
            lines.push(version);
        }
    }
    lines.push(process::version_line("rustc", "--version"));
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = file("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
    let processor = processor.map_or("unknown", |line| line.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    lines.push(format!("{processor}, {cores} cores"));
    lines.push(format!("Linux {}", file("/proc/sys/kernel/osrelease").trim()));
    let load = file("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    lines.push(format!("load average over the last minute, at the end: {load}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_medians_ratios_and_goals() {
        let measured = |cpu_us, rate| Measured { cpu_us, rate };
        let comparison = Comparison {
            ours: Peer::Ebb,
            peer: Peer::Wrk,
            peer_version: String::new(),
            ebb_version: String::new(),
            request: String::new(),
            likeness: "",
            pairs: vec![
                (measured(6.0, 120.0), measured(8.0, 100.0)),
                (measured(5.0, 110.0), measured(10.0, 100.0)),
                (measured(7.0, 130.0), measured(7.0, 100.0)),
            ],
        };
        assert_eq!(
            row(&comparison).expect("a row"),
            "| ebb | wrk | 6.00 us | 8.00 us | **0.75** (0.50 to 1.00) | <= 0.8 | 120 | \
             100 | **1.20** (1.10 to 1.30) | >= 1.1 |\n"
        );
    }

    #[test]
    fn a_section_takes_the_place_of_its_last_one() {
        let first = put_section("", "## A\n\nold a\n");
        let both = put_section(&first, "## B\n\n### more\n\nb\n");
        let again = put_section(&both, "## A\n\nnew a\n");
        assert!(again.starts_with("# Benchmarks\n\n"), "{again}");
        assert!(again.ends_with("## A\n\nnew a\n\n## B\n\n### more\n\nb\n"), "{again}");
        assert_eq!(put_section(&again, "## B\n\n### more\n\nb\n"), again);
    }
}
