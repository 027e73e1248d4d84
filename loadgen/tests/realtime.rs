//! WebSockets against servers that behave badly, leave, or hand messages on to many: what is
//! counted is what they did.
//!
//! In: scenarios, and bytes that a server sends after its handshake. Out: verdicts of
//! `cargo test`. No test depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::{Engine, Pass, Plan, Quick, Scenario, Totals};
use ebbtide_record::event::MetricsSoFar;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::TestServer;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What a connection of a scripted server does, by its number.
type Conduct = dyn Fn(usize, &mut TcpStream) + Send + Sync;

/// A server that shakes hands and then does as it is told. Its thread ends with the process.
struct Scripted {
    base: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start(extra: &'static str, script: Arc<Conduct>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heads);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some(head) = shake_hands(&mut stream, extra) else { return };
                    log.lock().unwrap().push(head);
                    script(number, &mut stream);
                });
            }
        });
        Self { base, heads }
    }
}

fn shake_hands(stream: &mut TcpStream, extra: &str) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    let accept = derive_accept_key(key.as_bytes());
    let reply = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extra}\r\n"
    );
    stream.write_all(reply.as_bytes()).ok()?;
    Some(head)
}

/// Takes what comes until the client closes, and answers that.
fn read_out(stream: &mut TcpStream) {
    while let Some((first, payload)) = read_frame(stream) {
        if first == 0x88 {
            // Who is gone needs no answer.
            let _ = stream.write_all(&frame(0x88, &payload));
            return;
        }
    }
}

/// Reads one small frame: its first byte and its payload.
fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).ok()?;
    let mut payload = vec![0; usize::from(head[1] & 0x7F)];
    stream.read_exact(&mut payload).ok()?;
    for (place, byte) in payload.iter_mut().enumerate() {
        *byte ^= head[2 + place % 4];
    }
    Some((head[0], payload))
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

