//! What the REST interface refuses, and that it stays up: tokens that are not good, other people's
//! things, bodies that are too long, too slow or not what is wanted, and plain nonsense.
//! In: hostile requests. Out: a documented status, never one of the server's own failures.

mod support;

use ebbtide_server::{Config, Limits};
use serde_json::json;
use std::time::Duration;
use support::caller::Caller;
use support::{soon, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_good() {
    let server = start(Config::default()).await;
    let guest = Caller::new(&server).await;
    let (ada, session) = guest.register("Ada").await;
    let good = ada.token.clone().unwrap();
    let (head, signature) = good.rsplit_once('.').unwrap();
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let claims = head.split_once('.').unwrap().1;
    for token in [
        String::new(),
        "x".to_owned(),
        "x".repeat(9_000),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{head}."),
        format!("{head}.{}", "A".repeat(signature.len())),
        format!("{good}x"),
    ] {
        // Even where guests may come, who says who they are must be right.
        for path in ["/users/me", "/rooms"] {
            let (status, problem) = guest.with(&token).get(path).await;
            assert_eq!((status, &problem["code"]), (401, &json!("bad_token")), "{token}");
        }
    }
    assert_eq!(guest.get("/users/me").await.1["code"], "account_needed");

    let shown = |session: &serde_json::Value| json!({ "refresh_token": session["refresh_token"] });
    let (_, next) = guest.call("POST", "/auth/refresh", Some(shown(&session))).await;
    let (status, reused) = guest.call("POST", "/auth/refresh", Some(shown(&session))).await;
    assert_eq!((status, &reused["code"]), (401, &json!("token_reused")));
    let (status, ended) = guest.call("POST", "/auth/refresh", Some(shown(&next))).await;
    assert_eq!((status, &ended["code"]), (401, &json!("bad_refresh_token")), "the family ends");
    let taken = json!({ "username": "ADA", "password": "correct horse" });
    assert_eq!(guest.call("POST", "/auth/register", Some(taken)).await.0, 409);
    for (name, password, status) in [("Eve", "short", 422), ("<b>", "correct horse", 422)] {
        let body = json!({ "username": name, "password": password });
        assert_eq!(guest.call("POST", "/auth/register", Some(body)).await.0, status, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_server_lets_in_accounts_alone() {
    let server = start(Config { open: false, ..Config::default() }).await;
    let guest = Caller::new(&server).await;
    let (ada, _) = guest.register("Ada").await;
    for path in ["/rooms", "/rooms/lobby/messages", "/users", "/rooms/lobby/events?after=0"] {
        assert_eq!(guest.get(path).await.0, 401, "{path}");
        assert_eq!(ada.get(path).await.0, 200, "{path}");
    }
    let new = json!({ "content": "hello" });
    assert_eq!(guest.call("POST", "/rooms/lobby/messages", Some(new)).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_things() {
    let server = start(Config::default()).await;
    let guest = Caller::new(&server).await;
    let (ada, _) = guest.register("Ada").await;
    let (eve, _) = guest.register("Eve").await;
    let den = json!({ "id": "den", "public": false });
    assert_eq!(ada.call("POST", "/rooms", Some(den)).await.0, 201);
    let secret = json!({ "content": "secret" });
    assert_eq!(ada.call("POST", "/rooms/den/messages", Some(secret.clone())).await.0, 201);
    for who in [&eve, &guest] {
        for (method, path, body) in [
            ("GET", "/rooms/den", None),
            ("GET", "/rooms/den/messages", None),
            ("GET", "/rooms/den/events?after=0", None),
            ("GET", "/rooms/den/members", None),
            ("POST", "/rooms/den/messages", Some(secret.clone())),
            ("PATCH", "/rooms/den", Some(json!({ "public": true }))),
            ("DELETE", "/rooms/den", None),
        ] {
            let (status, problem) = who.call(method, path, body).await;
            assert_eq!(status, 404, "{method} {path}: {problem}");
            let (_, nowhere) = who.get("/rooms/cave").await;
            let (told, expected) = (&problem["detail"], nowhere["detail"].as_str().unwrap());
            assert_eq!(told, &expected.replace("cave", "den"), "it says that there is one");
        }
    }
    let direct = json!({ "to": "Ada", "content": "for you" });
    assert_eq!(ada.call("POST", "/messages/direct", Some(direct)).await.0, 201);
    let (_, inbox) = eve.get("/messages/direct?with=Ada").await;
    assert_eq!(inbox["messages"], json!([]));
    assert_eq!(eve.call("POST", "/notifications/1/read", None).await.0, 404);
    assert_eq!(eve.call("DELETE", "/notifications/1", None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_what_is_wanted() {
    let limits = Limits { body_bytes: 10_000, message_bytes: 1_000, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let guest = Caller::new(&server).await;
    let path = "/rooms/lobby/messages";
    let long = json!({ "content": "x".repeat(1_001) }).to_string();
    let far = json!({ "content": "x".repeat(20_000) }).to_string();
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(4_999));
    for (body, kind, status, code) in [
        (r#"{"content":"x"}"#, "text/plain", 415, "not_json"),
        (r#"{"content":"x"}"#, "application/x-www-form-urlencoded", 415, "not_json"),
        ("", "application/json", 400, "bad_json"),
        ("{", "application/json", 400, "bad_json"),
        (&deep, "application/json", 422, "bad_field"),
        ("[]", "application/json", 422, "bad_field"),
        (r#"{"content":7}"#, "application/json", 422, "bad_field"),
        (r#"{"key":"x"}"#, "application/json", 422, "bad_field"),
        (&long, "application/json", 422, "too_long"),
        (&far, "application/json", 413, "too_long"),
        (r#"{"content":"x"}"#, "application/json; charset=utf-8", 201, ""),
    ] {
        let (got, problem) = guest.send("POST", path, Some(body), kind).await;
        assert_eq!(got, status, "{kind} {}: {problem}", &body[..body.len().min(40)]);
        assert_eq!(problem["code"].as_str().unwrap_or_default(), code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come() {
    let limits = Limits { body_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/v1/log HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    soon("the end of the connection", stream.read_to_end(&mut reply)).await.unwrap();
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
    assert!(reply.contains("too_slow"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_post_of_socket_io() {
    let limits = Limits { body_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let path = "/socket.io/?EIO=4&transport=polling";
    let sid = server.ask("GET", path, "").await.2.split('"').nth(3).unwrap().to_owned();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST {path}&sid={sid} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n40");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    soon("the end of the connection", stream.read_to_end(&mut reply)).await.unwrap();
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
}

/// Every operation with every kind of nonsense: the caller checks each status by the document.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense() {
    let server = start(Config::default()).await;
    let guest = Caller::new(&server).await;
    let (ada, _) = guest.register("Ada").await;
    let words =
        ["0", "-1", "9223372036854775808", "lobby", "%00", "%2e%2e%2f", "me", "%F0%9F%98%80"];
    let queries = [
        "",
        "?limit=0&before=-9223372036854775808",
        "?limit=4294967295&after=9223372036854775807",
        "?limit=-1",
        "?after=%00&prefix=%00&with=%00&kind=%00",
        "?limit=1&limit=2",
        "?unread=maybe",
    ];
    let bodies = [
        None,
        Some(json!({})),
        Some(json!([1, null])),
        Some(json!({ "content": "\u{0}", "to": "\u{0}", "key": "\u{0}", "role": "\u{0}" })),
        Some(json!({ "id": "x", "title": "y".repeat(500), "username": "", "password": "" })),
        Some(json!({ "refresh_token": "", "new_password": "correct horse" })),
    ];
    for (method, template) in guest.operations() {
        let takes_body = !matches!(method.as_str(), "GET" | "DELETE");
        for (n, word) in words.iter().enumerate() {
            let path = template.trim_start_matches("/api/v1");
            let path = ["{room}", "{id}", "{user}"]
                .iter()
                .fold(path.to_owned(), |path, name| path.replace(name, word));
            let path = format!("{path}{}", queries[n % queries.len()]);
            let body = takes_body.then(|| bodies[n % bodies.len()].clone()).flatten();
            for who in [&guest, &ada] {
                let (status, text) = who.call(&method, &path, body.clone()).await;
                assert!(status < 500, "{method} {path}: {status} {text}");
            }
            if !template.contains('{') && n >= queries.len() {
                break;
            }
        }
    }
    assert_eq!(ada.get("/rooms").await.0, 200, "still there");
}
