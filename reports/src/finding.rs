//! What a run found, in words: one sentence for each thing that a person must know, the most
//! important first. In goes the state of a run, out come findings; colour and layout are left to
//! the renderers. The order is that of the exit codes, so that the first word and the exit code
//! never disagree.

use crate::figures;
use ebbtide_record::summary::{GENERATOR_SATURATED, SEGMENTS_MISSING};
use ebbtide_record::verdict::{RoundPoint, SiteVerdict};
use ebbtide_record::{MemoryVerdict, RoundKind, State, Verdict};
use std::collections::BTreeMap;

/// Exit code of a run whose measurement is invalid.
const EXIT_INVALID: i32 = 95;

/// Exit code of a run that was interrupted.
const EXIT_INTERRUPTED: i32 = 130;

/// Exit code of a run that could not be carried through.
const EXIT_FAILED: i32 = 1;

/// Sites named one by one in the findings; the others are in the table.
const SITES_NAMED: usize = 3;

/// Chance below which growth itself is no question any more.
const SURE: f64 = 1e-3;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tone {
    /// Something is wrong.
    Bad,
    /// Something could not be told.
    Doubt,
    /// All is well.
    Good,
    /// No claim either way.
    Plain,
}

impl Tone {
    /// A word for style sheets: `bad`, `doubt`, `good`, `plain`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Doubt => "doubt",
            Self::Good => "good",
            Self::Plain => "plain",
        }
    }

    /// How a verdict is to be taken.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Leaking | Verdict::Growing => Self::Bad,
            Verdict::Inconclusive | Verdict::Warming => Self::Doubt,
            Verdict::Steady => Self::Good,
            Verdict::NotWatched => Self::Plain,
        }
    }
}

/// One thing a person must know about a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How it is to be taken.
    pub tone: Tone,
    /// The word for it, in capitals: `LEAKING`.
    pub word: String,
    /// The sentence that says it, without a final dot.
    pub sentence: String,
    /// What else is to be said, a sentence each.
    pub notes: Vec<String>,
}

impl Finding {
    fn new(tone: Tone, word: &str, sentence: impl Into<String>) -> Self {
        Self { tone, word: word.to_owned(), sentence: sentence.into(), notes: Vec::new() }
    }
}

/// One threshold and how it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged<'a> {
    /// The metric, with its tags.
    pub metric: &'a str,
    /// The condition.
    pub expression: &'a str,
    /// It held.
    pub ok: bool,
    /// What was measured, where the expression's value can be read from the metric.
    pub seen: Option<String>,
}

/// All thresholds of a run, by metric.
#[must_use]
pub fn thresholds(state: &State) -> Vec<Judged<'_>> {
    let mut judged = Vec::new();
    for (name, metric) in &state.metrics {
        for (expression, result) in &metric.thresholds {
            let key = expression.split(['<', '>', '=', '!']).next().unwrap_or_default().trim();
            let seen = metric.value(key).map(|value| match metric.contains.as_str() {
                "time" => figures::millis(value),
                "data" => figures::bytes(value),
                _ if key == "rate" && value <= 1.0 => figures::percent(value),
                _ => figures::number(value),
            });
            judged.push(Judged { metric: name, expression, ok: result.ok, seen });
        }
    }
    judged
}

/// What a run found, the most important first; never empty.
#[must_use]
pub fn findings(state: &State) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(failure(state));
    findings.extend(invalid(state));
    let memory = memory(&state.memory);
    let (grown, calm): (Vec<_>, Vec<_>) =
        memory.into_iter().partition(|finding| finding.tone == Tone::Bad);
    findings.extend(grown);
    let (failed, held): (Vec<_>, Vec<_>) =
        threshold_finding(state).into_iter().partition(|finding| finding.tone == Tone::Bad);
    findings.extend(failed);
    findings.extend(unfinished(state));
    findings.extend(calm);
    findings.extend(held);
    if findings.is_empty() {
        findings.push(Finding::new(Tone::Plain, "DONE", load_sentence(state)));
    }
    findings
}

/// What was loaded, in one sentence.
#[must_use]
pub fn load_sentence(state: &State) -> String {
    let totals = &state.totals;
    if totals.requests == 0 {
        // Who watches a process without load of ours has no address to send it to.
        let watched = state.started.as_ref().is_some_and(|started| started.base.is_empty());
        let words = if watched { "watched without load" } else { "no exchange was completed" };
        return words.to_owned();
    }
    let share = totals.failed as f64 / totals.requests as f64;
    let failed = match totals.failed {
        0 => "none failed".to_owned(),
        failed => format!("{} failed ({})", figures::count(failed), figures::percent(share)),
    };
    format!(
        "{} exchanges in {}, {failed}",
        figures::count(totals.requests),
        figures::duration(totals.duration_ms)
    )
}

