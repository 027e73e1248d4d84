//! A series: the same process at the end of each round. In: folded snapshots with the operations
//! done in between and the census of the moment. Out: for each site its bytes and objects over
//! the rounds, with the error that sampling puts on each, containers set apart. Pure.
//!
//! Whether any of it grows is left to `growth`, and what to call it to `verdict`.

use crate::profile::{Cell, Form};
use crate::site::Folded;
use crate::trend::Noise;
use ebbtide_record::event::RoundKind;
use ebbtide_record::verdict::FrameLine;
use ebbtide_record::{Census, Kind};
use std::collections::BTreeMap;

/// Observations kept: the warm-up and the largest plan, and a bound for series from files.
pub const OBSERVATIONS_MAX: usize = 256;

/// A stack that never holds more objects than this has none per operation: what it holds is a
/// table or buffer that is replaced by a larger one.
const CONTAINERS_MAX: f64 = 8.5;
/// Likewise for the shards of a sharded table, when the objects grow and their number does not.
const SHARDS_MAX: f64 = 256.0;
/// How much larger the objects must have become for that, and how much more numerous at most.
const SHARD_GROWTH: f64 = 1.8;

/// The target at the end of one round.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// From 0, warm-up rounds included.
    pub round: u32,
    /// Why the round was driven.
    pub kind: RoundKind,
    /// Operations done in this round alone, by name.
    pub operations: BTreeMap<String, u64>,
    /// The heap.
    pub folded: Folded,
    /// What the process itself counted.
    pub census: Census,
    /// Resident set, bytes.
    pub rss_bytes: Option<u64>,
    /// Live heap at the end of the load, before the drain, bytes.
    pub busy_bytes: Option<u64>,
    /// Time to settle, milliseconds.
    pub settled_ms: u64,
    /// When the snapshot was taken, seconds since any moment that is the same for all of them.
    pub at_s: Option<f64>,
    /// The deadline passed before the target had settled.
    pub unsettled: bool,
    /// File name of the snapshot.
    pub snapshot: String,
}

/// An observation without its heap, which is kept by site.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// The observation; its `folded.sites` are taken out.
    pub observation: Observation,
}

/// One stack over the series.
#[derive(Clone, Debug, Default)]
struct Track {
    cells: Vec<Option<Cell>>,
    /// Live bytes and samples by bracket of age, at the observation of that index; of an earlier
    /// one where the stack was not there.
    ages: (usize, Vec<(f64, f64)>),
}

/// One site over the series.
#[derive(Clone, Debug, Default)]
pub struct SiteTrack {
    /// As in [`crate::site::FoldedSite`].
    pub function: String,
    /// Its file.
    pub file: String,
    /// The line that allocates most, at the last observation that has the site.
    pub line: u32,
    /// Kind by its frames.
    pub kind: Kind,
    /// Its largest stack.
    pub stack: Vec<FrameLine>,
    stacks: BTreeMap<u64, Track>,
}

/// The series of one target.
#[derive(Clone, Debug, Default)]
pub struct Series {
    points: Vec<Point>,
    sites: BTreeMap<String, SiteTrack>,
    interval_bytes: f64,
    resident: bool,
    /// The last observation that told ages after work was done, and the upper ends of their
    /// brackets.
    aged: Option<(usize, Vec<f64>)>,
}

/// One measured quantity of a site over the measured observations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Its value at each observation.
    pub levels: Vec<f64>,
    /// The error of those values.
    pub noise: Noise,
}

impl Column {
    /// Differences from each observation to the next.
    #[must_use]
    pub fn increments(&self) -> Vec<f64> {
        self.levels.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// A site over the measured observations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteColumns {
    /// Live bytes outside containers.
    pub bytes: Column,
    /// Live objects outside containers.
    pub objects: Column,
    /// Bytes in containers.
    pub containers: Vec<f64>,
    /// Net samples that came between the first and the last observation, outside containers.
    pub net_samples: f64,
    /// Samples that came and went in between, per net one.
    pub turnover: f64,
    /// Some snapshot does not say how many objects there are: `objects` means nothing.
    pub uncounted: bool,
}

/// What is live at a site by bracket of age, the oldest last.
#[derive(Debug)]
pub(crate) struct LiveByAge<'a> {
    /// Upper ends of all brackets but the last, seconds.
    pub(crate) bounds_s: &'a [f64],
    pub(crate) bytes: Vec<f64>,
    pub(crate) samples: Vec<f64>,
    /// Live bytes and samples of which no age is told.
    pub(crate) unaged: (f64, f64),
}

