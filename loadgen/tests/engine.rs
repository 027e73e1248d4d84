//! The engine against a real server: what is counted is what the server saw.
//!
//! In: scenarios. Out: verdicts of `cargo test`. No test depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::{Engine, Pass, Plan, Quick, Scenario, Totals, hlog::HlogWriter, threshold};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use support::TestServer;

fn plan(base: &str, body: &str) -> Arc<Plan> {
    let text = format!("seed = 3\n[target]\nbase = \"{base}\"\n{body}");
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

fn flow(name: &str, executor: &str, steps: &str) -> String {
    format!("[flow.{name}]\n{executor}\nsteps = [\n{steps}\n]\n")
}

const ONCE: &str = "executor = \"per-vu-iterations\"\nvus = 1\niterations = 1";
const CLOSED: &str = "executor = \"constant-vus\"\nvus = 5\nduration = \"10s\"";

async fn drive(plan: &Arc<Plan>, pass: Pass) -> Totals {
    Engine::start(Arc::clone(plan), pass).unwrap().finish().await
}

fn counted(input_round: u32, threads: usize, counts: &[(&str, u64)]) -> Pass {
    let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    Pass { input_round, iterations: Some(counts), threads, ..Pass::default() }
}

#[tokio::test]
async fn replies_of_every_kind_are_read() {
    let server = TestServer::start();
    let table = [
        ("{ get = \"/\", check = { status = 200, body = \"ok\" } }", 200),
        ("{ get = \"/large\", check = { body = \"xxxx\" } }", 200),
        ("{ get = \"/chunked\", check = { body = \"hello, world\" } }", 200),
        ("{ get = \"/close\", check = { body = \"ok\" } }", 200),
        ("{ get = \"/until-close\", check = { body = \"until the end\" } }", 200),
        ("{ head = \"/\", check = { status = \"2xx\" } }", 200),
        ("{ get = \"/json\", check = { json = { \"/list/0/id\" = 7, token = \"t-1\" } } }", 200),
        (
            "{ post = \"/echo\", json = { a = \"q\\\"${vu}\" }, check = { json = { a = 'q\"0' } \
             } }",
            200,
        ),
        ("{ post = \"/echo\", form = { a = \"b c\" }, check = { body = \"a=b%20c\" } }", 200),
        ("{ get = \"/missing\", check = { status = 404 } }", 404),
    ];
    for (step, status) in table {
        // Twice on one user, so that the connection is reused or opened again.
        let steps = format!("{{ repeat = 2, steps = [{step}] }}");
        let plan = plan(&server.base, &flow("a", ONCE, &steps));
        let totals = drive(&plan, Pass { threads: 1, ..Pass::default() }).await;
        let so_far = totals.so_far();
        assert_eq!(so_far.metrics["http_reqs"].value("count"), Some(2.0), "{step}");
        assert_eq!(so_far.metrics["checks"].value("rate"), Some(1.0), "{step}: {so_far:?}");
        assert_eq!(so_far.errors.values().sum::<u64>(), if status < 400 { 0 } else { 2 }, "{step}");
        assert_eq!(so_far.metrics["http_req_duration"].value("count"), Some(2.0), "{step}");
        assert_eq!(so_far.metrics["http_req_waiting"].value("count"), Some(2.0), "{step}");
    }
}

#[tokio::test]
async fn failures_are_counted_by_reason() {
    let server = TestServer::start();
    let table = [
        ("{ get = \"/garbage\" }", "not a valid reply"),
        ("{ get = \"/hang\", timeout = \"100ms\" }", "timed out"),
        ("{ get = \"/missing\" }", "status 404"),
        (
            "{ connect = \"/ws\", as = \"r\" }, { await = { contains = \"never\", within = \
             \"100ms\" } }",
            "awaited message not received",
        ),
    ];
    for (steps, reason) in table {
        let plan = plan(&server.base, &flow("a", ONCE, steps));
        let totals = drive(&plan, Pass { threads: 1, ..Pass::default() }).await;
        assert_eq!(totals.so_far().errors, BTreeMap::from([(reason.to_owned(), 1)]), "{steps}");
    }
}

#[tokio::test]
async fn users_of_one_thread_do_not_disturb_each_other() {
    let server = TestServer::start();
    // Those that hang, lose their connection, or fill it are served by the loop that serves the
    // others, whose requests are plain bytes.
    let big = format!("{{ post = \"/echo\", body = \"{}\" }}", "x".repeat(3_000_000));
    let users = "executor = \"constant-vus\"\nvus = 7\nduration = \"600s\"";
    let text = flow("plain", users, "{ get = \"/\", name = \"plain\" }")
        + &flow("checked", users, "{ get = \"/json\", check = { status = 200 } }")
        + &flow("missing", users, "{ get = \"/missing\", check = { status = 200 } }")
        + &flow("closing", users, "{ get = \"/close\" }")
        + &flow("hanging", users, "{ get = \"/hang\", timeout = \"100ms\" }")
        + &flow("big", users, &big);
    let plan = plan(&server.base, &text);
    let counts = [
        ("plain", 7_000),
        ("checked", 700),
        ("missing", 70),
        ("closing", 70),
        ("hanging", 14),
        ("big", 14),
    ];
    let totals = drive(&plan, counted(0, 1, &counts)).await;
    let so_far = totals.so_far();
    let sent: u64 = counts.iter().map(|(_, count)| count).sum();
    assert_eq!(so_far.metrics["http_reqs"].value("count"), Some(sent as f64));
    assert_eq!(so_far.metrics["iterations"].value("count"), Some(sent as f64));
    assert_eq!(server.requests().len() as u64, sent);
    assert_eq!(so_far.metrics["http_req_duration"].value("count"), Some(sent as f64));
    let checks = &so_far.metrics["checks"];
    assert_eq!(checks.value("rate"), Some(700.0 / 770.0));
    let errors = BTreeMap::from([("status 404".to_owned(), 70), ("timed out".to_owned(), 14)]);
    assert_eq!(so_far.errors, errors);
    // A user keeps its connection; one that lost it opens another.
    // That is 112 of 7,868 exchanges, which is 1.4 %; the others waited for none.
    let connecting = &so_far.metrics["http_req_connecting"];
    assert_eq!(connecting.value("count"), Some(sent as f64));
    assert_eq!(connecting.value("p(95)"), Some(0.0));
    assert!(connecting.value("p(99)") > Some(0.0));
}

#[tokio::test]
async fn counts_are_exact_over_users_and_threads() {
    let server = TestServer::start();
    let text = flow("a", CLOSED, "{ get = \"/a/${vu}/${iteration}\", name = \"a\" }")
        + &flow(
            "b",
            "executor = \"constant-arrival-rate\"\nrate = 2000\nduration = \
             \"1s\"\npre_allocated_vus = 3",
            "{ get = \"/b/${iteration}\", name = \"b\" }",
        )
        + &flow("c", CLOSED, "{ get = \"/c\" }");
    let plan = plan(&server.base, &text);
    let totals = drive(&plan, counted(0, 2, &[("a", 103), ("b", 41)])).await;
    let expected = BTreeMap::from([("a".to_owned(), 103), ("b".to_owned(), 41)]);
    assert_eq!(totals.operations(), expected);
    let seen = server.requests();
    assert_eq!(seen.len(), 144);
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), 144, "every user and iteration is one of a kind");
    let metrics = totals.so_far().metrics;
    assert_eq!(metrics["iterations"].value("count"), Some(144.0));
    assert_eq!(metrics["iteration_latency"].value("count"), Some(41.0), "open flow alone");
    assert!(!metrics.contains_key("dropped_iterations"));
}

