//! WebSocket steps into instructions: sockets given their places, handshakes prepared. Pure.
//!
//! In: a WebSocket step. Out: its instruction, and its slot in the plan.

use super::Compiler;
use super::http::path_of;
use crate::plan::{AwaitOp, ConnectOp, ExpectOp, Op, Reopen, SendOp, SlotKind, SocketPlan};
use crate::scenario::realtime::{Expected, Payload};
use crate::scenario::{AwaitStep, ConnectStep, Expectation, SendStep, Span, Step};
use regex::bytes::Regex;
use std::collections::BTreeMap;
use std::time::Duration;

impl Compiler<'_, '_> {
    pub(super) fn declare_socket(&mut self, step: &Step, connect: &ConnectStep) {
        if self.sockets.iter().any(|socket| socket.name == connect.socket) {
            return;
        }
        let path = path_of(&connect.url);
        let close_slot = self.slot(SlotKind::Close, format!("close {path}"), &BTreeMap::new());
        self.sockets.push(SocketPlan {
            name: connect.socket.clone(),
            close_slot,
            per_iteration: connect.per_iteration,
            delivery_slot: None,
            reopen: None,
            tags: step.tags.clone(),
        });
    }

    /// The place of a step's socket, and the slot of what it does there.
    fn on_socket(
        &mut self,
        step: &Step,
        on: Option<&String>,
        (kind, verb): (SlotKind, &str),
    ) -> (usize, usize) {
        let socket = self.socket(on);
        let name = self.sockets.get(socket).map(|socket| socket.name.as_str()).unwrap_or_default();
        let name = step.named(format!("{verb} {name}"));
        (self.slot(kind, name, &step.tags), socket)
    }

    pub(super) fn connect_op(&mut self, step: &Step, connect: &ConnectStep, times: f64) -> Op {
        let name = step.named(format!("connect {}", path_of(&connect.url)));
        let slot = self.slot(SlotKind::Connect, name, &step.tags);
        let op = self.connect(connect, slot, step.line);
        let socket = &mut self.sockets[op.socket];
        if let (Some(policy), None) = (connect.reconnect, &socket.reopen) {
            socket.reopen = Some(Box::new(Reopen { policy, connect: op.clone() }));
        }
        let close_slot = socket.close_slot;
        let reopened = socket.per_iteration || self.closed.contains(&connect.socket);
        self.count(slot, if reopened { times } else { 0.0 });
        if !self.closed.contains(&connect.socket) {
            self.count(close_slot, if reopened { times } else { 0.0 });
        }
        Op::Connect(Box::new(op))
    }

    pub(super) fn send_op(&mut self, step: &Step, send: &SendStep, times: f64) -> Op {
        let places = self.on_socket(step, send.on.as_ref(), (SlotKind::Send, "send"));
        self.count(places.0, times * f64::from(send.burst));
        Op::Send(Box::new(self.send(send, places, step.line)))
    }

    pub(super) fn await_op(&mut self, step: &Step, wait: &AwaitStep) -> Op {
        let places = self.on_socket(step, wait.on.as_ref(), (SlotKind::Await, "await"));
        Op::Await(Box::new(self.awaiting(wait, places, step.line)))
    }

    pub(super) fn listen_op(&mut self, step: &Step, on: Option<&String>, length: Span) -> Op {
        if let Some(client) = self.client_listened(on) {
            return self.sio_listen_op(step, client, length);
        }
        // What is received belongs to the room that was entered, so its tags count here as well.
        let socket = self.socket(on);
        let mut tags = self.sockets.get(socket).map(|it| it.tags.clone()).unwrap_or_default();
        tags.extend(step.tags.clone());
        let step = Step { tags, ..step.clone() };
        let (slot, socket) = self.on_socket(&step, on, (SlotKind::Listen, "listen"));
        if let Some(socket) = self.sockets.get_mut(socket) {
            socket.delivery_slot.get_or_insert(slot);
        }
        Op::Listen { slot, socket, length }
    }

    pub(super) fn ping_op(
        &mut self,
        step: &Step,
        (on, within): (Option<&String>, Duration),
        times: f64,
    ) -> Op {
        let (slot, socket) = self.on_socket(step, on, (SlotKind::Ping, "ping"));
        self.count(slot, times);
        Op::Ping { slot, socket, within }
    }

    pub(super) fn close_op(
        &mut self,
        step: &Step,
        (on, code, reason): (Option<&String>, u16, &str),
        times: f64,
    ) -> Op {
        let socket = self.socket(on);
        let slot = match &step.name {
            Some(name) => self.slot(SlotKind::Close, name.clone(), &step.tags),
            None => self.sockets[socket].close_slot,
        };
        self.count(slot, times);
        Op::Close { slot, socket, code, reason: reason.to_owned() }
    }

    fn socket(&self, on: Option<&String>) -> usize {
        // The scenario has checked that the name is known, or that there is but one.
        on.and_then(|on| self.sockets.iter().position(|socket| socket.name == *on)).unwrap_or(0)
    }

    fn connect(&mut self, step: &ConnectStep, slot: usize, line: usize) -> ConnectOp {
        let headers = self.headers(&step.headers);
        let mut head = self.head(("GET", &step.url), &[], &headers, line);
        self.authorize(&mut head, (None, &step.url), &headers, line);
        head.push_text(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        );
        if !step.protocols.is_empty() {
            head.push_text(&format!("Sec-WebSocket-Protocol: {}\r\n", step.protocols.join(", ")));
        }
        let socket = self.socket(Some(&step.socket));
        let protocols = step.protocols.clone();
        ConnectOp { slot, socket, head, protocols, timeout: step.timeout }
    }

    fn expectation(&mut self, expectation: &Expectation, line: usize) -> ExpectOp {
        ExpectOp {
            contains: expectation.contains.as_ref().map(|text| self.bind(text, line)),
            json: expectation
                .json
                .iter()
                .map(|(pointer, value)| (pointer.clone(), self.bind(value, line)))
                .collect(),
            // The scenario has checked it.
            matches: expectation.matches.as_ref().and_then(|text| Regex::new(text).ok()),
            binary: expectation.binary,
            length: expectation.length,
            within: expectation.within,
        }
    }

    pub(super) fn expected(&mut self, expect: Option<&Expected>, line: usize) -> Option<Expected> {
        Some(match expect? {
            Expected::Text(text) => Expected::Text(self.bind(text, line)),
            count @ Expected::Count(_) => count.clone(),
        })
    }

    fn send(&mut self, step: &SendStep, (slot, socket): (usize, usize), line: usize) -> SendOp {
        self.plan.stamps |= step.stamp;
        let payload = match &step.payload {
            Payload::Text(text) => Payload::Text(self.bind(text, line)),
            Payload::Binary(text) => Payload::Binary(self.bind(text, line)),
            bytes @ Payload::Bytes(_) => bytes.clone(),
        };
        SendOp {
            slot,
            socket,
            payload,
            stamp: step.stamp,
            expect: self.expected(step.expect.as_ref(), line),
            burst: step.burst,
            reply: step.reply.as_ref().map(|reply| self.expectation(reply, line)),
        }
    }

    fn awaiting(
        &mut self,
        step: &AwaitStep,
        (slot, socket): (usize, usize),
        line: usize,
    ) -> AwaitOp {
        let expect = self.expectation(&step.expectation, line);
        AwaitOp { slot, socket, expect, captures: self.captured(&step.captures, slot, line) }
    }
}
