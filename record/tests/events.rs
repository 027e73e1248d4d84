//! The event log as it is written: the golden log `golden/events.ndjson`, which is the example of
//! `docs/formats.md` as well, is read, written again and compared, so that no field is lost or
//! renamed; and what a reader must bear is borne.

use ebbtide_record::event::{Body, Event};
use serde_json::Value;
use std::collections::BTreeSet;

const LOG: &str = include_str!("golden/events.ndjson");

/// The word that stands in `type`; the match makes a new variant fail to compile here, so that
/// it gets its line in the golden log.
fn word(body: &Body) -> &'static str {
    match body {
        Body::RunStarted(_) => "run_started",
        Body::Phase(_) => "phase",
        Body::Interval(_) => "interval",
        Body::Metrics(_) => "metrics",
        Body::Memory(_) => "memory",
        Body::Snapshot(_) => "snapshot",
        Body::Missed(_) => "missed",
        Body::Warning(_) => "warning",
        Body::Verdict(_) => "verdict",
        Body::RunEnded(_) => "run_ended",
        Body::Unknown => "unknown",
    }
}

const WORDS: [&str; 10] = [
    "run_started",
    "phase",
    "interval",
    "metrics",
    "memory",
    "snapshot",
    "missed",
    "warning",
    "verdict",
    "run_ended",
];

#[test]
fn each_line_is_read_and_written_again_without_loss() {
    let mut seen = BTreeSet::new();
    for (place, line) in LOG.lines().enumerate() {
        let event: Event = serde_json::from_str(line).expect("the golden log is well formed");
        assert_eq!((event.v, event.seq), (1, place as u64), "line {}", place + 1);
        seen.insert(word(&event.body));
        let read: Value = serde_json::from_str(line).unwrap();
        let written = serde_json::to_value(&event).unwrap();
        assert_eq!(written, read, "line {}", place + 1);
        assert_eq!(read["type"], word(&event.body), "line {}", place + 1);
    }
    assert_eq!(seen, BTreeSet::from(WORDS), "a type is missing from the golden log");
}

#[test]
fn a_written_line_holds_no_line_end() {
    for line in LOG.lines() {
        let mut event: Event = serde_json::from_str(line).unwrap();
        if let Body::Warning(warning) = &mut event.body {
            "two\nlines".clone_into(&mut warning.message);
        }
        assert!(!serde_json::to_string(&event).unwrap().contains('\n'));
    }
}

#[test]
fn what_a_reader_does_not_know_it_ignores() {
    let table = [
        // A type of a later version, with fields of its own.
        (r#"{"v":1,"seq":3,"t_ms":9,"type":"epoch","arm":{"name":"head"}}"#, "unknown", 9),
        // A field of a later version.
        (r#"{"v":1,"seq":3,"t_ms":9,"type":"missed","what":"census","since":4}"#, "missed", 9),
        // Fields left out.
        (r#"{"t_ms":5,"type":"run_ended"}"#, "run_ended", 5),
        // A kind of a later version is `other`.
        (
            r#"{"v":1,"seq":0,"t_ms":1,"type":"memory","census":{"coroutine":{"live":1}}}"#,
            "memory",
            1,
        ),
    ];
    for (line, expected, t_ms) in table {
        let event: Event = serde_json::from_str(line).expect(line);
        assert_eq!((word(&event.body), event.t_ms), (expected, t_ms), "{line}");
    }
}

#[test]
fn what_is_missing_stays_missing() {
    let event: Event = serde_json::from_str(r#"{"t_ms":1,"type":"memory"}"#).unwrap();
    let Body::Memory(point) = &event.body else { panic!("not a memory point") };
    assert_eq!((point.rss_bytes, point.live_bytes, point.in_flight), (None, None, None));
    let written = serde_json::to_value(&event).unwrap();
    assert_eq!(written["rss_bytes"], Value::Null, "absent became a number");
}

#[test]
fn a_torn_line_is_an_error_and_never_a_wrong_event() {
    for line in LOG.lines() {
        for cut in (1..line.len()).step_by(7).filter(|cut| line.is_char_boundary(*cut)) {
            let torn = serde_json::from_str::<Event>(&line[..cut]);
            assert!(torn.is_err(), "{} read as {torn:?}", &line[..cut]);
        }
    }
}
