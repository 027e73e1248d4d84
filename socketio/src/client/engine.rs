//! One Engine.IO session as its client sees it: open, heartbeat, upgrade, close.
//!
//! Comes in: replies, WebSocket messages, losses, the time. Goes out: [`Action`]s and
//! [`Happening`]s, both in their order. A session is used once; who reconnects makes a new one.
//! The order of an upgrade is npm's: probe, wait until no request is out, say so, switch.

use super::options::{Options, Transports};
use super::reason::Reason;
use crate::engine::{Handshake, Packet, Payload, join};
use crate::frame::Frame;
use crate::outbox::Outbox;
use crate::text::Text;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The content of the packets that try a transport.
const PROBE: &str = "probe";

/// What the host is to do, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send a GET to this path and query; hand the reply to `poll_reply`. Never two at a time.
    Get {
        /// Path and query.
        target: String,
    },
    /// Send a POST with this body, `Content-Type: text/plain;charset=UTF-8`; hand the reply to
    /// `push_reply`. Never two at a time, but beside a GET.
    Post {
        /// Path and query.
        target: String,
        /// Packets.
        body: Bytes,
    },
    /// Open a WebSocket on this path and query; say `websocket_opened` or `websocket_lost`.
    OpenWebSocket {
        /// Path and query.
        target: String,
    },
    /// Send a message on the WebSocket.
    Send(Frame),
    /// Close the WebSocket, which did not do for an upgrade. Nothing of it is reported any more.
    CloseWebSocket,
    /// The session is over: requests that hang are dropped, a WebSocket is closed in an orderly
    /// way behind what was sent before, and nothing of either is reported any more.
    Abandon,
}

/// What happened in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happening {
    /// The server has opened it.
    Opened(Handshake),
    /// A message came.
    Message(Frame),
    /// From now on WebSocket.
    Upgraded,
    /// WebSocket was tried and did not work; polling goes on.
    UpgradeFailed,
    /// It is over.
    Closed(Reason),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Idle,
    Opening,
    Open,
    /// The user wants the end; what was queued goes out first.
    Closing,
    Closed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Upgrade {
    None,
    /// The WebSocket is asked for or open; the probe's answer is awaited.
    Probing,
    /// The probe was answered; requests that are out come back first.
    Draining,
}

/// A session.
#[derive(Debug)]
pub struct Engine {
    options: Arc<Options>,
    state: State,
    is_websocket: bool,
    upgrade: Upgrade,
    is_polling: bool,
    is_pushing: bool,
    sid: Option<Text>,
    /// Between a ping and the moment at which its successor is missed.
    patience: Duration,
    deadline: Option<Duration>,
    max_payload: usize,
    outbox: Outbox,
    actions: VecDeque<Action>,
    happenings: VecDeque<Happening>,
}

impl Engine {
    /// A session that has not begun.
    #[must_use]
    pub fn new(options: Arc<Options>) -> Self {
        Self {
            state: State::Idle,
            is_websocket: options.transports == Transports::WebSocket,
            upgrade: Upgrade::None,
            is_polling: false,
            is_pushing: false,
            sid: None,
            patience: Duration::ZERO,
            deadline: None,
            max_payload: usize::MAX,
            outbox: Outbox::default(),
            actions: VecDeque::new(),
            happenings: VecDeque::new(),
            options,
        }
    }

    /// Begins.
    pub fn open(&mut self, now: Duration) {
        if self.state != State::Idle {
            return;
        }
        self.state = State::Opening;
        self.deadline = Some(now + self.options.connect_timeout);
        if self.is_websocket {
            let target = self.options.target("websocket", None);
            self.actions.push_back(Action::OpenWebSocket { target });
        } else {
            self.get();
        }
    }

    /// Queues a frame that is a packet already, such as those of `Encoded::frames`.
    pub fn send(&mut self, frame: Frame) {
        if self.state == State::Open || self.state == State::Opening {
            self.outbox.push(frame);
            self.flush();
        }
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// The session's id, when it is open.
    #[must_use]
    pub fn sid(&self) -> Option<&Text> {
        self.sid.as_ref()
    }

    /// Whether messages go over WebSocket.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        self.is_websocket
    }

