//! Runs made by hand, for tests and for the demo report: the events of a run with a leak, of one
//! without, of one that was killed, of plain load, and of one whose every name is hostile. The
//! same bytes each time; noise comes from a seeded generator.

#![allow(dead_code, reason = "each test and each example uses some of the runs")]

use ebbtide_record::event::{
    Body, CheckCount, Event, Interval, MemoryPoint, MetricsSoFar, Missed, Phase, PhaseStart,
    Quantiles, RoundKind, RunEnded, RunStarted, SiteLive, SnapshotTaken, Warning,
};
use ebbtide_record::metric::{Metrics, ThresholdResult};
use ebbtide_record::summary::GENERATOR_SATURATED;
use ebbtide_record::verdict::{FrameLine, RoundPoint, SiteVerdict};
use ebbtide_record::{
    CensusCount, Estimate, Kind, MemoryVerdict, Metric, MetricType, State, Verdict,
};
use std::collections::BTreeMap;

/// Seconds of load in a round.
const LOAD_S: u64 = 6;
/// Operations in a round, of each sort.
const CLOSES: u64 = 2_000;
const LOGS: u64 = 18_000;
/// Live bytes that are always there.
const BASE_BYTES: f64 = 21_400_000.0;

/// The sites: function, file, line, kind, bytes at rest, bytes kept per close.
const SITES: [(&str, &str, u32, Kind, f64, f64); 7] = [
    ("hub::Hub::subscribe", "server/src/hub.rs", 120, Kind::Listener, 0.0, 1_024.0),
    ("room::Ring::push", "server/src/room.rs", 88, Kind::Cache, 8_200_000.0, 0.0),
    ("session::Sessions::insert", "server/src/session.rs", 54, Kind::Connection, 2_100_000.0, 0.0),
    ("log::Store::append", "server/src/log.rs", 203, Kind::Cache, 6_300_000.0, 0.0),
    ("heartbeat::spawn", "server/src/heartbeat.rs", 31, Kind::Timer, 410_000.0, 0.0),
    ("http::route", "server/src/http.rs", 17, Kind::Context, 260_000.0, 0.0),
    ("tls::Config::load", "server/src/tls.rs", 9, Kind::Other, 4_130_000.0, 0.0),
];

/// A log under construction.
struct Log {
    events: Vec<Event>,
    t_ms: u64,
    noise: u64,
}

impl Log {
    fn new() -> Self {
        Self { events: Vec::new(), t_ms: 0, noise: 7 }
    }

    fn push(&mut self, body: Body) {
        let seq = self.events.len() as u64;
        self.events.push(Event { v: 1, seq, t_ms: self.t_ms, body });
    }

    /// From -1 to 1.
    fn noise(&mut self) -> f64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.noise >> 33) as f64 / f64::from(1_u32 << 31)) * 2.0 - 1.0
    }
}

/// A run with a leak of 1,024 bytes per closed connection: `leaking`, exit code 98.
pub(crate) fn leak() -> Vec<Event> {
    watched(true)
}

/// The mended twin: `steady`, exit code 0.
pub(crate) fn clean() -> Vec<Event> {
    watched(false)
}

/// The first half of [`leak`], as a kill leaves it.
pub(crate) fn killed() -> Vec<Event> {
    let mut events = leak();
    events.truncate(events.len() / 2);
    events
}

