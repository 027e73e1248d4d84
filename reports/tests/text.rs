//! State -> terminal text and summary JSON. Against golden files, and by the promises of the
//! summary: it fits the terminal, the verdict is the last thing said, nothing hostile comes
//! through. `EBBTIDE_BLESS=1` writes the golden files anew; look before they are kept.

mod golden;
mod runs;

use ebbtide_record::{Estimate, Kind, State, Summary};
use ebbtide_reports::text::{self, Style};

fn style(width: usize) -> Style<'static> {
    Style { color: false, width, folder: Some("ebb-runs/x"), ..Style::default() }
}

#[test]
fn summaries_read_as_they_did() {
    let table = [
        ("leak-100.txt", runs::leak(), 100),
        ("leak-80.txt", runs::leak(), 80),
        ("clean-100.txt", runs::clean(), 100),
        ("killed-100.txt", runs::killed(), 100),
        ("load-100.txt", runs::load_only(), 100),
    ];
    for (name, events, width) in table {
        golden::matches(name, &text::render(&runs::state(&events), style(width)));
    }
}

#[test]
fn no_line_of_a_table_is_wider_than_the_terminal() {
    for width in [60, 80, 100, 120] {
        for events in [runs::leak(), runs::clean(), runs::load_only()] {
            let text = text::render(&runs::state(&events), style(width));
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
}

#[test]
fn the_verdict_is_the_last_thing_said_and_the_next_command_follows() {
    let table = [
        (runs::leak(), "LEAKING", "next: ebb leaks ebb-runs/x --explain 1"),
        (runs::clean(), "STEADY", "next: ebb report ebb-runs/x"),
        (runs::killed(), "UNFINISHED", "next: ebb report ebb-runs/x"),
        (runs::load_only(), "INVALID", "next: ebb report ebb-runs/x"),
    ];
    for (events, word, next) in table {
        let text = text::render(&runs::state(&events), style(100));
        let lines: Vec<_> = text.lines().collect();
        let last_word = lines
            .iter()
            .rev()
            .find_map(|line| {
                let word = line.strip_prefix("  ")?.split_whitespace().next()?;
                (line.as_bytes()[2] != b' ' && word.chars().all(char::is_uppercase)).then_some(word)
            })
            .expect("a word in capitals");
        assert_eq!(last_word, word);
        assert_eq!(lines.last().expect("a line").trim(), next);
    }
}

#[test]
fn colour_changes_no_letter_and_nothing_hostile_drives_the_terminal() {
    let state = runs::state(&runs::hostile());
    let plain = text::render(&state, style(100));
    assert!(!plain.contains('\u{1b}'), "an escape came through");
    let colored = text::render(&state, Style { color: true, ..style(100) });
    assert!(colored.contains("\u{1b}[1;31m"), "no colour");
    let mut stripped = String::new();
    for (place, part) in colored.split('\u{1b}').enumerate() {
        stripped.push_str(if place == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(stripped, plain);
}

#[test]
fn what_is_counted_and_not_sampled_is_told_in_objects() {
    let mut state = runs::state(&runs::leak());
    let site = &mut state.memory.sites[0];
    let of = |value, low, high, operation: &str| Estimate {
        value,
        low,
        high,
        confidence: 0.95,
        operation: operation.to_owned(),
    };
    site.growth_per_op = of(3.3, -3.1, 9.7, "GET /compute");
    site.objects_per_op = Some(of(1.0, 0.99, 1.01, "GET /compute"));
    (site.kind, site.kind_from) = (Kind::Task, "census".to_owned());
    let text = text::render(&state, style(200));
    assert!(text.contains("keeps 1.00 ± 0.010 live task per GET /compute"), "{text}");
    // What the heap is sure of is told in bytes.
    state.memory.sites[0].growth_per_op.low = 2.0;
    let text = text::render(&state, style(200));
    assert!(!text.contains("live task per"), "{text}");
}

#[test]
fn an_empty_state_says_that_there_is_nothing() {
    let text = text::render(&State::default(), Style::default());
    assert!(text.contains("UNFINISHED"), "{text}");
}

#[test]
fn the_json_summary_is_one_document_in_the_shape_promised() {
    let state = runs::state(&runs::leak());
    let json = ebbtide_reports::json::render(&Summary::of(&state));
    golden::matches("leak-summary.json", &json);
    let read: Summary = serde_json::from_str(&json).unwrap();
    let written = Summary::of(&state);
    assert_eq!(read.ebbtide.memory.rounds, written.ebbtide.memory.rounds);
    assert_eq!(read.ebbtide.memory.sites.len(), written.ebbtide.memory.sites.len());
    assert!(read.metrics.keys().eq(state.metrics.keys()), "metrics are missing");
}
