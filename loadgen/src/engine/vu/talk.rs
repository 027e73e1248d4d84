//! The WebSocket steps of a virtual user: open, send, wait, listen, ping, close.
//!
//! In: instructions of the plan. Out: samples. Frames are left to the socket, stamped messages to
//! its tap, lost sockets to `reopen.rs`.

use super::exchange::{contains, equals};
use super::{CLOSE_TIMEOUT, Vu};
use crate::check::Answer;
use crate::disconnect::Disconnect;
use crate::plan::{AwaitOp, ConnectOp, ExpectOp, SendOp};
use crate::recorder::Trend;
use crate::sample::Failure;
use crate::scenario::Span;
use crate::scenario::realtime::{Expected, Payload};
use crate::stamp;
use crate::template::Template;
use crate::websocket::Tap;
use crate::websocket::frame::Opcode;
use crate::websocket::socket::{Handshake, Socket};
use serde_json::Value;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

/// An expectation, rendered for one wait.
struct Wanted<'a> {
    expect: &'a ExpectOp,
    contains: Option<Vec<u8>>,
    json: Vec<(&'a String, Vec<u8>)>,
}

impl Vu {
    pub(super) async fn connect(&mut self, op: &ConnectOp) -> Result<(), Failure> {
        if self.sockets[op.socket].is_some() {
            return Ok(());
        }
        let start = self.time();
        if self.is_out(op.socket) {
            let until = start + op.timeout.as_nanos() as u64;
            // Attempts that fail are counted where they are made.
            return Box::pin(self.reopen(op.socket, until)).await;
        }
        match self.shake_hands(op, start).await {
            Ok(socket) => {
                self.sockets[op.socket] = Some(socket);
                self.succeeded(op.slot, start);
                Ok(())
            }
            Err(failure) => {
                self.begin_outage(op.socket);
                self.failed(op.slot, failure, start)
            }
        }
    }

    /// Opens a socket, and counts its session but not the exchange.
    pub(super) async fn shake_hands(
        &mut self,
        op: &ConnectOp,
        start: u64,
    ) -> Result<Socket, Failure> {
        self.watch.set(start + op.timeout.as_nanos() as u64);
        let mut head = self.text(&op.head);
        self.dress_handshake(&mut head);
        let delivery_slot = self.plan.flows[self.flow].sockets[op.socket].delivery_slot;
        let token = self.local.shared.token;
        let ask = Handshake {
            head: &mut head,
            random: [self.scope.random(), self.scope.random()],
            protocols: &op.protocols,
            tap: delivery_slot
                .filter(|_| self.plan.stamps)
                .map(|slot| Box::new(Tap::new(token, slot))),
        };
        // A handshake is rare, and its state is large: it is not to be part of every user's.
        let socket = Box::pin(Socket::connect(ask, (&self.local, &self.watch))).await?;
        self.local.note(|recorder| {
            recorder.counters.sessions += 1;
            recorder.counters.bytes_sent += head.len() as u64;
        });
        Ok(socket)
    }

    pub(super) async fn send(&mut self, op: &SendOp) -> Result<(), Failure> {
        let start = self.time();
        let within = op.reply.as_ref().map_or(CLOSE_TIMEOUT, |reply| reply.within);
        let until = start + within.as_nanos() as u64;
        self.watch.set(until);
        if self.sockets[op.socket].is_none()
            && let Err(failure) = Box::pin(self.reopen(op.socket, until)).await
        {
            return self.failed(op.slot, failure, start);
        }
        let expected = op.expect.as_ref().map_or(0, |expect| self.expected(expect));
        let sent = self.queue(op, start);
        let Some(socket) = &mut self.sockets[op.socket] else {
            return self.failed(op.slot, Failure::NotOpen, start);
        };
        match socket.flush(&self.watch).await {
            Ok(()) => self.local.note(|recorder| {
                let count = u64::from(op.burst);
                recorder.counters.messages_sent += count;
                recorder.counters.bytes_sent += sent as u64;
                recorder.counters.delivery_expected += expected * count;
                recorder.slots[op.slot].expected += expected * count;
            }),
            Err(failure) => return self.socket_failed((op.slot, op.socket), failure, start),
        }
        let Some(reply) = &op.reply else {
            self.local.note(|recorder| (0..op.burst).for_each(|_| recorder.succeed(op.slot)));
            self.intended = None;
            return Ok(());
        };
        let wanted = self.wanted(reply);
        for _ in 0..op.burst {
            match self.matching(op.socket, &wanted, until).await {
                Ok(()) => self.succeeded(op.slot, start),
                Err(failure) => return self.socket_failed((op.slot, op.socket), failure, start),
            }
        }
        Ok(())
    }

