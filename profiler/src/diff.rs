//! Two snapshots compared, site by site. In: two folded snapshots. Out: rows with growth and its
//! interval, as sampling allows. Drawing them, and judging more than two, is left to others. Pure.
//!
//! The interval follows from sampling alone: an object of `z` bytes is seen with probability
//! `1 - q`, `q = exp(-z / interval)`, so each sample that came or went adds `z² q / (1 - q)²` to
//! the variance of the growth. Few samples get Poisson's exact limits instead of the normal ones.

use crate::hash::Quick;
use crate::profile::Cell;
use crate::series::UNCOUNTED_BYTES;
use crate::site::{Folded, FoldedSite};
use ebbtide_record::Kind;
use ebbtide_record::verdict::{Estimate, FrameLine};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Confidence of the intervals.
pub const CONFIDENCE: f64 = 0.95;

/// The normal quantile of [`CONFIDENCE`], two-sided.
const Z: f64 = 1.959_964;

/// From so many samples on the normal limits are close enough to the exact ones.
const EXACT_BELOW: f64 = 20.0;

/// Two snapshots compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Sites of either, the one that grew most first.
    pub rows: Vec<DiffRow>,
    /// Live bytes before.
    pub before_bytes: f64,
    /// Live bytes after.
    pub after_bytes: f64,
    /// Growth of the whole heap, bytes.
    pub growth: Estimate,
    /// What stands against trust in it, in words.
    pub notes: Vec<String>,
}

/// One site in both snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiffRow {
    /// Identifier of the site.
    pub id: String,
    /// Its function.
    pub function: String,
    /// Its file; empty when unknown.
    pub file: String,
    /// The line that holds most bytes; 0 when unknown.
    pub line: u32,
    /// What it holds, by the names of its frames.
    pub kind: Kind,
    /// It is the user's own code.
    pub own: bool,
    /// What it held before; nothing at all where the site was not there.
    pub before: Cell,
    /// What it holds after.
    pub after: Cell,
    /// Growth, bytes.
    pub bytes: Estimate,
    /// Growth, objects; `None` where a snapshot does not count them.
    pub objects: Option<Estimate>,
    /// The largest stack, the allocating end first.
    pub stack: Vec<Arc<FrameLine>>,
}

impl DiffRow {
    /// The interval of its growth lies above or below 0: the change is not chance.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.bytes.low > 0.0 || self.bytes.high < 0.0
    }
}

/// Compares two snapshots of one program.
#[must_use]
pub fn diff(before: &Folded, after: &Folded) -> Diff {
    let mut notes: Vec<String> = before.notes.iter().chain(&after.notes).cloned().collect();
    notes.sort();
    notes.dedup();
    if (before.interval_bytes - after.interval_bytes).abs() > f64::EPSILON {
        notes.push(format!(
            "sampled differently: every {:.0} bytes before, every {:.0} after",
            before.interval_bytes, after.interval_bytes
        ));
    }
    let intervals = (before.interval_bytes, after.interval_bytes);
    let old: HashMap<&str, &FoldedSite, Quick> = by_id(before);
    let new: HashMap<&str, &FoldedSite, Quick> = by_id(after);
    // In a fixed order: sums of floats depend on it.
    let mut ids: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut whole = Change::default();
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let pair = (old.get(id).copied(), new.get(id).copied());
        let change = Change::of_site(pair, intervals);
        whole.join(&change);
        rows.extend(row(pair, &change));
    }
    rows.sort_by(|a, b| b.bytes.value.total_cmp(&a.bytes.value).then_with(|| a.id.cmp(&b.id)));
    Diff {
        rows,
        before_bytes: before.live_bytes,
        after_bytes: after.live_bytes,
        growth: whole.bytes.estimate(whole.came, whole.went),
        notes,
    }
}

fn by_id(folded: &Folded) -> HashMap<&str, &FoldedSite, Quick> {
    folded.sites.iter().map(|site| (site.id.as_str(), site)).collect()
}

fn row(pair: (Option<&FoldedSite>, Option<&FoldedSite>), change: &Change) -> Option<DiffRow> {
    let shown = pair.1.or(pair.0)?;
    Some(DiffRow {
        id: shown.id.clone(),
        function: shown.function.clone(),
        file: shown.file.clone(),
        line: shown.line,
        kind: shown.kind,
        own: shown.own,
        before: pair.0.map(FoldedSite::total).unwrap_or_default(),
        after: pair.1.map(FoldedSite::total).unwrap_or_default(),
        bytes: change.bytes.estimate(change.came, change.went),
        objects: (!change.uncounted).then(|| change.objects.estimate(change.came, change.went)),
        stack: shown.stack.clone(),
    })
}

