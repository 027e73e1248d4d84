//! The table of a bench as Markdown: what was measured, on what, and how to do it again.
//!
//! Comes in: comparisons. Goes out: text for `docs/benchmarks.md` and the terminal. The machine
//! is asked for its processor, its kernel and its load; nothing that names a person or a place.

use super::Settings;
use super::compare::{Comparison, Measured};
use super::numbers::{median, median_interval};
use crate::process;
use anyhow::{Context, Result};
use std::fmt::Write;

/// What the median of a ratio must reach: (peer, CPU at most, rate at least).
const GOALS: [(&str, f64, Option<f64>); 2] = [("wrk", 0.85, Some(1.1)), ("oha", 0.65, None)];

/// The whole paper.
pub(super) fn write(settings: &Settings, comparisons: &[Comparison]) -> Result<String> {
    let mut text = String::from(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench load`; run it again rather than edit this.\n",
    );
    write!(
        text,
        "\n## `ebb load` beside its peers\n\n\
         A trivial target (one thread, one fixed reply of 14 bytes, HTTP/1.1 keep-alive) on one \
         core, the generator on another, 64 connections, no pipelining, {} s a run. `ebb` records \
         as it always does. {} pairs for each peer after one that is thrown away, the order within \
         a pair drawn by a coin (seed {}). CPU is user and system time of the generator's process, \
         all threads, for each request that the target answered; the rate is the target's count, \
         too. Ratios are ebb / peer within a pair: their median, its 95 % interval (sign test; \
         below six pairs the extremes), and the goal.\n\n",
        settings.seconds, settings.pairs, settings.seed
    )?;
    text.push_str(
        "| peer | CPU per request, ebb | peer | ratio | goal \
         | requests/s, ebb | peer | ratio | goal |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for comparison in comparisons {
        text.push_str(&row(comparison)?);
    }
    text.push_str("\nWhat each sends:\n\n");
    for comparison in comparisons {
        let request = comparison.request.trim_end().replace("\r\n", "\n    ");
        writeln!(
            text,
            "- {} and ebb: {}, {} bytes:\n\n    {request}\n",
            comparison.peer.name(),
            comparison.likeness,
            comparison.request.len(),
        )?;
    }
    text.push_str("Measured with:\n\n");
    for line in circumstances(comparisons) {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

/// A line of the table: medians of both, and the ratios with their goals.
fn row(comparison: &Comparison) -> Result<String> {
    let goal = GOALS.iter().find(|(peer, ..)| *peer == comparison.peer.name());
    let cpu = |measured: &Measured| measured.cpu_us;
    let rate = |measured: &Measured| measured.rate;
    let middle = |values: Vec<f64>| median(&values).context("no pair was measured");
    let of_ebb =
        |figure: fn(&Measured) -> f64| comparison.pairs.iter().map(|p| figure(&p.0)).collect();
    let of_peer =
        |figure: fn(&Measured) -> f64| comparison.pairs.iter().map(|p| figure(&p.1)).collect();
    Ok(format!(
        "| {} | {:.2} us | {:.2} us | {} | {} | {:.0} | {:.0} | {} | {} |\n",
        comparison.peer.name(),
        middle(of_ebb(cpu))?,
        middle(of_peer(cpu))?,
        ratio(&comparison.ratios(cpu))?,
        goal.map_or("-".to_owned(), |(_, most, _)| format!("<= {most}")),
        middle(of_ebb(rate))?,
        middle(of_peer(rate))?,
        ratio(&comparison.ratios(rate))?,
        goal.and_then(|goal| goal.2).map_or("-".to_owned(), |least| format!(">= {least}")),
    ))
}

/// A median ratio with its interval.
fn ratio(ratios: &[f64]) -> Result<String> {
    let middle = median(ratios).context("no pair was measured")?;
    let (low, high) = median_interval(ratios).context("no pair was measured")?;
    Ok(format!("**{middle:.2}** ({low:.2} to {high:.2})"))
}

/// Versions, processor, kernel, load.
fn circumstances(comparisons: &[Comparison]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(first) = comparisons.first() {
        lines.push(first.ebb_version.clone());
    }
    lines.extend(comparisons.iter().map(|comparison| comparison.peer_version.clone()));
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
    use crate::bench::peers::Peer;

    #[test]
    fn a_row_has_medians_ratios_and_goals() {
        let measured = |cpu_us, rate| Measured { cpu_us, rate };
        let comparison = Comparison {
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
            "| wrk | 6.00 us | 8.00 us | **0.75** (0.50 to 1.00) | <= 0.85 | 120 | 100 | \
             **1.20** (1.10 to 1.30) | >= 1.1 |\n"
        );
    }
}
