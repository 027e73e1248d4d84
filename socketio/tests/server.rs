//! The server's machine without a network: what it answers, what it tells, in which order, at
//! which time, and that nothing a client does makes it hold more than its bounds. Each test plays
//! client and host by hand; sockets and others' clients are left to other tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use bytes::Bytes;
use ebbtide_socketio::Frame;
use ebbtide_socketio::packet::{Args, Encoded, PacketLimits};
use ebbtide_socketio::server::{
    Connection, Event, Grant, MemberId, Output, Reason, Recovery, Refusal, SendError, Session,
    Settings, Transport,
};
use std::sync::Arc;
use std::time::Duration;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings() -> Settings {
    Settings { ping_interval: ms(300), ping_timeout: ms(200), ..Settings::default() }
}

fn session(settings: Settings, transport: Transport) -> Session {
    Session::open(Arc::new(settings), "sid".into(), transport, ms(0))
}

/// Outputs as short texts.
fn outputs(session: &mut Session) -> Vec<String> {
    std::iter::from_fn(|| session.next_output())
        .map(|output| match output {
            Output::Reply(Ok(body)) => format!("REPLY {}", String::from_utf8_lossy(&body)),
            Output::Reply(Err(refusal)) => format!("REPLY {refusal}"),
            Output::Send(Frame::Text(text)) => format!("SEND {text}"),
            Output::Send(Frame::Binary(bytes)) => format!("SEND {bytes:?}"),
            Output::CloseWebSocket(code) => format!("CLOSE {code}"),
        })
        .collect()
}

fn events(connection: &mut Connection, now: u64) -> Vec<Event> {
    std::iter::from_fn(|| connection.next_event(ms(now))).collect()
}

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn push(session: &mut Session, now: u64, text: &str) -> Result<(), Refusal> {
    session.begin_push()?;
    session.push(ms(now), body(text))
}

fn say(connection: &mut Connection, now: u64, text: &str) {
    connection.session().websocket_message(ms(now), Frame::Text(text.into()));
}

