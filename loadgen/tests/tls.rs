//! TLS against real servers: what is agreed on, what is refused and in which words.
//!
//! In: certificates made for the test. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

#[path = "support/front.rs"]
mod front;
mod support;

use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Totals};
use front::{Front, Manners, Papers, behind, quoted};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use support::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ONCE: &str = "executor = \"per-vu-iterations\"\nvus = 1\niterations = 1";

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

#[tokio::test]
async fn replies_come_through_tls_whole() {
    let (server, papers) = (TestServer::start(), Papers::new());
    let paper = papers.give("localhost", 1);
    let ca = format!("tls.ca = {}", quoted(&papers.path("ca.pem")));
    for manners in [
        Manners::default(),
        Manners { old: true, ..Manners::default() },
        Manners { in_bytes: true, ..Manners::default() },
        Manners { protocol: Some("http/1.1"), ..Manners::default() },
    ] {
        let front = Front::start(behind(&server.base), &paper, &papers, manners);
        let base = format!("https://localhost:{}", front.port);
        for (step, body) in [
            ("get = \"/\"", "ok"),
            ("get = \"/chunked\"", "hello, world"),
            ("get = \"/until-close\"", "until the end"),
            ("post = \"/echo\", json = { a = 1 }", "a"),
        ] {
            let step = format!("{{ {step}, check = {{ body = \"{body}\" }} }}");
            let steps = format!("{{ repeat = 3, steps = [{step}] }}");
            let so_far = drive(&plan(&base, &ca, &steps)).await.so_far();
            assert_eq!(so_far.errors, BTreeMap::new(), "{manners:?} {step}");
            assert_eq!(so_far.metrics["checks"].value("passes"), Some(3.0), "{manners:?} {step}");
        }
    }
}

#[tokio::test]
async fn a_large_reply_and_a_large_request_come_through() {
    let (server, papers) = (TestServer::start(), Papers::new());
    let paper = papers.give("localhost", 1);
    let ca = format!("tls.ca = {}", quoted(&papers.path("ca.pem")));
    let front = Front::start(behind(&server.base), &paper, &papers, Manners::default());
    let base = format!("https://localhost:{}", front.port);
    let sent = "y".repeat(400_000);
    let steps = format!(
        "{{ get = \"/large\", check = {{ body = \"xxxx\" }} }}, \
         {{ post = \"/echo\", body = \"{sent}z\", check = {{ body = \"{sent}z\" }} }}"
    );
    let so_far = drive(&plan(&base, &ca, &steps)).await.so_far();
    assert_eq!(so_far.errors, BTreeMap::new());
    assert_eq!(so_far.metrics["checks"].value("passes"), Some(2.0));
    let host = format!("Host: localhost:{}\r\n", front.port);
    assert!(server.requests().iter().all(|request| request.contains(&host)));
}