/// Load alone, open model, with a failed threshold, errors and a saturated generator.
pub(crate) fn load_only() -> Vec<Event> {
    let mut log = Log::new();
    log.push(Body::RunStarted(Box::new(RunStarted {
        name: "rest under rising load".to_owned(),
        base: "http://127.0.0.1:8080".to_owned(),
        command: words(&["ebb", "run", "scenarios/rest.toml"]),
        duration_s: Some(40.0),
        ..started()
    })));
    log.push(phase(0, RoundKind::New, Phase::Load));
    for second in 0..40_u64 {
        log.t_ms += 1_000;
        let offered = 1_000 + second * 100;
        let done = offered.min(4_300) - (log.noise() * 20.0).abs() as u64;
        let strain = 1.0 + (second as f64 / 12.0).powi(3) * 0.8;
        let mut interval = interval(&mut log, done, strain);
        interval.iterations = done;
        interval.offered = Some(offered);
        interval.corrected = Some(scaled(interval.latency, 1.0 + strain / 3.0));
        interval.dropped = offered.saturating_sub(4_400);
        interval.generator_cpu = (0.3 + second as f64 * 0.02).min(0.97);
        interval.late_start_p99_ms = 0.2 * strain;
        if second > 30 {
            interval.errors.insert("timeout".to_owned(), second);
            interval.errors.insert("connection reset".to_owned(), second / 4);
        }
        log.push(Body::Interval(Box::new(interval)));
    }
    log.push(Body::Warning(Warning {
        code: GENERATOR_SATURATED.to_owned(),
        message: "the generator used 97 % of its 2 threads in the last 8 s".to_owned(),
        advice: "give it more threads (--threads), or ask for less than 4,300 per second"
            .to_owned(),
    }));
    let mut metrics = metrics(120_411, 394, 40.0);
    let mut corrected = trend(120_411.0, 4.1);
    corrected.thresholds.insert("p(99) < 10".to_owned(), ThresholdResult { ok: false });
    metrics.metrics.insert("http_req_latency".to_owned(), corrected);
    metrics.errors = counts(&[("timeout", 315), ("connection reset", 79)]);
    log.push(Body::Metrics(metrics));
    log.push(Body::RunEnded(RunEnded {
        exit_code: 95,
        exit_codes: vec![95, 99],
        ..RunEnded::default()
    }));
    log.events
}

/// Every name that comes from outside tries to leave its place.
pub(crate) fn hostile() -> Vec<Event> {
    const EVIL: &str = "</script><img src=x onerror=alert(1)>\"'&\u{1b}[2J";
    let mut events = leak();
    for event in &mut events {
        match &mut event.body {
            Body::RunStarted(started) => {
                started.name = EVIL.to_owned();
                started.base = EVIL.to_owned();
                started.version = EVIL.to_owned();
                started.command = vec![EVIL.to_owned()];
                started.target_command = vec![EVIL.to_owned()];
                started.host = BTreeMap::from([(EVIL.to_owned(), EVIL.to_owned())]);
            }
            Body::Metrics(metrics) => {
                metrics.errors.insert(EVIL.to_owned(), 3);
                metrics.checks.insert(EVIL.to_owned(), CheckCount { passes: 1, fails: 2 });
                metrics.metrics.insert(format!("x{{name:{EVIL}}}"), trend(3.0, 1.0));
            }
            Body::Interval(interval) => {
                interval.errors.insert(EVIL.to_owned(), 1);
            }
            Body::Snapshot(taken) => {
                taken.file = EVIL.to_owned();
                for site in &mut taken.sites {
                    site.function = EVIL.to_owned();
                }
            }
            Body::Verdict(verdict) => {
                verdict.reasons = vec![EVIL.to_owned()];
                for site in &mut verdict.sites {
                    site.function = EVIL.to_owned();
                    site.file = EVIL.to_owned();
                    site.growth_per_op.operation = EVIL.to_owned();
                    site.reasons = vec![EVIL.to_owned()];
                    site.stack = vec![FrameLine {
                        function: EVIL.to_owned(),
                        file: EVIL.to_owned(),
                        line: 1,
                        own: true,
                    }];
                }
            }
            Body::RunEnded(ended) => ended.reason = EVIL.to_owned(),
            _ => {}
        }
    }
    events.push(Event {
        body: Body::Warning(Warning {
            code: EVIL.to_owned(),
            message: EVIL.to_owned(),
            advice: EVIL.to_owned(),
        }),
        ..Event::default()
    });
    events.push(Event {
        body: Body::Missed(Missed { what: EVIL.to_owned(), reason: EVIL.to_owned() }),
        ..Event::default()
    });
    events
}

