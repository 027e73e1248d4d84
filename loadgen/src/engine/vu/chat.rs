//! The Socket.IO steps of a virtual user: connect, emit, wait for events, listen, close.
//!
//! In: instructions of the plan. Out: samples. Heartbeats are answered while the user does
//! something else, since every wait serves the clients. Connections are left to the session.

use super::exchange::equals;
use super::session::Session;
use super::{CLOSE_TIMEOUT, Vu};
use crate::check::Answer;
use crate::disconnect::Disconnect;
use crate::engine::local::Local;
use crate::plan::{AwaitEventOp, EmitOp, SioConnectOp, SioOp};
use crate::recorder::Trend;
use crate::sample::Failure;
use crate::scenario::Span;
use crate::template::Template;
use crate::websocket::Tap;
use bytes::Bytes;
use ebbtide_socketio::Text;
use ebbtide_socketio::client::{AckId, Client, Event, NamespaceId, Options, Reason, Reconnection};
use ebbtide_socketio::packet::Args;
use serde_json::Value;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Events kept for a later `await_event`; the oldest is dropped.
const BACKLOG_MAX: usize = 64;

/// A Socket.IO client of a user, and what it knows of it.
pub(super) struct Chat {
    session: Session,
    namespace: NamespaceId,
    /// Slots of its connects and of closes that no step asks for.
    slots: (usize, usize),
    is_connected: bool,
    /// Since when, nanoseconds since the engine began; 0 when it never was.
    connected: u64,
    /// The server refused it.
    is_refused: bool,
    /// The session is gone and does not come back.
    is_over: bool,
    /// When the session was opened.
    opened: u64,
    events: VecDeque<(Text, Args)>,
    /// The answer to the event that asked last, none in it when it is lost.
    answer: Option<(AckId, Option<Args>)>,
    tap: Option<Tap>,
}

/// JSON pointers, and what must stand there.
type Wanted<'a> = Vec<(&'a String, Vec<u8>)>;

impl Vu {
    pub(super) async fn sio(&mut self, op: &SioOp) -> Result<(), Failure> {
        match op {
            SioOp::Connect(connect) => self.sio_connect(connect).await,
            SioOp::Emit(emit) => self.emit(emit).await,
            SioOp::Await(wait) => self.await_event(wait).await,
            SioOp::Listen { slot, client, length } => {
                self.sio_listen(*slot, *client, *length).await
            }
            SioOp::Close { slot, client } => self.sio_close(*client, *slot).await,
        }
    }

    /// Serves the user's clients.
    pub(super) fn serve_chats(&mut self, context: &mut Context<'_>) {
        for chat in self.chats.iter_mut().flatten() {
            chat.poll(context, &self.local);
        }
    }

    /// Serves all connections until `look` has found what it waits for on a client.
    async fn until<T>(
        &mut self,
        place: usize,
        mut look: impl FnMut(&mut Chat) -> Option<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        poll_fn(|context| {
            self.service(context);
            let Some(chat) = &mut self.chats[place] else {
                return Poll::Ready(Err(Failure::NoClient));
            };
            match look(chat) {
                Some(found) => Poll::Ready(found),
                None => self.watch.poll_end(context).map(Err),
            }
        })
        .await
    }

    async fn sio_connect(&mut self, op: &SioConnectOp) -> Result<(), Failure> {
        let start = self.time();
        self.watch.set(start + op.timeout.as_nanos() as u64);
        if self.chats[op.client].as_ref().is_none_or(|chat| chat.is_over || chat.is_refused) {
            match self.new_chat(op) {
                Some(chat) => self.chats[op.client] = Some(Box::new(chat)),
                None => return self.failed(op.slot, Failure::NotEmitted, start),
            }
        } else if self.chats[op.client].as_ref().is_some_and(|chat| chat.is_connected) {
            return Ok(());
        }
        let connected = self
            .until(op.client, |chat| match chat {
                Chat { is_connected: true, .. } => Some(Ok(())),
                Chat { is_refused: true, .. } => Some(Err(Failure::ConnectRefused)),
                Chat { is_over: true, .. } => {
                    Some(Err(chat.session.failure.unwrap_or(Failure::Closed)))
                }
                _ => None,
            })
            .await;
        match connected {
            Ok(()) => {
                self.succeeded(op.slot, start);
                Ok(())
            }
            Err(failure) => {
                if op.reconnect.is_none() {
                    self.chats[op.client] = None;
                }
                self.failed(op.slot, failure, start)
            }
        }
    }

