//! State -> JUnit, Markdown, CSV, NDJSON, OpenMetrics. Read back by readers that are not ours,
//! against golden files, and by the promises each form makes. `EBBTIDE_BLESS=1` writes the golden
//! files anew; look before they are kept.

mod golden;
mod runs;

use ebbtide_record::event::{Body, CheckCount, Event};
use ebbtide_record::metric::ThresholdResult;
use ebbtide_record::{Metric, State};
use ebbtide_reports::{autocannon, junit, markdown, openmetrics, series};
use roxmltree::{Document, Node};

fn states() -> Vec<State> {
    [runs::leak(), runs::clean(), runs::killed(), runs::load_only(), runs::hostile()]
        .iter()
        .map(|events| runs::state(events))
        .chain([State::default()])
        .collect()
}

/// Attributes that both the Jenkins and the Ant schema want of a suite.
const OF_SUITE: [&str; 7] =
    ["name", "tests", "failures", "errors", "time", "timestamp", "hostname"];

fn count(suite: Node<'_, '_>, element: &str) -> usize {
    suite.descendants().filter(|node| node.has_tag_name(element)).count()
}

#[test]
fn junit_has_the_shape_that_jenkins_and_ant_take() {
    for state in states() {
        let text = junit::render(&state);
        let document = Document::parse(&text).expect("well-formed");
        let root = document.root_element();
        assert!(root.has_tag_name("testsuites"));
        for suite in root.children().filter(Node::is_element) {
            assert!(suite.has_tag_name("testsuite"));
            for name in OF_SUITE {
                assert!(suite.attribute(name).is_some(), "`{name}` is missing: {text}");
            }
            let order: Vec<&str> =
                suite.children().filter(Node::is_element).map(|n| n.tag_name().name()).collect();
            let mut sorted = order.clone();
            let place = |name: &str| {
                ["properties", "testcase", "system-out", "system-err"]
                    .iter()
                    .position(|n| *n == name)
            };
            sorted.sort_by_key(|name| place(name).expect("an element of the schema"));
            assert_eq!(order, sorted, "the schema wants this order");
            for (attribute, element) in
                [("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")]
            {
                let said: usize = suite.attribute(attribute).unwrap().parse().unwrap();
                assert_eq!(said, count(suite, element), "{attribute}: {text}");
            }
            for case in suite.children().filter(|node| node.has_tag_name("testcase")) {
                let inside: Vec<_> = case.children().filter(Node::is_element).collect();
                assert!(inside.len() <= 1, "Ant takes one outcome");
                assert!(case.attribute("classname").is_some() && case.attribute("name").is_some());
            }
        }
    }
}

#[test]
fn junit_is_red_exactly_when_the_exit_code_is() {
    let red = |events: Vec<Event>| {
        let text = junit::render(&runs::state(&events));
        text.contains("<failure") || text.contains("<error")
    };
    assert!(!red(runs::clean()));
    assert!(red(runs::leak()));
    assert!(red(runs::killed()));
    assert!(red(runs::load_only()));
    golden::matches("leak.junit.xml", &junit::render(&runs::state(&runs::leak())));
    golden::matches("load.junit.xml", &junit::render(&runs::state(&runs::load_only())));
}

#[test]
fn a_check_fails_in_junit_only_when_a_threshold_says_so() {
    let mut state = runs::state(&runs::clean());
    state.checks.insert("slow".to_owned(), CheckCount { passes: 9, fails: 1 });
    state.metrics.remove("checks");
    assert!(junit::render(&state).contains("<skipped message=\"held in 90.0 % (9 of 10); no"));
    for (ok, word) in [(true, "<system-out>held in 90.0 %"), (false, "held in 90.0 %")] {
        let mut checks = Metric::rate(9, 1);
        checks.thresholds.insert("rate > 0.5".to_owned(), ThresholdResult { ok });
        state.metrics.insert("checks".to_owned(), checks);
        let text = junit::render(&state);
        assert!(text.contains(word), "{text}");
        assert_eq!(text.contains("<failure type=\"checks\""), !ok, "{text}");
    }
}

