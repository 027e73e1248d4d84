//! Steps into instructions: requests prepared, captures and sockets given their places, samples
//! their slots. Reads environment variables; otherwise pure.
//!
//! In: a flow of a scenario. Out: a flow of the plan, and faults that only the target's address
//! or the environment can bring up.

use super::{
    AwaitOp, CheckName, ConnectOp, ExpectOp, FlowPlan, HttpOp, Op, Plan, Prepared, SendOp, Slot,
    SlotKind, SocketPlan,
};
use crate::scenario::step::encoded;
use crate::scenario::verify::socket_of;
use crate::scenario::{
    AwaitStep, ConnectStep, Expectation, Flow, HttpStep, Predicate, SendStep, Step, Verb,
};
use crate::template::Template;
use std::collections::BTreeMap;

/// Takes a fault: line, path, what.
type Note<'a> = &'a mut dyn FnMut(usize, String, String);

/// Compiles a flow into the plan.
pub(super) fn flow(plan: &mut Plan, (name, flow): (&str, &Flow), note: Note<'_>) {
    let place = plan.flows.len();
    let mut tags = flow.tags.clone();
    tags.insert("flow".to_owned(), name.to_owned());
    tags.insert("scenario".to_owned(), name.to_owned());
    let slot = plan.slots.len();
    plan.slots.push(Slot {
        flow: place,
        name: name.to_owned(),
        kind: SlotKind::Flow,
        tags: tags.clone(),
    });
    let mut compiler = Compiler {
        plan,
        note,
        place,
        tags,
        path: format!("flow.{name}.steps"),
        captures: Vec::new(),
        sockets: Vec::new(),
        closed: Vec::new(),
        ops: Vec::new(),
        loops: 0,
        operations: BTreeMap::new(),
    };
    compiler.declare(&flow.steps);
    compiler.steps(&flow.steps, 1.0, 0);
    let Compiler { captures, sockets, ops, loops, operations, .. } = compiler;
    plan.flows.push(FlowPlan {
        name: name.to_owned(),
        executor: flow.executor.clone(),
        start_time: flow.start_time,
        graceful_stop: flow.graceful_stop,
        slot,
        captures,
        sockets,
        ops,
        loops,
        operations,
    });
}

struct Compiler<'p, 'n> {
    plan: &'p mut Plan,
    note: Note<'n>,
    place: usize,
    tags: BTreeMap<String, String>,
    path: String,
    captures: Vec<String>,
    sockets: Vec<SocketPlan>,
    /// Sockets that a step closes.
    closed: Vec<String>,
    ops: Vec<Op>,
    loops: usize,
    operations: BTreeMap<String, f64>,
}

