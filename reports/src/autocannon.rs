//! The run in the tables that hands know from autocannon: latency, requests and bytes per second,
//! and one line of totals. In goes the state, out goes text; what else was found stands last.
//!
//! Latencies are those of all exchanges, not of ten seconds of samples; the two other rows are
//! taken over the whole seconds of the load, as autocannon does.

use crate::figures;
use crate::finding::{self, Tone};
use crate::shell::clean;
use ebbtide_record::event::Interval;
use ebbtide_record::{Metric, State};
use std::fmt::Write as _;

/// Share of a second from which on an interval counts as one of the samples.
const WHOLE_MS: f64 = 900.0;

/// The tables.
#[must_use]
pub fn render(state: &State) -> String {
    let started = state.started.clone().unwrap_or_default();
    let mut out = String::new();
    let test = match started.duration_s {
        Some(seconds) => format!("{seconds}s test"),
        None => "test".to_owned(),
    };
    let _ = writeln!(out, "Running {test} @ {}", clean(&started.base));
    // The only interval of a short run is told when all users have left.
    let most = state.metrics.get("vus_max").and_then(|vus| vus.value("max")).unwrap_or(0.0) as u64;
    let connections = state.intervals.iter().map(|at| at.value.vus).fold(most, u64::max);
    let _ = writeln!(out, "{} connections\n", figures::count(connections));
    let trend =
        ["http_req_duration", "ws_msg_rtt"].iter().find_map(|name| state.metrics.get(*name));
    if let Some(metric) = trend {
        out.push_str(&latency(metric));
    }
    let whole = |interval: &&Interval| interval.duration_ms >= WHOLE_MS;
    let seconds: Vec<&Interval> =
        state.intervals.iter().map(|at| &at.value).filter(whole).collect();
    let per_second = |pick: fn(&Interval) -> u64| -> Vec<f64> {
        seconds.iter().map(|one| pick(one) as f64 * 1_000.0 / one.duration_ms).collect()
    };
    if !seconds.is_empty() {
        out.push_str(&rates(
            &per_second(|interval| interval.requests),
            &per_second(|interval| interval.bytes_received),
        ));
        let samples = seconds.len();
        let _ = writeln!(out, "\nRates are taken once per second.\n# of samples: {samples}");
    }
    out.push('\n');
    out.push_str(&totals(state));
    for finding in finding::findings(state).iter().filter(|finding| finding.tone != Tone::Plain) {
        let _ = writeln!(out, "{}: {}", finding.word, clean(&finding.sentence));
        for note in &finding.notes {
            let _ = writeln!(out, "  {}", clean(note));
        }
    }
    out
}

fn latency(metric: &Metric) -> String {
    let keys = ["p(2.5)", "med", "p(97.5)", "p(99)", "avg", "stdev", "max"];
    let cells = keys.map(|key| metric.value(key).map_or_else(|| "-".to_owned(), figures::millis));
    table(&[
        ["Stat", "2.5%", "50%", "97.5%", "99%", "Avg", "Stdev", "Max"].map(str::to_owned).to_vec(),
        std::iter::once("Latency".to_owned()).chain(cells).collect(),
    ])
}

fn rates(requests: &[f64], bytes: &[f64]) -> String {
    let row = |name: &str, values: &[f64], words: fn(f64) -> String| -> Vec<String> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let stdev = (squares / values.len() as f64).sqrt();
        let at = |percent| words(rank(&sorted, percent));
        let figures = [at(1.0), at(2.5), at(50.0), at(97.5), words(mean), words(stdev), at(0.0)];
        std::iter::once(name.to_owned()).chain(figures).collect()
    };
    table(&[
        ["Stat", "1%", "2.5%", "50%", "97.5%", "Avg", "Stdev", "Min"].map(str::to_owned).to_vec(),
        row("Req/Sec", requests, figures::number),
        row("Bytes/Sec", bytes, figures::bytes),
    ])
}

/// The smallest value that at least so many per cent are not above.
fn rank(sorted: &[f64], percent: f64) -> f64 {
    let place = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

fn totals(state: &State) -> String {
    let totals = &state.totals;
    let bytes: u64 = state.intervals.iter().map(|at| at.value.bytes_received).sum();
    let mut out = format!(
        "{} requests in {}, {} read\n",
        figures::count(totals.requests),
        figures::duration(totals.duration_ms),
        figures::bytes(bytes as f64)
    );
    if totals.failed > 0 {
        let timeouts = state.errors.get("timeout").copied().unwrap_or(0);
        let _ = writeln!(
            out,
            "{} failed ({} timeouts)",
            figures::count(totals.failed),
            figures::count(timeouts)
        );
        for (reason, count) in &state.errors {
            let _ = writeln!(out, "  {} {}", figures::count(*count), clean(reason));
        }
    }
    out
}

/// Rows with lines around them, the first row a heading.
fn table(rows: &[Vec<String>]) -> String {
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |place: usize| {
        rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..most).map(|place| width(place).unwrap_or(0)).collect();
    let line = |left: &str, middle: &str, right: &str| {
        let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", bars.join(middle))
    };
    let mut out = line("┌", "┬", "┐");
    for (place, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let pad = " ".repeat(width - cell.chars().count());
            let _ = write!(out, "│ {cell}{pad} ");
        }
        out.push_str("│\n");
        if place + 1 < rows.len() {
            out.push_str(&line("├", "┼", "┤"));
        }
    }
    out + &line("└", "┴", "┘")
}
