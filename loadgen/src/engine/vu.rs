//! A virtual user: its connections, its variables, and the steps of one iteration.
//!
//! In: the program of a flow, the number of an iteration. Out: samples in the thread's recorder.
//! When an iteration starts is left to the executor.

mod begin;
mod chat;
mod control;
mod exchange;
mod follow;
mod look;
mod parallel;
mod reopen;
mod session;
mod talk;

use super::local::Local;
use crate::http::client::HttpClient;
use crate::plan::{FlowPlan, Op, Plan};
use crate::recorder::Trend;
use crate::sample::Failure;
use crate::scenario::Span;
use crate::template::{Scope, Template};
use crate::websocket::socket::Socket;
use crate::wire::watch::Watch;
use reopen::Outage;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long a peer may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Code and reason of a close that no step asks for.
const FAREWELL: (u16, &str) = (1_000, "");

/// First pause of a user whose connections fail; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(20);

/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Turns of a loop after which others have theirs.
const TURNS_UNBROKEN: u32 = 64;

/// A virtual user.
pub(crate) struct Vu {
    pub(crate) local: Rc<Local>,
    pub(crate) watch: Rc<Watch>,
    plan: Arc<Plan>,
    flow: usize,
    http: HttpClient,
    /// Connections besides it, for what is done side by side.
    mates: Vec<parallel::Mate>,
    jar: follow::OwnJar,
    sockets: Vec<Option<Socket>>,
    /// Socket.IO clients.
    chats: Vec<Option<Box<chat::Chat>>>,
    /// Sockets that are lost and are to come back.
    outages: Vec<Outage>,
    scope: Scope,
    counters: Vec<u32>,
    /// Groups entered: where their durations go, and since when.
    groups: Vec<(usize, u64)>,
    scratch: Vec<u8>,
    /// Intended start of an iteration, until its first exchange has taken it over.
    intended: Option<u64>,
    /// The time, if nothing was waited for since it was read: reading it again would cost as much
    /// as recording a sample.
    known: Option<u64>,
    pause: Duration,
    /// There is no row of data left for it.
    exhausted: bool,
}

impl Vu {
    pub(crate) fn new(local: &Rc<Local>, flow: usize) -> Self {
        let plan = Arc::clone(&local.plan);
        let program = &plan.flows[flow];
        let mut scope = Scope::new(local.pass.input_round, program.captures.len());
        scope.stride = program.executor.stride(local.pass.iterations.is_some());
        local.vus.set(local.vus.get() + 1);
        let given = !program.given.is_empty();
        let mut user = Self {
            watch: local.watch(flow),
            local: Rc::clone(local),
            flow,
            http: local.client(flow),
            mates: Vec::new(),
            jar: None,
            sockets: program.sockets.iter().map(|_| None).collect(),
            chats: program.clients.iter().map(|_| None).collect(),
            outages: Vec::new(),
            scope,
            counters: vec![0; program.loops],
            groups: Vec::new(),
            scratch: Vec::new(),
            intended: None,
            known: None,
            pause: Duration::ZERO,
            exhausted: false,
            plan,
        };
        if given {
            user.take_given();
        }
        user
    }