/// A site as it is named in a sentence: `hub::subscribe (server/src/hub.rs:120)`.
#[must_use]
pub fn place(function: &str, file: &str, line: u32) -> String {
    match (file, line) {
        ("", _) => function.to_owned(),
        (file, 0) => format!("{function} ({file})"),
        (file, line) => format!("{function} ({file}:{line})"),
    }
}

fn failure(state: &State) -> Option<Finding> {
    let ended = state.ended.as_ref()?;
    (ended.exit_code == EXIT_FAILED).then(|| {
        let reason = if ended.reason.is_empty() { "the run failed" } else { &ended.reason };
        Finding::new(Tone::Bad, "FAILED", reason)
    })
}

fn invalid(state: &State) -> Option<Finding> {
    let ended = state.ended.as_ref()?;
    let warned = |code: &str| state.warnings.iter().find(|warning| warning.code == code);
    ended.exit_codes.contains(&EXIT_INVALID).then(|| {
        let missing = warned(SEGMENTS_MISSING);
        let sentence = match missing {
            Some(_) => "parts of the load are missing, so this is not what was planned",
            None => "the generator was the bottleneck, so the latencies are not the target's own",
        };
        let mut finding = Finding::new(Tone::Bad, "INVALID", sentence);
        if let Some(warning) = missing.or_else(|| warned(GENERATOR_SATURATED)) {
            finding.notes.extend([warning.message.clone(), warning.advice.clone()]);
        }
        if state.memory.verdict != Verdict::NotWatched {
            finding.notes.push("what the heap shows stands all the same".to_owned());
        }
        finding
    })
}

fn unfinished(state: &State) -> Option<Finding> {
    let Some(ended) = &state.ended else {
        let mut finding = Finding::new(
            Tone::Doubt,
            "UNFINISHED",
            "the log has no end: the run was killed or still goes on, and this is what there is",
        );
        finding.notes.push(load_sentence(state));
        return Some(finding);
    };
    let interrupted = ended.exit_code == EXIT_INTERRUPTED;
    (ended.exit_code != EXIT_FAILED && (interrupted || ended.partial)).then(|| {
        let word = if interrupted { "INTERRUPTED" } else { "PARTIAL" };
        let reason = if ended.reason.is_empty() { "the run was cut short" } else { &ended.reason };
        Finding::new(Tone::Doubt, word, reason)
    })
}

fn threshold_finding(state: &State) -> Option<Finding> {
    let judged = thresholds(state);
    let failed: Vec<_> = judged.iter().filter(|threshold| !threshold.ok).collect();
    let all = judged.len();
    if all == 0 {
        return None;
    }
    if failed.is_empty() {
        let sentence = match all {
            1 => "the threshold held".to_owned(),
            2 => "both thresholds held".to_owned(),
            _ => format!("all {all} thresholds held"),
        };
        return Some(Finding::new(Tone::Good, "PASSED", sentence));
    }
    let mut finding = Finding::new(
        Tone::Bad,
        "THRESHOLD",
        format!("{} of {all} thresholds failed", failed.len()),
    );
    finding.notes = failed
        .iter()
        .map(|threshold| {
            let seen = threshold.seen.as_deref().unwrap_or("no value");
            format!("{}: {} does not hold, it is {seen}", threshold.metric, threshold.expression)
        })
        .collect();
    Some(finding)
}

fn memory(memory: &MemoryVerdict) -> Vec<Finding> {
    let tone = Tone::of(memory.verdict);
    let word = memory.verdict.key().to_uppercase().replace('_', " ");
    let mut finding = Finding::new(tone, &word, String::new());
    match memory.verdict {
        Verdict::NotWatched => return Vec::new(),
        Verdict::Leaking | Verdict::Growing => {
            let grown: Vec<_> =
                memory.sites.iter().filter(|site| site.verdict == memory.verdict).collect();
            finding.sentence = grown.first().map_or_else(
                || "the live heap grew, at no site that could be named".to_owned(),
                |site| site_sentence(site),
            );
            finding
                .notes
                .extend(grown.iter().skip(1).take(SITES_NAMED - 1).map(|site| site_sentence(site)));
            if grown.len() > SITES_NAMED {
                finding.notes.push(format!("and {} more sites", grown.len() - SITES_NAMED));
            }
        }
        Verdict::Warming => {
            "some sites grew at first, and less and less; none grows without a bound"
                .clone_into(&mut finding.sentence);
        }
        Verdict::Steady => {
            finding.sentence = match memory.rounds.iter().filter(|r| is_measured(r)).count() {
                0 | 1 => "nothing grew".to_owned(),
                rounds => format!("nothing grew over {rounds} measured rounds"),
            };
        }
        Verdict::Inconclusive => {
            finding.sentence = doubtful(memory);
        }
    }
    finding.notes.extend(detectable(memory));
    finding.notes.extend(memory.reasons.iter().cloned());
    vec![finding]
}

