//! The tables of `docs/method.md`: coverage, false alarms and detection of the rule, simulated.
//! In: which table, and how many runs. Out: Markdown. Seeded: each figure can be made again by
//! `cargo run --release -p ebbtide-profiler --example coverage -- TABLE RUNS`.

#![expect(clippy::print_stdout, reason = "tables are what it is for")]

#[path = "../tests/bed/mod.rs"]
mod bed;

use bed::{BED, Bed, By, Held, Model, Outcome, STILL, TWO, among, simulate};
use ebbtide_record::Verdict;

fn main() {
    let mut words = std::env::args().skip(1);
    let table = words.next().unwrap_or_else(|| "coverage".to_owned());
    let runs = words.next().and_then(|word| word.parse().ok()).unwrap_or(10_000);
    match table.as_str() {
        "coverage" => coverage(runs),
        "clean" => clean(runs),
        "filling" => filling(runs),
        _ => detection(runs),
    }
}

/// Leaks of which the interval must hold the growth: name, model, bed.
fn leaks() -> Vec<(&'static str, Model, Bed)> {
    let base = 20e6 / 256.0;
    let leak = Model { kept: 1.0, ..STILL };
    let warm = (20_000.0, 2.0);
    vec![
        ("1024 B", Model { size: 1024.0, ..leak }, BED),
        ("256 B", leak, BED),
        ("64 B", Model { size: 64.0, ..leak }, BED),
        ("32 B", Model { size: 32.0, ..leak }, BED),
        ("256 B among 20 MB", Model { base, ..leak }, BED),
        ("256 B, 30 % churn", Model { base, churn: 0.3, ..leak }, BED),
        ("256 B, wandering", Model { base, wander: (400.0, 0.5), ..leak }, BED),
        ("256 B, wandering far", Model { base, wander: (8_000.0, 0.5), ..leak }, BED),
        ("256 B, turnover not counted", Model { base, churn: 0.3, counted: false, ..leak }, BED),
        ("256 B by one of two", Model { by: By::First, ..leak }, TWO),
        ("256 B by both", leak, TWO),
        ("64 B by one of two", Model { size: 64.0, by: By::First, ..leak }, TWO),
        ("256 B with warm-up", Model { warmup: warm, ..leak }, BED),
        ("64 B with warm-up", Model { kept: 0.25, warmup: warm, ..leak }, BED),
    ]
}

fn coverage(runs: u32) {
    println!("| leak | interval holds it | truth below | truth above | words | rounds |");
    println!("|---|---|---|---|---|---|");
    let all = leaks();
    let each = runs.div_ceil(all.len() as u32);
    let mut sum = (0, 0);
    for (name, model, bed) in all {
        let outcome = simulate(&among(model), &bed, each);
        sum = (sum.0 + outcome.covered, sum.1 + outcome.runs);
        let below = f64::from(outcome.below) / f64::from(each);
        println!(
            "| {name} | {:.4} | {below:.4} | {:.4} | {} | {:.1} |",
            outcome.coverage(),
            1.0 - outcome.coverage() - below,
            outcome.words(),
            outcome.mean_rounds(),
        );
    }
    println!("| all {} | {:.4} | | | | |", sum.1, f64::from(sum.0) / f64::from(sum.1));
}

fn clean(runs: u32) {
    println!("| site | words | runs that fail | at most (Wilson, 95 %) | rounds |");
    println!("|---|---|---|---|---|");
    let base = 20e6 / 256.0;
    let warm = |rounds| Model { warmup: (40_000.0, rounds), ..STILL };
    let keyed = |bound| Model { keyed: 1.0, bound, ..STILL };
    let held = |held| Model { held: (1.0, held), ..STILL };
    let round = BED.operations;
    for (name, model, bed) in [
        ("constant", Model { base, ..STILL }, BED),
        ("churn 30 %", Model { base, churn: 0.3, ..STILL }, BED),
        ("churn 100 %", Model { base, churn: 1.0, ..STILL }, BED),
        ("backlog left at random", Model { base: 5_000.0, wander: (2_000.0, 0.0), ..STILL }, BED),
        ("wandering", Model { base, wander: (400.0, 0.5), ..STILL }, BED),
        ("wandering far", Model { base, wander: (400.0, 0.9), ..STILL }, BED),
        ("warm-up, 2 rounds", warm(2.0), BED),
        ("warm-up, 4 rounds", warm(4.0), BED),
        ("warm-up, 8 rounds", warm(8.0), BED),
        ("warm-up, 8 rounds, two operations", warm(8.0), TWO),
        ("LRU full after 4 rounds of new keys", keyed(4.0 * round), BED),
        ("fills for 6 rounds", held(Held::Until(6.0)), BED),
        ("cleared every 1.7 rounds", held(Held::Cleared(1.7)), BED),
        ("cleared every 3.3 rounds", held(Held::Cleared(3.3)), BED),
        ("cleared every 5 rounds", held(Held::Cleared(5.0)), BED),
        ("(fills) LRU full after 10 rounds of new keys", keyed(10.0 * round), BED),
        ("(fills) LRU full after 20 rounds of new keys", keyed(20.0 * round), BED),
        ("(fills) map by key without bound", Model { unbounded: 1.0, ..STILL }, BED),
    ] {
        let outcome = simulate(&among(model), &bed, runs);
        println!(
            "| {name} | {} | {} of {runs} | {:.4} | {:.1} |",
            outcome.words(),
            outcome.failed(),
            wilson(outcome.failed(), runs),
            outcome.mean_rounds(),
        );
    }
}

