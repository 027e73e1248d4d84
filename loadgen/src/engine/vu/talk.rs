//! The WebSocket steps of a virtual user: open, send, wait, listen, ping, close.
//!
//! In: instructions of the plan. Out: samples, and deliveries of stamped messages. Frames are left
//! to the socket.

use super::exchange::{contains, equals};
use super::{CLOSE_TIMEOUT, Vu};
use crate::check::Answer;
use crate::plan::{AwaitOp, ConnectOp, ExpectOp, SendOp};
use crate::recorder::Trend;
use crate::sample::Failure;
use crate::scenario::Span;
use crate::stamp;
use crate::websocket::frame::Opcode;
use crate::websocket::socket::Socket;
use serde_json::Value;
use std::time::Duration;

impl Vu {
    pub(super) async fn connect(&mut self, op: &ConnectOp) -> Result<(), Failure> {
        if self.sockets[op.socket].is_some() {
            return Ok(());
        }
        let start = self.time();
        self.watch.set(start + op.timeout.as_nanos() as u64);
        let mut head = self.text(&op.head);
        self.dress_handshake(&mut head);
        let random = [self.scope.random(), self.scope.random()];
        match Socket::connect(&mut head, random, (&self.local, &self.watch)).await {
            Ok(socket) => {
                self.sockets[op.socket] = Some(socket);
                self.local.note(|recorder| {
                    recorder.counters.sessions += 1;
                    recorder.counters.bytes_sent += head.len() as u64;
                });
                self.succeeded(op.slot, start);
                Ok(())
            }
            Err(failure) => self.failed(op.slot, failure, start),
        }
    }

    pub(super) async fn send(&mut self, op: &SendOp) -> Result<(), Failure> {
        let start = self.time();
        if op.stamp {
            self.scope.stamp.clear();
            stamp::write(&mut self.scope.stamp, self.local.shared.token, start);
        }
        let message = self.text(&op.message);
        let mask = self.scope.random();
        let within = op.reply.as_ref().map_or(CLOSE_TIMEOUT, |reply| reply.within);
        self.watch.set(start + within.as_nanos() as u64);
        let Some(socket) = &mut self.sockets[op.socket] else {
            return self.failed(op.slot, Failure::NotOpen, start);
        };
        match socket.send(Opcode::Text, &message, mask, &self.watch).await {
            Ok(sent) => self.local.note(|recorder| {
                recorder.counters.messages_sent += 1;
                recorder.counters.bytes_sent += sent as u64;
                recorder.counters.delivery_expected += op.expect;
            }),
            Err(failure) => return self.socket_failed((op.slot, op.socket), failure, start),
        }
        let Some(reply) = &op.reply else {
            self.local.note(|recorder| recorder.succeed(op.slot));
            self.intended = None;
            return Ok(());
        };
        match self.matching(op.socket, reply).await {
            Ok(()) => {
                self.succeeded(op.slot, start);
                Ok(())
            }
            Err(failure) => self.socket_failed((op.slot, op.socket), failure, start),
        }
    }

    pub(super) async fn receive(&mut self, op: &AwaitOp) -> Result<(), Failure> {
        let start = self.time();
        self.watch.set(start + op.expect.within.as_nanos() as u64);
        match self.matching(op.socket, &op.expect).await {
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

    /// Waits for a message that looks as expected; others are passed over.
    async fn matching(&mut self, place: usize, expect: &ExpectOp) -> Result<(), Failure> {
        let contains_text = expect.contains.as_ref().map(|text| self.text(text));
        let wanted: Vec<(&String, Vec<u8>)> =
            expect.json.iter().map(|(pointer, value)| (pointer, self.text(value))).collect();
        let Some(socket) = &mut self.sockets[place] else { return Err(Failure::NotOpen) };
        loop {
            socket.next(&self.local, &self.watch).await?;
            let message = socket.message();
            if contains_text.as_ref().is_some_and(|text| !contains(message, text)) {
                continue;
            }
            if wanted.is_empty() {
                return Ok(());
            }
            let Ok(json) = serde_json::from_slice::<Value>(message) else { continue };
            if wanted.iter().all(|(pointer, value)| equals(&json, pointer, value)) {
                return Ok(());
            }
        }
    }

    fn socket_failed(
        &mut self,
        (slot, place): (usize, usize),
        failure: Failure,
        start: u64,
    ) -> Result<(), Failure> {
        let failure = match failure {
            Failure::TimedOut => Failure::NotReceived,
            Failure::Closed | Failure::Reset => {
                self.lose(place);
                failure
            }
            other => other,
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
        let token = self.local.shared.token;
        loop {
            let Some(socket) = &mut self.sockets[place] else {
                return self.failed(slot, Failure::NotOpen, start);
            };
            match socket.next(&self.local, &self.watch).await {
                Ok(()) => {
                    if let Some(sent) = stamp::find(socket.message(), token) {
                        let now = self.local.now();
                        self.local.note(|recorder| {
                            recorder.counters.delivered += 1;
                            recorder.record(slot, Trend::Delivery, now.saturating_sub(sent));
                        });
                    }
                }
                Err(Failure::TimedOut) => return Ok(()),
                Err(failure) => return self.socket_failed((slot, place), failure, start),
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
        let mut result = socket.send(Opcode::Ping, b"ebb", mask, &self.watch).await.map(|_| ());
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
        code: u16,
    ) -> Result<(), Failure> {
        let start = self.time();
        self.watch.set(start + CLOSE_TIMEOUT.as_nanos() as u64);
        let mask = self.scope.random();
        let Some(mut socket) = self.sockets[place].take() else {
            return self.failed(slot, Failure::NotOpen, start);
        };
        let result = socket.close(code, mask, (&self.local, &self.watch)).await;
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
}
