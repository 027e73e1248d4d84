//! A run's figures for other systems while it goes on: each interval becomes samples, and those
//! the bytes of Prometheus remote write or of OTLP. In go events, out come bodies; sending them is
//! left to others.
//!
//! Counts are cumulative, as both systems want them; times are in seconds.

pub mod otlp;
pub mod remote_write;

use ebbtide_record::event::{Interval, Quantiles, RunStarted};
use std::collections::BTreeMap;

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the metric, with its unit.
    pub name: &'static str,
    /// What tells it from others of that name.
    pub labels: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
    /// It only ever grows.
    pub is_counter: bool,
}

/// The run that samples belong to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// When it began, Unix milliseconds: its identity.
    pub started_unix_ms: u64,
}

/// Adds intervals up.
#[derive(Clone, Debug, Default)]
pub struct Series {
    run: Run,
    counts: BTreeMap<(&'static str, String), u64>,
}

impl Series {
    /// A run began.
    pub fn begin(&mut self, started: &RunStarted) {
        self.run = Run { name: started.name.clone(), started_unix_ms: started.at_unix_ms };
    }

    /// The run that the samples belong to.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Adds an interval, and gives all that is known after it.
    pub fn add(&mut self, interval: &Interval) -> Vec<Sample> {
        let counts = [
            ("ebbtide_requests_total", interval.requests),
            ("ebbtide_iterations_total", interval.iterations),
            ("ebbtide_dropped_iterations_total", interval.dropped),
            ("ebbtide_messages_sent_total", interval.messages_sent),
            ("ebbtide_messages_received_total", interval.messages_received),
            ("ebbtide_sent_bytes_total", interval.bytes_sent),
            ("ebbtide_received_bytes_total", interval.bytes_received),
        ];
        for (name, count) in counts {
            *self.counts.entry((name, String::new())).or_default() += count;
        }
        for (reason, count) in &interval.errors {
            *self.counts.entry(("ebbtide_failed_total", reason.clone())).or_default() += count;
        }
        let mut samples: Vec<Sample> = self
            .counts
            .iter()
            .map(|((name, reason), count)| Sample {
                name,
                labels: if reason.is_empty() { vec![] } else { vec![("reason", reason.clone())] },
                value: *count as f64,
                is_counter: true,
            })
            .collect();
        let gauge = |name, value| Sample { name, labels: vec![], value, is_counter: false };
        samples.push(gauge("ebbtide_vus", interval.vus as f64));
        samples.push(gauge("ebbtide_generator_cpu_ratio", interval.generator_cpu));
        samples.push(gauge("ebbtide_late_start_p99_seconds", interval.late_start_p99_ms / 1e3));
        quantiles(&mut samples, "ebbtide_latency_seconds", Some(&interval.latency));
        quantiles(&mut samples, "ebbtide_corrected_seconds", interval.corrected.as_ref());
        quantiles(&mut samples, "ebbtide_delivery_seconds", interval.delivery.as_ref());
        samples
    }
}

fn quantiles(samples: &mut Vec<Sample>, name: &'static str, of: Option<&Quantiles>) {
    let Some(of) = of.filter(|of| of.count > 0) else { return };
    let values =
        [("0.5", of.p50), ("0.9", of.p90), ("0.99", of.p99), ("0.999", of.p999), ("1", of.max)];
    samples.extend(values.map(|(quantile, ms)| Sample {
        name,
        labels: vec![("quantile", quantile.to_owned())],
        value: ms / 1e3,
        is_counter: false,
    }));
}
