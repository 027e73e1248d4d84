//! The timeline: five charts over one axis, which the page's script draws, and behind each the
//! table of what it shows. The tables are coarser than the charts: at most [`ROWS_MAX`] rows,
//! each the sum or the worst of what it covers, so that long runs stay readable.

use super::markup::{Cell, row, table};
use crate::figures;
use ebbtide_record::event::{Interval, MemoryPoint};
use ebbtide_record::state::At;
use ebbtide_record::{Kind, State};
use std::fmt::Write as _;

/// Rows of a table behind a chart: what a person will read through.
const ROWS_MAX: usize = 60;

pub(super) fn section(state: &State) -> String {
    if state.intervals.is_empty() && state.points.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<div class=\"bar\"><h2 id=\"timeline\">Timeline</h2>\
         <span class=\"soft needs-js\">drag to zoom, all charts together \
         <button type=\"button\" id=\"reset\">whole run</button></span></div>\n",
    );
    if !state.phases.is_empty() && state.started.as_ref().is_some_and(|s| s.rounds > 0) {
        out.push_str(
            "<p class=\"key\"><i class=\"warmup\"></i>warm-up round <i class=\"new\"></i>new input \
             <i class=\"replay\"></i>replayed input; the load of each round by its number, \
             dotted lines are snapshots</p>\n",
        );
    }
    if !state.intervals.is_empty() {
        out.push_str(&figure(
            "rate",
            "Iterations",
            "offered and achieved iterations per second",
            &rate(state),
        ));
        out.push_str(&figure(
            "latency",
            "Latency",
            "latency percentiles over time",
            &latency(state),
        ));
        if state.totals.failed + state.totals.dropped > 0 {
            out.push_str(&figure(
                "errors",
                "Errors",
                "failed exchanges per second",
                &errors(state),
            ));
        }
    }
    if !state.points.is_empty() {
        out.push_str(&figure(
            "memory",
            "Memory",
            "resident set and live heap over time",
            &memory(state),
        ));
        if state.points.iter().any(|point| !point.value.census.is_empty()) {
            out.push_str(&figure(
                "census",
                "Live objects",
                "live objects by kind over time",
                &census(state),
            ));
        }
    }
    out
}

fn figure(name: &str, title: &str, label: &str, table: &str) -> String {
    format!(
        "<figure data-chart=\"{name}\" data-title=\"{title}\" data-label=\"{label}\">\n\
         <details class=\"data\"><summary>Table: {label}</summary>\n{table}</details>\n</figure>\n"
    )
}

/// Neighbouring points in at most [`ROWS_MAX`] groups, the last time of each with its points.
fn groups<T>(points: &[At<T>]) -> impl Iterator<Item = (String, &[At<T>])> {
    let each = points.len().div_ceil(ROWS_MAX).max(1);
    points.chunks(each).map(|chunk| {
        let until = chunk.last().map_or(0, |point| point.t_ms);
        (figures::duration(until as f64), chunk)
    })
}

fn seconds(chunk: &[At<Interval>]) -> f64 {
    (chunk.iter().map(|at| at.value.duration_ms).sum::<f64>() / 1_000.0).max(1e-3)
}

fn rate(state: &State) -> String {
    let mut rows = String::new();
    for (until, chunk) in groups(&state.intervals) {
        let seconds = seconds(chunk);
        let offered: Option<u64> = chunk.iter().map(|at| at.value.offered).sum::<Option<u64>>();
        let sum = |pick: fn(&Interval) -> u64| {
            chunk.iter().map(|at| pick(&at.value)).sum::<u64>() as f64 / seconds
        };
        rows.push_str(&row(&[
            Cell::figure(until),
            Cell::figure(
                offered.map_or_else(|| "-".to_owned(), |n| figures::number(n as f64 / seconds)),
            ),
            Cell::figure(figures::number(sum(|interval| interval.iterations))),
            Cell::figure(figures::number(sum(|interval| interval.requests))),
            Cell::figure(figures::count(chunk.iter().map(|at| at.value.vus).max().unwrap_or(0))),
        ]));
    }
    let heads = ["#until", "#offered/s", "#achieved/s", "#exchanges/s", "#virtual users"];
    table("", &heads, &rows)
}