impl Compiler<'_, '_> {
    /// Gives captures and sockets their places, before any step refers to them.
    fn declare(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.verb {
                Verb::Http(http) => self.declare_captures(&http.captures),
                Verb::Await(wait) => self.declare_captures(&wait.captures),
                Verb::Connect(connect) => self.declare_socket(connect),
                Verb::Close { on, .. } => self.closed.extend(on.clone()),
                Verb::Repeat { steps, .. } => self.declare(steps),
                _ => {}
            }
            if let (Verb::Close { on: None, .. }, Some(only)) = (&step.verb, self.sockets.first()) {
                self.closed.push(only.name.clone());
            }
        }
    }

    fn declare_captures(&mut self, captures: &[(String, String)]) {
        for (name, _) in captures {
            if !self.captures.contains(name) {
                self.captures.push(name.clone());
            }
        }
    }

    fn declare_socket(&mut self, connect: &ConnectStep) {
        if self.sockets.iter().any(|socket| socket.name == connect.socket) {
            return;
        }
        let path = path_of(&connect.url);
        let close_slot = self.slot(SlotKind::Close, format!("close {path}"), &BTreeMap::new());
        self.sockets.push(SocketPlan {
            name: connect.socket.clone(),
            close_slot,
            per_iteration: connect.per_iteration,
        });
    }

    fn slot(&mut self, kind: SlotKind, name: String, tags: &BTreeMap<String, String>) -> usize {
        let mut all = self.tags.clone();
        all.extend(tags.clone());
        all.insert("name".to_owned(), name.clone());
        let slot = Slot { flow: self.place, name, kind, tags: all };
        if let Some(place) = self.plan.slots.iter().position(|known| *known == slot) {
            return place;
        }
        self.plan.slots.push(slot);
        self.plan.slots.len() - 1
    }

    fn count(&mut self, slot: usize, times: f64) {
        let name = self.plan.slots[slot].name.clone();
        *self.operations.entry(name).or_default() += times;
    }

    fn steps(&mut self, steps: &[Step], times: f64, depth: usize) {
        for (index, step) in steps.iter().enumerate() {
            let path = std::mem::take(&mut self.path);
            self.path = format!("{path}[{index}]");
            self.step(step, times, depth);
            self.path = path;
        }
    }

    fn step(&mut self, step: &Step, times: f64, depth: usize) {
        let line = step.line;
        let socket = socket_of(&step.verb).map_or(0, |on| self.socket(on));
        let socket_name =
            self.sockets.get(socket).map(|socket| socket.name.clone()).unwrap_or_default();
        let named = |default: String| step.name.clone().unwrap_or(default);
        let op = match &step.verb {
            Verb::Http(http) => {
                let name = named(format!("{} {}", http.method, path_of(&http.url)));
                let slot = self.slot(SlotKind::Http, name, &step.tags);
                self.count(slot, times);
                Op::Http(Box::new(self.http(http, slot, line)))
            }
            Verb::Connect(connect) => {
                let slot = self.slot(
                    SlotKind::Connect,
                    named(format!("connect {}", path_of(&connect.url))),
                    &step.tags,
                );
                let op = self.connect(connect, slot, line);
                let socket = &self.sockets[op.socket];
                let close_slot = socket.close_slot;
                let reopened = socket.per_iteration || self.closed.contains(&connect.socket);
                self.count(slot, if reopened { times } else { 0.0 });
                if !self.closed.contains(&connect.socket) {
                    self.count(close_slot, if reopened { times } else { 0.0 });
                }
                Op::Connect(Box::new(op))
            }
            Verb::Send(send) => {
                let slot =
                    self.slot(SlotKind::Send, named(format!("send {socket_name}")), &step.tags);
                self.count(slot, times);
                Op::Send(Box::new(self.send(send, (slot, socket), line)))
            }
            Verb::Await(wait) => {
                let slot =
                    self.slot(SlotKind::Await, named(format!("await {socket_name}")), &step.tags);
                Op::Await(Box::new(self.awaiting(wait, (slot, socket), line)))
            }
            Verb::Listen { length, .. } => {
                let slot =
                    self.slot(SlotKind::Listen, named(format!("listen {socket_name}")), &step.tags);
                Op::Listen { slot, socket, length: *length }
            }
            Verb::Ping { within, .. } => {
                let slot =
                    self.slot(SlotKind::Ping, named(format!("ping {socket_name}")), &step.tags);
                self.count(slot, times);
                Op::Ping { slot, socket, within: *within }
            }
            Verb::Close { code, .. } => {
                let slot = match &step.name {
                    Some(name) => self.slot(SlotKind::Close, name.clone(), &step.tags),
                    None => self.sockets[socket].close_slot,
                };
                self.count(slot, times);
                Op::Close { slot, socket, code: *code }
            }
            Verb::Think(span) => Op::Think(*span),
            Verb::Repeat { count, steps } => {
                let to = self.ops.len();
                self.loops = self.loops.max(depth + 1);
                self.steps(steps, times * f64::from(*count), depth + 1);
                Op::Again { to, times: *count, counter: depth }
            }
        };
        self.ops.push(op);
    }

    fn socket(&self, on: Option<&String>) -> usize {
        // The scenario has checked that the name is known, or that there is but one.
        on.and_then(|on| self.sockets.iter().position(|socket| socket.name == *on)).unwrap_or(0)
    }

    fn bind(&mut self, template: &Template, line: usize) -> Template {
        let mut bound = template.clone();
        if let Err(what) = bound.bind(&self.captures, &|name| std::env::var(name).ok()) {
            (self.note)(line, self.path.clone(), what);
        }
        bound
    }

    /// Request line and headers, each with its line end.
    fn head(
        &mut self,
        (method, url): (&str, &Template),
        query: &[(String, Template)],
        headers: &[(String, Template)],
        line: usize,
    ) -> Template {
        let mut head = Template::default();
        head.push_text(&format!("{method} "));
        let url = self.path_on_base(url, line);
        let mut joined = url.contains("?");
        head.push(url);
        for (name, value) in query {
            head.push_text(if joined { "&" } else { "?" });
            joined = true;
            head.push_text(&format!("{name}="));
            let value = self.bind(value, line);
            head.push(encoded(value));
        }
        head.push_text(" HTTP/1.1\r\n");
        let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_text(&format!("Host: {}\r\n", self.plan.address.authority));
        }
        for (name, value) in headers {
            head.push_text(&format!("{name}: "));
            let value = self.bind(value, line);
            head.push(value);
            head.push_text("\r\n");
        }
        head
    }

    /// The path of a URL, which must be on the plan's own host.
    fn path_on_base(&mut self, url: &Template, line: usize) -> Template {
        let mut url = self.bind(url, line);
        if let Some(text) = url.first_text().filter(|text| text.contains("://")) {
            let authority = self.plan.address.authority.clone();
            let (_, rest) = text.split_once("://").unwrap_or_default();
            let (host, _) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            if host == authority {
                let cut = text.len() - (rest.len() - host.len());
                url.cut_first(cut);
            } else {
                let what = format!(
                    "host `{host}` is not the target's `{authority}` (one target per scenario so \
                     far)"
                );
                (self.note)(line, self.path.clone(), what);
            }
        }
        let mut path = Template::default();
        path.push_text(&self.plan.address.prefix);
        path.push(url);
        path
    }

    fn http(&mut self, step: &HttpStep, slot: usize, line: usize) -> HttpOp {
        let mut head = self.head((&step.method, &step.url), &step.query, &step.headers, line);
        let typed = step.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let (Some(content_type), false) = (step.content_type, typed) {
            head.push_text(&format!("Content-Type: {content_type}\r\n"));
        }
        let body = step.body.as_ref().map(|body| self.bind(body, line));
        let mut checks = Vec::new();
        for check in &step.checks {
            let predicate = match &check.predicate {
                Predicate::Body(text) => Predicate::Body(self.bind(text, line)),
                Predicate::Json(pointer, value) => {
                    Predicate::Json(pointer.clone(), self.bind(value, line))
                }
                other => other.clone(),
            };
            checks.push((self.plan.checks.len(), predicate));
            self.plan.checks.push(CheckName { name: check.name.clone(), slot });
        }
        let looks = |(_, predicate): &(usize, Predicate)| {
            matches!(predicate, Predicate::Body(_) | Predicate::Json(..))
        };
        HttpOp {
            slot,
            request: prepare(head, body, needs_length(&step.method)),
            timeout: step.timeout,
            head: step.method == "HEAD",
            needs_body: checks.iter().any(looks) || !step.captures.is_empty(),
            checks,
            captures: self.places(&step.captures),
        }
    }

    fn places(&self, captures: &[(String, String)]) -> Vec<(usize, String)> {
        let place = |name: &String| self.captures.iter().position(|known| known == name);
        captures
            .iter()
            .filter_map(|(name, pointer)| Some((place(name)?, pointer.clone())))
            .collect()
    }

    fn connect(&mut self, step: &ConnectStep, slot: usize, line: usize) -> ConnectOp {
        let mut head = self.head(("GET", &step.url), &[], &step.headers, line);
        head.push_text(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        );
        if !step.protocols.is_empty() {
            head.push_text(&format!("Sec-WebSocket-Protocol: {}\r\n", step.protocols.join(", ")));
        }
        let socket = self.socket(Some(&step.socket));
        ConnectOp { slot, socket, head, timeout: step.timeout }
    }

    fn expectation(&mut self, expectation: &Expectation, line: usize) -> ExpectOp {
        ExpectOp {
            contains: expectation.contains.as_ref().map(|text| self.bind(text, line)),
            json: expectation
                .json
                .iter()
                .map(|(pointer, value)| (pointer.clone(), self.bind(value, line)))
                .collect(),
            within: expectation.within,
        }
    }

    fn send(&mut self, step: &SendStep, (slot, socket): (usize, usize), line: usize) -> SendOp {
        SendOp {
            slot,
            socket,
            message: self.bind(&step.message, line),
            stamp: step.stamp,
            expect: step.expect,
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
        AwaitOp { slot, socket, expect, captures: self.places(&step.captures) }
    }
}

/// Methods whose request says that its body is empty (RFC 9110, section 8.6).
fn needs_length(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

fn prepare(head: Template, body: Option<Template>, needs_length: bool) -> Prepared {
    let body = body.or_else(|| needs_length.then(Template::default));
    let (Some(text), body_text) = (head.as_static(), body.as_ref().map(Template::as_static)) else {
        return Prepared::Dynamic { head, body };
    };
    match body_text {
        None => Prepared::Static(format!("{text}\r\n").into_bytes()),
        Some(Some(body)) => {
            Prepared::Static(format!("{text}Content-Length: {}\r\n\r\n{body}", body.len()).into())
        }
        Some(None) => Prepared::Dynamic { head, body },
    }
}

/// The path of a URL as it is written, for the name of an operation.
fn path_of(url: &Template) -> String {
    let text = url.written();
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => text.as_str(),
    };
    path.split('?').next().unwrap_or(path).to_owned()
}