#[test]
fn markdown_says_the_verdict_first_and_fits_into_a_comment() {
    for state in states() {
        let text = markdown::render(&state);
        assert!(text.starts_with("## "), "{text}");
        assert!(text.len() <= markdown::LENGTH_MAX);
        // What stands between fences is shown as it is.
        let outside: String = text.split("```").step_by(2).collect();
        assert!(!outside.contains("<script") && !outside.contains("<img"), "{outside}");
        for line in text.lines().filter(|line| line.starts_with('|')) {
            assert!(line.ends_with('|'), "a cell broke out: {line}");
        }
    }
    golden::matches("leak.md", &markdown::render(&runs::state(&runs::leak())));
    golden::matches("load.md", &markdown::render(&runs::state(&runs::load_only())));
}

#[test]
fn markdown_of_a_run_with_very_many_names_fits_all_the_same() {
    let mut state = runs::state(&runs::leak());
    let trend = state.metrics["ws_msg_rtt"].clone();
    for place in 0..5_000 {
        let name = format!("ws_msg_rtt{{name:{place}{}}}", "<|>".repeat(200));
        state.metrics.insert(name.clone(), trend.clone());
        state.errors.insert(name.clone(), 1);
        state.checks.insert(name, CheckCount { passes: 0, fails: 1 });
    }
    let text = markdown::render(&state);
    assert!(text.len() <= markdown::LENGTH_MAX, "{}", text.len());
    assert!(text.starts_with("## ❌ LEAKING"), "the verdict was lost");
}

#[test]
fn csv_and_ndjson_say_the_same_of_each_second() {
    for events in [runs::load_only(), runs::leak(), runs::hostile()] {
        let state = runs::state(&events);
        let (text, lines) = (series::csv(&state), series::ndjson(&state));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let heads = reader.headers().expect("headings").clone();
        let records: Vec<_> = reader.records().map(|record| record.expect("a record")).collect();
        let intervals =
            events.iter().filter(|event| matches!(event.body, Body::Interval(_))).count();
        assert_eq!(records.len(), intervals);
        assert_eq!(lines.lines().count(), intervals);
        for (record, line) in records.iter().zip(lines.lines()) {
            let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
            for (head, field) in heads.iter().zip(record) {
                // By one reader of numbers: they differ in the last digit.
                let field = serde_json::from_str::<f64>(field).ok();
                assert_eq!(object[head].as_f64(), field, "{head}: {line}");
            }
        }
    }
    golden::matches("load.csv", &series::csv(&runs::state(&runs::load_only())));
}

#[test]
fn a_second_has_the_memory_and_the_round_that_belong_to_it() {
    let text = series::csv(&runs::state(&runs::leak()));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let heads = reader.headers().expect("headings").clone();
    let column = |name: &str| heads.iter().position(|head| head == name).expect("a column");
    let (round, rss) = (column("round"), column("rss_bytes"));
    let records: Vec<_> = reader.records().map(|record| record.expect("a record")).collect();
    let rounds: Vec<u32> = records.iter().map(|record| record[round].parse().unwrap()).collect();
    assert!(rounds.is_sorted() && rounds[0] == 0 && rounds.last() > Some(&5), "{rounds:?}");
    assert!(records.iter().any(|record| !record[rss].is_empty()), "no memory was joined");
}

/// Lines of OpenMetrics: a type before its samples, each sample once, `# EOF` last.
#[test]
fn openmetrics_has_a_type_for_each_family_and_each_sample_once() {
    for state in states() {
        let text = openmetrics::render(&state);
        assert!(text.ends_with("# EOF\n"));
        let mut family = "";
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(family), "{line} is not of {family}");
                let (sample, value) = line.rsplit_once(' ').expect("a value");
                value.parse::<f64>().expect("a number");
                assert!(seen.insert(sample.to_owned()), "{sample} twice");
            }
        }
    }
    golden::matches("load.prom", &openmetrics::render(&runs::state(&runs::load_only())));
}

#[test]
fn the_tables_of_autocannon_read_as_they_did() {
    let mut state = runs::state(&runs::load_only());
    let duration = state.metrics.get_mut("http_req_duration").expect("a metric");
    for (key, value) in [("p(2.5)", 0.31), ("p(97.5)", 2.9), ("stdev", 0.8)] {
        duration.values.insert(key.to_owned(), value);
    }
    golden::matches("load.autocannon.txt", &autocannon::render(&state));
    for state in states() {
        assert!(!autocannon::render(&state).contains('\u{1b}'), "an escape came through");
    }
}
