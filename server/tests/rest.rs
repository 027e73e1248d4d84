//! Every REST path, over real connections: what is answered, and what is refused and how.
//! In: requests as a client sends them. Out: status, body and what is kept.
//! WebSockets and faults have files of their own.

mod support;

use ebbtide_server::{Config, Database, Limits, ServeError, Server};
use support::start;

const PROBLEM: &str = "application/problem+json";

#[tokio::test]
async fn each_path_answers() {
    let limits = Limits { body_bytes: 1_000, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let long = "x".repeat(1_001);
    let room = "/api/v1/rooms/lobby/messages";
    for (method, path, body, status, kind, part) in [
        ("GET", "/healthz", "", 200, "text/plain; charset=utf-8", "ok"),
        ("GET", "/readyz", "", 200, "text/plain; charset=utf-8", "ready"),
        ("GET", "/metrics", "", 200, "text/plain; version=0.0.4", "ebbtide_census_live{kind="),
        ("POST", "/api/v1/echo", "a\u{e9}\"", 200, "text/plain", "a\u{e9}\""),
        ("GET", "/api/v1/echo", "", 200, "text/plain", ""),
        ("POST", "/api/v1/echo", &long, 413, PROBLEM, "too_long"),
        ("POST", "/api/v1/log", "first", 202, "application/json", r#"{"kept":1}"#),
        ("POST", "/api/v1/log", "second", 202, "application/json", r#"{"kept":2}"#),
        ("GET", "/api/v1/log?limit=1", "", 200, "application/json", r#"{"entries":["second"]}"#),
        ("POST", "/api/v1/log", "", 400, PROBLEM, "empty"),
        ("POST", "/api/v1/log", &long, 413, PROBLEM, "too_long"),
        ("POST", room, r#"{"content":"hi"}"#, 415, PROBLEM, "not_json"),
        ("GET", "/api/v1/rooms/nowhere/messages", "", 404, PROBLEM, "no_room"),
        ("GET", room, "", 200, "application/json", r#"{"messages":[],"next":null}"#),
        ("GET", "/api/v1/rooms", "", 200, "application/json", r#"{"id":"lobby","title":"lobby","#),
        ("GET", "/api/v1/rooms?limit=x", "", 400, PROBLEM, "bad_query"),
        ("GET", "/api/v1/users/x", "", 400, PROBLEM, "bad_path"),
        ("GET", "/docs", "", 200, "text/html; charset=utf-8", "/docs/docs.js"),
        ("GET", "/docs/openapi.json", "", 200, "application/json", r#""openapi":"3.1.0""#),
        ("DELETE", "/api/v1/rooms", "", 405, PROBLEM, "method_not_allowed"),
        ("GET", "/nothing", "", 404, PROBLEM, "not_found"),
        ("GET", "/ws", "", 426, PROBLEM, "upgrade_required"),
        ("GET", "/", "", 200, "text/html; charset=utf-8", "<title>Ebbtide</title>"),
        ("GET", "/page/0/sio.js", "", 200, "text/javascript; charset=utf-8", "new WebSocket"),
        ("GET", "/page/0/style.css", "", 200, "text/css; charset=utf-8", "color-scheme"),
        ("GET", "/page/0/none.js", "", 404, PROBLEM, "not_found"),
    ] {
        let (got, got_kind, text) = server.ask(method, path, body).await;
        assert_eq!((got, got_kind.as_str()), (status, kind), "{method} {path}: {text}");
        assert!(text.contains(part), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let limits = Limits { log_entries: 3, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    for n in 0..5 {
        server.ask("POST", "/api/v1/log", &format!("{n}")).await;
    }
    let (_, _, entries) = server.ask("GET", "/api/v1/log", "").await;
    assert_eq!(entries, r#"{"entries":["2","3","4"]}"#);
}

#[tokio::test]
async fn the_page_may_load_from_nowhere_else() {
    let server = start(Config::default()).await;
    let own = ["/", "/page/0/main.js", "/page/0/icons.svg"];
    for path in own.into_iter().chain(["/docs", "/docs/docs.js", "/docs/docs.css"]) {
        let reply = server.reply("GET", path, "").await;
        let policy = reply.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    for script in ["/page/0/messages.js", "/page/0/markdown.js", "/docs/docs.js"] {
        let (_, _, script) = server.ask("GET", script, "").await;
        assert!(!script.contains("innerHTML"), "user text would become markup");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let running = start(Config::default()).await;
    let taken = Config { port: running.address.port(), ..Config::default() };
    let guessed = Config { port: 0, secret: Some("short".to_owned()), ..Config::default() };
    let database = Database::File("/nowhere/at/all".into());
    let homeless = Config { port: 0, database, ..Config::default() };
    let roomless = Config { port: 0, rooms: Vec::new(), ..Config::default() };
    let misnamed = Config { port: 0, rooms: vec!["a room".to_owned()], ..Config::default() };
    for (config, says) in [
        (taken, "choose another port"),
        (guessed, "32 are the least"),
        (homeless, "cannot open the database"),
        (roomless, "name one"),
        (misnamed, "`a room`"),
    ] {
        let error: ServeError = Server::bind(config).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}