/// The fold of a run.
pub(crate) fn state(events: &[Event]) -> State {
    State::from_events(events)
}

fn watched(leaks: bool) -> Vec<Event> {
    let mut log = Log::new();
    let scenario = if leaks { "leak-listener" } else { "clean-listener" };
    log.push(Body::RunStarted(Box::new(RunStarted {
        name: scenario.to_owned(),
        command: words(&["ebb", "run", &format!("scenarios/{scenario}.toml")]),
        target_command: words(if leaks {
            &["ebb", "serve", "--port", "41233", "--fault", "listener"]
        } else {
            &["ebb", "serve", "--port", "41233"]
        }),
        target_pid: Some(48_113),
        warmup_rounds: 2,
        rounds: 8,
        max_rounds: 32,
        ..started()
    })));
    let mut rounds = Vec::new();
    snapshot(&mut log, leaks, None, RoundKind::Warmup);
    for round in 0..10_u32 {
        let kind = match round {
            0 | 1 => RoundKind::Warmup,
            5 | 8 => RoundKind::Replay,
            _ => RoundKind::New,
        };
        rounds.push(drive(&mut log, leaks, round, kind));
    }
    let mut metrics = metrics(CLOSES * 20 + LOGS * 10, 3, 60.0);
    metrics.operations = counts(&[
        ("POST /api/v1/log", LOGS * 10),
        ("close /ws", CLOSES * 10),
        ("connect /ws", CLOSES * 10),
    ]);
    metrics.errors = counts(&[("timeout", 3)]);
    log.push(Body::Metrics(metrics));
    log.push(Body::Verdict(Box::new(verdict(leaks, rounds))));
    let exit_code = if leaks { 98 } else { 0 };
    log.push(Body::RunEnded(RunEnded {
        exit_code,
        exit_codes: vec![exit_code],
        ..RunEnded::default()
    }));
    log.events
}

fn drive(log: &mut Log, leaks: bool, round: u32, kind: RoundKind) -> RoundPoint {
    log.push(phase(round, kind, Phase::Load));
    for second in 0..LOAD_S {
        log.t_ms += 1_000;
        let spread = (log.noise() * 120.0) as i64;
        let requests = ((LOGS + 2 * CLOSES) / LOAD_S).saturating_add_signed(spread);
        let mut interval = interval(log, requests, 1.0);
        if round == 6 && second == 3 {
            interval.errors.insert("timeout".to_owned(), 3);
            interval.latency = scaled(interval.latency, 6.0);
        }
        let done = (second + 1) as f64 / LOAD_S as f64;
        log.push(Body::Interval(Box::new(interval)));
        memory_point(log, leaks, f64::from(round) + done, 64);
    }
    log.push(phase(round, kind, Phase::Drain));
    log.t_ms += 200;
    log.push(phase(round, kind, Phase::Settle));
    log.t_ms += 700;
    memory_point(log, leaks, f64::from(round + 1), 0);
    log.push(phase(round, kind, Phase::Snapshot));
    log.t_ms += 100;
    let live_bytes = snapshot(log, leaks, Some(round), kind);
    RoundPoint {
        index: round,
        phase: kind,
        operations: counts(&[
            ("POST /api/v1/log", LOGS),
            ("close /ws", CLOSES),
            ("connect /ws", CLOSES),
        ]),
        live_bytes,
        rss_bytes: Some(rss(leaks, f64::from(round + 1))),
        busy_bytes: Some(live_bytes + 3_400_000),
        settled_ms: 700,
        snapshot: format!("snapshots/heapdump-48113-{}.pb.gz", round + 2),
    }
}

