//! `ebb diff` and `ebb show` as a process: every grouping, flag and form, and what is said of bad
//! ones. In: small profiles written here, and what the real Node and Go write and read. Out:
//! tables held in `golden/heap` (`EBBTIDE_BLESS=1` writes them anew) and files that others read:
//! speedscope's own schema (1.25.0, MIT), an XML reader, `go tool pprof`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use boon::{Compiler, Schemas};
use regex::Regex;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than any of these takes, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stack, the allocating end first, with objects and bytes ever allocated, and live.
type Stack = (&'static [(&'static str, &'static str, u64)], [u64; 4]);

const SUBSCRIBE: &[(&str, &str, u64)] = &[
    ("alloc::alloc::alloc", "/rustc/1/library/alloc/src/alloc.rs", 95),
    ("chat::hub::Hub::subscribe", "/home/a/chat/src/hub.rs", 62),
    ("chat::session::run", "/home/a/chat/src/session.rs", 64),
    ("std::rt::lang_start", "/rustc/1/library/std/src/rt.rs", 7),
];
const PUBLISH: &[(&str, &str, u64)] = &[
    ("chat::hub::Hub::publish<T; 2>", "/home/a/chat/src/hub.rs", 90),
    ("chat::session::run", "/home/a/chat/src/session.rs", 71),
];
const INSERT: &[(&str, &str, u64)] = &[
    ("chat::cache::Cache::insert", "/home/a/chat/src/cache.rs", 12),
    ("chat::session::run", "/home/a/chat/src/session.rs", 80),
];
const ARM: &[(&str, &str, u64)] = &[("chat::timer::arm", "/home/a/chat/src/timer.rs", 5)];

const BEFORE: &[Stack] = &[
    (SUBSCRIBE, [400, 409_600, 100, 102_400]),
    (INSERT, [50, 51_200, 50, 51_200]),
    (ARM, [20, 20_480, 20, 20_480]),
];
const AFTER: &[Stack] = &[
    (SUBSCRIBE, [900, 921_600, 300, 307_200]),
    (INSERT, [80, 81_920, 50, 51_200]),
    (ARM, [20, 20_480, 0, 0]),
    (PUBLISH, [4, 4_096, 1, 1_024]),
];

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn numbers(fields: &[(u64, u64)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (tag, value) in fields {
        varint(tag << 3, &mut message);
        varint(*value, &mut message);
    }
    message
}

fn nested(tag: u64, message: &[u8], out: &mut Vec<u8>) {
    varint(tag << 3 | 2, out);
    varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

/// profile.proto with the four columns of a heap profile, or the two of what is live.
fn profile(stacks: &[Stack], period: u64, cumulative: bool) -> Vec<u8> {
    let mut strings: Vec<&str> = vec![""];
    let mut place = |text: &'static str| {
        let found = strings.iter().position(|known| *known == text);
        found.unwrap_or_else(|| {
            strings.push(text);
            strings.len() - 1
        }) as u64
    };
    let mut out = Vec::new();
    let columns = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    let skipped = if cumulative { 0 } else { 2 };
    for (name, unit) in columns.iter().skip(skipped) {
        nested(1, &numbers(&[(1, place(name)), (2, place(unit))]), &mut out);
    }
    nested(11, &numbers(&[(1, place("space")), (2, place("bytes"))]), &mut out);
    out.extend(numbers(&[(12, period)]));
    let mut id = 0;
    for (frames, values) in stacks {
        let mut sample = Vec::new();
        for (function, file, line) in *frames {
            id += 1;
            sample.extend(numbers(&[(1, id)]));
            let (name, file) = (place(function), place(file));
            nested(5, &numbers(&[(1, id), (2, name), (4, file)]), &mut out);
            let mut location = numbers(&[(1, id)]);
            nested(4, &numbers(&[(1, id), (2, *line)]), &mut location);
            nested(4, &location, &mut out);
        }
        let values: Vec<(u64, u64)> = values[skipped..].iter().map(|value| (2, *value)).collect();
        sample.extend(numbers(&values));
        nested(2, &sample, &mut out);
    }
    for string in strings {
        nested(6, string.as_bytes(), &mut out);
    }
    out
}

/// A folder with `before.pb` and `after.pb`.
fn pair() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("before.pb"), profile(BEFORE, 1, true)).unwrap();
    std::fs::write(folder.path().join("after.pb"), profile(AFTER, 1, true)).unwrap();
    folder
}

