//! Growth per operation as a regression with a known and an estimated part of its error.
//!
//! In: increments from snapshot to snapshot, the operations done in between, and what sampling
//! says about the error of each. Out: slopes with standard errors. The error has three parts:
//! *new* samples that stay (independent from round to round), *turnover* of a working set
//! (independent from level to level, so that neighbouring increments are anti-correlated), and
//! whatever the residuals show beyond both. Pure; knows nothing of sites or snapshots.

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal, StudentsT};

/// Regressors at most: more cannot be told apart in the rounds of one run.
pub const TERMS_MAX: usize = 4;

/// What is known of the error before looking at residuals, as variances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noise {
    /// Variance that stays with each increment: samples that came and did not go.
    pub steps: Vec<f64>,
    /// Variance that comes and goes at each level, one more than there are increments: half of
    /// the variance that turnover brings to the increments beside it.
    pub levels: Vec<f64>,
    /// How much of a level's deviation is still there at the next: 0 when everything is
    /// replaced in each round, near 1 when hardly anything is.
    pub memory: f64,
    /// Net samples that came with each increment; empty where nothing is sampled.
    pub net: Vec<f64>,
    /// Variance of all samples that came or went with each increment; empty where nothing is
    /// sampled.
    pub moved: Vec<f64>,
    /// Smallest variance of a level that is believed, whatever sampling says: the working set
    /// of a real process moves by a few objects from one idle moment to the next.
    pub floor: f64,
    /// Whatever is beyond the known error stays, as steps of whole arenas do.
    pub steps_only: bool,
}

impl Noise {
    /// The same for growth that goes with an operation done so often in each round: what stays is
    /// counted as it comes, so its error is where the operations are. A share is left with all
    /// rounds alike, so that one without the operation is not trusted without limit.
    #[must_use]
    pub fn along(&self, counts: &[f64]) -> Self {
        let total: f64 = self.steps.iter().sum();
        let (rounds, done) = (self.steps.len().max(1) as f64, counts.iter().sum::<f64>());
        let share = |count: f64| EVENLY / rounds + (1.0 - EVENLY) * count / done.max(1.0);
        let steps = counts.iter().map(|count| total * share(*count)).collect();
        Self { steps, ..self.clone() }
    }

    /// The same for the increments from the given one on: what stays has the error of the
    /// samples that came with them, and not of those before.
    #[must_use]
    pub fn from(&self, increment: usize) -> Self {
        let net = self.net.get(increment..).unwrap_or_default();
        let per_round = |net: &[f64], more: f64| {
            (net.iter().sum::<f64>().abs() + more).max(1.0) / net.len().max(1) as f64
        };
        let scale = per_round(net, SAMPLES_UNSEEN) / per_round(&self.net, 0.0);
        let scale = if net.is_empty() { 1.0 } else { scale };
        let steps = self.steps.get(increment..).unwrap_or_default();
        Self {
            steps: steps.iter().map(|step| step * scale).collect(),
            levels: self.levels.get(increment..).unwrap_or_default().to_vec(),
            net: net.to_vec(),
            moved: self.moved.get(increment..).unwrap_or_default().to_vec(),
            ..*self
        }
    }

    /// The same where what came has no tie to what went, as in a cache that drops its oldest: each
    /// increment has the error of all that came and went with it, alike in the rounds of a group
    /// (where a count is not nothing), since a round of few samples is not known better. A share is
    /// that of all rounds.
    #[must_use]
    pub fn apart(&self, groups: &[Vec<f64>]) -> Self {
        let mean = |kept: &dyn Fn(usize) -> bool| {
            let kept = self.moved.iter().enumerate().filter(|(round, _)| kept(*round));
            let (sum, count) = kept.fold((0.0, 0.0), |(sum, n), (_, moved)| (sum + moved, n + 1.0));
            if count > 0.0 { sum / count } else { 0.0 }
        };
        let all = mean(&|_| true);
        let is_in = |group: &Vec<f64>, round: usize| group.get(round).is_some_and(|n| *n > 0.0);
        let own: Vec<f64> = groups.iter().map(|group| mean(&|at| is_in(group, at))).collect();
        let of = |round: usize| {
            let group = groups.iter().position(|group| is_in(group, round));
            EVENLY * all + (1.0 - EVENLY) * group.map_or(all, |group| own[group])
        };
        Self {
            steps: (0..self.moved.len()).map(of).collect(),
            levels: Vec::new(),
            memory: 0.0,
            ..self.clone()
        }
    }
}

