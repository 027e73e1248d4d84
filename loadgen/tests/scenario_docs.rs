//! The reference of scenarios is true: each example in it is a scenario without fault.
//!
//! In: `docs/scenario.md`. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

use ebbtide_loadgen::{Plan, Scenario};

const BASE: &str = "http://127.0.0.1:1";

/// An example that shows only the inside of a flow, with the rest put around it.
fn whole(example: &str) -> String {
    let mut text = String::new();
    if !example.contains("[target]") {
        text += &format!("[target]\nbase = \"{BASE}\"\n");
    }
    if example.contains("[flow.") {
        return text + example;
    }
    text += "[flow.example]\n";
    if !example.contains("executor") {
        text += "executor = \"constant-vus\"\nvus = 1\nduration = \"1s\"\n";
    }
    text + example
}

#[test]
fn each_example_is_a_scenario_without_fault() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenario.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut examples = 0;
    for (index, block) in text.split("```toml\n").enumerate().skip(1) {
        let example = whole(block.split("```").next().unwrap());
        let name = format!("example {index}");
        let mut scenario =
            Scenario::parse(&example, &name).unwrap_or_else(|faults| panic!("{faults}\n{example}"));
        for file in scenario.files.values_mut() {
            file.bytes = Some(b"name,password\nann,secret\n".to_vec().into());
        }
        Plan::resolve(&scenario, BASE).unwrap_or_else(|faults| panic!("{faults}\n{example}"));
        examples += 1;
    }
    assert!(examples >= 6, "{examples} examples");
}
