//! A bed for the rule: sites whose truth is known, as sampling would show them. In: models of
//! sites and a plan. Out: how often each word was said, which operation was named, and how often
//! the interval held the truth. Seeded: the same figures on any machine and number of threads.

use ebbtide_profiler::profile::Cell;
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::site::{Folded, FoldedCell, FoldedSite};
use ebbtide_profiler::verdict::{LOOKS, Rules, judge};
use ebbtide_record::event::RoundKind;
use ebbtide_record::{MemoryVerdict, Verdict};
use std::collections::{BTreeMap, VecDeque};

/// SplitMix64: small, seeded, good enough for a simulation.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
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
pub(crate) struct Model {
    /// Bytes of an object.
    pub(crate) size: f64,
    /// Objects that are always there.
    pub(crate) base: f64,
    /// Share of them that is replaced in each round.
    pub(crate) churn: f64,
    /// Objects kept for each operation.
    pub(crate) kept: f64,
    /// Objects kept by key for each operation with new input, up to `bound` of them: then the
    /// oldest goes for each new one.
    pub(crate) keyed: f64,
    pub(crate) bound: f64,
    /// The same without a bound.
    pub(crate) unbounded: f64,
    /// Objects that a warm-up adds in the end, and its time constant in rounds.
    pub(crate) warmup: (f64, f64),
    /// Standard deviation of the base from one idle moment to the next, objects, and how much
    /// of it is remembered.
    pub(crate) wander: (f64, f64),
    /// Samples ever taken are counted, so that turnover is known.
    pub(crate) counted: bool,
    /// Objects kept in each round whatever is done in it, and in a rest as long.
    pub(crate) clock: f64,
    /// Share of what was kept that a rest gives back.
    pub(crate) expires: f64,
    /// Objects that are kept for a while: until the round where filling stops, or thrown away
    /// all at once every so many rounds.
    pub(crate) held: (f64, Held),
    /// Which of two operations keeps: the first alone, or both alike.
    pub(crate) by: By,
}

#[derive(Clone, Copy)]
pub(crate) enum Held {
    /// Filled evenly up to this many rounds, on any input.
    Until(f64),
    /// Cleared when this many rounds have passed, from a random moment on.
    Cleared(f64),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum By {
    Both,
    First,
}

pub(crate) const STILL: Model = Model {
    size: 256.0,
    base: 0.0,
    churn: 0.0,
    kept: 0.0,
    keyed: 0.0,
    bound: 0.0,
    unbounded: 0.0,
    clock: 0.0,
    expires: 0.0,
    warmup: (0.0, 1.0),
    wander: (0.0, 0.0),
    counted: true,
    held: (0.0, Held::Until(0.0)),
    by: By::Both,
};

pub(crate) struct Bed {
    pub(crate) interval: f64,
    pub(crate) operations: f64,
    pub(crate) replay: bool,
    /// Two operations in a mix that is raised and lowered by half, turn about.
    pub(crate) two: bool,
    /// Rounds at most.
    pub(crate) rounds: u32,
    /// A rest at the end of what grew, as long as so many rounds.
    pub(crate) rest: f64,
}

pub(crate) const BED: Bed = Bed {
    interval: 65_536.0,
    operations: 20_000.0,
    replay: true,
    two: false,
    rounds: 32,
    rest: 0.0,
};
pub(crate) const TWO: Bed = Bed { two: true, ..BED };

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

    pub(crate) fn done(&self, round: u32) -> BTreeMap<String, u64> {
        let first = self.first(round);
        let all = [("GET /", first), ("POST /", self.operations - first)];
        all.into_iter().filter(|(_, n)| *n > 0.0).map(|(k, n)| (k.to_owned(), n as u64)).collect()
    }
}

#[derive(Clone, Default)]
struct SiteState {
    cache: VecDeque<(f64, f64)>,
    held: f64,
    phase: f64,
    kept: f64,
    turning: f64,
    ever: f64,
    wandered: f64,
}