/// Live bytes of a site after so many rounds.
fn site_bytes(place: usize, leaks: bool, rounds: f64) -> f64 {
    let (_, _, _, kind, at_rest, per_close) = SITES[place];
    let fill = if kind == Kind::Cache { 1.0 - (-rounds * 1.6).exp() } else { 1.0 };
    let growth = if leaks { per_close * CLOSES as f64 * rounds } else { per_close * 40.0 };
    // A ripple by place and round, as sampling makes it.
    let ripple = ((rounds * 7.3 + place as f64 * 2.1).sin()) * 0.006 * (at_rest + growth);
    (at_rest * fill + growth + ripple).max(0.0)
}

fn live(leaks: bool, rounds: f64) -> f64 {
    let sites: f64 = (0..SITES.len()).map(|place| site_bytes(place, leaks, rounds)).sum();
    (sites + BASE_BYTES / 12.0).round()
}

fn rss(leaks: bool, rounds: f64) -> u64 {
    (live(leaks, rounds) * 1.22 + 34_000_000.0).round() as u64
}

fn memory_point(log: &mut Log, leaks: bool, rounds: f64, connections: u64) {
    let busy = if connections > 0 { 3_400_000.0 } else { 0.0 };
    let jitter = (log.noise() * 120_000.0).round();
    log.push(Body::Memory(Box::new(MemoryPoint {
        rss_bytes: Some(rss(leaks, rounds) + busy as u64),
        live_bytes: Some((live(leaks, rounds) + busy + jitter) as u64),
        in_flight: Some(connections / 3),
        census: census(leaks, rounds, connections),
    })));
}

fn census(leaks: bool, rounds: f64, connections: u64) -> BTreeMap<Kind, CensusCount> {
    let closed = (CLOSES as f64 * rounds) as u64;
    let count = |live: u64, created: u64| CensusCount { live, created, dropped: created - live };
    let kept = if leaks { closed } else { 0 };
    BTreeMap::from([
        (Kind::Connection, count(connections, closed + connections)),
        (Kind::Listener, count(kept + connections, closed + connections)),
        (Kind::Timer, count(connections + 2, closed + connections + 2)),
        (Kind::Task, count(2 * connections + 9, 2 * (closed + connections) + 9)),
    ])
}

fn snapshot(log: &mut Log, leaks: bool, round: Option<u32>, kind: RoundKind) -> u64 {
    let rounds = round.map_or(0.0, |round| f64::from(round + 1));
    let sites = SITES
        .iter()
        .enumerate()
        .filter(|(place, _)| site_bytes(*place, leaks, rounds) > 0.0)
        .map(|(place, (function, file, line, kind, _, _))| {
            let bytes = site_bytes(place, leaks, rounds).round();
            SiteLive {
                id: format!("{:016x}", 0x5eed_0000 + place),
                function: (*function).to_owned(),
                file: (*file).to_owned(),
                line: *line,
                kind: *kind,
                live_bytes: bytes,
                live_objects: Some((bytes / 512.0).round()),
            }
        })
        .collect();
    let done = rounds as u64;
    let live_bytes = live(leaks, rounds) as u64;
    let index = round.map_or(0, |round| round + 1);
    log.push(Body::Snapshot(Box::new(SnapshotTaken {
        index,
        round,
        kind,
        file: format!("snapshots/heapdump-48113-{}.pb.gz", index + 1),
        operations: counts(&[
            ("POST /api/v1/log", LOGS * done),
            ("close /ws", CLOSES * done),
            ("connect /ws", CLOSES * done),
        ]),
        live_bytes,
        live_objects: Some(live_bytes / 480),
        rss_bytes: Some(rss(leaks, rounds)),
        busy_bytes: round.map(|_| live_bytes + 3_400_000),
        settled_ms: 700,
        unsettled: false,
        sample_interval_bytes: 65_536,
        census: census(leaks, rounds, 0),
        sites,
    })));
    live_bytes
}

