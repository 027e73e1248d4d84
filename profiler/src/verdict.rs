//! The word: what a series says of each site, and of the run. In: a [`Series`] and what growth is
//! of interest. Out: [`MemoryVerdict`], with the numbers and reasons behind every word. Pure.
//!
//! The rule is written down in `docs/method.md`; `leaking` needs growth that is sure, that is
//! larger than the limit, that goes on in the second half, and that replayed input shows too.
//! `steady` needs growth above the limit to be ruled out. What is neither is said to be neither.

use crate::growth::{self, Growth, Operations};
use crate::series::{Series, SiteColumns, SiteTrack};
use crate::tally::{self, Tally};
use crate::trend::{Slope, quantile};
use ebbtide_record::event::RoundKind;
use ebbtide_record::verdict::{RoundPoint, SITES_MAX, SiteVerdict};
use ebbtide_record::{Estimate, Kind, MemoryVerdict, Verdict};
use statrs::distribution::{ContinuousCDF, Gamma};
use std::collections::BTreeMap;

/// Measured rounds after which the series is judged.
pub const LOOKS: [u32; 5] = [8, 12, 16, 24, 32];
/// Chance of a false `leaking` or `growing` over all sites spent at each look: 1 % in all.
const ALPHA_SPENT: [f64; 5] = [0.004, 0.002, 0.002, 0.001, 0.001];
/// Confidence of every interval that is shown.
const CONFIDENCE: f64 = 0.95;
/// Growth of no interest unless the scenario says so, bytes per operation.
pub const LIMIT_BYTES: f64 = 16.0;
/// The same for operations that open a connection.
pub const LIMIT_CONNECT_BYTES: f64 = 512.0;
/// The key of the limit for operations that open a connection.
const CONNECTS: &str = "connect *";
/// The key of the limit for all others.
const OTHERS: &str = "*";
/// Fewer net samples than this have an exact Poisson interval instead of a normal one.
const POISSON_BELOW: f64 = 20.0;
/// Growth on replay below this share of growth on new input is none to speak of.
const REPLAY_SHARE: f64 = 0.25;
/// Growth in the second half must surely be more than this share of the first to go on.
const LATE_SHARE: f64 = 0.7;
/// Times a container must have been replaced by a larger one to be a finding of its own.
const CONTAINER_STEPS: usize = 2;
/// Chance with which growth of the detectable size is seen.
const POWER: f64 = 0.95;
/// Chi squared by which one operation must explain growth better than the next to be named
/// without a doubt (a likelihood ratio of 1 to 20).
const MARGIN_SURE: f64 = 6.0;

/// What growth is of interest.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Bytes per operation of no interest, by operation; `connect *` for all others that open a
    /// connection, `*` for all other others.
    pub limits: BTreeMap<String, f64>,
    /// Sites known to be bounded, with their bound in bytes, by a part of their function's name.
    pub bounded: BTreeMap<String, u64>,
    /// Operations were driven by plan. Without that (a process that is only watched) nothing is
    /// called leaking, since growth may come from more work as well as from a leak.
    pub known_load: bool,
}

impl Rules {
    /// The limit for a group of operations: the smallest of its members'.
    #[must_use]
    pub fn limit(&self, operations: &Operations) -> f64 {
        let one = |name: &String| {
            let connects = name.starts_with("connect ") || name.starts_with("sio_connect ");
            let rest = if connects { CONNECTS } else { OTHERS };
            let usual = if connects { LIMIT_CONNECT_BYTES } else { LIMIT_BYTES };
            self.limits.get(name).or_else(|| self.limits.get(rest)).copied().unwrap_or(usual)
        };
        let telling = |name: &&String| !name.starts_with("close ") || operations.members.len() == 1;
        operations
            .members
            .iter()
            .filter(telling)
            .map(one)
            .fold(f64::INFINITY, f64::min)
            .min(if operations.members.is_empty() { LIMIT_BYTES } else { f64::INFINITY })
    }
}