#[tokio::test]
async fn a_websocket_over_tls_echoes() {
    let (server, papers) = (TestServer::start(), Papers::new());
    let paper = papers.give("localhost", 1);
    let ca = format!("tls.ca = {}", quoted(&papers.path("ca.pem")));
    for manners in [Manners::default(), Manners { in_bytes: true, ..Manners::default() }] {
        let front = Front::start(behind(&server.base), &paper, &papers, manners);
        let base = format!("wss://localhost:{}", front.port);
        let steps = "{ connect = \"/ws\" }, { await = \"welcome\" }, { repeat = 20, steps = [ \
                     { send = \"hello ${iteration}\", await = \"hello\" } ] }, { ping = \"/ws\" }, \
                     { close = \"/ws\" }"
            .replace("{ ping = \"/ws\" }", "{ ping = true }")
            .replace("{ close = \"/ws\" }", "{ close = 1000 }");
        let so_far = drive(&plan(&base, &ca, &steps)).await.so_far();
        assert_eq!(so_far.errors, BTreeMap::new(), "{manners:?}");
        assert_eq!(so_far.metrics["ws_msgs_sent"].value("count"), Some(20.0));
        assert!(so_far.metrics.contains_key("ws_ping"));
    }
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_words() {
    let (server, papers, others) = (TestServer::start(), Papers::new(), Papers::new());
    let good = papers.give("localhost", 1);
    let expired = papers.give("localhost", -1);
    let elsewhere = papers.give("example.org", 1);
    let own = papers.own("localhost");
    let client = format!("tls.cert = {}", {
        papers.give("client", 1);
        quoted(&papers.path("client.pem"))
    });
    let stranger = format!("tls.cert = {}", {
        others.give("client", 1);
        quoted(&others.path("client.pem"))
    });
    let ca = format!("tls.ca = {}\n", quoted(&papers.path("ca.pem")));
    let insecure = "tls.insecure = true\n".to_owned();
    let own_ca = format!("tls.ca = {}\n", quoted(&papers.path("own.pem")));
    let other_ca = format!("tls.ca = {}\n", quoted(&others.path("ca.pem")));
    let named = format!("{ca}tls.server_name = \"example.org\"\n");
    let wants = Manners { wants_client: true, ..Manners::default() };
    let plain = Manners::default();
    let old = Manners { old: true, ..wants };
    let table = [
        (&good, plain, ca.clone(), ""),
        (&good, plain, other_ca, "tls: unknown issuer (give its CA with --ca, or --insecure)"),
        (&good, plain, insecure.clone(), ""),
        (&expired, plain, ca.clone(), "tls: certificate has expired"),
        (&expired, plain, insecure.clone(), ""),
        (
            &elsewhere,
            plain,
            ca.clone(),
            "tls: certificate is for another name (give it with --server-name)",
        ),
        (&elsewhere, plain, named, ""),
        (&elsewhere, plain, insecure.clone(), ""),
        (
            &own,
            plain,
            ca.clone(),
            "tls: certificate of an issuer, unknown here (give it with --ca, or --insecure)",
        ),
        (&own, plain, own_ca.clone(), ""),
        (&own, plain, insecure, ""),
        (
            &good,
            wants,
            ca.clone(),
            "tls: server wants a client certificate (give --cert and --key)",
        ),
        (&good, wants, format!("{ca}{client}"), ""),
        (&good, old, format!("{ca}{client}"), ""),
        (
            &good,
            wants,
            format!("{ca}{stranger}"),
            "tls: server does not know the issuer of the client certificate",
        ),
        (
            &good,
            Manners { truncates: true, ..plain },
            ca.clone(),
            "tls: connection ended without close_notify",
        ),
    ];
    for (paper, manners, settings, words) in table {
        let front = Front::start(behind(&server.base), paper, &papers, manners);
        let base = format!("https://localhost:{}", front.port);
        let step = "{ get = \"/until-close\", check = { body = \"until\" } }";
        let so_far = drive(&plan(&base, &settings, step)).await.so_far();
        let errors: Vec<&str> = so_far.errors.keys().map(String::as_str).collect();
        let expected: Vec<&str> =
            Some(words).filter(|words| !words.is_empty()).into_iter().collect();
        assert_eq!(errors, expected, "{manners:?} {settings}");
        let passes = so_far.metrics.get("checks").and_then(|checks| checks.value("passes"));
        assert_eq!(passes, words.is_empty().then_some(1.0), "{manners:?} {settings}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    for (reply, words) in [
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "tls: server does not speak TLS (is it http:// or ws://?)",
        ),
        ("", "tls: connection ended during the handshake"),
    ] {
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 64];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // Read to its end, so that no reset overtakes the reply.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        };
        let plan = plan(&base, "tls.insecure = true", "{ get = \"/\" }");
        let (totals, ()) = tokio::join!(drive(&plan), answer);
        let errors: Vec<String> = totals.so_far().errors.into_keys().collect();
        assert_eq!(errors, [words]);
    }
}

#[tokio::test]
async fn sessions_are_resumed_unless_told_not_to() {
    let (server, papers) = (TestServer::start(), Papers::new());
    let paper = papers.give("localhost", 1);
    for (old, resumption, resumed) in
        [(false, true, 4), (true, true, 4), (false, false, 0), (true, false, 0)]
    {
        let manners = Manners { old, ..Manners::default() };
        let front = Front::start(behind(&server.base), &paper, &papers, manners);
        let base = format!("https://localhost:{}", front.port);
        let ca = quoted(&papers.path("ca.pem"));
        let settings = format!("tls = {{ ca = {ca}, resumption = {resumption} }}");
        let steps = "{ repeat = 5, steps = [{ get = \"/close\" }] }";
        let so_far = drive(&plan(&base, &settings, steps)).await.so_far();
        assert_eq!(so_far.errors, BTreeMap::new(), "{old} {resumption}");
        assert_eq!(front.resumed.load(Ordering::Relaxed), resumed, "{old} {resumption}");
        assert_eq!(front.full.load(Ordering::Relaxed), 5 - resumed, "{old} {resumption}");
        assert_eq!(front.names.lock().unwrap().len(), 5);
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let papers = Papers::new();
    let empty = papers.path("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let missing = papers.path("missing.pem");
    for (settings, words) in [
        (format!("tls.ca = {}", quoted(&missing)), "missing.pem`: No such file"),
        (format!("tls.ca = {}", quoted(&empty)), "empty.pem`: no certificate in it"),
        (format!("tls.cert = {}", quoted(&papers.path("ca.pem"))), "ca.pem`: no private key in it"),
        ("tls.server_name = \"a b\"".to_owned(), "`a b` cannot be the name of a TLS server"),
    ] {
        let plan = plan("https://127.0.0.1:1", &settings, "{ get = \"/\" }");
        let Err(error) = Engine::start(plan, Pass::default()) else { panic!("{settings}") };
        assert!(error.to_string().contains(words), "{error}");
    }
}
