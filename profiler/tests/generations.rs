//! Ages held against growth: a site that grows by the same samples in each round, and what a
//! snapshot tells of their ages. In: series made by hand. Out: words, reasons and evidence; a
//! word is only ever taken back by ages, and is what it was where none are told.
#![allow(clippy::unwrap_used, reason = "tests may; the lint's own exception wants `#[test]` above")]

use ebbtide_profiler::profile::{Aged, Cell};
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::site::{Folded, FoldedCell, FoldedSite};
use ebbtide_profiler::verdict::{Rules, judge};
use ebbtide_record::census::{CensusCount, CensusSite};
use ebbtide_record::event::RoundKind;
use ebbtide_record::verdict::SiteVerdict;
use ebbtide_record::{Census, Kind, Verdict};

/// Mean bytes between samples, and bytes of an object.
const INTERVAL: f64 = 65_536.0;
const SIZE: f64 = 256.0;
/// Length of a round; eight are measured after two of warm-up.
const SECONDS: f64 = 10.0;
/// Upper ends of the brackets. What came in the first half is older than 32 s.
const BOUNDS_S: [f64; 4] = [8.0, 16.0, 32.0, 64.0];

/// What is live at the end, by bracket, as shares.
type Shares = [f64; 5];
/// Even growth over ten rounds of ten seconds.
const EVERY_AGE: Shares = [0.08, 0.08, 0.16, 0.32, 0.36];
const YOUNG: Shares = [0.5, 0.4, 0.1, 0.0, 0.0];

struct Case {
    /// Samples that come and stay in each round.
    each: f64,
    ages: Option<Shares>,
    clock: bool,
    /// A rest at the end, in which what is live grows old.
    rest: bool,
    /// The process counts one more there with each operation.
    counted: bool,
}

const GROWS: Case = Case { each: 100.0, ages: None, clock: true, rest: false, counted: false };

fn observation(case: &Case, round: u32, resting: bool) -> Observation {
    let samples = case.each * f64::from(round.min(9) + 1);
    let objects = samples / (1.0 - (-SIZE / INTERVAL).exp());
    let cell = Cell {
        live_bytes: objects * SIZE,
        live_objects: Some(objects),
        live_samples: Some(samples),
        alloc_samples: Some(samples),
        ..Cell::default()
    };
    let shares = if resting { Some([0.0, 0.0, 0.0, 0.0, 1.0]) } else { case.ages };
    let rows = shares.into_iter().flat_map(|shares| {
        let rows = (0..).zip(shares).filter(|(_, share)| *share > 0.0);
        rows.map(|(bracket, share)| Aged {
            at: 0,
            bracket,
            bytes: share * cell.live_bytes,
            samples: share * samples,
        })
        .collect::<Vec<_>>()
    });
    let site = FoldedSite {
        id: "0".to_owned(),
        function: "shop::keep".to_owned(),
        file: "src/shop.rs".to_owned(),
        line: 7,
        cells: vec![FoldedCell { stack: 1, cell }],
        ages: rows.collect(),
        ..FoldedSite::default()
    };
    let age_bounds_s = shares.map(|_| BOUNDS_S.to_vec()).unwrap_or_default();
    let kind = match round {
        0 | 1 => RoundKind::Warmup,
        _ if resting => RoundKind::Rest,
        _ => RoundKind::New,
    };
    Observation {
        round,
        kind,
        operations: (!resting).then(|| ("GET /".to_owned(), 20_000)).into_iter().collect(),
        folded: Folded {
            interval_bytes: INTERVAL,
            live_bytes: cell.live_bytes,
            sites: vec![site],
            age_bounds_s,
            ..Folded::default()
        },
        at_s: case.clock.then(|| f64::from(round) * SECONDS),
        census: if case.counted { census(round) } else { Census::default() },
        ..Observation::default()
    }
}

fn census(round: u32) -> Census {
    let live = 20_000 * u64::from(round.min(9));
    let site = CensusSite {
        kind: Kind::Task,
        function: "shop::keep".to_owned(),
        file: "src/shop.rs".to_owned(),
        line: 7,
        count: CensusCount { live, ..CensusCount::default() },
        age_s: None,
    };
    let schema = "ebbtide/census/1".to_owned();
    Census { schema, sites: vec![site], ..Census::default() }
}