#[tokio::test]
async fn a_replay_sends_the_same_bytes_and_new_input_others() {
    let steps = "{ post = \"/echo\", headers = { x-id = \"${uuid}\" }, query = { n = \"${now}\" }, \
                 json = { round = \"${round}\", r = \"${random(1,1000000)}\", i = \
                 \"${iteration}\" } },\n\
                 { connect = \"/ws\", as = \"r\" },\n\
                 { send = { id = \"${uuid}\" }, await = { contains = \"id\" } }";
    let mut seen = Vec::new();
    for (round, threads) in [(1, 1), (1, 2), (2, 1)] {
        let server = TestServer::start();
        let base = server.base.clone();
        let plan = plan(&base, &flow("a", CLOSED, steps));
        drive(&plan, counted(round, threads, &[("a", 20)])).await;
        // The port differs from server to server.
        let requests: Vec<String> =
            server.requests().iter().map(|text| text.replace(&base[7..], "HOST")).collect();
        seen.push(requests);
    }
    assert!(seen[0].len() >= 45, "{}", seen[0].len());
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}

#[tokio::test]
async fn sockets_echo_ping_and_close() {
    let server = TestServer::start();
    let steps = "{ connect = \"/ws\", as = \"r\" },\n\
                 { await = { json = { type = \"system\" } }, on = \"r\", capture = { n = \
                 \"/id\" } },\n\
                 { send = { n = \"${n}\", i = \"${iteration}\" }, on = \"r\", \
                   await = { json = { \"/n\" = \"42\", i = \"${iteration}\" } } },\n\
                 { ping = \"r\" },\n\
                 { close = \"r\", code = 4001 }";
    let plan = plan(&server.base, &flow("a", CLOSED, steps));
    let totals = drive(&plan, counted(0, 1, &[("a", 10)])).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    let expected: BTreeMap<String, u64> = ["connect /ws", "send r", "ping r", "close /ws"]
        .into_iter()
        .map(|name| (name.to_owned(), 10))
        .collect();
    assert_eq!(totals.operations(), expected);
    let closes = server.requests().iter().filter(|text| *text == "closed 4001").count();
    assert_eq!(closes, 10);
    let metrics = totals.so_far().metrics;
    for name in ["ws_connecting", "ws_msg_rtt", "ws_ping", "ws_session_duration", "ws_closing"] {
        assert_eq!(metrics[name].value("count"), Some(10.0), "{name}");
    }
}

