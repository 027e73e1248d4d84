//! Figures as text: Prometheus' exposition format 0.0.4.
//! In: names and values. Out: lines.
//! Leaves to others: what the figures are (`metrics`).

use super::durations::{BOUNDS, Series};
use super::process::Process;
use ebbtide_probe::{Census, HeapTotals, Kind};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// The text as it grows.
pub(super) struct Page(pub(super) String);

impl Page {
    // Writing into a String cannot fail, so the results are let go.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}.\n# TYPE {name} {kind}");
    }

    pub(super) fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    pub(super) fn census(&mut self, census: &Census) {
        self.head("ebbtide_census_live", "gauge", "Live objects by kind");
        for kind in Kind::ALL {
            let live = census.kinds.get(kind.key()).map_or(0, |count| count.live);
            self.line("ebbtide_census_live", &format!("{{kind=\"{}\"}}", kind.key()), live as f64);
        }
    }

    /// A line for each label's value.
    pub(super) fn each<'a>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, kind, help);
        for (word, value) in values {
            self.line(name, &format!("{{{label}=\"{word}\"}}"), value);
        }
    }

    /// One histogram of request durations.
    pub(super) fn duration(&mut self, name: &str, (route, method): (&str, &str), series: &Series) {
        let labels = format!("route=\"{route}\",method=\"{method}\"");
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(&series.counts) {
            below += count.load(Relaxed);
            let _ = writeln!(self.0, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        below += series.counts[BOUNDS.len()].load(Relaxed);
        let _ = writeln!(self.0, "{name}_bucket{{{labels},le=\"+Inf\"}} {below}");
        let seconds = series.nanos.load(Relaxed) as f64 / 1e9;
        let _ = writeln!(self.0, "{name}_sum{{{labels}}} {seconds}");
        let _ = writeln!(self.0, "{name}_count{{{labels}}} {below}");
    }

    pub(super) fn heap(&mut self) {
        let Some(heap) = HeapTotals::read() else { return };
        let kinds = [
            ("allocated", heap.allocated_bytes as f64),
            ("active", heap.active_bytes as f64),
            ("resident", heap.resident_bytes as f64),
            ("retained", heap.retained_bytes as f64),
        ];
        self.each(("ebbtide_heap_bytes", "gauge", "As jemalloc counts it"), "kind", kinds);
    }

    pub(super) fn process(&mut self) {
        let process = Process::read();
        let cpu = process.cpu_seconds;
        self.one("process_cpu_seconds_total", "counter", "User and system time", cpu);
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory", process.resident_bytes),
            ("process_threads", "Threads", process.threads),
            ("process_open_fds", "Open files", process.open_files),
            ("process_max_fds", "Open files at most", process.most_files),
        ] {
            if let Some(value) = value {
                self.one(name, "gauge", help, value as f64);
            }
        }
    }
}