impl Series {
    /// Adds an observation. One past [`OBSERVATIONS_MAX`] is refused: `false`.
    pub fn push(&mut self, mut observation: Observation) -> bool {
        if self.points.len() >= OBSERVATIONS_MAX {
            return false;
        }
        let index = self.points.len();
        self.resident = observation.folded.form == Some(Form::Resident);
        self.interval_bytes = observation.folded.interval_bytes.max(1.0);
        let bounds = std::mem::take(&mut observation.folded.age_bounds_s);
        let brackets = bounds.len() + 1;
        // In a rest everything grows older by itself.
        let aged = brackets > 1 && observation.kind != RoundKind::Rest;
        if aged {
            self.aged = Some((index, bounds));
        }
        for mut site in std::mem::take(&mut observation.folded.sites) {
            site.ages.retain(|row| aged && (row.bracket as usize) < brackets);
            let track = self.sites.entry(site.id).or_default();
            track.function = site.function;
            track.file = site.file;
            track.line = site.line;
            track.kind = site.kind;
            track.stack = site.stack.iter().map(|line| (**line).clone()).collect();
            for row in &site.ages {
                let Some(cell) = site.cells.get(row.at as usize) else { continue };
                let ages = &mut track.stacks.entry(cell.stack).or_default().ages;
                if ages.0 != index || ages.1.is_empty() {
                    *ages = (index, vec![(0.0, 0.0); brackets]);
                }
                let (bytes, samples) = &mut ages.1[row.bracket as usize];
                (*bytes, *samples) = (*bytes + row.bytes, *samples + row.samples);
            }
            for cell in site.cells {
                let cells = &mut track.stacks.entry(cell.stack).or_default().cells;
                if cells.len() < index {
                    cells.resize(index, None);
                }
                match cells.get_mut(index) {
                    Some(Some(known)) => known.add(&cell.cell),
                    _ => cells.push(Some(cell.cell)),
                }
            }
        }
        self.points.push(Point { observation });
        true
    }

    /// All observations, warm-up included, without their sites.
    pub fn observations(&self) -> impl Iterator<Item = &Observation> {
        self.points.iter().map(|point| &point.observation)
    }

    /// It is resident memory, and no heap.
    #[must_use]
    pub fn is_resident(&self) -> bool {
        self.resident
    }

    /// Leaves every other observation out, the first and the last not among them: a series without
    /// an end stays within [`OBSERVATIONS_MAX`]. Operations before one that goes count for the
    /// next.
    pub fn thin(&mut self) {
        let last = self.points.len().saturating_sub(1);
        let stays = |index: usize| index == 0 || (last - index).is_multiple_of(2);
        let mut carried: BTreeMap<String, u64> = BTreeMap::new();
        let mut points = Vec::with_capacity(self.points.len() / 2 + 1);
        for (index, mut point) in std::mem::take(&mut self.points).into_iter().enumerate() {
            let done = &mut point.observation.operations;
            for (name, count) in std::mem::take(&mut carried) {
                *done.entry(name).or_default() += count;
            }
            if stays(index) {
                points.push(point);
            } else {
                carried = std::mem::take(done);
            }
        }
        self.points = points;
        let now_at =
            |index: usize| stays(index).then(|| (0..index).filter(|at| stays(*at)).count());
        self.aged = self.aged.take().and_then(|(at, bounds)| Some((now_at(at)?, bounds)));
        self.sites.retain(|_, site| {
            site.stacks.retain(|_, track| {
                let (at, rows) = std::mem::take(&mut track.ages);
                track.ages = now_at(at).map(|at| (at, rows)).unwrap_or_default();
                let cells = std::mem::take(&mut track.cells).into_iter().enumerate();
                track.cells = cells.filter(|(at, _)| stays(*at)).map(|(_, cell)| cell).collect();
                track.cells.iter().any(Option::is_some)
            });
            !site.stacks.is_empty()
        });
    }

    /// Mean bytes between two samples.
    #[must_use]
    pub fn interval_bytes(&self) -> f64 {
        self.interval_bytes
    }

    /// All sites by id.
    #[must_use]
    pub fn sites(&self) -> &BTreeMap<String, SiteTrack> {
        &self.sites
    }

