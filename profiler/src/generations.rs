//! Generations: how old what lives at a site is, where a snapshot or the process itself tells. A
//! leak keeps objects of every age; what turns over has none that is old. In: a candidate and the
//! court it stands before. Out: ages as evidence, and a word held against them: they take a leak
//! back where nothing of the first half is left, and never make one. Pure.

use crate::ladder::{Candidate, Court};
use crate::series::LiveByAge;
use crate::trend::quantile;
use ebbtide_record::Verdict;
use ebbtide_record::evidence::Ages;
use statrs::distribution::{ContinuousCDF, Gamma};

/// Seconds by which the clock of a process and the run's may differ: both count whole seconds,
/// and a snapshot takes its time.
const CLOCKS_S: f64 = 2.0;
/// A bound this much nearer than the end of the first half says nothing of the halves.
const NEAR: f64 = 0.5;
/// Share of what came in the first half that must surely be gone for a site to turn over.
const LEFT_AT_MOST: f64 = 0.25;
/// Confidence of that: one in a thousand sites that keep as much looks so.
const SURE: f64 = 0.999;
/// Samples from which on the upper limit is that of the normal distribution: it is right to one
/// in a thousand there, and the search for the exact one need not end for counts without measure.
const MANY: f64 = 1e4;
/// Share of what is live that is old, from which on ages are told as support of a leak. Even
/// growth from nothing leaves a half.
const OLD_SHARE: f64 = 0.4;

/// Live samples by age, held against the halves of the measured rounds.
struct Generations {
    /// Live samples that are older than the second half, or may be: of unknown age.
    old: f64,
    /// Those of unknown age among them.
    unaged: f64,
    /// Live samples that came, net, in the first half.
    came: f64,
}

impl Court<'_> {
    /// What is known of the ages at a site.
    pub(crate) fn ages(&self, candidate: &Candidate<'_>) -> Option<Ages> {
        self.of_heap(candidate).map(|(ages, _)| ages).or_else(|| self.of_census(candidate))
    }

    /// Holds a word for growth against the ages of what lives.
    pub(crate) fn weigh_ages(
        &self,
        candidate: &Candidate<'_>,
        word: &mut Verdict,
        undecided: &mut bool,
        reasons: &mut Vec<String>,
    ) {
        if !matches!(word, Verdict::Leaking | Verdict::Growing | Verdict::Inconclusive) {
            return;
        }
        let Some((ages, generations)) = self.of_heap(candidate) else { return };
        let (Some(half), Some(older)) = (ages.half_s, ages.older) else { return };
        let share = older * 100.0;
        if ages.turns_over {
            let Some(Generations { old, unaged, came }) = generations else { return };
            let unknown = match unaged.round() {
                0.0 => String::new(),
                unaged => format!(" or of unknown age ({unaged})"),
            };
            reasons.push(format!(
                "what lives there is young: {old:.0} samples are older than {half:.0} s{unknown}, \
                 where {came:.0} came in the first half of the measured rounds: it turns over, and \
                 there is more of it at a time (a backlog, a time limit under rising load, or \
                 copies of something that grows)"
            ));
            if *word == Verdict::Leaking {
                (*word, *undecided) = (Verdict::Growing, true);
            }
        } else if *word == Verdict::Leaking && older >= OLD_SHARE {
            reasons.push(format!(
                "{share:.0} % of what lives there is older than {half:.0} s, from before the \
                 second half of the measured rounds: it keeps objects of every age"
            ));
        }
    }

    /// Ages as the snapshot tells them.
    fn of_heap(&self, candidate: &Candidate<'_>) -> Option<(Ages, Option<Generations>)> {
        let told = self.series.ages(candidate.track?)?;
        let LiveByAge { bounds_s: bounds, bytes, samples, unaged } = told;
        let aged: f64 = samples.iter().sum();
        if aged <= 0.0 {
            return None;
        }
        let all = aged + unaged.1;
        // A sample stands for many objects, all of its age.
        let live = candidate.columns.objects.levels.last().copied().unwrap_or(0.0).max(0.0);
        let each = if candidate.columns.uncounted { 1.0 } else { live / all };
        let half = self.half(bounds);
        let came = half
            .map(|(_, rounds)| candidate.columns.bytes.noise.net.iter().take(rounds).sum::<f64>());
        let generations = half.zip(came).map(|((at, _), came)| {
            let old = samples[at + 1..].iter().sum::<f64>() + unaged.1;
            Generations { old, unaged: unaged.1, came }
        });
        let ages = Ages {
            from: "heap".to_owned(),
            le_s: bounds.to_vec(),
            live: samples.iter().map(|samples| samples * each).collect(),
            half_s: half.map(|(at, _)| bounds[at]),
            older: half.and_then(|(at, _)| share_behind(&bytes, at, unaged.0)),
            turns_over: generations.as_ref().is_some_and(Generations::turn_over),
        };
        Some((ages, generations))
    }

    /// Ages as the process itself counts them.
    fn of_census(&self, candidate: &Candidate<'_>) -> Option<Ages> {
        let tally = candidate.tally?;
        let last = &self.series.worked().last()?.observation.census;
        let of_tally = |file: &str, line| file == tally.file && line == tally.line;
        let site = last.sites.iter().find(|site| of_tally(&site.file, site.line))?;
        let histogram = site.age_s.as_ref()?;
        if histogram.count.len() != histogram.le.len() + 1 {
            return None;
        }
        let le_s: Vec<f64> = histogram.le.iter().map(|bound| *bound as f64).collect();
        let live: Vec<f64> = histogram.count.iter().map(|count| *count as f64).collect();
        let half = self.half(&le_s).map(|(at, _)| at);
        Some(Ages {
            from: "census".to_owned(),
            half_s: half.map(|at| le_s[at]),
            older: half.and_then(|at| share_behind(&live, at, 0.0)),
            turns_over: false,
            le_s,
            live,
        })
    }

    /// The bound that what came in the first half of the measured rounds is older than, as near
    /// to it as there is one, and how many rounds that is.
    fn half(&self, bounds: &[f64]) -> Option<(usize, usize)> {
        let rounds = self.kinds.len();
        let since = self.series.seconds()?.get(rounds / 2..rounds)?.iter().sum::<f64>();
        let at = bounds.iter().rposition(|bound| *bound <= since - CLOCKS_S)?;
        (bounds[at] >= NEAR * since).then_some((at, rounds / 2))
    }
}