/// The growth of some cells in one unit.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    value: f64,
    /// Of the growth, from sampling.
    variance: f64,
    /// Largest weight of one sample.
    weight: f64,
}

/// The change of some cells.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    bytes: Growth,
    objects: Growth,
    /// Samples that came.
    came: f64,
    /// Samples that went.
    went: f64,
    /// Some snapshot does not count objects.
    uncounted: bool,
}

impl Change {
    fn of_site<'a>(
        (old, new): (Option<&'a FoldedSite>, Option<&'a FoldedSite>),
        intervals: (f64, f64),
    ) -> Self {
        // In a fixed order: sums of floats depend on it.
        let cells = |site: Option<&'a FoldedSite>| -> Vec<(u64, &'a Cell)> {
            let cells = site.map_or(&[][..], |site| &site.cells);
            let mut cells: Vec<_> = cells.iter().map(|cell| (cell.stack, &cell.cell)).collect();
            cells.sort_unstable_by_key(|(stack, _)| *stack);
            cells
        };
        let (old, new) = (cells(old), cells(new));
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        let mut change = Self::default();
        while let Some(stack) =
            [old.peek(), new.peek()].into_iter().flatten().map(|(stack, _)| *stack).min()
        {
            let old = old.next_if(|(of, _)| *of == stack).map(|(_, cell)| *cell);
            let new = new.next_if(|(of, _)| *of == stack).map(|(_, cell)| *cell);
            change.join(&Self::of_cell(old, new, intervals));
        }
        change
    }

    fn of_cell(old: Option<&Cell>, new: Option<&Cell>, intervals: (f64, f64)) -> Self {
        let size = new.and_then(Cell::object_bytes).or_else(|| old.and_then(Cell::object_bytes));
        if (intervals.0 - intervals.1).abs() > f64::EPSILON {
            return Self::of_strangers(old, new, intervals);
        }
        let uncounted = [old, new].iter().flatten().any(|cell| cell.live_objects.is_none());
        let size = size.unwrap_or(if uncounted { UNCOUNTED_BYTES } else { 0.0 });
        let interval = intervals.0;
        let missed = missed(size, interval);
        // Both snapshots are nearly always sampled alike, and an exponential is not free.
        let alike = intervals.0.to_bits() == intervals.1.to_bits();
        let seen = |own: f64| 1.0 - if alike { missed } else { self::missed(size, own) };
        let samples = |cell: Option<&Cell>, interval: f64| {
            let Some(cell) = cell else { return (0.0, Some(0.0)) };
            let derived = |objects: f64| objects * seen(interval);
            let objects = cell.live_objects.unwrap_or(cell.live_bytes / size);
            let live = cell.live_samples.unwrap_or_else(|| derived(objects));
            (live, cell.alloc_samples.or_else(|| cell.alloc_objects.map(derived)))
        };
        let (live_before, ever_before) = samples(old, intervals.0);
        let (live_after, ever_after) = samples(new, intervals.1);
        let (came, went) = moved((live_before, ever_before), (live_after, ever_after));
        let column = |column: fn(&Cell) -> f64| new.map_or(0.0, column) - old.map_or(0.0, column);
        let growth = |value: f64, unit: f64| {
            // One sample stands for 1/(1-q) objects; its chance part is q of that.
            let weight = unit / (1.0 - missed) * missed.sqrt();
            Growth { value, variance: (came + went) * weight * weight, weight }
        };
        Self {
            bytes: growth(column(|cell| cell.live_bytes), size),
            objects: growth(column(|cell| cell.live_objects.unwrap_or(0.0)), 1.0),
            came,
            went,
            uncounted,
        }
    }

    /// Of cells that were sampled differently: two samples that have nothing in common, so that
    /// each brings the variance of all that it holds. One that counts everything brings none.
    fn of_strangers(old: Option<&Cell>, new: Option<&Cell>, intervals: (f64, f64)) -> Self {
        let mut change = Self::default();
        for (cell, interval, sign) in [(old, intervals.0, -1.0), (new, intervals.1, 1.0)] {
            let Some(cell) = cell else { continue };
            let uncounted = cell.live_objects.is_none();
            let unknown = if uncounted { UNCOUNTED_BYTES } else { 0.0 };
            let size = cell.object_bytes().unwrap_or(unknown);
            let missed = missed(size, interval);
            let objects = cell.live_objects.unwrap_or(cell.live_bytes / size);
            let derived = objects * (1.0 - missed);
            let samples = if missed == 0.0 { 0.0 } else { cell.live_samples.unwrap_or(derived) };
            let growth = |value: f64, unit: f64| {
                let weight = unit / (1.0 - missed) * missed.sqrt();
                Growth { value: sign * value, variance: samples * weight * weight, weight }
            };
            change.join(&Self {
                bytes: growth(cell.live_bytes, size),
                objects: growth(cell.live_objects.unwrap_or(0.0), 1.0),
                uncounted,
                came: if sign > 0.0 { samples } else { 0.0 },
                went: if sign < 0.0 { samples } else { 0.0 },
            });
        }
        change
    }

    fn join(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.bytes, &other.bytes), (&mut self.objects, &other.objects)]
        {
            mine.value += theirs.value;
            mine.variance += theirs.variance;
            mine.weight = mine.weight.max(theirs.weight);
        }
        self.came += other.came;
        self.went += other.went;
        self.uncounted |= other.uncounted;
    }
}

