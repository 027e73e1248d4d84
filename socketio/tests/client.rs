//! The client's machine without a network: what it asks for, what it tells, in which order, at
//! which time. Each test plays the server by hand. Sockets and a real server are left to other
//! tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use bytes::Bytes;
use ebbtide_socketio::Frame;
use ebbtide_socketio::client::{
    Action, Client, EmitError, Event, NamespaceId, Options, Reason, Reconnection, Transports,
};
use ebbtide_socketio::packet::{Args, PacketLimits};
use std::time::Duration;

const HANDSHAKE: &str = concat!(
    r#"0{"sid":"s1","upgrades":["websocket"],"#,
    r#""pingInterval":300,"pingTimeout":200,"maxPayload":40}"#
);
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Actions as short texts.
fn actions(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next_action())
        .map(|action| match action {
            Action::Get { target } => format!("GET {target}"),
            Action::Post { target, body } => {
                format!("POST {target} {}", String::from_utf8_lossy(&body))
            }
            Action::OpenWebSocket { target } => format!("OPEN {target}"),
            Action::Send(Frame::Text(text)) => format!("SEND {text}"),
            Action::Send(Frame::Binary(bytes)) => format!("SEND {bytes:?}"),
            Action::CloseWebSocket => "CLOSE".to_owned(),
            Action::Abandon => "ABANDON".to_owned(),
        })
        .collect()
}

fn events(client: &mut Client) -> Vec<Event> {
    std::iter::from_fn(|| client.next_event()).collect()
}

fn polled(client: &mut Client, now: u64, body: &'static str) {
    client.poll_reply(ms(now), 200, Bytes::from_static(body.as_bytes()));
}

fn heard(client: &mut Client, now: u64, text: &str) {
    client.websocket_message(ms(now), Frame::Text(text.into()));
}

fn options(transports: Transports) -> Options {
    Options { transports, seed: 1, ..Options::default() }
}

