//! Growth per operation as a regression with a known and an estimated part of its error.
//!
//! In: increments from snapshot to snapshot, the operations done in between, and what sampling
//! says about the error of each. Out: slopes with standard errors. The error has three parts:
//! *new* samples that stay (independent from round to round), *turnover* of a working set
//! (independent from level to level, so that neighbouring increments are anti-correlated), and
//! whatever the residuals show beyond both. Pure; knows nothing of sites or snapshots.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

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
    /// Smallest variance of a level that is believed, whatever sampling says: the working set
    /// of a real process moves by a few objects from one idle moment to the next.
    pub floor: f64,
}

impl Noise {
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
            ..*self
        }
    }
}

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
/// regressors that cannot be told apart.
#[must_use]
pub fn fit(increments: &[f64], regressors: &[Vec<f64>], noise: &Noise) -> Option<Fit> {
    let (rounds, terms) = (increments.len(), regressors.len());
    if terms == 0 || terms > TERMS_MAX || rounds < terms + 1 {
        return None;
    }
    let known = covariance(noise, rounds, 0.0);
    let first = solve(increments, regressors, &known)?;
    let df = (rounds - terms) as f64;
    if first.chi2 <= df {
        let terms = first.slopes(f64::INFINITY, 1.0);
        return Some(Fit { terms, chi2: first.chi2, df, chi2_scaled: first.chi2 });
    }
    // More scatter than sampling explains: find the variance that has to be added.
    let extra = excess(increments, regressors, noise, df)?;
    let widened = covariance(noise, rounds, extra);
    let second = solve(increments, regressors, &widened)?;
    let scale = (second.chi2 / df).max(1.0);
    let terms = second.slopes(df, scale);
    Some(Fit { terms, chi2: first.chi2, df, chi2_scaled: second.chi2 })
}

/// The extra variance per level at which the residuals are as large as they should be.
fn excess(increments: &[f64], regressors: &[Vec<f64>], noise: &Noise, df: f64) -> Option<f64> {
    let rounds = increments.len();
    let spread = increments.iter().map(|d| d * d).sum::<f64>() / rounds as f64;
    let (mut low, mut high) = (0.0, spread.max(f64::MIN_POSITIVE));
    let chi2 = |extra: f64| {
        solve(increments, regressors, &covariance(noise, rounds, extra)).map(|s| s.chi2)
    };
    // Residuals cannot exceed the spread of the increments themselves, so `high` nearly always
    // suffices at once; a few doublings cover rounding.
    for _ in 0..DOUBLINGS_MAX {
        if chi2(high)? <= df {
            break;
        }
        low = high;
        high *= 2.0;
    }
    for _ in 0..BISECTIONS {
        let middle = low.midpoint(high);
        if chi2(middle)? > df {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(high)
}

/// Steps that suffice to bracket the extra variance.
const DOUBLINGS_MAX: usize = 16;
/// Halvings of that bracket: the variance is then known to a part in four thousand of the spread,
/// and any remainder is made good by scaling.
const BISECTIONS: usize = 12;

/// Share of unexplained variance that is taken as a drift which does not come back. The rest is
/// taken as scatter of levels. All of it as scatter would trust a wandering working set too
/// much, all of it as drift would need three times the rounds for any answer.
const DRIFT_SHARE: f64 = 0.35;

/// A memory longer than this cannot be told from no turnover at all.
const MEMORY_MAX: f64 = 0.95;

/// Covariance of the increments: what stays, plus the difference of levels whose deviations are
/// remembered from one to the next (autoregressive of order one), plus scatter without memory,
/// plus `extra` in both forms.
fn covariance(noise: &Noise, rounds: usize, extra: f64) -> Vec<Vec<f64>> {
    let memory = noise.memory.clamp(0.0, MEMORY_MAX);
    let scatter = noise.floor + extra * (1.0 - DRIFT_SHARE);
    let deviation: Vec<f64> = (0..=rounds)
        .map(|r| (noise.levels.get(r).copied().unwrap_or(0.0) / (1.0 - memory)).sqrt())
        .collect();
    let level = |a: usize, b: usize| {
        let remembered = memory.powi(a.abs_diff(b) as i32);
        deviation[a] * deviation[b] * remembered + if a == b { scatter } else { 0.0 }
    };
    let step = |r: usize| noise.steps.get(r).copied().unwrap_or(0.0) + extra * DRIFT_SHARE;
    let entry = |a: usize, b: usize| {
        let levels = level(a + 1, b + 1) - level(a + 1, b) - level(a, b + 1) + level(a, b);
        levels + if a == b { step(a) } else { 0.0 }
    };
    (0..rounds).map(|a| (0..rounds).map(|b| entry(a, b)).collect()).collect()
}

struct Solution {
    slopes: Vec<f64>,
    variances: Vec<f64>,
    chi2: f64,
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
fn solve(increments: &[f64], regressors: &[Vec<f64>], matrix: &[Vec<f64>]) -> Option<Solution> {
    let factor = cholesky(matrix)?;
    let whitened_y = forward(&factor, increments);
    let whitened_x: Vec<Vec<f64>> = regressors.iter().map(|x| forward(&factor, x)).collect();
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
    Some(Solution { slopes, variances, chi2: dot(&residuals, &residuals) })
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
    fn too_little_is_not_fitted() {
        let noise = Noise::default();
        assert_eq!(fit(&[1.0], &[vec![1.0]], &noise), None);
        assert_eq!(fit(&[1.0, 2.0, 3.0], &[vec![1.0; 3], vec![1.0; 3]], &noise), None);
        assert_eq!(fit(&[1.0, 2.0], &[], &noise), None);
    }
}
