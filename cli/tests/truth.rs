//! Truth tests: programs that leak on purpose must be named, and their mended twins must not.
//! In: the program itself, the scenarios as they are shipped, and a service of others that only
//! added the probe. Out: the summary of a real run, held against what was planted.
//!
//! Runs are short and of a debug build; the long tables are made by hand and stand in docs/.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two cores and one clock: runs that measure go one after the other.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Run {
    code: Option<i32>,
    summary: Value,
    said: String,
    folder: tempfile::TempDir,
}

impl Run {
    fn of(scenario: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
            .args(["run", "--json", "--no-tui", "--threads", "1", "--out"])
            .arg(folder.path().join("run"))
            .arg(scenario)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let summary = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("no summary ({error}): {said}"));
        Self { code: output.status.code(), summary, said, folder }
    }

    fn memory(&self) -> &Value {
        &self.summary["ebbtide"]["memory"]
    }

    fn first(&self) -> &Value {
        &self.memory()["sites"][0]
    }

    fn told(&self) -> String {
        format!("{:#}\n{}", self.memory()["sites"], self.said)
    }
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name)
}

/// A shipped scenario with fewer operations and finer samples, for a debug build.
fn shortened(name: &str, operations: u32) -> (tempfile::TempDir, PathBuf) {
    let text = std::fs::read_to_string(shipped(name)).expect("a shipped scenario");
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.starts_with("operations_per_round") {
            true => {
                format!("operations_per_round = {operations}\nsample_interval = \"16KiB\"")
            }
            false => line.to_owned(),
        })
        .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, lines.join("\n")).expect("a scenario");
    (folder, path)
}

#[test]
fn planted_leaks_are_named_with_site_kind_and_operation() {
    for (name, function, kind, operation) in [
        ("leak-cache.toml", "RequestLog::append", "cache", "POST /api/v1/log"),
        ("leak-timer.toml", "Heartbeat::start", "timer", "connect /ws"),
    ] {
        let _turn = turn();
        let (_kept, path) = shortened(name, 4_000);
        let run = Run::of(&path);
        let site = run.first();
        assert_eq!(run.code, Some(98), "{name}: {}", run.told());
        assert_eq!(site["verdict"], "leaking", "{name}: {}", run.told());
        let found = site["function"].as_str().unwrap_or_default();
        assert!(found.ends_with(function), "{name}: {}", run.told());
        assert_eq!(site["kind"], kind, "{name}: {}", run.told());
        assert_eq!(site["growth_per_op"]["operation"], operation, "{name}: {}", run.told());
        assert!(site["line"].as_u64().unwrap_or(0) > 0, "{name}: {}", run.told());
    }
}

#[test]
fn a_clean_server_is_not_called_leaking() {
    let _turn = turn();
    let (_kept, path) = shortened("clean-cache.toml", 4_000);
    let run = Run::of(&path);
    assert_eq!(run.code, Some(0), "{}", run.told());
    let words: Vec<&Value> = run.memory()["sites"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|site| &site["verdict"])
        .filter(|word| *word == "leaking" || *word == "growing")
        .collect();
    assert!(words.is_empty(), "{}", run.told());
    let detectable = run.memory()["detectable_bytes_per_op"].as_f64();
    assert!(detectable.is_some_and(|bytes| bytes > 0.0), "{}", run.told());
}

/// The service outside the workspace, built by the test that runs it first.
fn foreign() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target").join("foreign");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(root.join("probe/tests/foreign/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the foreign service was not built");
    target.join("debug/foreign")
}

fn shop(folder: &Path, extra: &str) -> PathBuf {
    let path = folder.join("shop.toml");
    let text = format!(
        r#"
schema = 1
name = "shop"
[target]
command = ["{}", "--port", "${{port}}"{extra}]
ready = "/ready"
[flow.orders]
executor = "constant-vus"
vus = 4
duration = "10s"
steps = [ {{ post = "/orders", text = "order ${{iteration}} of ${{vu}}: {}" }} ]
[flow.looks]
executor = "constant-vus"
vus = 4
duration = "10s"
steps = [ {{ get = "/orders" }} ]
[memory]
operations_per_round = 4000
sample_interval = "16KiB"
settle = {{ quiet = "200ms", timeout = "5s" }}
"#,
        foreign().display(),
        "x".repeat(200)
    );
    std::fs::write(&path, text).expect("a scenario");
    path
}

#[test]
fn a_service_of_others_is_named_and_its_mended_twin_is_not() {
    let _turn = turn();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = Run::of(&shop(folder.path(), ""));
    let site = run.first();
    assert_eq!(run.code, Some(98), "{}", run.told());
    // The text of an order is made where it is read, its entry where it is taken.
    let made = site["function"].as_str().unwrap_or_default();
    assert!(made.contains("foreign::answer") || made.contains("take_order"), "{}", run.told());
    assert_eq!(site["file"], "foreign/src/main.rs", "{}", run.told());
    assert_eq!(site["growth_per_op"]["operation"], "POST /orders", "{}", run.told());

    let run = Run::of(&shop(folder.path(), ", \"--mended\""));
    assert_eq!(run.code, Some(0), "{}", run.told());
}

#[test]
fn a_killed_run_can_still_be_reported() {
    let _turn = turn();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("run");
    let mut child = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["run", "--no-tui", "--threads", "1", "--out"])
        .arg(&out)
        .arg(shipped("leak-cache.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Not a matter of time: the run has begun when its log has a snapshot.
    let log = out.join("events.ndjson");
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("\"type\":\"snapshot\"") {
        assert!(child.try_wait().expect("a state").is_none(), "the run ended by itself");
        std::thread::yield_now();
    }
    child.kill().expect("a kill");
    child.wait().expect("an end");
    let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .arg("report")
        .arg(&out)
        .output()
        .expect("the program starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("POST /api/v1/log"), "{told}");
    assert!(out.join("report.html").exists());
}

#[test]
fn a_run_can_be_judged_again_from_its_folder() {
    let _turn = turn();
    let (_kept, path) = shortened("leak-context.toml", 4_000);
    let run = Run::of(&path);
    assert_eq!(run.code, Some(98), "{}", run.told());
    let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["leaks", "--json"])
        .arg(run.folder.path().join("run"))
        .output()
        .expect("the program starts");
    let again: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let text = again.to_string();
    let id = run.first()["id"].as_str().unwrap_or_default();
    assert!(!id.is_empty() && text.contains(id), "{text}");
    assert_foretold(&path, &run);
}

/// What a dry run says of each round is what was done in it.
fn assert_foretold(scenario: &Path, run: &Run) {
    let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["run", "--dry-run", "--json"])
        .arg(scenario)
        .output()
        .expect("the program starts");
    let outlook: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let foretold = outlook["memory"]["rounds"].as_array().expect("rounds");
    let done = run.memory()["rounds"].as_array().expect("rounds");
    // A rest, which follows only where growth was found, does no operations.
    let done = done.iter().filter(|round| round["phase"] != "rest");
    for (foretold, done) in foretold.iter().zip(done) {
        assert_eq!(foretold["operations"], done["operations"], "round {}", done["index"]);
        assert_eq!(foretold["kind"], done["phase"], "round {}", done["index"]);
    }
}
