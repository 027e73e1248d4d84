//! Ways to the target against real peers: proxies, unix sockets, other addresses, sources, servers
//! that close what they kept.
//!
//! In: scenarios. Out: verdicts of `cargo test`. No test depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "half of it is for the tests of TLS itself")]
#[path = "support/front.rs"]
mod front;
#[path = "support/relay.rs"]
mod relay;
mod support;

use ebbtide_loadgen::engine::{ask, reach};
use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Totals};
use front::{Front, Manners, Papers, behind, quoted};
use relay::{Farewell, fickle, proxy, unix};
use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;
use support::TestServer;

const ONCE: &str = "executor = \"per-vu-iterations\"\nvus = 1\niterations = 1";
const WITHIN: Duration = Duration::from_secs(10);

fn plan(base: &str, target: &str, steps: &str) -> Arc<Plan> {
    let text =
        format!("[target]\nbase = \"{base}\"\n{target}\n[flow.a]\n{ONCE}\nsteps = [{steps}]");
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

async fn drive(plan: &Arc<Plan>) -> Totals {
    let pass = Pass { threads: 1, ..Pass::default() };
    Engine::start(Arc::clone(plan), pass).unwrap().finish().await
}

const TALK: &str =
    "{ connect = \"/ws\" }, { await = \"welcome\" }, { send = \"hi\", await = \"hi\" }";

#[tokio::test]
async fn a_proxy_is_asked_for_urls_and_tunnels() {
    let (server, papers) = (TestServer::start(), Papers::new());
    let paper = papers.give("127.0.0.1", 1);
    let front = Front::start(behind(&server.base), &paper, &papers, Manners::default());
    let secure = format!("https://127.0.0.1:{}", front.port);
    let plain = behind(&server.base);
    let get = "{ get = \"/a?b\", check = { body = \"ok\" } }";
    for (base, steps, first) in [
        (&server.base, get, format!("GET http://{plain}/a?b HTTP/1.1")),
        (&server.base, TALK, format!("CONNECT {plain} HTTP/1.1")),
        (&secure, get, format!("CONNECT 127.0.0.1:{} HTTP/1.1", front.port)),
        (&secure, TALK, format!("CONNECT 127.0.0.1:{} HTTP/1.1", front.port)),
    ] {
        for login in [None, Some("dTpwOnc=")] {
            let (port, seen) = proxy(login);
            let user = if login.is_some() { "u:p%3Aw@" } else { "" };
            let settings = format!(
                "proxy = \"http://{user}127.0.0.1:{port}\"\ntls.ca = {}",
                quoted(&papers.path("ca.pem"))
            );
            let plan = plan(base, &settings, steps);
            let so_far = drive(&plan).await.so_far();
            assert_eq!(so_far.errors, BTreeMap::new(), "{base} {login:?}");
            assert_eq!(seen.lines()[0], first);
            assert!(!serde_json::to_string(&*plan).unwrap().contains("p:w"), "kept in the plan");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_an_outcome() {
    let server = TestServer::start();
    let secure = server.base.replace("http", "https");
    let (port, _) = proxy(Some("c2VjcmV0"));
    let settings = format!("proxy = \"http://127.0.0.1:{port}\"");
    for (base, steps, words) in [
        (&server.base, "{ get = \"/\" }", "status 407"),
        (&server.base, TALK, "proxy refused with status 407"),
        (&secure, "{ get = \"/\" }", "proxy refused with status 407"),
    ] {
        let so_far = drive(&plan(base, &settings, steps)).await.so_far();
        assert_eq!(so_far.errors.keys().collect::<Vec<_>>(), [words], "{base} {steps}");
    }
    let (port, _) = proxy(None);
    let settings = format!("proxy = \"http://127.0.0.1:{port}\"");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plan = plan(&format!("https://{nobody}"), &settings, "{ get = \"/\" }");
    let so_far = drive(&plan).await.so_far();
    assert_eq!(so_far.errors.keys().collect::<Vec<_>>(), ["proxy refused with status 502"]);
}

#[tokio::test]
async fn a_unix_socket_is_loaded_in_the_name_of_the_base() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let settings = format!("unix_socket = {}", quoted(&path));
    let steps = format!("{{ get = \"/a\", check = {{ body = \"ok\" }} }}, {TALK}");
    let plan = plan("http://no.such.host:81", &settings, &steps);
    let error = reach(&plan, WITHIN).unwrap_err().to_string();
    assert_eq!(error, "connection refused");
    unix(&path, behind(&server.base));
    reach(&plan, WITHIN).unwrap();
    assert_eq!(ask(&plan, "/missing", WITHIN).unwrap(), 404);
    let so_far = drive(&plan).await.so_far();
    assert_eq!(so_far.errors, BTreeMap::new());
    let requests = server.requests();
    assert!(
        requests.iter().any(|it| it.starts_with("GET /a HTTP/1.1\r\nHost: no.such.host:81\r\n"))
    );
    assert_eq!(so_far.metrics["ws_msgs_sent"].value("count"), Some(1.0));
}

#[tokio::test]
async fn connections_go_where_they_are_told() {
    let (server, papers) = (TestServer::start(), Papers::new());
    let paper = papers.give("example.org", 1);
    let front = Front::start(behind(&server.base), &paper, &papers, Manners::default());
    let settings = format!(
        "connect_to = [\"other.org:443:127.0.0.1:1\", \"example.org:443:127.0.0.1:{}\"]\n\
         tls.ca = {}",
        front.port,
        quoted(&papers.path("ca.pem"))
    );
    let plan = plan("https://example.org", &settings, "{ get = \"/x\" }");
    assert_eq!(plan.transport.hosts("example.org", 443), ["127.0.0.1"]);
    reach(&plan, WITHIN).unwrap();
    let so_far = drive(&plan).await.so_far();
    assert_eq!(so_far.errors, BTreeMap::new());
    assert_eq!(server.requests(), ["GET /x HTTP/1.1\r\nHost: example.org\r\n\r\n"]);
    assert!(front.names.lock().unwrap().iter().all(|name| name == "example.org"));
}

#[tokio::test]
async fn ipv6_and_source_addresses_are_used() {
    let server = TestServer::start();
    let steps = "{ repeat = 4, steps = [{ get = \"/close\" }] }";
    let (port, seen) = relay::relay("127.0.0.1", behind(&server.base));
    let settings = "local_ips = \"127.0.0.7-127.0.0.8,127.9.0.0/31\"";
    let plan_v4 = plan(&format!("http://127.0.0.1:{port}"), settings, steps);
    assert_eq!(drive(&plan_v4).await.so_far().errors, BTreeMap::new());
    // Other tests of this process take their turns too, so that one may be left out here.
    let wanted = ["127.0.0.7", "127.0.0.8", "127.9.0.0", "127.9.0.1"];
    let mut peers = seen.peers();
    assert_eq!(peers.len(), 4);
    assert!(peers.iter().all(|peer| wanted.contains(&peer.as_str())), "{peers:?}");
    peers.sort();
    peers.dedup();
    assert!(peers.len() >= 2, "{peers:?}");
    let (port, seen) = relay::relay("::1", behind(&server.base));
    let plan_v6 = plan(&format!("http://[::1]:{port}"), settings, steps);
    assert_eq!(drive(&plan_v6).await.so_far().errors, BTreeMap::new());
    assert_eq!(seen.peers(), ["::1"; 4]);
    assert!(server.requests().iter().any(|it| it.contains(&format!("Host: [::1]:{port}\r\n"))));
    let foreign = plan("http://127.0.0.1:1", "local_ips = \"192.0.2.1\"", steps);
    let Err(error) = Engine::start(foreign, Pass::default()) else { panic!("started") };
    assert!(error.to_string().starts_with("`192.0.2.1` cannot be a source address"), "{error}");
}

#[tokio::test]
async fn a_name_leads_to_whoever_of_its_addresses_answers() {
    let server = TestServer::start();
    // Not every machine has `localhost` in both versions.
    let known: Vec<_> = ("localhost", 0).to_socket_addrs().unwrap().map(|it| it.ip()).collect();
    for address in known {
        let (port, seen) = relay::relay(&address.to_string(), behind(&server.base));
        for dns in ["", "dns = { select = \"roundRobin\" }", "dns = { policy = \"preferIPv6\" }"] {
            let plan = plan(&format!("http://localhost:{port}"), dns, "{ get = \"/\" }");
            assert_eq!(drive(&plan).await.so_far().errors, BTreeMap::new(), "{address} {dns}");
        }
        assert_eq!(seen.connections(), 3);
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_no_failure() {
    let (get, post) = ("{ get = \"/\" }", "{ post = \"/\", text = \"x\" }");
    let table = [
        (Farewell::Early, get, 5, 0),
        (Farewell::Late, get, 5, 0),
        (Farewell::Crossing, get, 5, 0),
        // Whether the request was acted on cannot be known, so it is not sent again.
        (Farewell::Late, post, 3, 2),
        (Farewell::Crossing, post, 3, 2),
    ];
    for (farewell, step, good, failed) in table {
        let (port, seen) = fickle(farewell);
        // Thinking gives the news of a close the time to come.
        let think = if matches!(farewell, Farewell::Early) { ", { think = \"50ms\" }" } else { "" };
        let steps = format!("{step}{think}");
        let text = format!(
            "[target]\nbase = \"http://127.0.0.1:{port}\"\n[flow.a]\nexecutor = \
             \"per-vu-iterations\"\nvus = 1\niterations = 5\nsteps = [{steps}]"
        );
        let scenario = Scenario::parse(&text, "test.toml").unwrap();
        let base = scenario.target.base.clone().unwrap();
        let so_far = drive(&Arc::new(Plan::resolve(&scenario, &base).unwrap())).await.so_far();
        let words = format!("{farewell:?} {step} {:?}", so_far.errors);
        assert_eq!(so_far.errors.values().sum::<u64>(), failed, "{words}");
        assert_eq!(so_far.metrics["http_reqs"].value("count"), Some(5.0), "{words}");
        assert_eq!(so_far.metrics["http_req_blocked"].value("count"), Some(5.0), "{words}");
        assert_eq!(seen.lines().len() as u64, good, "{words}");
        let reconnects = so_far.metrics.get("http_reconnects").and_then(|it| it.value("count"));
        assert_eq!(reconnects, (failed == 0).then_some(4.0), "{words}");
    }
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_not_asked_for_again() {
    let (port, seen) = fickle(Farewell::Midway);
    let steps = "{ get = \"/\" }, { get = \"/\" }";
    let so_far = drive(&plan(&format!("http://127.0.0.1:{port}"), "", steps)).await.so_far();
    let errors = BTreeMap::from([("connection closed before the reply".to_owned(), 1)]);
    assert_eq!(so_far.errors, errors);
    assert_eq!((seen.lines().len(), seen.connections()), (2, 1));
}

#[tokio::test]
async fn times_of_connections_are_those_of_k6() {
    let (server, papers) = (TestServer::start(), Papers::new());
    let paper = papers.give("localhost", 1);
    let front = Front::start(behind(&server.base), &paper, &papers, Manners::default());
    let base = format!("https://localhost:{}", front.port);
    let ca = format!("tls.ca = {}", quoted(&papers.path("ca.pem")));
    let steps = "{ repeat = 200, steps = [{ get = \"/\" }] }";
    let metrics = drive(&plan(&base, &ca, steps)).await.so_far().metrics;
    let value = |name: &str, of: &str| metrics[name].value(of).unwrap();
    for name in ["blocked", "connecting", "tls_handshaking", "sending", "receiving", "waiting"] {
        let name = format!("http_req_{name}");
        assert_eq!(value(&name, "count"), 200.0, "{name}");
    }
    for name in ["http_req_blocked", "http_req_connecting", "http_req_tls_handshaking"] {
        // One connection carried them all.
        assert_eq!(value(name, "p(99)"), 0.0, "{name}");
        assert!(value(name, "max") > 0.0, "{name}");
    }
    let parts = value("http_req_connecting", "max") + value("http_req_tls_handshaking", "max");
    let blocked = value("http_req_blocked", "max");
    // To a microsecond each, and the three digits of a histogram.
    assert!((blocked - parts).abs() < 0.01 * blocked + 0.01, "{blocked} {parts}");
}

#[tokio::test]
async fn a_connection_has_a_time_limit_of_its_own() {
    // A listener that never answers a TLS handshake.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let step = "{ get = \"/\", timeout = \"20s\" }";
    let settings = "connect_timeout = \"100ms\"";
    let so_far = drive(&plan(&base, settings, step)).await.so_far();
    assert_eq!(so_far.errors.keys().collect::<Vec<_>>(), ["no connection in time"]);
    let step = "{ get = \"/\", timeout = \"100ms\" }";
    let so_far = drive(&plan(&base, "connect_timeout = \"20s\"", step)).await.so_far();
    assert_eq!(so_far.errors.keys().collect::<Vec<_>>(), ["timed out"]);
}

#[test]
fn whoever_cannot_be_reached_is_told_in_words() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = plan(&format!("http://{nobody}"), "", "{ get = \"/\" }");
    assert_eq!(reach(&plain, WITHIN).unwrap_err().to_string(), "connection refused");
    let (server, papers) = (TestServer::start(), Papers::new());
    let paper = papers.give("localhost", 1);
    let front = Front::start(behind(&server.base), &paper, &papers, Manners::default());
    let base = format!("https://localhost:{}", front.port);
    let stranger = Papers::new();
    let ca = format!("tls.ca = {}", quoted(&stranger.path("ca.pem")));
    let error = reach(&plan(&base, &ca, "{ get = \"/\" }"), WITHIN).unwrap_err().to_string();
    assert!(error.starts_with("tls: unknown issuer"), "{error}");
    let secure = plan(&base, "tls.insecure = true", "{ get = \"/\" }");
    reach(&secure, WITHIN).unwrap();
    assert_eq!(ask(&secure, "/", WITHIN).unwrap(), 200);
}
