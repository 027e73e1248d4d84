//! Two snapshots to growth: the numbers of a cell, and how often the interval holds the truth.
//! In: cells and folded snapshots with a known truth. Out: rows with their intervals.
//! What a series says over rounds is held by `simulation`.

use crate::writing::Dice;
use ebbtide_profiler::diff::{diff, poisson_limits};
use ebbtide_profiler::profile::Cell;
use ebbtide_profiler::site::{Folded, FoldedCell, FoldedSite, id};

/// A snapshot of some sites with a cell each.
fn folded(interval_bytes: f64, sites: &[(&str, Cell)]) -> Folded {
    let sites: Vec<FoldedSite> = sites
        .iter()
        .map(|(name, cell)| FoldedSite {
            id: id(name, "a.rs"),
            function: (*name).to_owned(),
            cells: vec![FoldedCell { stack: 1, cell: *cell }],
            ..FoldedSite::default()
        })
        .collect();
    let live_bytes = sites.iter().map(|site| site.total().live_bytes).sum();
    Folded { interval_bytes, live_bytes, sites, ..Folded::default() }
}

#[test]
fn exact_snapshots_have_no_doubt() {
    let cell = |live_bytes, live_objects| Cell {
        live_bytes,
        live_objects: Some(live_objects),
        ..Cell::default()
    };
    let before = folded(1.0, &[("grows", cell(100.0, 1.0)), ("goes", cell(50.0, 1.0))]);
    let after = folded(1.0, &[("grows", cell(300.0, 3.0)), ("comes", cell(70.0, 2.0))]);
    let compared = diff(&before, &after);
    let rows: Vec<_> = compared
        .rows
        .iter()
        .map(|row| (row.function.as_str(), row.bytes.low, row.bytes.value, row.bytes.high))
        .collect();
    let expected = [
        ("grows", 200.0, 200.0, 200.0),
        ("comes", 70.0, 70.0, 70.0),
        ("goes", -50.0, -50.0, -50.0),
    ];
    assert_eq!(rows, expected);
    assert_eq!(compared.growth.value, 220.0);
    assert!(compared.rows.iter().all(ebbtide_profiler::diff::DiffRow::is_certain));
    // The other way round is the same with the other sign.
    let back = diff(&after, &before);
    assert_eq!(back.growth.value, -220.0);
    assert!(diff(&before, &before).rows.iter().all(|row| row.bytes.value == 0.0));
}

#[test]
fn limits_of_small_counts_are_the_published_ones() {
    // Garwood's table, 95 %.
    for (count, low, high) in [(0.0, 0.0, 3.689), (1.0, 0.025, 5.572), (10.0, 4.795, 18.390)] {
        let limits = poisson_limits(count);
        assert!((limits.0 - low).abs() < 1e-3 && (limits.1 - high).abs() < 1e-3, "{limits:?}");
    }
}

/// What sampling shows of `live` objects of one size, of which `ever` were allocated.
#[derive(Clone, Copy, Default)]
struct Seen {
    live: f64,
    ever: f64,
}

impl Seen {
    fn cell(self, size: f64, interval: f64) -> Cell {
        let factor = 1.0 / (1.0 - (-size / interval).exp());
        Cell {
            live_bytes: self.live * factor * size,
            live_objects: Some(self.live * factor),
            alloc_bytes: Some(self.ever * factor * size),
            alloc_objects: Some(self.ever * factor),
            live_samples: Some(self.live),
            alloc_samples: Some(self.ever),
        }
    }
}

/// How often the interval of growth holds the truth, of 2,000 pairs of snapshots.
fn coverage(size: f64, standing: u32, grown: u32, replaced: u32, dice: &mut Dice) -> f64 {
    const RUNS: u32 = 2_000;
    const INTERVAL: f64 = 65_536.0;
    let chance = 1.0 - (-size / INTERVAL).exp();
    let sampled =
        |count: u32, dice: &mut Dice| (0..count).filter(|_| dice.uniform() < chance).count() as f64;
    let truth = f64::from(grown) * size;
    let held = (0..RUNS).filter(|_| {
        let stays = sampled(standing - replaced, dice);
        let goes = sampled(replaced, dice);
        let comes = sampled(replaced + grown, dice);
        let before = Seen { live: stays + goes, ever: stays + goes };
        let after = Seen { live: stays + comes, ever: stays + goes + comes };
        let compared = diff(
            &folded(INTERVAL, &[("f", before.cell(size, INTERVAL))]),
            &folded(INTERVAL, &[("f", after.cell(size, INTERVAL))]),
        );
        // Nothing seen before and nothing after: there is no site to speak of.
        compared.rows.first().is_none_or(|row| row.bytes.low <= truth && truth <= row.bytes.high)
    });
    held.count() as f64 / f64::from(RUNS)
}

#[test]
fn the_interval_holds_the_truth_as_often_as_it_says() {
    let mut dice = Dice(42);
    // Size of an object, standing, grown, replaced.
    let cases = [
        (1_024.0, 0, 10_000, 0),
        (1_024.0, 20_000, 2_000, 0),
        (1_024.0, 20_000, 2_000, 10_000),
        (1_024.0, 20_000, 0, 6_000),
        (1_024.0, 1_000, 400, 0),
        (1_024.0, 1_000, 300, 300),
        (65_536.0, 100, 40, 10),
        (262_144.0, 100, 40, 10),
        (64.0, 40_000, 9_000, 0),
    ];
    for (size, standing, grown, replaced) in cases {
        let share = coverage(size, standing, grown, replaced, &mut dice);
        let case = format!("{size} B, {standing} standing, {grown} grown, {replaced} replaced");
        assert!((0.93..=0.995).contains(&share), "{case}: {share}");
    }
}
