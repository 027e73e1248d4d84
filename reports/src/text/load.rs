//! What the load measured. In goes the state, out go the parts of the summary that speak of it:
//! thresholds, results by protocol, errors, checks, the generator's health, warnings. Each is
//! empty when there is nothing to say. Columns and colours are left to the table.

use super::clean;
use super::table::{Cell, Paint, Table, wrapped};
use super::{Style, mark};
use crate::figures;
use crate::finding;
use ebbtide_record::event::Missed;
use ebbtide_record::{Metric, MetricType, State};
use std::fmt::Write as _;

/// Columns of a trend: heading and key. Those listed in [`DROPPED_FIRST`] give way first.
const TREND: [(&str, &str); 7] = [
    ("avg", "avg"),
    ("p50", "med"),
    ("p90", "p(90)"),
    ("p95", "p(95)"),
    ("p99", "p(99)"),
    ("p99.9", "p(99.9)"),
    ("max", "max"),
];

/// Columns that a narrow terminal goes without, in this order: p95, avg, p90, p99.9. Each index
/// counts what is left by then, name and count included.
const DROPPED_FIRST: [usize; 4] = [5, 2, 3, 4];

/// Share of the generator's time from which its CPU is worth a warning colour.
const CPU_BUSY: f64 = 0.8;

/// Names by protocol, by how they begin; the rest stands under `Other`.
const PROTOCOLS: [(&str, &[&str]); 4] = [
    ("HTTP", &["http_"]),
    ("WebSocket", &["ws_", "delivery_", "disconnects"]),
    ("Socket.IO", &["sio_"]),
    ("Iterations", &["iteration", "dropped_iterations", "vus", "data_", "group_"]),
];

/// Metrics that are said elsewhere in the summary.
const SAID_ELSEWHERE: [&str; 3] = ["checks", "generator_", "dropped_iterations"];

pub(super) fn thresholds(state: &State, style: Style<'_>) -> String {
    let judged = finding::thresholds(state);
    if judged.is_empty() {
        return String::new();
    }
    let mut table = Table::default();
    for threshold in &judged {
        let (paint, word) = if threshold.ok { (Paint::Good, "✓") } else { (Paint::Bad, "✗") };
        table.row(vec![
            Cell::left(word).paint(paint),
            Cell::left(threshold.metric),
            Cell::left(threshold.expression),
            Cell::left(threshold.seen.as_deref().unwrap_or("no value")),
        ]);
    }
    style.heading("Thresholds") + &table.lines(4, style.color)
}

pub(super) fn protocols(state: &State, style: Style<'_>) -> String {
    let mut out = String::new();
    for (title, prefixes) in PROTOCOLS {
        let chosen: Vec<_> = state
            .metrics
            .iter()
            .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        out.push_str(&group(title, &chosen, style));
    }
    let known = |name: &str| {
        PROTOCOLS.iter().any(|(_, prefixes)| prefixes.iter().any(|p| name.starts_with(p)))
            || SAID_ELSEWHERE.iter().any(|p| name.starts_with(p))
    };
    let others: Vec<_> = state.metrics.iter().filter(|(name, _)| !known(name)).collect();
    out.push_str(&group("Other", &others, style));
    out
}

fn group(title: &str, metrics: &[(&String, &Metric)], style: Style<'_>) -> String {
    let said = |name: &str| SAID_ELSEWHERE.iter().any(|prefix| name.starts_with(prefix));
    let (trends, plain): (Vec<_>, Vec<_>) = metrics
        .iter()
        .filter(|(name, metric)| !said(name) && counted(metric))
        .partition(|(_, metric)| metric.metric_type == MetricType::Trend);
    if trends.is_empty() && plain.is_empty() {
        return String::new();
    }
    let mut out = style.heading(title);
    if !trends.is_empty() {
        out.push_str(&trend_table(&trends, style));
    }
    let mut table = Table::default();
    for (name, metric) in plain {
        table.row(vec![Cell::left(name), Cell::left(plain_value(metric))]);
    }
    out + &table.lines(4, style.color)
}

/// Whether anything was measured at all.
fn counted(metric: &Metric) -> bool {
    let amount = match metric.metric_type {
        MetricType::Trend | MetricType::Counter => metric.value("count"),
        MetricType::Rate => {
            Some(metric.value("passes").unwrap_or(0.0) + metric.value("fails").unwrap_or(0.0))
        }
        MetricType::Gauge => metric.value("max").or_else(|| metric.value("value")),
    };
    amount.is_some_and(|amount| amount > 0.0)
}

fn trend_table(trends: &[&(&String, &Metric)], style: Style<'_>) -> String {
    let mut table = Table::default();
    let mut heads = vec![Cell::left(""), Cell::right("count").paint(Paint::Quiet)];
    heads.extend(TREND.iter().map(|(head, _)| Cell::right(head).paint(Paint::Quiet)));
    table.row(heads);
    for (name, metric) in trends {
        let base = name.split_once('{').filter(|(base, _)| trends.iter().any(|t| t.0 == base));
        let mut cells = vec![
            Cell::left(base.map_or_else(|| (*name).clone(), |(_, tags)| format!("  {{{tags}"))),
            Cell::right(figures::count(metric.value("count").unwrap_or(0.0) as u64)),
        ];
        for (_, key) in TREND {
            let value = metric.value(key).map_or_else(|| "-".to_owned(), |v| amount(metric, v));
            cells.push(Cell::right(value));
        }
        table.row(cells);
    }
    let room = style.width() - 4;
    for column in DROPPED_FIRST {
        if table.width() > room {
            table.drop_column(column);
        }
    }
    table.fit(room, 16);
    table.lines(4, style.color)
}