/// One site with everything a word is chosen by.
struct Candidate<'a> {
    id: String,
    track: Option<&'a SiteTrack>,
    columns: SiteColumns,
    growth: Growth,
    objects: Option<Growth>,
    tally: Option<&'a Tally>,
    p_adjusted: f64,
}

/// Everything that is the same for all sites.
struct Court<'a> {
    series: &'a Series,
    rules: &'a Rules,
    operations: Vec<Operations>,
    kinds: Vec<RoundKind>,
    limits: Vec<f64>,
    alpha: f64,
}

/// Judges a series.
#[must_use]
pub fn judge(series: &Series, rules: &Rules) -> MemoryVerdict {
    let measured = series.measured();
    let operations = growth::group(measured);
    let mut verdict = MemoryVerdict {
        rounds: series.observations().map(round_point).collect(),
        looks: look(measured.len()) as u32 + 1,
        ..MemoryVerdict::default()
    };
    if measured.len() < 3 || operations.is_empty() {
        verdict.verdict = Verdict::Inconclusive;
        verdict.undecided = true;
        verdict.reasons.push(format!(
            "{} measured rounds are too few to judge growth: at least 3 are needed, 8 are usual",
            measured.len()
        ));
        return verdict;
    }
    let court = Court {
        series,
        rules,
        limits: operations.iter().map(|group| rules.limit(group)).collect(),
        kinds: measured.iter().map(|point| point.observation.kind).collect(),
        alpha: ALPHA_SPENT[look(measured.len())],
        operations,
    };
    let tallies = tally::growing(series, &court.operations, &court.kinds);
    let mut candidates = candidates(&court, &tallies);
    adjust(&mut candidates);
    let lost = unclaimed(&candidates, &tallies);
    let sites: Vec<(SiteVerdict, bool)> = candidates
        .iter()
        .map(|candidate| court.site(candidate))
        .chain(lost.into_iter().map(|tally| court.counted(tally)))
        .collect();
    court.sum_up(&mut verdict, sites, &candidates);
    verdict
}

/// Index of the look that this many measured rounds are.
fn look(rounds: usize) -> usize {
    LOOKS.iter().rposition(|at| *at as usize <= rounds).unwrap_or(0)
}

fn round_point(observation: &crate::series::Observation) -> RoundPoint {
    RoundPoint {
        index: observation.round,
        phase: observation.kind,
        operations: observation.operations.clone(),
        live_bytes: observation.folded.live_bytes.max(0.0) as u64,
        rss_bytes: observation.rss_bytes,
        busy_bytes: observation.busy_bytes,
        settled_ms: observation.settled_ms,
        snapshot: observation.snapshot.clone(),
    }
}

fn candidates<'a>(court: &Court<'a>, tallies: &'a [Tally]) -> Vec<Candidate<'a>> {
    let mut list: Vec<Candidate<'a>> = Vec::new();
    for (id, track) in court.series.sites() {
        let columns = court.series.columns(track);
        let Some(growth) = growth::of(&columns.bytes, &court.operations, &court.kinds) else {
            continue;
        };
        // Objects are told beside growth; nobody asks for those of a site that does not grow.
        let interesting = growth.slope.value > 0.0 && growth.slope.p_value() < 0.05;
        let objects = interesting
            .then(|| growth::of(&columns.objects, &court.operations, &court.kinds))
            .flatten();
        list.push(Candidate {
            id: id.clone(),
            track: Some(track),
            p_adjusted: growth.slope.p_value(),
            columns,
            growth,
            objects,
            tally: None,
        });
    }
    for tally in tallies {
        if let Some(index) = claimant(&list, tally) {
            list[index].tally.get_or_insert(tally);
        }
    }
    list
}

