//! A flow: its executor with k6's names and parameters, and its steps. Pure.
//!
//! In: a table `[flow.NAME]`. Out: a [`Flow`], with all faults noted in the reader. What a step
//! may be is left to `step.rs`.

use super::document::word;
use super::reader::{Fields, Node};
use super::step::Around;
use super::{Arrivals, Executor, Flow, Provided, Stage, VuPool, step, verify};
use crate::fault::did_you_mean;
use std::time::Duration;

/// k6's graceful stop.
const GRACEFUL_STOP_DEFAULT: Duration = Duration::from_secs(30);

/// k6's graceful ramp-down.
const GRACEFUL_RAMP_DOWN_DEFAULT: Duration = Duration::from_secs(30);

/// k6's time limit of executors that count iterations.
const MAX_DURATION_DEFAULT: Duration = Duration::from_secs(600);

/// Arrivals that wait for a free user unless the flow says otherwise: enough for a stall of a
/// second at a high rate, and a bound all the same.
const QUEUE_DEFAULT: u32 = 10_000;

/// Users at most: past it a process has no open files left (see `ulimit -n`).
const VUS_MAX: u64 = 1_000_000;

/// Starts per second at most: far above what one machine sends. Each start is walked through, the
/// dropped ones too, so that without a bound a run would not come to its end.
pub(crate) const RATE_MAX: f64 = 1e7;

const EXECUTORS: [&str; 6] = [
    "constant-vus",
    "ramping-vus",
    "shared-iterations",
    "per-vu-iterations",
    "constant-arrival-rate",
    "ramping-arrival-rate",
];

/// Reads a flow; none when it has no executor or no steps.
pub(crate) fn read(node: &Node<'_, '_>, provided: &Provided<'_, '_>) -> Option<Flow> {
    let fields = node.fields()?;
    let executor = executor(&fields);
    let duration = |key| fields.opt(key).and_then(|node: Node<'_, '_>| node.duration());
    let start_time = duration("start_time").unwrap_or_default();
    let graceful_stop = duration("graceful_stop").unwrap_or(GRACEFUL_STOP_DEFAULT);
    let per_iteration = fields.opt("per_iteration").and_then(|node| node.flag()).unwrap_or(false);
    let tags = step::tags(&fields);
    let inherited = step::inherited(&fields);
    let env = fields.opt("env").map(|node| node.plain_table()).unwrap_or_default();
    let steps = match fields.need("steps", "steps = [{ get = \"/\" }]") {
        Some(node) => {
            let steps = step::read_list(&node, &Around::new(per_iteration, &provided.lists));
            if node.value.as_array().is_some_and(|array| array.is_empty()) {
                node.fault("there is no step (write `steps = [{ get = \"/\" }]`)");
            }
            verify::verify((node.reader, &node.path), &steps, provided);
            Some(steps)
        }
        None => None,
    };
    let line = node.line();
    fields.finish();
    Some(Flow {
        executor: executor?,
        start_time,
        graceful_stop,
        tags,
        env: env.into_iter().collect(),
        per_iteration,
        inherited,
        steps: steps?,
        line,
    })
}

fn executor(fields: &Fields<'_, '_>) -> Option<Executor> {
    let node = fields.need("executor", "executor = \"constant-vus\"")?;
    // Faults of the parameters are noted even when one of them already makes the executor void.
    match node.text()? {
        "constant-vus" => {
            let (vus, duration) = (vus(fields), duration(fields));
            Some(Executor::ConstantVus { vus: vus?, duration: duration? })
        }
        "ramping-vus" => {
            let start_vus = fields.opt("start_vus").and_then(|node| node.count(0)).unwrap_or(1);
            let grace = fields.opt("graceful_ramp_down").and_then(|node| node.duration());
            let graceful_ramp_down = grace.unwrap_or(GRACEFUL_RAMP_DOWN_DEFAULT);
            Some(Executor::RampingVus { start_vus, stages: stages(fields)?, graceful_ramp_down })
        }
        "shared-iterations" => {
            let (vus, iterations, max_duration) = counted(fields);
            Some(Executor::SharedIterations { vus: vus?, iterations: iterations?, max_duration })
        }
        "per-vu-iterations" => {
            let (vus, iterations, max_duration) = counted(fields);
            Some(Executor::PerVuIterations { vus: vus?, iterations: iterations?, max_duration })
        }
        "constant-arrival-rate" => {
            let rate = fields.need("rate", "rate = 100").and_then(|node| node.number());
            if rate == Some(0.0) {
                fields.fault("`rate` is 0, so nothing would start (raise it)");
            }
            let (time_unit, duration, pool) = (time_unit(fields), duration(fields), pool(fields));
            let arrivals = arrivals(fields);
            bounded(fields, rate, time_unit);
            Some(Executor::ConstantArrivalRate {
                rate: rate?,
                time_unit,
                duration: duration?,
                pool: pool?,
                arrivals,
            })
        }
        "ramping-arrival-rate" => {
            let start_rate = fields.opt("start_rate").and_then(|node| node.number()).unwrap_or(0.0);
            let (time_unit, stages, pool) = (time_unit(fields), stages(fields), pool(fields));
            let arrivals = arrivals(fields);
            let fastest = stages.iter().flatten().map(|stage| stage.target);
            bounded(fields, fastest.chain([start_rate]).reduce(f64::max), time_unit);
            Some(Executor::RampingArrivalRate {
                start_rate,
                time_unit,
                stages: stages?,
                pool: pool?,
                arrivals,
            })
        }
        unknown => {
            let hint = did_you_mean(unknown, EXECUTORS.into_iter());
            let hint = if hint.is_empty() {
                format!(" (known: {})", EXECUTORS.map(|name| format!("`{name}`")).join(", "))
            } else {
                hint
            };
            node.fault(format!("unknown executor `{unknown}`{hint}"));
            // Its parameters are not faults of their own.
            for key in PARAMETERS {
                fields.opt(key);
            }
            None
        }
    }
}