    /// Hands the messages of a step to their socket; their bytes as frames.
    fn queue(&mut self, op: &SendOp, start: u64) -> usize {
        let opcode = match &op.payload {
            Payload::Text(_) => Opcode::Text,
            Payload::Binary(_) | Payload::Bytes(_) => Opcode::Binary,
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut sent = 0;
        for _ in 0..op.burst {
            let message = match &op.payload {
                Payload::Bytes(bytes) => bytes.as_slice(),
                Payload::Text(text) | Payload::Binary(text) => match text.as_static() {
                    Some(text) => text.as_bytes(),
                    None => {
                        if op.stamp {
                            self.stamp(start);
                        }
                        scratch.clear();
                        text.render(&mut scratch, &mut self.scope);
                        scratch.as_slice()
                    }
                },
            };
            let mask = self.scope.random();
            if let Some(socket) = &mut self.sockets[op.socket] {
                sent += socket.queue(opcode, message, mask);
            }
        }
        self.scratch = scratch;
        sent
    }

    /// Sets the text of `${stamp}` for a message that is sent now.
    pub(super) fn stamp(&mut self, now: u64) {
        let stamp = self.local.stamp(now, (self.local.place, self.local.threads));
        self.scope.stamp.clear();
        stamp::write(&mut self.scope.stamp, self.local.shared.token, stamp);
    }

    /// Recipients that a message should reach. Text that is no number stands for none.
    pub(super) fn expected(&mut self, expect: &Expected) -> u64 {
        match expect {
            Expected::Count(count) => *count,
            Expected::Text(text) => {
                let text = self.text(text);
                std::str::from_utf8(&text).ok().and_then(|it| it.trim().parse().ok()).unwrap_or(0)
            }
        }
    }

    pub(super) async fn receive(&mut self, op: &AwaitOp) -> Result<(), Failure> {
        let start = self.time();
        let until = start + op.expect.within.as_nanos() as u64;
        self.watch.set(until);
        let wanted = self.wanted(&op.expect);
        match self.matching(op.socket, &wanted, until).await {
            Ok(()) => {
                if let Some(socket) = self.sockets[op.socket].take() {
                    self.capture(&op.captures, &Answer::message(socket.message()));
                    self.sockets[op.socket] = Some(socket);
                }
                self.local.note(|recorder| recorder.slots[op.slot].count += 1);
                let now = self.local.now();
                self.local.record(op.slot, Trend::Duration, now - start);
                Ok(())
            }
            Err(failure) => self.socket_failed((op.slot, op.socket), failure, start),
        }
    }

    fn wanted<'a>(&mut self, expect: &'a ExpectOp) -> Wanted<'a> {
        Wanted {
            expect,
            contains: expect.contains.as_ref().map(|text: &Template| self.text(text)),
            json: expect.json.iter().map(|(at, value)| (at, self.text(value))).collect(),
        }
    }

    /// Waits for a message that looks as expected; others are passed over.
    async fn matching(
        &mut self,
        place: usize,
        wanted: &Wanted<'_>,
        until: u64,
    ) -> Result<(), Failure> {
        loop {
            match self.next_on(place).await {
                Ok(()) => {}
                Err(failure @ (Failure::TimedOut | Failure::Interrupted)) => return Err(failure),
                Err(failure) => {
                    self.lose(place, failure);
                    if !self.is_out(place) {
                        return Err(failure);
                    }
                    Box::pin(self.reopen(place, until)).await?;
                    continue;
                }
            }
            let Some(socket) = &self.sockets[place] else { return Err(Failure::NotOpen) };
            if wanted.fits(socket) {
                return Ok(());
            }
        }
    }

    /// Waits for a message on a socket, taking what comes on the user's others.
    async fn next_on(&mut self, place: usize) -> Result<(), Failure> {
        poll_fn(|context| {
            let Some(socket) = &mut self.sockets[place] else {
                return Poll::Ready(Err(Failure::NotOpen));
            };
            if let ready @ Poll::Ready(_) = socket.poll_message(&self.local) {
                return ready;
            }
            if self.sockets.len() + self.chats.len() > 1 {
                self.service_but(place, context);
            }
            self.watch.poll_end(context).map(Err)
        })
        .await
    }

    pub(super) fn socket_failed(
        &mut self,
        (slot, place): (usize, usize),
        failure: Failure,
        start: u64,
    ) -> Result<(), Failure> {
        let failure = match failure {
            Failure::TimedOut => Failure::NotReceived,
            Failure::Interrupted | Failure::NotOpen | Failure::NotReceived => failure,
            other => {
                self.lose(place, other);
                other
            }
        };
        self.failed(slot, failure, start)
    }

    pub(super) async fn listen(
        &mut self,
        slot: usize,
        place: usize,
        length: Span,
    ) -> Result<(), Failure> {
        let start = self.time();
        let until = start + self.draw(length);
        self.watch.set(until);
        loop {
            // Stamped messages are looked at as they come, by the socket's tap.
            match self.next_on(place).await {
                Ok(()) => {}
                Err(Failure::TimedOut) => return Ok(()),
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(failure) => {
                    self.lose(place, failure);
                    if !self.is_out(place) {
                        return self.failed(slot, failure, start);
                    }
                    match Box::pin(self.reopen(place, until)).await {
                        Err(Failure::TimedOut) => return Ok(()),
                        Err(failure) => return self.failed(slot, failure, start),
                        Ok(()) => {}
                    }
                }
            }
        }
    }

    pub(super) async fn ping(
        &mut self,
        slot: usize,
        place: usize,
        within: Duration,
    ) -> Result<(), Failure> {
        let start = self.time();
        self.watch.set(start + within.as_nanos() as u64);
        let mask = self.scope.random();
        let Some(socket) = &mut self.sockets[place] else {
            return self.failed(slot, Failure::NotOpen, start);
        };
        let seen = socket.pongs;
        socket.queue(Opcode::Ping, b"ebb", mask);
        let mut result = socket.flush(&self.watch).await;
        if result.is_ok() {
            result = socket.pong(seen, (&self.local, &self.watch)).await;
        }
        match result {
            Ok(()) => {
                self.succeeded(slot, start);
                Ok(())
            }
            Err(failure) => self.socket_failed((slot, place), failure, start),
        }
    }

    pub(super) async fn close(
        &mut self,
        place: usize,
        slot: usize,
        (code, reason): (u16, &str),
    ) -> Result<(), Failure> {
        let start = self.time();
        self.watch.set(start + CLOSE_TIMEOUT.as_nanos() as u64);
        let mask = self.scope.random();
        self.end_outage(place);
        let Some(mut socket) = self.sockets[place].take() else {
            return self.failed(slot, Failure::NotOpen, start);
        };
        let farewell = socket.close((code, reason.as_bytes()), mask, (&self.local, &self.watch));
        let result = Box::pin(farewell).await;
        let lived = self.local.now().saturating_sub(socket.opened);
        self.local.record(slot, Trend::Session, lived);
        match result {
            Ok(()) => {
                self.succeeded(slot, start);
                Ok(())
            }
            Err(failure) => self.failed(slot, failure, start),
        }
    }

    /// Takes what has come on open connections.
    pub(crate) fn service(&mut self, context: &mut Context<'_>) {
        self.service_but(usize::MAX, context);
    }

    fn service_but(&mut self, but: usize, context: &mut Context<'_>) {
        self.serve_chats(context);
        for place in 0..self.sockets.len() {
            if let Some(socket) = self.sockets[place].as_mut().filter(|_| place != but)
                && let Err(failure) = socket.service(&self.local)
            {
                self.lose(place, failure);
            }
        }
    }

    /// A socket is gone without a close of ours.
    pub(super) fn lose(&mut self, place: usize, failure: Failure) {
        let Some(mut socket) = self.sockets[place].take() else { return };
        let why = socket.ended(failure);
        if matches!(why, Disconnect::Closed(_) | Disconnect::Protocol) {
            socket.answer_close(why);
        }
        let slot = self.plan.flows[self.flow].sockets[place].close_slot;
        let lived = self.local.now().saturating_sub(socket.opened);
        self.local.note(|recorder| {
            recorder.disconnect(why);
            recorder.record(slot, Trend::Session, lived);
        });
        self.begin_outage(place);
    }
}

impl Wanted<'_> {
    /// Whether the socket's message is the one.
    fn fits(&self, socket: &Socket) -> bool {
        let message = socket.message();
        let expect = self.expect;
        let fits = expect.binary.is_none_or(|binary| binary != socket.is_text())
            && expect.length.is_none_or(|length| length == message.len() as u64)
            && self.contains.as_ref().is_none_or(|text| contains(message, text))
            && expect.matches.as_ref().is_none_or(|pattern| pattern.is_match(message));
        if !fits || self.json.is_empty() {
            return fits;
        }
        let Ok(json) = serde_json::from_slice::<Value>(message) else { return false };
        self.json.iter().all(|(at, value)| equals(&json, at, value))
    }
}