/// A client on an open WebSocket, connected to `/`.
fn connected(options: Options) -> (Client, NamespaceId) {
    let mut client = Client::new(options);
    let main = client.connect(ms(0), "/", None).unwrap();
    client.websocket_opened(ms(0));
    heard(&mut client, 0, HANDSHAKE);
    heard(&mut client, 0, r#"40{"sid":"n1"}"#);
    assert!(client.is_connected(main));
    assert_eq!(actions(&mut client), [format!("OPEN {WEBSOCKET}"), "SEND 40".to_owned()]);
    assert_eq!(events(&mut client).len(), 2);
    (client, main)
}

#[test]
fn polling_upgrades_without_losing_order() {
    let mut client = Client::new(options(Transports::PollingThenWebSocket));
    let chat = client.connect(ms(0), "/chat", Some(r#"{"token":"x"}"#.into())).unwrap();
    client.emit(ms(0), chat, "early", &Args::none()).unwrap();
    assert_eq!(actions(&mut client), [format!("GET {POLLING}")]);
    polled(&mut client, 10, HANDSHAKE);
    assert_eq!(
        actions(&mut client),
        [
            format!("OPEN {WEBSOCKET}&sid=s1"),
            format!("GET {POLLING}&sid=s1"),
            format!(r#"POST {POLLING}&sid=s1 40/chat,{{"token":"x"}}"#),
        ]
    );
    client.push_reply(ms(11), 200);
    client.websocket_opened(ms(12));
    assert_eq!(actions(&mut client), ["SEND 2probe"]);
    // The namespace comes by polling, the kept event goes out by it.
    polled(&mut client, 13, r#"40/chat,{"sid":"n1"}"#);
    assert_eq!(
        actions(&mut client),
        [format!("GET {POLLING}&sid=s1"), format!(r#"POST {POLLING}&sid=s1 42/chat,["early"]"#),]
    );
    // The probe is answered while both requests are out: both come back before the switch.
    heard(&mut client, 14, "3probe");
    client.emit(ms(14), chat, "late", &Args::parse("[1]").unwrap()).unwrap();
    assert_eq!(actions(&mut client), [""; 0]);
    client.push_reply(ms(15), 200);
    client.emit(ms(15), chat, "later", &Args::none()).unwrap();
    assert_eq!(actions(&mut client), [""; 0]);
    polled(&mut client, 16, "42/chat,[\"last by polling\"]\x1e6");
    assert_eq!(
        actions(&mut client),
        ["SEND 5", r#"SEND 42/chat,["late",1]"#, r#"SEND 42/chat,["later"]"#]
    );
    assert!(client.is_websocket());
    let names: Vec<String> = events(&mut client)
        .into_iter()
        .map(|event| match event {
            Event::Message { name, .. } => name.to_string(),
            other => format!("{other:?}").split([' ', '(']).next().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(names, ["Opened", "Connected", "last by polling", "Upgraded"]);
}

#[test]
fn a_failed_upgrade_goes_on_polling() {
    for is_answered in [false, true] {
        let mut client = Client::new(options(Transports::PollingThenWebSocket));
        client.connect(ms(0), "/", None).unwrap();
        polled(&mut client, 0, HANDSHAKE);
        client.push_reply(ms(1), 200);
        if is_answered {
            client.websocket_opened(ms(1));
            heard(&mut client, 1, "3wrong");
        } else {
            client.websocket_lost(ms(1));
        }
        polled(&mut client, 2, "6");
        let actions = actions(&mut client);
        assert!(actions.iter().any(|action| action == "CLOSE"), "{actions:?}");
        assert_eq!(actions.last().unwrap(), &format!("GET {POLLING}&sid=s1"));
        assert!(events(&mut client).contains(&Event::UpgradeFailed));
    }
}

#[test]
fn a_body_keeps_to_the_servers_limit() {
    let mut client = Client::new(options(Transports::Polling));
    let main = client.connect(ms(0), "/", None).unwrap();
    polled(&mut client, 0, HANDSHAKE);
    polled(&mut client, 0, r#"40{"sid":"n1"}"#);
    // 18 bytes each: two with their separator fit into 40, and the first request is still out.
    for index in 0..5 {
        let args = Args::parse(&format!("[{index}]")).unwrap();
        client.emit(ms(0), main, "12345678", &args).unwrap();
    }
    actions(&mut client);
    let mut sizes = Vec::new();
    loop {
        client.push_reply(ms(1), 200);
        let posts = actions(&mut client);
        let Some(post) = posts.first() else { break };
        sizes.push(post.matches("12345678").count());
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn a_silent_server_is_given_up_and_tried_again() {
    let reconnection = Reconnection { jitter: 0.0, attempts: Some(2), ..Reconnection::default() };
    let options = Options { reconnection: Some(reconnection), ..options(Transports::WebSocket) };
    let (mut client, main) = connected(options);
    let ack = client.emit_with_ack(ms(1), main, ("ask", &Args::none()), None).unwrap();
    heard(&mut client, 400, "2");
    assert_eq!(actions(&mut client).last().unwrap(), "SEND 3");
    assert_eq!(client.next_deadline(), Some(ms(900)));
    client.tick(ms(899));
    assert_eq!(events(&mut client), []);
    client.tick(ms(900));
    assert_eq!(actions(&mut client), ["ABANDON"]);
    assert_eq!(
        events(&mut client),
        [
            Event::AnswerLost { namespace: main, ack, is_late: false },
            Event::Disconnected { namespace: main, reason: Reason::PingTimeout },
            Event::Closed { reason: Reason::PingTimeout, retry_in: Some(ms(1000)) },
        ]
    );
    // What is emitted meanwhile waits; two attempts are made, the second one later.
    client.emit(ms(901), main, "kept", &Args::none()).unwrap();
    for (at, retry_in) in [(1900, Some(ms(2000))), (3900, None)] {
        client.tick(ms(at - 1));
        assert_eq!(actions(&mut client), [""; 0]);
        client.tick(ms(at));
        assert_eq!(actions(&mut client), [format!("OPEN {WEBSOCKET}")]);
        client.websocket_lost(ms(at));
        let reason = Reason::TransportError;
        assert_eq!(events(&mut client), [Event::Closed { reason, retry_in }]);
        assert_eq!(actions(&mut client), ["ABANDON"]);
    }
    assert_eq!(client.next_deadline(), None);
    // The user may begin anew.
    client.connect(ms(5000), "/", None).unwrap();
    heard(&mut client, 5001, HANDSHAKE);
    heard(&mut client, 5002, r#"40{"sid":"n2"}"#);
    assert_eq!(actions(&mut client).last().unwrap(), r#"SEND 42["kept"]"#);
}

#[test]
fn a_session_ends_in_the_words_of_socket_io() {
    type Input = fn(&mut Client, NamespaceId);
    let table: [(Input, Reason); 7] = [
        (|client, _| heard(client, 1, "41"), Reason::IoServerDisconnect),
        (|client, main| client.disconnect(ms(1), main), Reason::IoClientDisconnect),
        (|client, _| client.websocket_lost(ms(1)), Reason::TransportClose),
        (|client, _| heard(client, 1, "1"), Reason::TransportClose),
        (|client, _| client.request_lost(ms(1)), Reason::TransportError),
        (|client, _| heard(client, 1, "4abc"), Reason::ParseError),
        (|client, _| heard(client, 1, "abc"), Reason::ParseError),
    ];
    for (input, expected) in table {
        let (mut client, main) = connected(options(Transports::WebSocket));
        input(&mut client, main);
        let events = events(&mut client);
        let Event::Disconnected { reason, .. } = events[0] else { panic!("{events:?}") };
        assert_eq!(reason, expected);
        let Event::Closed { retry_in, .. } = events[1] else { panic!("{events:?}") };
        // What either side wished for is not undone.
        let is_wish = matches!(expected, Reason::IoServerDisconnect | Reason::IoClientDisconnect);
        assert_eq!(retry_in.is_none(), is_wish, "{expected}");
        assert_eq!(actions(&mut client).last().unwrap(), "ABANDON");
    }
}

#[test]
fn namespaces_share_a_session_and_end_on_their_own() {
    let (mut client, main) = connected(options(Transports::WebSocket));
    let chat = client.connect(ms(1), "/chat", None).unwrap();
    let secret = client.connect(ms(1), "/secret", None).unwrap();
    assert_eq!(actions(&mut client), ["SEND 40/chat,", "SEND 40/secret,"]);
    heard(&mut client, 2, r#"40/chat,{"sid":"n2"}"#);
    heard(&mut client, 2, r#"44/secret,{"message":"no","data":{"code":1}}"#);
    heard(&mut client, 2, r#"42/chat,3["hello","all"]"#);
    let events = events(&mut client);
    assert!(matches!(&events[1], Event::ConnectError { namespace, message, .. }
        if *namespace == secret && message == "no"));
    let Event::Message { namespace, ack: Some(ack), .. } = &events[2] else { panic!("{events:?}") };
    assert_eq!(*namespace, chat);
    client.answer(ms(3), chat, *ack, &Args::parse("[true]").unwrap()).unwrap();
    let refused = client.emit(ms(3), secret, "a", &Args::none());
    assert!(matches!(refused, Err(EmitError::NotConnected(_))));
    client.disconnect(ms(4), main);
    assert_eq!(actions(&mut client), ["SEND 43/chat,3[true]", "SEND 41"]);
    client.disconnect(ms(5), chat);
    assert_eq!(actions(&mut client), ["SEND 41/chat,", "ABANDON"]);
}

#[test]
fn answers_come_once_or_are_late() {
    let (mut client, main) = connected(options(Transports::WebSocket));
    let mut ask = |due| client.emit_with_ack(ms(0), main, ("ask", &Args::none()), Some(ms(due)));
    let (first, second) = (ask(100).unwrap(), ask(50).unwrap());
    assert_eq!(client.next_deadline(), Some(ms(50)));
    heard(&mut client, 10, "430[1]");
    heard(&mut client, 11, "430[2]");
    client.tick(ms(50));
    heard(&mut client, 60, "431[3]");
    let args = Args::parse("[1]").unwrap();
    assert_eq!(
        events(&mut client),
        [
            Event::Answer { namespace: main, ack: first, args },
            Event::AnswerLost { namespace: main, ack: second, is_late: true },
        ]
    );
}

#[test]
fn nothing_waits_without_a_bound() {
    let limits = PacketLimits { attachments: 1, bytes: 100 };
    let options = Options { queue_bytes: 150, pending_acks: 2, limits, ..Options::default() };
    let mut client = Client::new(options);
    let main = client.connect(ms(0), "/", None).unwrap();
    let large = |size: usize| Args::trusted("1".repeat(size).into());
    client.emit(ms(0), main, "a", &large(90)).unwrap();
    let full = client.emit(ms(0), main, "a", &large(90));
    assert!(matches!(full, Err(EmitError::QueueFull { limit: 150, .. })), "{full:?}");
    assert!(matches!(client.emit(ms(0), main, "a", &large(101)), Err(EmitError::Packet(_))));
    let two = Args::none().with_attachments(vec![Bytes::new(), Bytes::new()]);
    assert!(matches!(client.emit(ms(0), main, "a", &two), Err(EmitError::Packet(_))));
    assert!(matches!(client.emit(ms(0), main, "connect", &large(1)), Err(EmitError::Packet(_))));
    let mut ask = || client.emit_with_ack(ms(0), main, ("ask", &Args::none()), None);
    assert!(ask().is_ok() && ask().is_ok());
    assert_eq!(ask(), Err(EmitError::TooManyAcks(2)));
    assert!(client.connect(ms(0), "chat", None).is_err());
    assert!(client.connect(ms(0), "/chat", Some("[]".into())).is_err());
    for index in 1..64 {
        client.connect(ms(0), &format!("/{index}"), None).unwrap();
    }
    assert!(client.connect(ms(0), "/one-more", None).is_err());
}

#[test]
fn a_recovered_connection_says_so() {
    let (mut client, main) = connected(options(Transports::WebSocket));
    heard(&mut client, 1, "41");
    client.connect(ms(2), "/", Some(r#"{"t":1}"#.into())).unwrap();
    client.websocket_opened(ms(2));
    heard(&mut client, 3, HANDSHAKE);
    heard(&mut client, 3, r#"40{"sid":"n1","pid":"p1"}"#);
    let granted =
        |is_recovered| Event::Connected { namespace: main, sid: "n1".into(), is_recovered };
    assert!(events(&mut client).contains(&granted(false)));
    heard(&mut client, 4, r#"42["news",1,"offset-9"]"#);
    client.websocket_lost(ms(5));
    let at = client.next_deadline().unwrap();
    client.tick(at);
    actions(&mut client);
    events(&mut client);
    client.websocket_message(at, Frame::Text(HANDSHAKE.into()));
    let asked = actions(&mut client);
    assert_eq!(asked, [r#"SEND 40{"pid":"p1","offset":"offset-9","t":1}"#]);
    // npm's server sends what was missed before it grants.
    client.websocket_message(at, Frame::Text(r#"42["news",2,"offset-10"]"#.into()));
    client.websocket_message(at, Frame::Text(r#"40{"sid":"n1","pid":"p1"}"#.into()));
    let events = events(&mut client);
    assert_eq!(events[1], granted(true));
    let Event::Message { args, .. } = &events[2] else { panic!("{events:?}") };
    assert_eq!(args.items().as_str(), r#"2,"offset-10""#);
}

#[test]
fn polling_says_goodbye_before_it_ends() {
    let mut client = Client::new(options(Transports::Polling));
    let main = client.connect(ms(0), "/", None).unwrap();
    polled(&mut client, 0, HANDSHAKE);
    client.push_reply(ms(1), 200);
    polled(&mut client, 2, r#"40{"sid":"n1"}"#);
    actions(&mut client);
    client.disconnect(ms(3), main);
    let goodbye = actions(&mut client);
    assert_eq!(goodbye, [format!("POST {POLLING}&sid=s1 41")]);
    client.push_reply(ms(4), 200);
    assert_eq!(actions(&mut client), [format!("POST {POLLING}&sid=s1 1")]);
    client.push_reply(ms(5), 200);
    assert_eq!(actions(&mut client), ["ABANDON"]);
}