/// Runs a model through warm-up and rounds, judged at each look as a run does.
pub(crate) fn run(models: &[Model], bed: &Bed, dice: &mut Dice) -> (MemoryVerdict, u32) {
    let mut series = Series::default();
    let mut states: Vec<SiteState> = models
        .iter()
        .map(|_| SiteState { phase: dice.uniform(), ..SiteState::default() })
        .collect();
    let mut last = MemoryVerdict::default();
    for round in 0..bed.rounds + 2 {
        let measured = round.checked_sub(2);
        let kind = match measured {
            None => RoundKind::Warmup,
            Some(m) if bed.replay && m % 4 >= 2 => RoundKind::Replay,
            Some(_) => RoundKind::New,
        };
        series.push(observe(models, &mut states, bed, (round, kind), dice));
        if measured.is_some_and(|m| LOOKS.contains(&(m + 1))) {
            last = judge(&series, &Rules { known_load: true, ..Rules::default() });
            if !last.undecided {
                let grew = matches!(last.verdict, Verdict::Leaking | Verdict::Growing);
                if bed.rest > 0.0 && grew {
                    let rest = (round + 1, RoundKind::Rest);
                    series.push(observe(models, &mut states, bed, rest, dice));
                    last = judge(&series, &Rules { known_load: true, ..Rules::default() });
                }
                return (last, round - 1);
            }
        }
    }
    (last, bed.rounds)
}

/// What is seen at the end of a round, or of a rest.
fn observe(
    models: &[Model],
    states: &mut [SiteState],
    bed: &Bed,
    (round, kind): (u32, RoundKind),
    dice: &mut Dice,
) -> Observation {
    let resting = kind == RoundKind::Rest;
    let sites = models
        .iter()
        .zip(states)
        .enumerate()
        .map(|(index, (model, state))| step((index, model), state, bed, (round, kind), dice))
        .collect();
    let mut folded = Folded { interval_bytes: bed.interval, sites, ..Folded::default() };
    folded.live_bytes = folded.sites.iter().map(|site| site.total().live_bytes).sum();
    let at = f64::from(round) + if resting { bed.rest - 1.0 } else { 0.0 };
    Observation {
        round,
        kind,
        operations: if resting { BTreeMap::new() } else { bed.done(round) },
        at_s: Some(at * SECONDS),
        folded,
        ..Observation::default()
    }
}

/// Length of a round.
const SECONDS: f64 = 3.0;

fn step(
    (index, model): (usize, &Model),
    state: &mut SiteState,
    bed: &Bed,
    (round, kind): (u32, RoundKind),
    dice: &mut Dice,
) -> FoldedSite {
    let missed = (-model.size / bed.interval).exp();
    let share = 1.0 - missed;
    let (warm, tau) = model.warmup;
    let warming = warm * ((-f64::from(round) / tau).exp() - (-f64::from(round + 1) / tau).exp());
    let causing = if model.by == By::First { bed.first(round) } else { bed.operations };
    let resting = kind == RoundKind::Rest;
    let by_key = matches!(kind, RoundKind::Warmup | RoundKind::New);
    let new = if by_key { causing } else { 0.0 };
    let keyed = new * model.unbounded;
    let by_clock = model.clock * if resting { bed.rest } else { 1.0 };
    let by_work = if resting { 0.0 } else { model.kept * causing + keyed + warming };
    let grown = by_work + by_clock;
    if resting {
        state.kept -= dice.binomial(state.kept, model.expires);
    }
    // Each object is sampled or not: a Poisson count would scatter more than samplers do.
    let kept = dice.binomial(grown.round(), share);
    let fresh = if round == 0 { 1.0 } else { model.churn };
    state.turning -= dice.binomial(state.turning, fresh);
    let turned = dice.poisson(model.base * share * fresh);
    state.turning += turned;
    let held = hold(model, state, bed, f64::from(round), dice);
    state.kept += kept;
    let (cached, keys) = cache(model, state, (new * model.keyed, share), dice);
    state.ever += kept + turned + held + keys;
    let (deviation, memory) = model.wander;
    let before = (state.wandered * share).round();
    state.wandered = memory * state.wandered + deviation * dice.normal();
    let wandered = (state.wandered * share).round();
    state.ever += (wandered - before).max(0.0);
    let samples = (state.kept + cached + state.held + state.turning + wandered).max(0.0);
    let objects = samples / share;
    let cell = Cell {
        live_bytes: objects * model.size,
        live_objects: Some(objects),
        alloc_bytes: None,
        alloc_objects: None,
        live_samples: Some(samples),
        alloc_samples: model.counted.then_some(state.ever),
    };
    FoldedSite {
        id: format!("{index:016x}"),
        function: format!("shop::site_{index}"),
        file: "shop/src/main.rs".to_owned(),
        cells: vec![FoldedCell { stack: index as u64, cell }],
        ..FoldedSite::default()
    }
}