    /// The same with the stacks of some sites at another: where there is none of that id, it is
    /// made, `place` being its stack, with the site as the last frame.
    #[must_use]
    pub(crate) fn gathered(&self, from: &[String], id: &str, place: Vec<FrameLine>) -> Self {
        let mut series = self.clone();
        let taken: Vec<SiteTrack> = from
            .iter()
            .filter(|from| *from != id)
            .filter_map(|id| series.sites.remove(id))
            .collect();
        let site = series.sites.entry(id.to_owned()).or_insert_with(|| {
            let at = place.last().cloned().unwrap_or_default();
            let (function, file, line) = (at.function, at.file, at.line);
            SiteTrack { function, file, line, stack: place, ..SiteTrack::default() }
        });
        for mut given in taken {
            // A stack has one site, so none of these is there already.
            site.stacks.append(&mut given.stacks);
        }
        series
    }

    /// The observation that growth is counted from: the end of the last warm-up round, or the
    /// first observation when there was none.
    #[must_use]
    pub fn baseline(&self) -> usize {
        self.points
            .iter()
            .rposition(|point| point.observation.kind == RoundKind::Warmup)
            .unwrap_or(0)
    }

    /// The measured observations, the baseline not among them.
    #[must_use]
    pub fn measured(&self) -> &[Point] {
        self.points.get(self.baseline() + 1..).unwrap_or_default()
    }

    /// The measured observations up to a rest, which comes last.
    #[must_use]
    pub fn worked(&self) -> &[Point] {
        let all = self.measured();
        let resting = |point: &Point| point.observation.kind == RoundKind::Rest;
        &all[..all.iter().position(resting).unwrap_or(all.len())]
    }

    /// Operations of all names done since the series began, at each observation from the
    /// baseline on.
    #[must_use]
    pub fn work_done(&self) -> Vec<f64> {
        let mut done = 0.0;
        let all = self.points.iter().map(|point| {
            done += point.observation.operations.values().sum::<u64>() as f64;
            done
        });
        let all: Vec<f64> = all.collect();
        all.get(self.baseline()..).unwrap_or_default().to_vec()
    }