impl Generations {
    /// Surely next to nothing of what came in the first half is left.
    fn turn_over(&self) -> bool {
        let (left, may_be_left) = (self.old, LEFT_AT_MOST * self.came);
        // Neither is told of what is not a number.
        if left < may_be_left {
            most_for(left).is_some_and(|most| most < may_be_left)
        } else {
            false
        }
    }
}

/// Upper limit of Poisson's mean where so many were counted.
fn most_for(count: f64) -> Option<f64> {
    if count >= MANY {
        return Some(count + 1.0 + quantile(SURE, f64::INFINITY) * (count + 1.0).sqrt());
    }
    Gamma::new(count + 1.0, 1.0).ok().map(|left| left.inverse_cdf(SURE))
}

/// Share of what is behind a bound, among all that lives: what is of unknown age is `beside`.
fn share_behind(values: &[f64], at: usize, beside: f64) -> Option<f64> {
    let all = values.iter().sum::<f64>() + beside;
    (all > 0.0).then(|| (values[at + 1..].iter().sum::<f64>() / all).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_turns_over_where_hardly_anything_is_left_however_much_came() {
        let cases = [
            (0.0, 27.0, false),
            (0.0, 28.0, true),
            (9_000.0, 40_000.0, true),
            (11_000.0, 46_000.0, true),
            (11_000.0, 44_500.0, false),
            (1e300, 1e300, false),
            (1e300, 1e301, true),
            (f64::INFINITY, f64::INFINITY, false),
            (f64::NAN, 1e9, false),
            (0.0, f64::NAN, false),
        ];
        for (old, came, turns_over) in cases {
            let generations = Generations { old, unaged: 0.0, came };
            assert_eq!(generations.turn_over(), turns_over, "{old} of {came}");
        }
    }
}
