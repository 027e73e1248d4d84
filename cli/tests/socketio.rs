//! `ebb load --socketio` against npm's own server: what the server saw is what was asked for.
//!
//! In: the real program and `xtask/npm/sio-server.mjs`. Out: verdicts of `cargo test`. Needs Node
//! and the packages of `xtask/npm` (`cargo xtask setup`). No test depends on speed.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

/// npm's server; it ends when its stdin does.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    base: String,
}

impl Server {
    /// `log` makes it tell of each connection; otherwise it counts echoes.
    fn start(log: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/npm");
        let packages = folder.join("node_modules/socket.io");
        assert!(packages.exists(), "npm's socket.io is missing: run `cargo xtask setup`");
        let mut child = Command::new("node")
            .arg(folder.join("sio-server.mjs"))
            .arg("0")
            .args(log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`node` is missing: install Node 20 or later");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut server = Self { child, stdin, stdout, base: String::new() };
        let line = server.line();
        let port = line.strip_prefix("listening on ").expect("a port");
        server.base = format!("http://127.0.0.1:{port}");
        server
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    /// Echoes since the last call.
    fn echoes(&mut self) -> f64 {
        writeln!(self.stdin.as_mut().expect("open"), ".").expect("the server listens");
        let line = self.line();
        line.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
    }

    /// All it has logged, once it has been told to end.
    fn log(mut self) -> Vec<Value> {
        drop(self.stdin.take());
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return lines;
            }
            lines.push(serde_json::from_str(&line).expect("JSON"));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        drop(self.child.wait());
    }
}

fn load(url: &str, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["load", "--socketio", url, "--json", "-q"])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// A count of the summary; the program must have ended well.
fn count(output: &Output, metric: &str) -> f64 {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a summary");
    summary["metrics"][metric]["values"]["count"].as_f64().unwrap_or(0.0)
}

#[test]
fn events_are_emitted_and_acknowledged_as_often_as_asked() {
    let mut server = Server::start(&[]);
    let event = r#"["echo", {"text":"hello"}]"#;
    for ways in ["polling,websocket", "websocket", "polling"] {
        let words = ["-c", "4", "-n", "40", "-b", event, "--ack", "--transports", ways];
        let output = load(&server.base, &words);
        let counts = ["sio_emits", "sio_ack_duration", "sio_connecting", "sio_emit_failed"]
            .map(|metric| count(&output, metric));
        assert_eq!(counts[..2], [40.0, 40.0], "{ways}");
        assert!((1.0..=4.0).contains(&counts[2]), "{ways}: {counts:?}");
        assert_eq!(counts[3], 0.0, "{ways}");
        assert_eq!(server.echoes(), 40.0, "{ways}");
    }
    // Without acknowledgements the rate paces.
    let output = load(&server.base, &["-c", "2", "-n", "20", "-r", "100", "-b", event]);
    let (sent, dropped) = (count(&output, "sio_emits"), count(&output, "dropped_iterations"));
    assert_eq!(sent + dropped, 20.0);
    assert_eq!(count(&output, "sio_ack_duration"), 0.0);
}

#[test]
fn connections_are_held_in_the_namespace_that_the_url_names() {
    let server = Server::start(&["log"]);
    let output = load(&format!("{}/chat?who=ann", server.base), &["-c", "5", "-d", "300ms"]);
    assert_eq!(count(&output, "sio_connecting"), 5.0);
    assert_eq!(count(&output, "sio_session_duration"), 5.0);
    let log = server.log();
    let of = |event: &str| log.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!(of("connection").len(), 5, "{log:?}");
    for line in of("connection") {
        assert_eq!((&line["namespace"], &line["query"]), (&"/chat".into(), &"ann".into()));
    }
    assert_eq!(of("disconnect").len(), 5, "{log:?}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_cure() {
    for (words, cure) in [
        (&["-b", "hello"][..], "`[\"event\", {\"a\": 1}]`"),
        (&["-b", "[\"say\"]"], "`--ack`"),
        (&["--ack"], "`--body`"),
        (&["-p", "4"], "--pipelining"),
    ] {
        let output = load("http://127.0.0.1:1", words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(cure), "{words:?}: {said}");
    }
}