fn ebb(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebb"));
    command.args(words).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn fine(folder: &Path, words: &[&str]) -> String {
    let output = ebb(folder, words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, words: &[&str]) -> Value {
    serde_json::from_str(&fine(folder, words)).unwrap()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heap").join(name)
}

/// Names of the rows, in their order.
fn names(document: &Value) -> Vec<String> {
    let rows = document["sites"].as_array().unwrap().iter();
    rows.map(|row| row["function"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tables_are_as_they_were() {
    let folder = pair();
    let diff = ["diff", "before.pb", "after.pb"];
    for (name, flags) in [
        ("diff-site", &[][..]),
        ("diff-stack", &["--by", "stack"]),
        ("diff-module", &["--by", "module"]),
        ("diff-cumulative", &["--cumulative", "--sort", "after"]),
        ("diff-picked", &["--filter", "hub", "--min", "1KiB", "-n", "1"]),
    ] {
        check(name, &fine(folder.path(), &[&diff[..], flags].concat()));
    }
    check("show-site", &fine(folder.path(), &["show", "after.pb"]));
    check("show-kind", &fine(folder.path(), &["show", "after.pb", "--by", "kind"]));
}

fn check(name: &str, text: &str) {
    let path = golden(&format!("{name}.txt"));
    if std::env::var_os("EBBTIDE_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} (EBBTIDE_BLESS=1 accepts it)");
}

#[test]
fn every_grouping_order_and_choice_gives_its_rows() {
    let folder = pair();
    let (subscribe, publish) = ("chat::hub::Hub::subscribe", "chat::hub::Hub::publish<T; 2>");
    let (insert, arm) = ("chat::cache::Cache::insert", "chat::timer::arm");
    let all = [subscribe, publish, insert, arm];
    for (flags, expected) in [
        (&[][..], &all[..]),
        (&["--by", "site", "--all"], &all),
        (&["--by", "function"], &all),
        (&["--by", "stack"], &all),
        (&["--by", "module"], &["chat::hub", "chat::cache", "chat::timer"]),
        (&["--sort", "after"], &[subscribe, insert, publish, arm]),
        (&["--sort", "before"], &[subscribe, insert, arm, publish]),
        (&["--sort", "objects"], &all),
        (&["--sort", "name"], &[insert, publish, subscribe, arm]),
        (&["--filter", "^chat::hub"], &[subscribe, publish]),
        (&["--filter", "timer.rs"], &[arm]),
        (&["--filter", "lang_start"], &[]),
        (&["--filter", "lang_start", "--by", "stack"], &[subscribe]),
        (&["--min", "20KiB"], &[subscribe, arm]),
        (&["--kind", "timer"], &[arm]),
        (&["--kind", "timer", "--kind", "cache"], &[insert, arm]),
        (&["--cumulative", "--min", "1"], &[subscribe, insert, publish]),
        (&["--own", "/home/a/chat/src/session.rs", "--filter", "run"], &["chat::session::run"]),
    ] {
        let words = [&["diff", "before.pb", "after.pb", "--json"], flags].concat();
        assert_eq!(names(&json(folder.path(), &words)), expected, "{flags:?}");
    }
    let whole = json(folder.path(), &["diff", "before.pb", "after.pb", "--json"]);
    assert_eq!(whole["growth_bytes"]["value"], 359_424.0 - 174_080.0);
    assert_eq!(whole["sites"][0]["growth_bytes"]["low"], 204_800.0, "counted, so without doubt");
    assert_eq!(whole["sites"][0]["growth_objects"]["value"], 200.0);
    assert_eq!(whole["sites"][0]["certain"], true);
    let shown = json(folder.path(), &["show", "after.pb", "--json", "--by", "kind"]);
    assert_eq!(shown["bytes"]["value"], 359_424.0);
}

#[test]
fn a_sampled_snapshot_beside_a_counted_one_has_the_doubt_of_the_sampled() {
    let folder = pair();
    std::fs::write(folder.path().join("sampled.pb"), profile(AFTER, 65_536, true)).unwrap();
    let one = json(folder.path(), &["show", "sampled.pb", "--json"]);
    let both = json(folder.path(), &["diff", "before.pb", "sampled.pb", "--json"]);
    let width =
        |estimate: &Value| estimate["high"].as_f64().unwrap() - estimate["low"].as_f64().unwrap();
    let (one, both) = (&one["sites"][0]["bytes"], &both["sites"][0]["growth_bytes"]);
    assert!(width(one) > 0.0);
    assert!((width(one) - width(both)).abs() < 1.0, "{one} {both}");
}

#[test]
fn snapshots_that_name_files_otherwise_are_compared_by_function() {
    let folder = pair();
    const BARE: &[Stack] =
        &[(&[("chat::hub::Hub::subscribe", "hub.rs", 62)], [10, 10_240, 10, 10_240])];
    std::fs::write(folder.path().join("bare.pb"), profile(BARE, 1, true)).unwrap();
    let output = ebb(folder.path(), &["diff", "bare.pb", "after.pb", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["by"], "function");
    assert_eq!(document["sites"][0]["before_bytes"], 10_240.0);
    assert_eq!(document["sites"][0]["after_bytes"], 307_200.0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("compared by function"));
}

#[test]
fn what_is_wrong_is_said_with_its_cure() {
    let folder = pair();
    std::fs::write(folder.path().join("live.pb"), profile(AFTER, 1, false)).unwrap();
    std::fs::write(folder.path().join("a.heapsnapshot"), "{\"snapshot\":{}}").unwrap();
    let diff = |flags: &[&'static str]| [&["diff", "before.pb", "after.pb"], flags].concat();
    for (words, code, said) in [
        (diff(&["--by", "type"]), 2, "have stacks and no types"),
        (diff(&["--by", "line"]), 2, "possible values: site, function, stack, module, kind, type"),
        (diff(&["--sort", "size"]), 2, "possible values: growth, after, before, objects, name"),
        (diff(&["--filter", "f("]), 2, "unclosed group (write `\\` before a sign"),
        (diff(&["--kind", "socket"]), 2, "known: connection, listener, timer"),
        (diff(&["--min", "lots"]), 2, "is not a size (write `512B`"),
        (diff(&["--all", "-n", "3"]), 2, "cannot be used with"),
        (diff(&["--report", "png=a.png"]), 2, "`png` is no form of a report (known: text, json"),
        (diff(&["--report", "a.bin"]), 2, "tells no form: write `FORMAT=a.bin`"),
        (diff(&["--report", "svg=none/a.svg"]), 2, "make its folder"),
        (diff(&["--report", "svg=-", "--json"]), 2, "standard output takes one result"),
        (vec!["diff", "before.pb"], 2, "<AFTER>"),
        (vec!["diff", "before.pb", "none.pb"], 1, "none.pb"),
        (vec!["diff", "live.pb", "after.pb", "--cumulative"], 2, "leave `--cumulative` out"),
        (vec!["diff", "a.heapsnapshot", "after.pb"], 2, "`a.heapsnapshot` is a V8 heap snapshot"),
        (vec!["diff", "before.pb", "a.heapsnapshot"], 2, "compare two of a kind"),
        (vec!["show", "a.heapsnapshot"], 1, "not a whole V8 heap snapshot"),
        (vec!["show", "a.heapsnapshot", "--by", "site"], 2, "`--by type` or `kind`"),
        (vec!["show", "a.heapsnapshot", "--cumulative"], 2, "leave it out"),
        (vec!["show", "after.pb", "--report", "growth=-"], 2, "`growth` wants two snapshots"),
    ] {
        let output = ebb(folder.path(), &words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
        assert!(error.contains(said), "{words:?}: {error}");
    }
}

#[test]
fn folded_stacks_are_what_flamegraph_tools_read() {
    let folder = pair();
    let report =
        |flag: &str| fine(folder.path(), &["diff", "before.pb", "after.pb", "--report", flag]);
    // flamegraph.pl takes the numbers off the end with this.
    let two = Regex::new(r"^([^;]+(?:;[^;]+)*)\s+(\d+)\s+(\d+)$").unwrap();
    let mut sums = (0, 0);
    for line in report("folded=-").lines() {
        let found = two.captures(line).unwrap_or_else(|| panic!("{line}"));
        sums.0 += found[2].parse::<u64>().unwrap();
        sums.1 += found[3].parse::<u64>().unwrap();
    }
    assert_eq!(sums, (174_080, 359_424));
    assert_eq!(
        report("growth=-"),
        "chat::session::run;chat::hub::Hub::publish<T, 2> 1024\n\
         std::rt::lang_start;chat::session::run;chat::hub::Hub::subscribe;alloc::alloc::alloc \
         204800\n"
    );
    let one = fine(folder.path(), &["show", "after.pb", "--report", "folded=-"]);
    assert_eq!(one.lines().count(), 3, "what holds nothing is left out: {one}");
    assert!(one.lines().all(|line| Regex::new(r"^\S.* \d+$").unwrap().is_match(line)), "{one}");
}

#[test]
fn speedscope_files_keep_to_its_published_schema() {
    let folder = pair();
    let schema = std::fs::read(golden("speedscope-file-format.json")).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("s.json", serde_json::from_slice(&schema).unwrap()).unwrap();
    let index = compiler.compile("s.json", &mut schemas).unwrap();
    for (words, expected) in [
        (
            &["diff", "before.pb", "after.pb"][..],
            &[("growth", 205_824), ("shrinkage", 20_480), ("before", 174_080), ("after", 359_424)]
                [..],
        ),
        (&["show", "after.pb"], &[("live", 359_424)]),
        (&["show", "after.pb", "--cumulative"], &[("allocated", 1_028_096)]),
    ] {
        fine(folder.path(), &[words, &["--report", "a.speedscope.json"]].concat());
        let text = std::fs::read_to_string(folder.path().join("a.speedscope.json")).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        schemas.validate(&document, index).unwrap_or_else(|error| panic!("{error:#}"));
        let frames = document["shared"]["frames"].as_array().unwrap().len() as u64;
        let mut found = Vec::new();
        for profile in document["profiles"].as_array().unwrap() {
            let weights = profile["weights"].as_array().unwrap();
            let samples = profile["samples"].as_array().unwrap();
            assert_eq!(weights.len(), samples.len());
            let places = samples.iter().flat_map(|sample| sample.as_array().unwrap());
            assert!(places.map(|place| place.as_u64().unwrap()).all(|place| place < frames));
            let sum: u64 = weights.iter().map(|weight| weight.as_u64().unwrap()).sum();
            assert_eq!(profile["endValue"], sum);
            found.push((profile["name"].as_str().unwrap(), sum));
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn a_flame_graph_is_one_file_of_xml_with_red_for_growth_and_blue_for_what_went() {
    let folder = pair();
    let svg = fine(folder.path(), &["diff", "before.pb", "after.pb", "--report", "svg=-"]);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let boxes: HashMap<&str, roxmltree::Node<'_, '_>> = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("f"))
        .map(|node| (node.attribute("data-n").unwrap(), node))
        .collect();
    let hue = |name: &str| {
        let rect = boxes[name].children().find(|node| node.has_tag_name("rect")).unwrap();
        rect.attribute("fill").unwrap().split([',', '(']).nth(1).unwrap().to_owned()
    };
    assert_eq!(hue("chat::hub::Hub::subscribe"), "6", "red");
    assert_eq!(hue("chat::timer::arm"), "212", "blue");
    // Sites as wide as the larger of before and after.
    let width = |name: &str| boxes[name].attribute("data-w").unwrap().parse::<f64>().unwrap();
    assert!((width("chat::timer::arm") / width("all") - 20_480.0 / 379_904.0).abs() < 1e-5);
    assert!(boxes.contains_key("(callers outside your own code)"), "instead of lang_start");
    assert!(boxes.contains_key("chat::hub::Hub::publish<T; 2>"), "signs are written out");
    for foreign in ["http://", "https://", "href", "@import", "url("] {
        assert_eq!(svg.replace("http://www.w3.org/2000/svg", "").find(foreign), None, "{foreign}");
    }
}

/// What a click does, in a real browser: the page clicks a box itself and is read afterwards.
#[test]
fn a_click_in_a_flame_graph_zooms() {
    let folder = pair();
    let svg = fine(folder.path(), &["diff", "before.pb", "after.pb", "--report", "svg=-"]);
    let click = "<script>document.querySelector('[data-n=\"chat::timer::arm\"]')\
                 .dispatchEvent(new MouseEvent('click'));</script></svg>";
    let page = folder.path().join("a.svg");
    std::fs::write(&page, svg.replace("</svg>", click)).unwrap();
    let output = Command::new("chromium")
        .args(["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"])
        .arg(format!("--user-data-dir={}", folder.path().join("browser").display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("`chromium` is needed: `cargo xtask setup` installs it");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let of = |name: &str| {
        let at = dom.find(&format!("data-n=\"{name}\"")).unwrap_or_else(|| panic!("{dom}"));
        let begin = dom[..at].rfind("<g ").unwrap();
        dom[begin..begin + dom[begin..].find("</g>").unwrap()].to_owned()
    };
    assert!(of("chat::timer::arm").contains("width=\"1180\""), "{}", of("chat::timer::arm"));
    assert!(of("chat::hub::Hub::subscribe").contains("display: none"));
    assert!(of("all").contains("f up"));
}

#[test]
fn go_reads_the_pprof_of_a_comparison_as_one() {
    let folder = pair();
    fine(folder.path(), &["diff", "before.pb", "after.pb", "--report", "pprof=d.pb.gz"]);
    let pprof = |file: &str, column: &str| {
        let output = Command::new("go")
            .args(["tool", "pprof", "-top", "-unit=B", column, file])
            .current_dir(folder.path())
            .env("PPROF_TMPDIR", folder.path())
            .output()
            .expect("`go` is needed: `cargo xtask setup` installs it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let top = pprof("d.pb.gz", "-sample_index=inuse_space");
    // Shares are of the earlier snapshot, as after `-diff_base`.
    assert!(top.contains("185344B, 106.47% of 174080B total"), "{top}");
    assert!(Regex::new(r"-20480B .*chat::timer::arm").unwrap().is_match(&top), "{top}");
    assert!(Regex::new(r"204800B +117.65% .*lang_start").unwrap().is_match(&top), "{top}");
    // Its `-unit` is put behind counts as well.
    let objects = pprof("d.pb.gz", "-sample_index=inuse_objects");
    assert!(objects.contains("181B, 106.47% of 170B total"), "{objects}");
    // And of one snapshot, in our own reader as well.
    fine(folder.path(), &["show", "after.pb", "--report", "pprof=one.pb.gz"]);
    let top = pprof("one.pb.gz", "-sample_index=inuse_space");
    // Nodes below half a per cent are dropped.
    assert!(top.contains("358400B, 99.72% of 359424B total"), "{top}");
    let same = json(folder.path(), &["diff", "after.pb", "one.pb.gz", "--json"]);
    assert_eq!(same["after_bytes"], 359_424.0);
    let grown = same["sites"].as_array().unwrap().iter();
    assert!(grown.map(|row| row["growth_bytes"]["value"].as_f64().unwrap()).all(|b| b == 0.0));
}

#[test]
fn reports_hold_what_was_picked_alone() {
    let folder = pair();
    let flags = ["--filter", "timer", "--report", "folded=-"];
    let text = fine(folder.path(), &[&["diff", "before.pb", "after.pb"], &flags[..]].concat());
    assert_eq!(text, "chat::timer::arm 20480 0\n");
}

/// 500 sessions more, 200 less, closures with a name, and an array of numbers.
const NODE: &str = r"
const v8 = require('v8');
class Session { constructor(id) { this.id = id; this.seen = [id]; } }
const sessions = new Map(); const listeners = [];
for (let id = 0; id < 1000; id++) sessions.set(id, new Session(id));
globalThis.registry = { sessions, listeners };
v8.writeHeapSnapshot('a.heapsnapshot');
for (let id = 0; id < 200; id++) sessions.delete(id);
for (let id = 1000; id < 1500; id++) {
  sessions.set(id, new Session(id));
  listeners.push(function onMessage() { return id; });
}
v8.writeHeapSnapshot('b.heapsnapshot');
";

#[test]
fn heaps_of_node_are_compared_by_class() {
    let folder = tempfile::tempdir().unwrap();
    let node = Command::new("node").arg("-e").arg(NODE).current_dir(folder.path()).output();
    let node = node.expect("`node` is needed: `cargo xtask setup` says how to get it");
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    let diff = ["diff", "a.heapsnapshot", "b.heapsnapshot"];
    let class = |document: &Value, name: &str| {
        let mut rows = document["classes"].as_array().unwrap().iter();
        rows.find(|row| row["class"] == name).cloned().unwrap_or_else(|| panic!("no {name}"))
    };
    let all = json(folder.path(), &[&diff[..], &["--json", "--all"]].concat());
    let session = class(&all, "Session");
    for (field, expected) in
        [("new", 500), ("deleted", 200), ("instances", 1300), ("instances_before", 1000)]
    {
        assert_eq!(session[field], expected, "{field}");
    }
    assert_eq!(session["kind"], "connection");
    let (before, after) = (&session["own_bytes_before"], &session["own_bytes"]);
    let delta = after.as_i64().unwrap() - before.as_i64().unwrap();
    assert_eq!(session["own_bytes_delta"], delta);
    let way = session["newest_kept_by"][0].to_string();
    assert!(way.contains(".registry") && way.contains(".sessions"), "{way}");
    assert_eq!(class(&all, "(closure) onMessage")["new"], 500);
    class(&all, "(compiled code)");
    // What V8 makes for itself is one row, unless all are wanted.
    let folded = json(folder.path(), &[&diff[..], &["--json"]].concat());
    let engine = class(&folded, "(V8 itself: code, shapes, system)");
    assert_eq!(engine["kept_bytes"], Value::Null, "what classes keep does not add up");
    let names = folded["classes"].to_string();
    assert!(!names.contains("(compiled code)") && !names.contains("(system)"), "{names}");
    let table = fine(folder.path(), &[&diff[..], &["--filter", "^Session$"]].concat());
    assert_eq!(table.lines().filter(|line| line.ends_with("  Session")).count(), 1, "{table}");
    assert!(table.contains("newest kept by"), "{table}");
    let kinds = json(folder.path(), &[&diff[..], &["--json", "--by", "kind"]].concat());
    assert!(class(&kinds, "connection")["new"].as_u64().unwrap() >= 500);
    let one = json(folder.path(), &["show", "b.heapsnapshot", "--json"]);
    assert_eq!(class(&one, "Session")["instances"], 1300);
    let refused = ebb(folder.path(), &[&diff[..], &["--report", "svg=-"]].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has objects and no stacks"));
}

/// Two timelines and a heap without stacks; a property, a class and a function are named so as to
/// drive a terminal.
const TIMELINES: &str = r"
const { Session } = require('inspector');
const fs = require('fs');
const session = new Session();
session.connect();
const post = (method, params) => session.post('HeapProfiler.' + method, params);
let text = '';
session.on('HeapProfiler.addHeapSnapshotChunk', (m) => { text += m.params.chunk; });
const write = (name) => { fs.writeFileSync(name, text); text = ''; };
const hostile = '\u001b[2J';
class Thing { constructor(i) { this.number = i; } }
Object.defineProperty(Thing, 'name', { value: 'Thing' + hostile });
const kept = globalThis.kept = { [hostile + 'list']: [] };
function keep(count) { for (let i = 0; i < count; i++) kept[hostile + 'list'].push(new Thing(i)); }
post('enable');
post('takeHeapSnapshot', {}); write('plain.heapsnapshot');
post('startTrackingHeapObjects', { trackAllocations: true });
keep(500);
post('takeHeapSnapshot', {}); write('a.heaptimeline');
keep(1000);
post('stopTrackingHeapObjects', { reportProgress: false }); write('b.heaptimeline');
";

#[test]
fn timelines_are_compared_by_class_and_as_profiles() {
    let folder = pair();
    let node = Command::new("node").arg("-e").arg(TIMELINES).current_dir(folder.path()).output();
    let node = node.expect("`node` is needed: `cargo xtask setup` says how to get it");
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    let diff = ["diff", "a.heaptimeline", "b.heaptimeline"];
    let classes = json(folder.path(), &[&diff[..], &["--json"]].concat());
    assert_eq!(classes["schema"], "ebbtide/class-diff/1");
    assert!(classes["notes"].to_string().contains("`--by site` reads it as a profile"));
    let sites = json(folder.path(), &[&diff[..], &["--by", "site", "--json"]].concat());
    assert!(names(&sites).iter().any(|name| name.contains("keep")), "{sites}");
    let table = fine(folder.path(), &[&diff[..], &["--all"]].concat());
    assert!(table.contains("list"), "{table}");
    assert!(!table.contains('\u{1b}'), "an escape came through");
    let plain = ["diff", "plain.heapsnapshot", "b.heaptimeline"];
    for (words, said) in [
        ([&diff[..], &["--report", "svg=-"]].concat(), "`--by site` reads an allocation timeline"),
        ([&plain[..], &["--by", "site"]].concat(), "`plain.heapsnapshot` is a V8 heap snapshot"),
        (vec!["diff", "b.heaptimeline", "after.pb"], "`b.heaptimeline` is an allocation timeline"),
    ] {
        let output = ebb(folder.path(), &words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains(said), "{words:?}: {error}");
    }
}

#[test]
fn names_of_a_profile_drive_no_terminal() {
    const HOSTILE: &[Stack] = &[(
        &[("app::\u{1b}[2Jsteal", "/srv/\u{7}app.rs", 1), ("main\u{9b}2J", "main.rs", 2)],
        [9, 900, 9, 900],
    )];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.pb"), profile(HOSTILE, 1, true)).unwrap();
    for by in ["site", "function", "stack", "module"] {
        let table = fine(folder.path(), &["show", "x.pb", "--by", by]);
        let drives = |c: char| c.is_control() && c != '\n';
        assert!(!table.contains(drives), "{by}: {table:?}");
    }
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    let mut show = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .arg("show")
        .arg(&pipe)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        match show.try_wait().unwrap() {
            None if Instant::now() < deadline => std::thread::yield_now(),
            ended => break ended,
        }
    };
    let _ = show.kill();
    let _ = show.wait();
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "nobody writes to it");
}
