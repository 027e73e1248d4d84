//! The open loop: a pacer hands out arrivals when they are due, users take them.
//!
//! In: a flow. Out: iterations with an intended start. An arrival without a free user waits in a
//! bounded queue, and its wait counts; what overflows is dropped and counted.

use crate::engine::local::{Local, Rest};
use crate::engine::tempo::{Change, Pulse};
use crate::engine::vu::Vu;
use crate::recorder::Trend;
use crate::scenario::{Arrivals, Executor, VuPool};
use crate::schedule::{Schedule, Starts};
use crate::segment::Segment;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Arrivals of one thread that are closer than this share a wake, nanoseconds: each wake costs a
/// timer's interrupt and a sleeping target's awakening, several times what a request does. None is
/// early, and none is later than this by it.
const GRAIN: u64 = 100_000;

/// Starts this thread's part of an open flow.
pub(super) fn start(local: &Rc<Local>, flow: usize, counted: Option<u64>) {
    let executor = &local.plan.flows[flow].executor;
    let (Some(schedule), (limits, arrivals)) = (Schedule::of(executor), pool_of(executor)) else {
        return;
    };
    // A thread without a user of its own would drop what is due on it.
    let whole = local.pass.segment;
    let groups = limits.max.div_ceil(local.plan.protocol.in_flight);
    let threads = whole.share(u64::from(groups)).clamp(1, local.threads as u64);
    if local.place as u64 >= threads {
        return;
    }
    let segment = whole.split(local.place as u64, threads);
    let beats = Beats {
        schedule,
        begin: local.flow_start(flow),
        counted,
        pace: 1.0,
        from: (0.0, 0.0),
        seen: 0,
    };
    local.reactor.spawn(open(Rc::clone(local), flow, (limits, arrivals), (beats, segment)));
}

fn pool_of(executor: &Executor) -> (VuPool, Arrivals) {
    match executor {
        Executor::ConstantArrivalRate { pool, arrivals, .. }
        | Executor::RampingArrivalRate { pool, arrivals, .. } => (*pool, *arrivals),
        _ => (VuPool::default(), Arrivals::Even),
    }
}

/// When arrivals are due, whatever changes on the way.
struct Beats {
    schedule: Schedule,
    /// Begin of the flow in plan time, nanoseconds.
    begin: u64,
    counted: Option<u64>,
    pace: f64,
    /// Position of arrivals, and the integral of the planned rate, when the pace changed last.
    from: (f64, f64),
    /// Changes taken into account.
    seen: usize,
}

impl Beats {
    /// Takes changes into account: from its moment on a pace stretches the distances between
    /// arrivals, those in the past stay what they were, and none is lost or comes twice.
    fn follow(&mut self, pulse: &Pulse) {
        let changes = pulse.changes();
        for (place, change) in changes.iter().enumerate().skip(self.seen) {
            if change.pace != self.pace {
                let lost = lost_before(&changes[..place], change.at);
                let time = change.at.saturating_sub(lost).saturating_sub(self.begin);
                let planned = self.schedule.arrivals_until(Duration::from_nanos(time));
                self.from = (self.from.0 + (planned - self.from.1) * self.pace, planned);
                self.pace = change.pace;
            }
        }
        self.seen = changes.len();
    }

    /// The integral of the planned rate at an arrival.
    fn planned(&self, position: f64) -> f64 {
        self.from.1 + (position - self.from.0) / self.pace
    }

    fn is_past(&self, number: u64, position: f64) -> bool {
        match self.counted {
            Some(count) => number >= count,
            None => self.schedule.is_past(self.planned(position)),
        }
    }

    /// When an arrival is due; none in a pause.
    fn due(&self, position: f64, pulse: &Pulse) -> Option<u64> {
        let time = self.schedule.time_of(self.planned(position));
        pulse.real_time(self.begin + time.as_nanos() as u64)
    }
}

/// Nanoseconds of pauses before a moment.
fn lost_before(changes: &[Change], now: u64) -> u64 {
    let (mut lost, mut since) = (0, None);
    for change in changes {
        match (since, change.paused) {
            (None, true) => since = Some(change.at),
            (Some(begin), false) => {
                lost += change.at - begin;
                since = None;
            }
            _ => {}
        }
    }
    lost + since.map_or(0, |begin| now.saturating_sub(begin))
}

/// An arrival: its number and its intended start.
#[derive(Clone, Copy)]
struct Arrival {
    number: u64,
    intended: u64,
}

/// Where a user of an open flow waits for its next arrival.
#[derive(Default)]
struct Seat {
    arrival: Cell<Option<Arrival>>,
    waker: RefCell<Option<Waker>>,
}

/// The users of an open flow on this thread.
struct Pool {
    seats: RefCell<Vec<Rc<Seat>>>,
    free: RefCell<VecDeque<usize>>,
    waiting: RefCell<VecDeque<Arrival>>,
    over: Cell<bool>,
    max: usize,
    queue: usize,
    /// Users that arrivals are counted under, over all threads.
    vus: u64,
}

