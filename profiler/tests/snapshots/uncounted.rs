//! Snapshots that tell bytes and no objects: growth is judged all the same, and what is not
//! known about objects stays unknown. In: a series with a known slope. Out: its verdict.
//! Files that lack the column are met in `reading`.

use ebbtide_profiler::diff::diff;
use ebbtide_profiler::profile::Cell;
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::site::{Folded, FoldedCell, FoldedSite};
use ebbtide_profiler::verdict::{Rules, judge};
use ebbtide_record::Verdict;
use ebbtide_record::event::RoundKind;
use std::collections::BTreeMap;

const OPERATIONS: u64 = 10_000;

/// The heap after a round: `per_operation` bytes kept by each operation since the start.
fn heap(round: u32, per_operation: f64, interval_bytes: f64) -> Folded {
    let live_bytes = 1e6 + f64::from(round) * OPERATIONS as f64 * per_operation;
    let cell = Cell { live_bytes, ..Cell::default() };
    let site = FoldedSite {
        id: "0".to_owned(),
        cells: vec![FoldedCell { stack: 0, cell }],
        ..FoldedSite::default()
    };
    Folded { interval_bytes, live_bytes, sites: vec![site], ..Folded::default() }
}

fn series(per_operation: f64, interval_bytes: f64) -> Series {
    let mut series = Series::default();
    for round in 0..11 {
        series.push(Observation {
            round,
            kind: if round < 2 { RoundKind::Warmup } else { RoundKind::New },
            operations: BTreeMap::from([("post".to_owned(), OPERATIONS)]),
            folded: heap(round, per_operation, interval_bytes),
            ..Observation::default()
        });
    }
    series
}

#[test]
fn bytes_alone_are_judged_and_objects_are_not_invented() {
    let rules = Rules { known_load: true, ..Rules::default() };
    for (per_operation, interval, word) in [
        (640.0, 1.0, Verdict::Leaking),
        (640.0, 4_096.0, Verdict::Leaking),
        (0.0, 1.0, Verdict::Steady),
    ] {
        let verdict = judge(&series(per_operation, interval), &rules);
        let site = &verdict.sites[0];
        assert_eq!(site.verdict, word, "{per_operation} every {interval}: {:?}", site.reasons);
        let growth = &site.growth_per_op;
        assert!((growth.value - per_operation).abs() < 1.0, "{growth:?}");
        assert_eq!((site.objects_per_op.as_ref(), site.live_objects), (None, None));
        assert_eq!(site.container_bytes, 0, "without objects there is no telling a container");
        let json = serde_json::to_value(site).unwrap();
        assert!(json.get("live_objects").is_none() && json.get("objects_per_op").is_none());
    }
}

#[test]
fn a_comparison_tells_bytes_and_leaves_objects_out() {
    let (before, after) = (heap(0, 64.0, 4_096.0), heap(1, 64.0, 4_096.0));
    let row = &diff(&before, &after).rows[0];
    assert_eq!((row.bytes.value, row.objects.as_ref()), (640_000.0, None));
    assert!(row.bytes.low < 640_000.0 && row.bytes.low > 0.0, "sampling is not forgotten");
    // One side that counts is not enough.
    let mut counted = after.clone();
    counted.sites[0].cells[0].cell.live_objects = Some(10.0);
    assert_eq!(diff(&before, &counted).rows[0].objects, None);
}
