//! The schedule: the n-th start is the inverse of the rate's integral for any stages, however
//! arrivals come; the parts of a cut load are together the load; users have their turns.
//!
//! In: random stages. Out: verdicts of `cargo test`. The integral is taken numerically here, by
//! Gauss's rule over the rate itself, so that a wrong closed form cannot agree with itself.

#![allow(clippy::unwrap_used)]

use ebbtide_loadgen::Segment;
use ebbtide_loadgen::scenario::{Arrivals, Executor, Stage, VuPool};
use ebbtide_loadgen::schedule::{Ramp, Schedule, Start, Starts, Turn, share, vus_max};
use proptest::prelude::*;
use std::time::Duration;

/// Stages up, level and down, to and from 0, some of them without length.
fn stages(most: u32) -> impl Strategy<Value = (f64, Vec<Stage>)> {
    let length = prop_oneof![1 => Just(0_u64), 9 => 1_u64..20_000];
    let target = prop_oneof![2 => Just(0_u32), 8 => 0_u32..most];
    let stage = (length, target, any::<bool>());
    (0_u32..most, prop::collection::vec(stage, 1..6)).prop_map(|(start, parts)| {
        let mut level = start;
        let stages = parts.into_iter().map(|(ms, target, holds)| {
            level = if holds { level } else { target };
            Stage { duration: Duration::from_millis(ms), target: f64::from(level) }
        });
        let stages = stages.collect();
        (f64::from(start), stages)
    })
}

/// The rate at a time, read off the stages.
fn rate(start: f64, stages: &[Stage], time: f64) -> f64 {
    let (mut begin, mut from) = (0.0, start);
    for stage in stages {
        let length = stage.duration.as_secs_f64();
        if length > 0.0 && time <= begin + length {
            return from + (stage.target - from) * (time - begin) / length;
        }
        (begin, from) = (begin + length, stage.target);
    }
    0.0
}

/// Arrivals before a time, by numbers alone: stage by stage, since the rate jumps between them.
fn integral(start: f64, stages: &[Stage], until: f64) -> f64 {
    const STEPS: u32 = 64;
    let (mut begin, mut sum) = (0.0, 0.0);
    for stage in stages {
        let end = begin + stage.duration.as_secs_f64();
        let (low, high) = (begin, until.min(end));
        if high > low {
            let step = (high - low) / f64::from(STEPS);
            for place in 0..STEPS {
                // Inside the stage, where no jump can be met.
                let at = |part: f64| low + (f64::from(place) + part) * step;
                let value = |part: f64| rate(start, stages, at(part));
                sum += step * (value(0.1127) * 5.0 + value(0.5) * 8.0 + value(0.8873) * 5.0) / 18.0;
            }
        }
        begin = end;
    }
    sum
}

fn collect(schedule: &Schedule, arrivals: Arrivals, seed: u64, segment: Segment) -> Vec<Start> {
    schedule.starts(Starts::new(arrivals, (seed, 0, 0), segment)).collect()
}

proptest! {
    #[test]
    fn the_nth_start_is_where_the_integral_is_n(
        (start, stages) in stages(5_000),
        part in 0.0..1.0_f64,
    ) {
        let schedule = Schedule::from_stages(start, &stages);
        let count = schedule.count();
        prop_assume!(count > 1);
        let n = ((count - 1) as f64 * part) as u64;
        let at = schedule.nth(n).as_secs_f64();
        let counted = integral(start, &stages, at);
        // Times are whole nanoseconds.
        let slack = rate(start, &stages, at) * 1e-8 + 1e-6;
        prop_assert!((counted - n as f64).abs() <= n as f64 * 1e-6 + slack, "{counted} of {n}");
        prop_assert!(schedule.nth(n + 1) >= schedule.nth(n));
    }

    #[test]
    fn counts_in_any_window_are_the_integral_over_it(
        (start, stages) in stages(300),
        (first, second) in (0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let schedule = Schedule::from_stages(start, &stages);
        let total: f64 = stages.iter().map(|stage| stage.duration.as_secs_f64()).sum();
        let (low, high) = (first.min(second) * total, first.max(second) * total);
        let starts = collect(&schedule, Arrivals::Even, 1, Segment::default());
        let within = |start: &&Start| {
            let at = schedule.time_of(start.position).as_secs_f64();
            (low..high).contains(&at)
        };
        let counted = starts.iter().filter(within).count() as f64;
        let expected = integral(start, &stages, high) - integral(start, &stages, low);
        prop_assert!((counted - expected).abs() <= 1.0 + 1e-3, "{counted}, expected {expected}");
        prop_assert_eq!(starts.len() as u64, schedule.count());
    }

    #[test]
    fn all_starts_lie_within_the_stages((start, stages) in stages(5_000)) {
        let schedule = Schedule::from_stages(start, &stages);
        let total: Duration = stages.iter().map(|stage| stage.duration).sum();
        if let Some(last) = schedule.count().checked_sub(1) {
            prop_assert!(schedule.nth(last) <= total + Duration::from_nanos(1));
        }
    }

    #[test]
    fn segments_are_together_the_load(
        (start, stages) in stages(40),
        (parts, threads) in (1_u64..6, 1_u64..4),
        poisson in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Even };
        let schedule = Schedule::from_stages(start, &stages);
        let whole = collect(&schedule, arrivals, seed, Segment::default());
        let mut joined = Vec::new();
        for index in 0..parts {
            let part = Segment::new(index, parts).unwrap();
            for place in 0..threads {
                let own = collect(&schedule, arrivals, seed, part.split(place, threads));
                prop_assert!(own.iter().all(|start| part.holds(start.number)));
                joined.extend(own);
            }
        }
        joined.sort_by_key(|start| start.number);
        // To the last bit: a position is the same whoever works it out.
        prop_assert_eq!(joined, whole);
    }

    #[test]
    fn users_have_their_turns_when_the_ramp_says(
        (start, stages) in stages(30),
        part in 0.0..1.0_f64,
    ) {
        let ramp = Ramp::new(start as u32, &stages);
        let total: Duration = stages.iter().map(|stage| stage.duration).sum();
        let time = total.mul_f64(part);
        let turns: Vec<Vec<Turn>> = (0..ramp.most()).map(|vu| ramp.turns(vu)).collect();
        let on = |turn: &Turn| turn.from <= time && time < turn.to;
        let active = turns.iter().filter(|turns| turns.iter().any(on)).count();
        let slack = turns.iter().flatten().any(|turn| {
            turn.from.abs_diff(time) < Duration::from_nanos(10)
                || turn.to.abs_diff(time) < Duration::from_nanos(10)
        });
        prop_assert!(slack || ramp.users_at(time) == (time < total).then_some(active as u32));
        for turns in &turns {
            prop_assert!(turns.iter().all(|turn| turn.from < turn.to));
            prop_assert!(turns.windows(2).all(|pair| pair[0].to < pair[1].from));
        }
    }

    #[test]
    fn shares_add_up(total in 0_u64..1_000_000, vus in 1_u32..500) {
        let sum: u64 = (0..vus).map(|vu| share(total, vus, vu)).sum();
        prop_assert_eq!(sum, total);
        let parts = (0..vus).map(|part| Segment::new(part.into(), vus.into()).unwrap());
        prop_assert_eq!(parts.map(|part| part.share(total)).sum::<u64>(), total);
        let most = share(total, vus, 0);
        prop_assert!(most - share(total, vus, vus - 1) <= 1);
    }
}

