//! The examples of `docs/formats.md` are true: lines of the event log are lines of the golden
//! log, and every other example is read by the type it shows, with no field that the type does
//! not have.

use ebbtide_record::event::SiteLive;
use ebbtide_record::{Census, Sidecar, Summary};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/formats.md");
const LOG: &str = include_str!("golden/events.ndjson");

fn examples() -> impl Iterator<Item = &'static str> {
    PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next())
}

#[test]
fn lines_of_the_log_are_those_of_the_golden_log() {
    let lines: Vec<_> =
        examples().flat_map(str::lines).filter(|line| line.starts_with("{\"v\":")).collect();
    assert!(!lines.is_empty(), "no example of the log");
    for line in lines {
        assert!(LOG.lines().any(|known| known == line), "{line}");
    }
}

#[test]
fn each_type_reads_its_example_and_has_all_its_fields() {
    let mut found = Vec::new();
    for example in examples().filter(|example| !example.starts_with("{\"v\":")) {
        let shown: Value = serde_json::from_str(example).unwrap_or_else(|error| {
            panic!("not JSON ({error}): {example}");
        });
        let word = ["ebbtide", "schema", "id"].iter().find_map(|key| match shown.get(key) {
            Some(Value::String(schema)) if *key == "schema" => Some(schema.clone()),
            Some(_) => Some((*key).to_owned()),
            None => None,
        });
        match word.as_deref() {
            Some("ebbtide/census/1") => same::<Census>(&shown),
            Some("ebbtide/snapshot/1") => same::<Sidecar>(&shown),
            // Written by the probe alone; its own tests hold it.
            Some("ebbtide/probe/1") => {}
            Some("ebbtide") => same::<Summary>(&shown),
            Some("id") => same::<SiteLive>(&shown),
            other => panic!("an example of no known form: {other:?}: {example}"),
        }
        found.extend(word);
    }
    assert_eq!(found.len(), 5, "{found:?}");
}

fn same<T: DeserializeOwned + Serialize>(shown: &Value) {
    let read: T = serde_json::from_value(shown.clone()).expect("the type reads its example");
    contained(shown, &serde_json::to_value(read).expect("and writes it"), "");
}

/// All that is shown is there, with the same value.
fn contained(shown: &Value, written: &Value, path: &str) {
    match (shown, written) {
        (Value::Object(shown), Value::Object(written)) => {
            for (key, value) in shown {
                let path = format!("{path}/{key}");
                let written = written.get(key).unwrap_or_else(|| panic!("{path} is not known"));
                contained(value, written, &path);
            }
        }
        (Value::Array(shown), Value::Array(written)) => {
            assert_eq!(shown.len(), written.len(), "{path}");
            for (place, (shown, written)) in shown.iter().zip(written).enumerate() {
                contained(shown, written, &format!("{path}/{place}"));
            }
        }
        (Value::Number(shown), Value::Number(written)) => {
            assert_eq!(shown.as_f64(), written.as_f64(), "{path}");
        }
        (shown, written) => assert_eq!(shown, written, "{path}"),
    }
}