    /// Seconds from each observation to the next, from the baseline on; `None` where nobody
    /// looked at a clock.
    #[must_use]
    pub fn seconds(&self) -> Option<Vec<f64>> {
        let points = self.points.get(self.baseline()..)?;
        let at: Option<Vec<f64>> = points.iter().map(|point| point.observation.at_s).collect();
        Some(at?.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).collect())
    }

    /// Mean length of the measured rounds with operations, seconds.
    #[must_use]
    pub fn round_seconds(&self) -> Option<f64> {
        let kinds = self.measured().iter().map(|point| point.observation.kind);
        let lengths = self.seconds()?.into_iter().zip(kinds);
        let lengths =
            lengths.filter(|(_, kind)| *kind != RoundKind::Rest).map(|(length, _)| length);
        let (count, sum) = lengths.fold((0.0, 0.0), |(n, sum), length| (n + 1.0, sum + length));
        (count > 0.0).then(|| sum / count)
    }

    /// Live bytes of a site at each observation, warm-up included, containers included.
    #[must_use]
    pub fn levels(&self, site: &SiteTrack) -> Vec<f64> {
        (0..self.points.len())
            .map(|index| {
                site.stacks
                    .values()
                    .map(|track| track.at(index).map_or(0.0, |c| c.live_bytes))
                    .sum()
            })
            .collect()
    }

    /// Live objects of a site at the last observation; `None` when it does not count them.
    #[must_use]
    pub fn live_objects(&self, site: &SiteTrack) -> Option<f64> {
        let last = self.points.len().saturating_sub(1);
        let objects = |track: &Track| track.at(last).map_or(Some(0.0), |cell| cell.live_objects);
        site.stacks.values().map(objects).sum()
    }

    /// What is live at a site, containers apart, by age at the last observation after work;
    /// `None` where it told none.
    #[must_use]
    pub(crate) fn ages(&self, site: &SiteTrack) -> Option<LiveByAge<'_>> {
        let (index, bounds_s) = self.aged.as_ref()?;
        if *index != self.baseline() + self.worked().len() {
            return None;
        }
        let first = self.baseline();
        let brackets = bounds_s.len() + 1;
        let (mut bytes, mut samples) = (vec![0.0; brackets], vec![0.0; brackets]);
        let mut unaged = (0.0, 0.0);
        for track in site.stacks.values() {
            let cells: Vec<Cell> =
                (first..=*index).map(|i| track.at(i).copied().unwrap_or(NOTHING)).collect();
            if is_container(&cells) {
                continue;
            }
            let now = track.at(*index).unwrap_or(&NOTHING);
            let mut aged = (0.0, 0.0);
            let told = track.ages.1.iter().filter(|_| track.ages.0 == *index);
            for (bracket, (more_bytes, more_samples)) in told.enumerate() {
                bytes[bracket] += more_bytes;
                samples[bracket] += more_samples;
                aged = (aged.0 + more_bytes, aged.1 + more_samples);
            }
            let live = now.live_samples.or(now.live_objects).unwrap_or(aged.1);
            unaged.0 += (now.live_bytes - aged.0).max(0.0);
            unaged.1 += (live - aged.1).max(0.0);
        }
        Some(LiveByAge { bounds_s, bytes, samples, unaged })
    }

    /// The columns of a site from the baseline on.
    #[must_use]
    pub fn columns(&self, site: &SiteTrack) -> SiteColumns {
        let first = self.baseline();
        let count = self.points.len().saturating_sub(first);
        let rounds = count.saturating_sub(1);
        let mut columns = SiteColumns::default();
        for column in [&mut columns.bytes, &mut columns.objects] {
            column.levels = vec![0.0; count];
            column.noise = Noise {
                steps: vec![0.0; rounds],
                levels: vec![0.0; count],
                net: vec![0.0; rounds],
                moved: vec![0.0; rounds],
                ..Noise::default()
            };
        }
        columns.containers = vec![0.0; count];
        let (mut turned, mut present) = (0.0, 0.0);
        let work = self.work_done();
        let (begun, done) = (work.first().unwrap_or(&0.0), work.last().unwrap_or(&0.0));
        let before = begun / (done - begun).max(1.0);
        for track in site.stacks.values() {
            let cells: Vec<Cell> =
                (first..first + count).map(|i| track.at(i).copied().unwrap_or(NOTHING)).collect();
            if is_container(&cells) {
                for (sum, cell) in columns.containers.iter_mut().zip(&cells) {
                    *sum += cell.live_bytes;
                }
                continue;
            }
            let (there_and_back, samples) = self.add_stack(&mut columns, &cells, before);
            turned += there_and_back;
            present += samples;
        }
        finish(&mut columns, turned, present);
        if self.resident {
            columns.bytes.noise.steps_only = true;
            columns.bytes.noise.floor = PAGE_BYTES.powi(2);
        }
        columns
    }

    /// Adds one stack to the columns of its site; returns its samples that came and went, and
    /// those among which they did, over all rounds. `before` is the work done until the baseline,
    /// per work done since.
    fn add_stack(&self, columns: &mut SiteColumns, cells: &[Cell], before: f64) -> (f64, f64) {
        let counted = cells.iter().all(|cell| cell.live_objects.is_some());
        columns.uncounted |= !counted;
        let known = cells.iter().rev().find_map(Cell::object_bytes);
        let Some(size) = known.or((!counted).then_some(UNCOUNTED_BYTES)) else {
            return (0.0, 0.0);
        };
        for (index, cell) in cells.iter().enumerate() {
            columns.bytes.levels[index] += cell.live_bytes;
            columns.objects.levels[index] += cell.live_objects.unwrap_or(0.0);
        }
        let missed =
            if self.interval_bytes <= 1.0 { 0.0 } else { (-size / self.interval_bytes).exp() };
        // Variance that one sample brings to the number of objects (DIAGNOSIS: q / (1 - q)^2).
        let of_objects = missed / (1.0 - missed).powi(2);
        // Where objects are not counted but samples are, each stands for as many bytes as it says.
        let of_bytes = match weight(cells).filter(|_| !counted) {
            Some(each) => each * each,
            None => of_objects * size * size,
        };
        let samples = |cell: &Cell| {
            let objects = cell.live_objects.unwrap_or(cell.live_bytes / size);
            cell.live_samples.unwrap_or(objects * (1.0 - missed)).max(0.0)
        };
        // Go counts what it ever allocated, and not in samples.
        let taken = |cell: &Cell| {
            cell.alloc_samples.or_else(|| cell.alloc_objects.map(|all| all * (1.0 - missed)))
        };
        let (mut net, mut turned) = (0.0, 0.0);
        let rounds = cells.len().saturating_sub(1);
        for round in 0..rounds {
            let (before, after) = (&cells[round], &cells[round + 1]);
            let change = samples(after) - samples(before);
            let both = samples(after) + samples(before);
            let moved = match (taken(before), taken(after)) {
                (Some(a), Some(b)) => {
                    let new = (b - a).max(0.0);
                    (2.0 * new - change).clamp(change.abs(), both.max(change.abs()))
                }
                _ => both,
            };
            let there_and_back = moved - change.abs();
            net += change;
            turned += there_and_back;
            for (column, weight) in
                [(&mut columns.bytes, of_bytes), (&mut columns.objects, of_objects)]
            {
                column.noise.net[round] += change;
                column.noise.moved[round] += moved * weight;
                // Half of it belongs to the level before, half to the one after.
                column.noise.levels[round] += there_and_back * weight / 2.0;
                column.noise.levels[round + 1] += there_and_back * weight / 2.0;
            }
        }
        columns.net_samples += net;
        // What stays is spread evenly: weighing each round by its own few samples would trust
        // the rounds in which none happened to be taken without limit.
        let staying = net.abs().max(1.0) / rounds.max(1) as f64;
        for round in 0..rounds {
            columns.bytes.noise.steps[round] += staying * of_bytes;
            columns.objects.noise.steps[round] += staying * of_objects;
        }
        // What grows is not turned over: the smallest level is the population that is, less what
        // the same growth had brought by then.
        let least = cells.iter().map(samples).fold(f64::INFINITY, f64::min);
        let turning = (least - net.max(0.0) * before).max(0.0) * rounds as f64;
        (turned, turning.max(turned / 2.0))
    }
}

