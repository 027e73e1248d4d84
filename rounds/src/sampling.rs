//! How the heaps of one run were sampled: as asked for, alike from snapshot to snapshot, and anew
//! each time. In: folded snapshots in their order. Out: warnings. What sampling does to a verdict
//! is left to `profiler`.

use ebbtide_loadgen::scenario::MemoryWatch;
use ebbtide_profiler::Folded;
use ebbtide_record::event::Warning;

/// Sampling is too coarse from this many times the interval asked for: errors grow with the root.
const COARSE: f64 = 2.0;

/// Intervals differ when one is this many times the other: samplers round to powers of two.
const CHANGED: f64 = 1.01;

/// What was seen of sampling so far.
#[derive(Debug, Default)]
pub struct SamplingWatch {
    /// Mean bytes between two samples that were asked for.
    wanted: Option<f64>,
    before: Option<Seen>,
    told_coarse: bool,
}

/// What is compared with the next snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    interval: f64,
    /// Live bytes and bytes ever allocated.
    totals: (f64, f64),
}

impl SamplingWatch {
    /// Watches heaps that should have been sampled as a scenario says, if it does.
    #[must_use]
    pub fn of(watch: Option<&MemoryWatch>) -> Self {
        Self { wanted: watch.map(|watch| watch.sample_interval_bytes as f64), ..Self::default() }
    }

    /// Looks at the next snapshot, of a Go program or of another.
    pub fn see(&mut self, folded: &Folded, is_go: bool) -> Vec<Warning> {
        let seen = Seen { interval: folded.interval_bytes, totals: totals(folded) };
        let mut warnings = Vec::new();
        let coarse = self.wanted.filter(|wanted| seen.interval >= wanted * COARSE);
        if let Some(wanted) = coarse.filter(|_| !std::mem::replace(&mut self.told_coarse, true)) {
            warnings.push(too_coarse(seen.interval, wanted, is_go));
        }
        if let Some(before) = self.before {
            let ratio = seen.interval.max(1.0) / before.interval.max(1.0);
            if !(1.0 / CHANGED..=CHANGED).contains(&ratio) {
                warnings.push(changed(before.interval, seen.interval));
            } else if is_go && seen.totals.1 > 0.0 && seen.totals == before.totals {
                warnings.push(stale());
            }
        }
        self.before = Some(seen);
        warnings
    }
}

fn totals(folded: &Folded) -> (f64, f64) {
    let cells = folded.sites.iter().flat_map(|site| &site.cells);
    (folded.live_bytes, cells.filter_map(|cell| cell.cell.alloc_bytes).sum())
}

fn too_coarse(interval: f64, wanted: f64, is_go: bool) -> Warning {
    let cure = if is_go {
        format!(
            "set `runtime.MemProfileRate = {wanted:.0}` in the first line of `main` (a command is \
             started with GODEBUG=memprofilerate={wanted:.0} besides, which Go 1.17 to 1.19 \
             ignore), or give rounds more operations"
        )
    } else {
        "let the target sample more often, or give rounds more operations".to_owned()
    };
    Warning {
        code: "sampling_coarse".to_owned(),
        message: format!(
            "the heap is sampled once in {interval:.0} bytes, not in {wanted:.0} as asked for: \
             small growth takes more operations to be seen"
        ),
        advice: cure,
    }
}

fn changed(before: f64, now: f64) -> Warning {
    Warning {
        code: "sampling_changed".to_owned(),
        message: format!(
            "the heap was sampled once in {before:.0} bytes and then in {now:.0}: figures before \
             and after cannot be compared"
        ),
        advice: "set the sample interval once, before anything is allocated, and run again"
            .to_owned(),
    }
}

fn stale() -> Warning {
    Warning {
        code: "sampling_stale".to_owned(),
        message: "a heap had the very figures of the one before: it was not collected in between, \
                  or nothing was sampled"
            .to_owned(),
        advice: "let the address of the heap collect first (`?gc=1`), or give rounds more \
                 operations"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_profiler::{Cell, FoldedCell, FoldedSite};

    fn heap(interval_bytes: f64, live_bytes: f64) -> Folded {
        let cell = Cell { live_bytes, alloc_bytes: Some(live_bytes), ..Cell::default() };
        let site =
            FoldedSite { cells: vec![FoldedCell { stack: 1, cell }], ..FoldedSite::default() };
        Folded { interval_bytes, live_bytes, sites: vec![site], ..Folded::default() }
    }

    fn codes(warnings: &[Warning]) -> Vec<&str> {
        warnings.iter().map(|warning| warning.code.as_str()).collect()
    }

    #[test]
    fn sampling_that_cannot_be_compared_is_told() {
        let wanted = MemoryWatch { sample_interval_bytes: 65_536, ..MemoryWatch::default() };
        let mut watch = SamplingWatch::of(Some(&wanted));
        let first = watch.see(&heap(524_288.0, 1e6), true);
        assert_eq!(codes(&first), ["sampling_coarse"]);
        assert!(first[0].advice.contains("runtime.MemProfileRate = 65536"), "{first:?}");
        assert!(watch.see(&heap(524_288.0, 2e6), true).is_empty());
        assert_eq!(codes(&watch.see(&heap(524_288.0, 2e6), true)), ["sampling_stale"]);
        assert_eq!(codes(&watch.see(&heap(65_536.0, 2e6), true)), ["sampling_changed"]);
    }

    #[test]
    fn sampling_as_asked_for_is_not() {
        let mut watch = SamplingWatch::of(Some(&MemoryWatch::default()));
        for live in [1e6, 1e6, 0.0, 0.0, 3e6] {
            assert_eq!(codes(&watch.see(&heap(65_536.0, live), false)), Vec::<&str>::new());
        }
    }
}
