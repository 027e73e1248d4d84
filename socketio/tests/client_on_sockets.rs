//! The client's machine on real sockets, against npm's server and against our own: the same cases
//! over each transport.
//!
//! Node and its packages come by `cargo xtask setup`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

#[path = "../examples/server/app.rs"]
mod app;
#[path = "../examples/server/carrier.rs"]
mod carrier;
#[path = "support/driver.rs"]
mod driver;
#[allow(dead_code, reason = "Engine.IO alone is for other tests")]
#[path = "../examples/server/host.rs"]
mod host;

use bytes::Bytes;
use driver::Driver;
use ebbtide_socketio::client::{
    EmitError, Event, NamespaceId, Options, Reason, Reconnection, Transports,
};
use ebbtide_socketio::packet::{Arg, Args};
use ebbtide_socketio::server::Settings;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Between two pings; npm's server of the tests has the same.
const PING: Duration = Duration::from_millis(100);
const EVERY: [Transports; 3] =
    [Transports::Polling, Transports::WebSocket, Transports::PollingThenWebSocket];

/// npm's server: ends with its standard input, so with us.
struct Npm(Child);

impl Npm {
    fn start(more: &[&str]) -> (Self, String) {
        let (npm, scripts) = support::npm_folders("socket.io");
        let child = Command::new("node")
            .arg(scripts.join("server.cjs"))
            .arg(npm)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("node, which `cargo xtask setup` asks for");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        (Self(child), format!("127.0.0.1:{}", port.trim()))
    }
}

impl Drop for Npm {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Runs a case against npm's server and against ours, over every transport.
fn everywhere(case: impl AsyncFn(&mut Driver)) {
    let (_npm, theirs) = Npm::start(&[]);
    host::block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = listener.local_addr().unwrap().to_string();
        let settings = Settings { ping_interval: PING, ..Settings::default() };
        tokio::task::spawn_local(host::Host::new(host::Kind::SocketIo, settings).serve(listener));
        for address in [&theirs, &ours] {
            for transports in EVERY {
                case(&mut Driver::new(options(transports), address)).await;
            }
        }
    });
}

fn options(transports: Transports) -> Options {
    let soon = Reconnection { delay: Duration::from_millis(20), ..Reconnection::default() };
    Options { transports, reconnection: Some(soon), ..Options::default() }
}

/// A client connected to a namespace and greeted.
async fn join(driver: &mut Driver, name: &str, auth: Option<&str>) -> NamespaceId {
    let now = driver.now();
    let namespace = driver.client.connect(now, name, auth.map(Into::into)).unwrap();
    let (_, args) = message(driver, "auth").await;
    assert_eq!(args.items().as_str(), auth.unwrap_or("{}"));
    assert!(driver.client.is_connected(namespace));
    namespace
}

/// The next event of this name.
async fn message(driver: &mut Driver, wanted: &str) -> (NamespaceId, Args) {
    driver
        .next(|event| match event {
            Event::Message { namespace, name, args, .. } if *name == wanted => {
                Some((*namespace, args.clone()))
            }
            _ => None,
        })
        .await
}

async fn disconnected(driver: &mut Driver) -> Reason {
    driver
        .next(|event| match event {
            Event::Disconnected { reason, .. } => Some(*reason),
            _ => None,
        })
        .await
}

fn emit(driver: &mut Driver, namespace: NamespaceId, name: &str, args: &Args) {
    let now = driver.now();
    driver.client.emit(now, namespace, name, args).unwrap();
}

fn json(array: &str) -> Args {
    Args::parse(array).unwrap()
}

#[test]
fn events_come_back_in_order_across_an_upgrade() {
    everywhere(async |driver| {
        let main = driver.client.connect(driver.now(), "/", None).unwrap();
        // A part before anything is connected, a part as the namespace comes, a part at the end.
        for part in 0..3 {
            for number in 0..100 {
                emit(driver, main, "message", &json(&format!("[{}]", part * 100 + number)));
            }
            if part == 0 {
                message(driver, "auth").await;
            }
        }
        for number in 0..300 {
            let (_, args) = message(driver, "message-back").await;
            assert_eq!(args.items().as_str(), number.to_string());
        }
    });
}

#[test]
fn an_upgrade_happens_when_it_is_wanted_and_pings_do_no_harm() {
    everywhere(async |driver| {
        let main = join(driver, "/", None).await;
        if driver.transports == Transports::PollingThenWebSocket && !driver.client.is_websocket() {
            driver.next(|event| matches!(event, Event::Upgraded).then_some(())).await;
        }
        let expected = driver.transports != Transports::Polling;
        assert_eq!(driver.client.is_websocket(), expected);
        // Some pings long, whichever way they come.
        while driver.now() < PING * 5 {
            let now = driver.now();
            let asked = ("message-with-ack", &Args::none());
            driver.client.emit_with_ack(now, main, asked, None).unwrap();
            driver.next(|event| matches!(event, Event::Answer { .. }).then_some(())).await;
        }
    });
}

