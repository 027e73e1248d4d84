//! The ladder of evidence: which word the growth of one site has earned, and why. In: a site's
//! growth, its containers, what the census and the user know. Out: a word, whether more rounds
//! could change it, and the reasons as sentences. Gathering all that is left to `verdict`. Pure.

use crate::growth::{Growth, Operations};
use crate::rules::{Limit, Rules};
use crate::series::{Series, SiteColumns, SiteTrack};
use crate::tally::Tally;
use crate::trend::Slope;
use ebbtide_record::Verdict;
use ebbtide_record::event::RoundKind;
use statrs::distribution::{ContinuousCDF, Gamma};

/// Confidence of every interval that is shown.
pub(crate) const CONFIDENCE: f64 = 0.95;
/// Fewer net samples than this have an exact Poisson interval instead of a normal one.
const POISSON_BELOW: f64 = 20.0;
/// Growth on replay below this share of growth on new input is none to speak of.
const REPLAY_SHARE: f64 = 0.25;
/// Share of its growth in the first half below which what is kept by key seems to be full.
const SLOWED: f64 = 0.5;
/// Chi squared by which an even rate must explain growth better than a warm-up alone for it to
/// go on surely: one in a thousand warm-ups of the worst size passes.
const EVEN_SURE: f64 = 10.0;
/// Times a container must have been replaced by a larger one to be a finding of its own.
const CONTAINER_STEPS: usize = 2;
/// How much larger a container must have become for it to be another one.
const CONTAINER_STEP: f64 = 1.2;

/// Share of the growth that is due which a container must show: sizes are rounded to pages, and
/// corrected for sampling.
const CONTAINER_PACE: f64 = 0.9;
/// Times the work done when it last stepped up after which a container that doubles and is filled
/// evenly must have stepped again.
const OVERDUE: f64 = 2.2;

/// Why growth of a process that is only watched is not called a leak.
pub(crate) const UNCOUNTED_WORK: &str = "nobody counted the work meanwhile, so more of it is not \
     excluded: run it under a scenario to be sure";

/// Chi squared by which one operation must explain growth better than the next to be named
/// without a doubt (a likelihood ratio of 1 to 20).
const MARGIN_SURE: f64 = 6.0;

/// One site with everything a word is chosen by.
pub(crate) struct Candidate<'a> {
    pub(crate) id: String,
    pub(crate) track: Option<&'a SiteTrack>,
    pub(crate) columns: SiteColumns,
    pub(crate) growth: Growth,
    pub(crate) objects: Option<Growth>,
    pub(crate) tally: Option<&'a Tally>,
    pub(crate) p_adjusted: f64,
}

/// What the contents of a container grew by, where that is the finding.
pub(crate) struct Contents {
    /// The operations it goes with; `None` for the clock.
    pub(crate) with: Option<usize>,
    /// Bytes per operation, and the ends of its interval.
    pub(crate) value: f64,
    pub(crate) interval: (f64, f64),
}

impl Contents {
    pub(crate) fn by_clock(slope: &Slope) -> Self {
        Self { with: None, value: slope.value, interval: slope.interval(CONFIDENCE) }
    }
}

/// Everything that is the same for all sites.
pub(crate) struct Court<'a> {
    pub(crate) series: &'a Series,
    pub(crate) rules: &'a Rules,
    pub(crate) operations: Vec<Operations>,
    pub(crate) kinds: Vec<RoundKind>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) alpha: f64,
}

/// What growth is held against, in the unit of what grows.
pub(crate) struct Bound<'a> {
    /// Whether growth of any interest is ruled out by this late rate.
    pub(crate) over: &'a dyn Fn(&Slope) -> bool,
    /// The least growth per operation that is of interest.
    pub(crate) interest: f64,
}

/// The word for something kept by key that was full in one of the rounds: whether by chance more
/// came than went since is not known, unless growth of interest is ruled out.
fn word_for_filled(
    growth: &Growth,
    bound: &Bound<'_>,
    reasons: &mut Vec<String>,
) -> Option<(Verdict, bool)> {
    let filled = growth.filled.filter(|filled| filled.seems_full(bound.interest))?;
    let ended = (bound.over)(&filled.after) && (bound.over)(&filled.replay);
    let (low, high) = filled.after.interval(CONFIDENCE);
    reasons.push(format!(
        "something kept by key that {} full: {:.1} bytes per operation with new input until \
         measured round {}, {:.1} after it ({low:.1} to {high:.1}), {:.1} with replayed input{}",
        if ended { "is" } else { "seems to be" },
        filled.before.value,
        filled.round + 1,
        filled.after.value,
        filled.replay.value,
        if ended { "" } else { "; more rounds would tell" }
    ));
    Some(if ended { (Verdict::Warming, false) } else { (Verdict::Inconclusive, true) })
}

