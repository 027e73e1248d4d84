//! How long requests take, by route.
//! In: a route's template, a method, a duration. Out: cumulative histograms for Prometheus.
//! Leaves to others: which route a request found (`rest`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Upper bounds in seconds. From a request that touches nothing to one that somebody gives up on;
/// 25 ms is a good answer over a network, 1 s what a person notices.
pub(super) const BOUNDS: [f64; 13] =
    [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Routes and methods at most. There are some forty; more would be paths taken for routes.
const SERIES: usize = 256;

/// The methods that are told apart.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// One route and method.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// By bound; the last is what lasted longer.
    pub(super) counts: [AtomicU64; BOUNDS.len() + 1],
    pub(super) nanos: AtomicU64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Durations(RwLock<BTreeMap<String, [Option<Arc<Series>>; METHODS.len() + 1]>>);

impl Durations {
    pub(super) fn add(&self, route: &str, method: &str, took: Duration) {
        let Some(series) = self.series(route, method) else { return };
        let seconds = took.as_secs_f64();
        let bound = BOUNDS.partition_point(|&bound| bound < seconds);
        series.counts[bound].fetch_add(1, Relaxed);
        series.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn series(&self, route: &str, method: &str) -> Option<Arc<Series>> {
        let method = METHODS.iter().position(|&one| one == method).unwrap_or(METHODS.len());
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(series) = known.get(route).and_then(|methods| methods[method].clone()) {
                return Some(series);
            }
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SERIES && !known.contains_key(route) {
            return None;
        }
        let methods = known.entry(route.to_owned()).or_default();
        Some(methods[method].get_or_insert_default().clone())
    }

    /// Runs `show` on each route, method and histogram.
    pub(super) fn each(&self, mut show: impl FnMut(&str, &str, &Series)) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (route, methods) in known.iter() {
            for (at, series) in methods.iter().enumerate() {
                let method = METHODS.get(at).copied().unwrap_or("other");
                if let Some(series) = series {
                    show(route, method, series);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets_and_series_are_bounded() {
        let durations = Durations::default();
        for micros in [50, 100, 101, 9_999_999] {
            durations.add("/a", "GET", Duration::from_micros(micros));
        }
        for other in 0..1_000 {
            durations.add(&format!("/{other}"), "BREW", Duration::ZERO);
        }
        let mut shown = 0;
        durations.each(|route, method, series| {
            shown += 1;
            if route == "/a" {
                let counts: Vec<_> = series.counts.iter().map(|one| one.load(Relaxed)).collect();
                assert_eq!((counts[0], counts[1], counts[BOUNDS.len()]), (2, 1, 1));
                assert_eq!((method, counts.iter().sum()), ("GET", 4_u64));
            } else {
                assert_eq!(method, "other");
            }
        });
        assert_eq!(shown, SERIES);
    }
}
