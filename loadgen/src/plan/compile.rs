//! Steps into instructions: captures and sockets given their places, samples their slots. Reads
//! environment variables; otherwise pure.
//!
//! In: a flow of a scenario. Out: a flow of the plan, and faults that only the target's address
//! or the environment can bring up. What becomes of a step is left to the files of this folder,
//! one for each family.

mod auth;
mod control;
mod feed;
mod http;
mod socketio;
mod websocket;

pub(super) use auth::split_credentials;
pub(super) use feed::{share, tables};

use super::{ClientPlan, FeedPlan, FlowPlan, Op, Part, Plan, Slot, SlotKind, SocketPlan};
use crate::scenario::{Auth, Executor, Flow, Inherited, Once, Scenario, Step, Verb, WantedFile};
use crate::template::Template;
use std::collections::BTreeMap;
use std::time::Duration;

/// Takes a fault: line, path, what.
type Note<'a> = &'a mut dyn FnMut(usize, String, String);

/// Compiles what is done once into the plan: a flow of one iteration, in a group of its own.
pub(super) fn once(
    plan: &mut Plan,
    scenario: &Scenario,
    (part, once): (Part, &Once),
    note: (&str, Note<'_>),
) {
    let max_duration = once.timeout;
    let flow = Flow {
        executor: Executor::PerVuIterations { vus: 1, iterations: 1, max_duration },
        start_time: Duration::ZERO,
        graceful_stop: Duration::ZERO,
        tags: BTreeMap::from([("group".to_owned(), format!("::{}", part.word()))]),
        env: BTreeMap::new(),
        per_iteration: false,
        inherited: Inherited::default(),
        steps: once.steps.clone(),
        line: once.line,
    };
    compile(plan, scenario, (part.word(), &flow, part), note);
}

/// Compiles a flow into the plan.
pub(super) fn flow(
    plan: &mut Plan,
    scenario: &Scenario,
    (name, flow): (&str, &Flow),
    note: (&str, Note<'_>),
) {
    compile(plan, scenario, (name, flow, Part::Load), note);
}

fn compile(
    plan: &mut Plan,
    scenario: &Scenario,
    (name, flow, part): (&str, &Flow, Part),
    (base, note): (&str, Note<'_>),
) {
    let credentials = auth::credentials(base);
    let inherited = flow.inherited.within(&scenario.target.inherited);
    let place = plan.flows.len();
    let warmup = if part == Part::Load { plan.warmup } else { Duration::ZERO };
    let mut tags = flow.tags.clone();
    let mut kind = SlotKind::Group;
    let mut path = format!("{name}.steps");
    if part == Part::Load {
        kind = SlotKind::Flow;
        path = format!("flow.{path}");
        tags.insert("flow".to_owned(), name.to_owned());
        tags.insert("scenario".to_owned(), name.to_owned());
    }
    let slot = plan.slots.len();
    plan.slots.push(Slot { flow: place, name: name.to_owned(), kind, tags: tags.clone() });
    let mut compiler = Compiler {
        plan,
        note,
        place,
        tags,
        path,
        env: [&flow.env, &scenario.env],
        feeds: Vec::new(),
        given: Vec::new(),
        captures: Vec::new(),
        sockets: Vec::new(),
        closed: Vec::new(),
        clients: Vec::new(),
        closed_clients: Vec::new(),
        ops: Vec::new(),
        loops: 0,
        operations: BTreeMap::new(),
        inherited: &inherited,
        credentials,
        files: &scenario.files,
    };
    compiler.declare(&flow.steps);
    compiler.declare_reads(&flow.steps);
    compiler.declare_inherited(scenario, flow.line);
    compiler.steps(&flow.steps, 1.0, 0);
    let Compiler { captures, sockets, clients, ops, loops, operations, feeds, given, .. } =
        compiler;
    plan.flows.push(FlowPlan {
        name: name.to_owned(),
        executor: flow.executor.clone().after(warmup),
        start_time: flow.start_time,
        graceful_stop: flow.graceful_stop,
        slot,
        captures,
        sockets,
        clients,
        ops,
        loops,
        operations,
        // As in k6.
        cookies: inherited.cookies.unwrap_or(true),
        keep_cookies: inherited.keep_cookies.unwrap_or(false),
        part,
        feeds,
        given,
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
    clients: Vec<ClientPlan>,
    /// Socket.IO clients that a step closes.
    closed_clients: Vec<String>,
    ops: Vec<Op>,
    loops: usize,
    operations: BTreeMap<String, f64>,
    inherited: &'p Inherited,
    /// What the base URL says of the user.
    credentials: Option<Auth>,
    files: &'p BTreeMap<String, WantedFile>,
    /// Environment variables that go before those of the process, the foremost first.
    env: [&'p BTreeMap<String, String>; 2],
    feeds: Vec<FeedPlan>,
    given: Vec<(usize, String)>,
}

impl Compiler<'_, '_> {
    /// Gives variables and sockets their places, before any step refers to them.
    fn declare(&mut self, steps: &[Step]) {
        for step in steps {
            for name in step.verb.sets() {
                self.declare_variable(name);
            }
            match &step.verb {
                Verb::Connect(connect) => self.declare_socket(step, connect),
                Verb::Close { on, .. } => self.closed.extend(on.clone()),
                Verb::Sio(sio) => self.declare_client(step, sio),
                _ => {}
            }
            for (_, steps) in step.verb.inside() {
                self.declare(steps);
            }
            if let (Verb::Close { on: None, .. }, Some(only)) = (&step.verb, self.sockets.first()) {
                self.closed.push(only.name.clone());
            }
        }
    }

    fn declare_variable(&mut self, name: &str) {
        if !self.captures.iter().any(|known| known == name) {
            self.captures.push(name.to_owned());
        }
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
        let op = match &step.verb {
            Verb::Http(http) => self.http_op(step, http, times),
            Verb::Parallel(steps) => self.parallel_op(steps, times),
            Verb::Connect(connect) => self.connect_op(step, connect, times),
            Verb::Send(send) => self.send_op(step, send, times),
            Verb::Await(wait) => self.await_op(step, wait),
            Verb::Listen { on, length } => self.listen_op(step, on.as_ref(), *length),
            Verb::Ping { on, within } => self.ping_op(step, (on.as_ref(), *within), times),
            Verb::Close { on, code, reason } => {
                self.close_op(step, (on.as_ref(), *code, reason), times)
            }
            Verb::Sio(sio) => self.sio_op(step, sio, times),
            Verb::Think(span) => Op::Think(*span),
            Verb::Repeat { count, steps } => return self.repeat((*count, steps), times, depth),
            Verb::Control(control) => return self.control(step, control, (times, depth)),
        };
        self.ops.push(op);
    }

    fn bind(&mut self, template: &Template, line: usize) -> Template {
        let mut bound = template.clone();
        let environment = |name: &str| {
            let own = self.env.iter().find_map(|env| env.get(name).cloned());
            own.or_else(|| std::env::var(name).ok())
        };
        if let Err(what) = bound.bind(&self.captures, &environment) {
            (self.note)(line, self.path.clone(), what);
        }
        bound
    }
}