#[tokio::test]
async fn sockets_that_stay_are_closed_at_the_drain() {
    let server = TestServer::start();
    let steps =
        "{ connect = \"/ws\", as = \"r\" }, { send = \"hi\", await = { contains = \"hi\" } }";
    let plan = plan(&server.base, &flow("a", CLOSED, steps));
    let totals = drive(&plan, counted(0, 1, &[("a", 50)])).await;
    let operations = totals.operations();
    assert_eq!(operations["connect /ws"], 5);
    assert_eq!(operations["close /ws"], 5);
    assert_eq!(operations["send r"], 50);
    assert_eq!(server.requests().iter().filter(|text| *text == "closed 1000").count(), 5);
}

#[tokio::test]
async fn deliveries_of_stamped_messages_are_measured() {
    let server = TestServer::start();
    // The server echoes to the sender alone, who listens: one delivery of two expected.
    let steps = "{ connect = \"/ws\", as = \"r\" },\n\
                 { send = { a = \"b\" }, on = \"r\", stamp = true, expect = 2 },\n\
                 { listen = \"200ms\", on = \"r\" }";
    let plan = plan(&server.base, &flow("a", ONCE, steps));
    let totals = drive(&plan, Pass { threads: 1, ..Pass::default() }).await;
    let metrics = totals.so_far().metrics;
    assert_eq!(metrics["delivery_latency"].value("count"), Some(1.0));
    assert_eq!(metrics["delivery_reach"].value("rate"), Some(0.5));
    assert_eq!(totals.lost_deliveries(), 1);
    assert!(totals.warnings().iter().any(|warning| warning.code == "deliveries_lost"));
}

#[tokio::test]
async fn a_killed_server_ends_the_load_with_reasons() {
    let mut server = TestServer::start();
    let plan =
        plan(&server.base, &flow("a", CLOSED.replace("10s", "600s").as_str(), "{ get = \"/\" }"));
    let mut engine = Engine::start(plan, Pass { threads: 2, ..Pass::default() }).unwrap();
    let first = engine.next().await.unwrap();
    assert!(first.requests > 0);
    assert_eq!(first.errors, BTreeMap::new());
    server.kill();
    while engine.next().await.is_some() {}
    let totals = engine.finish().await;
    assert!(totals.target_lost().unwrap().contains("is lost"));
    assert!(totals.so_far().errors["connection refused"] > 0);
}

#[tokio::test]
async fn a_stopper_ends_the_load() {
    let server = TestServer::start();
    for abort in [false, true] {
        let steps = "{ connect = \"/ws\", as = \"r\" }, { listen = \"600s\", on = \"r\" }";
        let plan = plan(&server.base, &flow("a", ONCE, steps));
        let mut engine = Engine::start(plan, Pass { threads: 1, ..Pass::default() }).unwrap();
        engine.next().await.unwrap();
        assert!(!engine.is_draining());
        let stopper = engine.stopper();
        if abort {
            stopper.abort()
        } else {
            stopper.drain()
        }
        assert!(engine.is_draining());
        let totals = engine.finish().await;
        let closed = totals.operations().get("close /ws").copied();
        assert_eq!(closed, if abort { None } else { Some(1) });
        assert_eq!(totals.so_far().errors, BTreeMap::new());
        assert_eq!(totals.so_far().metrics["interrupted_iterations"].value("count"), Some(1.0));
    }
}