/// Time constants of a warm-up that may explain growth alone, in rounds: closer than where
/// an even rate is fitted beside it.
pub(crate) const WARM_UPS_ALONE: [f64; 10] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0];

/// Time constants of a warm-up that are tried beside something else, in rounds. One that is much
/// longer than the run looks like a leak, whatever is tried.
pub(crate) const WARM_UPS: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];
/// Chi squared by which a time constant may be worse than the best and still be believed (5 %).
pub(crate) const BELIEVED: f64 = 3.84;
/// Standard errors by which growth must outlast a warm-up: chance alone does so once in a
/// thousand runs.
pub(crate) const LASTING_SURE: f64 = 3.1;

/// Operations by how much of a warm-up of the given time constant is left when they come.
pub(crate) fn dying(counts: &[f64], constant: f64) -> Vec<f64> {
    let mean = counts.iter().sum::<f64>() / counts.len().max(1) as f64;
    let mut done = 0.0;
    let left = counts.iter().map(|count| {
        done += count;
        count * (-(done - count / 2.0) / mean / constant).exp()
    });
    left.collect()
}

/// Share of the error of what stays that is spread over all rounds alike.
const EVENLY: f64 = 0.1;

/// Samples by which a few are taken to be more, so that a normal interval reaches nearly as far
/// up as Poisson's: none seen may well have been three.
const SAMPLES_UNSEEN: f64 = 3.0;

/// A fitted regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// One slope per regressor.
    pub terms: Vec<Slope>,
    /// Weighted sum of squared residuals under the known error alone.
    pub chi2: f64,
    /// Increments less regressors.
    pub df: f64,
    /// The same after variance beyond the known one was added.
    pub chi2_scaled: f64,
    /// Logarithm of the determinant of the known error: models with errors of their own are
    /// compared by `chi2` and this together.
    pub log_error: f64,
}

/// A slope and how well it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slope {
    /// Best guess, per unit of the regressor.
    pub value: f64,
    /// Its standard error.
    pub se: f64,
    /// Degrees of freedom behind the error; infinite when sampling explains all of it.
    pub df: f64,
}

impl Slope {
    /// The two-sided interval of the given confidence.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let half = quantile(0.5 + confidence / 2.0, self.df) * self.se;
        (self.value - half, self.value + half)
    }

    /// The upper end of the one-sided interval of the given confidence.
    #[must_use]
    pub fn upper(&self, confidence: f64) -> f64 {
        self.value + quantile(confidence, self.df) * self.se
    }

    /// The lower end of the one-sided interval of the given confidence.
    #[must_use]
    pub fn lower(&self, confidence: f64) -> f64 {
        self.value - quantile(confidence, self.df) * self.se
    }

    /// Chance of a slope as large or larger if there were none (one-sided).
    #[must_use]
    pub fn p_value(&self) -> f64 {
        if self.se <= 0.0 {
            return if self.value > 0.0 { 0.0 } else { 1.0 };
        }
        1.0 - cumulative(self.value / self.se, self.df)
    }
}

/// Quantile of Student's t, or of the normal distribution for infinite `df`.
#[must_use]
pub fn quantile(p: f64, df: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, df) {
        Ok(t) if df.is_finite() => t.inverse_cdf(p),
        _ => Normal::standard().inverse_cdf(p),
    }
}

fn cumulative(x: f64, df: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, df) {
        Ok(t) if df.is_finite() => t.cdf(x),
        _ => Normal::standard().cdf(x),
    }
}

/// Fits `increments[r] = sum over terms of slope * regressors[term][r]`, by generalised least
/// squares. `None` when there is too little to fit: fewer increments than terms plus one, or
/// regressors that cannot be told apart. The known error is doubted early: words are chosen by
/// it, and a wrong one is dearer than an interval that is a little too wide.
#[must_use]
pub fn fit(increments: &[f64], regressors: &[Vec<f64>], noise: &Noise) -> Option<Fit> {
    fit_doubting(increments, regressors, noise, SURPRISING)
}

/// The same for an interval that is told and chooses no word: it is to hold the truth as often as
/// it says, so the known error is doubted only where chance hardly explains the residuals.
#[must_use]
pub fn estimate(increments: &[f64], regressors: &[Vec<f64>], noise: &Noise) -> Option<Fit> {
    fit_doubting(increments, regressors, noise, HARDLY_CHANCE)
}