#[test]
fn bytes_and_answers_go_both_ways() {
    everywhere(async |driver| {
        let main = join(driver, "/", None).await;
        let (small, large) = (Bytes::from_static(&[0, 255]), Bytes::from(vec![7; 100_000]));
        let args = Args::of(&[Arg::Binary(&small), Arg::Json(r#""é""#), Arg::Binary(&large)]);
        emit(driver, main, "message", &args);
        let (_, back) = message(driver, "message-back").await;
        assert_eq!(back.attachments(), args.attachments());
        assert!(matches!(back.list()[..], [Arg::Binary(_), Arg::Json(_), Arg::Binary(_)]));
        let now = driver.now();
        let asked = driver.client.emit_with_ack(now, main, ("message-with-ack", &args), None);
        let asked = asked.unwrap();
        let answer = driver
            .next(|event| match event {
                Event::Answer { ack, args, .. } if *ack == asked => Some(args.clone()),
                _ => None,
            })
            .await;
        assert_eq!(answer.attachments(), args.attachments());
        // The server asks.
        emit(driver, main, "ask-me", &json(r#"["why"]"#));
        let ack = driver
            .next(|event| match event {
                Event::Message { name, ack: Some(ack), .. } if *name == "question" => Some(*ack),
                _ => None,
            })
            .await;
        let now = driver.now();
        driver.client.answer(now, main, ack, &json(r#"["so"]"#)).unwrap();
        assert_eq!(message(driver, "answered").await.1.items(), &r#""so""#);
        // Nobody listens.
        let due = driver.now() + Duration::from_millis(30);
        let now = driver.now();
        driver.client.emit_with_ack(now, main, ("unheard", &Args::none()), Some(due)).unwrap();
        let is_late = driver
            .next(|event| match event {
                Event::AnswerLost { is_late, .. } => Some(*is_late),
                _ => None,
            })
            .await;
        assert!(is_late);
    });
}

#[test]
fn namespaces_are_granted_and_refused() {
    everywhere(async |driver| {
        let main = join(driver, "/", None).await;
        let custom = join(driver, "/custom", Some(r#"{"a":1}"#)).await;
        emit(driver, custom, "message", &json("[1]"));
        assert_eq!(message(driver, "message-back").await.0, custom);
        for (name, expected) in [("/guarded", "not authorized"), ("/none", "Invalid namespace")] {
            let refused = driver.client.connect(driver.now(), name, None).unwrap();
            let (message, payload) = driver
                .next(|event| match event {
                    Event::ConnectError { namespace, message, payload } => {
                        assert_eq!(*namespace, refused);
                        Some((message.clone(), payload.clone()))
                    }
                    _ => None,
                })
                .await;
            assert_eq!(message.as_str(), expected);
            assert_eq!(payload.contains("401"), name == "/guarded", "{payload}");
            let now = driver.now();
            let sent = driver.client.emit(now, refused, "a", &Args::none());
            assert!(matches!(sent, Err(EmitError::NotConnected(_))));
        }
        join(driver, "/guarded", Some(r#"{"word":"sesame"}"#)).await;
        // The end of one is not the end of the others.
        driver.client.disconnect(driver.now(), custom);
        assert_eq!(disconnected(driver).await, Reason::IoClientDisconnect);
        emit(driver, main, "message", &json("[2]"));
        assert_eq!(message(driver, "message-back").await.0, main);
    });
}

#[test]
fn ends_are_told_apart_and_what_was_lost_comes_back() {
    everywhere(async |driver| {
        let main = join(driver, "/", None).await;
        emit(driver, main, "close", &Args::none());
        assert_eq!(disconnected(driver).await, Reason::TransportClose);
        emit(driver, main, "message", &json(r#"["kept"]"#));
        assert_eq!(message(driver, "message-back").await.1.items(), &r#""kept""#);
        emit(driver, main, "put-me-out", &Args::none());
        assert_eq!(disconnected(driver).await, Reason::IoServerDisconnect);
        let retry_in = driver
            .next(|event| match event {
                Event::Closed { retry_in, .. } => Some(*retry_in),
                _ => None,
            })
            .await;
        assert_eq!(retry_in, None);
        join(driver, "/", None).await;
        driver.client.close(driver.now());
        assert_eq!(disconnected(driver).await, Reason::IoClientDisconnect);
        driver.next(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
        driver.act().await;
        assert_eq!(driver.client.next_deadline(), None);
    });
}

/// Only npm's server recovers: what was missed comes with the connection.
#[test]
fn a_connection_cut_is_recovered_with_what_it_missed() {
    let (_npm, address) = Npm::start(&["recover"]);
    host::block_on(async {
        let driver = &mut Driver::new(options(Transports::WebSocket), &address);
        let main = driver.client.connect(driver.now(), "/", None).unwrap();
        emit(driver, main, "join-news", &Args::none());
        let (_, args) = message(driver, "news").await;
        assert!(args.items().starts_with(r#""before","#), "an offset: {args:?}");
        driver.cut();
        let is_recovered = driver
            .next(|event| match event {
                Event::Connected { is_recovered, .. } => Some(*is_recovered),
                _ => None,
            })
            .await;
        assert!(is_recovered);
        let (_, args) = message(driver, "news").await;
        assert!(args.items().starts_with(r#""missed","#), "{args:?}");
    });
}
