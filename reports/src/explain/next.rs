//! What to do next about a site, as something to type: a command, or a setting of the scenario.
//! In: a case. Out: steps, the most useful first.
//! What they will show is left to the next run.

use super::Case;
use crate::figures;
use crate::finding::is_measured;
use crate::shell::quoted;
use ebbtide_record::{RoundKind, Verdict};
use serde::Serialize;

/// Rounds that are plenty: the default of `memory.max_rounds`.
const ROUNDS_PLENTY: u32 = 32;
/// Less more work than that many times what was done tells nothing new.
const MORE_WORK_MIN: f64 = 2.0;
/// More work than that many times what was done is not asked for in one step.
const MORE_WORK_MAX: f64 = 64.0;

/// A step that would tell more.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Onward {
    /// What it is for, without a final dot.
    pub purpose: String,
    /// What to type: a command, or lines of the scenario.
    pub command: String,
}

fn onward(purpose: impl Into<String>, command: impl Into<String>) -> Onward {
    Onward { purpose: purpose.into(), command: command.into() }
}

/// Steps for a site, by its word.
pub(super) fn of(case: &Case<'_>) -> Vec<Onward> {
    let mut steps = Vec::new();
    match case.site.verdict {
        Verdict::Leaking => {
            steps.extend(again(case, "after the cure the same run says steady"));
        }
        Verdict::Growing => grow(case, &mut steps),
        Verdict::Inconclusive => steps.extend(more(case)),
        Verdict::Warming => {
            let rounds = warmup_rounds(case) + measured(case) / 2;
            steps.push(onward(
                "it grew at first only; let it fill before the rounds that count",
                format!("[memory]\nwarmup_rounds = {}", rounds.max(1)),
            ));
        }
        Verdict::Steady | Verdict::NotWatched => {}
    }
    steps.extend(between(case));
    steps
}

/// Growth that may be a leak or not: what would tell it.
fn grow(case: &Case<'_>, steps: &mut Vec<Onward>) {
    let site = case.site;
    let known = driven(case);
    if !known {
        steps.push(onward(
            "nobody counted the work: drive it by a scenario with `[memory]` and a flow per route",
            "ebb run SCENARIO.toml",
        ));
    }
    let by_key = site.growth_on_replay.as_ref().map(|replay| {
        replay.high < site.evidence.on_new.as_ref().unwrap_or(&site.growth_per_op).low
    });
    match by_key {
        None if known => {
            steps.push(onward("tell a cache from a leak", "[memory]\nreplay = true"));
        }
        Some(true) => by_bound(case, steps),
        _ => steps.extend(more(case)),
    }
}

/// Something kept by key: its bound is declared, and checked.
fn by_bound(case: &Case<'_>, steps: &mut Vec<Onward>) {
    let name = case.site.function.rsplit("::").next().unwrap_or_default();
    let name = if name.is_empty() { "NAME" } else { name };
    let twice = (case.site.live_bytes as f64 * 2.0 / 1e6).ceil().max(1.0);
    if let Some(folder) = case.folder {
        steps.push(onward(
            "if it has a bound, say which: this run is judged by it again",
            format!(
                "ebb leaks {} --bounded {}",
                quoted(folder),
                quoted(&format!("{name}={twice}MB"))
            ),
        ));
    }
    steps.push(onward(
        "to have each run check the bound",
        format!("[memory.bounded]\n\"{name}\" = \"{twice} MB\""),
    ));
    let done = per_round(case);
    if let Some(seen) = case.site.evidence.inputs_seen.filter(|_| done > 0.0) {
        steps.push(onward(
            format!(
                "no bound was seen up to {} operations with new input: bring more than it should \
                 hold",
                figures::count(seen)
            ),
            format!("[memory]\noperations_per_round = {}", rounded(done * 4.0)),
        ));
    }
}

