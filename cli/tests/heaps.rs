//! Whole heaps of a real Node: written on a signal, judged as a series by class, and found in a
//! folder. In: a small program that keeps what it should not. Out: what `ebb` says of its heaps.
//! Comparing two of them by class is tested with the profiler.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

/// Keeps a session for each line it reads, unless it is told to forget them.
const PROGRAM: &str = r"
class Session { constructor(id) { this.id = id; this.path = '/user/' + id; } }
const kept = [];
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  for (let i = 0; i < Number(line); i++) kept.push(new Session(kept.length));
  console.log('kept ' + kept.length);
});
console.log('ready');
";

struct Node {
    child: Child,
    stdin: ChildStdin,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Node {
    fn start(folder: &Path, options: &[&str]) -> Self {
        std::fs::write(folder.join("app.js"), PROGRAM).expect("a program");
        let mut child = Command::new("node")
            .args(options)
            .arg("app.js")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`node` starts: install it with `cargo xtask setup`");
        let stdin = child.stdin.take().expect("a pipe");
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut node = Self { child, stdin, said };
        assert_eq!(node.line(), "ready");
        node
    }

    fn line(&mut self) -> String {
        self.said.next().expect("a line").expect("a line")
    }

    fn keep(&mut self, sessions: u32) {
        writeln!(self.stdin, "{sessions}").expect("a line is taken");
        assert!(self.line().starts_with("kept "));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ebb(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ebb")).args(words).output().expect("the program starts")
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn a_node_that_writes_its_heap_on_a_signal_is_dumped_and_its_series_judged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut node = Node::start(folder.path(), &["--heapsnapshot-signal=SIGUSR2"]);
    let pid = node.child.id().to_string();
    let mut files = Vec::new();
    for _ in 0..6 {
        node.keep(2_000);
        let dumped = ebb(&["dump", &pid]);
        assert!(dumped.status.success(), "{}", told(&dumped));
        files.push(String::from_utf8_lossy(&dumped.stdout).trim().to_owned());
    }
    assert!(files.iter().all(|file| file.ends_with(".heapsnapshot")), "{files:?}");
    let mut words = vec!["leaks", "--json", "--operations", "2000", "--per", "session"];
    words.extend(files.iter().map(String::as_str));
    let judged = ebb(&words);
    assert_eq!(judged.status.code(), Some(98), "{}", told(&judged));
    let verdict: Value = serde_json::from_slice(&judged.stdout).expect("a document");
    let sites = verdict["sites"].as_array().expect("sites");
    let site = sites.iter().find(|site| site["function"] == "Session").expect("the class");
    let objects = site["objects_per_op"]["value"].as_f64().unwrap_or_default();
    assert!((objects - 1.0).abs() < 0.01 && site["kind"] == "connection", "{site:#}");

    // The same, found in the folder beside a program that is no snapshot.
    let path = folder.path().display().to_string();
    let found = ebb(&["leaks", "--json", "--operations", "2000", &path]);
    assert_eq!(found.status.code(), Some(98), "{}", told(&found));
    let said = told(&found);
    assert!(said.contains("Session") && said.contains("`app.js` is no heap snapshot"), "{said}");
    // Without a word on the work it is the time that passed, by the names of the files.
    let timed = told(&ebb(&["leaks", "--json", &path]));
    assert!(timed.contains("\"second\""), "{timed}");
}

#[test]
fn a_node_without_the_option_is_sent_no_signal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut node = Node::start(folder.path(), &[]);
    let listed = |path: &Path| std::fs::read_dir(path).expect("a folder").count();
    let _ = ebb(&["dump", "--signal", &node.child.id().to_string()]);
    node.keep(1);
    assert_eq!(listed(folder.path()), 1, "only the program lies there");
}
