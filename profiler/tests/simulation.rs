//! The rule against sites whose truth is known: seeded simulations of what jemalloc's sampling
//! would show of a leak, a working set, a warm-up, a cache. In: a model of a site. Out: how often
//! each word was said, and how often the interval held the truth. A short form of the tables in
//! `docs/method.md`, which `cargo run --release -p ebbtide-profiler --example coverage` prints.

mod bed;

use bed::{BED, Bed, By, Held, Model, STILL, TWO, among};
use ebbtide_profiler::profile::Cell;
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::site::{Folded, FoldedCell, FoldedSite};
use ebbtide_profiler::verdict::{Rules, judge};
use ebbtide_record::Verdict;
use ebbtide_record::event::RoundKind;

#[expect(clippy::print_stdout, reason = "the table of the docs is made from it")]
fn simulate(name: &str, models: &[Model], bed: &Bed, runs: u32) -> bed::Outcome {
    let outcome = bed::simulate(models, bed, runs);
    let (words, rounds) = (outcome.words(), outcome.mean_rounds());
    println!("| {name} | {words} | {:.3} | {rounds:.1} |", outcome.coverage());
    outcome
}

const RUNS: u32 = 60;
/// The same where all of them last until the end.
const FEWER: u32 = 30;

#[test]
fn clean_sites_are_not_called_leaking() {
    let twenty_mb = 20e6 / 256.0;
    for (name, model, allowed) in [
        ("constant", Model { base: twenty_mb, ..STILL }, 0.01),
        ("churn 30 %", Model { base: twenty_mb, churn: 0.3, ..STILL }, 0.01),
        ("churn 100 %", Model { base: twenty_mb, churn: 1.0, ..STILL }, 0.01),
        ("wandering", Model { base: twenty_mb, wander: (400.0, 0.5), ..STILL }, 0.02),
        ("wandering far", Model { base: twenty_mb, wander: (400.0, 0.9), ..STILL }, 0.03),
        ("warm-up, 2 rounds", Model { warmup: (40_000.0, 2.0), ..STILL }, 0.01),
        ("warm-up, 4 rounds", Model { warmup: (40_000.0, 4.0), ..STILL }, 0.01),
        ("warm-up, 6 rounds", Model { warmup: (40_000.0, 6.0), ..STILL }, 0.03),
        ("warm-up, 8 rounds", Model { warmup: (40_000.0, 8.0), ..STILL }, 0.03),
        ("cache that fills", Model { unbounded: 1.0, ..STILL }, 0.01),
    ] {
        let outcome = simulate(name, &among(model), &BED, RUNS);
        assert!(outcome.share(Verdict::Leaking) <= allowed, "{name}");
    }
}

#[test]
fn what_is_held_for_a_while_fails_no_run() {
    let held = |held| Model { held: (1.0, held), ..STILL };
    let warm = |rounds| Model { warmup: (40_000.0, rounds), ..STILL };
    let short = Bed { rounds: 16, ..BED };
    let two = Bed { rounds: 16, ..TWO };
    for (name, model, bed, allowed) in [
        ("warm-up, 2 rounds, at most 16", warm(2.0), &short, 0.02),
        ("warm-up, 4 rounds, at most 16", warm(4.0), &short, 0.05),
        ("warm-up, 4 rounds, at most 16, two operations", warm(4.0), &two, 0.05),
        ("fills for 4 rounds, at most 16", held(Held::Until(4.0)), &short, 0.02),
        ("fills for 6 rounds, at most 16", held(Held::Until(6.0)), &short, 0.05),
        ("cleared every 0.7 rounds", held(Held::Cleared(0.7)), &short, 0.02),
        ("cleared every 1.7 rounds", held(Held::Cleared(1.7)), &short, 0.02),
        ("cleared every 3.3 rounds", held(Held::Cleared(3.3)), &short, 0.02),
        ("cleared every 5 rounds", held(Held::Cleared(5.0)), &short, 0.05),
    ] {
        let outcome = simulate(name, &among(model), bed, RUNS);
        let failed = outcome.share(Verdict::Leaking) + outcome.share(Verdict::Growing);
        assert!(failed <= allowed, "{name}: {failed}");
    }
}

#[test]
fn a_cache_that_is_full_fails_no_run_and_hides_nothing_that_grows_beside_it() {
    use Verdict::{Growing, Inconclusive, Leaking, Warming};
    // Full in the middle of the run, and a little later.
    let full = |rounds: f64| Model { keyed: 1.0, bound: rounds * BED.operations, ..STILL };
    let warm = |objects: f64, model| Model { warmup: (objects, 16.0), ..model };
    let small =
        |model: Model| warm(80_000.0, Model { keyed: 0.25, bound: model.bound / 4.0, ..model });
    for (name, model, words, share) in [
        ("LRU full at half", full(10.0), [Warming, Inconclusive], 0.98),
        ("LRU full after 18 rounds", full(11.0), [Warming, Inconclusive], 0.98),
        ("warm-up beside it", warm(320_000.0, full(10.0)), [Warming, Inconclusive], 0.9),
        ("warm-up beside a small one", small(full(10.0)), [Warming, Inconclusive], 0.9),
        ("leak beside it", Model { kept: 0.5, ..full(10.0) }, [Growing, Leaking], 0.95),
        ("small leak beside it", Model { kept: 0.25, ..full(10.0) }, [Leaking, Leaking], 0.9),
        ("small leak, fuller", Model { kept: 0.25, ..full(14.0) }, [Leaking, Leaking], 0.9),
        ("map beside it", Model { unbounded: 1.0, ..full(10.0) }, [Growing, Leaking], 0.95),
        ("map", Model { unbounded: 1.0, ..STILL }, [Growing, Growing], 0.98),
    ] {
        let outcome = simulate(name, &among(model), &BED, FEWER);
        let said = f64::from(FEWER) * share;
        let right: u32 =
            outcome.words.iter().filter(|(word, _)| words.contains(word)).map(|(_, n)| n).sum();
        assert!(f64::from(right) >= said, "{name}: {}", outcome.words());
    }
}

