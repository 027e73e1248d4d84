//! What a scenario would do, in a few lines: its flows with their counts and lengths, the
//! operations of an iteration, users at most. In: a scenario and its plan. Out: text. Doing it is
//! left to `ebb run`.

use ebbtide_loadgen::plan::FlowPlan;
use ebbtide_loadgen::scenario::Executor;
use ebbtide_loadgen::schedule::{Schedule, vus_max};
use ebbtide_loadgen::{Plan, Scenario};
use ebbtide_reports::figures;
use std::fmt::Write as _;
use std::time::Duration;

/// Operations named of a flow; the others are counted.
const OPERATIONS_NAMED: usize = 12;

/// The outline of a scenario, whose first line says that it is without fault.
pub(crate) fn of(file: &str, scenario: &Scenario, plan: &Plan) -> String {
    let flows: Vec<&str> = scenario.flows.keys().map(String::as_str).collect();
    let memory = scenario
        .memory
        .as_ref()
        .map_or_else(String::new, |watch| format!(", {} rounds of memory watch", watch.rounds));
    let (name, flows) = (&scenario.name, flows.join(", "));
    let mut out = format!("{file}: fine: `{name}` with {flows}{memory}\n");
    for flow in &plan.flows {
        let starts = if flow.start_time.is_zero() {
            String::new()
        } else {
            format!(", from {} on", length(flow.start_time))
        };
        let count = iterations(&flow.executor);
        let _ = writeln!(out, "  {}: {}{starts}", flow.name, words(&flow.executor));
        push_operations(&mut out, flow, count.filter(|_| scenario.memory.is_none()));
    }
    if let Some(watch) = &scenario.memory {
        let _ = writeln!(
            out,
            "  memory: {} warm-up and {} to {} measured rounds of {} operations each",
            watch.warmup_rounds,
            watch.rounds,
            watch.max_rounds,
            figures::count(watch.operations_per_round)
        );
    }
    let users: u64 = plan.flows.iter().map(|flow| u64::from(vus_max(&flow.executor))).sum();
    let users = format!("{} users at most", figures::count(users));
    let lasts = match plan.duration().filter(|_| scenario.memory.is_none()) {
        Some(whole) => format!("{} in all, {users}", length(whole)),
        None => users,
    };
    let _ = writeln!(out, "  {lasts}, {} thresholds", plan.thresholds.len());
    out
}

fn push_operations(out: &mut String, flow: &FlowPlan, iterations: Option<f64>) {
    for (name, each) in flow.operations.iter().take(OPERATIONS_NAMED) {
        let _ = match iterations {
            Some(iterations) => {
                writeln!(out, "    {} x {name}", figures::count((iterations * each).round() as u64))
            }
            None if *each == 0.0 => writeln!(out, "    {name}, once per user"),
            None if *each == 1.0 => writeln!(out, "    {name}, once per iteration"),
            None => writeln!(out, "    {name}, {} per iteration", figures::number(*each)),
        };
    }
    let more = flow.operations.len().saturating_sub(OPERATIONS_NAMED);
    if more > 0 {
        let _ = writeln!(out, "    and {more} more operations");
    }
}

/// Iterations that the plan itself says.
fn iterations(executor: &Executor) -> Option<f64> {
    match executor {
        Executor::SharedIterations { iterations, .. } => Some(*iterations as f64),
        Executor::PerVuIterations { vus, iterations, .. } => {
            Some(f64::from(*vus) * *iterations as f64)
        }
        executor => Schedule::of(executor).map(|schedule| schedule.count() as f64),
    }
}

fn words(executor: &Executor) -> String {
    let users = |least: u32, most: u32| match (least, most) {
        (1, 1) => "1 user".to_owned(),
        (least, most) if least == most => format!("{} users", figures::count(most.into())),
        (least, most) => format!("{least} to {most} users"),
    };
    let counted = figures::count(iterations(executor).unwrap_or_default().round() as u64);
    let whole = length(executor.length().unwrap_or_default());
    match executor {
        Executor::ConstantVus { vus, .. } => {
            format!("constant-vus, {} for {whole}", users(*vus, *vus))
        }
        Executor::RampingVus { .. } => {
            let most = vus_max(executor);
            format!("ramping-vus, up to {} for {whole}", users(most, most))
        }
        Executor::SharedIterations { vus, .. } => {
            format!("shared-iterations, {counted} iterations by {}", users(*vus, *vus))
        }
        Executor::PerVuIterations { vus, .. } => {
            format!("per-vu-iterations, {counted} iterations by {}", users(*vus, *vus))
        }
        Executor::ConstantArrivalRate { pool, .. } | Executor::RampingArrivalRate { pool, .. } => {
            let kind = match executor {
                Executor::ConstantArrivalRate { .. } => "constant-arrival-rate",
                _ => "ramping-arrival-rate",
            };
            let users = users(pool.pre_allocated, pool.max);
            format!("{kind}, {counted} iterations over {whole}, {users}")
        }
    }
}

fn length(length: Duration) -> String {
    figures::duration(length.as_secs_f64() * 1e3)
}
