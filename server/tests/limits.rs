//! How much one client may ask for: each limit is met at its edge, by one address and by one
//! account, while others go on.
//! In: clients of several addresses of this machine, which is not exempt here. Out: what each is
//! answered, and that the server says so in its figures.
//! Limits of sizes are left to `attacks`, `chat` and `frames`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use ebbtide_server::{Config, Limits, Rate};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use support::{Running, soon, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// More than any burst here, and few enough to be quick.
const MANY: usize = 60;

/// Limits that hold for this machine as well.
fn strict() -> Limits {
    Limits { loopback_is_exempt: false, ..Limits::default() }
}

async fn started(limits: Limits) -> Running {
    start(Config { limits, ..Config::default() }).await
}

/// A connection from `127.0.0.N`.
async fn connect(server: &Running, n: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, n], 0))).unwrap();
    socket.connect(server.address).await.unwrap()
}

/// The answer to a request from `127.0.0.N`: its status, its head and its body.
async fn ask(server: &Running, n: u8, request: &str) -> (u16, String, Value) {
    let mut stream = connect(server, n).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    soon("an answer", stream.read_to_string(&mut reply)).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), serde_json::from_str(body).unwrap_or_default())
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n")
}

fn post(path: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// One of the figures, asked for from an address that asks for nothing else.
async fn figure(server: &Running, name: &str) -> f64 {
    let mut stream = connect(server, 250).await;
    stream.write_all(get("/metrics", "").as_bytes()).await.unwrap();
    let mut text = String::new();
    soon("the figures", stream.read_to_string(&mut text)).await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no `{name}` in {text}")).parse().unwrap()
}

#[tokio::test]
async fn requests_of_an_address() {
    let server = started(Limits { requests: Rate::new(1, 5), ..strict() }).await;
    let path = get("/api/v1/rooms", "");
    let mut refused = None;
    for n in 0..MANY {
        let (status, head, body) = ask(&server, 2, &path).await;
        if status == 429 {
            refused = Some((n, head, body));
            break;
        }
        assert_eq!(status, 200);
    }
    let (before, head, body) = refused.expect("never refused");
    assert!(before >= 5, "refused after {before}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(head.contains("retry-after: 1"), "{head}");
    assert_eq!((&body["code"], &body["status"]), (&json!("too_many"), &json!(429)));
    // Others go on, and a supervisor is always answered.
    assert_eq!(ask(&server, 3, &path).await.0, 200);
    for _ in 0..20 {
        assert_eq!(ask(&server, 2, &get("/healthz", "")).await.0, 200);
    }
    assert!(figure(&server, "ebbtide_limited_total{what=\"request\"}").await >= 1.0);
}

#[tokio::test]
async fn requests_of_an_account_from_many_addresses() {
    let server = started(Limits { requests: Rate::new(1, 5), ..strict() }).await;
    let new = json!({ "username": "Ada", "password": "correct horse" });
    let (status, _, session) = ask(&server, 2, &post("/api/v1/auth/register", &new)).await;
    assert_eq!(status, 201, "{session}");
    let token = session["access_token"].as_str().unwrap();
    let request = get("/api/v1/users/me", &format!("authorization: Bearer {token}\r\n"));
    let asked = (10..10 + u8::try_from(MANY).unwrap()).map(|n| ask(&server, n, &request));
    let statuses: Vec<u16> = join_all(asked).await.into_iter().map(|answer| answer.0).collect();
    let good = statuses.iter().filter(|&&status| status == 200).count();
    assert!((5..MANY).contains(&good), "{statuses:?}");
    assert!(statuses.iter().all(|&status| status == 200 || status == 429), "{statuses:?}");
    // Without the account the same addresses have limits of their own.
    assert_eq!(ask(&server, 10, &get("/api/v1/rooms", "")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_of_an_account_from_many_addresses() {
    let server = started(Limits { logins: Rate::new(1, 3), ..strict() }).await;
    let new = json!({ "username": "Ada", "password": "correct horse" });
    assert_eq!(ask(&server, 2, &post("/api/v1/auth/register", &new)).await.0, 201);
    let guess = json!({ "username": "ada", "password": "battery staple" });
    let request = post("/api/v1/auth/login", &guess);
    // All at once, so that it does not matter how long a password takes.
    let tried = (10..26).map(|n| ask(&server, n, &request));
    let answers = join_all(tried).await;
    let of = |wanted: u16| answers.iter().filter(|answer| answer.0 == wanted).count();
    assert!(of(401) >= 3 && of(429) >= 1 && of(401) + of(429) == 16, "{answers:?}");
    let one = (0..16).map(|_| ask(&server, 99, &request));
    let answers = join_all(one).await;
    assert!(answers.iter().any(|answer| answer.0 == 429), "{answers:?}");
    assert!(figure(&server, "ebbtide_limited_total{what=\"login\"}").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_tried_with_a_token() {
    let server = started(Limits { logins: Rate::new(1, 3), ..strict() }).await;
    let new = json!({ "username": "Ada", "password": "correct horse" });
    let (_, _, session) = ask(&server, 2, &post("/api/v1/auth/register", &new)).await;
    let token = session["access_token"].as_str().unwrap();
    let guess = json!({ "password": "battery staple", "new_password": "mine from now on" });
    let request = post("/api/v1/users/me", &guess).replace("POST", "PATCH");
    let request =
        request.replace("\r\n\r\n", &format!("\r\nauthorization: bearer {token}\r\n\r\n"));
    let tried = (10..26).map(|n| ask(&server, n, &request));
    let answers = join_all(tried).await;
    let of = |wanted: u16| answers.iter().filter(|answer| answer.0 == wanted).count();
    assert!(of(403) >= 3 && of(429) >= 1 && of(403) + of(429) == 16, "{answers:?}");
}

#[tokio::test]
async fn events_over_both_kinds_of_socket() {
    let server = started(Limits { events: Rate::new(1, 5), ..strict() }).await;
    let mut plain = server.connect("/ws").await;
    for n in 0..MANY {
        plain.send(format!(r#"{{"type":"user","content":"{n}"}}"#)).await;
    }
    let mut said = 0;
    for _ in 0..MANY {
        let reply = plain.json().await;
        if reply["type"] == "user" {
            said += 1;
        } else {
            assert_eq!(reply["code"], "too_many", "{reply}");
        }
    }
    assert!((5..MANY).contains(&said), "{said}");

    let server = started(Limits { events: Rate::new(1, 5), ..strict() }).await;
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut client = server.connect_unwelcomed(path).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client.send("40").await;
    assert!(client.text().await.starts_with("40{"));
    for n in 0..MANY {
        client.send(format!(r#"42{n}["presence:list",{{"room":"lobby"}}]"#)).await;
    }
    let mut limited = 0;
    for n in 0..MANY {
        let reply = client.text().await;
        // Each is answered, in order, whether it was done or not.
        assert!(reply.starts_with(&format!("43{n}[")), "{reply}");
        limited += usize::from(reply.contains("too_many"));
    }
    assert!((1..=MANY - 5).contains(&limited), "{limited}");
    assert!(figure(&server, "ebbtide_limited_total{what=\"event\"}").await >= 1.0);
}

#[tokio::test]
async fn connections_of_an_address_and_of_all() {
    let limits = Limits { connections_per_address: 4, connections: 6, ..strict() };
    let server = started(limits).await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let hold = async |n: u8| {
        let mut stream = connect(&server, n).await;
        // A connection that is refused is cut, at once or while it is written to.
        stream.write_all(request).await.ok()?;
        let mut reply = [0; 12];
        soon("an answer", stream.read_exact(&mut reply)).await.ok()?;
        Some(stream)
    };
    let mut held = Vec::new();
    for _ in 0..10 {
        held.extend(hold(2).await);
    }
    assert_eq!(held.len(), 4, "of one address");
    for _ in 0..10 {
        held.extend(hold(3).await);
    }
    assert_eq!(held.len(), 6, "in all");
    drop(held);
    let again = async {
        while hold(2).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    soon("a place that is free again", again).await;
    assert!(figure(&server, "ebbtide_connect_errors_total{reason=\"address\"}").await >= 6.0);
    assert!(figure(&server, "ebbtide_connect_errors_total{reason=\"full\"}").await >= 8.0);
}

#[tokio::test]
async fn who_stands_behind_a_proxy_is_counted_alone() {
    let limits = Limits { requests: Rate::new(1, 5), connections_per_address: 1, ..strict() };
    let proxies = vec!["127.0.0.9".parse().unwrap()];
    let server = start(Config { limits, proxies, ..Config::default() }).await;
    let as_one = |client: &str| get("/api/v1/rooms", &format!("x-forwarded-for: {client}\r\n"));
    // Through the proxy each client has its own limit, and many connections are one proxy's.
    let open: Vec<_> = join_all((0..8).map(|_| connect(&server, 9))).await;
    for n in 0..MANY {
        assert_eq!(ask(&server, 9, &as_one(&format!("198.51.100.{n}"))).await.0, 200, "{n}");
    }
    drop(open);
    let mut refused = 0;
    for _ in 0..MANY {
        refused += usize::from(ask(&server, 9, &as_one("203.0.113.7")).await.0 == 429);
    }
    assert!((1..=MANY - 5).contains(&refused), "{refused}");
    // Who is no proxy may say what it likes.
    let mut refused = 0;
    for n in 0..MANY {
        let (status, ..) = ask(&server, 8, &as_one(&format!("198.51.100.{n}"))).await;
        refused += usize::from(status == 429);
    }
    assert!((1..=MANY - 5).contains(&refused), "{refused}");
}

#[tokio::test]
async fn who_never_says_what_it_wants_is_cut() {
    let limits = Limits {
        header_timeout: Duration::from_millis(100),
        hello: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = started(limits).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        soon("the end", stream.read_to_end(&mut reply)).await.unwrap();
        assert!(reply.is_empty(), "{}", String::from_utf8_lossy(&reply));
    }
    // A session of Socket.IO that enters no namespace.
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut client = server.connect_unwelcomed(path).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client.end().await;
}

#[tokio::test]
async fn heads_that_are_too_long() {
    let server = started(Limits::default()).await;
    let lines = |count: usize| "x-more: 1\r\n".repeat(count);
    let long = format!("x-long: {}\r\n", "x".repeat(400_000));
    let path = format!("/{}", "x".repeat(400_000));
    for (request, statuses) in [
        (get("/healthz", &lines(80)), &[200][..]),
        (get("/healthz", &lines(200)), &[431]),
        (get("/healthz", &long), &[431]),
        (get(&path, ""), &[414, 431]),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The rest is not read, so that writing it may fail.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut reply = [0; 12];
        soon("a status", stream.read_exact(&mut reply)).await.unwrap();
        let status = std::str::from_utf8(&reply[9..]).unwrap().parse().unwrap();
        let begun = &request[..60];
        assert!(statuses.contains(&status), "{status} instead of {statuses:?}: {begun}");
    }
    assert_eq!(server.ask("GET", "/healthz", "").await.0, 200);
}
