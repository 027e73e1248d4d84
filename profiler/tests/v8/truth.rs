//! Snapshots of the real Node: what leaks is counted to the instance, and its holder named.
//!
//! In: a program that knows what it keeps. Out: the same numbers from its two snapshots. Node is
//! found on the PATH; a machine without it fails.

use ebbtide_profiler::v8::{Classes, Dominators, Heap, compare};
use std::fs::File;
use std::process::Command;

/// Two snapshots, with 500 sessions more in the second, 200 of the first gone, and a cache that
/// does not grow.
const PROGRAM: &str = r"
const v8 = require('v8');
class Session { constructor(id) { this.id = 'session ' + id; this.seen = [id]; } }
class Entry { constructor(id) { this.id = id; } }
const sessions = new Map();
const cache = [];
for (let id = 0; id < 1000; id++) sessions.set(id, new Session(id));
for (let id = 0; id < 300; id++) cache.push(new Entry(id));
globalThis.registry = { sessions, cache };
v8.writeHeapSnapshot(process.argv[1]);
for (let id = 0; id < 200; id++) sessions.delete(id);
for (let id = 1000; id < 1500; id++) sessions.set(id, new Session(id));
v8.writeHeapSnapshot(process.argv[2]);
";

#[test]
fn a_leak_in_node_is_counted_and_its_holder_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["before", "after"].map(|name| folder.path().join(format!("{name}.heapsnapshot")));
    let output = Command::new("node").arg("-e").arg(PROGRAM).args(&files).output();
    let output = output.expect("`node` is needed: `cargo xtask setup` says how to get it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [before, after] =
        files.map(|file| Heap::read(File::open(file).unwrap()).expect("a snapshot"));
    let changes = compare(&before, &after);
    let session = changes.iter().find(|change| change.name == "Session").expect("sessions");
    assert_eq!((session.new, session.deleted, session.count), (500, 200, 1300));
    assert!(session.size_delta > 0 && session.retained_delta > session.size_delta);
    let held: Vec<String> = session.held_by[0].iter().map(ToString::to_string).collect();
    assert!(held.iter().any(|step| step.ends_with(".registry")), "{held:?}");
    assert!(held.iter().any(|step| step.ends_with(".sessions")), "{held:?}");
    let entry = changes.iter().find(|change| change.name == "Entry").expect("entries");
    assert_eq!((entry.new, entry.deleted, entry.size_delta), (0, 0, 0));
    let grown = changes.iter().filter(|change| change.delta() >= 300 && change.new >= 500);
    assert!(grown.count() >= 1, "{changes:?}");
    let classes = Classes::of(&before, &Dominators::of(&before));
    let row = classes.rows.iter().find(|row| row.name == "Session").expect("sessions");
    assert_eq!(row.count, 1000);
    assert!(row.retained >= row.size);
}
