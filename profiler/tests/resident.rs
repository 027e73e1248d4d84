//! The rule for resident memory alone, on processes whose truth is known: pages, arenas, garbage
//! that waits for its collection, runtimes that warm up, leaks among all that. In: seeded models of
//! a resident set over rounds. Out: how often each word was said.

#[allow(dead_code, reason = "the dice and the plan alone are needed of it")]
mod bed;

use bed::{BED, Dice};
use ebbtide_profiler::parse;
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::verdict::{LOOKS, Rules, judge};
use ebbtide_profiler::{SiteRules, Symbolizer, site};
use ebbtide_record::event::RoundKind;
use ebbtide_record::snapshot::ProcessMemory;
use ebbtide_record::{MemoryVerdict, Verdict};
use std::collections::BTreeMap;

const RUNS: u64 = 40;
const MIB: f64 = 1_048_576.0;

/// A resident set, bytes.
#[derive(Clone, Copy, Default)]
struct Process {
    /// Kept for each operation.
    kept: f64,
    /// Garbage that waits, up to so much.
    garbage: f64,
    /// What a warm-up adds in the end, and its time constant in rounds.
    warmup: (f64, f64),
    /// Chance of one more arena in a round.
    arenas: f64,
    /// Free memory that stays resident, into which what is kept goes first.
    room: f64,
    /// Pages of files that each round maps anew.
    files: f64,
    /// Standard deviation from one moment to the next.
    noise: f64,
}

fn run(process: Process, seed: u64) -> (MemoryVerdict, u32) {
    run_by(process, seed, &Rules { known_load: true, ..Rules::default() })
}

/// The verdict at the look that decides, and after how many measured rounds that was.
fn run_by(process: Process, seed: u64, rules: &Rules) -> (MemoryVerdict, u32) {
    let mut dice = Dice(seed * 7_919 + 17);
    let mut series = Series::default();
    let mut steps = 0.0;
    for round in 0..34_u32 {
        let at = f64::from(round + 1);
        steps += if dice.uniform() < process.arenas { MIB } else { 0.0 };
        let (warm, tau) = process.warmup;
        let kept = (process.kept * BED.operations * at - process.room).max(0.0);
        let kept = (kept / MIB).ceil() * MIB;
        let level = 50.0 * MIB
            + kept
            + steps
            + warm * (1.0 - (-at / tau.max(0.1)).exp())
            + process.garbage * dice.uniform()
            + process.noise * dice.normal();
        let pages = (level / 4_096.0).round() as u64 * 4_096;
        let memory = ProcessMemory {
            rss_bytes: pages + (process.files * at) as u64,
            anonymous_bytes: Some(pages),
            ..ProcessMemory::default()
        };
        let profile = parse::read(&parse::resident::write(1, memory)).expect("a document");
        let symbols = Symbolizer::new().resolve(&profile);
        let kind = match round {
            0 | 1 => RoundKind::Warmup,
            _ if (round - 2) % 4 >= 2 => RoundKind::Replay,
            _ => RoundKind::New,
        };
        series.push(Observation {
            round,
            kind,
            operations: BED.done(round),
            folded: site::fold(&profile, &symbols, &SiteRules::default()),
            rss_bytes: Some(pages),
            ..Observation::default()
        });
        if round >= 2 && LOOKS.contains(&(round - 1)) {
            let verdict = judge(&series, rules);
            if !verdict.undecided || round == 33 {
                return (verdict, round - 1);
            }
        }
    }
    unreachable!("the last round is judged")
}

fn words(process: Process) -> BTreeMap<Verdict, u64> {
    let mut words = BTreeMap::new();
    for seed in 0..RUNS {
        let (verdict, rounds) = run(process, seed);
        assert!(verdict.verdict != Verdict::Growing || rounds >= 16, "{rounds} rounds");
        *words.entry(verdict.verdict).or_default() += 1;
    }
    words
}

