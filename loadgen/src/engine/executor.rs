//! The two loops that serve all executors: closed, in which a user starts its next iteration when
//! the last has ended, and open, in which a pacer starts iterations by the clock.
//!
//! In: a flow of the plan. Out: tasks on the thread's reactor that end by themselves. What belongs
//! to this thread is its segment's part of it. The times come from [`crate::schedule`], the
//! waiting from the reactor.

mod closed;
mod open;

use super::local::Local;
use super::once;
use crate::plan::Part;
use crate::scenario::Executor;
use crate::schedule::{Ramp, share, vus_max};
use closed::Quota;
use std::rc::Rc;

/// Starts the tasks of a flow on this thread.
pub(crate) fn start(local: &Rc<Local>, flow: usize) {
    let plan = &local.plan.flows[flow];
    if plan.part != local.pass.part {
        return;
    }
    if plan.part != Part::Load {
        if local.place == 0 {
            local.reactor.spawn(once::run(Rc::clone(local), flow));
        }
        return;
    }
    let counted = match &local.pass.iterations {
        Some(counts) => match counts.get(&plan.name) {
            Some(count) if *count > 0 => Some(*count),
            _ => return,
        },
        None => None,
    };
    if plan.executor.is_open() {
        return open::start(local, flow, counted);
    }
    let vus = vus_max(&plan.executor);
    let users: Vec<u32> = (0..vus).filter(|vu| is_mine(local, *vu)).collect();
    local.plan_vus(users.len() as u64);
    if let Some(total) = counted {
        for vu in users {
            let quota = Quota::Own(share(total, vus, vu));
            local.reactor.spawn(closed::counted(Rc::clone(local), (flow, vu), quota));
        }
        return;
    }
    match plan.executor {
        Executor::SharedIterations { iterations, vus, .. } => {
            let total = local.pass.segment.share(iterations);
            // A part of the iterations without a user of its own still has to be done.
            let groups = vus.div_ceil(local.plan.protocol.in_flight);
            let alone = (u64::from(groups) <= local.pass.segment.index() && local.place == 0)
                .then_some(local.pass.segment.index() as u32);
            for vu in users.into_iter().chain(alone) {
                let quota = Quota::Shared { total, vus: u64::from(vus) };
                local.reactor.spawn(closed::counted(Rc::clone(local), (flow, vu), quota));
            }
        }
        Executor::PerVuIterations { iterations, .. } => {
            for vu in users {
                let quota = Quota::Own(iterations);
                local.reactor.spawn(closed::counted(Rc::clone(local), (flow, vu), quota));
            }
        }
        _ => add_timed(local, flow, vus),
    }
}

/// Whether a user belongs to this thread. Those that share a connection are on the same one.
fn is_mine(local: &Local, vu: u32) -> bool {
    local.segment.holds(u64::from(vu / local.plan.protocol.in_flight))
}

/// Starts the users that a faster pace adds.
pub(crate) fn adjust(local: &Rc<Local>) {
    if local.pass.iterations.is_some() || local.pass.part != Part::Load {
        return;
    }
    for (flow, plan) in local.plan.flows.iter().enumerate() {
        if let Some(ramp) = Ramp::of(&plan.executor) {
            add_timed(local, flow, ramp.scaled(local.pulse.pace()).most());
        }
    }
}

/// Starts the users below `vus` that have not been started.
fn add_timed(local: &Rc<Local>, flow: usize, vus: u32) {
    let begun = local.begun.borrow()[flow];
    let planned = vus_max(&local.plan.flows[flow].executor);
    for vu in (begun..vus).filter(|vu| is_mine(local, *vu)) {
        local.plan_vus(u64::from(vu >= planned));
        local.reactor.spawn(closed::timed(Rc::clone(local), flow, vu));
    }
    local.begun.borrow_mut()[flow] = begun.max(vus);
}
