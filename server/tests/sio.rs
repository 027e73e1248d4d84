//! Socket.IO and plain WebSocket in one room, met by npm's own clients; and who goes away.
//! In: npm's `socket.io-client` and `ws` on Node, clients that misbehave on raw sockets. Out: what
//! they see, and that nothing of them is left.
//! Node and its packages come by `cargo xtask setup`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use ebbtide_probe::Census;
use ebbtide_server::{Config, Limits};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use support::{Client, Running, soon, start, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The census counts the whole process, and so all tests in it: one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What npm's clients say of the server, run by a script of ours.
async fn run_script(name: &str, address: String) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let npm = std::env::var_os("EBBTIDE_NPM").map_or(here.join("../xtask/npm"), Into::into);
    let is_there = npm.join("node_modules/socket.io-client").is_dir();
    assert!(is_there, "run `cargo xtask setup`: no `socket.io-client` in {}", npm.display());
    let mut node = tokio::process::Command::new("node");
    node.arg(here.join("tests/npm").join(name)).arg(npm).arg(address).kill_on_drop(true);
    let run =
        node.output().await.unwrap_or_else(|error| panic!("cargo xtask setup: node: {error}"));
    let printed = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{printed}\n{}", String::from_utf8_lossy(&run.stderr));
    printed
}

/// Live objects by kind, where there are any.
fn live() -> BTreeMap<&'static str, u64> {
    let kinds = Census::count().kinds.into_iter();
    kinds.map(|(kind, count)| (kind, count.live)).filter(|&(_, live)| live > 0).collect()
}

#[tokio::test]
async fn npms_clients_meet_and_lose_nothing() {
    let _alone = ALONE.lock().await;
    let limits = Limits {
        typing: Duration::from_millis(150),
        // In memory a key is known as long as its message is kept.
        history: 4_096,
        // Those who leave by polling are noticed by their silence alone.
        ping_every: Duration::from_millis(400),
        silence: Duration::from_secs(3),
        ..Limits::default()
    };
    let mut server = start(Config { limits, ..Config::default() }).await;
    let said = run_script("chat.cjs", format!("http://{}", server.address)).await;
    for way in ["polling", "websocket", "polling then websocket"] {
        assert!(said.contains(&format!("{way}: 7 of 7")), "{said}");
    }
    assert!(said.contains("200 cuts"), "{said}");
    until("what is left of the clients", BTreeMap::new(), live).await;
    server.stop();
    server.ended().await;
}

/// Limits under which who is gone is noticed soon.
fn brisk() -> Limits {
    let (ping_every, silence) = (Duration::from_millis(100), Duration::from_millis(600));
    Limits { ping_every, silence, queue_bytes: 256 << 10, ..Limits::default() }
}

/// A client of Socket.IO on a bare WebSocket, in the main namespace and in `room`.
async fn bare(server: &Running, room: &str) -> Client {
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut client = server.connect_unwelcomed(path).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client.send("40").await;
    assert!(client.text().await.starts_with("40{\"sid\":"));
    client.send(format!(r#"420["room:join",{{"room":"{room}"}}]"#)).await;
    assert!(client.text().await.starts_with("430[{"));
    client
}

#[tokio::test]
async fn who_does_not_read_is_closed_and_nobody_else_notices() {
    let _alone = ALONE.lock().await;
    let limits = Limits { queue_bytes: 256 << 10, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let mut slow = bare(&server, "lobby").await;
    let mut quick = server.connect("/ws").await;
    let mut other = bare(&server, "lobby").await;
    let text = json!({"type": "user", "content": "x".repeat(60_000)}).to_string();
    let mut sent = 0;
    while !server.ask("GET", "/metrics", "").await.2.contains("ebbtide_slow_clients_total 1\n") {
        for _ in 0..20 {
            quick.send(text.as_str()).await;
            assert_eq!(quick.json().await["room"], "lobby");
            assert!(other.text().await.starts_with(r#"42["message:new","#));
        }
        sent += 20;
        assert!(sent < 5_000, "the slow client was never closed");
    }
    assert_eq!(slow.end().await.map(|frame| frame.code), Some(CloseCode::Again));
    quick.send(r#"{"type":"user","content":"on we go"}"#).await;
    assert!(other.text().await.contains("on we go"));
}

#[tokio::test]
async fn who_goes_without_a_word_is_forgotten() {
    let _alone = ALONE.lock().await;
    let server = start(Config { limits: brisk(), ..Config::default() }).await;
    let nothing = live();
    let open = "/socket.io/?EIO=4&transport=polling";
    for _ in 0..5 {
        // Opened and never seen again; and one whose GET hangs on a connection that is cut.
        let reply = server.ask("GET", open, "").await.2;
        let sid = reply.split('"').nth(3).unwrap().to_owned();
        let mut hanging = TcpStream::connect(server.address).await.unwrap();
        let get = format!("GET {open}&sid={sid} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        hanging.write_all(get.as_bytes()).await.unwrap();
        assert!(server.ask("GET", open, "").await.2.starts_with("0{"));
        // Torn WebSockets, and one that never answers a ping.
        drop(bare(&server, "tea").await);
        std::mem::forget(bare(&server, "tea").await);
    }
    assert_ne!(live(), nothing);
    until("what is left of those who have gone", nothing, live).await;
    let unknown = server.ask("GET", &format!("{open}&sid=abc"), "").await;
    assert_eq!(
        (unknown.0, unknown.2.as_str()),
        (400, r#"{"code":1,"message":"Session ID unknown"}"#)
    );
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let _alone = ALONE.lock().await;
    let origins = vec!["https://chat.example".to_owned()];
    let server = start(Config { origins, ..Config::default() }).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let sio = "/socket.io/?EIO=4&transport=";
    for (origin, is_allowed) in [
        ("https://chat.example", true),
        ("http://localhost:3000", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        for (path, more, status) in [
            ("/ws".to_owned(), upgrade, "101"),
            (format!("{sio}websocket"), upgrade, "101"),
            (format!("{sio}polling"), "Connection: close\r\n", "200"),
        ] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{more}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut reply = [0; 12];
            soon("the reply", stream.read_exact(&mut reply)).await.unwrap();
            let status = if is_allowed { status } else { "403" };
            let expected = format!("HTTP/1.1 {status}");
            assert_eq!(String::from_utf8_lossy(&reply), expected, "{origin} {path}");
        }
    }
}