/// Notes a rate whose schedule would take longer to walk through than the run.
fn bounded(fields: &Fields<'_, '_>, rate: Option<f64>, time_unit: Duration) {
    if rate.is_some_and(|rate| rate / time_unit.as_secs_f64() > RATE_MAX) {
        fields.fault(format!("more than {RATE_MAX} starts a second cannot be kept (lower it)"));
    }
}

const PARAMETERS: [&str; 14] = [
    "vus",
    "duration",
    "start_vus",
    "stages",
    "iterations",
    "max_duration",
    "rate",
    "start_rate",
    "time_unit",
    "pre_allocated_vus",
    "max_vus",
    "queue",
    "arrivals",
    "graceful_ramp_down",
];

fn arrivals(fields: &Fields<'_, '_>) -> Arrivals {
    let words = [("even", Arrivals::Even), ("poisson", Arrivals::Poisson)];
    fields.opt("arrivals").and_then(|node| word(&node, &words)).unwrap_or_default()
}

fn vus(fields: &Fields<'_, '_>) -> Option<u32> {
    fields.need("vus", "vus = 10")?.whole(1, VUS_MAX).map(|vus| vus as u32)
}

fn duration(fields: &Fields<'_, '_>) -> Option<Duration> {
    let node = fields.need("duration", "duration = \"30s\"")?;
    let duration = node.duration()?;
    if duration.is_zero() {
        node.fault("`duration` is 0 (write `duration = \"30s\"`)");
        return None;
    }
    Some(duration)
}

fn counted(fields: &Fields<'_, '_>) -> (Option<u32>, Option<u64>, Duration) {
    let vus = vus(fields);
    let iterations =
        fields.need("iterations", "iterations = 100").and_then(|node| node.whole(1, u64::MAX));
    let max_duration = fields.opt("max_duration").and_then(|node| node.duration());
    (vus, iterations, max_duration.unwrap_or(MAX_DURATION_DEFAULT))
}

fn time_unit(fields: &Fields<'_, '_>) -> Duration {
    let Some(node) = fields.opt("time_unit") else {
        return Duration::from_secs(1);
    };
    match node.duration() {
        Some(unit) if !unit.is_zero() => unit,
        Some(_) => {
            node.fault("`time_unit` is 0 (write `time_unit = \"1s\"`)");
            Duration::from_secs(1)
        }
        None => Duration::from_secs(1),
    }
}

fn pool(fields: &Fields<'_, '_>) -> Option<VuPool> {
    let pre_allocated =
        fields.need("pre_allocated_vus", "pre_allocated_vus = 20").and_then(|node| node.count(1));
    let max_node = fields.opt("max_vus");
    let max = max_node.as_ref().and_then(|node| node.count(1));
    let queue = fields.opt("queue").and_then(|node| node.count(0)).unwrap_or(QUEUE_DEFAULT);
    let pre_allocated = pre_allocated?;
    let max = max.unwrap_or(pre_allocated);
    if let Some(node) = max_node
        && max < pre_allocated
    {
        node.fault(format!(
            "max_vus ({max}) is below pre_allocated_vus ({pre_allocated}) (raise it, or leave it \
             out)"
        ));
    }
    Some(VuPool { pre_allocated, max, queue })
}

fn stages(fields: &Fields<'_, '_>) -> Option<Vec<Stage>> {
    let node = fields.need("stages", "stages = [{ duration = \"30s\", target = 10 }]")?;
    let mut stages = Vec::new();
    for item in node.items()? {
        let Some(stage) = item.fields() else { continue };
        let duration =
            stage.need("duration", "duration = \"30s\"").and_then(|node| node.duration());
        let target = stage.need("target", "target = 10").and_then(|node| node.number());
        stage.finish();
        if let (Some(duration), Some(target)) = (duration, target) {
            stages.push(Stage { duration, target });
        }
    }
    if stages.is_empty() {
        node.fault("there is no stage (write `stages = [{ duration = \"30s\", target = 10 }]`)");
        return None;
    }
    Some(stages)
}