fn plan(base: &str, text: &str) -> Arc<Plan> {
    let text = format!("seed = 3\n[target]\nbase = \"{base}\"\n{text}");
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

fn once(steps: &str) -> String {
    format!(
        "[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = 1\nsteps = [{steps}]\n"
    )
}

async fn drive(plan: Arc<Plan>, threads: usize) -> (MetricsSoFar, Totals) {
    let pass = Pass { threads, ..Pass::default() };
    let totals = Engine::start(plan, pass).unwrap().finish().await;
    (totals.so_far(), totals)
}

fn value(so_far: &MetricsSoFar, metric: &str, value: &str) -> f64 {
    so_far.metrics.get(metric).and_then(|metric| metric.value(value)).unwrap_or(0.0)
}

#[tokio::test]
async fn the_ways_a_server_leaves_are_told_apart() {
    let table: [(&str, Vec<u8>, &str, &[u8]); 6] = [
        ("going away", frame(0x88, b"\x03\xe9"), "connection closed", &[0x03, 0xE9]),
        ("code 4002", frame(0x88, b"\x0f\xa2bye"), "connection closed", &[0x0F, 0xA2]),
        ("no code", frame(0x88, b""), "connection closed", &[]),
        ("protocol violation", frame(0x81, &[0xFF]), "not a valid reply", &[0x03, 0xEA]),
        ("protocol violation", frame(0xF1, b"x"), "not a valid reply", &[0x03, 0xEA]),
        ("transport close", Vec::new(), "connection closed", b"none"),
    ];
    for (reason, bytes, error, answer) in table {
        let (tell, told) = std::sync::mpsc::channel();
        let tell = Mutex::new(tell);
        let script = move |_: usize, stream: &mut TcpStream| {
            stream.write_all(&bytes).unwrap();
            if bytes.is_empty() {
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                tell.lock().unwrap().send(b"none".to_vec()).unwrap();
                return;
            }
            let (first, payload) = read_frame(stream).unwrap();
            assert_eq!(first, 0x88, "a close frame");
            tell.lock().unwrap().send(payload).unwrap();
        };
        let server = Scripted::start("", Arc::new(script));
        let steps = "{ connect = \"/ws\" }, { await = \"never\" }";
        let (so_far, _) = drive(plan(&server.base, &once(steps)), 1).await;
        assert_eq!(value(&so_far, &format!("disconnects{{reason:{reason}}}"), "count"), 1.0);
        assert_eq!(value(&so_far, "disconnects", "count"), 1.0, "{reason}");
        assert!(so_far.errors.keys().all(|key| key.starts_with(error)), "{:?}", so_far.errors);
        assert_eq!(told.recv_timeout(Duration::from_secs(10)).unwrap(), answer, "{reason}");
    }
}

#[tokio::test]
async fn a_handshake_takes_up_what_was_offered_or_fails() {
    for (extra, protocols, error) in [
        ("", "", ""),
        ("", "protocols = [\"chat.v2\", \"chat\"]", ""),
        ("Sec-WebSocket-Protocol: chat\r\n", "protocols = [\"chat.v2\", \"chat\"]", ""),
        ("Sec-WebSocket-Protocol: mqtt\r\n", "protocols = [\"chat\"]", "not a valid reply"),
        ("Sec-WebSocket-Protocol: mqtt\r\n", "", "not a valid reply"),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", "", "not a valid reply"),
    ] {
        let script = |_: usize, stream: &mut TcpStream| read_out(stream);
        let server = Scripted::start(extra, Arc::new(script));
        let comma = if protocols.is_empty() { "" } else { ", " };
        let steps = format!("{{ connect = \"/ws\"{comma}{protocols} }}");
        let steps = format!("{steps}, {{ close = true, code = 4001, reason = \"done\" }}");
        let (so_far, _) = drive(plan(&server.base, &once(&steps)), 1).await;
        let errors: Vec<&str> = so_far.errors.keys().map(String::as_str).collect();
        let expected: &[&str] = if error.is_empty() { &[] } else { &[error] };
        assert_eq!(errors, expected, "{extra} {protocols}");
        let head = server.heads.lock().unwrap().join("");
        let offered = "Sec-WebSocket-Protocol: chat.v2, chat\r\n";
        assert_eq!(head.contains(offered), protocols.contains("v2"), "{head}");
        assert!(!head.contains("Extensions"), "{head}");
    }
}

#[tokio::test]
async fn frames_are_understood_however_a_server_cuts_them() {
    let mut bytes = frame(0x01, b"{\"n\":");
    bytes.extend(frame(0x89, b"are you there"));
    bytes.extend(frame(0x80, b"7}"));
    bytes.extend(frame(0x82, &[1, 2, 255]));
    for cut in 1..bytes.len() {
        let (tell, told) = std::sync::mpsc::channel();
        let (bytes, tell) = (bytes.clone(), Mutex::new(tell));
        let script = move |_: usize, stream: &mut TcpStream| {
            stream.set_nodelay(true).unwrap();
            stream.write_all(&bytes[..cut]).unwrap();
            std::thread::yield_now();
            stream.write_all(&bytes[cut..]).unwrap();
            tell.lock().unwrap().send(read_frame(stream)).unwrap();
            read_out(stream);
        };
        let server = Scripted::start("", Arc::new(script));
        let steps = "{ connect = \"/ws\" }, \
                     { await = { json = { n = 7 } }, capture = { n = \"/n\" } }, \
                     { await = { binary = true, length = 3, matches = '\\x02' } }";
        let (so_far, _) = drive(plan(&server.base, &once(steps)), 1).await;
        assert!(so_far.errors.is_empty(), "cut at {cut}: {:?}", so_far.errors);
        let pong = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(pong, Some((0x8A, b"are you there".to_vec())), "cut at {cut}");
    }
}

#[tokio::test]
async fn messages_of_all_kinds_are_sent_one_by_one_and_in_bursts() {
    let server = TestServer::start();
    let steps = "{ connect = \"/ws\", as = \"r\" }, { await = \"welcome\" },\n\
                 { send = { base64 = \"AAH/\" }, await = { binary = true, length = 3 } },\n\
                 { send = \"as bytes\", binary = true, await = { binary = true, length = 8 } },\n\
                 { send = \"n${vu}\", burst = 40, await = \"n0\" },\n\
                 { send = \"unanswered\", burst = 3 },\n\
                 { await = { matches = \"^un.*d$\", binary = false } }";
    let (so_far, totals) = drive(plan(&server.base, &once(steps)), 1).await;
    assert!(so_far.errors.is_empty(), "{:?}", so_far.errors);
    assert_eq!(value(&so_far, "ws_msgs_sent", "count"), 45.0);
    assert_eq!(value(&so_far, "ws_msg_rtt", "count"), 42.0, "one for each reply");
    assert_eq!(totals.operations()["send r"], 45);
    let seen = server.requests();
    assert_eq!(seen.iter().filter(|text| *text == "n0").count(), 40);
}

#[tokio::test]
async fn lost_connections_come_back_at_the_times_of_their_policy() {
    // The first three connections are lost; the fourth stays and says so.
    let script = |number: usize, stream: &mut TcpStream| {
        if number < 3 {
            stream.write_all(&frame(0x88, b"\x03\xf4")).unwrap();
        } else {
            stream.write_all(&frame(0x81, b"here to stay")).unwrap();
        }
        read_out(stream);
    };
    let server = Scripted::start("", Arc::new(script));
    let connect = "{ connect = \"/ws\", reconnect = { delay = \"20ms\", jitter = 0.5 } }";
    for waits in ["{ await = \"stay\" }", "{ listen = \"400ms\" }", "{ think = \"400ms\" }"] {
        let (so_far, totals) =
            drive(plan(&server.base, &once(&format!("{connect}, {waits}"))), 1).await;
        let before = value(&so_far, "disconnects{reason:service restart}", "count");
        assert_eq!(value(&so_far, "ws_reconnects", "count"), before, "{waits}");
        assert_eq!(totals.operations()["connect /ws"] as f64, before + 1.0, "{waits}");
        assert!(so_far.errors.is_empty(), "{waits}: {:?}", so_far.errors);
    }
    assert_eq!(server.heads.lock().unwrap().len(), 6, "three lost, one for each wait");
    let bad = Scripted::start("", Arc::new(|_: usize, _: &mut TcpStream| {}));
    let steps = "{ connect = \"/ws\", reconnect = { delay = \"1ms\", attempts = 3 } }, \
                 { think = \"300ms\" }, { send = \"x\" }";
    let (so_far, _) = drive(plan(&bad.base, &once(steps)), 1).await;
    // Every handshake succeeds, so that attempts are never used up.
    assert!(value(&so_far, "ws_reconnects", "count") > 3.0, "{so_far:?}");
}

#[tokio::test]
async fn a_lost_socket_does_not_wait_for_another_that_comes_back_later() {
    let script = |number: usize, stream: &mut TcpStream| {
        let lost = frame(0x88, b"\x03\xf4");
        stream.write_all(&if number < 2 { lost } else { frame(0x81, b"back") }).unwrap();
        read_out(stream);
    };
    let server = Scripted::start("", Arc::new(script));
    let steps = "{ connect = \"/slow\", as = \"slow\", reconnect = { delay = \"600ms\" } }, \
                 { connect = \"/quick\", as = \"quick\", reconnect = { delay = \"10ms\" } }, \
                 { await = { contains = \"back\", within = \"20s\" }, on = \"slow\" }";
    let (so_far, _) = drive(plan(&server.base, &once(steps)), 1).await;
    assert!(so_far.errors.is_empty(), "{:?}", so_far.errors);
    let heads = server.heads.lock().unwrap();
    let paths: Vec<&str> = heads.iter().filter_map(|head| head.split(' ').nth(1)).collect();
    // The first two are each told by a thread of its own, in any order.
    let first: BTreeSet<&str> = paths.iter().take(2).copied().collect();
    assert_eq!(first, BTreeSet::from(["/slow", "/quick"]), "{paths:?}");
    assert_eq!(paths[2..], ["/quick", "/slow"], "{paths:?}");
}

/// A turn of a user ends on time, although there is always more to read.
#[tokio::test]
async fn a_server_that_sends_without_end_does_not_keep_the_thread() {
    let flood = |_: usize, stream: &mut TcpStream| {
        let many = frame(0x81, b"x").repeat(100_000);
        while stream.write_all(&many).is_ok() {}
    };
    let server = Scripted::start("", Arc::new(flood));
    let steps = "{ connect = \"/ws\" }, { listen = \"200ms\" }, { think = \"100ms\" }";
    let (so_far, _) = drive(plan(&server.base, &once(steps)), 1).await;
    assert_eq!(value(&so_far, "iterations", "count"), 1.0, "{so_far:?}");
    assert!(value(&so_far, "ws_msgs_received", "count") > 0.0, "{so_far:?}");
}

/// A server whose connections all get what one of them sends; some of it twice, some not at all.
fn relay(copies: Arc<dyn Fn(usize, usize) -> usize + Send + Sync>) -> Scripted {
    let all: Arc<Mutex<Vec<(usize, TcpStream)>>> = Arc::default();
    let sent = Mutex::new(0);
    let script = move |number: usize, stream: &mut TcpStream| {
        all.lock().unwrap().push((number, stream.try_clone().unwrap()));
        stream.write_all(&frame(0x81, b"joined")).unwrap();
        while let Some((first, payload)) = read_frame(stream) {
            if first == 0x88 {
                stream.write_all(&frame(0x88, &payload)).unwrap();
                return;
            }
            let mut sent = sent.lock().unwrap();
            for (number, peer) in all.lock().unwrap().iter_mut() {
                for _ in 0..copies(*sent, *number) {
                    // Who is gone needs nothing.
                    let _ = peer.write_all(&frame(0x81, &payload));
                }
            }
            *sent += 1;
        }
    };
    Scripted::start("", Arc::new(script))
}

#[tokio::test]
async fn reach_spread_and_duplicates_are_those_of_the_server() {
    // Of twenty messages to ten listeners, the third is lost on one, the fifth comes twice to
    // another, the seventh reaches only one and has no spread.
    let server = relay(Arc::new(|message, connection| match (message, connection) {
        (2, 4) => 0,
        (4, 5) => 2,
        (6, connection) if connection != 3 => 0,
        _ => 1,
    }));
    let text = "[flow.listeners]\nexecutor = \"per-vu-iterations\"\nvus = 10\niterations = 1\n\
                steps = [{ connect = \"/ws\", as = \"r\", tags = { room = \"a\" } }, \
                { listen = \"3s\" }]\n\
                [flow.sender]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = 1\n\
                start_time = \"500ms\"\nsteps = [{ connect = \"/ws\" }, \
                { set = { all = \"10\" } }, { repeat = 20, \
                steps = [{ send = \"m ${stamp}\", expect = \"${all}\", \
                tags = { room = \"a\" } }] }]\n\
                [thresholds]\n\"delivery_reach{room:a}\" = [\"rate > 0.9\"]\n\
                \"delivery_reach{room:b}\" = [\"rate > 0.9\"]\n";
    let (so_far, totals) = drive(plan(&server.base, text), 2).await;
    assert!(so_far.errors.is_empty(), "{:?}", so_far.errors);
    let delivered = 200.0 - 1.0 - 9.0;
    assert_eq!(value(&so_far, "delivery_latency", "count"), delivered);
    assert_eq!(value(&so_far, "delivery_reach", "passes"), delivered);
    assert_eq!(value(&so_far, "delivery_reach", "fails"), 10.0);
    assert_eq!(value(&so_far, "delivery_reach{room:a}", "passes"), delivered);
    assert!(!so_far.metrics.contains_key("delivery_reach{room:b}"));
    assert_eq!(value(&so_far, "delivery_duplicates", "count"), 1.0);
    assert_eq!(value(&so_far, "delivery_spread", "count"), 19.0);
    assert_eq!(value(&so_far, "delivery_untracked", "count"), 0.0);
    assert_eq!(totals.lost_deliveries(), 10);
}

#[tokio::test]
async fn quick_loads_without_a_message_hold_their_connections_or_count_them() {
    let script = |_: usize, stream: &mut TcpStream| read_out(stream);
    let server = Scripted::start("", Arc::new(script));
    let url = format!("{}/ws", server.base.replace("http", "ws"));
    let quick = Quick {
        url: url.clone(),
        connections: 50,
        duration: Duration::from_millis(300),
        ..Quick::default()
    };
    let (so_far, totals) = drive(Arc::new(Plan::quick(&quick).unwrap()), 2).await;
    assert_eq!(value(&so_far, "ws_sessions", "count"), 50.0);
    assert_eq!(totals.operations()["connect /ws"], 50);
    assert!(value(&so_far, "ws_session_duration", "min") >= 290.0, "{so_far:?}");
    let storm = Quick { url, connections: 4, requests: Some(60), ..Quick::default() };
    let (so_far, _) = drive(Arc::new(Plan::quick(&storm).unwrap()), 2).await;
    assert_eq!(value(&so_far, "ws_sessions", "count"), 60.0);
    assert_eq!(value(&so_far, "ws_closing", "count"), 60.0);
}
