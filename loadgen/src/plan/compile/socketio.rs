//! Socket.IO steps into instructions: clients given their places, operations their names. Pure.
//!
//! In: a Socket.IO step. Out: its instruction, and its slot in the plan.

use super::Compiler;
use crate::plan::{AckOp, AwaitEventOp, ClientPlan, EmitOp, Op, SioConnectOp, SioOp, SlotKind};
use crate::scenario::socketio::{EmitStep, SioConnectStep, SioStep};
use crate::scenario::step::encoded;
use crate::scenario::{Span, Step};
use crate::template::Template;
use std::collections::BTreeMap;

impl Compiler<'_, '_> {
    pub(super) fn declare_client(&mut self, step: &Step, sio: &SioStep) {
        let connect = match sio {
            SioStep::Connect(connect) => connect,
            SioStep::Close { on } => {
                let only = self.clients.first().map(|client| client.name.clone());
                self.closed_clients.extend(on.clone().or(only));
                return;
            }
            _ => return,
        };
        if self.clients.iter().any(|client| client.name == connect.client) {
            return;
        }
        let name = format!("close {}", connect.namespace);
        let close_slot = self.slot(SlotKind::SioClose, name, &BTreeMap::new());
        self.clients.push(ClientPlan {
            name: connect.client.clone(),
            close_slot,
            per_iteration: connect.per_iteration,
            delivery_slot: None,
            tags: step.tags.clone(),
        });
    }

    fn client(&self, on: Option<&String>) -> usize {
        // The scenario has checked that the name is known, or that there is but one.
        on.and_then(|on| self.clients.iter().position(|client| client.name == *on)).unwrap_or(0)
    }

    pub(super) fn sio_op(&mut self, step: &Step, sio: &SioStep, times: f64) -> Op {
        let op = match sio {
            SioStep::Connect(connect) => SioOp::Connect(self.sio_connect(step, connect, times)),
            SioStep::Emit(emit) => SioOp::Emit(self.emit(step, emit, times)),
            SioStep::Await(wait) => {
                let name = step.named(format!("await {}", wait.event));
                let slot = self.slot(SlotKind::SioAwait, name, &step.tags);
                SioOp::Await(AwaitEventOp {
                    slot,
                    client: self.client(wait.on.as_ref()),
                    event: wait.event.clone(),
                    json: self.bound(&wait.json, step.line),
                    within: wait.within,
                    captures: self.captured(&wait.captures, slot, step.line),
                })
            }
            SioStep::Close { on } => {
                let client = self.client(on.as_ref());
                let slot = match &step.name {
                    Some(name) => self.slot(SlotKind::SioClose, name.clone(), &step.tags),
                    None => self.clients.get(client).map_or(0, |client| client.close_slot),
                };
                self.count(slot, times);
                SioOp::Close { slot, client }
            }
        };
        Op::Sio(Box::new(op))
    }

    /// The client that a `listen` is about, if it is about one.
    pub(super) fn client_listened(&self, on: Option<&String>) -> Option<usize> {
        match on {
            Some(on) => self.clients.iter().position(|client| client.name == *on),
            None => (self.sockets.is_empty() && !self.clients.is_empty()).then_some(0),
        }
    }

    pub(super) fn sio_listen_op(&mut self, step: &Step, client: usize, length: Span) -> Op {
        let mut tags = self.clients[client].tags.clone();
        tags.extend(step.tags.clone());
        let name = step.named(format!("listen {}", self.clients[client].name));
        let slot = self.slot(SlotKind::Listen, name, &tags);
        self.clients[client].delivery_slot.get_or_insert(slot);
        Op::Sio(Box::new(SioOp::Listen { slot, client, length }))
    }

    fn bound(&mut self, pairs: &[(String, Template)], line: usize) -> Vec<(String, Template)> {
        pairs.iter().map(|(at, value)| (at.clone(), self.bind(value, line))).collect()
    }

    fn sio_connect(&mut self, step: &Step, connect: &SioConnectStep, times: f64) -> SioConnectOp {
        let name = step.named(format!("connect {}", connect.namespace));
        let slot = self.slot(SlotKind::SioConnect, name, &step.tags);
        let place = self.client(Some(&connect.client));
        let close_slot = self.clients[place].close_slot;
        let closed = self.closed_clients.contains(&connect.client);
        let again = if connect.per_iteration || closed { times } else { 0.0 };
        self.count(slot, again);
        if !closed {
            self.count(close_slot, again);
        }
        let mut query = Template::default();
        for (place, (name, value)) in connect.query.iter().enumerate() {
            query.push_text(if place > 0 { "&" } else { "" });
            query.push_text(&format!("{name}="));
            let value = self.bind(value, step.line);
            query.push(encoded(value));
        }
        let mut headers = Template::default();
        let has_host = connect.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if !has_host {
            headers.push_text(&format!("Host: {}\r\n", self.plan.address.authority));
        }
        for (name, value) in &connect.headers {
            headers.push_text(&format!("{name}: "));
            let value = self.bind(value, step.line);
            headers.push(value);
            headers.push_text("\r\n");
        }
        SioConnectOp {
            slot,
            client: place,
            path: self.path_on_base(&connect.path, step.line),
            query,
            headers,
            namespace: connect.namespace.clone(),
            auth: connect.auth.as_ref().map(|auth| self.bind(auth, step.line)),
            transports: connect.transports,
            timeout: connect.timeout,
            reconnect: connect.reconnect,
        }
    }

    fn emit(&mut self, step: &Step, emit: &EmitStep, times: f64) -> EmitOp {
        let slot =
            self.slot(SlotKind::Emit, step.named(format!("emit {}", emit.event)), &step.tags);
        self.count(slot, times);
        self.plan.stamps |= emit.stamp;
        EmitOp {
            slot,
            client: self.client(emit.on.as_ref()),
            event: emit.event.clone(),
            args: self.bind(&emit.args, step.line),
            attachments: emit.attachments.clone(),
            stamp: emit.stamp,
            expect: self.expected(emit.expect.as_ref(), step.line),
            ack: emit.ack.as_ref().map(|ack| AckOp {
                within: ack.within,
                json: self.bound(&ack.json, step.line),
                captures: self.captured(&ack.captures, slot, step.line),
            }),
        }
    }
}