    /// Ends the session; what was queued goes out first. `Closed` happens when it has.
    pub fn close(&mut self, now: Duration) {
        match self.state {
            State::Idle | State::Opening => self.finish(Reason::IoClientDisconnect),
            State::Open => {
                self.state = State::Closing;
                // One answer is awaited at most: of the server that has just been told.
                self.deadline = Some(now + self.options.connect_timeout);
                if self.upgrade == Upgrade::Probing {
                    self.upgrade = Upgrade::None;
                    self.actions.push_back(Action::CloseWebSocket);
                }
                if !self.is_websocket && self.upgrade == Upgrade::None {
                    self.outbox.push(Packet::Close.encode());
                }
                self.flush();
            }
            State::Closing | State::Closed => {}
        }
    }

    /// The reply to a GET, whole.
    pub fn poll_reply(&mut self, now: Duration, status: u16, body: Bytes) {
        if !std::mem::take(&mut self.is_polling) || self.state == State::Closed {
            return;
        }
        if status != 200 {
            return self.finish(Reason::TransportError);
        }
        let Ok(packets) = Payload::read(body, self.options.body_bytes) else {
            return self.finish(Reason::ParseError);
        };
        for packet in packets {
            match packet {
                Ok(packet) => self.receive(now, packet),
                Err(_) => self.finish(Reason::ParseError),
            }
            if self.state == State::Closed {
                return;
            }
        }
        self.go_on();
    }

    /// The reply to a POST.
    pub fn push_reply(&mut self, status: u16) {
        if !std::mem::take(&mut self.is_pushing) || self.state == State::Closed {
            return;
        }
        if status != 200 {
            return self.finish(Reason::TransportError);
        }
        self.go_on();
    }

    /// A GET or a POST got no reply.
    pub fn request_lost(&mut self) {
        self.finish(Reason::TransportError);
    }

    /// The WebSocket asked for is open.
    pub fn websocket_opened(&mut self) {
        if self.upgrade == Upgrade::Probing {
            let probe = Packet::Ping(Text::fixed(PROBE)).encode();
            self.actions.push_back(Action::Send(probe));
        }
    }

    /// A message of the WebSocket.
    pub fn websocket_message(&mut self, now: Duration, frame: Frame) {
        if self.state == State::Closed || self.state == State::Idle {
            return;
        }
        match (Packet::decode(frame), self.upgrade) {
            (Ok(Packet::Pong(content)), Upgrade::Probing) if content == PROBE => {
                self.upgrade = Upgrade::Draining;
                self.go_on();
            }
            (_, Upgrade::Probing) => self.fail_upgrade(),
            (Ok(packet), _) => self.receive(now, packet),
            (Err(_), _) => self.finish(Reason::ParseError),
        }
    }

    /// The WebSocket could not be opened, or is gone.
    pub fn websocket_lost(&mut self) {
        match (self.upgrade, self.state) {
            (Upgrade::Probing | Upgrade::Draining, _) => self.fail_upgrade(),
            (Upgrade::None, _) if !self.is_websocket => {}
            (_, State::Opening) => self.finish(Reason::TransportError),
            (_, _) => self.finish(Reason::TransportClose),
        }
    }