fn fit_doubting(
    increments: &[f64],
    regressors: &[Vec<f64>],
    noise: &Noise,
    chance: f64,
) -> Option<Fit> {
    let (rounds, terms) = (increments.len(), regressors.len());
    if terms == 0 || terms > TERMS_MAX || rounds < terms + 1 {
        return None;
    }
    let columns: Vec<&[f64]> = regressors.iter().map(Vec::as_slice).collect();
    let first = solve(increments, &columns, noise, 0.0)?;
    let df = (rounds - terms) as f64;
    if explained(first.chi2, df) >= chance {
        let terms = first.slopes(f64::INFINITY, 1.0);
        let (chi2, log_error) = (first.chi2, first.log_error);
        return Some(Fit { terms, chi2, df, chi2_scaled: chi2, log_error });
    }
    // More scatter than sampling explains: find the variance that has to be added.
    let second = excess(increments, &columns, noise, (first.chi2, df))?;
    let scale = (second.chi2 / df).max(1.0);
    let terms = second.slopes(df, scale);
    let (chi2, log_error) = (first.chi2, first.log_error);
    Some(Fit { terms, chi2, df, chi2_scaled: second.chi2, log_error })
}

/// The solution with as much extra variance per level that the residuals are as large as they
/// should be, `df`. Without any they come to `chi2`, which is more.
fn excess(
    increments: &[f64],
    regressors: &[&[f64]],
    noise: &Noise,
    (chi2, df): (f64, f64),
) -> Option<Solution> {
    let rounds = increments.len();
    let spread = increments.iter().map(|d| d * d).sum::<f64>() / rounds as f64;
    let (mut low, mut low_at) = (0.0, 1.0 / chi2);
    let mut high = spread.max(f64::MIN_POSITIVE);
    let mut best = solve(increments, regressors, noise, high)?;
    // Residuals cannot exceed the spread of the increments themselves, so `high` nearly always
    // suffices at once; a few doublings cover rounding.
    for _ in 0..DOUBLINGS_MAX {
        if best.chi2 <= df {
            break;
        }
        (low, low_at) = (high, 1.0 / best.chi2);
        high *= 2.0;
        best = solve(increments, regressors, noise, high)?;
    }
    // The inverse of chi squared is nearly a straight line of the variance, so its secant meets
    // the goal in a few steps.
    let goal = 1.0 / df;
    for _ in 0..SECANTS_MAX {
        let high_at = 1.0 / best.chi2.max(f64::MIN_POSITIVE);
        if (high_at - goal) <= GOAL_WITHIN * goal || high_at <= low_at {
            break;
        }
        let share = ((goal - low_at) / (high_at - low_at)).clamp(0.02, 0.98);
        let middle = low + (high - low) * share;
        let tried = solve(increments, regressors, noise, middle)?;
        if tried.chi2 > df {
            (low, low_at) = (middle, 1.0 / tried.chi2);
        } else {
            (high, best) = (middle, tried);
        }
    }
    Some(best)
}

/// Chance of residuals as large, if the known error is all there is, below which it is doubted
/// for a word: adding variance whenever they are a little large would make every interval too wide.
const SURPRISING: f64 = 0.15;
/// The same for an interval that is told.
const HARDLY_CHANCE: f64 = 0.05;

/// Chance of residuals that are as large, if the known error is all there is.
fn explained(chi2: f64, df: f64) -> f64 {
    ChiSquared::new(df).map_or(1.0, |chi| chi.sf(chi2))
}

/// Steps that suffice to bracket the extra variance.
const DOUBLINGS_MAX: usize = 16;
/// Secants within that bracket at most; most need four.
const SECANTS_MAX: usize = 12;
/// Nearness to the goal that suffices, from the side of more variance.
const GOAL_WITHIN: f64 = 0.005;

/// Share of unexplained variance that is taken as a drift which does not come back. The rest is
/// taken as scatter of levels. All of it as scatter would trust a wandering working set too
/// much, all of it as drift would need three times the rounds for any answer.
const DRIFT_SHARE: f64 = 0.35;

/// A memory longer than this cannot be told from no turnover at all.
const MEMORY_MAX: f64 = 0.95;