/// Bytes that a live sample of a stack stands for; `None` where samples are not told.
fn weight(cells: &[Cell]) -> Option<f64> {
    let of = |cell: &Cell| cell.live_samples.map(|samples| (cell.live_bytes, samples));
    let told: Vec<(f64, f64)> = cells.iter().filter_map(of).collect();
    let (bytes, samples) = told.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    (samples > 0.0 && bytes > 0.0).then(|| bytes / samples)
}

/// Inner levels got their share from both sides: each is an estimate of the same variance.
fn finish(columns: &mut SiteColumns, turned: f64, present: f64) {
    let last = columns.bytes.levels.len().saturating_sub(1);
    for column in [&mut columns.bytes, &mut columns.objects] {
        for level in column.noise.levels.iter_mut().take(last).skip(1) {
            *level /= 2.0;
        }
        // One that went and one that came make one replaced.
        column.noise.memory = 1.0 - (turned / 2.0 / present.max(1.0)).min(1.0);
    }
    columns.turnover = turned / columns.net_samples.abs().max(1.0);
    let objects = columns.objects.levels.last().copied().unwrap_or(0.0).max(1.0);
    let bytes = columns.bytes.levels.last().copied().unwrap_or(0.0);
    let size = if columns.uncounted { 0.0 } else { bytes / objects };
    columns.objects.noise.floor = LEVEL_FLOOR_OBJECTS.powi(2);
    columns.bytes.noise.floor = (LEVEL_FLOOR_OBJECTS * size).max(LEVEL_FLOOR_BYTES).powi(2);
}

/// A stack that a snapshot does not have: nothing of it is live.
const NOTHING: Cell = Cell {
    live_bytes: 0.0,
    live_objects: Some(0.0),
    alloc_bytes: None,
    alloc_objects: None,
    live_samples: None,
    alloc_samples: None,
};
/// Size of an object, bytes, where nobody counted any: that of the smallest, for which a sample
/// stands for most, so that the error is rather too large.
pub(crate) const UNCOUNTED_BYTES: f64 = 1.0;

/// Smallest error of a level of resident memory: a page.
const PAGE_BYTES: f64 = 4_096.0;

/// Objects by which an idle process differs from one moment to the next without meaning.
const LEVEL_FLOOR_OBJECTS: f64 = 1.0;
/// The same in bytes, at least.
const LEVEL_FLOOR_BYTES: f64 = 64.0;

impl Track {
    fn at(&self, index: usize) -> Option<&Cell> {
        self.cells.get(index)?.as_ref()
    }
}

