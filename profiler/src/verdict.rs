//! The word: what a series says of each site, and of the run. In: a [`Series`] and what growth is
//! of interest. Out: [`MemoryVerdict`], with the numbers and reasons behind every word. Pure.
//!
//! The rule is written down in `docs/method.md`; `leaking` needs growth that is sure, that is
//! larger than the limit, that goes on in the second half, and that replayed input shows too.
//! `steady` needs growth above the limit to be ruled out. What is neither is said to be neither.

use crate::frame::same_file;
use crate::growth::{self, Growth, Operations};
use crate::ladder::{Bound, CONFIDENCE, Candidate, Court, UNCOUNTED_WORK};
use crate::power::{errors_needed, samples_needed};
use crate::resident::{NO_PLACE, ROOM};
use crate::rest::SECOND;
use crate::rules::{ALPHA_SPENT, look};
pub use crate::rules::{LOOKS, Rules};
use crate::series::Series;
use crate::tally::{self, SHARE_MIN, Tally};
use crate::trend::Slope;
use crate::upkeep;
use ebbtide_record::event::RoundKind;
use ebbtide_record::verdict::{RoundPoint, SITES_MAX, SiteVerdict};
use ebbtide_record::{Estimate, Evidence, Kind, MemoryVerdict, Verdict};

