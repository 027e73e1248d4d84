//! Growth of one quantity per operation: which operation it goes with, how sure, whether it
//! slows down, and whether it also grows when the input is one seen before. In: a column of a
//! series and the operations of each round. Out: [`Growth`]. Pure; gives no verdict.

use crate::filled::{self, Filled};
use crate::series::{Column, Point};
use crate::trend::{
    self, BELIEVED, Fit, LASTING_SURE, Noise, Slope, TERMS_MAX, WARM_UPS, WARM_UPS_ALONE, dying,
};
use ebbtide_record::event::RoundKind;
use std::collections::BTreeMap;

/// Operations that cannot be told apart in a run, since they always come together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operations {
    /// The name they are reported under.
    pub name: String,
    /// All their names.
    pub members: Vec<String>,
    /// How often the first of them was done in each measured round; all of them when pooled.
    pub counts: Vec<f64>,
    /// They can be told apart, and stand here as well for what any of them causes.
    pub pooled: bool,
}

impl Operations {
    /// Operations done in all measured rounds.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.counts.iter().sum()
    }
}

/// How a quantity grows.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// Index of the operations it goes with best.
    pub with: usize,
    /// Growth per operation.
    pub slope: Slope,
    /// The same for each of the operations on its own, in their order.
    pub by_operation: Vec<Slope>,
    /// How much worse each of the operations explains it, as a difference of chi squared; 0 for
    /// the best.
    pub margins: Vec<f64>,
    /// Growth in the first and in the second half of the rounds.
    pub halves: Option<(Slope, Slope)>,
    /// Growth in the second half, by those rounds alone: what the first half did, evenly or not,
    /// says nothing of its error.
    pub late: Option<Slope>,
    /// The same of the last quarter, where there are rounds enough: what filled for more than half
    /// the run has grown in the second half as well.
    pub latest: Option<Slope>,
    /// Growth on new and on replayed input.
    pub by_novelty: Option<(Slope, Slope)>,
    /// The round in which growth with new input breaks off, if it does.
    pub filled: Option<Filled>,
    /// Growth per operation when the end of a short warm-up is allowed for, whether one is seen
    /// or not.
    pub lasting: Option<Slope>,
    /// What lasts beside a warm-up that dies away; only where growth seems to slow down.
    pub fading: Option<Fading>,
    /// How much worse a warm-up alone, of any time constant up to the length of the run, explains
    /// it than a rate that lasts (beside a warm-up where it seems to slow down), in chi squared;
    /// below 0 where one explains it better.
    pub evenness: f64,
}

/// Growth that slows down, as a warm-up that dies away beside an even rate that lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fading {
    /// Growth per operation that lasts, by the warm-up that explains most.
    pub value: f64,
    /// The ends of its interval, over all warm-ups that explain nearly as much.
    pub interval: (f64, f64),
    /// It surely slows down.
    pub sure: bool,
    /// Chi squared of the warm-up that explains most.
    pub chi2: f64,
    /// One of those warm-ups leaves no growth that surely lasts.
    pub subsides: bool,
}

/// Two counts go together when they differ by no more than this share in any round.
const TOGETHER: f64 = 0.01;

/// Groups the operations of the measured rounds, the most frequent first, at most half as many
/// groups as rounds and at most [`TERMS_MAX`].
#[must_use]
pub fn group(measured: &[Point]) -> Vec<Operations> {
    let mut counts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (round, point) in measured.iter().enumerate() {
        for (name, count) in &point.observation.operations {
            let row = counts.entry(name).or_insert_with(|| vec![0.0; measured.len()]);
            row[round] = *count as f64;
        }
    }
    let mut rows: Vec<(&str, Vec<f64>)> =
        counts.into_iter().filter(|(_, row)| row.iter().sum::<f64>() > 0.0).collect();
    rows.sort_by(|a, b| weight(a.0).cmp(&weight(b.0)).then(a.0.cmp(b.0)));
    let mut groups: Vec<Operations> = Vec::new();
    for (name, row) in rows {
        match groups.iter_mut().find(|group| proportional(&group.counts, &row)) {
            Some(group) => group.members.push(name.to_owned()),
            None => groups.push(Operations {
                name: String::new(),
                members: vec![name.to_owned()],
                counts: row,
                pooled: false,
            }),
        }
    }
    groups.sort_by(|a, b| b.total().total_cmp(&a.total()));
    groups.truncate((measured.len() / 2).clamp(1, TERMS_MAX));
    groups.extend(pool(&groups));
    for group in &mut groups {
        group.name = joined(&group.members);
    }
    groups
}