/// Chance that an object of `size` bytes is not sampled; 0 when each is.
fn missed(size: f64, interval: f64) -> f64 {
    if interval <= 1.0 || size <= 0.0 { 0.0 } else { (-size / interval).exp() }
}

/// Samples that came and went between two snapshots, each as (live, ever taken). What came and
/// went in between adds nothing to growth, so the smaller of both counts is right.
fn moved(before: (f64, Option<f64>), after: (f64, Option<f64>)) -> (f64, f64) {
    let worst = (after.0, before.0);
    let (Some(ever_before), Some(ever_after)) = (before.1, after.1) else { return worst };
    let came = (ever_after - ever_before).max(0.0);
    let went = (came - (after.0 - before.0)).max(0.0);
    if came + went <= worst.0 + worst.1 { (came, went) } else { worst }
}

impl Growth {
    fn estimate(&self, came: f64, went: f64) -> Estimate {
        let samples = came + went;
        let (below, above) = if self.weight == 0.0 {
            (0.0, 0.0)
        } else if samples >= EXACT_BELOW {
            let half = Z * self.variance.sqrt();
            (half, half)
        } else {
            // The mean weight where there are samples, the largest where there are none.
            let weight = if samples > 0.0 { (self.variance / samples).sqrt() } else { self.weight };
            let (below, above) = exact(came, went);
            (below * weight, above * weight)
        };
        Estimate {
            value: self.value,
            low: self.value - below,
            high: self.value + above,
            confidence: CONFIDENCE,
            operation: String::new(),
        }
    }
}

/// How far the difference of two Poisson counts may lie below and above what was seen: the exact
/// limits of each, joined by squares (MOVER, Zou and Donner 2008).
fn exact(came: f64, went: f64) -> (f64, f64) {
    let (came_low, came_high) = poisson_limits(came);
    let (went_low, went_high) = poisson_limits(went);
    let below = (came - came_low).hypot(went_high - went);
    let above = (came_high - came).hypot(went - went_low);
    // A count of 0 on one side alone is no evidence of a movement there.
    match (came > 0.0, went > 0.0) {
        (true, false) => (came - came_low, above),
        (false, true) => (below, went - went_low),
        _ => (below, above),
    }
}

/// Exact limits of the mean of a Poisson count (Garwood 1936), two-sided [`CONFIDENCE`].
#[must_use]
pub fn poisson_limits(count: f64) -> (f64, f64) {
    // Each site of each comparison asks for the limits of small counts.
    static SMALL: LazyLock<Vec<(f64, f64)>> =
        LazyLock::new(|| (0..=EXACT_BELOW as u32).map(|seen| limits(f64::from(seen))).collect());
    let seen = count.round().max(0.0);
    SMALL.get(seen as usize).copied().unwrap_or_else(|| limits(seen))
}

fn limits(seen: f64) -> (f64, f64) {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let low = if seen == 0.0 {
        0.0
    } else {
        // P(X >= seen | low) = tail.
        bisect(|mean| 1.0 - at_most(seen - 1.0, mean) - tail, 0.0, seen)
    };
    // P(X <= seen | high) = tail.
    let high = bisect(|mean| tail - at_most(seen, mean), seen, 2.0 * seen + 20.0);
    (low, high)
}

/// P(X <= count) of a Poisson variable.
fn at_most(count: f64, mean: f64) -> f64 {
    let mut term = (-mean).exp();
    let mut sum = term;
    let mut k = 1.0;
    while k <= count {
        term *= mean / k;
        sum += term;
        k += 1.0;
    }
    sum
}

/// The root of a rising function between two points.
fn bisect(rising: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    // 60 halvings are below the precision of the numbers.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if rising(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}
