//! What a run would do and could see, in words: flows, rounds and their operations, snapshots, the
//! growth that each look would show, how long it takes. In: a scenario, its plan, the forecast.
//! Out: text, or one JSON document. Foretelling is left to `rounds`; nothing is started or sent.

use crate::outline;
use ebbtide_loadgen::Plan;
use ebbtide_loadgen::scenario::{HeapSource, MemoryWatch, Scenario};
use ebbtide_record::RoundKind;
use ebbtide_reports::figures;
use ebbtide_reports::text::columns;
use ebbtide_rounds::forecast::{self, Forecast, LookForecast, OperationForecast};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Rates that a load of unknown length is reckoned at, operations per second.
const RATES: [u64; 2] = [1_000, 10_000];
/// Rounds listed: two blocks of new and replayed input after the usual warm-up.
const ROUNDS_LISTED: usize = 10;

/// What is said of power where no heap is sampled.
const RESIDENT: &str = "\n  what resident memory can show is known from the run alone: its error \
     is that of its own steps\n";

/// A run that is only thought of.
pub(crate) struct Outlook<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    forecast: Option<Forecast>,
    /// Growth that is asked for, bytes per operation.
    detect: Option<f64>,
}

impl<'a> Outlook<'a> {
    /// Foretells the run of a scenario.
    pub(crate) fn of(scenario: &'a Scenario, plan: &'a Plan, detect: Option<f64>) -> Self {
        Self { scenario, plan, forecast: Forecast::of(scenario, plan), detect }
    }

    /// As one document.
    pub(crate) fn json(&self) -> Value {
        let needed = |operation: &OperationForecast| -> (String, Value) {
            let bytes = self.detect.unwrap_or(operation.limit_bytes);
            let times = operation.limit_bytes / bytes;
            (operation.name.clone(), json!(operation.needed_for_limit * times))
        };
        let sampled = self.scenario.target.heap != HeapSource::Rss;
        let sampling = self.forecast.iter().filter(|_| sampled);
        let operations = sampling.flat_map(|forecast| &forecast.operations);
        let mut memory = json!(self.forecast);
        if !sampled {
            without_power(&mut memory);
        }
        json!({
            "schema": "ebbtide/outlook/1",
            "name": self.scenario.name,
            "flows": self.plan.flows().collect::<Vec<_>>(),
            "load_s": self.plan.duration().filter(|_| self.forecast.is_none())
                .map(|length| length.as_secs_f64()),
            "heap": self.scenario.memory.is_some().then(|| self.heap()),
            "memory": memory,
            "detect_bytes": self.detect,
            "operations_needed": operations.map(needed).collect::<serde_json::Map<_, _>>(),
        })
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        let mut out = outline::of(&self.scenario.file, self.scenario, self.plan);
        out.push_str("  nothing was started, and nothing sent\n");
        let (Some(forecast), Some(watch)) = (&self.forecast, &self.scenario.memory) else {
            out.push_str("  memory is not watched: the scenario has no `[memory]`\n");
            return out;
        };
        let _ = writeln!(out, "\n  target  {}", self.target());
        let _ = writeln!(out, "  heap    {}", self.heap());
        out.push_str(&snapshots(watch));
        out.push_str(&rounds(forecast));
        if self.scenario.target.heap == HeapSource::Rss {
            out.push_str(RESIDENT);
        } else {
            out.push_str(&self.power(forecast));
            out.push_str(&cures(forecast, watch));
        }
        out.push_str(&times(forecast));
        out
    }

    fn target(&self) -> String {
        let target = &self.scenario.target;
        let ready = target
            .ready
            .as_ref()
            .map_or_else(String::new, |path| format!(", ready when {path} answers with success"));
        match (target.command.as_slice(), &target.base) {
            ([], Some(_)) => format!("{} (runs already)", self.plan.base),
            ([], None) => "none".to_owned(),
            (command, _) => format!("{} (started by the run{ready})", command.join(" ")),
        }
    }

    fn heap(&self) -> String {
        let target = &self.scenario.target;
        let bytes = self.scenario.memory.as_ref().map_or(0, |watch| watch.sample_interval_bytes);
        let sampled = format!("one sample in {} allocated", figures::bytes(bytes as f64));
        let node = self.forecast.as_ref().filter(|_| forecast::is_node(self.scenario));
        let by_node = node.map_or_else(String::new, |forecast| {
            let bytes = figures::bytes(forecast.sample_interval_bytes as f64);
            format!(", one sample in {bytes} allocated (16 KiB, or `sample_interval` where finer)")
        });
        let own = "it samples as it was told to by itself, not as `sample_interval` has it";
        if let Some(url) = &target.pprof {
            return format!("profiles from {url}; {own}");
        }
        if let Some(url) = &target.inspector {
            return format!("the inspector at {url}{by_node}");
        }
        match target.heap {
            HeapSource::Rss => "resident memory alone".to_owned(),
            HeapSource::Probe => format!("the probe inside, {sampled}"),
            HeapSource::Signal => format!("snapshots on a signal; {own}"),
            HeapSource::Auto | HeapSource::Node if node.is_some() => {
                format!("the inspector of Node{by_node}")
            }
            HeapSource::Node => "the inspector of Node".to_owned(),
            HeapSource::Pprof => format!("profiles over HTTP; {own}"),
            HeapSource::Auto => format!("what the target offers; with the probe inside, {sampled}"),
        }
    }