/// All requests as one, for what each of them causes alike. Connections are of another nature
/// than what is sent over them, and are left out.
fn pool(groups: &[Operations]) -> Option<Operations> {
    let requests: Vec<&Operations> =
        groups.iter().filter(|group| group.members.iter().all(|name| weight(name) == 1)).collect();
    let rounds = requests.first().filter(|_| requests.len() > 1)?.counts.len();
    let counts = |round: usize| requests.iter().map(|group| group.counts[round]).sum();
    Some(Operations {
        name: String::new(),
        members: requests.iter().flat_map(|group| group.members.iter().cloned()).collect(),
        counts: (0..rounds).map(counts).collect(),
        pooled: true,
    })
}

/// What brings something to a server comes before what only follows from it.
fn weight(name: &str) -> u8 {
    match name.split(' ').next().unwrap_or_default() {
        "connect" | "sio_connect" => 0,
        "close" | "sio_close" => 2,
        _ => 1,
    }
}

/// Names joined, without the closes when there is anything else.
fn joined(members: &[String]) -> String {
    let telling: Vec<&str> =
        members.iter().map(String::as_str).filter(|name| weight(name) < 2).collect();
    if telling.is_empty() { members.join(" + ") } else { telling.join(" + ") }
}

fn proportional(a: &[f64], b: &[f64]) -> bool {
    let (sum_a, sum_b) = (a.iter().sum::<f64>(), b.iter().sum::<f64>());
    a.iter().zip(b).all(|(x, y)| {
        let (x, y) = (x / sum_a, y / sum_b);
        (x - y).abs() <= TOGETHER * x.max(y)
    })
}

/// Fits the growth of a column against each of the operations. `None` with fewer than two
/// measured rounds or without operations.
#[must_use]
pub fn of(column: &Column, operations: &[Operations], kinds: &[RoundKind]) -> Option<Growth> {
    let mut increments = column.increments();
    // A rest at the end is no round of work: it is weighed on its own.
    increments.truncate(kinds.len());
    let errors: Vec<Noise> =
        operations.iter().map(|group| column.noise.along(&group.counts)).collect();
    let fits: Vec<_> = operations
        .iter()
        .zip(&errors)
        .map(|(group, noise)| trend::fit(&increments, std::slice::from_ref(&group.counts), noise))
        .collect::<Option<_>>()?;
    let even = fits.first()?.log_error;
    let spread = fits.iter().map(|fit| fit.chi2 / fit.df).fold(f64::INFINITY, f64::min).max(1.0);
    let rank = |index: &usize| {
        let fit = &fits[*index];
        // An operation that the quantity shrinks with explains no growth.
        let grows = fit.terms[0].value > 0.0;
        if grows { fit.chi2 / spread + fit.log_error - even } else { f64::INFINITY }
    };
    let mut order: Vec<usize> = (0..fits.len()).collect();
    order.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    let with = *order.first()?;
    let best = rank(&with);
    let beside = |index: usize| if rank(&index) > best { rank(&index) - best } else { 0.0 };
    let margins = (0..fits.len()).map(beside).collect();
    let noise = &errors[with];
    let counts = &operations[with].counts;
    let split = |first: &dyn Fn(usize) -> bool| -> Option<(Slope, Slope)> {
        let part = |wanted: bool| -> Vec<f64> {
            let keep = |(round, n): (usize, &f64)| if first(round) == wanted { *n } else { 0.0 };
            counts.iter().enumerate().map(keep).collect()
        };
        let fit = trend::fit(&increments, &[part(true), part(false)], noise)?;
        Some((fit.terms[0], fit.terms[1]))
    };
    let half = counts.len() / 2;
    let since = |from: usize| {
        let fit = trend::fit(&increments[from..], &[counts[from..].to_vec()], &noise.from(from))?;
        Some(fit.terms[0])
    };
    let grows = fits[with].terms[0].value > 0.0 && fits[with].terms[0].p_value() < WORTH_A_LOOK;
    let fading = fading(&increments, counts, noise, fits[with].chi2);
    let lasts = fading.map_or(fits[with].chi2, |fading| fading.chi2);
    Some(Growth {
        with,
        slope: fits[with].terms[0],
        by_operation: fits.iter().map(|fit| fit.terms[0]).collect(),
        margins,
        halves: split(&|round| round < half),
        late: since(half),
        latest: (counts.len() >= QUARTERS_FROM).then(|| since(counts.len() * 3 / 4)).flatten(),
        by_novelty: split(&|round| kinds.get(round) != Some(&RoundKind::Replay)),
        filled: grows.then(|| filled::find(&increments, counts, kinds, &column.noise)).flatten(),
        lasting: lasting(&increments, counts, noise),
        fading,
        evenness: (alone(&increments, counts, noise) - lasts) / spread,
    })
}