/// Caches that are full within the plan, what grows beside them, and what grows after a warm-up.
fn filling(runs: u32) {
    println!("| site | words | runs that fail | from (Wilson, 95 %) to | interval | rounds |");
    println!("|---|---|---|---|---|---|");
    let lru = |rounds: f64| Model { keyed: 1.0, bound: rounds * BED.operations, ..STILL };
    let warm = |rounds| Model { warmup: (40_000.0, rounds), ..STILL };
    // Two rounds of warm-up and every other pair of those measured bring new keys.
    let at = |measured: f64| 2.0 + measured / 2.0;
    let mut rows = Vec::new();
    for (measured, share) in [(8.0, 25), (16.0, 50), (18.0, 56), (24.0, 75)] {
        for size in [64.0, 256.0] {
            let name = format!("LRU of {size} B full after {share} % of the plan");
            rows.push((name, Model { size, ..lru(at(measured)) }));
        }
    }
    for size in [64.0, 256.0] {
        let name = format!("map by key of {size} B without bound");
        rows.push((name, Model { size, unbounded: 1.0, ..STILL }));
    }
    for share in [0.125, 0.25, 0.5, 1.0] {
        let bytes = share * 256.0;
        for (measured, part) in [(8.0, 25), (16.0, 50), (24.0, 75)] {
            let full = lru(at(measured));
            let name = format!("leak of {bytes} B beside an LRU full after {part} %");
            rows.push((name, Model { kept: share, ..full }));
            let name = format!("map by key of {bytes} B beside an LRU full after {part} %");
            rows.push((name, Model { unbounded: share, ..full }));
        }
        for rounds in [2.0, 4.0, 8.0] {
            let name = format!("leak of {bytes} B and a warm-up of {rounds} rounds");
            rows.push((name, Model { kept: share, ..warm(rounds) }));
        }
    }
    for (name, model) in rows {
        let outcome = simulate(&among(model), &BED, runs);
        let (hits, words) = (outcome.failed(), outcome.words());
        let (low, high) = ((1.0 - wilson(runs - hits, runs)).max(0.0), wilson(hits, runs));
        // Growth by key has no rate that is told.
        let leaks = model.kept > 0.0;
        let held = if leaks { format!("{:.3}", outcome.coverage()) } else { String::new() };
        println!(
            "| {name} | {words} | {hits} of {runs} | {low:.3} to {high:.3} | {held} | {:.1} |",
            outcome.mean_rounds(),
        );
    }
}

/// Upper end of the two-sided 95 % interval of a share (Wilson 1927).
fn wilson(hits: u32, runs: u32) -> f64 {
    let (n, z) = (f64::from(runs), 1.959_964_f64);
    let p = f64::from(hits) / n;
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    (middle + half) / (1.0 + z * z / n)
}

fn detection(runs: u32) {
    println!("| lg | leak | called | operations until | 3R | 100R | interval holds it |");
    println!("|---|---|---|---|---|---|---|");
    for lg in [12_u32, 16, 19] {
        for size in [16.0, 64.0, 256.0, 1024.0] {
            let interval = f64::from(1_u32 << lg);
            let bed = Bed { interval, ..BED };
            let model = Model { kept: 1.0, size, ..STILL };
            let outcome: Outcome = simulate(&among(model), &bed, runs);
            let called = outcome.share(Verdict::Leaking) + outcome.share(Verdict::Growing);
            println!(
                "| {lg} | {size} B | {called:.3} | {:.0} | {:.0} | {:.0} | {:.3} |",
                outcome.mean_rounds() * bed.operations,
                3.0 * interval / size,
                100.0 * interval / size,
                outcome.coverage(),
            );
        }
    }
}
