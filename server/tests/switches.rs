//! The faults that strike any request, and the switches of all of them while the server runs.
//! In: settings as text and as JSON. Out: what the server does under them.
//! What leaks keep is left to `faults`.

mod support;

use ebbtide_probe::Request;
use ebbtide_server::{Config, Fault, Faults, Limits};
use std::sync::Arc;
use support::start;

#[tokio::test]
async fn faults_strike_while_they_are_on() {
    let faults: Arc<Faults> = Arc::default();
    let server = start(Config { faults: faults.clone(), ..Config::default() }).await;
    for (switch, status) in [
        ("error=100%", 500),
        ("error=off", 200),
        ("tail=100%:1ms", 200),
        ("stall=1ms@2ms", 200),
        ("cpu=50%", 200),
        ("alloc=4096", 200),
        ("leak=16", 200),
    ] {
        faults.switch(switch).unwrap();
        let (got, kind, text) = server.ask("POST", "/api/v1/echo", "words").await;
        assert_eq!(got, status, "{switch}: {kind} {text}");
    }
    let (_, _, metrics) = server.ask("GET", "/metrics", "").await;
    assert!(metrics.contains("ebbtide_requests_total{status=\"5xx\"} 1\n"), "{metrics}");
    let mut client = server.connect("/ws").await;
    for (switch, content) in [("drop=50%", "first"), ("drop=off", "second")] {
        faults.switch(switch).unwrap();
        // Half of two is one: the second of them is dropped. The third tells that both were
        // looked at.
        for text in [content, "too", "last"] {
            client.send(format!(r#"{{"type":"user","content":"{text}"}}"#)).await;
        }
        let mut heard = Vec::new();
        while heard.last().is_none_or(|last| last != "last") {
            heard.push(client.json().await["content"].as_str().unwrap().to_owned());
        }
        heard.pop();
        let wanted: &[&str] = if content == "first" { &["first"] } else { &["second", "too"] };
        assert_eq!(heard, wanted);
    }
}

#[tokio::test]
async fn the_log_without_a_bound_is_what_the_fault_makes_of_it() {
    let faults: Arc<Faults> = Arc::default();
    let limits = Limits { log_entries: 2, ..Limits::default() };
    let server = start(Config { faults: faults.clone(), limits, ..Config::default() }).await;
    for (switch, kept) in [("cache=off", [1, 2, 2, 2]), ("cache=on", [3, 4, 5, 6])] {
        faults.switch(switch).unwrap();
        for kept in kept {
            let (_, _, reply) = server.ask("POST", "/api/v1/log", "a line").await;
            assert_eq!(reply, format!(r#"{{"kept":{kept}}}"#), "{switch}");
        }
    }
}

#[test]
fn the_admin_listener_lists_and_sets() {
    let faults: Arc<Faults> = Arc::default();
    let (path, answer) = faults.route();
    assert_eq!(path, "/debug/faults");
    for (method, body, status, part) in [
        ("GET", "", 200, r#""cache":"off""#),
        ("PUT", r#"{"cache":"on","tail":"1%:20ms"}"#, 200, r#""tail":"1%:20ms""#),
        ("PUT", r#"{"cache":"off","cash":"on"}"#, 400, "no fault is called `cash`"),
        ("PUT", "cache", 400, "not a JSON object"),
        ("DELETE", "", 405, "PUT sets them"),
        ("GET", "", 200, r#""cache":"100%""#),
    ] {
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            body: body.as_bytes().to_vec(),
        };
        let reply = answer(&request);
        let text = String::from_utf8(reply.body).unwrap();
        assert_eq!(reply.status, status, "{method} {body}: {text}");
        assert!(text.contains(part), "{method} {body}: {text}");
    }
    assert_eq!(faults.setting(Fault::Cache).to_string(), "100%", "all or none");
}
