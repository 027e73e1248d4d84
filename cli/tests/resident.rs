//! `heap = "rss"`: a program of which nothing is known but its process is judged by its resident
//! memory. In: programs of `tests/node` and `tests/python`, and scenarios. Out:
//! summaries of real runs. How the word is chosen is proven in the profiler's own tests.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program of `tests` for 16 rounds, its inspector left alone.
fn run(program: [&str; 2], step: &str, operations: u32) -> (Option<i32>, Value, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = folder.path().join("scenario.toml");
    let text = format!(
        "schema = 1\nname = \"resident\"\n[target]\ncommand = [\"{}\", \"{}\", \
         \"${{port}}\"]\nheap = \"rss\"\n[flow.users]\nexecutor = \"constant-vus\"\nvus = 8\n\
         duration = \"10s\"\nsteps = [{step}]\n[memory]\nwarmup_rounds = 1\nrounds = 8\n\
         max_rounds = 16\noperations_per_round = {operations}\nlimit = {{ \"*\" = 2048 }}\n\
         settle = {{ quiet = \"50ms\", timeout = \"5s\" }}\n",
        program[0], program[1]
    );
    std::fs::write(&scenario, text).expect("a scenario");
    let out = folder.path().join("run");
    let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["run", "--json", "--no-tui", "--threads", "1", "--out"])
        .args([&out, &scenario])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"))
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let log = std::fs::read_to_string(out.join("target.log")).unwrap_or_default();
    let said = format!("{}{log}", String::from_utf8_lossy(&output.stderr));
    let summary = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no summary ({error}): {said}"));
    (output.status.code(), summary, folder)
}

#[test]
fn what_grows_without_a_place_is_growing_and_the_files_say_the_same() {
    let step = "{ post = \"/ask\", name = \"POST /ask\", text = \"question ${iteration}\" }";
    let (code, summary, folder) = run(["node", "node/kept.js"], step, 300);
    let memory = &summary["ebbtide"]["memory"];
    let told = format!("{memory:#}");
    let site = &memory["sites"][0];
    assert_eq!((code, site["verdict"].as_str()), (Some(98), Some("growing")), "{told}");
    assert_eq!(site["function"], "resident memory of the process", "{told}");
    assert_eq!(site["growth_per_op"]["operation"], "POST /ask", "{told}");
    let low = site["growth_per_op"]["low"].as_f64().unwrap_or_default();
    let high = site["growth_per_op"]["high"].as_f64().unwrap_or_default();
    // What stands around a buffer, and what the runtime fills at first, comes on top of its bytes.
    assert!(low <= 20_000.0 && 16_000.0 <= high, "{told}");
    assert!(told.contains("names no place") && !told.contains("\"leaking\""), "{told}");
    let rounds = memory["rounds"].as_array().map_or(0, Vec::len);
    assert!(rounds > 16, "{rounds} rounds: {told}");

    let run = folder.path().join("run").display().to_string();
    let again = Command::new(env!("CARGO_BIN_EXE_ebb")).args(["leaks", &run]).output().unwrap();
    let text = String::from_utf8_lossy(&again.stdout).into_owned();
    assert_eq!(again.status.code(), Some(98), "{text}");
    assert!(text.contains("resident memory of the process"), "{text}");
}

#[test]
fn what_keeps_nothing_is_not_growing() {
    let step = "{ post = \"/words\", name = \"POST /words\", text = \"words of ${iteration}\" }";
    let (code, summary, _folder) = run(["node", "node/steady.js"], step, 300);
    let told = format!("{:#}", summary["ebbtide"]["memory"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("\"leaking\"") && !told.contains("\"growing\""), "{told}");
    assert!(told.contains("resident memory of the process"), "{told}");
    assert!(!told.contains("would have been seen"), "{told}");
}

#[test]
fn what_forked_workers_keep_is_seen_and_nobody_is_told_anything() {
    let step = "{ post = \"/ask\", name = \"POST /ask\", text = \"question ${iteration}\" }";
    let (code, summary, folder) = run(["python3", "python/prefork.py"], step, 300);
    let memory = &summary["ebbtide"]["memory"];
    let told = format!("{memory:#}");
    let site = &memory["sites"][0];
    assert_eq!((code, site["verdict"].as_str()), (Some(98), Some("growing")), "{told}");
    let growth = site["growth_per_op"]["value"].as_f64().unwrap_or_default();
    assert!((14_000.0..24_000.0).contains(&growth), "{told}");
    let warnings = format!("{:#}", summary["ebbtide"]["warnings"]);
    assert!(warnings.contains("the target is 3 processes"), "{warnings}");
    let log = std::fs::read_to_string(folder.path().join("run/target.log")).expect("a log");
    assert!(log.lines().any(|line| line == "told:"), "{log}");
}
