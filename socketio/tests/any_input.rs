//! Both machines under inputs in any order, allowed or not: whatever a host or a peer does,
//! nothing panics, what waits keeps to its bound, a GET is answered at most once, and after the
//! end there is silence.
//!
//! What the inputs mean is left to the other tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use bytes::Bytes;
use ebbtide_socketio::Frame;
use ebbtide_socketio::client::{Action, Client, Event, Options, Transports};
use ebbtide_socketio::packet::Args;
use ebbtide_socketio::server::{self, Connection, Grant, Output, Session, Settings, Transport};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// What a peer may say: much of it is right at some moment.
const WORDS: [&str; 24] = [
    "0{\"sid\":\"s\",\"upgrades\":[\"websocket\"],\"pingInterval\":50,\"pingTimeout\":20}",
    "1",
    "2",
    "2probe",
    "3",
    "3probe",
    "5",
    "6",
    "40",
    "40{\"sid\":\"n\"}",
    "40/a,{\"sid\":\"n\",\"pid\":\"p\"}",
    "41",
    "42[\"a\",1]",
    "42/a,7[\"b\",\"o\"]",
    "430[1]",
    "431[]",
    "44{\"message\":\"no\"}",
    "44/a,\"no\"",
    "451-[\"c\",{\"_placeholder\":true,\"num\":0}]",
    "460-0[]",
    "4",
    "",
    "x",
    "42[\"a\"]\x1e42[\"b\"]\x1e6",
];

#[derive(Clone, Debug)]
enum Input {
    Poll(u8),
    PollLost,
    BeginPush,
    Push(u8),
    PushLost,
    Upgrade,
    Word(u8),
    Bytes(u16),
    WebSocketLost,
    Send(u16),
    Ask,
    Leave,
    Close,
    Tick(u16),
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        1 => any::<u8>().prop_map(Input::Poll),
        1 => Just(Input::PollLost),
        1 => Just(Input::BeginPush),
        1 => any::<u8>().prop_map(Input::Push),
        1 => Just(Input::PushLost),
        1 => Just(Input::Upgrade),
        3 => any::<u8>().prop_map(Input::Word),
        1 => (0..600_u16).prop_map(Input::Bytes),
        1 => Just(Input::WebSocketLost),
        2 => (0..600_u16).prop_map(Input::Send),
        1 => Just(Input::Ask),
        1 => Just(Input::Leave),
        1 => Just(Input::Close),
        1 => (0..90_u16).prop_map(Input::Tick),
    ]
}

fn word(index: u8) -> &'static str {
    WORDS[usize::from(index) % WORDS.len()]
}

fn text(index: u8) -> Frame {
    Frame::Text(word(index).into())
}

fn binary(size: u16) -> Frame {
    Frame::Binary(vec![0; size.into()].into())
}

/// The bound of what waits; a single packet may stand above it for a moment and no longer.
const QUEUE: usize = 2000;

fn serve(transport: Transport, inputs: Vec<Input>) {
    let settings = Settings {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(20),
        queue_bytes: QUEUE,
        pending_acks: 5,
        ..Settings::default()
    };
    let mut now = Duration::ZERO;
    let session = Session::open(Arc::new(settings), "sid".into(), transport, now);
    let mut connection = Connection::new(session, now);
    let (mut members, mut hanging, mut is_over) = (Vec::new(), 0, false);
    for input in inputs {
        let session = connection.session();
        match input {
            Input::Poll(_) => hanging += i32::from(session.poll(now).is_ok()),
            // A host says so of a GET that hangs alone: what waits to be given out goes first.
            Input::PollLost => {
                while session.next_output().is_some() {}
                session.poll_lost(now);
                hanging = 0;
            }
            Input::BeginPush => _ = session.begin_push(),
            Input::Push(index) => {
                let _ = session.push(now, Bytes::from_static(word(index).as_bytes()));
            }
            Input::PushLost => session.push_lost(now),
            Input::Upgrade => _ = session.begin_upgrade(now),
            Input::Word(index) => session.websocket_message(now, text(index)),
            Input::Bytes(size) => session.websocket_message(now, binary(size)),
            Input::WebSocketLost => session.websocket_lost(now),
            Input::Send(size) => {
                let args = Args::trusted("1".repeat(size.into()).into());
                members.iter().for_each(|id| drop(connection.emit(*id, "s", &args)));
            }
            Input::Ask => {
                let due = Some(now + Duration::from_millis(30));
                members.iter().for_each(|id| {
                    drop(connection.emit_with_ack(*id, ("q", &Args::none()), due));
                });
            }
            Input::Leave => members.iter().for_each(|id| drop(connection.disconnect(*id))),
            Input::Close => connection.close(now),
            Input::Tick(ms) => {
                now += Duration::from_millis(ms.into());
                connection.tick(now);
            }
        }
        while let Some(event) = connection.next_event(now) {
            assert!(!is_over, "{event:?} after the end");
            match event {
                server::Event::Request { member, .. } => {
                    members.push(member);
                    drop(connection.accept(member, &Grant { sid: "n".into(), pid: None }));
                }
                server::Event::Closed { .. } => is_over = true,
                _ => {}
            }
        }
        assert!(is_over || !connection.session().is_closed());
        assert!(connection.session().queued_bytes() <= QUEUE + 200);
        // Every other time the host does not get to it.
        if !matches!(input, Input::Send(_)) {
            while let Some(output) = connection.session().next_output() {
                hanging -= i32::from(matches!(output, Output::Reply(_)));
            }
            assert!((0..=1).contains(&hanging), "{hanging} GETs hang");
        }
    }
}