/// Increments and regressors with errors that are independent and of one unit, the rows in the
/// order given: the innovations of a Kalman filter over levels. A level is the sum of what stays
/// (a random walk from an unknown start), of deviations that are remembered from one level to
/// the next (autoregressive of order one), and of scatter without memory; `extra` is added as
/// drift and as scatter. The same as whitening by the covariance of the increments, in time that
/// is linear in rounds; with them the logarithm of the determinant of that covariance. `None`
/// when there is no error at all.
fn whiten(rows: &[&[f64]], noise: &Noise, extra: f64) -> Option<(Vec<Vec<f64>>, f64)> {
    let memory = noise.memory.clamp(0.0, MEMORY_MAX);
    let drift = if noise.steps_only { extra } else { extra * DRIFT_SHARE };
    let scatter = noise.floor + extra - drift;
    let deviation =
        |at: usize| (noise.levels.get(at).copied().unwrap_or(0.0) / (1.0 - memory)).sqrt();
    let rounds = rows.first()?.len();
    let start = deviation(0);
    let (mut stays, mut both, mut returns) = (start * start + scatter, -start, 1.0);
    let mut means = vec![(0.0, 0.0, 0.0); rows.len()];
    let mut white = vec![Vec::with_capacity(rounds); rows.len()];
    let mut log_error = 0.0;
    for round in 0..rounds {
        stays += noise.steps.get(round).copied().unwrap_or(0.0) + drift;
        both *= memory;
        returns = memory * memory * returns + (1.0 - memory * memory);
        let seen = deviation(round + 1);
        let variance = stays + 2.0 * seen * both + seen * seen * returns + scatter;
        if !variance.is_finite() || variance <= 0.0 {
            return None;
        }
        let gains = ((stays + seen * both) / variance, (both + seen * returns) / variance);
        let scale = variance.sqrt().recip();
        log_error += variance.ln();
        for ((row, mean), white) in rows.iter().zip(&mut means).zip(&mut white) {
            let (level, staying, returning) = mean;
            *level += row[round];
            *returning *= memory;
            let surprise = *level - *staying - seen * *returning;
            *staying += gains.0 * surprise;
            *returning += gains.1 * surprise;
            white.push(surprise * scale);
        }
        returns -= gains.1 * gains.1 * variance;
        both -= gains.0 * gains.1 * variance;
        stays -= gains.0 * gains.0 * variance;
    }
    Some((white, log_error))
}

struct Solution {
    slopes: Vec<f64>,
    variances: Vec<f64>,
    chi2: f64,
    log_error: f64,
}

impl Solution {
    fn slopes(&self, df: f64, scale: f64) -> Vec<Slope> {
        self.slopes
            .iter()
            .zip(&self.variances)
            .map(|(value, variance)| Slope { value: *value, se: (variance * scale).sqrt(), df })
            .collect()
    }
}

/// Generalised least squares: (X' S^-1 X)^-1 X' S^-1 y.
fn solve(increments: &[f64], regressors: &[&[f64]], noise: &Noise, extra: f64) -> Option<Solution> {
    let mut rows = Vec::with_capacity(regressors.len() + 1);
    rows.push(increments);
    rows.extend_from_slice(regressors);
    let (mut whitened_x, log_error) = whiten(&rows, noise, extra)?;
    let whitened_y = whitened_x.remove(0);
    let normal: Vec<Vec<f64>> =
        whitened_x.iter().map(|a| whitened_x.iter().map(|b| dot(a, b)).collect()).collect();
    let right: Vec<f64> = whitened_x.iter().map(|a| dot(a, &whitened_y)).collect();
    let root = cholesky(&normal)?;
    let slopes = backward(&root, &forward(&root, &right));
    let variances = (0..regressors.len())
        .map(|term| {
            let mut unit = vec![0.0; regressors.len()];
            unit[term] = 1.0;
            backward(&root, &forward(&root, &unit))[term]
        })
        .collect();
    let mut residuals = whitened_y;
    for (slope, x) in slopes.iter().zip(&whitened_x) {
        for (residual, value) in residuals.iter_mut().zip(x) {
            *residual -= slope * value;
        }
    }
    Some(Solution { slopes, variances, chi2: dot(&residuals, &residuals), log_error })
}

/// A pivot smaller than this share of the largest entry means regressors that are the same.
const SINGULAR: f64 = 1e-12;

