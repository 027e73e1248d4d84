//! The closed loop: a user starts its next iteration when the last has ended, as long as its turn
//! lasts or its count does.
//!
//! In: a flow, a user's number, and a count where there is one. Out: iterations. When a turn
//! begins and ends is a closed form of the plan, see [`Ramp`].

use crate::engine::local::{Local, Rest};
use crate::engine::vu::Vu;
use crate::scenario::Executor;
use crate::schedule::Ramp;
use crate::wire::watch::NEVER;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Context;

/// How many iterations a user may do.
#[derive(Clone, Copy)]
pub(super) enum Quota {
    /// So many of its own.
    Own(u64),
    /// As long as the common count of this segment lasts. Iterations are counted under users by
    /// their number, so that what is sent does not depend on who was free first.
    Shared { total: u64, vus: u64 },
}

/// When a user starts iterations, nanoseconds since the engine began.
struct Place {
    from: u64,
    to: u64,
    /// When an iteration of it is cut.
    limit: u64,
}

/// A user whose executor follows the clock.
pub(super) async fn timed(local: Rc<Local>, flow: usize, vu: u32) {
    let watch = local.watch(flow);
    let mut user: Option<Vu> = None;
    let mut iteration = 0;
    while !local.shared.is_over() && !watch.is_cut() {
        let seen = local.pulse.seen();
        if local.pulse.is_paused() {
            // Who is there stays, with the connections it has.
            let service = |context: &mut Context<'_>| {
                if let Some(user) = &mut user {
                    user.service(context);
                }
            };
            local.rest(None, &watch, service).await;
            continue;
        }
        let Some(place) = place_of(&local, flow, vu) else { break };
        if place.from > local.now() {
            if let Some(mut user) = user.take() {
                user.leave().await;
            }
            local.rest(Some(place.from), &watch, |_| {}).await;
            continue;
        }
        let user = user.get_or_insert_with(|| Vu::new(&local, flow));
        user.has_waited();
        user.watch.set_limit(place.limit);
        while user.clock() < place.to
            && !local.shared.is_over()
            && !user.watch.is_cut()
            && !user.is_exhausted()
            && local.pulse.seen() == seen
        {
            user.iterate(u64::from(vu), iteration, None).await;
            iteration += 1;
            local.reactor.give_way().await;
            user.has_waited();
        }
        user.watch.set_limit(NEVER);
        if user.is_exhausted() {
            break;
        }
        if user.watch.is_cut() && !watch.is_cut() {
            // Only this turn is over.
            user.watch.mend();
        }
    }
    if let Some(mut user) = user {
        user.leave().await;
    }
}

/// Where a user is in its turns, or is next; none when there is no further one.
fn place_of(local: &Local, flow: usize, vu: u32) -> Option<Place> {
    let plan = &local.plan.flows[flow];
    let grace = match plan.executor {
        Executor::RampingVus { graceful_ramp_down, .. } => Some(graceful_ramp_down),
        _ => None,
    };
    let begin = local.flow_start(flow);
    let now = local.pulse.plan_time(local.now()).saturating_sub(begin);
    let turns = Ramp::of(&plan.executor)?.scaled(local.pulse.pace()).turns(vu);
    let current = turns.iter().position(|turn| turn.to.as_nanos() as u64 > now)?;
    let turn = turns[current];
    let real = |since: std::time::Duration| local.pulse.real_time(begin + since.as_nanos() as u64);
    // A user that is called back in time keeps the iteration it has.
    let limit = grace.map(|grace| {
        let mut end = turn.to + grace;
        for later in &turns[current + 1..] {
            if later.from > end {
                break;
            }
            end = later.to + grace;
        }
        end
    });
    Some(Place {
        from: real(turn.from)?,
        to: real(turn.to)?,
        limit: limit.map_or(Some(NEVER), real)?,
    })
}

/// A user whose executor counts iterations.
pub(super) async fn counted(local: Rc<Local>, (flow, vu): (usize, u32), quota: Quota) {
    let mut user = Vu::new(&local, flow);
    let begin = local.flow_start(flow);
    let limit = local.plan.flows[flow].executor.time_limit().as_nanos() as u64;
    let limit = if local.pass.iterations.is_some() { NEVER } else { begin.saturating_add(limit) };
    let mut iteration = 0;
    while !local.shared.is_over() && !user.watch.is_cut() && !user.is_exhausted() {
        let now = user.clock();
        let due = local.pulse.real_time(begin);
        if due.is_none_or(|due| due > now) {
            let watch = Rc::clone(&user.watch);
            watch.clear();
            if local.rest(due, &watch, |context| user.service(context)).await == Rest::Over {
                break;
            }
            user.has_waited();
            continue;
        }
        if local.pulse.plan_time(now) >= limit {
            give_up(&local, flow, (quota, iteration));
            break;
        }
        let (as_vu, number) = match quota {
            Quota::Own(count) if iteration >= count => break,
            Quota::Own(_) => (u64::from(vu), iteration),
            Quota::Shared { total, vus } => {
                let taken = local.shared.taken[flow].fetch_add(1, Ordering::Relaxed);
                if taken >= total {
                    break;
                }
                let number = local.pass.segment.nth(taken);
                (number % vus, number)
            }
        };
        user.iterate(as_vu, number, None).await;
        iteration += 1;
        local.reactor.give_way().await;
        user.has_waited();
    }
    user.leave().await;
}

/// Counts the iterations that the time did not suffice for as dropped, as k6 does.
fn give_up(local: &Local, flow: usize, (quota, done): (Quota, u64)) {
    let left = match quota {
        Quota::Own(count) => count - done,
        Quota::Shared { total, .. } => {
            // Whoever comes first says it for all.
            let taken = local.shared.taken[flow].fetch_max(total, Ordering::Relaxed);
            total.saturating_sub(taken)
        }
    };
    local.note(|recorder| recorder.counters.dropped += left);
}