/// More work, as much as the limit asks for.
fn more(case: &Case<'_>) -> Vec<Onward> {
    let (done, limit) = (per_round(case), case.limit());
    let seen = case.memory.detectable.get(case.operation()).copied();
    let seen = seen.or(case.memory.detectable_bytes_per_op).unwrap_or(0.0);
    let growth = &case.site.growth_per_op;
    // Intervals narrow as the work grows, until what is around them is within the limit.
    let narrow = seen.max((growth.high - growth.low) / 2.0);
    let mut steps = Vec::new();
    if done > 0.0 && limit > 0.0 {
        let times = (narrow / limit).clamp(MORE_WORK_MIN, MORE_WORK_MAX);
        steps.push(onward(
            format!(
                "more work in each round: this one told growth to {} per {}, the limit is {}",
                figures::bytes(narrow),
                case.operation(),
                figures::bytes(limit)
            ),
            format!("[memory]\noperations_per_round = {}", rounded(done * times)),
        ));
    }
    let most = case.started.map_or(0, |started| started.max_rounds).max(measured(case));
    if most > 0 && most < ROUNDS_PLENTY {
        let rounds = (most * 2).min(ROUNDS_PLENTY);
        steps.push(onward(
            "or rounds until it is decided",
            format!("[memory]\nmax_rounds = {rounds}"),
        ));
    }
    steps.extend(again(case, "then the same run again"));
    steps
}

/// The command that made the run.
fn again(case: &Case<'_>, purpose: &str) -> Option<Onward> {
    let command = &case.started?.command;
    let runs = command.get(1).is_some_and(|word| ["run", "demo", "load"].contains(&word.as_str()));
    runs.then(|| {
        let words: Vec<String> = without_folder(command).map(quoted).collect();
        onward(purpose, words.join(" "))
    })
}

/// The words of a command without the folder of its run, which is taken.
fn without_folder(command: &[String]) -> impl Iterator<Item = &str> {
    let mut skip = false;
    command.iter().map(String::as_str).filter(move |word| {
        let folder = std::mem::take(&mut skip);
        skip = ["-o", "--out"].contains(word);
        !folder && !skip && !word.starts_with("--out=")
    })
}

/// The two snapshots that lie furthest apart, to be looked at by stack, module or type.
fn between(case: &Case<'_>) -> Option<Onward> {
    let folder = case.folder?;
    let rounds = &case.memory.rounds;
    let first = rounds.iter().rposition(|round| round.phase == RoundKind::Warmup).unwrap_or(0);
    let (first, last) = (rounds.get(first)?, rounds.last()?);
    let grows = !matches!(case.site.verdict, Verdict::Steady | Verdict::NotWatched);
    let files = [&first.snapshot, &last.snapshot];
    (grows && first.index < last.index && files.iter().all(|file| !file.is_empty())).then(|| {
        let paths = files.map(|file| quoted(&format!("{}/{file}", folder.trim_end_matches('/'))));
        onward(
            "what else grew between the first and the last",
            format!("ebb diff {}", paths.join(" ")),
        )
    })
}

/// Operations were driven by plan.
fn driven(case: &Case<'_>) -> bool {
    case.started.is_some_and(|started| started.rounds > 0)
}

fn measured(case: &Case<'_>) -> u32 {
    case.memory.rounds.iter().filter(|round| is_measured(round)).count() as u32
}

fn warmup_rounds(case: &Case<'_>) -> u32 {
    let rounds = case.memory.rounds.iter().filter(|round| round.phase == RoundKind::Warmup);
    rounds.count() as u32
}

/// Operations of the last round of work, those left out that only follow from others.
fn per_round(case: &Case<'_>) -> f64 {
    // A run that found growth rests at its end, without any operation.
    let last = case.memory.rounds.iter().rfind(|round| round.phase != RoundKind::Rest);
    last.map_or(0, |round| {
        let counted = round.operations.iter().filter(|(name, _)| !name.starts_with("close "));
        counted.map(|(_, count)| count).sum::<u64>()
    }) as f64
}

/// A round number, not below `value`.
fn rounded(value: f64) -> u64 {
    let step = 10_f64.powf(value.max(10.0).log10().floor() - 1.0);
    ((value / step).ceil() * step) as u64
}
