//! The rule against sites whose truth is known: seeded simulations of what jemalloc's sampling
//! would show of a leak, a working set, a warm-up, a cache. In: a model of a site. Out: how often
//! each word was said, and how often the interval held the truth. The table in `docs/method.md`
//! is printed by `cargo test -p ebbtide-profiler --test simulation -- --nocapture`.

use ebbtide_profiler::profile::Cell;
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::site::{Folded, FoldedCell, FoldedSite};
use ebbtide_profiler::verdict::{LOOKS, Rules, judge};
use ebbtide_record::event::RoundKind;
use ebbtide_record::{MemoryVerdict, Verdict};
use std::collections::BTreeMap;

/// SplitMix64: small, seeded, good enough for a simulation.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }

    fn binomial(&mut self, n: f64, p: f64) -> f64 {
        if n * p > 60.0 && n * (1.0 - p) > 60.0 {
            let deviation = (n * p * (1.0 - p)).sqrt();
            return (n * p + deviation * self.normal()).round().clamp(0.0, n);
        }
        (0..n as u64).filter(|_| self.uniform() < p).count() as f64
    }
}

/// A site over time: objects of one size, born and buried.
#[derive(Clone, Copy)]
struct Model {
    /// Bytes of an object.
    size: f64,
    /// Objects that are always there.
    base: f64,
    /// Share of them that is replaced in each round.
    churn: f64,
    /// Objects kept for each operation.
    kept: f64,
    /// The same on new input only.
    keyed: f64,
    /// Objects that a warm-up adds in the end, and its time constant in rounds.
    warmup: (f64, f64),
    /// Standard deviation of the base from one idle moment to the next, objects, and how much
    /// of it is remembered.
    wander: (f64, f64),
    /// Objects that are kept for a while: until the round where filling stops, or thrown away
    /// all at once every so many rounds.
    held: (f64, Held),
    /// Which of two operations keeps: the first alone, or both alike.
    by: By,
}

#[derive(Clone, Copy)]
enum Held {
    /// Filled evenly up to this many rounds, on any input.
    Until(f64),
    /// Cleared when this many rounds have passed, from a random moment on.
    Cleared(f64),
}

#[derive(Clone, Copy, PartialEq)]
enum By {
    Both,
    First,
}

const STILL: Model = Model {
    size: 256.0,
    base: 0.0,
    churn: 0.0,
    kept: 0.0,
    keyed: 0.0,
    warmup: (0.0, 1.0),
    wander: (0.0, 0.0),
    held: (0.0, Held::Until(0.0)),
    by: By::Both,
};

struct Bed {
    interval: f64,
    operations: f64,
    replay: bool,
    /// Two operations in a mix that is raised and lowered by half, turn about.
    two: bool,
    /// Rounds at most.
    rounds: u32,
}

const BED: Bed =
    Bed { interval: 65_536.0, operations: 20_000.0, replay: true, two: false, rounds: 32 };
const TWO: Bed = Bed { two: true, ..BED };

impl Bed {
    /// Operations of the first name in a round.
    fn first(&self, round: u32) -> f64 {
        match round.checked_sub(2) {
            Some(measured) if self.two && measured % 2 == 0 => self.operations * 0.75,
            Some(_) if self.two => self.operations * 0.25,
            None if self.two => self.operations * 0.5,
            _ => self.operations,
        }
    }

    fn done(&self, round: u32) -> BTreeMap<String, u64> {
        let first = self.first(round);
        let all = [("GET /", first), ("POST /", self.operations - first)];
        all.into_iter().filter(|(_, n)| *n > 0.0).map(|(k, n)| (k.to_owned(), n as u64)).collect()
    }
}

struct SiteState {
    held: f64,
    phase: f64,
    kept: f64,
    turning: f64,
    ever: f64,
    wandered: f64,
}

/// Runs a model through warm-up and rounds, judged at each look as a run does.
fn run(models: &[Model], bed: &Bed, dice: &mut Dice) -> (MemoryVerdict, u32) {
    let mut series = Series::default();
    let mut states: Vec<SiteState> = models
        .iter()
        .map(|_| SiteState {
            held: 0.0,
            phase: dice.uniform(),
            kept: 0.0,
            turning: 0.0,
            ever: 0.0,
            wandered: 0.0,
        })
        .collect();
    let mut last = MemoryVerdict::default();
    for round in 0..bed.rounds + 2 {
        let measured = round.checked_sub(2);
        let kind = match measured {
            None => RoundKind::Warmup,
            Some(m) if bed.replay && m % 4 >= 2 => RoundKind::Replay,
            Some(_) => RoundKind::New,
        };
        let sites = models
            .iter()
            .zip(&mut states)
            .enumerate()
            .map(|(index, (model, state))| step((index, model), state, bed, (round, kind), dice))
            .collect();
        let mut folded = Folded { interval_bytes: bed.interval, sites, ..Folded::default() };
        folded.live_bytes = folded.sites.iter().map(|site| site.total().live_bytes).sum();
        series.push(Observation {
            round,
            kind,
            operations: bed.done(round),
            folded,
            ..Observation::default()
        });
        if measured.is_some_and(|m| LOOKS.contains(&(m + 1))) {
            last = judge(&series, &Rules { known_load: true, ..Rules::default() });
            if !last.undecided {
                return (last, round - 1);
            }
        }
    }
    (last, bed.rounds)
}

