//! A virtual user: its connections, its variables, and the steps of one iteration.
//!
//! In: the program of a flow, the number of an iteration. Out: samples in the thread's recorder.
//! When an iteration starts is left to the executor.

use super::local::{Local, Watch};
use crate::http::client::{HttpClient, Reply, Wanted};
use crate::plan::{AwaitOp, ConnectOp, ExpectOp, FlowPlan, HttpOp, Op, Plan, Prepared, SendOp};
use crate::recorder::Trend;
use crate::sample::Failure;
use crate::scenario::{Predicate, Span};
use crate::stamp;
use crate::template::{Scope, Template};
use crate::websocket::frame::Opcode;
use crate::websocket::socket::Socket;
use serde_json::Value;
use std::future::poll_fn;
use std::io::Write;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a peer may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// First pause of a user whose connections fail; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(20);

/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A virtual user.
pub(crate) struct Vu {
    pub(crate) local: Rc<Local>,
    pub(crate) watch: Rc<Watch>,
    plan: Arc<Plan>,
    flow: usize,
    http: HttpClient,
    sockets: Vec<Option<Socket>>,
    scope: Scope,
    counters: Vec<u32>,
    scratch: Vec<u8>,
    /// Intended start of an iteration, until its first exchange has taken it over.
    intended: Option<u64>,
    pause: Duration,
}

impl Vu {
    pub(crate) fn new(local: &Rc<Local>, flow: usize) -> Self {
        let plan = Arc::clone(&local.plan);
        let program = &plan.flows[flow];
        local.vus.set(local.vus.get() + 1);
        local.vus_max.set(local.vus_max.get().max(local.vus.get()));
        Self {
            watch: local.watch(flow),
            local: Rc::clone(local),
            flow,
            http: HttpClient::default(),
            sockets: program.sockets.iter().map(|_| None).collect(),
            scope: Scope::new(local.pass.input_round, program.captures.len()),
            counters: vec![0; program.loops],
            scratch: Vec::new(),
            intended: None,
            pause: Duration::ZERO,
            plan,
        }
    }

    /// One iteration, as user `vu`. With an intended start, lateness is measured too.
    pub(crate) async fn iterate(&mut self, vu: u64, iteration: u64, intended: Option<u64>) {
        let plan = Arc::clone(&self.plan);
        let flow = &plan.flows[self.flow];
        let start = self.local.now();
        self.scope.begin(plan.seed, self.flow, vu, iteration);
        self.intended = intended;
        let result = self.run(flow).await;
        if result.is_ok() {
            self.pause = Duration::ZERO;
        }
        for (place, socket) in flow.sockets.iter().enumerate() {
            let ended = socket.per_iteration || self.watch.is_cut();
            if ended && self.sockets[place].is_some() && !self.watch.is_cut() {
                // Its failure is counted where it happens.
                let _ = self.close(place, socket.close_slot, 1_000).await;
            }
        }
        let end = self.local.now();
        self.local.note(|recorder| {
            if result == Err(Failure::Interrupted) {
                recorder.counters.interrupted += 1;
                return;
            }
            recorder.counters.iterations += 1;
            recorder.slots[flow.slot].count += 1;
            recorder.slots[flow.slot].failed += u64::from(result.is_err());
            recorder.record(flow.slot, Trend::Duration, end - start);
            if let Some(intended) = intended {
                recorder.record(flow.slot, Trend::LateStart, start.saturating_sub(intended));
                recorder.record(flow.slot, Trend::Latency, end.saturating_sub(intended));
            }
        });
        if matches!(result, Err(failure) if !failure.is_cut()) {
            self.rest(result).await;
        }
    }