fn amount(metric: &Metric, value: f64) -> String {
    match metric.contains.as_str() {
        "time" => figures::millis(value),
        "data" => figures::bytes(value),
        _ => figures::number(value),
    }
}

/// What a counter, a gauge or a rate amounts to, in words.
pub(crate) fn plain_value(metric: &Metric) -> String {
    let value = |key: &str| metric.value(key).unwrap_or(0.0);
    match metric.metric_type {
        MetricType::Counter if metric.contains == "data" => {
            format!("{}, {}/s", figures::bytes(value("count")), figures::bytes(value("rate")))
        }
        MetricType::Counter => format!(
            "{}, {}/s",
            figures::count(value("count") as u64),
            figures::number(value("rate"))
        ),
        MetricType::Rate => format!(
            "{} ({} of {})",
            figures::percent(value("rate")),
            figures::count(value("passes") as u64),
            figures::count((value("passes") + value("fails")) as u64)
        ),
        MetricType::Gauge => match (metric.value("min"), metric.value("max")) {
            (Some(min), Some(max)) => format!(
                "{} ({} to {})",
                amount(metric, value("value")),
                amount(metric, min),
                amount(metric, max)
            ),
            _ => amount(metric, value("value")),
        },
        MetricType::Trend => String::new(),
    }
}

pub(super) fn errors(state: &State, style: Style<'_>) -> String {
    if state.errors.is_empty() {
        return String::new();
    }
    let mut by_count: Vec<_> = state.errors.iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let mut table = Table::default();
    for (reason, count) in by_count {
        table.row(vec![Cell::right(figures::count(*count)).paint(Paint::Bad), Cell::left(reason)]);
    }
    style.heading("Errors") + &table.lines(4, style.color)
}

pub(super) fn checks(state: &State, style: Style<'_>) -> String {
    if state.checks.is_empty() {
        return String::new();
    }
    let mut out = style.heading("Checks");
    for (name, count) in &state.checks {
        let all = count.passes + count.fails;
        let share = if all > 0 { count.passes as f64 / all as f64 } else { 0.0 };
        let held = format!(
            "{} ({} of {})",
            figures::percent(share),
            figures::count(count.passes),
            figures::count(all)
        );
        let sign = mark(count.fails == 0, style);
        let _ = writeln!(out, "    {sign}  {}  {}", clean(name), style.paint(Paint::Quiet, &held));
    }
    out
}

pub(super) fn generator(state: &State, style: Style<'_>) -> String {
    if state.intervals.is_empty() {
        return String::new();
    }
    let generator = state.generator();
    let mut parts = Vec::new();
    match generator.threads {
        0 => {}
        1 => parts.push("1 thread".to_owned()),
        threads => parts.push(format!("{threads} threads")),
    }
    let cpu = format!("{} CPU", figures::percent(generator.cpu_fraction));
    let busy = generator.saturated || generator.cpu_fraction >= CPU_BUSY;
    parts.push(if busy { style.paint(Paint::Doubt, &cpu) } else { cpu });
    parts.push(format!(
        "starts late by {} at most (p99 of the worst second)",
        figures::millis(generator.late_start_p99_ms)
    ));
    if generator.dropped_iterations > 0 {
        let dropped =
            format!("{} dropped iterations", figures::count(generator.dropped_iterations));
        parts.push(style.paint(Paint::Doubt, &dropped));
    }
    if generator.saturated {
        parts.push(style.paint(Paint::Bad, "saturated"));
    }
    let mut out = style.heading("Generator");
    for line in wrapped(&parts.join(", "), style.width() - 4) {
        let _ = writeln!(out, "    {line}");
    }
    out
}

pub(super) fn warnings(state: &State, style: Style<'_>) -> String {
    if state.warnings.is_empty() && state.missed.is_empty() {
        return String::new();
    }
    let mut out = style.heading("Not to be trusted blindly");
    let room = style.width().saturating_sub(7);
    for warning in &state.warnings {
        let sign = style.paint(Paint::Doubt, "!");
        for (place, line) in wrapped(&clean(&warning.message), room).iter().enumerate() {
            let _ = writeln!(out, "    {}  {line}", if place == 0 { &sign } else { " " });
        }
        if !warning.advice.is_empty() {
            for line in wrapped(&clean(&warning.advice), room) {
                let _ = writeln!(out, "       {}", style.paint(Paint::Quiet, &line));
            }
        }
    }
    // What ended the run is said at the end.
    let ended = state.ended.as_ref().map_or("", |ended| ended.reason.as_str());
    let mut missed: Vec<&Missed> = state.missed.iter().map(|at| &at.value).collect();
    missed.retain(|missed| ended.is_empty() || missed.reason != ended);
    if let (Some(last), missed) = (missed.last(), missed.len()) {
        let words = format!(
            "{} missed, the last {}: {}",
            if missed == 1 { "1 observation".to_owned() } else { format!("{missed} observations") },
            last.what,
            last.reason
        );
        for (place, line) in wrapped(&clean(&words), room).iter().enumerate() {
            let sign = if place == 0 { style.paint(Paint::Doubt, "!") } else { " ".to_owned() };
            let _ = writeln!(out, "    {sign}  {line}");
        }
    }
    out
}
