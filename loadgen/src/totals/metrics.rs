//! Metrics in k6's names and units out of the sums: whole ones, one per operation, and the
//! sub-metrics that thresholds ask for by tags. Pure.
//!
//! In: [`Totals`]. Out: [`Metrics`].

use super::{Totals, sum_trends};
use crate::plan::{Slot, SlotKind};
use crate::recorder::Trend;
use crate::threshold;
use ebbtide_record::{Metric, MetricType, Metrics, Values};
use hdrhistogram::Histogram;
use std::collections::BTreeSet;

/// Percentiles that every trend has.
const PERCENTILES: [f64; 4] = [90.0, 95.0, 99.0, 99.9];

/// Whole metrics with both tails and the standard deviation: what one exchange took.
const SPREAD_OF: [&str; 2] = ["http_req_duration", "ws_msg_rtt"];

/// The tails that autocannon shows.
const TAILS: [f64; 2] = [2.5, 97.5];

/// Trends by metric: name, the slots it is measured in, and what is summed.
const TRENDS: [(&str, SlotKind, &[Trend]); 20] = [
    ("http_req_duration", SlotKind::Http, &[Trend::Duration, Trend::DurationLong]),
    ("http_req_latency", SlotKind::Http, &[Trend::Latency]),
    // A reply that came in one piece was waited for all the time.
    ("http_req_waiting", SlotKind::Http, &[Trend::Duration, Trend::Waiting]),
    ("iteration_duration", SlotKind::Flow, &[Trend::Duration]),
    ("group_duration", SlotKind::Group, &[Trend::Duration]),
    ("iteration_latency", SlotKind::Flow, &[Trend::Latency]),
    ("late_start", SlotKind::Flow, &[Trend::LateStart]),
    ("ws_connecting", SlotKind::Connect, &[Trend::Duration]),
    ("ws_msg_rtt", SlotKind::Send, &[Trend::Duration]),
    ("ws_msg_wait", SlotKind::Await, &[Trend::Duration]),
    ("ws_ping", SlotKind::Ping, &[Trend::Duration]),
    ("ws_session_duration", SlotKind::Close, &[Trend::Session]),
    ("sio_connecting", SlotKind::SioConnect, &[Trend::Duration]),
    ("sio_upgrade_duration", SlotKind::SioConnect, &[Trend::Waiting]),
    ("sio_ack_duration", SlotKind::Emit, &[Trend::Duration]),
    ("sio_event_wait", SlotKind::SioAwait, &[Trend::Duration]),
    ("sio_session_duration", SlotKind::SioClose, &[Trend::Session]),
    ("sio_closing", SlotKind::SioClose, &[Trend::Duration]),
    ("delivery_latency", SlotKind::Listen, &[Trend::Delivery]),
    ("delivery_spread", SlotKind::Listen, &[Trend::Spread]),
];

/// Parts of an HTTP exchange that most exchanges have not got, and that count as 0 for those, as
/// in k6: what a kept connection does not wait for, what was written at once, what came in one
/// piece.
const PARTS: [(&str, Trend); 5] = [
    ("http_req_blocked", Trend::Blocked),
    ("http_req_connecting", Trend::Connecting),
    ("http_req_tls_handshaking", Trend::TlsHandshaking),
    ("http_req_sending", Trend::Sending),
    ("http_req_receiving", Trend::Receiving),
];

/// Which slots a metric is taken over.
type Wanted<'a> = &'a dyn Fn(&Slot) -> bool;