fn verdict(leaks: bool, rounds: Vec<RoundPoint>) -> MemoryVerdict {
    let mut sites: Vec<_> = (0..SITES.len()).map(|place| site(place, leaks)).collect();
    if !leaks {
        sites.remove(0);
    }
    MemoryVerdict {
        verdict: if leaks { Verdict::Leaking } else { Verdict::Steady },
        detectable_bytes_per_op: Some(9.4),
        detectable: BTreeMap::from([
            ("POST /api/v1/log".to_owned(), 9.4),
            ("close /ws".to_owned(), 212.0),
        ]),
        limits: BTreeMap::from([("*".to_owned(), 16.0), ("close /ws".to_owned(), 512.0)]),
        looks: 1,
        undecided: false,
        rounds,
        sites,
        heap_growth: leaks.then(|| between(1_011.0, 1_046.0, 1_081.0)),
        classes: Vec::new(),
        reasons: Vec::new(),
    }
}

fn site(place: usize, leaks: bool) -> SiteVerdict {
    let (function, file, line, kind, _, per_close) = SITES[place];
    let leaking = leaks && per_close > 0.0;
    let verdict = match (leaking, kind) {
        (true, _) => Verdict::Leaking,
        (false, Kind::Cache) if leaks => Verdict::Warming,
        _ => Verdict::Steady,
    };
    let bytes = site_bytes(place, leaks, 10.0).round();
    SiteVerdict {
        id: format!("{:016x}", 0x5eed_0000 + place),
        function: function.to_owned(),
        file: file.to_owned(),
        line,
        kind,
        kind_from: if leaking { "census" } else { "frames" }.to_owned(),
        verdict,
        growth_per_op: if leaking {
            between(1_004.0, 1_024.0, 1_044.0)
        } else {
            between(-3.5 - place as f64, 0.5 - place as f64, 4.5 - place as f64)
        },
        objects_per_op: Some(if leaking {
            between(0.99, 1.0, 1.01)
        } else {
            between(-0.01, 0.0, 0.01)
        }),
        growth_on_replay: leaking.then(|| between(980.0, 1_019.0, 1_058.0)),
        live_bytes: bytes as u64,
        live_objects: Some((bytes / 512.0).round() as u64),
        container_bytes: if leaking { 32_768 } else { 0 },
        p_value: if leaking { 2.3e-9 } else { 0.41 },
        reasons: if leaking {
            words(&[
                "grows by 1,024 bytes per close /ws on replayed input too",
                "the census counts 1.00 more listeners per close /ws",
                "nothing per POST /api/v1/log",
            ])
        } else {
            Vec::new()
        },
        series: (1..=10).map(|round| site_bytes(place, leaks, f64::from(round)).round()).collect(),
        stack: stack(function, file, line),
        ..SiteVerdict::default()
    }
}

fn stack(function: &str, file: &str, line: u32) -> Vec<FrameLine> {
    let frame = |function: &str, file: &str, line, own| FrameLine {
        function: function.to_owned(),
        file: file.to_owned(),
        line,
        own,
    };
    vec![
        frame("alloc::vec::Vec<T,A>::push", "alloc/src/vec/mod.rs", 2_442, false),
        frame(function, file, line, true),
        frame("ws::serve", "server/src/ws.rs", 77, true),
        frame(
            "tokio::runtime::task::raw::poll",
            "tokio-1.54.0/src/runtime/task/raw.rs",
            271,
            false,
        ),
        frame("server::main", "server/src/main.rs", 41, true),
    ]
}

fn between(low: f64, value: f64, high: f64) -> Estimate {
    Estimate { value, low, high, confidence: 0.95, operation: "close /ws".to_owned() }
}