    /// A client that is about to connect; none when its namespace or credentials will not do.
    fn new_chat(&mut self, op: &SioConnectOp) -> Option<Chat> {
        let mut text = |template: &Template| {
            let text = self.text(template);
            String::from_utf8_lossy(&text).into_owned()
        };
        let (path, query, headers) = (text(&op.path), text(&op.query), text(&op.headers));
        let auth = op.auth.as_ref().map(|auth| Text::from(text(auth)));
        let reconnection = op.reconnect.map(|policy| Reconnection {
            delay: policy.delay,
            max_delay: policy.max,
            jitter: policy.jitter,
            attempts: (policy.attempts > 0).then_some(policy.attempts),
        });
        let (seed, random) = (self.scope.random(), self.scope.random());
        let mut client = Client::new(Options {
            path,
            query,
            transports: op.transports,
            connect_timeout: op.timeout,
            reconnection,
            seed,
            ..Options::default()
        });
        let now = Duration::from_nanos(self.local.now());
        let namespace = client.connect(now, &op.namespace, auth).ok()?;
        let plan = &self.plan.flows[self.flow].clients[op.client];
        let token = self.local.shared.token;
        let tap = plan.delivery_slot.filter(|_| self.plan.stamps);
        let headers = headers.into_bytes();
        Some(Chat {
            session: Session::new(&self.local, self.flow, client, (headers, random)),
            namespace,
            slots: (op.slot, plan.close_slot),
            is_connected: false,
            connected: 0,
            is_refused: false,
            is_over: false,
            opened: 0,
            events: VecDeque::new(),
            answer: None,
            tap: tap.map(|slot| Tap::new(token, slot)),
        })
    }

    async fn emit(&mut self, op: &EmitOp) -> Result<(), Failure> {
        let start = self.time();
        let within = op.ack.as_ref().map_or(CLOSE_TIMEOUT, |ack| ack.within);
        self.watch.set(start + within.as_nanos() as u64);
        if op.stamp {
            self.stamp(start);
        }
        let items = String::from_utf8_lossy(&self.text(&op.args)).into_owned();
        let attachments = op.attachments.iter().map(|bytes| Bytes::copy_from_slice(bytes));
        let args = Args::trusted(items.into()).with_attachments(attachments.collect());
        let expected = op.expect.as_ref().map_or(0, |expect| self.expected(expect));
        let Some(chat) = self.chats[op.client].as_mut().filter(|chat| !chat.is_over) else {
            return self.failed(op.slot, Failure::NoClient, start);
        };
        let ack = match chat.emit(op, &args, within) {
            Ok(ack) => ack,
            Err(failure) => return self.failed(op.slot, failure, start),
        };
        self.local.note(|recorder| {
            recorder.counters.sio_emits += 1;
            recorder.counters.delivery_expected += expected;
            recorder.slots[op.slot].expected += expected;
        });
        // The event is on its way before the user goes on.
        poll_fn(|context| {
            self.service(context);
            Poll::Ready(())
        })
        .await;
        let (Some(id), Some(wanted)) = (ack, &op.ack) else {
            self.local.note(|recorder| recorder.succeed(op.slot));
            self.intended = None;
            return Ok(());
        };
        let json = self.rendered(&wanted.json);
        let answered = self
            .until(op.client, |chat| match chat.answer.take() {
                Some((known, Some(args))) if known == id => Some(Ok(args)),
                Some((known, None)) if known == id => Some(Err(Failure::NoAck)),
                _ if chat.is_over => Some(Err(Failure::NoClient)),
                _ => None,
            })
            .await;
        match answered {
            Ok(args) => {
                let text = args.to_json();
                if !fits(&text, &json) {
                    return self.failed(op.slot, Failure::WrongAck, start);
                }
                self.succeeded(op.slot, start);
                self.capture(&wanted.captures, &Answer::message(text.as_bytes()));
                Ok(())
            }
            Err(Failure::TimedOut | Failure::NoAck) => {
                self.local.note(|recorder| recorder.counters.sio_ack_timeouts += 1);
                self.failed(op.slot, Failure::NoAck, start)
            }
            Err(failure) => self.failed(op.slot, failure, start),
        }
    }

