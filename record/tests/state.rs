//! Events -> State -> Summary: the golden log folded, the bounds of what is kept, and the summary
//! in the shape that `docs/formats.md` promises. `EBBTIDE_BLESS=1` writes the golden summary
//! anew; reading files and tearing them is left to who writes them.

use ebbtide_record::event::{Body, Event, Interval, Missed, Phase, PhaseStart, Quantiles, Warning};
use ebbtide_record::state::{MARKS_MAX, SERIES_MAX};
use ebbtide_record::summary::GENERATOR_SATURATED;
use ebbtide_record::{Kind, RoundKind, State, Summary, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;

const LOG: &str = include_str!("golden/events.ndjson");

fn golden() -> State {
    let events: Vec<Event> =
        LOG.lines().map(|line| serde_json::from_str(line).expect("well formed")).collect();
    State::from_events(&events)
}

fn at(t_ms: u64, body: Body) -> Event {
    Event { v: 1, seq: 0, t_ms, body }
}

#[test]
fn the_golden_log_folds_to_what_happened() {
    let state = golden();
    assert_eq!(state.events, LOG.lines().count() as u64);
    assert_eq!(state.now_ms, 9_400);
    assert_eq!(state.ignored, 0);
    assert_eq!(state.started.as_ref().map(|started| started.seed), Some(7));
    assert_eq!(state.ended.as_ref().map(|ended| ended.exit_code), Some(98));
    assert_eq!(state.phases.len(), 12);
    let last = PhaseStart { round: 2, kind: RoundKind::Replay, phase: Phase::Snapshot };
    assert_eq!(state.phase.as_ref().map(|at| at.value), Some(last));
    assert_eq!(state.intervals.len(), 3);
    assert_eq!(state.points.len(), 3);
    assert_eq!(state.points[2].value.census[&Kind::Listener].live, 3_064);
    assert_eq!(state.snapshots.len(), 4);
    assert_eq!(state.snapshots[0].value.round, None);
    assert_eq!(state.operations["close /ws"], 3_000);
    assert_eq!(
        state.errors,
        BTreeMap::from([("timeout".into(), 2), ("connection reset".into(), 1)])
    );
    assert_eq!(state.missed.len(), 1);
    assert_eq!(state.warnings.len(), 1);
    assert_eq!(state.memory.verdict, Verdict::Leaking);
    let totals = &state.totals;
    assert_eq!((totals.requests, totals.failed, totals.dropped), (9_000, 3, 3));
    assert_eq!((totals.iterations, totals.messages_sent), (3_000, 3_000));
    assert!(state.generator().saturated);
}

#[test]
fn a_log_cut_anywhere_folds_to_its_beginning() {
    let lines: Vec<&str> = LOG.lines().collect();
    for kept in 0..lines.len() {
        let events: Vec<Event> =
            lines[..kept].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let state = State::from_events(&events);
        assert_eq!(state.events, kept as u64);
        assert!(state.ended.is_none(), "a run without its last line has not ended");
        assert!(Summary::of(&state).ebbtide.partial, "and its summary is partial");
    }
}

#[test]
fn an_unknown_event_is_counted_and_changes_nothing_else() {
    let mut state = golden();
    let before = state.clone();
    let line = r#"{"v":1,"seq":99,"t_ms":9999,"type":"epoch","arm":"head"}"#;
    state.apply(&serde_json::from_str(line).unwrap());
    assert_eq!((state.ignored, state.events), (1, before.events + 1));
    assert_eq!(state.now_ms, 9_999);
    let rest = State { ignored: 0, events: before.events, now_ms: before.now_ms, ..state };
    assert!(rest == before, "something else changed");
}

#[test]
fn time_does_not_run_backwards() {
    let missed = |t_ms| at(t_ms, Body::Missed(Missed::default()));
    let state = State::from_events(&[missed(10), missed(4)]);
    assert_eq!(state.now_ms, 10);
}

#[test]
fn a_long_series_is_halved_and_keeps_its_sums() {
    let seconds = (SERIES_MAX * 5 + 3) as u64;
    let mut state = State::default();
    for second in 0..seconds {
        let mut interval = Interval {
            duration_ms: 1_000.0,
            offered: Some(second % 5),
            iterations: second % 7,
            requests: second % 11,
            dropped: second % 2,
            messages_sent: 2,
            messages_received: 3,
            bytes_sent: 10,
            bytes_received: 20,
            latency: Quantiles { count: 1, mean: 2.0, max: second as f64, ..Quantiles::default() },
            ..Interval::default()
        };
        interval.errors.insert("timeout".to_owned(), 1);
        state.apply(&at(second * 1_000, Body::Interval(Box::new(interval))));
        state.apply(&at(second * 1_000, Body::Memory(Box::default())));
        assert!(state.intervals.len() <= SERIES_MAX && state.points.len() <= SERIES_MAX);
    }
    let sum =
        |pick: fn(&Interval) -> u64| state.intervals.iter().map(|at| pick(&at.value)).sum::<u64>();
    let whole = |modulo: u64| (0..seconds).map(|second| second % modulo).sum::<u64>();
    assert_eq!(sum(|interval| interval.offered.unwrap_or(0)), whole(5));
    assert_eq!(sum(|interval| interval.iterations), whole(7));
    assert_eq!(sum(|interval| interval.requests), whole(11));
    assert_eq!(sum(|interval| interval.dropped), whole(2));
    assert_eq!(sum(|interval| interval.messages_sent), 2 * seconds);
    assert_eq!(sum(|interval| interval.messages_received), 3 * seconds);
    assert_eq!(sum(|interval| interval.bytes_sent), 10 * seconds);
    assert_eq!(sum(|interval| interval.bytes_received), 20 * seconds);
    assert_eq!(sum(|interval| interval.errors["timeout"]), seconds);
    assert_eq!(sum(|interval| interval.latency.count), seconds);
    assert_eq!(sum(|interval| interval.duration_ms as u64), 1_000 * seconds);
    assert_eq!(state.totals.requests, whole(11), "the sums apart agree");
    let times: Vec<_> = state.intervals.iter().map(|at| at.t_ms).collect();
    assert!(times.is_sorted(), "points are out of order");
    assert_eq!(times.last(), Some(&((seconds - 1) * 1_000)), "the last second is there");
    let worst = state.intervals.iter().map(|at| at.value.latency.max).fold(0.0, f64::max);
    assert_eq!(worst, (seconds - 1) as f64, "the worst value is not hidden");
}

#[test]
fn marks_are_bounded_and_what_is_past_the_bound_is_counted() {
    let mut state = State::default();
    for _ in 0..MARKS_MAX + 5 {
        state.apply(&at(1, Body::Missed(Missed::default())));
    }
    assert_eq!((state.missed.len(), state.ignored), (MARKS_MAX, 5));
}

#[test]
fn a_warning_is_kept_once_in_its_last_words() {
    let warning = |message: &str| {
        let code = GENERATOR_SATURATED.to_owned();
        at(1, Body::Warning(Warning { code, message: message.to_owned(), ..Warning::default() }))
    };
    let state = State::from_events(&[warning("90 %"), warning("97 %")]);
    assert_eq!(state.warnings.len(), 1);
    assert_eq!(state.warnings[0].message, "97 %");
}

#[test]
fn the_summary_has_the_shape_promised() {
    let mut seen = serde_json::to_string_pretty(&Summary::of(&golden())).unwrap();
    seen.push('\n');
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/summary.json");
    if std::env::var_os("EBBTIDE_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path, &seen).expect("the golden folder can be written");
    }
    let expected = std::fs::read_to_string(path).expect("the golden summary is there");
    let differs = expected.lines().zip(seen.lines()).position(|(was, is)| was != is);
    assert!(expected == seen, "line {differs:?} differs (EBBTIDE_BLESS=1 accepts it)");
}

#[test]
fn the_summary_speaks_k6_at_the_top() {
    let summary = serde_json::to_value(Summary::of(&golden())).unwrap();
    for path in [
        "/metrics/http_req_duration/type",
        "/metrics/http_req_duration/contains",
        "/metrics/http_req_duration/values/p(95)",
        "/metrics/checks/thresholds/rate > 0.99/ok",
        "/metrics/checks/values/passes",
        "/root_group/checks/0/passes",
        "/options",
        "/state/testRunDurationMs",
        "/ebbtide/schema",
        "/ebbtide/exit_code",
        "/ebbtide/latency/uncorrected/p(99)",
        "/ebbtide/generator/late_start_p99_ms",
        "/ebbtide/warnings/0/advice",
        "/ebbtide/memory/verdict",
        "/ebbtide/memory/rounds/0/settled_ms",
        "/ebbtide/memory/sites/0/growth_per_op/confidence",
    ] {
        let found = summary.pointer(path);
        assert!(found.is_some_and(|value| *value != Value::Null), "{path}");
    }
}
