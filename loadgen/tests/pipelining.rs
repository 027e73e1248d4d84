//! HTTP/1.1 with several requests in flight on a connection, and connections used once.
//!
//! In: scenarios against peers made of bytes. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

mod peer;

use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Totals};
use peer::{Peer, Requests};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

fn plan(base: &str, target: &str, (vus, iterations): (u32, u32), steps: &str) -> Arc<Plan> {
    let text = format!(
        "[target]\nbase = \"{base}\"\n{target}\n[flow.a]\nexecutor = \"per-vu-iterations\"\n\
         vus = {vus}\niterations = {iterations}\nsteps = [\n{steps}\n]\n"
    );
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

async fn drive(plan: Arc<Plan>) -> Totals {
    Engine::start(plan, Pass { threads: 1, ..Pass::default() }).unwrap().finish().await
}

fn count(totals: &Totals, name: &str) -> f64 {
    totals.so_far().metrics.get(name).and_then(|metric| metric.value("count")).unwrap_or(0.0)
}

fn errors(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
    list.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
}

const TEN: &str = "in_flight = 10";

fn reply(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Ten requests are waited for before any is answered, so that they are in flight together.
#[tokio::test]
async fn replies_find_their_requests_however_they_come() {
    for pieces in [1_usize, 7, 1_000_000] {
        let peer = Peer::start(move |stream| {
            let mut requests = Requests::of(stream);
            loop {
                let asked: Vec<String> = (0..10).filter_map(|_| requests.next()).collect();
                if asked.len() < 10 {
                    return;
                }
                let replies: String =
                    asked.iter().map(|path| reply(&format!("for {path}"))).collect();
                for piece in replies.as_bytes().chunks(pieces) {
                    requests.write(piece);
                }
            }
        });
        let steps =
            "{ get = \"/${vu}/${iteration}\", check = { body = \"for /${vu}/${iteration}\" } }";
        let totals = drive(plan(&peer.base, TEN, (10, 5), steps)).await;
        assert_eq!(totals.so_far().errors, BTreeMap::new());
        assert_eq!(totals.so_far().metrics["checks"].value("rate"), Some(1.0), "{pieces}");
        assert_eq!(count(&totals, "http_reqs"), 50.0);
        assert_eq!(peer.connections(), 1);
    }
}

#[tokio::test]
async fn what_ends_a_pipeline_fails_what_is_in_flight_once() {
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let table: [(String, u64, &str); 4] = [
        // Three are answered, the others are not.
        (reply("a").repeat(2) + close, 7, "connection closed before the reply"),
        (reply("a").repeat(3), 7, "connection closed before the reply"),
        (reply("a").repeat(3) + "nonsense\r\n\r\n", 7, "not a valid reply"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut".to_owned(),
            10,
            "connection closed before the reply",
        ),
    ];
    for (replies, failed, reason) in table {
        let text = replies.clone();
        let peer = Peer::start(move |stream| {
            let mut requests = Requests::of(stream);
            let asked = (0..10).filter_map(|_| requests.next()).count();
            assert_eq!(asked, 10);
            requests.write(text.as_bytes());
        });
        let totals = drive(plan(&peer.base, TEN, (10, 1), "{ get = \"/\" }")).await;
        assert_eq!(totals.so_far().errors, errors(&[(reason, failed)]), "{replies}");
        assert_eq!(count(&totals, "http_reqs"), 10.0, "{replies}: each once");
    }
}

/// Eleven replies to ten requests, in one piece: the connection is over, and the requests that
/// were answered stand. Whoever comes next opens another.
#[tokio::test]
async fn a_reply_too_many_ends_the_connection() {
    let peer = Peer::start(|stream| {
        let mut requests = Requests::of(stream);
        if (0..10).filter_map(|_| requests.next()).count() == 10 {
            requests.write(reply("a").repeat(11).as_bytes());
        }
        while requests.next().is_some() {}
    });
    let totals = drive(plan(&peer.base, TEN, (10, 2), "{ get = \"/\" }")).await;
    assert!(peer.connections() > 1);
    assert_eq!(count(&totals, "http_reqs"), 20.0);
    let told = totals.so_far().errors;
    assert!(told.keys().all(|reason| reason == "reply that nobody asked for"), "{told:?}");
}

/// The stuck one times out alone; those behind it are answered in their order, and whoever comes
/// later does not stand behind it.
#[tokio::test]
async fn a_request_that_times_out_takes_no_other_with_it() {
    let peer = Peer::start(|stream| {
        let mut requests = Requests::of(stream);
        while let Some(path) = requests.next() {
            if path != "/0" {
                requests.write(reply("ok").as_bytes());
            }
            // Nothing more is answered here, as the order has it.
            if path == "/0" {
                while requests.next().is_some() {}
            }
        }
    });
    let steps = "{ get = \"/${vu}\", timeout = \"200ms\" }";
    let totals = drive(plan(&peer.base, TEN, (10, 2), steps)).await;
    let told = totals.so_far().errors;
    assert_eq!(told.keys().collect::<Vec<_>>(), ["timed out"], "{told:?}");
    assert_eq!(count(&totals, "http_reqs"), 20.0);
    assert!(peer.connections() > 1, "nobody comes behind the stuck one");
}

#[tokio::test]
async fn connections_for_one_request_are_used_once() {
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let log = Arc::clone(&seen);
    let peer = Peer::start(move |stream| {
        let mut requests = Requests::of(stream);
        let mut count = 0;
        while requests.next().is_some() {
            count += 1;
            requests.write(reply("ok").as_bytes());
        }
        log.lock().unwrap().push(count);
    });
    let plan = plan(&peer.base, "connections = \"none\"", (5, 20), "{ get = \"/\" }");
    assert!(serde_json::to_string(&*plan).unwrap().contains("Connection: close"));
    let totals = drive(plan).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    assert_eq!(count(&totals, "http_req_connecting"), 100.0);
    assert_eq!(peer.connections(), 100);
    assert!(seen.lock().unwrap().iter().all(|requests| *requests == 1));
}

#[test]
fn words_that_contradict_each_other_are_faults() {
    for (target, fault) in [
        ("http = \"3\"", "unknown word `3`"),
        ("connections = \"vus\"", "did you mean `vu`"),
        ("in_flight = 0", "in_flight"),
        ("in_flight = 1001", "not between 1 and 1000"),
        ("connections = \"vu\"\nin_flight = 2", "a user has one request in flight at a time"),
        ("connections = \"none\"\nin_flight = 2", "a connection for one request has one in flight"),
    ] {
        let text = format!(
            "[target]\nbase = \"http://127.0.0.1:1\"\n{target}\n[flow.a]\nexecutor = \
             \"constant-vus\"\nvus = 1\nduration = \"1s\"\nsteps = [{{ get = \"/\" }}]"
        );
        let told = Scenario::parse(&text, "test.toml").unwrap_err().to_string();
        assert!(told.contains(fault), "{target}: {told}");
    }
}