    fn rendered<'a>(&mut self, json: &'a [(String, Template)]) -> Wanted<'a> {
        json.iter().map(|(at, value)| (at, self.text(value))).collect()
    }

    async fn await_event(&mut self, op: &AwaitEventOp) -> Result<(), Failure> {
        let start = self.time();
        self.watch.set(start + op.within.as_nanos() as u64);
        let wanted = self.rendered(&op.json);
        let found = self
            .until(op.client, |chat| {
                while let Some((name, args)) = chat.events.pop_front() {
                    let text = args.to_json();
                    if *name == *op.event && fits(&text, &wanted) {
                        return Some(Ok(text));
                    }
                }
                chat.is_over.then_some(Err(Failure::NoClient))
            })
            .await;
        match found {
            Ok(text) => {
                self.capture(&op.captures, &Answer::message(text.as_bytes()));
                self.local.note(|recorder| recorder.slots[op.slot].count += 1);
                let now = self.local.now();
                self.local.record(op.slot, Trend::Duration, now - start);
                Ok(())
            }
            Err(Failure::TimedOut) => self.failed(op.slot, Failure::NotReceived, start),
            Err(failure) => self.failed(op.slot, failure, start),
        }
    }

    async fn sio_listen(&mut self, slot: usize, place: usize, length: Span) -> Result<(), Failure> {
        let start = self.time();
        let until = start + self.draw(length);
        self.watch.set(until);
        // Stamped events are looked at as they come, by the client's tap.
        let ended = self
            .until(place, |chat| {
                chat.events.clear();
                chat.is_over.then_some(Err(Failure::NoClient))
            })
            .await;
        match ended {
            Ok(()) | Err(Failure::TimedOut) => Ok(()),
            Err(failure) => self.failed(slot, failure, start),
        }
    }

    pub(super) async fn sio_close(&mut self, place: usize, slot: usize) -> Result<(), Failure> {
        let start = self.time();
        self.watch.set(start + CLOSE_TIMEOUT.as_nanos() as u64);
        let Some(mut chat) = self.chats[place].take() else {
            return self.failed(slot, Failure::NoClient, start);
        };
        chat.slots.1 = slot;
        let mut asked = false;
        let ended = poll_fn(|context| {
            chat.poll(context, &self.local);
            // What was emitted goes out first: a close in the middle of an upgrade would drop it.
            if !asked && (chat.session.is_idle() || chat.is_over) {
                asked = true;
                let now = chat.session.now();
                chat.session.client.disconnect(now, chat.namespace);
                chat.session.client.close(now);
                chat.poll(context, &self.local);
            }
            if chat.is_over {
                return Poll::Ready(Ok(()));
            }
            self.watch.poll_end(context).map(Err)
        })
        .await;
        match ended {
            Ok(()) => {
                self.succeeded(slot, start);
                Ok(())
            }
            Err(failure) => self.failed(slot, failure, start),
        }
    }

    /// Closes the clients that end with the iteration, or all of them.
    pub(super) async fn close_chats(&mut self, all: bool) {
        let plan = std::sync::Arc::clone(&self.plan);
        for (place, client) in plan.flows[self.flow].clients.iter().enumerate() {
            let Some(chat) = self.chats[place].as_ref() else { continue };
            if all || client.per_iteration {
                chat.session.watch.mend();
                // Its failure is counted where it happens.
                let _ = Box::pin(self.sio_close(place, client.close_slot)).await;
            }
        }
    }
}