impl Totals {
    /// All metrics, in k6's names.
    pub(super) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::new();
        let asked = threshold::percentiles(&self.thresholds);
        let extra = |metric: &str| -> Vec<f64> {
            let same = asked.iter().filter(|(name, _)| name == metric);
            let tails = if SPREAD_OF.contains(&metric) { &TAILS[..] } else { &[] };
            same.map(|(_, percentile)| *percentile).chain(tails.iter().copied()).collect()
        };
        let names: BTreeSet<&str> = threshold::METRICS.iter().map(|(name, _)| *name).collect();
        for name in names {
            if let Some(metric) = self.metric(name, &|_| true, &extra(name)) {
                metrics.insert(name.to_owned(), metric);
            }
        }
        for name in self.operation_names() {
            let key = format!("http_req_duration{{name:{name}}}");
            let wanted = |slot: &Slot| slot.name == name;
            if let Some(metric) = self.metric("http_req_duration", &wanted, &extra(&key)) {
                metrics.insert(key, metric);
            }
        }
        for text in &self.thresholds {
            let Ok((name, mut tags)) = threshold::split_metric(&text.metric) else { continue };
            // A check is no slot: as in k6, its name is a tag of `checks` alone.
            let check = tags.iter().position(|(tag, _)| name == "checks" && tag == "check");
            let check = check.map(|place| tags.remove(place).1);
            let wanted = |slot: &Slot| {
                tags.iter().all(|(tag, value)| slot.tags.get(tag).is_some_and(|it| it == value))
            };
            let metric = match (&check, name) {
                (Some(check), _) => self.checks_rate(&wanted, |name| name == check),
                (None, "disconnects") if !tags.is_empty() => self.disconnects_for(&tags),
                (None, _) => self.metric(name, &wanted, &extra(&text.metric)),
            };
            if let Some(metric) = metric {
                metrics.insert(text.metric.clone(), metric);
            }
        }
        self.add_disconnects(&mut metrics);
        metrics
    }

    /// Names of HTTP operations, when there is more than one to tell apart.
    fn operation_names(&self) -> BTreeSet<&str> {
        let http = self.slots.iter().filter(|slot| slot.kind == SlotKind::Http);
        let names: BTreeSet<&str> = http.map(|slot| slot.name.as_str()).collect();
        if names.len() > 1 { names } else { BTreeSet::new() }
    }

    /// One metric over the wanted slots; none when nothing of it was measured.
    fn metric(&self, name: &str, wanted: Wanted<'_>, extra: &[f64]) -> Option<Metric> {
        if let Some((_, kind, trends)) = TRENDS.iter().find(|(known, ..)| *known == name) {
            let histogram = self.sum(*kind, wanted, trends);
            return (!histogram.is_empty()).then(|| trend(&histogram, extra));
        }
        if let Some((_, part)) = PARTS.iter().find(|(known, _)| *known == name) {
            return self.part(*part, wanted, extra);
        }
        let counters = &self.recorder.counters;
        let seconds = self.measured_ns() as f64 / 1e9;
        let counter = |count: u64| (count > 0).then(|| Metric::counter(count as f64, seconds));
        let data = |count: u64| {
            let metric = Metric::counter(count as f64, seconds);
            (count > 0).then(|| Metric { contains: "data".to_owned(), ..metric })
        };
        let failed = |kind| {
            let (count, failed) = self.counts(kind, wanted);
            (count > 0).then(|| Metric::rate(failed, count - failed))
        };
        match name {
            "http_reqs" => counter(self.counts(SlotKind::Http, wanted).0),
            "http_req_failed" => failed(SlotKind::Http),
            "http_reconnects" => counter(counters.http_reconnects),
            "iterations" => counter(self.counts(SlotKind::Flow, wanted).0),
            "dropped_iterations" => counter(counters.dropped),
            "interrupted_iterations" => counter(counters.interrupted),
            "vus" => Some(gauge(self.vus, (self.vus_low.min(self.vus_high), self.vus_high))),
            "vus_max" => Some(gauge(self.vus_max, (self.vus_max, self.vus_max))),
            "generator_threads" => {
                let threads = self.threads as u64;
                Some(gauge(threads, (threads, threads)))
            }
            "checks" => self.checks_rate(wanted, |_| true),
            "data_sent" => data(counters.bytes_sent),
            "data_received" => data(counters.bytes_received),
            "ws_connect_failed" => failed(SlotKind::Connect),
            "ws_msg_failed" => failed(SlotKind::Send),
            "sio_connect_failed" => failed(SlotKind::SioConnect),
            "sio_emit_failed" => failed(SlotKind::Emit),
            "ws_closing" => {
                let histogram = self.sum(SlotKind::Close, wanted, &[Trend::Duration]);
                (!histogram.is_empty()).then(|| trend(&histogram, extra))
            }
            other => self.realtime(other, wanted),
        }
    }

    fn sum(&self, kind: SlotKind, wanted: Wanted<'_>, trends: &[Trend]) -> Histogram<u64> {
        let chosen = |place: usize| self.slots[place].kind == kind && wanted(&self.slots[place]);
        sum_trends(&self.recorder, chosen, trends)
    }

    /// Exchanges of a kind, and how many of them failed.
    fn counts(&self, kind: SlotKind, wanted: Wanted<'_>) -> (u64, u64) {
        let mut sums = (0, 0);
        for (slot, record) in self.slots.iter().zip(&self.recorder.slots) {
            if slot.kind == kind && wanted(slot) {
                sums.0 += record.count;
                sums.1 += record.failed;
            }
        }
        sums
    }

    fn checks_rate(&self, wanted: Wanted<'_>, named: impl Fn(&str) -> bool) -> Option<Metric> {
        let (mut passes, mut fails) = (0, 0);
        for (check, count) in self.checks.iter().zip(&self.recorder.checks) {
            if named(&check.name) && wanted(&self.slots[check.slot]) {
                passes += count.passes;
                fails += count.fails;
            }
        }
        (passes + fails > 0).then(|| Metric::rate(passes, fails))
    }

    /// A part of HTTP exchanges, which took no time in those that have not got it.
    fn part(&self, part: Trend, wanted: Wanted<'_>, extra: &[f64]) -> Option<Metric> {
        let mut all = self.sum(SlotKind::Http, wanted, &[part]);
        let (count, _) = self.counts(SlotKind::Http, wanted);
        if all.is_empty() && count == 0 {
            return None;
        }
        // Zero is within the bounds of every histogram.
        let recorded = all.record_n(0, count.saturating_sub(all.len()));
        debug_assert!(recorded.is_ok());
        Some(trend(&all, extra))
    }
}

fn gauge(value: u64, (low, high): (u64, u64)) -> Metric {
    let values = [("value", value as f64), ("min", low as f64), ("max", high as f64)];
    Metric::of(MetricType::Gauge, "default", &values)
}

/// A trend in milliseconds.
fn trend(histogram: &Histogram<u64>, extra: &[f64]) -> Metric {
    let ms = |us: u64| us as f64 / 1e3;
    let mut values = Values::from([
        ("avg".to_owned(), histogram.mean() / 1e3),
        ("min".to_owned(), ms(histogram.min())),
        ("med".to_owned(), ms(histogram.value_at_quantile(0.5))),
        ("max".to_owned(), ms(histogram.max())),
        ("count".to_owned(), histogram.len() as f64),
    ]);
    for percentile in PERCENTILES.iter().chain(extra) {
        let value = ms(histogram.value_at_percentile(*percentile));
        values.insert(format!("p({percentile})"), value);
    }
    if TAILS.iter().all(|tail| extra.contains(tail)) {
        values.insert("stdev".to_owned(), histogram.stdev() / 1e3);
    }
    Metric {
        metric_type: MetricType::Trend,
        contains: "time".to_owned(),
        values,
        ..Metric::default()
    }
}