    /// The time has come that [`Engine::next_deadline`] named.
    pub fn tick(&mut self, now: Duration) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Opening => self.finish(Reason::TransportError),
            State::Closing => self.finish(Reason::IoClientDisconnect),
            State::Idle | State::Open | State::Closed => self.finish(Reason::PingTimeout),
        }
    }

    /// When [`Engine::tick`] wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// What to do next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What happened next.
    pub fn next_happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    /// Ends the session at once.
    pub(super) fn finish(&mut self, reason: Reason) {
        if self.state == State::Closed {
            return;
        }
        let is_wanted = self.state == State::Closing;
        self.state = State::Closed;
        self.deadline = None;
        self.outbox.clear();
        self.actions.push_back(Action::Abandon);
        // Whatever breaks behind a goodbye is the goodbye.
        let reason = if is_wanted { Reason::IoClientDisconnect } else { reason };
        self.happenings.push_back(Happening::Closed(reason));
    }

    fn receive(&mut self, now: Duration, packet: Packet) {
        match packet {
            Packet::Open(text) if self.state == State::Opening => self.opened(now, &text),
            _ if self.state == State::Opening => self.finish(Reason::ParseError),
            Packet::Ping(content) => {
                if self.state == State::Open {
                    self.deadline = Some(now + self.patience);
                }
                self.send(Packet::Pong(content).encode());
            }
            Packet::Message(frame) => self.happenings.push_back(Happening::Message(frame)),
            Packet::Close => self.finish(Reason::TransportClose),
            Packet::Noop => {}
            Packet::Open(_) | Packet::Pong(_) | Packet::Upgrade => self.finish(Reason::ParseError),
        }
    }

    fn opened(&mut self, now: Duration, text: &str) {
        let Ok(handshake) = Handshake::decode(text) else {
            return self.finish(Reason::ParseError);
        };
        self.state = State::Open;
        self.patience = handshake.ping_interval + handshake.ping_timeout;
        self.deadline = Some(now + self.patience);
        self.max_payload = handshake.max_payload.unwrap_or(usize::MAX);
        self.sid = Some(handshake.sid.clone());
        let wants_upgrade = self.options.transports == Transports::PollingThenWebSocket;
        if !self.is_websocket && wants_upgrade && handshake.can_upgrade {
            self.upgrade = Upgrade::Probing;
            let target = self.options.target("websocket", Some(&handshake.sid));
            self.actions.push_back(Action::OpenWebSocket { target });
        }
        self.happenings.push_back(Happening::Opened(handshake));
        self.flush();
    }

    /// After a reply: the next request, or the switch that waited for it.
    fn go_on(&mut self) {
        let is_quiet = !self.is_polling && !self.is_pushing;
        match (self.upgrade, self.state) {
            (Upgrade::Draining, _) => {
                if is_quiet {
                    self.finish_upgrade();
                }
                return;
            }
            (_, State::Closing) if !self.is_pushing && self.outbox.is_empty() => {
                return self.finish(Reason::IoClientDisconnect);
            }
            _ => {}
        }
        self.flush();
        if self.state == State::Open && !self.is_websocket && !self.is_polling {
            self.get();
        }
    }

    fn finish_upgrade(&mut self) {
        self.upgrade = Upgrade::None;
        self.is_websocket = true;
        self.actions.push_back(Action::Send(Packet::Upgrade.encode()));
        self.happenings.push_back(Happening::Upgraded);
        self.flush();
    }

    fn fail_upgrade(&mut self) {
        self.upgrade = Upgrade::None;
        self.actions.push_back(Action::CloseWebSocket);
        self.happenings.push_back(Happening::UpgradeFailed);
        if self.state == State::Closing {
            self.outbox.push(Packet::Close.encode());
        }
        self.go_on();
    }

    fn flush(&mut self) {
        let is_up = matches!(self.state, State::Open | State::Closing);
        if !is_up || self.upgrade == Upgrade::Draining {
            return;
        }
        if self.is_websocket {
            while let Some(frame) = self.outbox.pop() {
                self.actions.push_back(Action::Send(frame));
            }
            if self.state == State::Closing {
                self.finish(Reason::IoClientDisconnect);
            }
        } else if !self.is_pushing && !self.outbox.is_empty() {
            self.is_pushing = true;
            let body = join(&self.outbox.take_body(self.max_payload));
            let target = self.options.target("polling", self.sid.as_deref());
            self.actions.push_back(Action::Post { target, body });
        }
    }

    fn get(&mut self) {
        self.is_polling = true;
        let target = self.options.target("polling", self.sid.as_deref());
        self.actions.push_back(Action::Get { target });
    }
}