#[test]
fn a_constant_rate_is_spread_evenly() {
    let executor = Executor::ConstantArrivalRate {
        rate: 600.0,
        time_unit: Duration::from_secs(60),
        duration: Duration::from_secs(3),
        pool: VuPool::default(),
        arrivals: Arrivals::Even,
    };
    let schedule = Schedule::of(&executor).unwrap();
    assert_eq!(schedule.count(), 30);
    for n in 0..30 {
        let expected = Duration::from_millis(100) * n;
        let difference = schedule.nth(u64::from(n)).abs_diff(expected);
        assert!(difference <= Duration::from_nanos(1), "{n}: {difference:?}");
    }
    // Past its end the rate is held, for passes that count iterations.
    assert_eq!(schedule.nth(100).as_millis(), 10_000);
}

#[test]
fn poisson_arrivals_are_as_many_as_the_rate_brings_and_as_irregular() {
    let stages = [Stage { duration: Duration::from_secs(100), target: 1_000.0 }];
    let schedule = Schedule::from_stages(0.0, &stages);
    let starts = collect(&schedule, Arrivals::Poisson, 7, Segment::default());
    // 50,000 expected with a deviation of 224.
    assert!(starts.len().abs_diff(50_000) < 1_000, "{}", starts.len());
    let gaps: Vec<f64> =
        starts.windows(2).map(|pair| pair[1].position - pair[0].position).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((mean - 1.0).abs() < 0.03 && (variance - 1.0).abs() < 0.06, "{mean} {variance}");
    // As many in the first half of the ramp as the integral says: a quarter.
    let early = starts.iter().filter(|s| schedule.time_of(s.position).as_secs() < 50).count();
    assert!(early.abs_diff(12_500) < 500, "{early}");
    let other = collect(&schedule, Arrivals::Poisson, 8, Segment::default());
    assert_ne!(starts, other);
}

#[test]
fn users_follow_the_ramp() {
    let seconds = Duration::from_secs;
    let stages = [
        Stage { duration: seconds(10), target: 100.0 },
        Stage { duration: seconds(5), target: 100.0 },
        Stage { duration: Duration::ZERO, target: 10.0 },
        Stage { duration: seconds(10), target: 0.0 },
    ];
    let ramp = Ramp::new(0, &stages);
    // Up a user is there once it is whole, down until it is gone.
    let table = [
        (0, Some(0)),
        (5_000, Some(50)),
        (5_050, Some(50)),
        (5_100, Some(51)),
        (10_000, Some(100)),
        (14_999, Some(100)),
        (15_000, Some(10)),
        (15_500, Some(10)),
        (16_000, Some(9)),
        (20_000, Some(5)),
        (24_900, Some(1)),
        (25_000, None),
    ];
    for (ms, expected) in table {
        assert_eq!(ramp.users_at(Duration::from_millis(ms)), expected, "{ms} ms");
    }
    assert_eq!(ramp.turns(0), [Turn { from: Duration::from_millis(100), to: seconds(25) }]);
    assert_eq!(ramp.turns(50), [Turn { from: Duration::from_millis(5_100), to: seconds(15) }]);
    assert_eq!(ramp.turns(100), []);
    assert_eq!(ramp.scaled(1.5).most(), 150);
    let executor = Executor::RampingVus {
        start_vus: 0,
        stages: stages.to_vec(),
        graceful_ramp_down: Duration::ZERO,
    };
    assert_eq!(vus_max(&executor), 100);
}

#[test]
fn a_segment_is_written_as_index_and_count() {
    let third: Segment = "1/3".parse().unwrap();
    assert_eq!((third.index(), third.count(), third.to_string()), (1, 3, "1/3".to_owned()));
    for bad in ["3/3", "1", "a/b", "1/0", "-1/3", "1/1000000000"] {
        let error = bad.parse::<Segment>().unwrap_err();
        assert!(error.starts_with(&format!("`{bad}` is not a segment (write ")), "{error}");
    }
}
