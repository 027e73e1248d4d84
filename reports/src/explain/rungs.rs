//! The ladder of evidence, rung by rung, in the numbers of the run. In: a case. Out: one sentence
//! for each thing that was asked of the site, and which way it speaks. Choosing the word is the
//! profiler's; what a rung has no number for is left out, or said to be missing where that
//! matters.

use super::Case;
use crate::figures::{self, estimate, estimate_bytes};
use crate::finding::is_measured;
use ebbtide_record::verdict::{RoundPoint, SITES_MAX};
use ebbtide_record::{Estimate, Evidence, RoundKind, Verdict};
use serde::Serialize;

/// Chi squared by which an operation must explain growth better than the next to be named
/// without a doubt; the verdict's own rule, in docs/method.md, as are the three below.
const MARGIN_SURE: f64 = 6.0;
/// Share of the early growth that goes on must surely be above.
const LATE_SHARE: f64 = 0.7;
/// Growth on replay below this share of growth on new input is none to speak of.
const REPLAY_SHARE: f64 = 0.25;
/// What is left at rest of a backlog, at most.
const BACKLOG_SHARE: f64 = 0.1;
/// Looks there are at most, and so parts the error is spent in.
const LOOKS: u32 = 5;
/// Fewer samples that came and went, per one that stayed, are none to speak of.
const TURNOVER_SLIGHT: f64 = 0.05;
/// Chances below this are told as such: no model of the world is that good.
const CHANCE_MIN: f64 = 1e-12;
/// Growth at rest above this share of growth at work is the clock's, not the work's.
const CLOCK_SHARE: f64 = 0.5;
/// Share of what is live that even growth leaves from before the second half, nearly.
const OLD_SHARE: f64 = 0.4;

/// Which way a rung speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    /// For a leak.
    For,
    /// Against one.
    Against,
    /// It could not be told.
    Open,
    /// Neither way.
    Neither,
}

impl Bearing {
    /// The sign before a rung; no colour is needed to read it.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::For => '+',
            Self::Against => '-',
            Self::Open => '?',
            Self::Neither => ' ',
        }
    }
}

/// One thing that was asked of a site, and what the run answered.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Rung {
    /// What was asked, in a word or two.
    pub name: &'static str,
    /// Which way it speaks.
    pub bearing: Bearing,
    /// The answer, without a final dot.
    pub says: String,
}

fn rung(name: &'static str, bearing: Bearing, says: impl Into<String>) -> Rung {
    Rung { name, bearing, says: says.into() }
}