    /// One iteration, as user `vu`. With an intended start, lateness is measured too.
    pub(crate) async fn iterate(&mut self, vu: u64, iteration: u64, intended: Option<u64>) {
        // A count of the thread's own: that of the plan is shared with other threads.
        let local = Rc::clone(&self.local);
        let flow = &local.plan.flows[self.flow];
        let start = self.time();
        self.known = Some(start);
        self.forget_cookies();
        self.scope.begin(local.plan.seed, self.flow, vu, iteration);
        if !flow.feeds.is_empty() && !self.feed(flow) {
            return;
        }
        self.intended = intended;
        let result = self.run(flow).await;
        if result.is_ok() {
            self.pause = Duration::ZERO;
        }
        for (place, socket) in flow.sockets.iter().enumerate() {
            let ended = socket.per_iteration || self.watch.is_cut();
            if ended && self.sockets[place].is_some() && !self.watch.is_cut() {
                // Its failure is counted where it happens.
                let _ = self.close(place, socket.close_slot, FAREWELL).await;
            }
        }
        if !self.chats.is_empty() && !self.watch.is_cut() {
            self.close_chats(false).await;
        }
        let end = self.time();
        self.known = Some(end);
        if !self.groups.is_empty() {
            self.end_groups(end, result);
        }
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
        self.known = None;
        let Err(failure) = result else { return };
        if matches!(
            failure,
            Failure::Status(_)
                | Failure::TimedOut
                | Failure::NotReceived
                | Failure::Asked(_)
                | Failure::StreamReset(_)
        ) {
            return;
        }
        self.pause = (self.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
        let until = self.local.now() + self.pause.as_nanos() as u64;
        // Cut short, the user is done anyway.
        let _ = self.wait_until(until).await;
    }

    async fn run(&mut self, flow: &FlowPlan) -> Result<(), Failure> {
        for counter in &mut self.counters {
            *counter = 0;
        }
        let mut place = 0;
        while let Some(op) = flow.ops.get(place) {
            place += 1;
            match op {
                Op::Http(http) => self.exchange(http).await?,
                // Boxed, so that users that take no such step are none the larger.
                Op::Parallel(ops) => Box::pin(self.parallel(ops)).await?,
                Op::Connect(connect) => self.connect(connect).await?,
                Op::Send(send) => self.send(send).await?,
                Op::Await(wait) => self.receive(wait).await?,
                Op::Listen { socket, length, slot } => self.listen(*slot, *socket, *length).await?,
                Op::Ping { slot, socket, within } => self.ping(*slot, *socket, *within).await?,
                // Its state is large, and is not to be part of every user's.
                Op::Sio(sio) => Box::pin(self.sio(sio)).await?,
                Op::Close { slot, socket, code, reason } => {
                    self.close(*socket, *slot, (*code, reason)).await?;
                }
                Op::Think(span) => {
                    let until = self.time() + self.draw(*span);
                    self.wait_until(until).await?;
                }
                Op::Pause { mean, max } => {
                    let until = self.time() + self.draw_exponential(*mean, *max);
                    self.wait_until(until).await?;
                }
                Op::Control(control) => place = self.steer(control, place, flow.ops.len())?,
                Op::Again { to, times, counter } => {
                    self.counters[*counter] += 1;
                    if self.counters[*counter] < *times {
                        place = *to;
                        // A loop whose steps wait for nothing must not keep the thread.
                        if self.counters[*counter].is_multiple_of(TURNS_UNBROKEN)
                            && self.local.reactor.breathe().await
                        {
                            self.known = None;
                        }
                    } else {
                        self.counters[*counter] = 0;
                    }
                }
            }
        }
        Ok(())
    }

    /// The time, nanoseconds since the engine began.
    #[inline]
    fn time(&mut self) -> u64 {
        self.known.take().unwrap_or_else(|| self.local.now())
    }

    /// The time, which stays known until something is waited for.
    pub(crate) fn clock(&mut self) -> u64 {
        let now = self.time();
        self.known = Some(now);
        now
    }

    /// The user has waited: the time is to be read anew.
    pub(crate) fn has_waited(&mut self) {
        self.known = None;
    }

    fn draw(&mut self, span: Span) -> u64 {
        let (low, high) = (span.low.as_nanos() as u64, span.high.as_nanos() as u64);
        if low == high {
            return low;
        }
        low + ((u128::from(self.scope.random()) * u128::from(high - low + 1)) >> 64) as u64
    }

    /// Counts an exchange that failed, with its latency, and passes the failure on.
    fn failed(&mut self, slot: usize, failure: Failure, start: u64) -> Result<(), Failure> {
        let now = self.local.now();
        self.failed_at(slot, failure, (start, now))
    }

    fn failed_at(
        &mut self,
        slot: usize,
        failure: Failure,
        (start, now): (u64, u64),
    ) -> Result<(), Failure> {
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

    fn text(&mut self, template: &Template) -> Vec<u8> {
        let mut out = Vec::new();
        template.render(&mut out, &mut self.scope);
        out
    }

    /// The farewell: sockets closed with a close frame, connections dropped.
    pub(crate) async fn leave(&mut self) {
        if !self.local.shared.is_aborted() {
            self.watch.mend();
            for place in 0..self.sockets.len() {
                if self.sockets[place].is_some() {
                    let slot = self.plan.flows[self.flow].sockets[place].close_slot;
                    // Its failure is counted where it happens.
                    let _ = self.close(place, slot, FAREWELL).await;
                }
            }
            self.close_chats(true).await;
        }
        self.http.close();
        self.mates.clear();
        self.local.vus.set(self.local.vus.get().saturating_sub(1));
    }
}
