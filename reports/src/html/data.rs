//! What the page's script draws from. In goes the state, out goes one JSON value: the series of
//! the run as columns, with short names and rounded figures, so that an hour at full resolution
//! stays small. A missing value is null, never 0. Making it safe inside a page is left to markup.

use super::timeline::measured;
use ebbtide_record::event::{Interval, Phase, SITES_IN_SNAPSHOT_MAX, SnapshotTaken};
use ebbtide_record::state::At;
use ebbtide_record::verdict::{RoundPoint, SiteVerdict};
use ebbtide_record::{Kind, RoundKind, State};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything the script needs.
pub(super) fn embedded(state: &State) -> Value {
    let mut names = Names::default();
    let snapshots: Vec<_> =
        state.snapshots.iter().map(|taken| snapshot(taken, &mut names)).collect();
    let rounds = crate::finding::rounds(state);
    json!({
        "end": seconds(state.now_ms),
        "load": load(&state.intervals),
        "memory": memory(state),
        "rounds": bands(state),
        "snapshots": snapshots,
        "sites_max": SITES_IN_SNAPSHOT_MAX,
        "names": names.list,
        "sites": state.memory.sites.iter().map(|s| site(s, &rounds)).collect::<Vec<_>>(),
    })
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// Four digits that count: more than a screen has pixels for.
fn rounded(value: f64) -> Value {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { json!(0) } else { Value::Null };
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        return json!(value.round());
    }
    let scale = 10_f64.powi(digits.min(9));
    json!((value * scale).round() / scale)
}

fn load(intervals: &[At<Interval>]) -> Value {
    let column = |pick: &dyn Fn(&Interval) -> Option<f64>| -> Vec<Value> {
        let value = |at: &At<Interval>| pick(&at.value).map_or(Value::Null, rounded);
        intervals.iter().map(value).collect()
    };
    let per_second =
        |interval: &Interval, count: u64| count as f64 * 1_000.0 / interval.duration_ms.max(1.0);
    json!({
        "t": intervals.iter().map(|at| seconds(at.t_ms)).collect::<Vec<_>>(),
        "s": column(&|i| Some(i.duration_ms / 1_000.0)),
        "offered": column(&|i| i.offered.map(|offered| per_second(i, offered))),
        "achieved": column(&|i| Some(per_second(i, i.iterations))),
        "p50": column(&|i| measured(i, i.latency.p50)),
        "p90": column(&|i| measured(i, i.latency.p90)),
        "p99": column(&|i| measured(i, i.latency.p99)),
        "max": column(&|i| measured(i, i.latency.max)),
        "corrected_p50": column(&|i| i.corrected.map(|corrected| corrected.p50)),
        "corrected_p99": column(&|i| i.corrected.map(|corrected| corrected.p99)),
        "failed": column(&|i| Some(per_second(i, i.errors.values().sum()))),
        "dropped": column(&|i| (i.dropped > 0).then(|| per_second(i, i.dropped))),
    })
}

fn memory(state: &State) -> Value {
    let points = &state.points;
    let mut kinds = serde_json::Map::new();
    for kind in Kind::ALL {
        if points.iter().any(|point| point.value.census.contains_key(&kind)) {
            let live = |at: &At<_>| census_live(at, kind);
            kinds.insert(kind.words().to_owned(), points.iter().map(live).collect());
        }
    }
    json!({
        "t": points.iter().map(|at| seconds(at.t_ms)).collect::<Vec<_>>(),
        "rss": points.iter().map(|at| at.value.rss_bytes).collect::<Vec<_>>(),
        "live": points.iter().map(|at| at.value.live_bytes).collect::<Vec<_>>(),
        "kinds": kinds,
    })
}

fn census_live(at: &At<ebbtide_record::event::MemoryPoint>, kind: Kind) -> Value {
    at.value.census.get(&kind).map_or(Value::Null, |count| json!(count.live))
}

/// The load of each round: from its first phase to its drain, or to the next thing known.
fn bands(state: &State) -> Vec<Value> {
    if state.started.as_ref().is_none_or(|started| started.rounds == 0) {
        return Vec::new();
    }
    let loads = state.phases.iter().enumerate().filter(|(_, at)| at.value.phase == Phase::Load);
    loads
        .map(|(place, at)| {
            let to = state.phases.get(place + 1).map_or(state.now_ms, |next| next.t_ms);
            json!({
                "from": seconds(at.t_ms),
                "to": seconds(to),
                "index": at.value.round,
                "kind": at.value.kind.key(),
            })
        })
        .collect()
}

/// Sites named in snapshots, each once.
#[derive(Default)]
struct Names {
    by_id: BTreeMap<String, usize>,
    list: Vec<Value>,
}

fn snapshot(at: &At<SnapshotTaken>, names: &mut Names) -> Value {
    let taken = &at.value;
    let mut sites = Vec::new();
    for site in &taken.sites {
        let next = names.list.len();
        let place = *names.by_id.entry(site.id.clone()).or_insert(next);
        if place == next {
            names.list.push(json!([site.function, site.file, site.line, site.kind.words()]));
        }
        sites.push(json!([place, site.live_bytes.round(), site.live_objects.map(f64::round)]));
    }
    json!({
        "t": seconds(at.t_ms),
        "index": taken.index,
        "round": taken.round,
        "kind": taken.kind.key(),
        "live": taken.live_bytes,
        "sites": sites,
    })
}

/// A site's series over the operations that it grows by, or over snapshots where these are
/// unknown.
fn site(site: &SiteVerdict, rounds: &[RoundPoint]) -> Value {
    let operation = site.growth_per_op.operation.as_str();
    // Operations that go together are named together and counted by the first of them.
    let counted = operation.split(" + ").next().unwrap_or_default();
    let done = |round: &RoundPoint| {
        round.operations.get(operation).or_else(|| round.operations.get(counted)).copied()
    };
    let matched = !rounds.is_empty() && site.series.len() == rounds.len();
    let counts: Option<Vec<u64>> = if matched { rounds.iter().map(done).collect() } else { None };
    let by_operation = counts.is_some();
    let x = match counts {
        Some(counts) => running_sums(&counts),
        None => (1..=site.series.len() as u64).collect(),
    };
    let kinds: Vec<&str> = if matched {
        rounds.iter().map(|round| round.phase.key()).collect()
    } else {
        vec![RoundKind::New.key(); site.series.len()]
    };
    let slope = &site.growth_per_op;
    let axis = match by_operation {
        true => format!("{operation}, since the start"),
        false => "snapshot".to_owned(),
    };
    json!({
        "x": x,
        "y": site.series.iter().map(|bytes| bytes.round()).collect::<Vec<_>>(),
        "kinds": kinds,
        "axis": axis,
        "slope": by_operation.then(|| json!({
            "value": slope.value, "low": slope.low, "high": slope.high,
        })),
    })
}

fn running_sums(counts: &[u64]) -> Vec<u64> {
    let mut sum = 0;
    let since = |count: &u64| {
        sum += count;
        sum
    };
    counts.iter().map(since).collect()
}
