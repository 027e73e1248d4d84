//! What the link to the other processes did, in numbers.
//! In: what happens, one atomic addition each. Out: text in Prometheus' exposition format 0.0.4.
//! Leaves to others: when it is asked for (`rest`).

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    sent: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    found: AtomicU64,
    links: AtomicU64,
}

impl Numbers {
    pub(crate) fn sent(&self, count: usize) {
        self.sent.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn found(&self, count: usize) {
        self.found.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn linked(&self) {
        self.links.fetch_add(1, Relaxed);
    }

    /// All numbers as text; `others` is the number of other processes.
    pub(crate) fn render(&self, is_up: bool, others: usize) -> String {
        let mut text = String::new();
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        for (name, kind, help, value) in [
            ("link_up", "gauge", "Whether Redis is connected", u64::from(is_up)),
            ("others", "gauge", "Other processes that are heard of", others as u64),
            ("links_total", "counter", "Connections to Redis made", count(&self.links)),
            ("sent_total", "counter", "Entries told to the others", count(&self.sent)),
            ("received_total", "counter", "Entries of the others", count(&self.received)),
            ("dropped_total", "counter", "Entries that could not be told", count(&self.dropped)),
            ("found_total", "counter", "Events read from the store", count(&self.found)),
        ] {
            let name = format!("ebbtide_cluster_{name}");
            // Writing into a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }
}
