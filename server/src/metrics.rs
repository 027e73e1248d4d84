//! The server's own numbers.
//! In: what happens, one atomic addition each. Out: text in Prometheus' exposition format 0.0.4,
//! with the census of the probe.
//! Leaves to others: when it is asked for (`rest`).

mod durations;
mod page;
mod process;

use durations::Durations;
use ebbtide_probe::{Census, requests_in_flight};
use page::Page;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a connection carries now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    Http,
    WebSocket,
}

impl Transport {
    /// All of them, as they are counted.
    pub(crate) const ALL: [Self; 2] = [Self::Http, Self::WebSocket];

    /// As the metrics name it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
        }
    }
}

/// What waits for the database, and its connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pool {
    pub(crate) connections: usize,
    /// Of them, those at work.
    pub(crate) busy: usize,
    /// Reads and writes that wait for one.
    pub(crate) waiting: usize,
}

/// Why somebody who wanted to connect is not connected.
pub(crate) const CONNECT_ERRORS: [&str; 7] =
    ["full", "address", "rate", "tls", "handshake", "origin", "broken"];

/// How many of them, from the first, are refused for a limit.
const ABOVE_LIMIT: usize = 3;

/// What somebody asked too much of.
pub(crate) const LIMITED: [&str; 3] = ["request", "login", "event"];

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    connections: AtomicU64,
    /// Open now, by transport.
    open: [AtomicU64; Transport::ALL.len()],
    connect_errors: [AtomicU64; CONNECT_ERRORS.len()],
    limited: [AtomicU64; LIMITED.len()],
    durations: Durations,
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
    /// Bytes that wait for clients in rooms: of all, and of the one that has most.
    pub(crate) queued: (usize, usize),
    /// Statements run by the database.
    pub(crate) queries: u64,
    /// Its connections, and what waits for them.
    pub(crate) pool: Pool,
    /// Addresses and accounts whose rates are remembered.
    pub(crate) buckets: usize,
    pub(crate) is_draining: bool,
    /// Notifications kept, and occasions that nobody was told of.
    pub(crate) notices: (u64, u64),
    /// Small pictures, by what became of them.
    pub(crate) jobs: [(&'static str, u64); 3],
    pub(crate) uptime: Duration,
}

impl Metrics {
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// A connection that was not to be, for one of [`CONNECT_ERRORS`].
    pub(crate) fn refused(&self, reason: &str) {
        if let Some(at) = CONNECT_ERRORS.iter().position(|&one| one == reason) {
            self.connect_errors[at].fetch_add(1, Relaxed);
        }
    }

    /// Somebody asked too much of one of [`LIMITED`].
    pub(crate) fn limited(&self, what: &str) {
        if let Some(at) = LIMITED.iter().position(|&one| one == what) {
            self.limited[at].fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn opened(&self, transport: Transport) {
        self.open[transport as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn closed(&self, transport: Transport) {
        self.open[transport as usize].fetch_sub(1, Relaxed);
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

    /// A request that was answered: the template of its route, its method, its status.
    pub(crate) fn request(&self, (route, method): (&str, &str), status: u16, took: Duration) {
        self.durations.add(route, method, took);
        let class = usize::from(status / 100).clamp(1, self.requests.len()) - 1;
        self.requests[class].fetch_add(1, Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.request_nanos.fetch_add(nanos, Relaxed);
    }

    /// All numbers as text.
    pub(crate) fn render(&self, gauges: Gauges) -> String {
        let mut page = Page(String::with_capacity(16 << 10));
        let count = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        page.one(
            "ebbtide_connections_total",
            "counter",
            "TCP connections",
            count(&self.connections),
        );
        let refused = self.connect_errors.iter().take(ABOVE_LIMIT).map(count).sum();
        page.one("ebbtide_connections_refused_total", "counter", "Above the limit", refused);
        self.render_clients(&mut page, &gauges);
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
        let (all, most) = gauges.queued;
        page.one("ebbtide_queued_bytes", "gauge", "Waiting for clients in rooms", all as f64);
        let name = "ebbtide_queued_bytes_max";
        page.one(name, "gauge", "Waiting for the client with most", most as f64);
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
        render_database(&mut page, gauges.queries, gauges.pool);
        render_work(&mut page, gauges.notices, gauges.jobs);
        let uptime = gauges.uptime.as_secs_f64();
        page.one("ebbtide_uptime_seconds", "gauge", "Since the start", uptime);
        page.census(&Census::count());
        page.heap();
        page.process();
        page.0
    }

    fn render_clients(&self, page: &mut Page, gauges: &Gauges) {
        let count = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        let open = Transport::ALL.iter().map(|&one| (one.word(), count(&self.open[one as usize])));
        let head = ("ebbtide_connections_open", "gauge", "Open connections by what they carry");
        page.each(head, "transport", open);
        let errors = CONNECT_ERRORS.iter().zip(&self.connect_errors);
        let errors = errors.map(|(&reason, counter)| (reason, count(counter)));
        let head = ("ebbtide_connect_errors_total", "counter", "Connections not to be, by reason");
        page.each(head, "reason", errors);
        let limited = LIMITED.iter().zip(&self.limited);
        let limited = limited.map(|(&what, counter)| (what, count(counter)));
        page.each(("ebbtide_limited_total", "counter", "Refused as too many"), "what", limited);
        let buckets = gauges.buckets as f64;
        page.one("ebbtide_limit_buckets", "gauge", "Addresses and accounts remembered", buckets);
        let draining = f64::from(u8::from(gauges.is_draining));
        page.one("ebbtide_draining", "gauge", "1 while the server stops", draining);
        let name = "ebbtide_request_duration_seconds";
        page.head(name, "histogram", "Time to the head of the answer, by route");
        self.durations.each(|route, method, series| page.duration(name, (route, method), series));
    }
}

/// What is done in the background.
fn render_work(page: &mut Page, (kept, lost): (u64, u64), jobs: [(&str, u64); 3]) {
    page.head("ebbtide_notifications_total", "counter", "Notifications, by what became");
    page.line("ebbtide_notifications_total", "{became=\"kept\"}", kept as f64);
    page.line("ebbtide_notifications_total", "{became=\"lost\"}", lost as f64);
    page.head("ebbtide_small_pictures_total", "counter", "Small pictures, by what became");
    for (became, count) in jobs {
        let label = format!("{{became=\"{became}\"}}");
        page.line("ebbtide_small_pictures_total", &label, count as f64);
    }
}

fn render_database(page: &mut Page, queries: u64, pool: Pool) {
    page.one("ebbtide_database_queries_total", "counter", "Statements run", queries as f64);
    let states =
        [("busy", pool.busy as f64), ("idle", pool.connections.saturating_sub(pool.busy) as f64)];
    let head = ("ebbtide_database_connections", "gauge", "Connections to the database");
    page.each(head, "state", states);
    let waiting = pool.waiting as f64;
    page.one("ebbtide_database_waiting", "gauge", "Reads and writes that wait", waiting);
}
