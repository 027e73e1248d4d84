//! `ebb run --dry-run` as a process: what it foretells, that nothing is started, sent or written,
//! and what it refuses.
//! In: scenarios. Out: text and documents. Whether it comes true is left to `truth`.

use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn foretold(folder: &Path, scenario: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["run", "--dry-run"])
        .args(words)
        .arg(scenario)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A scenario whose target would be started by a command that leaves a file behind.
fn scenario(folder: &Path, executor: &str, memory: &str) -> PathBuf {
    let path = folder.join("s.toml");
    let text = format!(
        "schema = 1\nname = \"dry\"\n[target]\ncommand = [\"touch\", \"started\", \"${{port}}\"]\n\
         [flow.one]\n{executor}\nsteps = [{{ post = \"/log\" }}]\n{memory}\n"
    );
    std::fs::write(&path, text).expect("a scenario");
    path
}

const CLOSED: &str = "executor = \"constant-vus\"\nvus = 4\nduration = \"9s\"";
const OPEN: &str = "executor = \"constant-arrival-rate\"\nrate = 500\nduration = \"9s\"\n\
                    pre_allocated_vus = 4";
const MEMORY: &str = "[memory]\nrounds = 8\nmax_rounds = 16\noperations_per_round = 1000\n\
                      sample_interval = \"64KiB\"\nsettle = { quiet = \"1s\", timeout = \"5s\" }";

#[test]
fn nothing_is_started_sent_or_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = scenario(folder.path(), CLOSED, MEMORY);
    let output = foretold(folder.path(), &path, &[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for told in [
        "nothing was started, and nothing sent",
        "2 warm-up, then 8 measured",
        "11 to 19 snapshots",
        "POST /log",
        "that of 2",
        "after 16 rounds",
        "operations_per_round = ",
        "users wait for replies",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(said.lines().skip(1).all(|line| line.chars().count() <= 100), "{said}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "only the scenario is there: {left:?}");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let base = format!("base = \"http://{}\"", listener.local_addr().expect("an address"));
    let running = std::fs::read_to_string(&path).expect("the scenario");
    let line = running.lines().find(|line| line.starts_with("command")).expect("a command");
    std::fs::write(&path, running.replace(line, &format!("{base}\npid = 1"))).expect("a scenario");
    let output = foretold(folder.path(), &path, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn power_follows_from_operations_and_samples_and_time_from_the_clock() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let told = |executor: &str, words: &[&str]| -> Value {
        let path = scenario(folder.path(), executor, MEMORY);
        let mut all = vec!["--json"];
        all.extend(words);
        let output = foretold(folder.path(), &path, &all);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", text(&output.stderr));
        })
    };
    let open = told(OPEN, &[]);
    let looks = open["memory"]["looks"].as_array().expect("looks");
    let rounds: Vec<u64> = looks.iter().filter_map(|look| look["rounds"].as_u64()).collect();
    assert_eq!(rounds, [8, 12, 16]);
    let seen: Vec<f64> =
        looks.iter().filter_map(|look| look["detectable"]["POST /log"].as_f64()).collect();
    assert!(seen.is_sorted_by(|a, b| a > b) && seen[2] > 16.0, "{seen:?}");
    // 10 rounds of 1,000 operations, 500 started in a second.
    assert_eq!(looks[0]["takes"]["load_s"], 20.0, "{open}");
    assert_eq!(looks[0]["takes"]["settle_least_s"], 10.0, "{open}");
    assert_eq!(looks[0]["takes"]["settle_most_s"], 50.0, "{open}");
    assert_eq!(looks[0]["operations"], 10_000, "{open}");
    // Samples in proportion to bytes: as many operations as make the bytes that are seen.
    let needed = open["operations_needed"]["POST /log"].as_f64().expect("a number");
    assert!((needed - seen[0] * 8_000.0 / 16.0).abs() < 1e-6 * needed, "{needed} {seen:?}");
    let fewer = told(OPEN, &["--detect", "64"])["operations_needed"]["POST /log"].as_f64();
    assert!((fewer.expect("a number") * 4.0 - needed).abs() < 1e-6 * needed, "{fewer:?} {needed}");
    let closed = told(CLOSED, &[]);
    assert_eq!(closed["memory"]["looks"][0]["takes"]["load_s"], Value::Null, "{closed}");
}

#[test]
fn of_resident_memory_no_power_is_promised() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = scenario(folder.path(), CLOSED, MEMORY);
    let same = std::fs::read_to_string(&path).expect("the scenario");
    let same = same.replace("[flow.one]", "heap = \"rss\"\n[flow.one]");
    std::fs::write(&path, same).expect("a scenario");
    let output = foretold(folder.path(), &path, &["--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let said = text(&output.stdout);
    assert_eq!(told["memory"]["looks"].as_array().map(Vec::len), Some(3), "{said}");
    assert_eq!(told["operations_needed"], serde_json::json!({}), "{said}");
    for promise in ["detectable\"", "suffices", "needed_for_limit", "sample_interval"] {
        assert!(!said.contains(promise), "{promise}: {said}");
    }
}

#[test]
fn what_is_wrong_is_said_as_ever_and_without_memory_there_is_no_power() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = scenario(folder.path(), CLOSED, "");
    let output = foretold(folder.path(), &path, &[]);
    assert!(text(&output.stdout).contains("has no `[memory]`"), "{}", text(&output.stdout));
    let path = scenario(folder.path(), CLOSED, "[memory]\nrouds = 3");
    let output = foretold(folder.path(), &path, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean"), "{}", text(&output.stderr));
    let path = scenario(folder.path(), CLOSED, MEMORY);
    for words in [&["--detect", "0"][..], &["--detect", "few"], &["--detect=-1"]] {
        assert_eq!(foretold(folder.path(), &path, words).status.code(), Some(2), "{words:?}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["run", "--detect", "4"])
        .arg(&path)
        .current_dir(folder.path())
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2), "only a dry run is asked what it could see");
    assert!(text(&output.stderr).contains("--dry-run"), "{}", text(&output.stderr));
}

#[test]
fn node_is_foretold_with_its_own_sampling() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = scenario(folder.path(), CLOSED, MEMORY);
    let plain = std::fs::read_to_string(&path).expect("the scenario");
    let plain = plain.replace("\"touch\"", "\"node\"");
    for (asked, told) in [("64KiB", "one sample in 16.0 KiB"), ("4KiB", "one sample in 4,096 B")] {
        std::fs::write(&path, plain.replace("64KiB", asked)).expect("a scenario");
        let output = foretold(folder.path(), &path, &[]);
        let said = text(&output.stdout);
        assert!(said.contains("the inspector of Node") && said.contains(told), "{asked}: {said}");
    }
}