fn step(
    (index, model): (usize, &Model),
    state: &mut SiteState,
    bed: &Bed,
    (round, kind): (u32, RoundKind),
    dice: &mut Dice,
) -> FoldedSite {
    let missed = (-model.size / bed.interval).exp();
    let share = 1.0 - missed;
    let keyed = if kind == RoundKind::Replay { 0.0 } else { model.keyed };
    let (warm, tau) = model.warmup;
    let warming = warm * ((-f64::from(round) / tau).exp() - (-f64::from(round + 1) / tau).exp());
    let causing = if model.by == By::First { bed.first(round) } else { bed.operations };
    let grown = (model.kept + keyed) * causing + warming;
    let kept = dice.poisson(grown * share);
    let fresh = if round == 0 { 1.0 } else { model.churn };
    state.turning -= dice.binomial(state.turning, fresh);
    let turned = dice.poisson(model.base * share * fresh);
    state.turning += turned;
    let held = hold(model, state, bed, f64::from(round), dice);
    state.kept += kept;
    state.ever += kept + turned + held;
    let (deviation, memory) = model.wander;
    state.wandered = memory * state.wandered + deviation * dice.normal();
    let samples =
        (state.kept + state.held + state.turning + (state.wandered * share).round()).max(0.0);
    let objects = samples / share;
    let cell = Cell {
        live_bytes: objects * model.size,
        live_objects: Some(objects),
        alloc_bytes: None,
        alloc_objects: None,
        live_samples: Some(samples),
        alloc_samples: (deviation == 0.0).then_some(state.ever),
    };
    FoldedSite {
        id: format!("{index:016x}"),
        function: format!("shop::site_{index}"),
        file: "shop/src/main.rs".to_owned(),
        cells: vec![FoldedCell { stack: index as u64, cell }],
        ..FoldedSite::default()
    }
}

/// Samples that came to what is held for a while; moves what is held on to the round's end.
fn hold(model: &Model, state: &mut SiteState, bed: &Bed, round: f64, dice: &mut Dice) -> f64 {
    let share = 1.0 - (-model.size / bed.interval).exp();
    let (per_operation, held) = model.held;
    let mut came = |rounds: f64| dice.poisson(per_operation * bed.operations * rounds * share);
    match held {
        Held::Until(end) => {
            let new = came((end - round).clamp(0.0, 1.0));
            state.held += new;
            new
        }
        Held::Cleared(every) => {
            let at = |round: f64| round / every + state.phase;
            let since = at(round + 1.0).fract() * every;
            let cleared = at(round).floor() < at(round + 1.0).floor();
            let new = came(if cleared { since } else { 1.0 });
            state.held = if cleared { new } else { state.held + new };
            // What came and went within the round is counted as well.
            new + if cleared { came((1.0 - since).max(0.0)) } else { 0.0 }
        }
    }
}

/// Shares of words at the site of interest, which is the first; coverage of its interval.
struct Outcome {
    words: BTreeMap<Verdict, u32>,
    operations: BTreeMap<String, u32>,
    covered: u32,
    rounds: u32,
    runs: u32,
}

impl Outcome {
    fn share(&self, word: Verdict) -> f64 {
        f64::from(self.words.get(&word).copied().unwrap_or(0)) / f64::from(self.runs)
    }
}

#[expect(clippy::print_stdout, reason = "the table of the docs is made from it")]
fn simulate(name: &str, models: &[Model], bed: &Bed, runs: u32) -> Outcome {
    let mut outcome = Outcome {
        words: BTreeMap::new(),
        operations: BTreeMap::new(),
        covered: 0,
        rounds: 0,
        runs,
    };
    let truth = (models[0].kept) * models[0].size;
    for seed in 0..runs {
        let mut dice = Dice(u64::from(seed) * 7_919 + 17);
        let (verdict, rounds) = run(models, bed, &mut dice);
        let id = format!("{:016x}", 0);
        let site = verdict.sites.iter().find(|site| site.id == id).expect("the site");
        *outcome.words.entry(site.verdict).or_default() += 1;
        let growth = &site.growth_per_op;
        *outcome.operations.entry(growth.operation.clone()).or_default() += 1;
        outcome.covered += u32::from(growth.low <= truth && truth <= growth.high);
        outcome.rounds += rounds;
    }
    let words: Vec<String> = outcome
        .words
        .iter()
        .map(|(word, count)| format!("{word} {:.3}", f64::from(*count) / f64::from(runs)))
        .collect();
    println!(
        "| {name} | {} | {:.3} | {:.1} |",
        words.join(", "),
        f64::from(outcome.covered) / f64::from(runs),
        f64::from(outcome.rounds) / f64::from(runs)
    );
    outcome
}

const RUNS: u32 = 60;

/// Neighbours that are not looked at, but that the correction for many sites sees.
fn among(site: Model) -> Vec<Model> {
    let steady = Model { base: 2_000.0, churn: 0.3, size: 512.0, ..STILL };
    let small = Model { base: 40.0, churn: 0.5, ..STILL };
    let mut all = vec![site];
    all.extend([steady; 10]);
    all.extend([small; 20]);
    all
}

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
        ("cache that fills", Model { keyed: 1.0, ..STILL }, 0.01),
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
            assert!(covered >= 0.92, "{name}: {covered}");
        }
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
