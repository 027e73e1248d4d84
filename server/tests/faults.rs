//! The faults in a real server: each leak keeps one object of its kind for each operation, and a
//! server without a fault keeps nothing. One test, because the census is the process's own.
//! In: a fault switched on or off. Out: what the census still counts once clients are gone.

mod support;

use ebbtide_probe::{Census, requests_in_flight};
use ebbtide_server::{Config, Faults};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::{Running, start, until};

/// Operations of each kind in each phase.
const TIMES: u64 = 7;

/// Live objects by kind, where there are any.
fn live() -> BTreeMap<&'static str, u64> {
    let kinds = Census::count().kinds.into_iter();
    kinds.map(|(kind, count)| (kind, count.live)).filter(|&(_, live)| live > 0).collect()
}

async fn operate(server: &Running) {
    for n in 0..TIMES {
        assert_eq!(server.ask("POST", "/api/v1/log", "a line").await.0, 202);
        assert_eq!(server.ask("POST", "/api/v1/echo", "some words").await.0, 200);
        let mut client = server.connect(&format!("/ws?room=room-{n}")).await;
        client.send(r#"{"type":"user","content":"hi","username":"Ada"}"#).await;
        assert_eq!(client.json().await["content"], "hi");
        if n % 2 == 0 {
            client.close().await;
        }
    }
}

#[tokio::test]
async fn a_leak_keeps_one_object_for_each_operation() {
    let mut cached = 0;
    let mut kept: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (fault, kind, each) in [
        ("cache=off", "cache", 0),
        ("listener", "listener", 1),
        ("timer", "timer", 1),
        ("connection", "connection", 1),
        ("context", "context", 1),
        ("cache", "cache", 0),
        ("leak=64", "other", 3),
    ] {
        let name = fault.split('=').next().unwrap();
        let faults: Arc<Faults> = Arc::default();
        let mut server = start(Config { faults: faults.clone(), ..Config::default() }).await;
        // The log's entries are kept with and without a leak: there is room for all of them.
        for on in [false, true, false] {
            faults.switch(&if on { fault.to_owned() } else { format!("{name}=off") }).unwrap();
            operate(&server).await;
            cached += TIMES;
            kept.insert("cache", cached);
            if on && each > 0 {
                *kept.entry(kind).or_default() += TIMES * each;
            }
            until(&format!("{fault} {on}"), (kept.clone(), 0), || (live(), requests_in_flight()))
                .await;
        }
        server.stop();
        server.ended().await;
        // The server's own memory goes with it, what leaked into it too; not the tasks, which
        // the runtime keeps.
        cached = 0;
        kept.remove("cache");
        kept.remove("listener");
        kept.remove("connection");
        kept.remove("other");
        until(&format!("{fault} ended"), kept.clone(), live).await;
    }
}