#[test]
fn clean_processes_are_not_called_growing_and_leaks_are() {
    let still = Process { noise: 0.05 * MIB, ..Process::default() };
    let warm = |rounds| Process { warmup: (40.0 * MIB, rounds), ..still };
    let garbage = Process { garbage: 8.0 * MIB, ..still };
    for (name, process, growing) in [
        ("still", still, false),
        ("garbage up to 8 MiB", garbage, false),
        ("an arena each fifth round", Process { arenas: 0.2, ..still }, false),
        ("warm-up, 2 rounds", warm(2.0), false),
        ("warm-up, 4 rounds", warm(4.0), false),
        ("warm-up, 8 rounds", warm(8.0), false),
        ("a database mapped bit by bit", Process { files: 4.0 * MIB, ..still }, false),
        ("256 B", Process { kept: 256.0, ..still }, true),
        ("1024 B among garbage", Process { kept: 1024.0, ..garbage }, true),
        ("256 B beside a warm-up", Process { kept: 256.0, ..warm(2.0) }, true),
    ] {
        let words = words(process);
        println!("| {name} | {words:?} |");
        let share = |word| words.get(&word).copied().unwrap_or(0) as f64 / RUNS as f64;
        assert_eq!(share(Verdict::Leaking), 0.0, "{name}: it names no place");
        if growing {
            assert!(share(Verdict::Growing) >= 0.9, "{name}: {words:?}");
            assert_eq!(share(Verdict::Steady) + share(Verdict::Warming), 0.0, "{name}: {words:?}");
        } else {
            assert!(share(Verdict::Growing) <= 0.05, "{name}: {words:?}");
        }
    }
}

#[test]
fn a_word_says_that_it_has_no_place_and_what_would_name_one() {
    let (verdict, _) = run(Process { kept: 512.0, ..Process::default() }, 1);
    let site = &verdict.sites[0];
    assert_eq!((verdict.sites.len(), site.function.as_str()), (1, parse::resident::PLACE));
    let told = |reason: &String| reason.contains("names no place");
    assert!(verdict.reasons.iter().any(told), "{:?}", verdict.reasons);
    let growth = &site.growth_per_op;
    assert!(growth.low <= 512.0 && 512.0 <= growth.high, "{growth:?}");
    assert_eq!((verdict.detectable_bytes_per_op, verdict.detectable.len()), (None, 0));
}

#[test]
fn a_calm_word_says_that_free_memory_may_have_taken_growth_in_and_promises_nothing() {
    let still = Process { noise: 0.05 * MIB, ..Process::default() };
    let hidden = Process { kept: 256.0, room: 4_096.0 * MIB, ..still };
    for (name, process) in [("clean", still), ("a leak that fills a hole", hidden)] {
        let (verdict, _) = run(process, 3);
        let told = format!("{name}: {verdict:#?}");
        assert_eq!(verdict.verdict, Verdict::Steady, "{told}");
        assert!(verdict.reasons.iter().any(|reason| reason.contains("taken growth in")), "{told}");
        assert_eq!((verdict.detectable_bytes_per_op, verdict.detectable.len()), (None, 0));
        assert!(!verdict.limits.is_empty(), "{told}");
    }
    let (leak, _) = run(Process { kept: 512.0, ..still }, 3);
    assert!(!leak.reasons.iter().any(|reason| reason.contains("taken growth in")), "{leak:?}");
}

#[test]
fn memory_over_a_declared_bound_is_growing_at_most() {
    let rules = |bytes: u64| Rules {
        known_load: true,
        bounded: BTreeMap::from([(parse::resident::PLACE.to_owned(), bytes)]),
        ..Rules::default()
    };
    let process = Process { kept: 512.0, ..Process::default() };
    assert_eq!(run_by(process, 1, &rules(1 << 20)).0.verdict, Verdict::Growing);
    assert_eq!(run_by(process, 1, &rules(1 << 40)).0.verdict, Verdict::Steady);
}