/// Few objects that are replaced by larger ones: the backing store of a vector, map or queue.
/// Not to be told where objects are not counted.
fn is_container(cells: &[Cell]) -> bool {
    let Some(objects) = cells.iter().map(|cell| cell.live_objects).collect::<Option<Vec<f64>>>()
    else {
        return false;
    };
    let most = objects.iter().copied().fold(0.0, f64::max);
    if most <= CONTAINERS_MAX {
        return true;
    }
    let seen: Vec<(f64, f64)> = objects
        .iter()
        .zip(cells)
        .filter(|(objects, _)| **objects >= 0.5)
        .map(|(objects, cell)| (*objects, cell.live_bytes / objects))
        .collect();
    let (Some(first), Some(last)) = (seen.first(), seen.last()) else { return false };
    most <= SHARDS_MAX && last.1 >= first.1 * SHARD_GROWTH && last.0 <= first.0 * SHARD_GROWTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Aged;
    use crate::site::{FoldedCell, FoldedSite};

    #[test]
    fn cells_of_one_stack_add_up() {
        let cell = |live_bytes| Cell { live_bytes, ..Cell::default() };
        let cells = [8.0, 24.0, 1.0].map(|bytes| FoldedCell { stack: 7, cell: cell(bytes) });
        let site = FoldedSite { id: "0".to_owned(), cells: cells.into(), ..FoldedSite::default() };
        let mut series = Series::default();
        for _ in 0..2 {
            let folded = Folded { sites: vec![site.clone()], ..Folded::default() };
            assert!(series.push(Observation { folded, ..Observation::default() }));
        }
        let cells = &series.sites["0"].stacks[&7].cells;
        let bytes = cells.iter().map(|cell| cell.map(|cell| cell.live_bytes));
        assert_eq!(bytes.collect::<Vec<_>>(), [Some(33.0), Some(33.0)]);
    }

    #[test]
    fn a_series_that_is_thinned_keeps_its_ends_and_its_work() {
        for (count, rounds, done) in
            [(5_u32, vec![0, 2, 4], vec![1, 5, 9]), (6, vec![0, 1, 3, 5], vec![1, 2, 7, 11])]
        {
            let mut series = Series::default();
            for round in 0..count {
                let live_bytes = f64::from(round);
                let cell = FoldedCell { stack: 7, cell: Cell { live_bytes, ..Cell::default() } };
                let id = "0".to_owned();
                let sites = vec![FoldedSite { id, cells: vec![cell], ..FoldedSite::default() }];
                let folded = Folded { sites, ..Folded::default() };
                let operations = BTreeMap::from([("GET /".to_owned(), u64::from(round) + 1)]);
                series.push(Observation { round, operations, folded, ..Observation::default() });
            }
            series.thin();
            assert_eq!(series.observations().map(|o| o.round).collect::<Vec<_>>(), rounds);
            let work = series.observations().map(|o| o.operations["GET /"]);
            assert_eq!(work.collect::<Vec<_>>(), done);
            let levels: Vec<f64> = rounds.iter().map(|round| f64::from(*round)).collect();
            assert_eq!(series.levels(&series.sites["0"]), levels);
        }
    }

    #[test]
    fn a_series_that_is_thinned_keeps_the_ages_of_what_stays_and_nothing_of_what_is_gone() {
        // Each stack is alone at its site; the rows are of the oldest bracket.
        let push = |series: &mut Series, bounds: &[f64], stacks: &[u64]| {
            let bracket = bounds.len() as u32;
            let row = Aged { at: 0, bracket, bytes: 8.0, samples: 1.0 };
            let cell = Cell { live_bytes: 8.0, live_samples: Some(1.0), ..Cell::default() };
            let site = |stack: &u64| FoldedSite {
                id: stack.to_string(),
                cells: vec![FoldedCell { stack: *stack, cell }],
                ages: vec![row],
                ..FoldedSite::default()
            };
            let sites = stacks.iter().map(site).collect();
            let folded = Folded { sites, age_bounds_s: bounds.to_vec(), ..Folded::default() };
            assert!(series.push(Observation { folded, ..Observation::default() }));
        };
        let ages = |series: &Series, id: &str| {
            series.ages(&series.sites[id]).map(|told| (told.samples, told.unaged))
        };
        let mut series = Series::default();
        let stacks: [&[u64]; 6] = [&[1], &[1], &[1], &[1], &[1, 2], &[1, 3]];
        stacks.iter().for_each(|stacks| push(&mut series, &[1.0, 2.0, 4.0], stacks));
        series.thin();
        assert_eq!(series.sites.keys().collect::<Vec<_>>(), ["1", "3"]);
        for id in ["1", "3"] {
            assert_eq!(ages(&series, id), Some((vec![0.0, 0.0, 0.0, 1.0], (0.0, 0.0))), "{id}");
        }
        // Two more, so that the last has the index that the last before had.
        push(&mut series, &[1.0], &[1]);
        push(&mut series, &[1.0], &[1, 3]);
        for id in ["1", "3"] {
            assert_eq!(ages(&series, id), Some((vec![0.0, 1.0], (0.0, 0.0))), "{id}");
        }
    }
}
