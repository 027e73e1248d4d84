//! What the census says: objects that the process itself counts, over the rounds. In: a series.
//! Out: for each place of creation whose live count grows, how much per operation. It gives a
//! site its kind and stands as evidence of its own. Pure.

use crate::growth::{self, Growth, Operations};
use crate::series::{Column, Series};
use crate::trend::Noise;
use ebbtide_record::Kind;
use ebbtide_record::event::RoundKind;
use std::collections::BTreeMap;

/// A place of creation whose live count grows.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// What is counted there.
    pub kind: Kind,
    /// Function, where it is known.
    pub function: String,
    /// Source file.
    pub file: String,
    /// Line.
    pub line: u32,
    /// Live objects at the last observation.
    pub live: u64,
    /// Live objects at each measured observation, the baseline first.
    pub column: Column,
    /// How it grows.
    pub growth: Growth,
}

/// Less than this share of an object per operation is no growth worth a word.
pub(crate) const SHARE_MIN: f64 = 0.005;
/// Chance at which a count is taken to grow. Counts are exact, so little is asked of it: it
/// gives names to what the heap shows, and needs the same ladder as the heap to stand alone.
const ALPHA: f64 = 0.001;

/// Puts the straight line between its neighbours where nothing was counted, and the nearest
/// count before the first and after the last: a census that could not be had is not a count of 0.
fn bridge(levels: &mut [f64], told: &[bool]) {
    for at in (0..levels.len()).filter(|at| !told[*at]) {
        let before = (0..at).rev().find(|index| told[*index]);
        let after = (at..levels.len()).find(|index| told[*index]);
        levels[at] = match (before, after) {
            (Some(a), Some(b)) => {
                let share = (at - a) as f64 / (b - a) as f64;
                levels[a] + (levels[b] - levels[a]) * share
            }
            (Some(known), None) | (None, Some(known)) => levels[known],
            (None, None) => 0.0,
        };
    }
}

/// Places whose live count grows with an operation, the fastest first.
#[must_use]
pub fn growing(series: &Series, operations: &[Operations], kinds: &[RoundKind]) -> Vec<Tally> {
    let first = series.baseline();
    let count = series.observations().count() - first;
    let mut rows: BTreeMap<(Kind, &str, u32), (Vec<f64>, &str)> = BTreeMap::new();
    for (index, observation) in series.observations().skip(first).enumerate() {
        for site in &observation.census.sites {
            let row = rows
                .entry((site.kind, site.file.as_str(), site.line))
                .or_insert_with(|| (vec![0.0; count], site.function.as_str()));
            row.0[index] += site.count.live as f64;
        }
    }
    let told: Vec<bool> =
        series.observations().skip(first).map(|o| !o.census.schema.is_empty()).collect();
    let mut tallies: Vec<Tally> = rows
        .into_iter()
        .filter_map(|((kind, file, line), (mut levels, function))| {
            bridge(&mut levels, &told);
            let rounds = count.saturating_sub(1);
            let noise = Noise {
                steps: vec![0.0; rounds],
                levels: vec![0.0; count],
                floor: 1.0,
                ..Noise::default()
            };
            let live = levels.last().copied().unwrap_or(0.0) as u64;
            let column = Column { levels, noise };
            let growth = growth::of(&column, operations, kinds)?;
            let grows = growth.slope.value >= SHARE_MIN && growth.slope.p_value() <= ALPHA;
            grows.then(|| Tally {
                kind,
                function: function.to_owned(),
                file: file.to_owned(),
                line,
                live,
                column,
                growth,
            })
        })
        .collect();
    tallies.sort_by(|a, b| b.growth.slope.value.total_cmp(&a.growth.slope.value));
    tallies
}