#[test]
fn growth_goes_to_the_operation_that_causes_it() {
    for (by, named) in [(By::First, "GET /"), (By::Both, "GET / + POST /")] {
        let model = Model { kept: 1.0, by, ..STILL };
        let outcome = simulate(&format!("leak 256 B, {named}"), &among(model), &TWO, RUNS);
        let right = outcome.operations.get(named).copied().unwrap_or(0);
        assert!(f64::from(right) >= 0.95 * f64::from(RUNS), "{:?}", outcome.operations);
        assert!(outcome.share(Verdict::Leaking) >= 0.95, "{named}");
        assert!(f64::from(outcome.covered) >= 0.9 * f64::from(RUNS), "{}", outcome.covered);
    }
}

#[test]
fn leaks_are_called_leaking_and_their_size_is_known() {
    let base = 20e6 / 256.0;
    for (name, model, found) in [
        ("leak 256 B", Model { kept: 1.0, ..STILL }, 0.99),
        ("leak 256 B among 20 MB", Model { kept: 1.0, base, ..STILL }, 0.99),
        ("leak 256 B, 30 % churn", Model { kept: 1.0, base, churn: 0.3, ..STILL }, 0.90),
        ("leak 1024 B", Model { kept: 1.0, size: 1024.0, ..STILL }, 0.99),
        ("leak 64 B", Model { kept: 1.0, size: 64.0, ..STILL }, 0.95),
        ("leak 256 B with warm-up", Model { kept: 1.0, warmup: (20_000.0, 2.0), ..STILL }, 0.5),
        ("leak 64 B with warm-up", Model { kept: 0.25, warmup: (20_000.0, 2.0), ..STILL }, 0.5),
    ] {
        let outcome = simulate(name, &among(model), &BED, RUNS);
        assert!(outcome.share(Verdict::Leaking) >= found, "{name}");
        let missed = outcome.share(Verdict::Steady) + outcome.share(Verdict::Warming);
        assert_eq!(missed, 0.0, "{name}");
        if !name.contains("warm-up") {
            let covered = f64::from(outcome.covered) / f64::from(RUNS);
            // Two standard errors of so few runs below what is told.
            assert!(covered >= 0.90, "{name}: {covered}");
        }
    }
}

#[test]
fn a_rest_tells_the_clock_from_the_work() {
    let bed = Bed { rest: 1.0, ..BED };
    let kept = Model { kept: 1.0, ..STILL };
    for (name, model, word, operation) in [
        ("by work", kept, Verdict::Leaking, "GET /"),
        ("by the clock", Model { clock: 20_000.0, ..STILL }, Verdict::Leaking, "second"),
        ("given back", Model { expires: 0.6, ..kept }, Verdict::Inconclusive, "GET /"),
        ("all given back", Model { expires: 1.0, ..kept }, Verdict::Inconclusive, "GET /"),
    ] {
        let outcome = simulate(name, &among(model), &bed, RUNS);
        assert!(outcome.share(word) >= 0.95, "{name}");
        let right = outcome.operations.get(operation).copied().unwrap_or(0);
        assert!(f64::from(right) >= 0.95 * f64::from(RUNS), "{name}: {:?}", outcome.operations);
    }
}

/// One buffer that doubles: filled by each operation, or only up to a number of rounds.
fn doubling(filled_until: u32) -> Verdict {
    let mut series = Series::default();
    for round in 0..18_u32 {
        let contents = u64::from((round + 1).min(filled_until)) * 20_000 * 64;
        let bytes = contents.next_power_of_two() as f64;
        let cell = Cell { live_bytes: bytes, live_objects: Some(1.0), ..Cell::default() };
        let site = FoldedSite {
            id: "0".to_owned(),
            cells: vec![FoldedCell { stack: 0, cell }],
            ..FoldedSite::default()
        };
        series.push(Observation {
            round,
            kind: if round < 2 { RoundKind::Warmup } else { RoundKind::New },
            operations: BED.done(round),
            folded: Folded { interval_bytes: 65_536.0, sites: vec![site], ..Folded::default() },
            ..Observation::default()
        });
    }
    judge(&series, &Rules { known_load: true, ..Rules::default() }).verdict
}

#[test]
fn a_buffer_that_doubles_is_held_to_its_pace() {
    for (filled_until, word) in
        [(18, Verdict::Growing), (12, Verdict::Warming), (4, Verdict::Steady), (2, Verdict::Steady)]
    {
        assert_eq!(doubling(filled_until), word, "filled until round {filled_until}");
    }
}