/// Whether arguments have what is wanted.
fn fits(text: &str, wanted: &Wanted<'_>) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let Ok(json) = serde_json::from_str::<Value>(text) else { return false };
    wanted.iter().all(|(at, value)| equals(&json, at, value))
}

impl Chat {
    fn emit(
        &mut self,
        op: &EmitOp,
        args: &Args,
        within: Duration,
    ) -> Result<Option<AckId>, Failure> {
        let now = self.session.now();
        let client = &mut self.session.client;
        let sent = if op.ack.is_some() {
            let deadline = Some(now + within);
            client.emit_with_ack(now, self.namespace, (&op.event, args), deadline).map(Some)
        } else {
            client.emit(now, self.namespace, &op.event, args).map(|()| None)
        };
        sent.map_err(|_| Failure::NotEmitted)
    }

    /// Does all that can be done now, and takes in what happened.
    fn poll(&mut self, context: &mut Context<'_>, local: &Rc<Local>) {
        loop {
            self.session.poll(context);
            while let Some(event) = self.session.client.next_event() {
                self.take_in(event, local);
            }
            // Answers to events are on their way as well, and may meet further events.
            if !self.session.act() {
                return;
            }
        }
    }

    fn take_in(&mut self, event: Event, local: &Rc<Local>) {
        let now = local.now();
        match event {
            Event::Opened { .. } => self.opened = now,
            Event::Upgraded => {
                local.record(self.slots.0, Trend::Waiting, now.saturating_sub(self.opened));
            }
            Event::UpgradeFailed => local.note(|recorder| {
                *recorder.failures.entry(Failure::NotUpgraded).or_default() += 1;
            }),
            Event::Connected { .. } => {
                if self.connected > 0 {
                    local.note(|recorder| recorder.counters.sio_reconnects += 1);
                }
                self.is_connected = true;
                self.connected = now;
            }
            Event::ConnectError { .. } => self.is_refused = true,
            Event::Message { name, args, ack, .. } => {
                local.note(|recorder| recorder.counters.sio_events += 1);
                if let Some(tap) = &mut self.tap {
                    tap.note(args.items().as_bytes(), local, now);
                }
                if let Some(ack) = ack {
                    let now = self.session.now();
                    // A server that waits for an answer and has gone waits no more.
                    drop(self.session.client.answer(now, self.namespace, ack, &Args::none()));
                }
                if self.events.len() >= BACKLOG_MAX {
                    self.events.pop_front();
                }
                self.events.push_back((name, args));
            }
            Event::Answer { ack, args, .. } => self.answer = Some((ack, Some(args))),
            Event::AnswerLost { ack, .. } => self.answer = Some((ack, None)),
            Event::Disconnected { reason, .. } => {
                self.is_connected = false;
                let lived = now.saturating_sub(self.connected);
                local.record(self.slots.1, Trend::Session, lived);
                if let Some(why) = disconnect(reason) {
                    local.note(|recorder| recorder.disconnect(why));
                }
                // A server that sends a client away does not get it back (as in npm).
                self.is_over |= reason == Reason::IoServerDisconnect;
            }
            Event::Closed { retry_in, .. } => self.is_over |= retry_in.is_none(),
        }
    }
}

/// What a reason is counted as; none when it was the user's own doing.
fn disconnect(reason: Reason) -> Option<Disconnect> {
    Some(match reason {
        Reason::IoClientDisconnect => return None,
        Reason::IoServerDisconnect => Disconnect::Server,
        Reason::PingTimeout => Disconnect::PingTimeout,
        Reason::TransportClose => Disconnect::Transport,
        Reason::TransportError => Disconnect::TransportError,
        Reason::ParseError => Disconnect::Parse,
    })
}
