//! HTTP/2 against a real server, and against peers that break its rules.
//!
//! In: scenarios. Out: verdicts of `cargo test`. No test depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "support/front.rs"]
mod front;
mod peer;

use ebbtide_loadgen::http2::frame::{kind, setting};
use ebbtide_loadgen::scenario::protocol::{Connections, HttpVersion, Protocol};
use ebbtide_loadgen::{Engine, Pass, Plan, Quick, Scenario, Totals};
use front::{Front, Manners, Papers, behind, quoted};
use peer::{Frames, H2Server, Peer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn plan(base: &str, target: &str, body: &str) -> Arc<Plan> {
    let text = format!("[target]\nbase = \"{base}\"\n{target}\n{body}");
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

fn flow(executor: &str, steps: &str) -> String {
    format!("[flow.a]\n{executor}\nsteps = [\n{steps}\n]\n")
}

fn each(vus: u32, iterations: u32) -> String {
    format!("executor = \"per-vu-iterations\"\nvus = {vus}\niterations = {iterations}")
}

const STREAMS: &str = "http = \"2\"\nconnections = \"shared\"\nin_flight = 10";

async fn drive(plan: Arc<Plan>, threads: usize) -> Totals {
    Engine::start(plan, Pass { threads, ..Pass::default() }).unwrap().finish().await
}

fn count(totals: &Totals, name: &str) -> f64 {
    totals.so_far().metrics.get(name).and_then(|metric| metric.value("count")).unwrap_or(0.0)
}

fn errors(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
    list.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
}

#[tokio::test]
async fn heads_lead_where_they_lead_over_http_1() {
    let server = H2Server::start(100);
    let login = "{ post = \"/login\", form = { a = \"b\" }, check = { body = \"welcome\", \
                 header = { server = \"test\" } }, capture = { sid = { cookie = \"sid\" } } }";
    let both = "{ parallel = [{ get = \"/me\", check = { body = \"welcome\" } }, \
                { get = \"/json\", capture = { t = \"$.token\" } }] }";
    let echo =
        "{ post = \"/echo\", text = \"${sid} ${t}\", check = { body = { is = \"1 t-1\" } } }";
    let steps = &format!("{login},\n{both},\n{echo}");
    for target in ["http = \"2\"", STREAMS, "http = \"2\"\nconnections = \"none\""] {
        let totals = drive(plan(&server.base, target, &flow(&each(3, 2), steps)), 1).await;
        assert_eq!(totals.so_far().errors, errors(&[]), "{target}");
        assert_eq!(totals.so_far().metrics["checks"].value("rate"), Some(1.0), "{target}");
        assert_eq!(count(&totals, "http_reqs"), 3.0 * 2.0 * 5.0, "{target}");
    }
}

#[tokio::test]
async fn steps_mean_the_same_as_over_http_1() {
    let server = H2Server::start(100);
    let steps = "{ get = \"/\", check = { status = 200, body = \"ok\" } },\n\
        { head = \"/\", check = { status = \"2xx\" } },\n\
        { get = \"/large\", check = { body = \"xxxx\" } },\n\
        { get = \"/trailers\", check = { body = \"with trailers\" } },\n\
        { get = \"/json\", capture = { token = \"/token\" }, \
          check = { json = { \"/list/0/id\" = 7 } } },\n\
        { post = \"/echo\", headers = { x-id = \"${vu}\" }, body = \"${token}/${iteration}\", \
          check = { body = \"t-1/0\" } },\n\
        { get = \"/missing\", check = { status = 404 } }";
    for target in ["http = \"2\"", STREAMS, "http = \"2\"\nconnections = \"none\""] {
        let totals = drive(plan(&server.base, target, &flow(&each(5, 1), steps)), 1).await;
        assert_eq!(totals.so_far().errors, errors(&[("status 404", 5)]), "{target}");
        assert_eq!(totals.so_far().metrics["checks"].value("rate"), Some(1.0), "{target}");
        assert_eq!(count(&totals, "http_reqs"), 35.0, "{target}");
        let connections = match target {
            "http = \"2\"" => 5,
            STREAMS => 1,
            _ => 35,
        };
        assert_eq!(server.take().connections, connections, "{target}");
        // Those that waited for no connection count as 0.
        assert_eq!(count(&totals, "http_req_connecting"), 35.0, "{target}");
    }
}

#[tokio::test]
async fn a_body_larger_than_every_window_arrives_whole() {
    let server = H2Server::start(100);
    let steps = format!(
        "{{ post = \"/length\", body = \"{}\", check = {{ body = \"3000000\" }} }}",
        "x".repeat(3_000_000)
    );
    let totals = drive(plan(&server.base, STREAMS, &flow(&each(5, 2), &steps)), 1).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    assert_eq!(totals.so_far().metrics["checks"].value("rate"), Some(1.0));
}

#[tokio::test]
async fn streams_beyond_what_the_server_allows_wait() {
    let server = H2Server::start(1);
    let totals =
        drive(plan(&server.base, STREAMS, &flow(&each(10, 20), "{ get = \"/\" }")), 1).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    let seen = server.take();
    assert_eq!((seen.requests, seen.connections, seen.most_at_once), (200, 1, 1));
}

#[tokio::test]
async fn quick_loads_share_connections_over_threads() {
    let server = H2Server::start(100);
    for (rate, requests) in [(None, 300), (Some(1_000.0), 200)] {
        let in_flight =
            Protocol { http: HttpVersion::Two, connections: Connections::Shared, in_flight: 10 };
        let quick = Quick {
            url: format!("{}/a?b=c", server.base),
            connections: 3,
            requests: Some(requests),
            protocol: in_flight,
            rate,
            ..Quick::default()
        };
        let totals = drive(Arc::new(Plan::quick(&quick).unwrap()), 2).await;
        assert_eq!(totals.so_far().errors, BTreeMap::new());
        // What the end of the load cuts, and what a starved machine drops, is counted as that.
        let others = ["http_reqs", "dropped_iterations", "interrupted_iterations"];
        let sum: f64 = others.iter().map(|name| count(&totals, name)).sum();
        assert_eq!(sum, requests as f64);
        let seen = server.take();
        assert!(seen.connections <= 3, "{}", seen.connections);
        assert!(seen.paths.iter().all(|path| path == "GET /a?b=c"));
        assert_eq!(rate.is_some(), count(&totals, "iteration_latency") > 0.0);
    }
}

#[tokio::test]
async fn a_time_limit_resets_its_stream_alone() {
    let server = H2Server::start(100);
    let body = flow(&each(4, 3), "{ get = \"/hang\", timeout = \"150ms\" }")
        + &flow(&each(6, 50), "{ get = \"/\" }").replace("flow.a", "flow.b");
    let totals = drive(plan(&server.base, STREAMS, &body), 1).await;
    assert_eq!(totals.so_far().errors, errors(&[("timed out", 12)]));
    assert_eq!(count(&totals, "http_reqs"), 312.0);
    let seen = server.take();
    assert_eq!((seen.connections, seen.cancelled), (2, 12));
}

#[tokio::test]
async fn what_a_server_refuses_is_said_in_its_word() {
    let server = H2Server::start(100);
    let totals =
        drive(plan(&server.base, STREAMS, &flow(&each(10, 5), "{ get = \"/reset\" }")), 1).await;
    assert_eq!(totals.so_far().errors, errors(&[("http2: stream reset (REFUSED_STREAM)", 50)]));
    assert_eq!(server.take().connections, 1, "a refused stream leaves the connection alone");
}

/// A server that says farewell in order after every fortieth request: what it left undone is asked
/// again, and nothing fails.
#[tokio::test]
async fn a_farewell_in_order_loses_nothing() {
    let peer = Peer::start(|connection| {
        let mut frames = Frames::greet(connection, &[]);
        for answered in 1.. {
            let Some(stream) = frames.next_request() else { return };
            if answered <= 40 {
                frames.write(kind::HEADERS, 5, stream, &[0x88]);
            }
            if answered == 40 {
                let payload = [stream.to_be_bytes(), 0_u32.to_be_bytes()].concat();
                frames.write(kind::GOAWAY, 0, 0, &payload);
            }
        }
    });
    let totals = drive(plan(&peer.base, STREAMS, &flow(&each(10, 40), "{ get = \"/\" }")), 1).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    assert_eq!(count(&totals, "http_reqs"), 400.0);
    assert!(peer.connections() >= 10, "{}", peer.connections());
}

/// What a server had taken when it said farewell and went may have been served: it is lost, and is
/// not asked again.
#[tokio::test]
async fn what_a_farewell_had_taken_is_lost_when_the_server_goes() {
    let peer = Peer::start(|connection| {
        let mut frames = Frames::greet(connection, &[]);
        if frames.next_request().is_some() {
            let payload = [0x7FFF_FFFF_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
            frames.write(kind::GOAWAY, 0, 0, &payload);
        }
    });
    let step = "{ post = \"/\", body = \"x\" }";
    let totals = drive(plan(&peer.base, STREAMS, &flow(&each(1, 1), step)), 1).await;
    assert_eq!(totals.so_far().errors.values().sum::<u64>(), 1);
    assert!(!totals.so_far().errors.keys().any(|error| error.contains("goaway")));
    assert_eq!(peer.connections(), 1);
}

/// Ten requests at once on one connection; what the peer does to them, and what is counted.
#[tokio::test]
async fn peers_that_break_the_rules_are_told_apart() {
    type Act = fn(&mut Frames, u32);
    let table: [(&str, Act); 9] = [
        ("http2: goaway (ENHANCE_YOUR_CALM)", |frames, _| {
            frames.write(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]);
        }),
        ("http2: stream reset (INTERNAL_ERROR)", |frames, last| {
            for stream in (1..=last).step_by(2) {
                frames.write(kind::RST_STREAM, 0, stream, &[0, 0, 0, 2]);
            }
        }),
        ("http2: push, which was not allowed", |frames, _| {
            frames.write(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82]);
        }),
        ("http2: frame larger than allowed", |frames, _| {
            frames.write(kind::DATA, 0, 1, &[0; 16_385]);
        }),
        ("http2: headers that cannot be decoded", |frames, _| {
            frames.write(kind::HEADERS, 4, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        }),
        ("http2: header block without end", |frames, _| {
            frames.write(kind::HEADERS, 0, 1, &[]);
            for _ in 0..9 {
                frames.write(kind::CONTINUATION, 0, 1, &[0x88; 16_000]);
            }
        }),
        ("http2: headers larger than 64 KiB", |frames, last| {
            for stream in (1..=last).step_by(2) {
                // Once in the table, 40 references to 4 KB of it.
                let value = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4_000]].concat();
                let block = [&[0x88][..], &value, &[0xbe; 40]].concat();
                frames.write(kind::HEADERS, 5, stream, &block);
            }
        }),
        ("connection closed before the reply", |frames, _| frames.close()),
        ("timed out", |_, _| {}),
    ];
    for (reason, act) in table {
        let peer = Peer::start(move |connection| {
            let mut frames = Frames::greet(connection, &[]);
            let last = (0..10).filter_map(|_| frames.next_request()).max().unwrap_or(1);
            act(&mut frames, last);
            frames.read_to_end();
        });
        let steps = "{ get = \"/\", timeout = \"400ms\" }";
        let totals = drive(plan(&peer.base, STREAMS, &flow(&each(10, 1), steps)), 1).await;
        assert_eq!(totals.so_far().errors, errors(&[(reason, 10)]));
        assert_eq!(count(&totals, "http_reqs"), 10.0, "{reason}: each once");
        assert_eq!(peer.connections(), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_window_that_stays_shut_is_a_time_limit_and_no_hang() {
    let peer = Peer::start(|connection| {
        let mut frames = Frames::greet(connection, &[(setting::WINDOW, 0)]);
        frames.read_to_end();
    });
    let steps = "{ post = \"/\", body = \"never sent\", timeout = \"150ms\" }";
    let totals = drive(plan(&peer.base, STREAMS, &flow(&each(10, 2), steps)), 1).await;
    assert_eq!(totals.so_far().errors, errors(&[("timed out", 20)]));
}

#[tokio::test]
async fn peers_that_speak_something_else_are_told() {
    let table: [(&[u8], &str); 2] = [
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            "http2: the peer answers in HTTP/1.1",
        ),
        (b"SSH-2.0-nothing of ours", "http2: frame larger than allowed"),
    ];
    for (greeting, reason) in table {
        let peer = Peer::start(move |connection| {
            let mut frames = Frames::of(connection);
            frames.write_bytes(greeting);
            frames.read_to_end();
        });
        let totals =
            drive(plan(&peer.base, "http = \"2\"", &flow(&each(1, 1), "{ get = \"/\" }")), 1).await;
        assert_eq!(totals.so_far().errors, errors(&[(reason, 1)]));
    }
    // Nobody greets: the request's time limit holds for the connection as well.
    let peer = Peer::start(|connection| Frames::of(connection).read_to_end());
    let steps = "{ get = \"/\", timeout = \"150ms\" }";
    let totals = drive(plan(&peer.base, STREAMS, &flow(&each(10, 1), steps)), 1).await;
    assert_eq!(totals.so_far().errors, errors(&[("timed out", 10)]));
}

#[tokio::test]
async fn a_load_that_is_aborted_leaves_nothing_behind() {
    let server = H2Server::start(100);
    let steps = "{ get = \"/hang\", timeout = \"600s\" }";
    let mut engine = Engine::start(
        plan(&server.base, STREAMS, &flow(&each(10, 1), steps)),
        Pass { threads: 1, ..Pass::default() },
    )
    .unwrap();
    engine.next().await.unwrap();
    engine.stopper().abort();
    let ended = tokio::time::timeout(Duration::from_secs(60), engine.finish()).await;
    let totals = ended.expect("the engine ends");
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    assert_eq!(count(&totals, "interrupted_iterations"), 10.0);
}

/// What is spoken over TLS is what both agree on.
#[tokio::test]
async fn over_tls_the_server_has_a_say() {
    let (server, papers) = (H2Server::start(100), Papers::new());
    let plain = Peer::start(|stream| {
        let mut requests = peer::Requests::of(stream);
        while requests.next().is_some() {
            requests.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let paper = papers.give("localhost", 1);
    let ca = format!("tls.ca = {}\n", quoted(&papers.path("ca.pem")));
    let shared = "connections = \"shared\"";
    for (agreed, http, failed) in [
        (Some("h2"), "2", None),
        (Some("h2"), "auto", None),
        (Some("http/1.1"), "auto", None),
        (Some("http/1.1"), "1.1", None),
        (None, "auto", None),
        (None, "2", Some("http2: the peer did not agree to it (ALPN)")),
        // The server refuses the handshake; whether its word for it arrives is up to the network.
        (Some("http/1.1"), "2", Some("")),
    ] {
        for in_bytes in [false, true] {
            let manners = Manners { protocol: agreed, in_bytes, ..Manners::default() };
            let base = if agreed == Some("h2") { &server.base } else { &plain.base };
            let front = Front::start(behind(base), &paper, &papers, manners);
            let base = format!("https://localhost:{}", front.port);
            let target = format!("{ca}http = \"{http}\"\n{shared}");
            let steps = "{ get = \"/\", check = { body = \"ok\" } }";
            let totals = drive(plan(&base, &target, &flow(&each(10, 2), steps)), 1).await;
            let told = totals.so_far().errors;
            match failed {
                None => {
                    assert_eq!(told, BTreeMap::new(), "{agreed:?} {http}");
                    assert_eq!(totals.so_far().metrics["checks"].value("rate"), Some(1.0));
                    assert_eq!(front.full.load(Ordering::Relaxed), 1, "one connection");
                }
                Some("") => assert!(told.values().sum::<u64>() == 20, "{told:?}"),
                Some(reason) => {
                    assert_eq!(told.keys().collect::<Vec<_>>(), [reason], "{agreed:?} {http}");
                }
            }
        }
    }
    assert_eq!(server.take().requests, 80);
}
