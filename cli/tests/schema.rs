//! The schemas of docs/schema against the real thing: what our reader takes is valid, what it
//! refuses for its form is not, every key it asks for is known, and what a run writes is what the
//! schemas say. Read by a validator that is not ours.

use boon::{Compiler, SchemaIndex, Schemas};
use ebbtide_loadgen::Scenario;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The schema as the program prints it.
fn printed(form: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["schema", form])
        .output()
        .expect("the program starts");
    serde_json::from_slice(&output.stdout).expect("one document")
}

struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn of(schema: Value) -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", schema).expect("a schema");
        let index = compiler.compile("schema.json", &mut schemas).expect("a schema");
        Self { schemas, index }
    }

    fn fault(&self, value: &Value) -> Option<String> {
        self.schemas.validate(value, self.index).err().map(|error| format!("{error:#}"))
    }
}

/// Scenarios of the tree, and those in the documentation.
fn scenarios() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["scenarios", "cli/demo"] {
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder").flatten() {
            if entry.path().extension().is_some_and(|end| end == "toml") {
                let text = std::fs::read_to_string(entry.path()).expect("a scenario");
                found.push((entry.path().display().to_string(), text));
            }
        }
    }
    for file in ["docs/formats.md", "docs/scenario.md"] {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        for (place, block) in text.split("```toml\n").skip(1).enumerate() {
            let block = block.split("```").next().unwrap_or_default();
            found.push((format!("{file}, block {}", place + 1), block.to_owned()));
        }
    }
    found
}

#[test]
fn every_scenario_there_is_is_valid() {
    let whole = Validator::of(printed("scenario"));
    let mut parts = printed("scenario");
    // The documentation shows parts as well.
    parts.as_object_mut().expect("an object").remove("required");
    parts["$defs"]["flow"].as_object_mut().expect("an object").remove("required");
    let parts = Validator::of(parts);
    let all = scenarios();
    assert!(all.len() > 15, "scenarios are missing");
    for (name, text) in all {
        let mut value: Value = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        if value["steps"].is_array() {
            // The documentation shows steps without their flow.
            value = serde_json::json!({ "flow": { "a": value } });
        }
        let validator = if name.contains("block") { &parts } else { &whole };
        let known = ["schema", "target", "flow", "steps", "memory", "thresholds", "setup", "data"];
        let is_scenario = known.iter().any(|key| value.get(key).is_some());
        if is_scenario && let Some(fault) = validator.fault(&value) {
            panic!("{name}: {fault}\n{text}");
        }
    }
}

#[test]
fn what_the_reader_refuses_for_its_form_is_invalid() {
    let validator = Validator::of(printed("scenario"));
    let good = "[target]\nbase = \"http://a\"\n[flow.a]\nexecutor = \"constant-vus\"\nvus = 1\n\
                duration = \"1s\"\nsteps = [{ get = \"/\" }]\n";
    let value: Value = toml::from_str(good).expect("TOML");
    assert_eq!(validator.fault(&value), None);
    for (from, to) in [
        ("base", "bas"),
        ("constant-vus", "constant-vu"),
        ("vus = 1", "vus = 0"),
        ("vus = 1", ""),
        ("\"1s\"", "\"soon\""),
        ("get", "gte"),
        ("flow.a", "flows.a"),
    ] {
        let text = good.replacen(from, to, 1);
        let value: Value = toml::from_str(&text).expect("TOML");
        assert!(Scenario::parse(&text, "a.toml").is_err(), "{text}");
        assert!(validator.fault(&value).is_some(), "{text}");
    }
}