impl Court<'_> {
    pub(crate) fn word(
        &self,
        candidate: &Candidate<'_>,
        reasons: &mut Vec<String>,
    ) -> (Verdict, bool) {
        let growth = &candidate.growth;
        let Limit { interest, proof: limit } = self.limits[growth.with];
        let sure = candidate.p_adjusted <= self.alpha && growth.slope.value > 0.0;
        if sure && growth.slope.value > interest {
            let over = |late: &Slope| self.is_over(growth, late);
            return if self.series.is_resident() {
                self.word_for_resident(growth, &over, reasons)
            } else {
                self.word_for_growth(growth, &Bound { over: &over, interest }, reasons)
            };
        }
        let (_, (low, high)) = self.interval(candidate);
        // Between the two limits growth may be nearly sure, and is then nothing to call steady.
        let ruled_out = high <= limit
            && low <= interest
            && growth.by_operation.iter().zip(&self.limits).enumerate().all(
                |(index, (slope, limit))| {
                    index == growth.with || slope.interval(CONFIDENCE).1 <= limit.proof
                },
            );
        if ruled_out {
            return (Verdict::Steady, false);
        }
        if let (Some((early, _)), Some(late)) = (growth.halves, growth.late)
            && early.lower(CONFIDENCE) > 0.0
            && self.is_over(growth, &late)
        {
            reasons.push(no_longer(&early));
            return (Verdict::Warming, false);
        }
        let operation = &self.operations[growth.with].name;
        let more = "more rounds, more operations per round or a smaller sample interval would tell";
        reasons.push(if high <= limit && low > interest {
            format!("growth of {low:.0} bytes per {operation} or more is likely, not sure: {more}")
        } else {
            format!(
                "growth is not sure, and up to {high:.0} bytes per {operation} cannot be ruled out \
                 (limit {limit:.0}): {more}"
            )
        });
        (Verdict::Inconclusive, true)
    }

    /// Late growth of any interest is ruled out; or all that must be, and it is surely less than
    /// it was: between the two limits an even rate that is not sure looks like one that ended.
    fn is_over(&self, growth: &Growth, late: &Slope) -> bool {
        let (_, high) = late.interval(CONFIDENCE);
        let most = high * self.operations[growth.with].total();
        let below = |limit: fn(&Limit) -> f64| {
            let groups = self.operations.iter().zip(&self.limits);
            groups.into_iter().all(|(group, l)| most <= limit(l) * group.total())
        };
        let less = growth.halves.is_some_and(|(early, _)| high < early.lower(CONFIDENCE));
        below(|limit| limit.interest)
            || (late.lower(CONFIDENCE) <= 0.0 && less && below(|limit| limit.proof))
    }

    pub(crate) fn word_for_growth(
        &self,
        growth: &Growth,
        bound: &Bound<'_>,
        reasons: &mut Vec<String>,
    ) -> (Verdict, bool) {
        let over = bound.over;
        if let Some((early, late)) = growth.halves
            && (late.lower(CONFIDENCE) <= 0.0 && growth.late.is_some_and(|late| over(&late))
                || growth.latest.is_some_and(|latest| over(&latest)))
        {
            reasons.push(no_longer(&early));
            return (Verdict::Warming, false);
        }
        let is_input = |replay: f64| {
            format!(
                "replayed input makes it grow as well ({replay:.1} bytes per operation), so it is \
                 not a cache that fills"
            )
        };
        if let Some(filled) = growth.filled.filter(|filled| filled.leaks_beside(bound.interest)) {
            reasons.push(format!(
                "beside something kept by key that was full in measured round {} ({:.1} bytes per \
                 operation with new input until then) it grows on with any input",
                filled.round + 1,
                filled.before.value - filled.beside.value
            ));
            reasons.push(is_input(filled.replay.value));
            return (Verdict::Leaking, false);
        }
        let replayed = growth.by_novelty.filter(|_| self.kinds.contains(&RoundKind::Replay));
        if let Some((new, replay)) = replayed
            && (replay.lower(CONFIDENCE) <= 0.0 || replay.value < REPLAY_SHARE * new.value)
        {
            return self.word_for_keys(growth, (&new, &replay), bound, reasons);
        }
        if let Some(doubt) = doubt(growth) {
            reasons.push(doubt);
            return (Verdict::Inconclusive, true);
        }
        reasons.push(match replayed {
            Some((_, replay)) => is_input(replay.value),
            None => "no round replayed its input, so a cache that fills is not excluded".to_owned(),
        });
        (Verdict::Leaking, false)
    }

    /// The word for growth that replayed input does not surely show.
    fn word_for_keys(
        &self,
        growth: &Growth,
        (new, replay): (&Slope, &Slope),
        bound: &Bound<'_>,
        reasons: &mut Vec<String>,
    ) -> (Verdict, bool) {
        if let Some(word) = word_for_filled(growth, bound, reasons) {
            return word;
        }
        let bounded = replay.upper(CONFIDENCE) < new.lower(CONFIDENCE);
        if let (true, Some((early, late)), Some(latest)) = (bounded, growth.halves, growth.latest)
            && latest.lower(CONFIDENCE) <= 0.0
            && latest.upper(CONFIDENCE) < SLOWED * early.lower(CONFIDENCE)
        {
            reasons.push(format!(
                "something kept by key that seems to be full: {:.1} bytes per operation in the \
                 first half of the rounds, {:.1} in the second, {:.1} in the last quarter; more \
                 rounds would tell",
                early.value, late.value, latest.value
            ));
            return (Verdict::Inconclusive, true);
        }
        reasons.push(if bounded {
            format!(
                "it grows with new input ({:.1} bytes per operation with new input, which is {:.1} \
                 per operation of all, replayed ones among them) and not when the same input comes \
                 again ({:.1}): something kept by key, no bound seen up to {} operations with new \
                 input",
                new.value,
                growth.slope.value,
                replay.value,
                self.inputs_seen(growth.with)
            )
        } else {
            "whether it grows on replayed input too is not sure".to_owned()
        });
        // Only more new keys can show a bound, and the last look has seen the most of them.
        (Verdict::Growing, true)
    }

    /// Containers that are replaced by larger ones again and again are a finding even when
    /// nothing else at the site grows. One that doubles keeps pace with even growth while it
    /// steps before the work since the start has doubled; when that passes without a step, it
    /// has stopped. Returns what its contents grew by per operation when that is the finding.
    pub(crate) fn weigh_containers(
        &self,
        candidate: &Candidate<'_>,
        word: &mut Verdict,
        undecided: &mut bool,
        reasons: &mut Vec<String>,
    ) -> Option<Contents> {
        let levels = &candidate.columns.containers;
        let (first, last) = (*levels.first()?, *levels.last()?);
        let grown = last - first;
        let larger = |at: usize| levels[at] > levels[at - 1] * CONTAINER_STEP;
        let steps: Vec<usize> = (1..levels.len()).filter(|at| larger(*at)).collect();
        let latest = *steps.last().filter(|_| grown > 0.0)?;
        reasons.push(format!(
            "its container was replaced by a larger one {} times, from {first:.0} to \
             {last:.0} bytes, which is not part of the growth per operation",
            steps.len()
        ));
        let growth = &candidate.growth;
        let total = self.operations[growth.with].total().max(1.0);
        let quiet = matches!(word, Verdict::Steady | Verdict::Warming);
        if !quiet || grown / total <= self.limits[growth.with].proof {
            return None;
        }
        let work = self.series.work_done();
        let (Some(before), Some(now)) = (work.first(), work.last()) else { return None };
        if *now >= work[latest] * OVERDUE {
            *word = Verdict::Warming;
            return None;
        }
        *undecided = true;
        let due = (now / before.max(1.0)).log2().floor().exp2();
        if steps.len() < CONTAINER_STEPS || last < first * due * CONTAINER_PACE {
            *word = Verdict::Inconclusive;
            return None;
        }
        *word = Verdict::Growing;
        // Its steps are too few to say which operation fills it.
        let with = self.operations.iter().position(|group| group.pooled).unwrap_or(growth.with);
        let total = self.operations[with].total().max(1.0);
        // A container that doubles is between half and wholly full.
        let interval = ((last / 2.0 - first).max(0.0) / total, (last - first / 2.0) / total);
        Some(Contents { with: Some(with), value: grown / total, interval })
    }

    /// The bound that the user has declared for a function.
    pub(crate) fn declared(&self, function: &str) -> Option<(&String, &u64)> {
        self.rules.bounded.iter().find(|(name, _)| function.contains(*name))
    }

    /// What the user knows: that a site is bounded, or that nobody counts the work.
    pub(crate) fn weigh_knowledge(
        &self,
        candidate: &Candidate<'_>,
        word: &mut Verdict,
        undecided: &mut bool,
        reasons: &mut Vec<String>,
    ) {
        let Some(track) = candidate.track else { return };
        if let Some((name, bound)) = self.declared(&track.function) {
            let live = self.series.levels(track).last().copied().unwrap_or(0.0);
            *undecided = false;
            if live <= *bound as f64 {
                *word = Verdict::Steady;
                reasons.push(format!("{live:.0} bytes are within the bound of `{name}`, {bound}"));
            } else {
                // Resident memory holds what the allocator keeps, and is never `leaking`.
                let resident = self.series.is_resident();
                *word = if resident { Verdict::Growing } else { Verdict::Leaking };
                reasons.push(format!("{live:.0} bytes are over the bound of `{name}`, {bound}"));
            }
        } else if *word == Verdict::Leaking && !self.rules.known_load {
            *word = Verdict::Growing;
            reasons.push(UNCOUNTED_WORK.to_owned());
        }
    }

    pub(crate) fn add_reasons(
        &self,
        candidate: &Candidate<'_>,
        word: Verdict,
        reasons: &mut Vec<String>,
    ) {
        if !matches!(word, Verdict::Leaking | Verdict::Growing) {
            return;
        }
        let growth = &candidate.growth;
        if let Some(tally) = candidate.tally {
            let per_operation = tally.growth.by_operation[growth.with].value;
            let agreed = self.census(tally, growth.with).whole;
            let whole = agreed.map_or("", |_| " (a whole number, as what is forgotten is)");
            reasons.push(format!(
                "the census counts {per_operation:.2} more live {} per {}{whole}, made at {}:{}",
                tally.kind.words(),
                self.operations[growth.with].name,
                tally.file,
                tally.line
            ));
        }
        let others: Vec<&str> = self
            .operations
            .iter()
            .zip(&growth.margins)
            .enumerate()
            .filter(|(index, (_, margin))| *index != growth.with && **margin < MARGIN_SURE)
            .map(|(_, (group, _))| group.name.as_str())
            .collect();
        if !others.is_empty() {
            reasons.push(format!(
                "which operation does it is not sure: {} would explain it nearly as well",
                others.join(" or ")
            ));
        }
    }

    /// Growth per operation as it is told under a word: what lasts, where a warm-up is beside it.
    pub(crate) fn told(&self, candidate: &Candidate<'_>, word: Verdict) -> (f64, (f64, f64)) {
        let growth = &candidate.growth;
        if word == Verdict::Leaking && !self.is_few(candidate) {
            let limit = self.limits[growth.with].interest;
            if let Some(filled) = growth.filled.filter(|filled| filled.leaks_beside(limit)) {
                return (filled.beside.value, filled.beside.interval(CONFIDENCE));
            }
            if let Some(fading) = growth.fading {
                return (fading.value, fading.interval);
            }
            if let Some(lasting) = growth.lasting {
                return (lasting.value, lasting.interval(CONFIDENCE));
            }
        }
        self.interval(candidate)
    }

    /// So few samples brought the growth that its interval is Poisson's.
    fn is_few(&self, candidate: &Candidate<'_>) -> bool {
        let columns = &candidate.columns;
        let net = columns.net_samples.round();
        net > 0.0
            && net < POISSON_BELOW
            && columns.turnover < 0.1
            && candidate.growth.slope.df.is_infinite()
            && self.series.interval_bytes() > 1.0
    }

    /// Growth per operation with its interval: exact for few samples, else from the fit.
    pub(crate) fn interval(&self, candidate: &Candidate<'_>) -> (f64, (f64, f64)) {
        let (columns, slope) = (&candidate.columns, &candidate.growth.slope);
        if self.is_few(candidate) {
            let net = columns.net_samples.round();
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
}

/// Why it is not sure that growth goes on, if it is not.
pub(crate) fn doubt(growth: &Growth) -> Option<String> {
    let (early, late) = growth.halves?;
    let rates = format!(
        "{:.1} bytes per operation in the first half of the rounds, {:.1} in the second",
        early.value, late.value
    );
    let subsides = growth.fading.filter(|fading| fading.subsides);
    if let Some(fading) = subsides {
        let surely = if fading.sure { "is" } else { "seems to be" };
        return Some(format!(
            "it {surely} slowing down, and a warm-up explains it: {rates}; more rounds would tell \
             whether it stops"
        ));
    }
    if late.lower(CONFIDENCE) <= 0.0 {
        return Some(format!("growth in the second half of the rounds is not sure: {rates}"));
    }
    (growth.evenness < EVEN_SURE).then(|| {
        format!(
            "that it goes on is not sure, a warm-up as long as the run would explain it too: \
             {rates}; more rounds would tell"
        )
    })
}

pub(crate) fn no_longer(early: &Slope) -> String {
    format!(
        "it grew by {:.0} bytes per operation in the first half of the rounds and no longer does",
        early.value
    )
}