#[tokio::test]
async fn quick_loads_count_requests_and_keep_the_rate() {
    let server = TestServer::start();
    let table = [
        Quick { url: format!("{}/?a=b", server.base), requests: Some(57), ..Quick::default() },
        Quick {
            rate: Some(500.0),
            requests: Some(57),
            url: server.base.clone(),
            ..Quick::default()
        },
        Quick {
            url: server.base.replace("http", "ws") + "/ws",
            requests: Some(57),
            ..Quick::default()
        },
    ];
    for quick in table {
        let plan = Arc::new(Plan::quick(&quick).unwrap());
        let totals = drive(&plan, Pass { threads: 2, ..Pass::default() }).await;
        let so_far = totals.so_far();
        // What a starved machine cannot start in time is dropped, and counted as that.
        let count = |name: &str| so_far.metrics.get(name).and_then(|metric| metric.value("count"));
        let dropped = count("dropped_iterations").unwrap_or(0.0);
        assert_eq!(count("iterations").map(|done| done + dropped), Some(57.0), "{}", quick.url);
        assert!(dropped == 0.0 || quick.rate.is_some(), "{}", quick.url);
        assert_eq!(so_far.errors, BTreeMap::new());
    }
    let line = format!("GET /?a=b HTTP/1.1\r\nHost: {}\r\n\r\n", &server.base[7..]);
    assert_eq!(server.requests().iter().filter(|text| **text == line).count(), 57);
}

#[tokio::test]
async fn warm_up_is_seen_and_not_counted() {
    let server = TestServer::start();
    let executor = "executor = \"constant-vus\"\nvus = 1\nduration = \"2s\"";
    let plan = plan(&server.base, &flow("a", executor, "{ get = \"/\" }, { think = \"5ms\" }"));
    let pass = Pass { warmup: Duration::from_secs(1), threads: 1, ..Pass::default() };
    let mut engine = Engine::start(plan, pass).unwrap();
    let mut shown = 0;
    while let Some(interval) = engine.next().await {
        shown += interval.requests;
    }
    let counted = engine.finish().await.so_far().metrics["http_reqs"].value("count").unwrap();
    assert!(counted > 0.0 && (counted as u64) < shown, "{counted} of {shown}");
    assert_eq!(shown, server.requests().len() as u64);
}

#[tokio::test]
async fn passes_merge_and_thresholds_judge_the_sum() {
    let server = TestServer::start();
    let text = flow("a", CLOSED, "{ get = \"/\", name = \"home\" }, { get = \"/missing\" }")
        + "[thresholds]\nhttp_reqs = [\"count >= 40\"]\nhttp_req_failed = [\"rate < 0.5\"]\n\
           \"http_req_failed{name:home}\" = [\"rate == 0\"]\n\
           \"http_req_duration{flow:a}\" = [\"p(97.5) < 60000\", \"max < 60000\"]\n";
    let plan = plan(&server.base, &text);
    let mut sum = Totals::default();
    for round in 0..2 {
        sum.merge(&drive(&plan, counted(round, 1, &[("a", 10)])).await);
    }
    let mut metrics = sum.so_far().metrics;
    assert_eq!(metrics["http_reqs"].value("count"), Some(40.0));
    assert_eq!(metrics["http_req_duration"].value("count"), Some(40.0));
    let failed = threshold::judge(&plan.thresholds, &mut metrics);
    assert_eq!(failed, ["http_req_failed: rate < 0.5"]);
    assert!(metrics["http_req_duration{flow:a}"].thresholds["p(97.5) < 60000"].ok);
}

#[tokio::test]
async fn the_interval_log_is_read_back_by_another_reader() {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let server = TestServer::start();
    let plan = plan(&server.base, &flow("a", CLOSED, "{ get = \"/x\" }"));
    let mut engine = Engine::start(plan, counted(0, 2, &[("a", 30)])).unwrap();
    let mut log = Vec::new();
    let mut writer = HlogWriter::begin(&mut log, 1_700_000_000_000).unwrap();
    let mut start = Duration::ZERO;
    while let Some(interval) = engine.next().await {
        writer.write(engine.histograms(), start).unwrap();
        start += Duration::from_secs_f64(interval.duration_ms / 1e3);
    }
    let mut tags = BTreeMap::new();
    let mut deserializer = hdrhistogram::serialization::Deserializer::new();
    for entry in IntervalLogIterator::new(&log) {
        if let LogEntry::Interval(histogram) = entry.unwrap() {
            let tag = histogram.tag().unwrap().as_str().to_owned();
            let bytes = base64_decode(histogram.encoded_histogram());
            let read: hdrhistogram::Histogram<u64> =
                deserializer.deserialize(&mut bytes.as_slice()).unwrap();
            *tags.entry(tag).or_insert(0) += read.len();
        }
    }
    assert_eq!(tags["http:a:GET_/x:duration"], 30, "{tags:?}");
    assert_eq!(tags["iteration:a:a:duration"], 30, "{tags:?}");
}

fn base64_decode(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = alphabet.iter().position(|letter| *letter == byte).unwrap() as u32;
        bits = bits << 6 | value;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