/// One of everything that a scenario can hold: whatever a table is, the reader asks it for all
/// keys it knows there.
const EVERYTHING: &str = r#"
[target]
base = "http://a"
tls = {}
dns = {}
[data.rows]
rows = []
[setup]
steps = []
[teardown]
steps = []
[warmup]
duration = "1s"
[flow.a]
executor = "constant-vus"
auth = { basic = {} }
steps = [
  { get = "/", auth = { basic = {} }, check = { body = { length = {} }, not = {} } },
  { get = "/", capture = { x = {} } },
  { post = "/", multipart = { a = { text = "x" } } }, { put = "/" }, { patch = "/" },
  { delete = "/" }, { head = "/" }, { options = "/" }, { request = {} },
  { connect = "/", reconnect = {} }, { send = "x", await = {} }, { await = {} },
  { listen = "1s" }, { ping = true }, { close = true }, { think = {} }, { repeat = {}, steps = [] },
  { repeat = { while = {} }, steps = [] }, { one_of = [{}] }, { if = {}, steps = [] },
  { group = "g", steps = [] }, { set = {} }, { fail = "x" }, { stop = true }, { use = "x" },
  { parallel = [] }, { sio_connect = "/", reconnect = {} }, { emit = "x", ack = {} },
  { await_event = "x" }, { sio_close = true },
]
[flow.b]
executor = "ramping-vus"
stages = [{}]
[flow.c]
executor = "shared-iterations"
[flow.d]
executor = "constant-arrival-rate"
[flow.e]
executor = "ramping-arrival-rate"
[memory]
settle = {}
[thresholds]
checks = [{}]
"#;

#[test]
fn every_key_that_the_reader_asks_for_stands_in_the_schema() {
    let schema = printed("scenario");
    let mut missing = Vec::new();
    for (path, key) in Scenario::keys_asked(EVERYTHING) {
        let mut at = vec![&schema];
        for segment in path.split('.').filter(|segment| !segment.is_empty()) {
            let (name, index) = segment.split_once('[').unwrap_or((segment, ""));
            at = step_into(&schema, &at, name);
            if !index.is_empty() {
                at = unfolded(&schema, &at).iter().filter_map(|one| one.get("items")).collect();
            }
        }
        let known = unfolded(&schema, &at);
        if !known.iter().any(|one| one.pointer(&format!("/properties/{key}")).is_some()) {
            missing.push(format!("`{key}` in `{path}`"));
        }
    }
    assert!(
        missing.is_empty(),
        "the reader asks for keys that docs/schema/scenario.json does not know: {missing:#?}"
    );
}

/// What a schema may be: itself, what it refers to, its alternatives.
fn unfolded<'s>(root: &'s Value, at: &[&'s Value]) -> Vec<&'s Value> {
    let mut found: Vec<&Value> = at.to_vec();
    let mut place = 0;
    while let Some(one) = found.get(place).copied() {
        let pointer = one.get("$ref").and_then(Value::as_str);
        found.extend(pointer.and_then(|pointer| root.pointer(pointer.trim_start_matches('#'))));
        let alternatives = one.get("anyOf").and_then(Value::as_array);
        found.extend(alternatives.into_iter().flatten());
        place += 1;
    }
    found
}

fn step_into<'s>(root: &'s Value, at: &[&'s Value], name: &str) -> Vec<&'s Value> {
    let mut inside = Vec::new();
    for one in unfolded(root, at) {
        let own = one.get("properties").and_then(|properties| properties.get(name));
        inside.extend(own.or_else(|| one.get("additionalProperties").filter(|it| it.is_object())));
    }
    inside
}

#[test]
fn what_a_run_writes_is_what_the_schemas_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let itself = env!("CARGO_BIN_EXE_ebb");
    let output = Command::new(itself)
        .args(["load", "/healthz", "--on-port", "-r", "200", "-d", "1s", "-q", "-o"])
        .arg(&out)
        .args(["--", itself, "serve", "--port", "0"])
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let events = Validator::of(printed("event"));
    let summaries = Validator::of(printed("summary"));
    let golden = root().join("record/tests/golden");
    for folder in [out, golden] {
        let log = std::fs::read_to_string(folder.join("events.ndjson")).expect("a log");
        for line in log.lines() {
            let event = serde_json::from_str(line).expect("JSON");
            assert_eq!(events.fault(&event), None, "{line}");
        }
        let summary = std::fs::read(folder.join("summary.json")).expect("a summary");
        let summary = serde_json::from_slice(&summary).expect("JSON");
        assert_eq!(summaries.fault(&summary), None);
    }
    let mut bad: Value = serde_json::json!({ "v": 1, "seq": 0, "t_ms": 0, "type": "interval" });
    assert!(events.fault(&bad).is_some(), "an interval without figures");
    bad["type"] = "of a later version".into();
    assert_eq!(events.fault(&bad), None, "a type that is not known yet");
    for form in ["snapshot", "census"] {
        Validator::of(printed(form));
    }
}
