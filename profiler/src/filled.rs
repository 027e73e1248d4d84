//! Whether what is kept by key was full before the rounds ended: growth with new input that breaks
//! off in one of them. In: the increments of one quantity, the operations of each round and whether
//! their input was new. Out: [`Filled`], the growth until the break and after it. Pure; chooses no
//! word.
//!
//! A cache grows evenly with its keys until it is full; then each new key drives an old one out.
//! Halves and quarters of the run split that where it does not break. The break is searched, and
//! must explain far more than an even rate does, since it is searched.

use crate::trend::{
    self, BELIEVED, Fit, LASTING_SURE, Noise, Slope, WARM_UPS, WARM_UPS_ALONE, dying,
};
use ebbtide_record::event::RoundKind;

/// Growth by key that breaks off in a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filled {
    /// The measured round in which it does, from 0.
    pub round: usize,
    /// Growth per operation with new input until then.
    pub before: Slope,
    /// The same from then on.
    pub after: Slope,
    /// Growth per operation with replayed input.
    pub replay: Slope,
    /// Growth per operation of any input, in all rounds, beside a cache that grows until then and
    /// not after it.
    pub beside: Slope,
    /// The least of it where a warm-up of any length that may be believed is allowed for as well;
    /// 0 where it does not surely outlast one of them.
    pub lasting: f64,
    /// How much worse a warm-up beside an even rate explains it, in chi squared.
    pub margin: f64,
}

/// Measured rounds from which on a break is looked for.
const ROUNDS_MIN: usize = 16;
/// Rounds with new input that there must be on each side of it.
const NEW_MIN: usize = 3;
/// Chi squared by which growth that breaks off must explain more than growth that goes on: it has
/// two parameters more, and the best of some ten rounds is taken (about 1 %). That little growth
/// is left is asked for besides.
const BREAK_SURE: f64 = 14.0;
/// Confidence of a one-sided interval for growth that surely goes on.
const AFTER_SURE: f64 = 0.999;
/// Share of the growth before the break below which that after it is the end of it.
const SLOWED: f64 = 0.5;
/// Chi squared by which it must explain more than a warm-up beside an even rate does, for that to
/// be no warm-up: a cache explains the difference between new and replayed input as well.
const NO_WARM_UP: f64 = 20.0;

impl Filled {
    /// Growth after the break is less than half of that before, and none of it above the limit is
    /// sure: neither with new input alone, nor with any input, unless a warm-up may explain that.
    #[must_use]
    pub fn seems_full(&self, limit: f64) -> bool {
        let less = self.after.value < SLOWED * self.before.value;
        let alike = [self.replay, self.beside].iter().any(|slope| goes_on(slope, limit));
        let more = self.after.value - self.replay.value;
        let by_key = more > limit && more >= LASTING_SURE * self.after.se.hypot(self.replay.se);
        let grows =
            if alike { self.lasting > limit || by_key } else { goes_on(&self.after, limit) };
        less && !grows
    }

    /// What grows beside the cache surely does so with any input, and no warm-up explains it,
    /// neither in the place of the cache nor beside it.
    #[must_use]
    pub fn leaks_beside(&self, limit: f64) -> bool {
        let falls = self.after.value < self.before.value;
        let kept = [self.replay, self.beside];
        let warms = self.margin < NO_WARM_UP || self.lasting <= limit;
        falls && !warms && kept.iter().all(|slope| goes_on(slope, limit))
    }
}

fn goes_on(slope: &Slope, limit: f64) -> bool {
    slope.value > limit && slope.lower(AFTER_SURE) > 0.0
}

/// Looks for the break. `None` where there are too few rounds, where none of them replays its
/// input, or where an even rate with new input explains nearly as much.
pub(crate) fn find(
    increments: &[f64],
    counts: &[f64],
    kinds: &[RoundKind],
    noise: &Noise,
) -> Option<Filled> {
    let rounds = counts.len();
    let is_new = |round: usize| kinds.get(round) != Some(&RoundKind::Replay);
    let new: Vec<usize> = (0..rounds).filter(|round| is_new(*round)).collect();
    if rounds < ROUNDS_MIN || new.len() < 2 * NEW_MIN + 1 || new.len() == rounds {
        return None;
    }
    let only = |keep: &dyn Fn(usize) -> bool| -> Vec<f64> {
        counts.iter().enumerate().map(|(at, n)| if keep(at) { *n } else { 0.0 }).collect()
    };
    let replay = only(&|round| !is_new(round));
    let all_new = only(&is_new);
    let by_novelty = noise.apart(&[all_new.clone(), replay.clone()]);
    let even = trend::fit(increments, &[all_new, replay.clone()], &by_novelty)?;
    // The round itself was the one at its beginning and the other at its end.
    let parts = |at: usize| {
        let before = only(&|round| is_new(round) && round < at);
        let after = only(&|round| is_new(round) && round > at);
        [before, after, only(&|round| round == at), replay.clone()]
    };
    let tried = new[NEW_MIN..new.len() - NEW_MIN].iter();
    let fits =
        tried.filter_map(|at| Some((*at, trend::fit(increments, &parts(*at), &by_novelty)?)));
    let (round, best) = fits.min_by(|(_, a), (_, b)| a.chi2.total_cmp(&b.chi2))?;
    let unit = (best.chi2 / best.df).max(1.0);
    if (even.chi2 - best.chi2) / unit < BREAK_SURE {
        return None;
    }
    let warm_ups = WARM_UPS_ALONE.iter().filter_map(|constant| {
        let parts = [counts.to_vec(), dying(counts, *constant)];
        Some(trend::fit(increments, &parts, &by_novelty)?.chi2)
    });
    let margin = (warm_ups.fold(even.chi2, f64::min) - best.chi2) / unit;
    // What came before and what comes and goes since has an error of its own on each side.
    let parts = parts(round);
    let noise = noise.apart(&parts);
    let apart = trend::fit(increments, &parts, &noise)?;
    let [before, _, at, _] = parts;
    let beside = trend::fit(increments, &[counts.to_vec(), before.clone(), at.clone()], &noise)?;
    let warm = |constant: &f64| {
        let parts = [counts.to_vec(), before.clone(), at.clone(), dying(counts, *constant)];
        trend::fit(increments, &parts, &noise)
    };
    let warm_ups = WARM_UPS.iter().filter(|constant| **constant <= rounds as f64);
    let lasting = least(&beside, &warm_ups.filter_map(warm).collect::<Vec<_>>());
    Some(Filled {
        round,
        before: apart.terms[0],
        after: apart.terms[1],
        replay: apart.terms[3],
        beside: beside.terms[0],
        lasting,
        margin,
    })
}

/// The least first term of all fits that may be believed, or 0 where one of these is not sure.
fn least(plain: &Fit, others: &[Fit]) -> f64 {
    let all = || others.iter().chain([plain]);
    let Some(best) = all().min_by(|a, b| a.chi2.total_cmp(&b.chi2)) else { return 0.0 };
    let unit = (best.chi2 / best.df).max(1.0);
    let believed = all().filter(|fit| (fit.chi2 - best.chi2) / unit <= BELIEVED);
    let lasts = |slope: &Slope| slope.value >= LASTING_SURE * slope.se;
    let terms = believed.map(|fit| fit.terms[0]);
    terms.map(|slope| if lasts(&slope) { slope.value } else { 0.0 }).fold(f64::INFINITY, f64::min)
}