fn latency(state: &State) -> String {
    let mut rows = String::new();
    for (until, chunk) in groups(&state.intervals) {
        let worst = |pick: fn(&Interval) -> Option<f64>| {
            let value = chunk
                .iter()
                .filter_map(|at| pick(&at.value))
                .fold(None, |most, value| Some(most.map_or(value, |most: f64| most.max(value))));
            Cell::figure(value.map_or_else(|| "-".to_owned(), figures::millis))
        };
        rows.push_str(&row(&[
            Cell::figure(until),
            worst(|interval| measured(interval, interval.latency.p50)),
            worst(|interval| measured(interval, interval.latency.p90)),
            worst(|interval| measured(interval, interval.latency.p99)),
            worst(|interval| measured(interval, interval.latency.p999)),
            worst(|interval| measured(interval, interval.latency.max)),
            worst(|interval| interval.corrected.map(|corrected| corrected.p99)),
        ]));
    }
    let heads = ["#until", "#p50", "#p90", "#p99", "#p99.9", "#max", "#corrected p99"];
    table(
        "Uncorrected unless said; where a row covers several seconds, the worst of them",
        &heads,
        &rows,
    )
}

/// The value, unless nothing was measured: then there is none, rather than 0.
pub(super) fn measured(interval: &Interval, value: f64) -> Option<f64> {
    (interval.latency.count > 0).then_some(value)
}

fn errors(state: &State) -> String {
    let mut rows = String::new();
    for (until, chunk) in groups(&state.intervals) {
        let mut reasons = std::collections::BTreeMap::<&str, u64>::new();
        for (reason, count) in chunk.iter().flat_map(|at| &at.value.errors) {
            *reasons.entry(reason).or_default() += count;
        }
        let dropped: u64 = chunk.iter().map(|at| at.value.dropped).sum();
        if reasons.is_empty() && dropped == 0 {
            continue;
        }
        let mut words = String::new();
        for (reason, count) in &reasons {
            let gap = if words.is_empty() { "" } else { ", " };
            let _ = write!(words, "{gap}{} {reason}", figures::count(*count));
        }
        rows.push_str(&row(&[
            Cell::figure(until),
            Cell::figure(figures::count(reasons.values().sum())),
            Cell::figure(figures::count(dropped)),
            Cell::text(words),
        ]));
    }
    table("Times without errors are left out", &["#until", "#failed", "#dropped", "reasons"], &rows)
}

fn memory(state: &State) -> String {
    let mut rows = String::new();
    for (until, chunk) in groups(&state.points) {
        let last = |pick: fn(&MemoryPoint) -> Option<u64>| {
            let value = chunk.iter().rev().find_map(|at| pick(&at.value));
            Cell::figure(value.map_or_else(|| "-".to_owned(), |bytes| figures::bytes(bytes as f64)))
        };
        let in_flight = chunk.iter().rev().find_map(|at| at.value.in_flight);
        rows.push_str(&row(&[
            Cell::figure(until),
            last(|point| point.rss_bytes),
            last(|point| point.live_bytes),
            Cell::figure(in_flight.map_or_else(|| "-".to_owned(), figures::count)),
        ]));
    }
    table("", &["#at", "#RSS", "#live heap", "#in flight"], &rows)
}

fn census(state: &State) -> String {
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| state.points.iter().any(|point| point.value.census.contains_key(kind)))
        .collect();
    let heads: Vec<String> = kinds.iter().map(|kind| format!("#{}", kind.words())).collect();
    let heads: Vec<&str> = std::iter::once("#at").chain(heads.iter().map(String::as_str)).collect();
    let mut rows = String::new();
    for (at, chunk) in groups(&state.points) {
        let mut cells = vec![Cell::figure(at)];
        for kind in &kinds {
            let live = chunk.iter().rev().find_map(|at| at.value.census.get(kind));
            cells.push(Cell::figure(
                live.map_or_else(|| "-".to_owned(), |count| figures::count(count.live)),
            ));
        }
        rows.push_str(&row(&cells));
    }
    table("", &heads, &rows)
}
