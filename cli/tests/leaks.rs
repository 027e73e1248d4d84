//! `ebb leaks` and `--explain` as a process: runs and files judged by rules of one's own, sites
//! listed and explained, and each wrong word answered with its cure. In: snapshots in pprof's
//! form, written here, whose growth is known. Out: exit codes and what was said.

use prost::Message;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Rounds of the run, the first two of them warm-up.
const ROUNDS: u64 = 10;
/// Operations in each.
const OPERATIONS: u64 = 1_000;
/// Bytes that the leaking place keeps of each operation.
const KEPT: u64 = 640;
/// The place that leaks, and the one that stands still.
const LEAKS: &str = "rememberView";
const STANDS: &str = "warmUp";

fn ebb(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The parts of profile.proto that are needed, by its field numbers.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// A heap after so many operations, in which every allocation is counted.
fn heap(operations: u64) -> Vec<u8> {
    let strings = ["", "inuse_objects", "count", "inuse_space", "bytes", "space", LEAKS, STANDS];
    let mut string_table: Vec<String> = strings.map(str::to_owned).to_vec();
    string_table.extend(["/srv/app/views.js".to_owned(), "/srv/app/start.js".to_owned()]);
    let place = |id: u64| {
        let line = vec![Line { function_id: id, line: 7 }];
        let function = Function { id, name: 5 + id as i64, filename: 7 + id as i64 };
        (Location { id, line }, function)
    };
    let (location, function) = [place(1), place(2)].into_iter().unzip();
    let sample = |id: u64, objects: u64, bytes: u64| Sample {
        location_id: vec![id],
        value: vec![objects as i64, bytes as i64],
    };
    let profile = Profile {
        sample_type: vec![ValueType { kind: 1, unit: 2 }, ValueType { kind: 3, unit: 4 }],
        sample: vec![sample(1, operations, operations * KEPT), sample(2, 100, 204_800)],
        location,
        function,
        string_table,
        period_type: Some(ValueType { kind: 5, unit: 4 }),
        period: 1,
    };
    profile.encode_to_vec()
}

/// A run that was killed: it has snapshots, and neither verdict nor end.
struct Killed {
    _kept: tempfile::TempDir,
    path: PathBuf,
}

impl Killed {
    fn with(memory: &str) -> Self {
        let kept = tempfile::tempdir().expect("a temporary folder");
        let path = kept.path().join("run");
        std::fs::create_dir_all(path.join("snapshots")).expect("a folder");
        let scenario = format!(
            "schema = 1\nname = \"killed\"\n[target]\nbase = \"http://127.0.0.1:1\"\npid = 1\n\
             [flow.one]\nexecutor = \"constant-vus\"\nvus = 1\nduration = \"1s\"\n\
             steps = [{{ post = \"/log\" }}]\n[memory]\n{memory}\n"
        );
        std::fs::write(path.join("scenario.toml"), scenario).expect("a scenario");
        let mut log = String::new();
        let started = json!({
            "v": 1, "seq": 0, "t_ms": 0, "type": "run_started", "name": "killed",
            "command": ["ebb", "run", "killed.toml"], "rounds": 8, "max_rounds": 16,
        });
        writeln!(log, "{started}").expect("a line");
        for round in 0..ROUNDS {
            let done = (round + 1) * OPERATIONS;
            let file = format!("snapshots/{round}.pb");
            std::fs::write(path.join(&file), heap(done)).expect("a snapshot");
            let kind = match round {
                0 | 1 => "warmup",
                4 | 5 | 8 | 9 => "replay",
                _ => "new",
            };
            let taken = json!({
                "v": 1, "seq": round + 1, "t_ms": 1_000 * (round + 1), "type": "snapshot",
                "index": round, "round": round, "kind": kind, "file": file,
                "operations": { "POST /log": done },
            });
            writeln!(log, "{taken}").expect("a line");
        }
        // The kill came in the middle of a line.
        log.push_str("{\"v\":1,\"seq\":");
        std::fs::write(path.join("events.ndjson"), log).expect("a log");
        Self { _kept: kept, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("a path of text")
    }

    fn leaks(&self, words: &[&str]) -> Output {
        let mut all = vec!["leaks", self.path()];
        all.extend(words);
        ebb(&all)
    }

    fn file(&self, round: u64) -> String {
        format!("{}/snapshots/{round}.pb", self.path())
    }
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

#[test]
fn a_killed_run_is_judged_by_the_rules_of_its_scenario_and_by_others() {
    let plain = Killed::with("");
    for (words, code, word) in [
        (&[][..], 98, "leaking"),
        (&["--limit", "1000"], 0, "steady"),
        (&["--limit", "POST /log=1KiB"], 0, "steady"),
        (&["--limit", "GET /=1000"], 98, "leaking"),
        (&["--bounded", "rememberView=50MB"], 0, "steady"),
        (&["--bounded", "rememberView=1KB"], 98, "leaking"),
        (&["--fail-on", "growing"], 0, "leaking"),
    ] {
        let mut all = vec!["--json"];
        all.extend(words);
        let output = plain.leaks(&all);
        let verdict = document(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {verdict}");
        assert_eq!(verdict["verdict"], word, "{words:?}: {verdict}");
    }
    for (memory, code) in [
        ("limit = { \"POST /log\" = \"1000B\" }", 0),
        ("bounded = { \"rememberView\" = \"50 MB\" }", 0),
        ("fail_on = [\"growing\"]", 0),
        ("rounds = 8", 98),
    ] {
        let output = Killed::with(memory).leaks(&["--json"]);
        assert_eq!(output.status.code(), Some(code), "{memory}: {}", text(&output.stdout));
    }
}

#[test]
fn the_rules_asked_for_go_before_those_of_the_scenario() {
    let run = Killed::with("bounded = { \"rememberView\" = \"50 MB\" }\nfail_on = [\"growing\"]");
    let words = ["--bounded", "rememberView=1KB", "--fail-on", "leaking", "--json"];
    assert_eq!(run.leaks(&words).status.code(), Some(98));
}

#[test]
fn a_snapshot_that_is_gone_is_missed_and_said() {
    let run = Killed::with("");
    std::fs::remove_file(run.file(6)).expect("it was there");
    let output = run.leaks(&["--json"]);
    let verdict = document(&output);
    assert_eq!(verdict["verdict"], "leaking", "{verdict}");
    let growth = verdict["sites"][0]["growth_per_op"]["value"].as_f64().unwrap_or_default();
    assert!((growth - KEPT as f64).abs() < 1.0, "its operations count with the next: {growth}");
    assert!(verdict["reasons"].to_string().contains("6.pb"), "{verdict}");
}

#[test]
fn a_scenario_that_does_not_help_is_said() {
    let run = Killed::with("rouds = 8");
    let verdict = document(&run.leaks(&["--json"]));
    assert!(verdict["reasons"].to_string().contains("did you mean `rounds`"), "{verdict}");
    std::fs::remove_file(run.path.join("scenario.toml")).expect("it was there");
    let verdict = document(&run.leaks(&["--json"]));
    assert!(verdict["reasons"].to_string().contains("the usual rules hold"), "{verdict}");
}

#[test]
fn sites_are_listed_by_kind_text_and_number_and_keep_their_rows() {
    let run = Killed::with("kinds = { \"warmUp\" = \"timer\" }");
    let listed = |words: &[&str]| -> Vec<String> {
        let mut all = vec!["--json"];
        all.extend(words);
        let verdict = document(&run.leaks(&all));
        let sites = verdict["sites"].as_array().cloned().unwrap_or_default();
        sites.iter().map(|site| site["function"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(listed(&[]), [LEAKS, STANDS]);
    assert_eq!(listed(&["-n", "1"]), [LEAKS]);
    assert_eq!(listed(&["--filter", "warm"]), [STANDS]);
    assert_eq!(listed(&["--kind", "timer"]), [STANDS]);
    assert!(listed(&["--kind", "listener"]).is_empty());
    let output = run.leaks(&["--filter", "warm"]);
    let said = text(&output.stdout);
    assert!(said.contains(&format!("2  {STANDS}")), "{said}");
    assert_eq!(output.status.code(), Some(98), "what is not listed counts all the same");
}

#[test]
fn a_site_is_explained_with_numbers_cause_cure_and_what_is_next() {
    let run = Killed::with("kinds = { \"rememberView\" = \"cache\" }");
    let output = run.leaks(&["--explain", "1"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(98), "{said}");
    for told in [
        "LEAKING",
        "640 ± ",
        "per POST /log",
        "likely cause: a cache or a list without a bound",
        "JavaScript, mended:",
        "> rememberView (srv/app/views.js:7)",
        "ebb run killed.toml",
        "ebb diff ",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    for site in ["rememberView", "cache", "views.js"] {
        let found = run.leaks(&["--explain", site, "--json"]);
        if site == "cache" {
            assert_eq!(found.status.code(), Some(2), "a kind is no name");
            continue;
        }
        let document = document(&found);
        assert_eq!(document["row"], 1, "{document}");
        assert_eq!(document["site"]["function"], LEAKS, "{document}");
        assert_eq!(document["explanation"]["likely"]["cause"], "cache", "{document}");
    }
}

#[test]
fn a_site_that_is_not_clear_is_asked_for_again() {
    let run = Killed::with("");
    let several = run.leaks(&["--explain", "srv/app"]);
    let said = text(&several.stderr);
    assert_eq!(several.status.code(), Some(2), "{said}");
    assert!(said.contains("means 2 sites") && said.contains(&format!("2  {STANDS}")), "{said}");
    let nothing = run.leaks(&["--explain", "remenberView"]);
    let said = text(&nothing.stderr);
    assert_eq!(nothing.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("did you mean one of these?\n  1  {LEAKS}")), "{said}");
    assert_eq!(text(&nothing.stdout), "");
}

#[test]
fn a_run_is_explained_from_its_log_as_it_was_judged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../record/tests/golden/events.ndjson");
    std::fs::copy(golden, folder.path().join("events.ndjson")).expect("the golden events");
    let path = folder.path().to_str().expect("a path of text");
    let output = ebb(&["report", path, "--explain", "subscribe"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(said.contains("a listener that is never removed"), "{said}");
    assert!(said.contains("Rust, mended:") && !said.contains("Go, mended:"), "{said}");
    assert!(!folder.path().join("report.html").exists(), "nothing is written");
}

#[test]
fn work_between_files_makes_growth_per_operation() {
    let run = Killed::with("");
    let files: Vec<String> = (1..ROUNDS).map(|round| run.file(round)).collect();
    let judged = |words: &[&str]| {
        let mut all = vec!["leaks", "--json"];
        all.extend(files.iter().map(String::as_str));
        all.extend(words);
        ebb(&all)
    };
    let unknown = document(&judged(&[]));
    assert_eq!(unknown["sites"][0]["verdict"], "growing", "nobody counted the work: {unknown}");
    for words in [
        &["--operations", "1000", "--per", "POST /x"][..],
        &["--operations", "1000,1000,1000,1000,1000,1000,1000,1000", "--per", "POST /x"],
    ] {
        let output = judged(words);
        let verdict = document(&output);
        let site = &verdict["sites"][0];
        assert_eq!(output.status.code(), Some(98), "{verdict}");
        assert_eq!(site["verdict"], "leaking", "{verdict}");
        assert_eq!(site["growth_per_op"]["operation"], "POST /x", "{verdict}");
        let growth = site["growth_per_op"]["value"].as_f64().unwrap_or_default();
        assert!((growth - KEPT as f64).abs() < 1.0, "{growth}");
    }
    let output = judged(&["--operations", "1000,2000"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("2 counts of operations for 8 gaps"));
}

#[test]
fn wrong_words_end_with_two_and_say_what_is_right() {
    let run = Killed::with("");
    for (words, told) in [
        (&["--limit", "much"][..], "`much` is not a size"),
        (&["--limit=-3"], "not below 0"),
        (&["--bounded", "cache"], "NAME=BYTES"),
        (&["--bounded", "cache=lots"], "not a size"),
        (&["--fail-on", "steady"], "known: leaking, growing"),
        (&["--kind", "thing"], "known: connection, listener"),
        (&["--per", "POST /x"], "--operations"),
        (&["--operations", "10"], "a run has counted its operations"),
        (&["--operations", "0"], "counts from 1"),
    ] {
        let output = run.leaks(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(told), "{words:?}: {said}");
    }
}

/// Snapshots in a folder that no run wrote: so many, each with more than the one before.
fn pile(count: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for index in 1..=count {
        let file = folder.path().join(format!("{index:04}.pb"));
        std::fs::write(file, heap(index * OPERATIONS)).expect("a snapshot");
    }
    folder
}

#[test]
fn the_next_command_of_a_folder_names_files_that_are_there() {
    let folder = pile(9);
    let path = format!("{}/", folder.path().display());
    let output = ebb(&["leaks", &path, "--operations", "1000", "--explain", "1"]);
    let said = text(&output.stdout);
    let command = said.lines().find_map(|line| line.trim().strip_prefix("ebb diff "));
    let files: Vec<&str> = command.unwrap_or_else(|| panic!("{said}")).split(' ').collect();
    assert_eq!(files.len(), 2, "{said}");
    for file in files {
        std::fs::File::open(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[test]
fn more_snapshots_than_a_series_takes_are_refused() {
    let folder = pile(257);
    let output = ebb(&["leaks", folder.path().to_str().expect("a path of text")]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("257 snapshots are more than the 256"), "{said}");
}

#[test]
fn a_run_that_is_named_by_its_log_has_its_classes() {
    let run = Killed::with("");
    let program = "
const v8 = require('v8');
class Session { constructor(id) { this.id = id; } }
const kept = globalThis.kept = [];
v8.writeHeapSnapshot('first.heapsnapshot');
for (let id = 0; id < 8000; id++) kept.push(new Session(id));
v8.writeHeapSnapshot('last.heapsnapshot');";
    let mut node = Command::new("node");
    let node = node.args(["-e", program]).current_dir(run.path.join("snapshots")).output();
    assert!(node.expect("`node` starts: install it with `cargo xtask setup`").status.success());
    let log = format!("{}/events.ndjson", run.path());
    for path in [run.path(), &log] {
        let classes = document(&ebb(&["leaks", "--json", path]))["classes"].to_string();
        assert!(classes.contains("\"Session\""), "{path}: {classes}");
    }
}