fn request(transports: Transports, inputs: Vec<Input>) {
    let options = Options { transports, queue_bytes: QUEUE, pending_acks: 5, ..Options::default() };
    let mut now = Duration::ZERO;
    let mut client = Client::new(options);
    let mut namespace = client.connect(now, "/", None).unwrap();
    let (mut gets, mut posts) = (0, 0);
    while let Some(action) = client.next_action() {
        gets += i32::from(matches!(action, Action::Get { .. }));
    }
    for input in inputs {
        match input {
            Input::Poll(index) | Input::Push(index) if index.is_multiple_of(2) => {
                gets -= i32::from(gets > 0);
                client.poll_reply(now, 200, Bytes::from_static(word(index).as_bytes()));
            }
            Input::Poll(index) | Input::Push(index) => {
                posts -= i32::from(posts > 0);
                client.push_reply(now, if index > 250 { 400 } else { 200 });
            }
            Input::PollLost | Input::PushLost => client.request_lost(now),
            Input::BeginPush => namespace = client.connect(now, "/a", None).unwrap(),
            Input::Upgrade => client.websocket_opened(now),
            Input::Word(index) => client.websocket_message(now, text(index)),
            Input::Bytes(size) => client.websocket_message(now, binary(size)),
            Input::WebSocketLost => client.websocket_lost(now),
            Input::Send(size) => {
                let args = Args::trusted("1".repeat(size.into()).into());
                drop(client.emit(now, namespace, "s", &args));
            }
            Input::Ask => {
                let due = Some(now + Duration::from_millis(30));
                drop(client.emit_with_ack(now, namespace, ("q", &Args::none()), due));
            }
            Input::Leave => client.disconnect(now, namespace),
            Input::Close => client.close(now),
            Input::Tick(ms) => {
                now += Duration::from_millis(u64::from(ms) * 20);
                client.tick(now);
            }
        }
        while let Some(action) = client.next_action() {
            match action {
                Action::Get { .. } => gets += 1,
                Action::Post { .. } => posts += 1,
                Action::Abandon => (gets, posts) = (0, 0),
                _ => {}
            }
            assert!(gets <= 1 && posts <= 1, "two requests of a kind");
        }
        while let Some(event) = client.next_event() {
            if let Event::Message { ack: Some(ack), namespace, .. } = event {
                drop(client.answer(now, namespace, ack, &Args::none()));
            }
        }
        assert!(client.queued_bytes() <= QUEUE + 200, "{}", client.queued_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_server_keeps_its_bounds(
        is_websocket in any::<bool>(),
        inputs in proptest::collection::vec(any_input(), 0..80),
    ) {
        serve(if is_websocket { Transport::WebSocket } else { Transport::Polling }, inputs);
    }

    #[test]
    fn a_client_keeps_its_bounds(
        kind in 0..3,
        inputs in proptest::collection::vec(any_input(), 0..80),
    ) {
        let all =
            [Transports::Polling, Transports::WebSocket, Transports::PollingThenWebSocket];
        request(all[kind as usize], inputs);
    }
}