/// The site that a tally speaks of: in the same file, growing, and nearest in lines.
fn claimant(candidates: &[Candidate<'_>], tally: &Tally) -> Option<usize> {
    let near = |candidate: &Candidate<'_>| {
        let track = candidate.track?;
        (tally::same_file(&tally.file, &track.file) && candidate.growth.slope.value > 0.0)
            .then(|| track.line.abs_diff(tally.line))
    };
    let keyed = candidates.iter().enumerate().filter_map(|(i, c)| Some((near(c)?, i)));
    keyed.filter(|(lines, _)| *lines <= NEAR_LINES).min().map(|(_, index)| index)
}

/// A guard and the memory it speaks of stand at most this many lines apart.
const NEAR_LINES: u32 = 60;

fn unclaimed<'a>(candidates: &[Candidate<'a>], tallies: &'a [Tally]) -> Vec<&'a Tally> {
    tallies.iter().filter(|tally| claimant(candidates, tally).is_none()).collect()
}

/// Benjamini and Hochberg: p values corrected for the number of sites.
fn adjust(candidates: &mut [Candidate<'_>]) {
    let count = candidates.len() as f64;
    candidates.sort_by(|a, b| a.p_adjusted.total_cmp(&b.p_adjusted));
    let mut smallest: f64 = 1.0;
    for (index, candidate) in candidates.iter_mut().enumerate().rev() {
        smallest = smallest.min(candidate.p_adjusted * count / (index + 1) as f64);
        candidate.p_adjusted = smallest;
    }
}

impl Court<'_> {
    /// The word for one site, and whether more rounds could change it.
    fn site(&self, candidate: &Candidate<'_>) -> (SiteVerdict, bool) {
        let growth = &candidate.growth;
        let mut reasons = Vec::new();
        let (mut word, mut undecided) = self.word(candidate, &mut reasons);
        self.weigh_containers(candidate, &mut word, &mut undecided, &mut reasons);
        self.weigh_knowledge(candidate, &mut word, &mut undecided, &mut reasons);
        self.add_reasons(candidate, word, &mut reasons);
        let (value, (low, high)) = self.interval(candidate);
        let operation = self.operations[growth.with].name.clone();
        let objects = candidate.objects.as_ref().map(|objects| {
            let slope = objects.by_operation[growth.with];
            estimate(&slope, slope.interval(CONFIDENCE), &operation)
        });
        let track = candidate.track;
        let (kind, kind_from) = match candidate.tally {
            Some(tally) => (tally.kind, "census"),
            None => match track.map_or(Kind::Other, |track| track.kind) {
                Kind::Other => (Kind::Other, ""),
                kind => (kind, "frames"),
            },
        };
        let series = track.map(|track| self.series.levels(track)).unwrap_or_default();
        let site = SiteVerdict {
            id: candidate.id.clone(),
            function: track.map(|t| t.function.clone()).unwrap_or_default(),
            file: track.map(|t| t.file.clone()).unwrap_or_default(),
            line: track.map_or(0, |t| t.line),
            kind,
            kind_from: kind_from.to_owned(),
            verdict: word,
            growth_per_op: Estimate { value, low, high, confidence: CONFIDENCE, operation },
            objects_per_op: objects.unwrap_or_default(),
            growth_on_replay: self.on_replay(growth),
            live_bytes: series.last().copied().unwrap_or(0.0).max(0.0) as u64,
            live_objects: track.map_or(0.0, |t| self.series.live_objects(t)).max(0.0) as u64,
            container_bytes: candidate.columns.containers.last().copied().unwrap_or(0.0) as u64,
            p_value: candidate.p_adjusted,
            reasons,
            series,
            stack: track.map(|t| t.stack.clone()).unwrap_or_default(),
        };
        (site, undecided)
    }

    fn word(&self, candidate: &Candidate<'_>, reasons: &mut Vec<String>) -> (Verdict, bool) {
        let growth = &candidate.growth;
        let limit = self.limits[growth.with];
        let sure = candidate.p_adjusted <= self.alpha && growth.slope.value > 0.0;
        if sure && growth.slope.value > limit {
            return self.word_for_growth(growth, limit, reasons);
        }
        let (_, (_, high)) = self.interval(candidate);
        let ruled_out = high <= limit
            && growth.by_operation.iter().zip(&self.limits).enumerate().all(
                |(index, (slope, limit))| {
                    index == growth.with || slope.interval(CONFIDENCE).1 <= *limit
                },
            );
        if ruled_out {
            return (Verdict::Steady, false);
        }
        reasons.push(format!(
            "growth is not sure, and up to {high:.0} bytes per {} cannot be ruled out (limit \
             {limit:.0}): more rounds, more operations per round or a smaller sample interval \
             would tell",
            self.operations[growth.with].name
        ));
        (Verdict::Inconclusive, true)
    }

    fn word_for_growth(
        &self,
        growth: &Growth,
        limit: f64,
        reasons: &mut Vec<String>,
    ) -> (Verdict, bool) {
        let replayed = growth.by_novelty.filter(|_| self.kinds.contains(&RoundKind::Replay));
        if let Some((new, replay)) = replayed
            && (replay.lower(CONFIDENCE) <= 0.0 || replay.value < REPLAY_SHARE * new.value)
        {
            let bounded = replay.upper(CONFIDENCE) < new.lower(CONFIDENCE);
            reasons.push(if bounded {
                format!(
                    "it grows with new input ({:.1} bytes per operation) and not when the same \
                     input comes again ({:.1}): something kept by key, with no bound seen",
                    new.value, replay.value
                )
            } else {
                "whether it grows on replayed input too is not sure".to_owned()
            });
            return (Verdict::Growing, !bounded);
        }
        if let Some((early, late)) = growth.halves {
            if late.lower(CONFIDENCE) <= 0.0 {
                if late.upper(CONFIDENCE) <= limit {
                    reasons.push(format!(
                        "it grew by {:.0} bytes per operation in the first half of the rounds and \
                         no longer does",
                        early.value
                    ));
                    return (Verdict::Warming, false);
                }
                reasons.push("growth in the second half of the rounds is not sure".to_owned());
                return (Verdict::Growing, true);
            }
            let kept = late.value - LATE_SHARE * early.value;
            let error = late.se.hypot(LATE_SHARE * early.se);
            if kept <= quantile(CONFIDENCE, late.df) * error {
                reasons.push(format!(
                    "it may be slowing down: {:.1} bytes per operation in the first half of the \
                     rounds, {:.1} in the second",
                    early.value, late.value
                ));
                return (Verdict::Growing, true);
            }
        }
        reasons.push(match replayed {
            Some((_, replay)) => format!(
                "replayed input makes it grow as well ({:.1} bytes per operation), so it is not \
                 a cache that fills",
                replay.value
            ),
            None => "no round replayed its input, so a cache that fills is not excluded".to_owned(),
        });
        (Verdict::Leaking, false)
    }

    /// Containers that are replaced by larger ones again and again are a finding even when
    /// nothing else at the site grows; once is a reason to look longer.
    fn weigh_containers(
        &self,
        candidate: &Candidate<'_>,
        word: &mut Verdict,
        undecided: &mut bool,
        reasons: &mut Vec<String>,
    ) {
        let levels = &candidate.columns.containers;
        let (Some(first), Some(last)) = (levels.first(), levels.last()) else { return };
        let grown = last - first;
        let steps = levels.windows(2).filter(|pair| pair[1] > pair[0] * CONTAINER_STEP).count();
        if grown <= 0.0 || steps == 0 {
            return;
        }
        reasons.push(format!(
            "its container was replaced by a larger one {steps} times, from {first:.0} to \
             {last:.0} bytes, which is not part of the growth per operation"
        ));
        let growth = &candidate.growth;
        let per_operation = grown / self.operations[growth.with].total().max(1.0);
        let quiet = matches!(word, Verdict::Steady | Verdict::Warming);
        if !quiet || per_operation <= self.limits[growth.with] {
            return;
        }
        let late = &levels[levels.len() / 2..];
        let goes_on = late.windows(2).any(|pair| pair[1] > pair[0] * CONTAINER_STEP);
        *undecided = goes_on;
        *word = if goes_on && steps >= CONTAINER_STEPS {
            Verdict::Growing
        } else if goes_on {
            Verdict::Inconclusive
        } else {
            Verdict::Warming
        };
    }

    /// What the user knows: that a site is bounded, or that nobody counts the work.
    fn weigh_knowledge(
        &self,
        candidate: &Candidate<'_>,
        word: &mut Verdict,
        undecided: &mut bool,
        reasons: &mut Vec<String>,
    ) {
        let Some(track) = candidate.track else { return };
        let bound = self.rules.bounded.iter().find(|(name, _)| track.function.contains(*name));
        if let Some((name, bound)) = bound {
            let live = self.series.levels(track).last().copied().unwrap_or(0.0);
            *undecided = false;
            if live <= *bound as f64 {
                *word = Verdict::Steady;
                reasons.push(format!("{live:.0} bytes are within the bound of `{name}`, {bound}"));
            } else {
                *word = Verdict::Leaking;
                reasons.push(format!("{live:.0} bytes are over the bound of `{name}`, {bound}"));
            }
        } else if *word == Verdict::Leaking && !self.rules.known_load {
            *word = Verdict::Growing;
            reasons.push(
                "nobody counted the work meanwhile, so more of it is not excluded: run it under \
                 a scenario to be sure"
                    .to_owned(),
            );
        }
    }

    fn add_reasons(&self, candidate: &Candidate<'_>, word: Verdict, reasons: &mut Vec<String>) {
        if !matches!(word, Verdict::Leaking | Verdict::Growing) {
            return;
        }
        let growth = &candidate.growth;
        if let Some(tally) = candidate.tally {
            let per_operation = tally.growth.by_operation[growth.with].value;
            reasons.push(format!(
                "the census counts {per_operation:.2} more live {} per {}, made at {}:{}",
                tally.kind.words(),
                self.operations[growth.with].name,
                tally.file,
                tally.line
            ));
        }
        if growth.margin.is_some_and(|margin| margin < MARGIN_SURE) {
            let others: Vec<&str> = self
                .operations
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != growth.with)
                .map(|(_, group)| group.name.as_str())
                .collect();
            reasons.push(format!(
                "which operation does it is not sure: {} would explain it nearly as well",
                others.join(" or ")
            ));
        }
    }

    /// Growth per operation with its interval: exact for few samples, else from the fit.
    fn interval(&self, candidate: &Candidate<'_>) -> (f64, (f64, f64)) {
        let (columns, slope) = (&candidate.columns, &candidate.growth.slope);
        let net = columns.net_samples.round();
        let few = net > 0.0 && net < POISSON_BELOW && columns.turnover < 0.1;
        if few && slope.df.is_infinite() && self.series.interval_bytes() > 1.0 {
            let per_sample = slope.value / net;
            let bound = |shape: f64, p: f64| {
                Gamma::new(shape, 1.0).map_or(shape, |gamma| gamma.inverse_cdf(p))
            };
            let tail = (1.0 - CONFIDENCE) / 2.0;
            let (low, high) = (bound(net, tail), bound(net + 1.0, 1.0 - tail));
            return (slope.value, (low * per_sample, high * per_sample));
        }
        (slope.value, slope.interval(CONFIDENCE))
    }

    fn on_replay(&self, growth: &Growth) -> Option<Estimate> {
        let (_, replay) = growth.by_novelty?;
        let operation = &self.operations[growth.with].name;
        self.kinds
            .contains(&RoundKind::Replay)
            .then(|| estimate(&replay, replay.interval(CONFIDENCE), operation))
    }

    /// A site that only the census knows: objects grow where the heap shows nothing.
    fn counted(&self, tally: &Tally) -> (SiteVerdict, bool) {
        let mut reasons = vec![format!(
            "the census counts {:.2} more live {} per {}; the heap shows no growth at that place",
            tally.growth.slope.value,
            tally.kind.words(),
            self.operations[tally.growth.with].name
        )];
        let (verdict, undecided) = self.word_for_growth(&tally.growth, 0.0, &mut reasons);
        let operation = &self.operations[tally.growth.with].name;
        let slope = &tally.growth.slope;
        let site = SiteVerdict {
            id: format!("census:{}:{}", tally.file, tally.line),
            function: tally.function.clone(),
            file: tally.file.clone(),
            line: tally.line,
            kind: tally.kind,
            kind_from: "census".to_owned(),
            verdict,
            growth_per_op: Estimate { operation: operation.clone(), ..Estimate::default() },
            objects_per_op: estimate(slope, slope.interval(CONFIDENCE), operation),
            live_objects: tally.live,
            p_value: slope.p_value(),
            reasons,
            ..SiteVerdict::default()
        };
        (site, undecided)
    }

    fn sum_up(
        &self,
        verdict: &mut MemoryVerdict,
        mut sites: Vec<(SiteVerdict, bool)>,
        candidates: &[Candidate<'_>],
    ) {
        let total = |site: &SiteVerdict| {
            let group = self.operations.iter().find(|g| g.name == site.growth_per_op.operation);
            site.growth_per_op.value * group.map_or(0.0, Operations::total)
        };
        sites.sort_by(|(a, _), (b, _)| {
            a.verdict.cmp(&b.verdict).then(total(b).total_cmp(&total(a)))
        });
        verdict.undecided = sites.iter().any(|(_, undecided)| *undecided);
        verdict.verdict =
            sites.iter().map(|(site, _)| site.verdict).min().unwrap_or(Verdict::Steady);
        for (group, limit) in self.operations.iter().zip(&self.limits) {
            verdict.limits.insert(group.name.clone(), *limit);
        }
        for (index, group) in self.operations.iter().enumerate() {
            verdict.detectable.insert(group.name.clone(), self.detectable(index, candidates));
        }
        verdict.detectable_bytes_per_op =
            self.operations.first().and_then(|group| verdict.detectable.get(&group.name)).copied();
        let unsettled =
            self.series.measured().iter().filter(|point| point.observation.unsettled).count();
        if unsettled > 0 {
            verdict.reasons.push(format!(
                "{unsettled} rounds had not settled when their snapshot was taken: raise \
                 `memory.settle.timeout`"
            ));
        }
        sites.truncate(SITES_MAX);
        verdict.sites = sites.into_iter().map(|(site, _)| site).collect();
    }

    /// The smallest growth that would have been called with 95 % chance, bytes per operation: at
    /// a site of its own by the samples it takes, and at any site called steady by its error.
    fn detectable(&self, with: usize, candidates: &[Candidate<'_>]) -> f64 {
        let sites = candidates.len().max(1) as f64;
        let sigma =
            quantile(1.0 - self.alpha / sites, f64::INFINITY) + quantile(POWER, f64::INFINITY);
        let samples = sigma * sigma;
        let alone = samples * self.series.interval_bytes() / self.operations[with].total().max(1.0);
        candidates
            .iter()
            .map(|candidate| candidate.growth.by_operation[with].se * sigma)
            .fold(alone, f64::max)
    }
}

/// How much larger a container must have become for it to be another one.
const CONTAINER_STEP: f64 = 1.2;

fn estimate(slope: &Slope, (low, high): (f64, f64), operation: &str) -> Estimate {
    Estimate {
        value: slope.value,
        low,
        high,
        confidence: CONFIDENCE,
        operation: operation.to_owned(),
    }
}