/// A client on a WebSocket, in `/`.
fn connected(settings: Settings) -> (Connection, MemberId) {
    let mut connection = Connection::new(session(settings, Transport::WebSocket), ms(0));
    say(&mut connection, 0, "40");
    let [Event::Request { member, .. }] = events(&mut connection, 0)[..] else { panic!() };
    connection.accept(member, &Grant { sid: "n1".into(), pid: None }).unwrap();
    let outputs = outputs(connection.session());
    assert_eq!(outputs[1..], [r#"SEND 40{"sid":"n1"}"#]);
    (connection, member)
}

/// A session on polling whose handshake has been fetched.
fn polling(settings: Settings) -> Session {
    let mut session = session(settings, Transport::Polling);
    session.poll(ms(0)).unwrap();
    assert!(outputs(&mut session)[0].starts_with("REPLY 0{"));
    session
}

#[test]
fn the_time_for_a_pong_begins_with_the_ping_or_when_it_was_due() {
    for (is_polled, late, gone_at) in [
        (true, 0, 500),
        (true, 50, 550),
        (true, 150, 650),
        // Nobody asks: a late clock is no gain, a standstill is.
        (false, 0, 500),
        (false, 50, 500),
        (false, 150, 650),
    ] {
        let mut session = polling(settings());
        assert_eq!(session.next_deadline(), Some(ms(300)));
        if is_polled {
            session.poll(ms(1)).unwrap();
        }
        session.tick(ms(300 + late));
        assert_eq!(outputs(&mut session), &["REPLY 2"][..usize::from(is_polled)]);
        assert_eq!(session.next_deadline(), Some(ms(gone_at)));
        // No tick came: the request itself finds that the time is up.
        assert_eq!(session.poll(ms(gone_at)), Err(Refusal::UnknownSession));
        assert!(session.is_closed());
    }
}

#[test]
fn a_pong_that_comes_before_the_end_was_seen_counts() {
    let mut session = polling(settings());
    session.tick(ms(300));
    push(&mut session, 501, "3").unwrap();
    assert_eq!(session.poll(ms(502)), Ok(()));
    assert_eq!(session.next_deadline(), Some(ms(801)));
}

#[test]
fn pongs_keep_a_session_and_the_next_ping_counts_from_them() {
    let mut session = session(settings(), Transport::WebSocket);
    outputs(&mut session);
    for beat in 1..4 {
        session.tick(ms(beat * 400 - 100));
        assert_eq!(outputs(&mut session), ["SEND 2"]);
        session.websocket_message(ms(beat * 400), Frame::Text("3".into()));
        assert_eq!(session.next_deadline(), Some(ms(beat * 400 + 300)));
    }
}

#[test]
fn polling_ends_in_the_ways_of_the_protocol() {
    type Input = fn(&mut Session) -> Result<(), Refusal>;
    let table: [(Input, Result<(), Refusal>, &[&str]); 8] = [
        (|s| push(s, 1, "1"), Ok(()), &["REPLY 6"]),
        (|s| s.poll(ms(1)), Err(Refusal::BadRequest), &["REPLY 1"]),
        (|s| s.begin_push().and_then(|()| s.begin_push()), Err(Refusal::BadRequest), &["REPLY 1"]),
        (|s| push(s, 1, "abc"), Err(Refusal::BadRequest), &["REPLY 1"]),
        (|s| push(s, 1, "\x1e\x1e"), Err(Refusal::BadRequest), &["REPLY 1"]),
        (|s| push(s, 1, &"4".repeat(1_000_001)), Err(Refusal::TooLarge), &["REPLY 1"]),
        // Nobody is there to be told.
        (
            |s| {
                s.poll_lost(ms(1));
                Ok(())
            },
            Ok(()),
            &[],
        ),
        (
            |s| {
                s.begin_push()?;
                s.push_lost(ms(1));
                Ok(())
            },
            Ok(()),
            &["REPLY 1"],
        ),
    ];
    for (index, (input, verdict, replies)) in table.into_iter().enumerate() {
        let mut session = polling(settings());
        session.poll(ms(1)).unwrap();
        assert_eq!(input(&mut session), verdict, "{index}");
        assert_eq!(outputs(&mut session), replies, "{index}");
        assert!(session.is_closed());
        assert_eq!(session.poll(ms(2)), Err(Refusal::UnknownSession));
        assert_eq!(session.begin_upgrade(ms(2)), Err(Refusal::UnknownSession));
        assert_eq!(session.next_deadline(), None);
    }
}

#[test]
fn a_goodbye_that_overtakes_the_last_get_still_answers_it() {
    for (comes_at, verdict, replies) in
        [(1001, Ok(()), &["REPLY 6"][..]), (1002, Err(Refusal::UnknownSession), &[])]
    {
        let mut connection = Connection::new(polling(Settings::default()), ms(0));
        push(connection.session(), 2, "1").unwrap();
        // The owner knows at once; the host keeps it a little longer.
        let reason = Reason::TransportClose;
        assert_eq!(events(&mut connection, 2), [Event::Closed { reason }]);
        assert_eq!(connection.next_deadline(), Some(ms(1002)));
        let session = connection.session();
        assert!(!session.is_closed());
        assert_eq!(push(session, 3, "4late"), Err(Refusal::UnknownSession));
        assert_eq!(session.poll(ms(comes_at)), verdict);
        assert_eq!(outputs(session), replies);
        assert!(session.is_closed());
        assert_eq!(session.poll(ms(comes_at)), Err(Refusal::UnknownSession));
    }
}

#[test]
fn an_upgrade_drains_polling_and_then_takes_over() {
    let mut session = polling(settings());
    session.poll(ms(1)).unwrap();
    session.begin_upgrade(ms(2)).unwrap();
    assert_eq!(session.begin_upgrade(ms(2)), Err(Refusal::BadRequest));
    session.websocket_message(ms(3), Frame::Text("2probe".into()));
    assert_eq!(outputs(&mut session), ["SEND 3probe", "REPLY 6"]);
    // A GET that was on its way hangs for a moment, is used for what comes, and is let go.
    session.poll(ms(4)).unwrap();
    session.send(std::iter::once(Frame::Text("4one".into())));
    assert_eq!(outputs(&mut session), ["REPLY 4one"]);
    session.poll(ms(5)).unwrap();
    assert_eq!(session.next_deadline(), Some(ms(55)));
    session.tick(ms(55));
    assert_eq!(outputs(&mut session), ["REPLY 6"]);
    // What comes between the last GET and the switch waits for the WebSocket.
    session.send(std::iter::once(Frame::Text("4two".into())));
    assert_eq!(outputs(&mut session), [""; 0]);
    session.websocket_message(ms(60), Frame::Text("5".into()));
    assert_eq!(outputs(&mut session), ["SEND 4two"]);
    assert_eq!(session.transport(), Transport::WebSocket);
    assert_eq!(session.poll(ms(61)), Err(Refusal::BadRequest));
    assert!(!session.is_closed());
}

#[test]
fn an_upgrade_that_fails_leaves_polling_alone() {
    type Input = fn(&mut Session);
    let table: [(Input, &[&str]); 4] = [
        (|s| s.websocket_lost(ms(5)), &[]),
        (|s| s.websocket_message(ms(5), Frame::Text("4early".into())), &["CLOSE 1000"]),
        (|s| s.websocket_message(ms(5), Frame::Text("5".into())), &["CLOSE 1000"]),
        (|s| s.tick(ms(100)), &["CLOSE 1000"]),
    ];
    for (input, expected) in table {
        let settings = Settings { upgrade_timeout: ms(90), ..settings() };
        let mut session = polling(settings);
        session.poll(ms(1)).unwrap();
        session.begin_upgrade(ms(2)).unwrap();
        input(&mut session);
        assert_eq!(outputs(&mut session), expected);
        session.send(std::iter::once(Frame::Text("4on".into())));
        assert_eq!(outputs(&mut session), ["REPLY 4on"]);
        assert_eq!(session.begin_upgrade(ms(101)), Ok(()));
    }
}

#[test]
fn a_slow_client_is_closed_and_nobody_else_notices() {
    let settings = Settings { queue_bytes: 1000, ..settings() };
    let (mut slow, member) = connected(settings.clone());
    let (mut quick, other) = connected(settings);
    let news = Encoded::event("/", "news", &Args::trusted("1".repeat(100).into()), None);
    let mut sent = 0;
    while !slow.session().is_closed() {
        slow.send(member, &news).unwrap();
        quick.send(other, &news).unwrap();
        assert_eq!(outputs(quick.session()).len(), 1);
        sent += 1;
        assert!(slow.session().queued_bytes() <= 1000);
    }
    assert_eq!(sent, 1000 / news.size() + 1);
    assert_eq!(outputs(slow.session()), ["CLOSE 1013"]);
    let reason = Reason::QueueOverflow;
    assert_eq!(
        events(&mut slow, 1),
        [Event::Disconnected { member, reason }, Event::Closed { reason }]
    );
    assert!(!quick.session().is_closed());
}

#[test]
fn a_packet_for_many_is_encoded_once() {
    let news = Encoded::event("/", "news", &Args::none(), None);
    let address = |connection: &mut Connection| match connection.session().next_output() {
        Some(Output::Send(Frame::Text(text))) => text.as_ptr(),
        other => panic!("{other:?}"),
    };
    let (mut one, first) = connected(settings());
    let (mut two, second) = connected(settings());
    one.send(first, &news).unwrap();
    two.send(second, &news).unwrap();
    assert_eq!(address(&mut one), address(&mut two));
}

#[test]
fn namespaces_are_asked_for_granted_and_refused() {
    let mut connection = Connection::new(session(settings(), Transport::WebSocket), ms(0));
    say(&mut connection, 1, r#"40/a,{"pid":"p","offset":"o","x":1}"#);
    say(&mut connection, 1, "40/b");
    let events = events(&mut connection, 1);
    let [Event::Request { member: a, recovery, auth, .. }, Event::Request { member: b, .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*recovery, Some(Recovery { pid: "p".into(), offset: Some("o".into()) }));
    assert!(auth.as_ref().unwrap().contains("\"x\""));
    assert_eq!(connection.emit(*a, "x", &Args::none()), Err(SendError::NotConnected));
    let grant = Grant { sid: "n\"1".into(), pid: Some("p".into()) };
    connection.accept(*a, &grant).unwrap();
    assert_eq!(connection.accept(*a, &grant), Err(SendError::NotConnected));
    assert!(connection.refuse(*b, "[]").is_err());
    connection.refuse(*b, r#"{"message":"no"}"#).unwrap();
    assert_eq!(
        outputs(connection.session())[1..],
        [r#"SEND 40/a,{"sid":"n\"1","pid":"p"}"#, r#"SEND 44/b,{"message":"no"}"#,]
    );
    // A refused one may be asked for again; it is another connection of the namespace.
    say(&mut connection, 2, "40/b");
    assert!(matches!(connection.next_event(ms(2)), Some(Event::Request { member, .. })
        if member != *b));
}

#[test]
fn who_breaks_the_rules_is_closed() {
    let many = (0..70).map(|index| format!("40/{index}")).collect::<Vec<_>>();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (messages, reason) in [
        (&["42/other,[\"a\"]"][..], Reason::ForcedServerClose),
        (&["40"], Reason::ForcedServerClose),
        (&["44{}"], Reason::ForcedServerClose),
        (&["4abc"], Reason::ParseError),
        (&["451-[\"a\"]", "42[\"b\"]"], Reason::ParseError),
        (&["0{}"], Reason::ParseError),
        (&["2"], Reason::ParseError),
        (&["5"], Reason::ParseError),
        (&["x"], Reason::ParseError),
        (&["1"], Reason::TransportClose),
        (&many, Reason::ForcedServerClose),
    ] {
        let (mut connection, member) = connected(settings());
        for message in messages {
            say(&mut connection, 1, message);
        }
        let mut events = events(&mut connection, 1);
        assert_eq!(events.pop(), Some(Event::Closed { reason }), "{messages:?}");
        assert!(events.contains(&Event::Disconnected { member, reason }), "{messages:?}");
        assert!(outputs(connection.session()).last().unwrap().starts_with("CLOSE"));
    }
}

#[test]
fn what_a_client_sent_before_it_was_put_out_is_no_fault() {
    let (mut connection, member) = connected(settings());
    connection.disconnect(member).unwrap();
    for late in ["42[\"a\"]", "430[]", "41"] {
        say(&mut connection, 1, late);
    }
    let reason = Reason::ServerNamespaceDisconnect;
    assert_eq!(events(&mut connection, 1), [Event::Disconnected { member, reason }]);
    say(&mut connection, 2, "40");
    assert!(matches!(events(&mut connection, 2)[..], [Event::Request { .. }]));
}

#[test]
fn answers_come_once_or_are_late_and_are_bounded() {
    let (mut connection, member) = connected(Settings { pending_acks: 3, ..settings() });
    let mut ask = |due| connection.emit_with_ack(member, ("q", &Args::none()), Some(ms(due)));
    let (first, second) = (ask(100).unwrap(), ask(50).unwrap());
    let third = ask(400).unwrap();
    assert_eq!(ask(1), Err(SendError::TooManyAcks(3)));
    assert_eq!(connection.next_deadline(), Some(ms(50)));
    say(&mut connection, 10, "430[1]");
    say(&mut connection, 10, "430[2]");
    connection.tick(ms(50));
    say(&mut connection, 60, "1");
    let late = |ack, is_late| Event::AnswerLost { member, ack, is_late };
    assert_eq!(
        events(&mut connection, 60)[..3],
        [
            late(second, true),
            Event::Answer { member, ack: first, args: Args::parse("[1]").unwrap() },
            late(third, false),
        ]
    );
}

#[test]
fn a_session_without_a_namespace_is_closed_and_one_on_polling_is_told() {
    let settings = Settings { connect_timeout: ms(100), close_timeout: ms(80), ..settings() };
    for is_fetched in [true, false] {
        let mut connection = Connection::new(polling(settings.clone()), ms(0));
        assert_eq!(connection.next_deadline(), Some(ms(100)));
        connection.tick(ms(100));
        assert!(!connection.session().is_closed());
        if is_fetched {
            connection.session().poll(ms(110)).unwrap();
            assert_eq!(outputs(connection.session()), ["REPLY 1"]);
        } else {
            assert_eq!(connection.next_deadline(), Some(ms(180)));
            connection.tick(ms(180));
        }
        let reason = Reason::ForcedServerClose;
        assert_eq!(events(&mut connection, 180), [Event::Closed { reason }]);
    }
}

#[test]
fn a_session_with_a_namespace_is_left_alone() {
    let settings = Settings { connect_timeout: ms(100), ..settings() };
    let (mut connection, member) = connected(settings);
    assert_eq!(connection.next_deadline(), Some(ms(300)));
    connection.tick(ms(150));
    assert!(connection.is_connected(member) && !connection.session().is_closed());
    // Not even when it leaves: it may ask for another.
    say(&mut connection, 151, "41");
    connection.tick(ms(299));
    assert!(!connection.session().is_closed());
}

/// Ten thousand attachments, deep JSON, huge numbers, many small packets: an end with a reason.
#[test]
fn hostile_input_is_bounded() {
    let deep = format!("42[\"a\",{}1{}]", "[".repeat(100_000), "]".repeat(100_000));
    let nulls = "0,".repeat(100_000);
    for message in [
        "4510000-[\"a\"]",
        "459999999999999999999-[\"a\"]",
        "4299999999999999999999[\"a\"]",
        &deep,
        &format!("42[\"a\",{nulls}"),
        &format!("40/{}", "n".repeat(100_000)),
        &format!("42[\"{}", "\\u00".repeat(10_000)),
    ] {
        let (mut connection, member) = connected(settings());
        say(&mut connection, 1, message);
        let reason = Reason::ParseError;
        let expected = [Event::Disconnected { member, reason }, Event::Closed { reason }];
        assert_eq!(events(&mut connection, 1), expected);
    }
    // Announced attachments are counted by their bytes as they come.
    let limits = PacketLimits { attachments: 10, bytes: 1000 };
    let (mut connection, _) = connected(Settings { limits, ..settings() });
    say(&mut connection, 1, r#"4510-["a"]"#);
    for _ in 0..5 {
        let bytes = Frame::Binary(vec![0; 300].into());
        connection.session().websocket_message(ms(1), bytes);
    }
    let events = events(&mut connection, 1);
    assert_eq!(events.last(), Some(&Event::Closed { reason: Reason::ParseError }));
}