async fn open(
    local: Rc<Local>,
    flow: usize,
    (limits, arrivals): (VuPool, Arrivals),
    (beats, segment): (Beats, Segment),
) {
    let mine = |total: u32| segment.share(u64::from(total)) as usize;
    // Users that share a connection are on the same thread.
    let in_flight = local.plan.protocol.in_flight;
    let users = |total: u32| -> usize {
        let groups = (0..total.div_ceil(in_flight)).filter(|group| segment.holds((*group).into()));
        groups.map(|group| (total - group * in_flight).min(in_flight) as usize).sum()
    };
    let pool = Rc::new(Pool {
        seats: RefCell::default(),
        free: RefCell::default(),
        waiting: RefCell::default(),
        over: Cell::new(false),
        max: users(limits.max).max(1),
        queue: mine(limits.queue),
        vus: u64::from(limits.pre_allocated.max(1)),
    });
    for _ in 0..users(limits.pre_allocated) {
        add_user(&local, flow, &pool, None);
    }
    let draws = (local.plan.seed, flow, local.pass.input_round);
    let starts = Starts::new(arrivals, draws, segment);
    pace(&local, flow, (beats, starts), &pool).await;
    pool.over.set(true);
    for seat in pool.seats.borrow().iter() {
        seat.wake();
    }
}

/// Hands out arrivals as they are due, until all are or the load is over.
async fn pace(
    local: &Rc<Local>,
    flow: usize,
    (mut beats, mut starts): (Beats, Starts),
    pool: &Rc<Pool>,
) {
    let watch = local.watch(flow);
    let slot = local.plan.flows[flow].slot;
    let mut next = starts.next();
    let mut last = None;
    while let Some(start) = next {
        if beats.seen != local.pulse.seen() {
            beats.follow(&local.pulse);
        }
        if beats.is_past(start.number, start.position) {
            return;
        }
        let due = beats.due(start.position, &local.pulse);
        let wake = due
            .map(|due| due + last.map_or(0, |last| GRAIN.saturating_sub(due.saturating_sub(last))));
        // Those that are due by now are not waited for.
        let wake = wake.filter(|_| due.is_none_or(|due| due > local.reactor.latest())).or(due);
        let intended = match (local.rest(wake, &watch, |_| {}).await, due) {
            (Rest::Due, Some(due)) => due,
            (Rest::Over, _) => return,
            _ => continue,
        };
        last = Some(intended);
        let late = local.now().saturating_sub(intended);
        local.note(|recorder| {
            recorder.counters.offered += 1;
            recorder.record(slot, Trend::Pacing, late);
        });
        let arrival = Arrival { number: start.number, intended };
        let free = pool.free.borrow_mut().pop_front();
        if let Some(place) = free {
            let seat = Rc::clone(&pool.seats.borrow()[place]);
            seat.arrival.set(Some(arrival));
            seat.wake();
        } else if pool.seats.borrow().len() < pool.max {
            add_user(local, flow, pool, Some(arrival));
        } else if pool.waiting.borrow().len() < pool.queue {
            pool.waiting.borrow_mut().push_back(arrival);
            local.note(|recorder| recorder.counters.queued += 1);
        } else {
            local.note(|recorder| recorder.counters.dropped += 1);
        }
        next = starts.next();
        local.reactor.breathe().await;
        if pool.over.get() {
            return;
        }
    }
}

fn add_user(local: &Rc<Local>, flow: usize, pool: &Rc<Pool>, arrival: Option<Arrival>) {
    let seat = Rc::new(Seat::default());
    let place = pool.seats.borrow().len();
    if arrival.is_some() {
        seat.arrival.set(arrival);
    } else {
        pool.free.borrow_mut().push_back(place);
    }
    pool.seats.borrow_mut().push(Rc::clone(&seat));
    local.plan_vus(1);
    local.reactor.spawn(serve(Rc::clone(local), flow, Rc::clone(pool), (seat, place)));
}

/// A user of an open flow: takes arrivals until there are no more.
async fn serve(local: Rc<Local>, flow: usize, pool: Rc<Pool>, (seat, place): (Rc<Seat>, usize)) {
    let mut user = Vu::new(&local, flow);
    loop {
        user.watch.clear();
        user.has_waited();
        let next = poll_fn(|context| {
            if let Some(arrival) = seat.arrival.take() {
                return Poll::Ready(Some(arrival));
            }
            if pool.over.get() || local.shared.is_over() || user.watch.is_cut() {
                return Poll::Ready(None);
            }
            user.service(context);
            *seat.waker.borrow_mut() = Some(context.waker().clone());
            // The watch wakes this task when the load is cut.
            user.watch.poll_end(context).map(|_| None)
        })
        .await;
        let Some(mut arrival) = next else { break };
        loop {
            let (vu, iteration) = (arrival.number % pool.vus, arrival.number);
            user.iterate(vu, iteration, Some(arrival.intended)).await;
            if user.is_exhausted() {
                // Rows go by the number of the arrival: later ones have none either.
                pool.over.set(true);
                break;
            }
            let waiting = pool.waiting.borrow_mut().pop_front();
            match waiting {
                Some(next) if !local.shared.is_over() && !user.watch.is_cut() => arrival = next,
                Some(next) => {
                    pool.waiting.borrow_mut().push_front(next);
                    break;
                }
                None => break,
            }
            if local.reactor.breathe().await {
                user.has_waited();
            }
        }
        pool.free.borrow_mut().push_back(place);
    }
    // What still waits when the load is over will not be started.
    let left = pool.waiting.borrow_mut().drain(..).count() as u64;
    if left > 0 {
        local.note(|recorder| recorder.counters.dropped += left);
    }
    user.leave().await;
}

impl Seat {
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