/// Samples in a cache of the keys that came last, and those that came to it in this round.
fn cache(model: &Model, state: &mut SiteState, new: (f64, f64), dice: &mut Dice) -> (f64, f64) {
    let (keys, share) = new;
    if keys <= 0.0 {
        return (state.cache.iter().map(|(_, samples)| samples).sum(), 0.0);
    }
    let came = dice.binomial(keys.round(), share);
    state.cache.push_back((keys, came));
    let mut over = state.cache.iter().map(|(keys, _)| keys).sum::<f64>() - model.bound;
    while let Some((keys, samples)) = state.cache.front_mut().filter(|_| over > 0.0) {
        let gone = over.min(*keys);
        *samples -= dice.binomial(*samples, gone / *keys);
        *keys -= gone;
        over -= gone;
        if *keys <= 0.0 {
            state.cache.pop_front();
        }
    }
    (state.cache.iter().map(|(_, samples)| samples).sum(), came)
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

/// What was said of the site of interest, which is the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) words: BTreeMap<Verdict, u32>,
    /// The worst word of the run, other sites among them.
    pub(crate) of_runs: BTreeMap<Verdict, u32>,
    pub(crate) operations: BTreeMap<String, u32>,
    /// The interval held the truth; the truth was below it.
    pub(crate) covered: u32,
    pub(crate) below: u32,
    pub(crate) rounds: u32,
    pub(crate) runs: u32,
}

impl Outcome {
    pub(crate) fn share(&self, word: Verdict) -> f64 {
        f64::from(self.words.get(&word).copied().unwrap_or(0)) / f64::from(self.runs)
    }

    /// Runs that ended as failed, by any site.
    #[allow(dead_code, reason = "each of the two programs that share this bed reads its part")]
    pub(crate) fn failed(&self) -> u32 {
        let count = |word| self.of_runs.get(&word).copied().unwrap_or(0);
        count(Verdict::Leaking) + count(Verdict::Growing)
    }

    pub(crate) fn coverage(&self) -> f64 {
        f64::from(self.covered) / f64::from(self.runs)
    }

    pub(crate) fn mean_rounds(&self) -> f64 {
        f64::from(self.rounds) / f64::from(self.runs)
    }

    pub(crate) fn words(&self) -> String {
        let told = |(word, count): (&Verdict, &u32)| {
            format!("{word} {:.3}", f64::from(*count) / f64::from(self.runs))
        };
        self.words.iter().map(told).collect::<Vec<_>>().join(", ")
    }

    fn see(&mut self, truth: f64, verdict: &MemoryVerdict, rounds: u32) {
        let id = format!("{:016x}", 0);
        let site = verdict.sites.iter().find(|site| site.id == id).expect("the site");
        *self.words.entry(site.verdict).or_default() += 1;
        *self.of_runs.entry(verdict.verdict).or_default() += 1;
        let growth = &site.growth_per_op;
        *self.operations.entry(growth.operation.clone()).or_default() += 1;
        self.covered += u32::from(growth.low <= truth && truth <= growth.high);
        self.below += u32::from(truth < growth.low);
        self.rounds += rounds;
        self.runs += 1;
    }

    fn add(&mut self, other: &Self) {
        let merge = |a: &mut BTreeMap<Verdict, u32>, b: &BTreeMap<Verdict, u32>| {
            b.iter().for_each(|(word, count)| *a.entry(*word).or_default() += count);
        };
        merge(&mut self.words, &other.words);
        merge(&mut self.of_runs, &other.of_runs);
        for (name, count) in &other.operations {
            *self.operations.entry(name.clone()).or_default() += count;
        }
        self.covered += other.covered;
        self.below += other.below;
        self.rounds += other.rounds;
        self.runs += other.runs;
    }
}

/// Runs of the same models, each with its own seed, on all cores.
pub(crate) fn simulate(models: &[Model], bed: &Bed, runs: u32) -> Outcome {
    let truth = models[0].kept * models[0].size;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let part = |first: u32| {
        let mut outcome = Outcome::default();
        for seed in (first..runs).step_by(threads as usize) {
            let mut dice = Dice(u64::from(seed) * 7_919 + 17);
            let (verdict, rounds) = run(models, bed, &mut dice);
            outcome.see(truth, &verdict, rounds);
        }
        outcome
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || part(first))).collect();
        let mut all = Outcome::default();
        parts.into_iter().for_each(|part| all.add(&part.join().expect("a part of the runs")));
        all
    })
}

/// Neighbours that are not looked at, but that the correction for many sites sees.
pub(crate) fn among(site: Model) -> Vec<Model> {
    let steady = Model { base: 2_000.0, churn: 0.3, size: 512.0, ..STILL };
    let small = Model { base: 40.0, churn: 0.5, ..STILL };
    let mut all = vec![site];
    all.extend([steady; 10]);
    all.extend([small; 20]);
    all
}