fn judged(case: &Case) -> SiteVerdict {
    let mut series = Series::default();
    for round in 0..10 {
        series.push(observation(case, round, false));
    }
    if case.rest {
        series.push(observation(case, 10, true));
    }
    let rules = Rules { known_load: true, ..Rules::default() };
    judge(&series, &rules).sites.swap_remove(0)
}

#[test]
fn ages_take_a_leak_back_where_nothing_old_is_left_and_else_nothing() {
    let aged = |ages| Case { ages: Some(ages), ..GROWS };
    let few = |ages| Case { each: 6.5, ages, ..GROWS };
    let unknown = "50 samples are older than 32 s or of unknown age (50), where";
    let (every, young) = ("it keeps objects of every age", "what lives there is young: 0 samples");
    let cases = [
        ("no ages", GROWS, Verdict::Leaking, None),
        ("every age", aged(EVERY_AGE), Verdict::Leaking, Some(every)),
        ("young", aged(YOUNG), Verdict::Growing, Some(young)),
        ("half of it young", aged([0.3, 0.3, 0.1, 0.2, 0.1]), Verdict::Leaking, None),
        ("young as far as is known", aged([0.2, 0.1, 0.0, 0.0, 0.0]), Verdict::Leaking, None),
        ("most of it known", aged([0.5, 0.4, 0.05, 0.0, 0.0]), Verdict::Growing, Some(unknown)),
        ("old as far as is known", aged([0.0, 0.0, 0.0, 0.1, 0.1]), Verdict::Leaking, None),
        ("counted", Case { counted: true, ..GROWS }, Verdict::Leaking, None),
        ("counted, young", Case { counted: true, ..aged(YOUNG) }, Verdict::Growing, Some(young)),
        ("young, before a rest", Case { rest: true, ..aged(YOUNG) }, Verdict::Growing, Some(young)),
        ("no clock", Case { clock: false, ..aged(YOUNG) }, Verdict::Leaking, None),
        ("few samples", few(None), Verdict::Inconclusive, None),
        ("few and young", few(Some(YOUNG)), Verdict::Inconclusive, None),
    ];
    for (name, case, word, reason) in cases {
        let site = judged(&case);
        assert_eq!(site.verdict, word, "{name}: {:?}", site.reasons);
        let told: Vec<&String> = site
            .reasons
            .iter()
            .filter(|reason| reason.contains(every) || reason.contains("is young"))
            .collect();
        assert_eq!(told.len(), usize::from(reason.is_some()), "{name}: {told:?}");
        assert!(reason.is_none_or(|reason| told[0].contains(reason)), "{name}: {told:?}");
    }
}

#[test]
fn ages_are_evidence_with_the_share_that_is_old() {
    assert_eq!(judged(&GROWS).evidence.ages, None);
    let ages = judged(&Case { ages: Some(EVERY_AGE), ..GROWS }).evidence.ages.unwrap();
    assert_eq!((ages.from.as_str(), &ages.le_s[..]), ("heap", &BOUNDS_S[..]));
    assert_eq!((ages.half_s, ages.turns_over), (Some(32.0), false));
    assert!((ages.older.unwrap() - 0.68).abs() < 1e-9, "{ages:?}");
    // Objects, not samples: each stands for some 256.
    let live: f64 = ages.live.iter().sum();
    assert!((live / 1_000.0 / 256.5 - 1.0).abs() < 0.01, "{live}");
    // What is of unknown age is not told to be of a known one.
    let half_known = Case { ages: Some(EVERY_AGE.map(|share| share / 2.0)), ..GROWS };
    let ages = judged(&half_known).evidence.ages.unwrap();
    assert!((ages.older.unwrap() - 0.34).abs() < 1e-9, "{ages:?}");
    assert!((ages.live.iter().sum::<f64>() / live - 0.5).abs() < 1e-9, "{ages:?}");
    let ages = judged(&Case { ages: Some(YOUNG), ..GROWS }).evidence.ages.unwrap();
    assert_eq!((ages.older, ages.turns_over), (Some(0.0), true));
    let clockless = Case { clock: false, ages: Some(YOUNG), ..GROWS };
    let ages = judged(&clockless).evidence.ages.unwrap();
    assert_eq!((ages.half_s, ages.older, ages.turns_over), (None, None, false));
}
