//! The server's own numbers.
//! In: what happens, one atomic addition each. Out: text in Prometheus' exposition format 0.0.4,
//! with the census of the probe.
//! Leaves to others: when it is asked for (`rest`).

use ebbtide_probe::{Census, Kind, requests_in_flight};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    connections: AtomicU64,
    refused: AtomicU64,
    sockets_opened: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    message_errors: AtomicU64,
    slow: AtomicU64,
    silent: AtomicU64,
    receipts: AtomicU64,
    receipts_late: AtomicU64,
    /// By first digit of the status, from 1.
    requests: [AtomicU64; 5],
    request_nanos: AtomicU64,
}

/// Numbers that are looked up when they are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauges {
    pub(crate) sessions: usize,
    pub(crate) rooms: usize,
    /// Statements run by the database.
    pub(crate) queries: u64,
    pub(crate) uptime: Duration,
}

impl Metrics {
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn socket_opened(&self) {
        self.sockets_opened.fetch_add(1, Relaxed);
    }

    pub(crate) fn message_in(&self) {
        self.messages_in.fetch_add(1, Relaxed);
    }

    pub(crate) fn messages_out(&self, count: usize) {
        self.messages_out.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn message_error(&self) {
        self.message_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn slow(&self) {
        self.slow.fetch_add(1, Relaxed);
    }

    pub(crate) fn silent(&self) {
        self.silent.fetch_add(1, Relaxed);
    }

    pub(crate) fn receipt(&self, in_time: bool) {
        if in_time { &self.receipts } else { &self.receipts_late }.fetch_add(1, Relaxed);
    }

    pub(crate) fn request(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, self.requests.len()) - 1;
        self.requests[class].fetch_add(1, Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.request_nanos.fetch_add(nanos, Relaxed);
    }

    /// All numbers as text.
    pub(crate) fn render(&self, gauges: Gauges) -> String {
        let mut page = Page(String::with_capacity(4_096));
        let count = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        page.one(
            "ebbtide_connections_total",
            "counter",
            "TCP connections",
            count(&self.connections),
        );
        let refused = count(&self.refused);
        page.one("ebbtide_connections_refused_total", "counter", "Above the limit", refused);
        let opened = count(&self.sockets_opened);
        page.one("ebbtide_websockets_opened_total", "counter", "WebSockets opened", opened);
        page.one("ebbtide_sessions", "gauge", "Sessions registered", gauges.sessions as f64);
        page.one("ebbtide_rooms", "gauge", "Rooms", gauges.rooms as f64);
        page.one("ebbtide_messages_in_total", "counter", "From clients", count(&self.messages_in));
        let out = count(&self.messages_out);
        page.one("ebbtide_messages_out_total", "counter", "Queued for clients", out);
        let errors = count(&self.message_errors);
        page.one("ebbtide_message_errors_total", "counter", "Answered with an error", errors);
        page.one("ebbtide_slow_clients_total", "counter", "Closed as too slow", count(&self.slow));
        let silent = count(&self.silent);
        page.one("ebbtide_silent_clients_total", "counter", "Given up as silent", silent);
        page.head("ebbtide_receipts_total", "counter", "Replies of echo, by whether fetched");
        page.line("ebbtide_receipts_total", "{fetched=\"yes\"}", count(&self.receipts));
        page.line("ebbtide_receipts_total", "{fetched=\"no\"}", count(&self.receipts_late));
        page.head("ebbtide_requests_total", "counter", "Requests by class of status");
        for (class, requests) in self.requests.iter().enumerate() {
            let label = format!("{{status=\"{}xx\"}}", class + 1);
            page.line("ebbtide_requests_total", &label, count(requests));
        }
        let seconds = count(&self.request_nanos) / 1e9;
        page.one("ebbtide_request_seconds_total", "counter", "Time in requests", seconds);
        let in_flight = requests_in_flight() as f64;
        page.one("ebbtide_requests_in_flight", "gauge", "Requests begun and not ended", in_flight);
        let queries = gauges.queries as f64;
        page.one("ebbtide_database_queries_total", "counter", "Statements run", queries);
        let uptime = gauges.uptime.as_secs_f64();
        page.one("ebbtide_uptime_seconds", "gauge", "Since the start", uptime);
        page.census(&Census::count());
        page.0
    }
}

/// The text as it grows.
struct Page(String);

impl Page {
    // Writing into a String cannot fail, so the results are let go.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}.\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn census(&mut self, census: &Census) {
        self.head("ebbtide_census_live", "gauge", "Live objects by kind");
        for kind in Kind::ALL {
            let live = census.kinds.get(kind.key()).map_or(0, |count| count.live);
            self.line("ebbtide_census_live", &format!("{{kind=\"{}\"}}", kind.key()), live as f64);
        }
    }
}