/// The rungs of a site, in the order in which the verdict asks.
pub(super) fn of(case: &Case<'_>) -> Vec<Rung> {
    let evidence = &case.site.evidence;
    // Where nothing grows, nobody asks by what, nor what became of it.
    let asked = |rung: Option<Rung>| rung.filter(|_| case.grows());
    [
        bound(evidence),
        growth(case),
        samples(evidence),
        asked(operation(case)),
        halves(case),
        fading(evidence),
        replay(case),
        asked(backlog(evidence)),
        rest(evidence),
        asked(ages(evidence)),
        census(case),
        asked(objects(case)),
        container(case),
        asked(chance(case)),
        seen(case),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn measured(value: &Estimate) -> bool {
    value.confidence > 0.0
}

fn bound(evidence: &Evidence) -> Option<Rung> {
    let bound = evidence.bound.as_ref()?;
    let (live, most) = (bound.live_bytes as f64, bound.bytes as f64);
    let (bearing, word) =
        if live <= most { (Bearing::Against, "within") } else { (Bearing::For, "over") };
    let says = format!(
        "{} live, {word} the {} that were declared for `{}`",
        figures::bytes(live),
        figures::bytes(most),
        bound.name
    );
    Some(rung("bound", bearing, says))
}

fn growth(case: &Case<'_>) -> Option<Rung> {
    let (growth, evidence) = (&case.site.growth_per_op, &case.site.evidence);
    if !measured(growth) {
        return None;
    }
    let limit = case.limit();
    let bearing = if growth.low > limit {
        Bearing::For
    } else if growth.high <= limit {
        Bearing::Against
    } else {
        Bearing::Open
    };
    let rounds = match evidence.rounds {
        0 => measured_rounds(case).count() as u32,
        rounds => rounds,
    };
    let says = format!(
        "{} per {} over {rounds} measured rounds ({:.0} % interval); the limit is {}",
        estimate_bytes(growth),
        case.operation(),
        growth.confidence * 100.0,
        figures::bytes(limit)
    );
    Some(rung("growth", bearing, says))
}

fn measured_rounds<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a RoundPoint> {
    case.memory.rounds.iter().filter(|round| is_measured(round))
}

fn samples(evidence: &Evidence) -> Option<Rung> {
    let net = evidence.net_samples?;
    let turned = match evidence.turnover {
        Some(turnover) if turnover < TURNOVER_SLIGHT => {
            "; next to none came and went meanwhile".to_owned()
        }
        Some(turnover) => format!("; for each, {} more came and went", figures::number(turnover)),
        None => String::new(),
    };
    let stayed = figures::count(net.max(0.0).round() as u64);
    let says = format!("{stayed} heap samples stayed{turned}");
    Some(rung("samples", Bearing::Neither, says))
}

fn operation(case: &Case<'_>) -> Option<Rung> {
    let best = case.operation();
    let margins = &case.site.evidence.margins;
    let next =
        margins.iter().filter(|(name, _)| name.as_str() != best).min_by(|a, b| a.1.total_cmp(b.1));
    if margins.is_empty() {
        return None;
    }
    Some(match next {
        None => {
            let says = format!("{best} is all that was done, so nothing else can cause it");
            rung("operation", Bearing::Neither, says)
        }
        Some((name, margin)) if *margin < MARGIN_SURE => {
            let says = format!(
                "{best} explains it best, but {name} nearly as well (chi squared {} apart, \
                 {MARGIN_SURE} would be sure)",
                figures::number(*margin)
            );
            rung("operation", Bearing::Open, says)
        }
        Some((name, margin)) => {
            let says = format!(
                "{best} explains it best; the runner-up, {name}, is worse by {} in chi squared \
                 ({MARGIN_SURE} is sure)",
                figures::number(*margin)
            );
            rung("operation", Bearing::Neither, says)
        }
    })
}

fn halves(case: &Case<'_>) -> Option<Rung> {
    let evidence = &case.site.evidence;
    let (Some(early), Some(late)) = (&evidence.early, &evidence.late) else {
        return halves_by_eye(case);
    };
    let stopped = evidence.late_alone.as_ref().is_some_and(|late| late.high <= evidence.limit);
    let goes_on = late.low > 0.0 && late.value >= LATE_SHARE * early.value;
    let (bearing, word) = if goes_on {
        (Bearing::For, "it goes on")
    } else if stopped {
        (Bearing::Against, "it has stopped")
    } else {
        (Bearing::Open, "that it goes on is not sure")
    };
    let says = format!(
        "{} in the first half of the rounds, {} in the second: {word}",
        estimate_bytes(early),
        estimate_bytes(late)
    );
    Some(rung("early, late", bearing, says))
}

/// The halves of a run that was judged before they were written down: plain differences of the
/// series, without an interval.
fn halves_by_eye(case: &Case<'_>) -> Option<Rung> {
    let (series, rounds) = (&case.site.series, &case.memory.rounds);
    let first = rounds.iter().position(|round| round.phase != RoundKind::Warmup)?.checked_sub(1)?;
    let last = series.len().checked_sub(1)?;
    if series.len() != rounds.len() || last < first + 2 {
        return None;
    }
    let middle = usize::midpoint(first, last);
    let done = |from: usize, to: usize| -> f64 {
        let rounds = &rounds[from + 1..=to];
        rounds.iter().filter_map(|r| r.operations.get(case.operation())).sum::<u64>() as f64
    };
    let rate = |from: usize, to: usize| (series[to] - series[from]) / done(from, to);
    let (early, late) = (rate(first, middle), rate(middle, last));
    (early.is_finite() && late.is_finite()).then(|| {
        let says = format!(
            "{} in the first half of the rounds, {} in the second (plain differences)",
            figures::bytes(early),
            figures::bytes(late)
        );
        rung("early, late", Bearing::Neither, says)
    })
}

fn fading(evidence: &Evidence) -> Option<Rung> {
    let fading = evidence.fading.as_ref()?;
    let sure = if fading.sure { "surely" } else { "it seems" };
    let (bearing, rest) = if fading.subsides {
        (Bearing::Open, "a warm-up that ends explains it as well".to_owned())
    } else {
        (Bearing::For, format!("{} last all the same", estimate_bytes(&fading.lasting)))
    };
    Some(rung("slowing", bearing, format!("it slows down, {sure}; {rest}")))
}

fn replay(case: &Case<'_>) -> Option<Rung> {
    let evidence = &case.site.evidence;
    let Some(replay) = &case.site.growth_on_replay else {
        let judged = matches!(case.site.verdict, Verdict::Leaking | Verdict::Growing);
        return judged.then(|| {
            let says = "no round replayed its input, so a cache that fills is not excluded";
            rung("replay", Bearing::Open, says)
        });
    };
    let new = evidence.on_new.as_ref().unwrap_or(&case.site.growth_per_op);
    let keys = evidence.inputs_seen.map_or_else(String::new, |seen| {
        format!("; {} operations brought new input", figures::count(seen))
    });
    let told = format!(
        "{} on input seen before, {} on new input",
        estimate_bytes(replay),
        estimate_bytes(new)
    );
    let (bearing, word) = if replay.low > 0.0 && replay.value >= REPLAY_SHARE * new.value {
        (Bearing::For, "no cache does that")
    } else if replay.high < new.low {
        (Bearing::Against, "it is kept by key")
    } else {
        (Bearing::Open, "which of the two it is cannot be told yet")
    };
    Some(rung("replay", bearing, format!("{told}: {word}{keys}")))
}

fn backlog(evidence: &Evidence) -> Option<Rung> {
    let left = evidence.left_at_rest?;
    let told = format!(
        "{:.0} % of what the load raised, in the whole heap, was still there at rest",
        left * 100.0
    );
    Some(if left < BACKLOG_SHARE {
        rung("backlog", Bearing::Against, format!("{told}: a backlog that empties"))
    } else {
        rung("backlog", Bearing::For, format!("{told}: not a backlog"))
    })
}

fn rest(evidence: &Evidence) -> Option<Rung> {
    let rest = evidence.rest.as_ref()?;
    let told = format!(
        "{} ± {} in {} without an operation, where as long at work brings {}",
        figures::bytes(rest.grown_bytes),
        figures::bytes(rest.error_bytes),
        figures::duration(rest.seconds * 1e3),
        figures::bytes(rest.at_work_bytes)
    );
    let by_clock = rest.grown_bytes - 2.0 * rest.error_bytes > CLOCK_SHARE * rest.at_work_bytes;
    let by_work = rest.grown_bytes + 2.0 * rest.error_bytes < CLOCK_SHARE * rest.at_work_bytes;
    Some(match (by_clock, by_work) {
        (true, _) => rung("at rest", Bearing::Open, format!("{told}: it grows with the clock")),
        (_, true) => rung("at rest", Bearing::For, format!("{told}: it grows with the work")),
        _ => rung("at rest", Bearing::Neither, told),
    })
}

fn ages(evidence: &Evidence) -> Option<Rung> {
    let ages = evidence.ages.as_ref()?;
    if ages.live.len() != ages.le_s.len() + 1 || ages.live.iter().sum::<f64>() <= 0.0 {
        return None;
    }
    let age = |seconds: f64| figures::duration(seconds * 1e3);
    let bounds = ages.le_s.iter().map(|le| format!("up to {}", age(*le)));
    let oldest = ages
        .le_s
        .last()
        .map_or_else(|| "any age".to_owned(), |le| format!("older than {}", age(*le)));
    let parts: Vec<String> = bounds
        .chain([oldest])
        .zip(&ages.live)
        .filter(|(_, live)| **live > 0.0)
        .map(|(bound, live)| format!("{} {bound}", figures::number(*live)))
        .collect();
    let from = match ages.from.as_str() {
        "" => String::new(),
        from => format!(" (by the {from})"),
    };
    let told = format!("live by age{from}: {}", parts.join(", "));
    let (Some(half), Some(older)) = (ages.half_s, ages.older) else {
        let says = format!("{told}; a leak keeps every age");
        return Some(rung("ages", Bearing::Neither, says));
    };
    let share = format!(
        "{:.0} % of it older than {}, from before the second half of the measured rounds",
        older * 100.0,
        age(half)
    );
    let (bearing, word) = if ages.turns_over {
        (Bearing::Against, "next to nothing of what came first is left, so it turns over")
    } else if older >= OLD_SHARE {
        (Bearing::For, "it keeps every age, as a leak does")
    } else {
        (Bearing::Neither, "a leak keeps every age")
    };
    Some(rung("ages", bearing, format!("{told}; {share}: {word}")))
}

fn census(case: &Case<'_>) -> Option<Rung> {
    let census = case.site.evidence.census.as_ref()?;
    let (kind, operation) = (census.kind.words(), case.operation());
    let place = format!("{}:{}", census.file, census.line);
    Some(match census.whole {
        Some(whole) => {
            let plural = if whole == 1 { "" } else { "s" };
            let says = format!(
                "the process counts {whole} more live {kind}{plural} for each {operation} ({}), \
                 made at {place}",
                estimate(&census.per_op)
            );
            rung("census", Bearing::For, says)
        }
        None => {
            let bearing = if census.per_op.low > 0.0 { Bearing::For } else { Bearing::Open };
            let says = format!(
                "the process counts {} more live {kind}s per {operation}, made at {place}",
                estimate(&census.per_op)
            );
            rung("census", bearing, says)
        }
    })
}

fn objects(case: &Case<'_>) -> Option<Rung> {
    let objects = case.site.objects_per_op.as_ref()?;
    (measured(objects) && objects.value > 0.0).then(|| {
        let each = case.site.growth_per_op.value / objects.value;
        let size = if each > 0.0 && each.is_finite() {
            format!(", {} each", figures::bytes(each))
        } else {
            String::new()
        };
        let says = format!("{} objects stay per {}{size}", estimate(objects), case.operation());
        rung("objects", Bearing::Neither, says)
    })
}

fn container(case: &Case<'_>) -> Option<Rung> {
    let bytes = case.site.container_bytes;
    (bytes > 0).then(|| {
        let says = format!(
            "{} more are in containers that grow by doubling, not counted per operation",
            figures::bytes(bytes as f64)
        );
        rung("container", Bearing::Neither, says)
    })
}

fn chance(case: &Case<'_>) -> Option<Rung> {
    let (site, evidence) = (case.site, &case.site.evidence);
    if !measured(&site.growth_per_op) {
        return None;
    }
    let sites = match case.memory.sites.len() {
        SITES_MAX.. => format!("{SITES_MAX} or more sites"),
        1 => "one site".to_owned(),
        sites => format!("{sites} sites"),
    };
    let told = format!(
        "of such growth if there were none: {}, corrected for {sites}",
        probability(site.p_value)
    );
    if evidence.alpha <= 0.0 {
        return Some(rung("chance", Bearing::Neither, told));
    }
    let says = format!(
        "{told}; {} is sure at this look, {} of at most {LOOKS}",
        probability(evidence.alpha),
        evidence.look
    );
    let sure = site.p_value <= evidence.alpha;
    Some(rung("chance", if sure { Bearing::For } else { Bearing::Open }, says))
}

/// A small chance with one digit that counts.
fn probability(p: f64) -> String {
    match p {
        p if p < CHANCE_MIN => format!("below {CHANCE_MIN:.0e}"),
        p if p < 0.001 => format!("{p:.0e}"),
        p => figures::number(p),
    }
}

fn seen(case: &Case<'_>) -> Option<Rung> {
    let memory = case.memory;
    let bytes = memory.detectable.get(case.operation()).copied();
    bytes.or(memory.detectable_bytes_per_op).map(|bytes| {
        let says = format!(
            "growth above {} per {} would have been seen with 95 % chance",
            figures::bytes(bytes),
            case.operation()
        );
        rung("power", Bearing::Neither, says)
    })
}