/// Lower triangle of a symmetric positive definite matrix; `None` when it is not.
fn cholesky(matrix: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let size = matrix.len();
    let mut lower = vec![vec![0.0; size]; size];
    for row in 0..size {
        for column in 0..=row {
            let sum = matrix[row][column] - dot(&lower[row][..column], &lower[column][..column]);
            if row == column {
                if !sum.is_finite() || sum <= matrix[row][row] * SINGULAR {
                    return None;
                }
                lower[row][row] = sum.sqrt();
            } else {
                lower[row][column] = sum / lower[column][column];
            }
        }
    }
    Some(lower)
}

/// Solves `lower * x = right`.
fn forward(lower: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut x = vec![0.0; right.len()];
    for row in 0..right.len() {
        x[row] = (right[row] - dot(&lower[row][..row], &x[..row])) / lower[row][row];
    }
    x
}

/// Solves `lower' * x = right`.
fn backward(lower: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let size = right.len();
    let mut x = vec![0.0; size];
    for row in (0..size).rev() {
        let above: f64 = (row + 1..size).map(|below| lower[below][row] * x[below]).sum();
        x[row] = (right[row] - above) / lower[row][row];
    }
    x
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_line_is_found_with_a_small_error() {
        let x = vec![100.0, 200.0, 100.0, 200.0, 150.0, 50.0];
        let y: Vec<f64> = x.iter().map(|n| n * 48.0).collect();
        let noise =
            Noise { steps: vec![0.0; 6], levels: vec![0.0; 7], floor: 1.0, ..Noise::default() };
        let fit = fit(&y, &[x], &noise).expect("enough rounds");
        assert!((fit.terms[0].value - 48.0).abs() < 1e-9);
        assert!(fit.terms[0].se < 0.01);
        assert!(fit.terms[0].p_value() < 1e-9);
    }

    #[test]
    fn two_operations_are_told_apart() {
        let a = vec![100.0, 300.0, 100.0, 300.0, 300.0, 100.0, 300.0, 100.0];
        let b: Vec<f64> = a.iter().map(|n| 400.0 - n).collect();
        let y: Vec<f64> = a.iter().map(|n| n * 64.0).collect();
        let noise = Noise { steps: vec![64.0; 8], levels: vec![64.0; 9], ..Noise::default() };
        let both = fit(&y, &[a.clone(), b.clone()], &noise).expect("enough rounds");
        assert!((both.terms[0].value - 64.0).abs() < 1e-6, "{both:?}");
        assert!(both.terms[1].value.abs() < 1e-6, "{both:?}");
        let wrong = fit(&y, &[b], &noise).expect("enough rounds");
        assert!(wrong.chi2 > 100.0, "{wrong:?}");
    }

    #[test]
    fn one_jump_is_no_trend() {
        let mut y = vec![0.0; 8];
        y[3] = 1_000_000.0;
        let noise =
            Noise { steps: vec![0.0; 8], levels: vec![0.0; 9], floor: 64.0, ..Noise::default() };
        let fit = fit(&y, &[vec![1_000.0; 8]], &noise).expect("enough rounds");
        assert!(fit.terms[0].p_value() > 0.02, "{fit:?}");
    }

    #[test]
    fn an_interval_that_is_told_doubts_the_known_error_later_than_a_word() {
        let scatter = [1.3, -1.3, 1.3, -1.3, 1.3, -1.3, 1.3, -1.3];
        let noise = Noise { steps: vec![1.0; 8], levels: vec![0.0; 9], ..Noise::default() };
        for (times, word, told) in [(0.8, true, true), (1.0, false, true), (1.2, false, false)] {
            let y: Vec<f64> = scatter.iter().map(|d| 100.0 + d * times).collect();
            let known = |fit: Option<Fit>| fit.expect("enough rounds").terms[0].df.is_infinite();
            let x = [vec![1.0; 8]];
            let both = (known(fit(&y, &x, &noise)), known(estimate(&y, &x, &noise)));
            assert_eq!(both, (word, told), "{times}");
        }
    }

    #[test]
    fn too_little_is_not_fitted() {
        let noise = Noise::default();
        assert_eq!(fit(&[1.0], &[vec![1.0]], &noise), None);
        assert_eq!(fit(&[1.0, 2.0, 3.0], &[vec![1.0; 3], vec![1.0; 3]], &noise), None);
        assert_eq!(fit(&[1.0, 2.0], &[], &noise), None);
    }
}