fn started() -> RunStarted {
    RunStarted {
        version: "0.1.0".to_owned(),
        seed: 7,
        at_unix_ms: 1_767_225_600_000,
        base: "http://127.0.0.1:41233".to_owned(),
        host: BTreeMap::from([
            ("cores".to_owned(), "2".to_owned()),
            ("kernel".to_owned(), "Linux 6.1.0".to_owned()),
        ]),
        ..RunStarted::default()
    }
}

fn phase(round: u32, kind: RoundKind, phase: Phase) -> Body {
    Body::Phase(PhaseStart { round, kind, phase })
}

fn interval(log: &mut Log, requests: u64, strain: f64) -> Interval {
    let p50 = (0.9 + log.noise() * 0.08) * strain;
    Interval {
        duration_ms: 1_000.0,
        iterations: requests / 11,
        requests,
        vus: 64,
        messages_sent: requests / 5,
        messages_received: requests / 5,
        bytes_sent: requests * 180,
        bytes_received: requests * 240,
        latency: Quantiles {
            count: requests,
            mean: p50 * 1.1,
            p50,
            p90: p50 * 1.9,
            p99: p50 * (4.2 + log.noise()),
            p999: p50 * 9.5,
            max: p50 * 14.0,
        },
        generator_cpu: 0.31,
        late_start_p99_ms: 0.2,
        ..Interval::default()
    }
}

fn scaled(latency: Quantiles, by: f64) -> Quantiles {
    Quantiles {
        count: latency.count,
        mean: latency.mean * by,
        p50: latency.p50 * by,
        p90: latency.p90 * by,
        p99: latency.p99 * by,
        p999: latency.p999 * by,
        max: latency.max * by,
    }
}

fn metrics(requests: u64, failed: u64, seconds: f64) -> MetricsSoFar {
    let mut metrics = Metrics::new();
    let mut duration = trend(requests as f64, 1.0);
    duration.thresholds.insert("p(99) < 250".to_owned(), ThresholdResult { ok: true });
    metrics.insert("http_req_duration".to_owned(), duration);
    metrics.insert("http_req_duration{name:POST /api/v1/log}".to_owned(), trend(180_000.0, 0.9));
    metrics.insert("http_req_failed".to_owned(), Metric::rate(failed, requests - failed));
    metrics.insert("http_reqs".to_owned(), Metric::counter(requests as f64, seconds));
    metrics.insert("ws_msg_rtt".to_owned(), trend(44_000.0, 0.7));
    metrics.insert("ws_sessions".to_owned(), Metric::counter(20_000.0, seconds));
    let mut data = Metric::counter(requests as f64 * 240.0, seconds);
    data.contains = "data".to_owned();
    metrics.insert("data_received".to_owned(), data);
    metrics.insert("iterations".to_owned(), Metric::counter(20_000.0, seconds));
    let mut checks = Metric::rate(requests - failed, failed);
    checks.thresholds.insert("rate > 0.99".to_owned(), ThresholdResult { ok: true });
    metrics.insert("checks".to_owned(), checks);
    metrics.insert(
        "generator_threads".to_owned(),
        Metric::of(MetricType::Gauge, "default", &[("value", 2.0)]),
    );
    MetricsSoFar {
        metrics,
        checks: BTreeMap::from([
            ("status is 200".to_owned(), CheckCount { passes: requests - failed, fails: failed }),
            ("welcome within 2 s".to_owned(), CheckCount { passes: 20_000, fails: 0 }),
        ]),
        measured_ms: seconds * 1_000.0,
        ..MetricsSoFar::default()
    }
}

fn trend(count: f64, scale: f64) -> Metric {
    Metric::of(
        MetricType::Trend,
        "time",
        &[
            ("avg", 1.04 * scale),
            ("min", 0.21 * scale),
            ("med", 0.91 * scale),
            ("max", 31.7 * scale),
            ("p(90)", 1.72 * scale),
            ("p(95)", 2.31 * scale),
            ("p(99)", 4.02 * scale),
            ("p(99.9)", 9.87 * scale),
            ("count", count),
        ],
    )
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
