//! Both machines against each other over a network that delivers in any order it is allowed to:
//! whatever the interleaving of polls, pushes, the probe and the switch, every event arrives once
//! and in its order, on both sides.
//!
//! The network is simulated; a random list of choices says what is delivered next.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use bytes::Bytes;
use ebbtide_socketio::Frame;
use ebbtide_socketio::client::{Action, Client, Event, NamespaceId, Options, Transports};
use ebbtide_socketio::packet::{Arg, Args};
use ebbtide_socketio::server::{
    self, Connection, Grant, MemberId, Output, Route, Session, Settings, Transport,
};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A request on its way.
enum Request {
    Sent(String, Bytes),
    AtServer,
    Answered(u16, Bytes),
}

#[derive(PartialEq)]
enum Line {
    None,
    Asked(String),
    Open,
}

struct World {
    now: Duration,
    client: Client,
    main: NamespaceId,
    server: Option<Connection>,
    member: Option<MemberId>,
    get: Option<Request>,
    post: Option<Request>,
    line: Line,
    up: VecDeque<Frame>,
    down: VecDeque<Frame>,
    sent: [u32; 2],
    heard: [Vec<u32>; 2],
}

impl World {
    fn new(transports: Transports) -> Self {
        let mut client = Client::new(Options { transports, ..Options::default() });
        let main = client.connect(Duration::ZERO, "/", None).unwrap();
        Self {
            now: Duration::ZERO,
            client,
            main,
            server: None,
            member: None,
            get: None,
            post: None,
            line: Line::None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            sent: [0; 2],
            heard: [Vec::new(), Vec::new()],
        }
    }

    /// One thing of those that may happen; false when the choice was none.
    fn step(&mut self, choice: u8) -> bool {
        let now = self.now;
        let happened = match choice % 8 {
            0 => self.send_from_client(),
            1 => self.send_from_server(),
            2 => self.deliver_get(),
            3 => self.deliver_post(),
            4 => self.open_line(),
            5 => match (&mut self.server, self.up.pop_front()) {
                (Some(server), Some(frame)) => {
                    server.session().websocket_message(now, frame);
                    true
                }
                _ => false,
            },
            6 => match self.down.pop_front() {
                Some(frame) => {
                    self.client.websocket_message(now, frame);
                    true
                }
                None => false,
            },
            _ => self.return_replies(),
        };
        self.settle();
        happened
    }

    /// A number, every third one with bytes beside it.
    fn args(number: u32) -> Args {
        let (text, bytes) = (number.to_string(), Bytes::from_static(b"\x1e\x00"));
        let all = [Arg::Json(&text), Arg::Binary(&bytes)];
        Args::of(if number.is_multiple_of(3) { &all } else { &all[..1] })
    }

    fn number(args: &Args) -> u32 {
        let list = args.list();
        let Arg::Json(text) = list[0] else { panic!("{args:?}") };
        assert_eq!(list.len() - 1, args.attachments().len());
        text.parse().unwrap()
    }

    fn send_from_client(&mut self) -> bool {
        let args = Self::args(self.sent[0]);
        self.sent[0] += 1;
        self.client.emit(self.now, self.main, "up", &args).unwrap();
        true
    }

    fn send_from_server(&mut self) -> bool {
        let (Some(server), Some(member)) = (&mut self.server, self.member) else { return false };
        let args = Self::args(self.sent[1]);
        self.sent[1] += 1;
        server.emit(member, "down", &args).unwrap();
        true
    }

    fn deliver_get(&mut self) -> bool {
        let Some(Request::Sent(target, _)) = &self.get else { return false };
        let query = target.split_once('?').unwrap().1;
        match Route::of("GET", query, false).unwrap() {
            Route::Open(transport) => self.server = Some(open(transport)),
            Route::Poll(_) => {}
            other => panic!("{other:?}"),
        }
        self.server.as_mut().unwrap().session().poll(self.now).unwrap();
        self.get = Some(Request::AtServer);
        true
    }

    fn deliver_post(&mut self) -> bool {
        let Some(Request::Sent(_, body)) = &self.post else { return false };
        let session = self.server.as_mut().unwrap().session();
        session.begin_push().unwrap();
        session.push(self.now, body.clone()).unwrap();
        self.post = Some(Request::Answered(200, Bytes::from_static(b"ok")));
        true
    }