/// Judges a series.
#[must_use]
pub fn judge(series: &Series, rules: &Rules) -> MemoryVerdict {
    let measured = series.worked();
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
    let kinds: Vec<RoundKind> = measured.iter().map(|point| point.observation.kind).collect();
    let tallies = tally::growing(series, &operations, &kinds);
    let settled = upkeep::settled(series, &tallies, &operations);
    let series = settled.as_ref();
    let court = Court {
        series,
        rules,
        limits: operations.iter().map(|group| rules.limit(group)).collect(),
        kinds,
        alpha: ALPHA_SPENT[look(measured.len())],
        operations,
    };
    let (mut candidates, unfitted) = candidates(&court, &tallies);
    adjust(&mut candidates);
    let mut sites: Vec<(SiteVerdict, bool)> =
        candidates.iter().map(|candidate| court.site(candidate)).collect();
    let heap = sites.len();
    for tally in &tallies {
        let claimed = claimant(&candidates, tally)
            .map(|index| (&candidates[index], &mut sites[..heap][index]));
        let counted = court.weigh_count(tally, claimed);
        sites.extend(counted);
    }
    court.sum_up(&mut verdict, sites, &candidates);
    leave_out(&mut verdict, &unfitted);
    verdict
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

/// Sites whose growth no figure could be given for: what is not excluded there is not excluded of
/// the run. Where there are no others either, there was nothing to judge.
fn leave_out(verdict: &mut MemoryVerdict, unfitted: &[&str]) {
    if verdict.sites.is_empty() && unfitted.is_empty() {
        verdict.verdict = Verdict::Inconclusive;
        verdict.reasons.push(
            "no snapshot shows any live heap: the target's heap profiling is switched off, or \
             set to sample nothing; switch it on and measure again"
                .to_owned(),
        );
    }
    let Some(reason) = left_out(unfitted) else { return };
    verdict.reasons.push(reason);
    if verdict.sites.is_empty() || matches!(verdict.verdict, Verdict::Warming | Verdict::Steady) {
        (verdict.verdict, verdict.undecided) = (Verdict::Inconclusive, true);
    }
}

/// Those sites in words.
fn left_out(sites: &[&str]) -> Option<String> {
    let shown = sites.iter().take(SITES_NAMED).map(|function| format!("`{function}`"));
    let named = shown.collect::<Vec<_>>().join(", ");
    let more = if sites.len() > SITES_NAMED { " and others" } else { "" };
    (!sites.is_empty()).then(|| {
        format!(
            "{} sites are not judged, since their figures allow no fit over these rounds ({named}\
             {more}): their growth is not excluded",
            sites.len()
        )
    })
}

/// Sites named in such a sentence.
const SITES_NAMED: usize = 3;

/// Every site with its growth, and the functions of those of which none could be fitted.
fn candidates<'a>(court: &Court<'a>, tallies: &'a [Tally]) -> (Vec<Candidate<'a>>, Vec<&'a str>) {
    let mut list: Vec<Candidate<'a>> = Vec::new();
    let mut unfitted = Vec::new();
    for (id, track) in court.series.sites() {
        let columns = court.series.columns(track);
        let Some(growth) = growth::of(&columns.bytes, &court.operations, &court.kinds) else {
            unfitted.push(track.function.as_str());
            continue;
        };
        // Objects are told beside growth; nobody asks for those of a site that does not grow.
        let counted = !columns.uncounted;
        let interesting = counted && growth.slope.value > 0.0 && growth.slope.p_value() < 0.05;
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
    (list, unfitted)
}

/// The site that a tally speaks of: in the same file, growing, the same function or else nearest
/// in lines.
fn claimant(candidates: &[Candidate<'_>], tally: &Tally) -> Option<usize> {
    let near = |candidate: &Candidate<'_>| {
        let track = candidate.track?;
        (same_file(&tally.file, &track.file) && candidate.growth.slope.value > 0.0)
            .then(|| (track.function != tally.function, track.line.abs_diff(tally.line)))
    };
    let keyed = candidates.iter().enumerate().filter_map(|(i, c)| Some((near(c)?, i)));
    keyed.filter(|((_, lines), _)| *lines <= NEAR_LINES).min().map(|(_, index)| index)
}

/// A guard and the memory it speaks of stand at most this many lines apart.
const NEAR_LINES: u32 = 60;

/// A guard that does not know its function is of that whose memory grows so few lines away, by the
/// same operation.
const SAME_LINES: u32 = 16;

/// Why a count that grows surely is no leak.
const YOUNG: &str = "what is counted there is young, as the heap tells: there is more of it at a \
     time, and nothing old is kept";

/// What is counted is counted in this very function.
fn is_of(tally: &Tally, site: &SiteVerdict, candidate: &Candidate<'_>) -> bool {
    let beside = || {
        let growth = &candidate.growth;
        growth.with == tally.growth.with
            && growth.slope.lower(CONFIDENCE) > 0.0
            && site.line.abs_diff(tally.line) <= SAME_LINES
    };
    site.function == tally.function || (tally.function.is_empty() && beside())
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
        let contents = self.weigh_containers(candidate, &mut word, &mut undecided, &mut reasons);
        let bytes = (&candidate.columns.bytes, growth);
        let contents =
            contents.or_else(|| self.weigh_rest(bytes, "bytes", &mut word, &mut reasons));
        self.weigh_ages(candidate, &mut word, &mut undecided, &mut reasons);
        self.weigh_knowledge(candidate, &mut word, &mut undecided, &mut reasons);
        self.add_reasons(candidate, word, &mut reasons);
        reasons.extend(candidate.track.and_then(upkeep::reason));
        let (with, (value, (low, high))) = match contents {
            Some(contents) => (contents.with, (contents.value, contents.interval)),
            None => (Some(growth.with), self.told(candidate, word)),
        };
        let operation =
            with.map_or_else(|| SECOND.to_owned(), |with| self.operations[with].name.clone());
        let objects = candidate.objects.as_ref().zip(with).map(|(objects, with)| {
            let slope = objects.by_operation[with];
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
            objects_per_op: objects,
            growth_on_replay: self.on_replay(growth),
            live_bytes: series.last().copied().unwrap_or(0.0).max(0.0) as u64,
            live_objects: track
                .and_then(|t| self.series.live_objects(t))
                .map(|n| n.max(0.0) as u64),
            container_bytes: candidate.columns.containers.last().copied().unwrap_or(0.0) as u64,
            p_value: candidate.p_adjusted,
            reasons,
            evidence: self.evidence(candidate),
            series,
            stack: track.map(|t| t.stack.clone()).unwrap_or_default(),
        };
        (site, undecided)
    }

    fn on_replay(&self, growth: &Growth) -> Option<Estimate> {
        let (_, replay) = growth.by_novelty?;
        let operation = &self.operations[growth.with].name;
        self.kinds
            .contains(&RoundKind::Replay)
            .then(|| estimate(&replay, replay.interval(CONFIDENCE), operation))
    }

    /// What is counted is exact, and what a heap was sampled for may be most of it or hardly any:
    /// where the heap is less sure of a place than the count, the count gives the word. A place of
    /// its own, unless the heap's is the same function.
    fn weigh_count(
        &self,
        tally: &Tally,
        claimed: Option<(&Candidate<'_>, &mut (SiteVerdict, bool))>,
    ) -> Option<(SiteVerdict, bool)> {
        // A bound that the user has declared holds for what is counted there as well.
        let place = claimed.as_ref().and_then(|(candidate, _)| candidate.track);
        if self.declared(place.map_or(&tally.function, |track| &track.function)).is_some() {
            return None;
        }
        let (mut counted, mut undecided) = self.counted(tally);
        if let Some((candidate, (site, _))) = &claimed
            && is_of(tally, site, candidate)
            && counted.verdict == Verdict::Leaking
            && site.evidence.ages.as_ref().is_some_and(|ages| ages.turns_over)
        {
            (counted.verdict, undecided) = (Verdict::Growing, true);
            counted.reasons.push(YOUNG.to_owned());
        }
        match claimed {
            Some((_, (site, _))) if site.verdict <= counted.verdict => None,
            Some((candidate, (site, open))) if is_of(tally, site, candidate) => {
                (site.verdict, site.line, *open) = (counted.verdict, tally.line, undecided);
                let slope = &candidate.growth.by_operation[tally.growth.with];
                let operation = &self.operations[tally.growth.with].name;
                site.growth_per_op = estimate(slope, slope.interval(CONFIDENCE), operation);
                site.objects_per_op = counted.objects_per_op;
                site.reasons.extend(counted.reasons);
                None
            }
            _ => Some((counted, undecided)),
        }
    }

    /// A site that only the census knows: objects grow where the heap is not as sure.
    fn counted(&self, tally: &Tally) -> (SiteVerdict, bool) {
        let mut reasons = vec![format!(
            "the census counts {:.2} more live {} per {}, of which the heap alone is not sure",
            tally.growth.slope.value,
            tally.kind.words(),
            self.operations[tally.growth.with].name
        )];
        let over = |late: &Slope| late.interval(CONFIDENCE).1 <= SHARE_MIN;
        let bound = Bound { over: &over, interest: SHARE_MIN };
        let (mut verdict, undecided) = self.word_for_growth(&tally.growth, &bound, &mut reasons);
        let objects = (&tally.column, &tally.growth);
        let clock = self.weigh_rest(objects, tally.kind.words(), &mut verdict, &mut reasons);
        if verdict == Verdict::Leaking && !self.rules.known_load {
            verdict = Verdict::Growing;
            reasons.push(UNCOUNTED_WORK.to_owned());
        }
        let operation = &self.operations[tally.growth.with].name;
        let slope = &tally.growth.slope;
        let by_work = estimate(slope, slope.interval(CONFIDENCE), operation);
        let per = clock.map_or(by_work, |clock| Estimate {
            value: clock.value,
            low: clock.interval.0,
            high: clock.interval.1,
            confidence: CONFIDENCE,
            operation: SECOND.to_owned(),
        });
        let site = SiteVerdict {
            id: format!("census:{}:{}", tally.file, tally.line),
            function: tally.function.clone(),
            file: tally.file.clone(),
            line: tally.line,
            kind: tally.kind,
            kind_from: "census".to_owned(),
            verdict,
            growth_per_op: Estimate { operation: per.operation.clone(), ..Estimate::default() },
            objects_per_op: Some(per),
            live_objects: Some(tally.live),
            p_value: slope.p_value(),
            reasons,
            evidence: Evidence {
                census: Some(self.census(tally, tally.growth.with)),
                ..self.circumstances(tally.growth.with)
            },
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
            let clock = || self.series.seconds().unwrap_or_default().iter().sum();
            site.growth_per_op.value * group.map_or_else(clock, Operations::total)
        };
        // What a runtime keeps for the user's sake comes after what the user's own code keeps.
        let foreign =
            |site: &SiteVerdict| !site.stack.is_empty() && site.stack.iter().all(|f| !f.own);
        sites.sort_by(|(a, _), (b, _)| {
            let own = foreign(a).cmp(&foreign(b));
            a.verdict.cmp(&b.verdict).then(own).then(total(b).total_cmp(&total(a)))
        });
        if self.series.is_resident() {
            verdict.reasons.push(NO_PLACE.to_owned());
        }
        verdict.undecided = sites.iter().any(|(_, undecided)| *undecided);
        verdict.verdict = sites.iter().map(|(site, _)| site.verdict).min().unwrap_or_default();
        let calm = matches!(verdict.verdict, Verdict::Steady | Verdict::Warming);
        if calm && self.series.is_resident() {
            verdict.reasons.push(ROOM.to_owned());
        }
        let apart = || self.operations.iter().enumerate().filter(|(_, group)| !group.pooled);
        for (group, limit) in apart().map(|(index, group)| (group, &self.limits[index])) {
            verdict.limits.insert(group.name.clone(), limit.proof);
        }
        // What resident memory would have shown is not known: it may have had room to fill.
        for (index, group) in apart().filter(|_| !self.series.is_resident()) {
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
        let sigma = errors_needed(self.alpha, sites);
        let alone = samples_needed(self.alpha, sites) * self.series.interval_bytes()
            / self.operations[with].total().max(1.0);
        // What surely grows is reported; its error against other operations says nothing of them.
        candidates
            .iter()
            .filter(|c| c.p_adjusted > self.alpha)
            .map(|candidate| candidate.growth.by_operation[with].se * sigma)
            .fold(alone, f64::max)
    }
}

fn estimate(slope: &Slope, (low, high): (f64, f64), operation: &str) -> Estimate {
    Estimate {
        value: slope.value,
        low,
        high,
        confidence: CONFIDENCE,
        operation: operation.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_allows_no_fit_leaves_no_run_steady() {
        use Verdict::{Growing, Inconclusive, Leaking, Steady, Warming};
        let words = [Leaking, Growing, Inconclusive, Warming, Steady];
        for (word, with_a_gap) in
            words.into_iter().zip([Leaking, Growing, Inconclusive, Inconclusive, Inconclusive])
        {
            let sites = vec![SiteVerdict::default()];
            let mut judged = MemoryVerdict { verdict: word, sites, ..MemoryVerdict::default() };
            leave_out(&mut judged, &[]);
            assert_eq!((judged.verdict, judged.reasons.len()), (word, 0));
            leave_out(&mut judged, &["shop::keep"]);
            assert_eq!(judged.verdict, with_a_gap, "{word:?}");
            assert!(judged.reasons[0].contains("`shop::keep`"), "{:?}", judged.reasons);
        }
        for (unfitted, reason) in [(&[][..], "switched off"), (&["shop::keep"], "`shop::keep`")] {
            let mut judged = MemoryVerdict::default();
            leave_out(&mut judged, unfitted);
            assert_eq!(judged.verdict, Inconclusive);
            assert_eq!(judged.reasons.len(), 1, "{:?}", judged.reasons);
            assert!(judged.reasons[0].contains(reason), "{:?}", judged.reasons);
        }
    }
}