    /// What each look would show, operation by operation.
    fn power(&self, forecast: &Forecast) -> String {
        let mut rows = vec![vec!["operation".to_owned(), "limit".to_owned()]];
        rows[0].extend(forecast.looks.iter().map(|look| format!("after {} rounds", look.rounds)));
        let asked = |operation: &OperationForecast| self.detect.unwrap_or(operation.limit_bytes);
        rows[0].push(match self.detect {
            Some(bytes) => format!("operations for {}", figures::bytes(bytes)),
            None => "operations for the limit".to_owned(),
        });
        for operation in &forecast.operations {
            let mut row = vec![operation.name.clone(), figures::bytes(operation.limit_bytes)];
            let seen = |look: &LookForecast| look.detectable.get(&operation.name).copied();
            row.extend(
                forecast
                    .looks
                    .iter()
                    .map(|look| seen(look).map_or_else(|| "-".to_owned(), figures::bytes)),
            );
            let needed = operation.needed_for_limit * operation.limit_bytes / asked(operation);
            row.push(figures::count(needed.ceil() as u64));
            rows.push(row);
        }
        format!(
            "\n  growth per operation that is seen with 95 % chance, at a site of its own\n{}",
            columns(&rows, 4)
        )
    }
}

/// Takes out what only sampling of a heap promises.
fn without_power(memory: &mut Value) {
    let parts = [("operations", &["needed_for_limit"][..]), ("looks", &["detectable", "suffices"])];
    for (list, keys) in parts {
        let each = memory.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for one in each.filter_map(Value::as_object_mut) {
            one.retain(|key, _| !keys.contains(&key.as_str()));
        }
    }
    if let Some(memory) = memory.as_object_mut() {
        memory.remove("sample_interval_bytes");
    }
}

fn snapshots(watch: &MemoryWatch) -> String {
    // One more is taken before any load.
    let (least, most) =
        (1 + watch.warmup_rounds + watch.rounds, 1 + watch.warmup_rounds + watch.max_rounds);
    let input = if watch.replay {
        "of each four measured rounds two bring new input and two replay it"
    } else {
        "all input is new, so a cache that fills looks like a leak (`replay = false`)"
    };
    format!(
        "  rounds  {} warm-up, then {} measured, more while a site is undecided, up to {}\n\
         {:10}{input}\n{:10}{least} to {most} snapshots\n",
        watch.warmup_rounds, watch.rounds, watch.max_rounds, "", ""
    )
}

fn rounds(forecast: &Forecast) -> String {
    let Some(first) = forecast.rounds.first() else { return String::new() };
    let names: Vec<&String> = first.operations.keys().collect();
    let mut rows = vec![vec!["round".to_owned(), "input".to_owned()]];
    rows[0].extend(names.iter().map(|name| (*name).clone()));
    for round in forecast.rounds.iter().take(ROUNDS_LISTED) {
        let input = match round.kind {
            RoundKind::Replay => format!("that of {}", round.input_round),
            kind => kind.key().to_owned(),
        };
        let mut row = vec![round.index.to_string(), input];
        let count = |name: &&String| round.operations.get(*name).copied().unwrap_or(0);
        row.extend(names.iter().map(|name| figures::count(count(name))));
        rows.push(row);
    }
    let more = forecast.rounds.len().saturating_sub(ROUNDS_LISTED);
    let more = if more > 0 { format!("    and up to {more} more\n") } else { String::new() };
    format!("\n  operations\n{}{more}", columns(&rows, 4))
}

/// What would bring the limit within sight, where it is not.
fn cures(forecast: &Forecast, watch: &MemoryWatch) -> String {
    let (Some(first), Some(last)) = (forecast.looks.first(), forecast.looks.last()) else {
        return String::new();
    };
    let worst = |look: &LookForecast| {
        let of = |operation: &OperationForecast| {
            look.detectable.get(&operation.name).map(|seen| seen / operation.limit_bytes)
        };
        forecast.operations.iter().filter_map(of).fold(0.0, f64::max)
    };
    if first.suffices {
        return "  the limits can be ruled out at the first look\n".to_owned();
    }
    let times = worst(first);
    let operations = (watch.operations_per_round as f64 * times).ceil();
    let interval = (forecast.sample_interval_bytes as f64 / times).max(1.0).log2().floor().exp2();
    let reached = if last.suffices {
        format!("the limits can be ruled out after {} rounds", last.rounds)
    } else {
        format!("not all limits can be ruled out, even after {} rounds", last.rounds)
    };
    format!(
        "  {reached}; at the first look they could with\n    operations_per_round = \
         {operations:.0}, or sample_interval = \"{interval:.0}B\"\n"
    )
}

fn times(forecast: &Forecast) -> String {
    let mut out = String::from("\n  how long it takes\n");
    let seconds = |s: f64| figures::duration(s * 1e3);
    let ends = [forecast.looks.first(), forecast.looks.last()];
    let both = if forecast.looks.len() > 1 { &ends[..] } else { &ends[..1] };
    for look in both.iter().flatten() {
        let takes = &look.takes;
        let load = takes.load_s.map_or_else(
            || {
                let at = RATES.map(|rate| {
                    let lasts = seconds(look.operations as f64 / rate as f64);
                    format!("{lasts} at {} per second", figures::count(rate))
                });
                format!("load of {}", at.join(", "))
            },
            |load| format!("load of {}", seconds(load)),
        );
        let _ = writeln!(
            out,
            "    {} measured rounds: {} operations\n      {load}, settling for {} to {}",
            look.rounds,
            figures::count(look.operations),
            seconds(takes.settle_least_s),
            seconds(takes.settle_most_s)
        );
    }
    if forecast.rounds.iter().any(|round| round.load_s.is_none()) {
        out.push_str(
            "    users wait for replies: how long the load takes is not known before it is \
             driven\n",
        );
    }
    out
}