/// What could not be told: whether anything grows, or whether what surely grew goes on.
fn doubtful(memory: &MemoryVerdict) -> String {
    let sure = |site: &&SiteVerdict| {
        site.verdict == Verdict::Inconclusive && site.p_value < SURE && site.growth_per_op.low > 0.0
    };
    match memory.sites.iter().find(sure) {
        Some(site) => {
            format!("{}; whether that goes on could not be told", grown_sentence(site, "grew by"))
        }
        None => "whether something grows could not be told".to_owned(),
    }
}

/// A round with operations that count: neither the warm-up nor the rest at the end.
pub(crate) fn is_measured(round: &RoundPoint) -> bool {
    !matches!(round.phase, RoundKind::Warmup | RoundKind::Rest)
}

/// What would have been seen, and so what a calm word is worth.
#[must_use]
pub fn detectable(memory: &MemoryVerdict) -> Option<String> {
    if memory.detectable.is_empty() {
        return memory.detectable_bytes_per_op.map(|bytes| {
            format!("growth above {} per operation would have been seen", figures::bytes(bytes))
        });
    }
    let parts: Vec<_> = memory
        .detectable
        .iter()
        .map(|(operation, bytes)| format!("{} per {operation}", figures::bytes(*bytes)))
        .collect();
    Some(format!("growth above {} would have been seen", parts.join(", ")))
}

fn site_sentence(site: &SiteVerdict) -> String {
    let verb = if site.verdict == Verdict::Leaking { "keeps" } else { "grows by" };
    format!("{}, kind {}", grown_sentence(site, verb), site.kind.words())
}

fn grown_sentence(site: &SiteVerdict, verb: &str) -> String {
    let place = place(&site.function, &site.file, site.line);
    let growth = growth(site);
    let operation = match site.growth_per_op.operation.as_str() {
        "" => "operation",
        operation => operation,
    };
    format!("{place} {verb} {growth} per {operation}")
}

/// By how much a site grows per operation: in bytes, or in objects where it is their count that
/// gave the word, and the heap does not show them.
#[must_use]
pub fn growth(site: &SiteVerdict) -> String {
    let unsure = site.verdict <= Verdict::Growing && site.growth_per_op.low <= 0.0;
    match &site.objects_per_op {
        Some(objects) if unsure && site.kind_from == "census" && objects.low > 0.0 => {
            format!("{} live {}", figures::estimate(objects), site.kind.words())
        }
        _ => figures::estimate_bytes(&site.growth_per_op),
    }
}

/// The rounds as the verdict has them, or, before there is a verdict, as the snapshots do.
#[must_use]
pub fn rounds(state: &State) -> Vec<RoundPoint> {
    if !state.memory.rounds.is_empty() {
        return state.memory.rounds.clone();
    }
    let mut before = BTreeMap::new();
    let mut points = Vec::new();
    for taken in state.snapshots.iter().map(|at| &at.value) {
        let Some(index) = taken.round else {
            continue;
        };
        let since = |(name, count): (&String, &u64)| {
            (name.clone(), count.saturating_sub(before.get(name).copied().unwrap_or(0)))
        };
        let operations = taken.operations.iter().map(since).collect();
        before.clone_from(&taken.operations);
        points.push(RoundPoint {
            index,
            phase: taken.kind,
            operations,
            live_bytes: taken.live_bytes,
            rss_bytes: taken.rss_bytes,
            busy_bytes: taken.busy_bytes,
            settled_ms: taken.settled_ms,
            snapshot: taken.file.clone(),
        });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_record::Estimate;

    #[test]
    fn growth_that_is_sure_is_told_where_its_end_is_not() {
        let grown = Estimate { value: 300.0, low: 200.0, high: 400.0, ..Estimate::default() };
        let site = SiteVerdict {
            function: "handle".to_owned(),
            verdict: Verdict::Inconclusive,
            p_value: 1e-6,
            growth_per_op: Estimate { confidence: 0.95, ..grown },
            ..SiteVerdict::default()
        };
        let mut memory = MemoryVerdict { sites: vec![site], ..MemoryVerdict::default() };
        let told =
            "handle grew by 300 ± 100 B per operation; whether that goes on could not be told";
        assert_eq!(doubtful(&memory), told);
        memory.sites[0].p_value = 0.2;
        assert_eq!(doubtful(&memory), "whether something grows could not be told");
    }
}
