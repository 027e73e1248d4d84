//! The two loops that serve all executors: closed, in which a user starts its next iteration when
//! the last has ended, and open, in which a pacer starts iterations by the clock.
//!
//! In: a flow of the plan. Out: tasks on the thread's runtime that end by themselves. The times
//! of the open loop come from [`crate::schedule`], the waiting from the reactor.

use super::local::Local;
use super::vu::Vu;
use crate::plan::FlowPlan;
use crate::recorder::Trend;
use crate::scenario::{Executor, VuPool};
use crate::schedule::{Schedule, share, vus_at, vus_max};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How often a user of a ramp looks whether its turn has come.
const RAMP_LOOK: Duration = Duration::from_millis(20);

/// Starts the tasks of a flow on this thread.
pub(crate) fn start(local: &Rc<Local>, flow: usize) {
    let plan = &local.plan.flows[flow];
    let counted = match &local.pass.iterations {
        Some(counts) => match counts.get(&plan.name) {
            Some(count) if *count > 0 => Some(*count),
            _ => return,
        },
        None => None,
    };
    if let Some(schedule) = Schedule::of(&plan.executor) {
        let total = counted.unwrap_or_else(|| schedule.count());
        local.reactor.spawn(open(Rc::clone(local), flow, (schedule, total)));
        return;
    }
    let vus = vus_max(&plan.executor);
    for vu in (0..vus).filter(|vu| *vu as usize % local.threads == local.place) {
        let turn = turn_of(plan, counted, (vu, vus));
        local.reactor.spawn(closed(Rc::clone(local), (flow, vu), turn));
    }
}

/// How long a user of a closed flow goes on.
#[derive(Clone, Copy)]
enum Turn {
    /// So many iterations of its own.
    Count(u64),
    /// As long as the flow's common count lasts: so many, over so many users.
    Shared(u64),
    /// Until this time since the flow's begin.
    Until(Duration),
    /// While the ramp has a place for it.
    Ramp,
}

fn turn_of(plan: &FlowPlan, counted: Option<u64>, (vu, vus): (u32, u32)) -> Turn {
    if let Some(total) = counted {
        return Turn::Count(share(total, vus, vu));
    }
    match &plan.executor {
        Executor::SharedIterations { iterations, .. } => Turn::Shared(*iterations),
        Executor::PerVuIterations { iterations, .. } => Turn::Count(*iterations),
        Executor::ConstantVus { duration, .. } => Turn::Until(*duration),
        _ => Turn::Ramp,
    }
}

async fn closed(local: Rc<Local>, (flow, vu): (usize, u32), turn: Turn) {
    let mut user = Vu::new(&local, flow);
    let begin = local.flow_start(flow);
    if begin > 0 && local.sleep_until(begin, &user.watch, || {}).await.is_err() {
        return user.leave().await;
    }
    let mut iteration = 0;
    while !local.shared.is_over() && !user.watch.is_cut() {
        let (as_vu, number) = match turn {
            Turn::Count(count) if iteration >= count => break,
            Turn::Count(_) => (u64::from(vu), iteration),
            Turn::Until(length) if user.clock() >= begin + length.as_nanos() as u64 => break,
            Turn::Until(_) => (u64::from(vu), iteration),
            Turn::Shared(total) => {
                let number = local.shared.taken[flow].fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    break;
                }
                (u64::from(vu), number)
            }
            Turn::Ramp => match ramp_place(&local, flow, begin) {
                None => break,
                Some(vus) if vu >= vus => {
                    let look = local.now() + RAMP_LOOK.as_nanos() as u64;
                    if local.sleep_until(look, &user.watch, || {}).await.is_err() {
                        break;
                    }
                    user.has_waited();
                    continue;
                }
                Some(_) => (u64::from(vu), iteration),
            },
        };
        user.iterate(as_vu, number, None).await;
        iteration += 1;
        // A step that never waits must not keep the sweep from the thread.
        if local.reactor.breathe().await {
            user.has_waited();
        }
    }
    user.leave().await;
}

fn ramp_place(local: &Local, flow: usize, begin: u64) -> Option<u32> {
    let since = Duration::from_nanos(local.now().saturating_sub(begin));
    match &local.plan.flows[flow].executor {
        Executor::RampingVus { start_vus, stages } => vus_at(*start_vus, stages, since),
        _ => None,
    }
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

async fn open(local: Rc<Local>, flow: usize, (schedule, total): (Schedule, u64)) {
    let limits = pool_of(&local.plan.flows[flow].executor);
    let mine = |total: u32| share(u64::from(total), local.threads as u32, local.place as u32);
    let pool = Rc::new(Pool {
        seats: RefCell::default(),
        free: RefCell::default(),
        waiting: RefCell::default(),
        over: Cell::new(false),
        max: (mine(limits.max) as usize).max(1),
        queue: mine(limits.queue) as usize,
        vus: u64::from(limits.pre_allocated.max(1)),
    });
    for _ in 0..mine(limits.pre_allocated).max(1) {
        add_user(&local, flow, &pool, None);
    }
    pace(&local, flow, (&schedule, total), &pool).await;
    pool.over.set(true);
    for seat in pool.seats.borrow().iter() {
        seat.wake();
    }
}

fn pool_of(executor: &Executor) -> VuPool {
    match executor {
        Executor::ConstantArrivalRate { pool, .. } | Executor::RampingArrivalRate { pool, .. } => {
            *pool
        }
        _ => VuPool::default(),
    }
}

/// Hands out arrivals as they are due, until all are or the load is over.
async fn pace(
    local: &Rc<Local>,
    flow: usize,
    (schedule, total): (&Schedule, u64),
    pool: &Rc<Pool>,
) {
    let watch = local.watch(flow);
    let begin = local.flow_start(flow);
    let slot = local.plan.flows[flow].slot;
    let mut number = local.place as u64;
    while number < total {
        let intended = begin + schedule.nth(number).as_nanos() as u64;
        if local.sleep_until(intended, &watch, || {}).await.is_err() {
            return;
        }
        if local.shared.is_over() {
            return;
        }
        let late = local.now().saturating_sub(intended);
        local.note(|recorder| {
            recorder.counters.offered += 1;
            recorder.record(slot, Trend::Pacing, late);
        });
        let arrival = Arrival { number, intended };
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
        number += local.threads as u64;
        local.reactor.breathe().await;
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
            user.service();
            *seat.waker.borrow_mut() = Some(context.waker().clone());
            // The watch wakes this task when the load is cut.
            user.watch.poll_end(context).map(|_| None)
        })
        .await;
        let Some(mut arrival) = next else { break };
        loop {
            let (vu, iteration) = (arrival.number % pool.vus, arrival.number);
            user.iterate(vu, iteration, Some(arrival.intended)).await;
            let waiting = pool.waiting.borrow_mut().pop_front();
            match waiting {
                Some(next) if !local.shared.is_over() && !user.watch.is_cut() => arrival = next,
                _ => break,
            }
            if local.reactor.breathe().await {
                user.has_waited();
            }
        }
        pool.free.borrow_mut().push_back(place);
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