    fn open_line(&mut self) -> bool {
        let Line::Asked(target) = &self.line else { return false };
        let query = target.split_once('?').unwrap().1.to_owned();
        self.line = Line::Open;
        match Route::of("GET", &query, true).unwrap() {
            Route::Open(transport) => self.server = Some(open(transport)),
            Route::Upgrade(_) => {
                self.server.as_mut().unwrap().session().begin_upgrade(self.now).unwrap();
            }
            other => panic!("{other:?}"),
        }
        self.client.websocket_opened(self.now);
        true
    }

    fn return_replies(&mut self) -> bool {
        if let Some(Request::Answered(status, body)) =
            self.get.take_if(|get| matches!(get, Request::Answered(..)))
        {
            self.client.poll_reply(self.now, status, body);
            return true;
        }
        if let Some(Request::Answered(status, _)) =
            self.post.take_if(|post| matches!(post, Request::Answered(..)))
        {
            self.client.push_reply(self.now, status);
            return true;
        }
        false
    }

    /// Everything that needs no network.
    fn settle(&mut self) {
        while let Some(action) = self.client.next_action() {
            match action {
                Action::Get { target } => {
                    let before = self.get.replace(Request::Sent(target, Bytes::new()));
                    assert!(before.is_none(), "two GETs");
                }
                Action::Post { target, body } => {
                    let before = self.post.replace(Request::Sent(target, body));
                    assert!(before.is_none(), "two POSTs");
                }
                Action::OpenWebSocket { target } => self.line = Line::Asked(target),
                Action::Send(frame) => self.up.push_back(frame),
                Action::CloseWebSocket | Action::Abandon => panic!("{action:?}"),
            }
        }
        while let Some(event) = self.client.next_event() {
            match event {
                Event::Message { args, .. } => self.heard[1].push(Self::number(&args)),
                Event::Closed { .. } | Event::UpgradeFailed => panic!("{event:?}"),
                _ => {}
            }
        }
        let Some(server) = &mut self.server else { return };
        while let Some(event) = server.next_event(self.now) {
            match event {
                server::Event::Request { member, .. } => {
                    server.accept(member, &Grant { sid: "n".into(), pid: None }).unwrap();
                    self.member = Some(member);
                }
                server::Event::Message { args, .. } => self.heard[0].push(Self::number(&args)),
                server::Event::Upgraded => {}
                other => panic!("{other:?}"),
            }
        }
        while let Some(output) = server.session().next_output() {
            match output {
                Output::Reply(Ok(body)) => self.get = Some(Request::Answered(200, body)),
                Output::Send(frame) => self.down.push_back(frame),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Delivers whatever is under way until nothing is; lets time pass when all wait.
    fn finish(&mut self) {
        let mut turns = 0;
        loop {
            let mut is_moving = false;
            for choice in 2..8 {
                is_moving |= self.step(choice);
            }
            turns += 1;
            assert!(turns < 10_000, "it never ends");
            if !is_moving {
                if self.is_done() {
                    return;
                }
                self.now += Duration::from_millis(60);
                self.server.as_mut().unwrap().tick(self.now);
                self.client.tick(self.now);
                self.settle();
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_heard = (0..2).all(|side| self.heard[side].len() == self.sent[side] as usize);
        is_heard && (self.client.is_websocket() || self.line == Line::None)
    }
}

fn open(transport: Transport) -> Connection {
    let settings = Arc::new(Settings::default());
    Connection::new(
        Session::open(settings, "sid".into(), transport, Duration::ZERO),
        Duration::ZERO,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_event_arrives_once_and_in_order(
        choices in proptest::collection::vec(any::<u8>(), 0..300),
        kind in 0..3,
    ) {
        let transports = match kind {
            0 => Transports::Polling,
            1 => Transports::WebSocket,
            _ => Transports::PollingThenWebSocket,
        };
        let mut world = World::new(transports);
        for choice in choices {
            world.step(choice);
        }
        world.finish();
        for side in 0..2 {
            let expected: Vec<u32> = (0..world.sent[side]).collect();
            prop_assert_eq!(&world.heard[side], &expected);
        }
    }
}
