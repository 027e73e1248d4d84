//! Where the process counts what its heap is only sampled for: one place is told once, by the
//! better of the two. In: series made by hand, with a heap that is not sure and a count that is.
//! Out: the sites of a verdict. What each of the two shows alone is left to `simulation`.

use ebbtide_profiler::profile::Cell;
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::site::{Folded, FoldedCell, FoldedSite};
use ebbtide_profiler::verdict::{Rules, judge};
use ebbtide_record::census::{CensusCount, CensusSite};
use ebbtide_record::event::RoundKind;
use ebbtide_record::verdict::SiteVerdict;
use ebbtide_record::{Census, Kind, Verdict};

/// Mean bytes between two samples.
const INTERVAL: f64 = 512.0 * 1_024.0;
const OPERATIONS: u64 = 4_000;
const ROUNDS: u32 = 32;

/// What a round does: two with new input, then two that replay theirs.
fn kind_of(round: u32) -> RoundKind {
    match round {
        0 => RoundKind::Warmup,
        _ if (round - 1) / 2 % 2 == 1 => RoundKind::Replay,
        _ => RoundKind::New,
    }
}

/// A heap that a few samples show, so that its growth seems to slow down, and a guard for each
/// object, in a file at a line.
fn sites(guard: (&str, u32)) -> Vec<SiteVerdict> {
    sites_with(guard, &|round| OPERATIONS * u64::from(round))
}

/// The same with so many live guards after each round.
fn sites_with(guard: (&str, u32), live_after: &dyn Fn(u32) -> u64) -> Vec<SiteVerdict> {
    let mut series = Series::default();
    let mut live = 0.0;
    for round in 0..=ROUNDS {
        // From ten samples in a round to three.
        live += if round == 0 { 0.0 } else { 10.0 - f64::from(round) * 7.0 / f64::from(ROUNDS) };
        let cell = Cell {
            live_bytes: live * INTERVAL,
            live_objects: Some(live * INTERVAL / 1_072.0),
            live_samples: Some(live),
            alloc_samples: Some(live),
            ..Cell::default()
        };
        let heap = FoldedSite {
            id: "heap".to_owned(),
            function: "shop::Log::append".to_owned(),
            file: "shop/src/log.rs".to_owned(),
            line: 53,
            cells: vec![FoldedCell { stack: 1, cell }],
            ..FoldedSite::default()
        };
        let count = CensusCount { live: live_after(round), ..CensusCount::default() };
        let counted = CensusSite {
            kind: Kind::Cache,
            function: String::new(),
            file: guard.0.to_owned(),
            line: guard.1,
            count,
            age_s: None,
        };
        series.push(Observation {
            round,
            kind: kind_of(round),
            operations: [("POST /log".to_owned(), OPERATIONS)].into(),
            folded: Folded { interval_bytes: INTERVAL, sites: vec![heap], ..Folded::default() },
            census: Census {
                schema: "ebbtide/census/1".to_owned(),
                sites: vec![counted],
                ..Census::default()
            },
            ..Observation::default()
        });
    }
    judge(&series, &Rules { known_load: true, ..Rules::default() }).sites
}

#[test]
fn a_guard_and_its_memory_are_one_site() {
    let sites = sites(("shop/src/log.rs", 55));
    let told: Vec<_> = sites.iter().map(|site| (site.function.as_str(), site.verdict)).collect();
    assert_eq!(told, [("shop::Log::append", Verdict::Leaking)]);
    assert_eq!((sites[0].kind, sites[0].kind_from.as_str()), (Kind::Cache, "census"));
    assert!(sites[0].growth_per_op.value > 500.0, "{:?}", sites[0].growth_per_op);
    let objects = sites[0].objects_per_op.as_ref().expect("objects are counted");
    assert!((objects.value - 1.0).abs() < 1e-6, "{objects:?}");
}

#[test]
fn a_guard_elsewhere_is_a_site_of_its_own() {
    for guard in [("shop/src/hub.rs", 53), ("shop/src/log.rs", 90)] {
        let told: Vec<_> =
            sites(guard).into_iter().map(|site| (site.function, site.verdict)).collect();
        let expected = [
            (String::new(), Verdict::Leaking),
            ("shop::Log::append".to_owned(), Verdict::Inconclusive),
        ];
        assert_eq!(told, expected, "{guard:?}");
    }
}

#[test]
fn a_cache_of_counted_objects_hides_no_leak_beside_it() {
    // Eight objects of each new key, until it is full at half of the run; one is forgotten beside.
    let cached = |round: u32| {
        let new = (1..=round.min(ROUNDS / 2)).filter(|at| kind_of(*at) == RoundKind::New);
        8 * OPERATIONS * new.count() as u64
    };
    for (leak, words) in [
        (0, [Verdict::Warming, Verdict::Inconclusive]),
        (OPERATIONS, [Verdict::Leaking, Verdict::Growing]),
    ] {
        let sites =
            sites_with(("shop/src/hub.rs", 53), &|round| leak * u64::from(round) + cached(round));
        let word = sites.iter().find(|site| site.function.is_empty()).map(|site| site.verdict);
        assert!(word.is_none_or(|word| words.contains(&word)), "{leak}: {sites:#?}");
        assert!(leak == 0 || word.is_some(), "{sites:#?}");
    }
}
