//! The schedule: the n-th start is the inverse of the rate's integral, for any stages.
//!
//! In: random stages. Out: verdicts of `cargo test`.

use ebbtide_loadgen::scenario::{Executor, Stage, VuPool};
use ebbtide_loadgen::schedule::{Schedule, share, vus_at, vus_max};
use proptest::prelude::*;
use std::time::Duration;

fn stages() -> impl Strategy<Value = (f64, Vec<Stage>)> {
    let stage = (1_u64..20_000, 0_u32..5_000).prop_map(|(ms, rate)| Stage {
        duration: Duration::from_millis(ms),
        target: f64::from(rate),
    });
    (0_u32..5_000, prop::collection::vec(stage, 1..6))
        .prop_map(|(start, stages)| (f64::from(start), stages))
}

proptest! {
    #[test]
    fn the_nth_start_is_where_the_integral_is_n((start, stages) in stages(), part in 0.0..1.0_f64) {
        let schedule = Schedule::from_stages(start, &stages);
        let count = schedule.count();
        prop_assume!(count > 1);
        let n = ((count - 1) as f64 * part) as u64;
        let at = schedule.nth(n);
        // Times are whole nanoseconds, during which a rate of 5,000 brings 5e-6 arrivals.
        prop_assert!((schedule.arrivals_until(at) - n as f64).abs() < 1e-3 + n as f64 * 1e-9);
        prop_assert!(schedule.nth(n + 1) >= at);
    }

    #[test]
    fn all_starts_lie_within_the_stages((start, stages) in stages()) {
        let schedule = Schedule::from_stages(start, &stages);
        let total: Duration = stages.iter().map(|stage| stage.duration).sum();
        if let Some(last) = schedule.count().checked_sub(1) {
            prop_assert!(schedule.nth(last) <= total + Duration::from_nanos(1));
        }
    }

    #[test]
    fn shares_add_up(total in 0_u64..1_000_000, vus in 1_u32..500) {
        let sum: u64 = (0..vus).map(|vu| share(total, vus, vu)).sum();
        prop_assert_eq!(sum, total);
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
fn users_follow_the_ramp() {
    let stages = [
        Stage { duration: Duration::from_secs(10), target: 100.0 },
        Stage { duration: Duration::from_secs(5), target: 100.0 },
        Stage { duration: Duration::from_secs(10), target: 0.0 },
    ];
    let table =
        [(0, Some(0)), (5, Some(50)), (10, Some(100)), (15, Some(100)), (20, Some(50)), (25, None)];
    for (seconds, expected) in table {
        assert_eq!(vus_at(0, &stages, Duration::from_secs(seconds)), expected, "{seconds} s");
    }
    assert_eq!(vus_max(&Executor::RampingVus { start_vus: 0, stages: stages.to_vec() }), 100);
}