    /// A user whose exchange failed at the level of connections waits before it tries again, so
    /// that a target that is down is not answered by a spinning generator.
    async fn rest(&mut self, result: Result<(), Failure>) {
        let Err(failure) = result else { return };
        if matches!(failure, Failure::Status(_) | Failure::TimedOut | Failure::NotReceived) {
            return;
        }
        self.pause = (self.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
        let until = self.local.now() + self.pause.as_nanos() as u64;
        // Cut short, the user is done anyway.
        let _ = self.wait_until(until).await;
    }

    async fn run(&mut self, flow: &FlowPlan) -> Result<(), Failure> {
        self.counters.fill(0);
        let mut place = 0;
        while let Some(op) = flow.ops.get(place) {
            place += 1;
            match op {
                Op::Http(http) => self.exchange(http).await?,
                Op::Connect(connect) => self.connect(connect).await?,
                Op::Send(send) => self.send(send).await?,
                Op::Await(wait) => self.receive(wait).await?,
                Op::Listen { socket, length, slot } => self.listen(*slot, *socket, *length).await?,
                Op::Ping { slot, socket, within } => self.ping(*slot, *socket, *within).await?,
                Op::Close { slot, socket, code } => self.close(*socket, *slot, *code).await?,
                Op::Think(span) => {
                    let until = self.local.now() + self.draw(*span);
                    self.wait_until(until).await?;
                }
                Op::Again { to, times, counter } => {
                    self.counters[*counter] += 1;
                    if self.counters[*counter] < *times {
                        place = *to;
                    } else {
                        self.counters[*counter] = 0;
                    }
                }
            }
        }
        Ok(())
    }

    fn draw(&mut self, span: Span) -> u64 {
        let (low, high) = (span.low.as_nanos() as u64, span.high.as_nanos() as u64);
        if low == high {
            return low;
        }
        low + ((u128::from(self.scope.random()) * u128::from(high - low + 1)) >> 64) as u64
    }

    /// Waits, taking what comes on open sockets meanwhile.
    async fn wait_until(&mut self, until: u64) -> Result<(), Failure> {
        let mut sleep = pin!(tokio::time::sleep_until(self.local.instant(until).into()));
        self.watch.clear();
        poll_fn(|context| {
            if sleep.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.service(context);
            self.watch.poll_end(context).map(Err)
        })
        .await
    }

    /// Takes what has come on open sockets.
    pub(crate) fn service(&mut self, context: &mut Context<'_>) {
        for place in 0..self.sockets.len() {
            if let Some(socket) = &mut self.sockets[place]
                && socket.service(&self.local, context).is_err()
            {
                self.lose(place);
            }
        }
    }

    /// A socket is gone without a close of ours.
    fn lose(&mut self, place: usize) {
        if let Some(socket) = self.sockets[place].take() {
            let slot = self.plan.flows[self.flow].sockets[place].close_slot;
            let lived = self.local.now().saturating_sub(socket.opened);
            self.local.note(|recorder| {
                recorder.counters.disconnects += 1;
                recorder.record(slot, Trend::Session, lived);
            });
        }
    }

    #[inline]
    async fn exchange(&mut self, op: &HttpOp) -> Result<(), Failure> {
        let mut start = self.local.now();
        if !self.http.is_open() {
            self.watch.set(start + op.timeout.as_nanos() as u64);
            let opened = self.http.open(&self.local, &self.watch).await;
            let now = self.local.now();
            self.local.record(op.slot, Trend::Connecting, now - start);
            if let Err(failure) = opened {
                return self.failed(op.slot, failure, start);
            }
            start = now;
        }
        self.watch.set(start + op.timeout.as_nanos() as u64);
        let wanted = Wanted { head: op.head, body: op.needs_body };
        let (result, length) = match &op.request {
            Prepared::Static(bytes) => {
                let result = self.http.exchange(bytes, wanted, (&self.local, &self.watch)).await;
                (result, bytes.len())
            }
            Prepared::Dynamic { head, body } => {
                let request = self.render(head, body.as_ref());
                let result = self.http.exchange(&request, wanted, (&self.local, &self.watch)).await;
                let length = request.len();
                self.scratch = request;
                (result, length)
            }
        };
        match result {
            Ok(reply) => {
                self.answered(op, &reply, (start, length));
                if !op.checks.is_empty() || !op.captures.is_empty() {
                    self.look_at(op, &reply, start);
                }
                Ok(())
            }
            Err(failure) => self.failed(op.slot, failure, start),
        }
    }

    #[inline]
    fn answered(&mut self, op: &HttpOp, reply: &Reply, (start, length): (u64, usize)) {
        let intended = self.intended.take();
        let duration = reply.done - start;
        self.local.note(|recorder| {
            recorder.counters.bytes_sent += length as u64;
            recorder.counters.bytes_received += reply.bytes;
            if reply.status < 400 {
                recorder.succeed(op.slot);
            } else {
                recorder.fail(op.slot, Failure::Status(reply.status));
            }
            match reply.first {
                None => recorder.record(op.slot, Trend::Duration, duration),
                Some(first) => {
                    let sent = reply.sent.unwrap_or(start);
                    recorder.record(op.slot, Trend::DurationLong, duration);
                    recorder.record(op.slot, Trend::Waiting, first.saturating_sub(sent));
                    recorder.record(op.slot, Trend::Receiving, reply.done - first);
                }
            }
            if self.local.shared.open_model {
                let from = intended.unwrap_or(start);
                recorder.record(op.slot, Trend::Latency, reply.done.saturating_sub(from));
            }
        });
    }

    /// Counts an exchange that failed, with its latency, and passes the failure on.
    fn failed(&mut self, slot: usize, failure: Failure, start: u64) -> Result<(), Failure> {
        let now = self.local.now();
        let intended = self.intended.take();
        if !failure.is_cut() {
            self.local.note(|recorder| {
                recorder.fail(slot, failure);
                recorder.record(slot, Trend::Duration, now - start);
                if self.local.shared.open_model {
                    let from = intended.unwrap_or(start);
                    recorder.record(slot, Trend::Latency, now.saturating_sub(from));
                }
            });
        }
        Err(failure)
    }

    /// Counts an exchange that went well.
    fn succeeded(&mut self, slot: usize, start: u64) {
        let now = self.local.now();
        let intended = self.intended.take();
        self.local.note(|recorder| {
            recorder.succeed(slot);
            recorder.record(slot, Trend::Duration, now - start);
            if let Some(intended) = intended {
                recorder.record(slot, Trend::Latency, now.saturating_sub(intended));
            }
        });
    }

    fn render(&mut self, head: &Template, body: Option<&Template>) -> Vec<u8> {
        let mut request = std::mem::take(&mut self.scratch);
        request.clear();
        head.render(&mut request, &mut self.scope);
        if let Some(body) = body {
            let mut rendered = Vec::new();
            body.render(&mut rendered, &mut self.scope);
            // Writing to a vector cannot fail.
            let _ = write!(request, "Content-Length: {}\r\n\r\n", rendered.len());
            request.extend_from_slice(&rendered);
        } else {
            request.extend_from_slice(b"\r\n");
        }
        request
    }

    fn text(&mut self, template: &Template) -> Vec<u8> {
        let mut out = Vec::new();
        template.render(&mut out, &mut self.scope);
        out
    }

    /// Checks and captures of a reply.
    fn look_at(&mut self, op: &HttpOp, reply: &Reply, start: u64) {
        let body = std::mem::take(&mut self.http.body);
        let needs_json = !op.captures.is_empty()
            || op.checks.iter().any(|(_, predicate)| matches!(predicate, Predicate::Json(..)));
        let json: Value = if needs_json {
            serde_json::from_slice(&body).unwrap_or(Value::Null)
        } else {
            Value::Null
        };
        for (place, predicate) in &op.checks {
            let held = match predicate {
                Predicate::Status(ranges) => {
                    ranges.iter().any(|(low, high)| (*low..=*high).contains(&reply.status))
                }
                Predicate::Body(text) => contains(&body, &self.text(text)),
                Predicate::Json(pointer, value) => equals(&json, pointer, &self.text(value)),
                Predicate::Time(limit) => reply.done - start < limit.as_nanos() as u64,
            };
            self.local.note(|recorder| recorder.check(*place, held));
        }
        self.capture(&op.captures, &json);
        self.http.body = body;
    }

    fn capture(&mut self, captures: &[(usize, String)], json: &Value) {
        for (place, pointer) in captures {
            self.scope.captures[*place] = match json.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => String::new(),
            };
        }
    }