/// Chance of growth as large by which it is looked at more closely, to save the time elsewhere.
const WORTH_A_LOOK: f64 = 0.05;

/// Measured rounds from which on their last quarter is looked at by itself: two of new input and
/// two replayed ones.
const QUARTERS_FROM: usize = 16;

/// Chi squared by which a warm-up must explain growth better than an even rate for it to be
/// slowing down (0.5 % for one parameter, the most that the choice of time constants adds).
const SLOWING_SURE: f64 = 7.9;
/// Likewise for it to seem so (5 %): enough to withhold the hardest word.
const SLOWING_SEEN: f64 = 3.84;
/// Time constant of the warm-up that is allowed for where none is seen: warm-up rounds leave
/// its tail, and longer ones betray themselves.
const WARM_UP_UNSEEN: f64 = 2.0;
/// Confidence of what is told to last.
const LASTING_CONFIDENCE: f64 = 0.95;

/// How growth dies away, if it seems to.
fn fading(increments: &[f64], counts: &[f64], noise: &Noise, even: f64) -> Option<Fading> {
    let fits: Vec<_> = WARM_UPS
        .iter()
        .filter_map(|constant| warm_up(increments, counts, noise, *constant))
        .collect();
    let best = fits.iter().min_by(|a, b| a.chi2.total_cmp(&b.chi2))?;
    let unit = (best.chi2 / best.df).max(1.0);
    let gain = (even - best.chi2) / unit;
    if best.terms[1].value <= 0.0 || gain < SLOWING_SEEN {
        return None;
    }
    let worse = |fit: &Fit| (fit.chi2 - best.chi2) / unit;
    let believed = || fits.iter().filter(|fit| worse(fit) <= BELIEVED);
    // The profile of the likelihood over time constants: of the deviation that is allowed in all,
    // one that explains less has used a part already.
    let ends = believed().map(|fit| {
        let left = (1.0 - worse(fit) / BELIEVED).sqrt();
        let (low, high) = fit.terms[0].interval(LASTING_CONFIDENCE);
        let (value, half) = (fit.terms[0].value, (high - low) / 2.0 * left);
        (value - half, value + half)
    });
    let interval = ends.fold((f64::MAX, f64::MIN), |all, end| (all.0.min(end.0), all.1.max(end.1)));
    let lasts = |fit: &Fit| fit.terms[0].value >= LASTING_SURE * fit.terms[0].se;
    let subsides = believed().any(|fit| !lasts(fit));
    let sure = gain >= SLOWING_SURE;
    Some(Fading { value: best.terms[0].value, interval, sure, chi2: best.chi2, subsides })
}

/// The fit of an even rate beside a warm-up of the given time constant, in rounds. `None` where
/// that is longer than the run.
fn warm_up(increments: &[f64], counts: &[f64], noise: &Noise, constant: f64) -> Option<Fit> {
    if constant > counts.len() as f64 {
        return None;
    }
    trend::fit(increments, &[counts.to_vec(), dying(counts, constant)], noise)
}

/// What lasts beside a warm-up too short to be seen, as it is told.
fn lasting(increments: &[f64], counts: &[f64], noise: &Noise) -> Option<Slope> {
    let regressors = [counts.to_vec(), dying(counts, WARM_UP_UNSEEN)];
    let fit = trend::estimate(increments, &regressors, noise)?;
    Some(fit.terms[0])
}

/// Chi squared of the warm-up alone that explains most.
fn alone(increments: &[f64], counts: &[f64], noise: &Noise) -> f64 {
    WARM_UPS_ALONE
        .iter()
        .filter(|constant| **constant <= counts.len() as f64)
        .filter_map(|constant| trend::fit(increments, &[dying(counts, *constant)], noise))
        .map(|fit| fit.chi2)
        .fold(f64::INFINITY, f64::min)
}
