//! The run second by second, for other tools: CSV after RFC 4180 with one line of headings, or
//! NDJSON, an object per line with the same names. In goes the state, out goes text.
//!
//! Units end the names. A value that was not measured is an empty field, or null. Past an hour
//! the state keeps coarser intervals; `duration_ms` says how long each is, and the run's
//! `events.ndjson` has every second.

use ebbtide_record::event::{Interval, MemoryPoint, PhaseStart, Quantiles};
use ebbtide_record::state::At;
use ebbtide_record::{Phase, State};
use std::fmt::Write as _;

/// One second with what belongs to it.
struct Row<'a> {
    end_ms: u64,
    at_unix_ms: u64,
    interval: &'a Interval,
    memory: Option<&'a MemoryPoint>,
    phase: Option<&'a PhaseStart>,
}

/// A column: its name and its value, where there is one.
type Column = (&'static str, fn(&Row<'_>) -> Option<f64>);

/// What each line says, in this order. New columns are added at the end.
const COLUMNS: [Column; 39] = [
    ("t_ms", |row| Some(row.end_ms as f64)),
    ("at_unix_ms", |row| (row.at_unix_ms > 0).then_some(row.at_unix_ms as f64)),
    ("duration_ms", |row| Some(row.interval.duration_ms)),
    ("round", |row| row.phase.map(|phase| f64::from(phase.round))),
    ("offered", |row| row.interval.offered.map(|offered| offered as f64)),
    ("iterations", |row| Some(row.interval.iterations as f64)),
    ("requests", |row| Some(row.interval.requests as f64)),
    ("requests_per_s", |row| {
        let seconds = row.interval.duration_ms / 1_000.0;
        (seconds > 0.0).then(|| row.interval.requests as f64 / seconds)
    }),
    ("failed", |row| Some(row.interval.errors.values().sum::<u64>() as f64)),
    ("dropped", |row| Some(row.interval.dropped as f64)),
    ("vus", |row| Some(row.interval.vus as f64)),
    ("messages_sent", |row| Some(row.interval.messages_sent as f64)),
    ("messages_received", |row| Some(row.interval.messages_received as f64)),
    ("bytes_sent", |row| Some(row.interval.bytes_sent as f64)),
    ("bytes_received", |row| Some(row.interval.bytes_received as f64)),
    ("latency_mean_ms", |row| latency(row, |q| q.mean)),
    ("latency_p50_ms", |row| latency(row, |q| q.p50)),
    ("latency_p90_ms", |row| latency(row, |q| q.p90)),
    ("latency_p99_ms", |row| latency(row, |q| q.p99)),
    ("latency_p999_ms", |row| latency(row, |q| q.p999)),
    ("latency_max_ms", |row| latency(row, |q| q.max)),
    ("corrected_mean_ms", |row| corrected(row, |q| q.mean)),
    ("corrected_p50_ms", |row| corrected(row, |q| q.p50)),
    ("corrected_p90_ms", |row| corrected(row, |q| q.p90)),
    ("corrected_p99_ms", |row| corrected(row, |q| q.p99)),
    ("corrected_p999_ms", |row| corrected(row, |q| q.p999)),
    ("corrected_max_ms", |row| corrected(row, |q| q.max)),
    ("delivery_count", |row| row.interval.delivery.map(|q| q.count as f64)),
    ("delivery_p50_ms", |row| delivery(row, |q| q.p50)),
    ("delivery_p99_ms", |row| delivery(row, |q| q.p99)),
    ("delivery_max_ms", |row| delivery(row, |q| q.max)),
    ("generator_cpu", |row| Some(row.interval.generator_cpu)),
    ("late_start_p99_ms", |row| Some(row.interval.late_start_p99_ms)),
    ("rss_bytes", |row| row.memory?.rss_bytes.map(|bytes| bytes as f64)),
    ("live_bytes", |row| row.memory?.live_bytes.map(|bytes| bytes as f64)),
    ("in_flight", |row| row.memory?.in_flight.map(|count| count as f64)),
    ("connections_live", |row| live(row, ebbtide_record::Kind::Connection)),
    ("listeners_live", |row| live(row, ebbtide_record::Kind::Listener)),
    ("timers_live", |row| live(row, ebbtide_record::Kind::Timer)),
];

fn latency(row: &Row<'_>, pick: fn(&Quantiles) -> f64) -> Option<f64> {
    let latency = &row.interval.latency;
    (latency.count > 0).then(|| pick(latency))
}

fn corrected(row: &Row<'_>, pick: fn(&Quantiles) -> f64) -> Option<f64> {
    row.interval.corrected.as_ref().filter(|q| q.count > 0).map(pick)
}

fn delivery(row: &Row<'_>, pick: fn(&Quantiles) -> f64) -> Option<f64> {
    row.interval.delivery.as_ref().filter(|q| q.count > 0).map(pick)
}

fn live(row: &Row<'_>, kind: ebbtide_record::Kind) -> Option<f64> {
    row.memory?.census.get(&kind).map(|count| count.live as f64)
}

/// The series as CSV.
#[must_use]
pub fn csv(state: &State) -> String {
    let mut out = COLUMNS.map(|(name, _)| name).join(",") + "\r\n";
    for row in rows(state) {
        for (place, (_, value)) in COLUMNS.iter().enumerate() {
            out.push_str(if place == 0 { "" } else { "," });
            if let Some(value) = value(&row).filter(|value| value.is_finite()) {
                let _ = write!(out, "{value}");
            }
        }
        out.push_str("\r\n");
    }
    out
}

/// The series as NDJSON. Beside the columns of the CSV each line has `errors`, the failed
/// exchanges by reason.
///
/// # Panics
/// Never: counts by reason are a map with string keys.
#[must_use]
pub fn ndjson(state: &State) -> String {
    let mut out = String::new();
    for row in rows(state) {
        out.push('{');
        for (name, value) in COLUMNS {
            let _ = match value(&row).filter(|value| value.is_finite()) {
                Some(value) => write!(out, "\"{name}\":{value},"),
                None => write!(out, "\"{name}\":null,"),
            };
        }
        let errors = serde_json::to_string(&row.interval.errors)
            .expect("a map with string keys and whole numbers is JSON");
        let _ = writeln!(out, "\"errors\":{errors}}}");
    }
    out
}

fn rows(state: &State) -> impl Iterator<Item = Row<'_>> {
    let started_ms = state.started.as_ref().map_or(0, |started| started.at_unix_ms);
    let (mut points, mut phases) = (state.points.iter().peekable(), state.phases.iter().peekable());
    let mut phase = None;
    let mut before_ms = 0;
    state.intervals.iter().map(move |At { t_ms, value }| {
        let end_ms = *t_ms;
        let start_ms = before_ms.max(end_ms.saturating_sub(value.duration_ms.ceil() as u64));
        let mut memory = None;
        while let Some(point) = points.next_if(|point| point.t_ms <= end_ms) {
            memory = (point.t_ms > start_ms).then_some(&point.value);
        }
        while let Some(mark) = phases.next_if(|mark| mark.t_ms < end_ms) {
            if mark.value.phase == Phase::Load {
                phase = Some(&mark.value);
            }
        }
        before_ms = end_ms;
        let at_unix_ms = if started_ms > 0 { started_ms + end_ms } else { 0 };
        Row { end_ms, at_unix_ms, interval: value, memory, phase }
    })
}