    async fn connect(&mut self, op: &ConnectOp) -> Result<(), Failure> {
        if self.sockets[op.socket].is_some() {
            return Ok(());
        }
        let start = self.local.now();
        self.watch.set(start + op.timeout.as_nanos() as u64);
        let mut head = self.text(&op.head);
        let random = [self.scope.random(), self.scope.random()];
        let context = (&*self.local, &*self.watch);
        match Socket::connect(&mut head, random, context).await {
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

    async fn send(&mut self, op: &SendOp) -> Result<(), Failure> {
        let start = self.local.now();
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
            Ok(_) => {
                self.succeeded(op.slot, start);
                Ok(())
            }
            Err(failure) => self.socket_failed((op.slot, op.socket), failure, start),
        }
    }

    async fn receive(&mut self, op: &AwaitOp) -> Result<(), Failure> {
        let start = self.local.now();
        self.watch.set(start + op.expect.within.as_nanos() as u64);
        match self.matching(op.socket, &op.expect).await {
            Ok(json) => {
                if !op.captures.is_empty() {
                    let json = json.or_else(|| {
                        let socket = self.sockets[op.socket].as_ref()?;
                        serde_json::from_slice(socket.message()).ok()
                    });
                    self.capture(&op.captures, &json.unwrap_or(Value::Null));
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
    async fn matching(
        &mut self,
        place: usize,
        expect: &ExpectOp,
    ) -> Result<Option<Value>, Failure> {
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
                return Ok(None);
            }
            let Ok(json) = serde_json::from_slice::<Value>(message) else { continue };
            if wanted.iter().all(|(pointer, value)| equals(&json, pointer, value)) {
                return Ok(Some(json));
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

    async fn listen(&mut self, slot: usize, place: usize, length: Span) -> Result<(), Failure> {
        let start = self.local.now();
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

    async fn ping(&mut self, slot: usize, place: usize, within: Duration) -> Result<(), Failure> {
        let start = self.local.now();
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

    async fn close(&mut self, place: usize, slot: usize, code: u16) -> Result<(), Failure> {
        let start = self.local.now();
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

    /// The farewell: sockets closed with a close frame, connections dropped.
    pub(crate) async fn leave(&mut self) {
        if !self.local.shared.is_aborted() {
            self.watch.mend();
            for place in 0..self.sockets.len() {
                if self.sockets[place].is_some() {
                    let slot = self.plan.flows[self.flow].sockets[place].close_slot;
                    // Its failure is counted where it happens.
                    let _ = self.close(place, slot, 1_000).await;
                }
            }
        }
        self.http.close();
        self.local.vus.set(self.local.vus.get().saturating_sub(1));
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

fn equals(json: &Value, pointer: &str, expected: &[u8]) -> bool {
    match json.pointer(pointer) {
        Some(Value::String(text)) => text.as_bytes() == expected,
        Some(value) => value.to_string().as_bytes() == expected,
        None => false,
    }
}
