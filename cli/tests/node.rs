//! `ebb run` on Node servers that nobody prepared: a leak is named with function, line and kind,
//! its clean twin is not, and what runs on goes on as before. In: the programs and scenarios of
//! `tests/node`, shortened. Out: summaries of real runs, held against what was planted.
//! Long tables over all of them are made by `cargo xtask truth node`.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two cores and one clock: runs that measure go one after the other.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node")
}

fn ebb(words: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// Runs a scenario of `tests/node` with fewer operations, after `change` has had its way with it.
fn run(name: &str, change: impl Fn(String) -> String) -> (Option<i32>, Value, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = std::fs::read_to_string(programs().join(name)).expect("a scenario");
    let lines = text.lines().map(|line| match line.split(' ').next() {
        Some("operations_per_round") => "operations_per_round = 700".to_owned(),
        Some("max_rounds") => "max_rounds = 8".to_owned(),
        Some("settle") => "settle = { quiet = \"100ms\", timeout = \"5s\" }".to_owned(),
        _ => line.to_owned(),
    });
    let scenario = folder.path().join("scenario.toml");
    let text = change(lines.collect::<Vec<_>>().join("\n"));
    std::fs::write(&scenario, text).expect("a scenario");
    let out = folder.path().join("run");
    let (scenario, out) = (scenario.display().to_string(), out.display().to_string());
    let words = ["run", "--json", "--no-tui", "--threads", "1", "--out", &out, &scenario];
    let output = ebb(&words, &programs());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let summary = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no summary ({error}): {said}"));
    (output.status.code(), summary, folder)
}

fn memory(summary: &Value) -> &Value {
    &summary["ebbtide"]["memory"]
}

#[test]
fn a_listener_that_is_never_removed_is_named_with_its_class_and_who_keeps_it() {
    let _turn = turn();
    // Behind a shell, as many servers are started.
    let behind_shell = |text: String| {
        text.replace(
            "[\"node\", \"listener.js\", \"${port}\"]",
            "[\"sh\", \"-c\", \"node listener.js ${port}; exit\"]",
        )
    };
    let (code, summary, folder) = run("listener.toml", behind_shell);
    let told = format!("{:#}", memory(&summary));
    assert_eq!(code, Some(98), "{told}");
    let site = &memory(&summary)["sites"][0];
    assert_eq!(site["verdict"], "leaking", "{told}");
    // Where so few samples leave the heap less sure, the count of listeners gives the word: the
    // place is then that of the listener itself, two lines below.
    let place = (site["function"].as_str().unwrap_or_default(), &site["line"]);
    assert!(place == ("subscribe", &10.into()) || place == ("onChange", &12.into()), "{told}");
    assert!(site["file"].as_str().is_some_and(|file| file.ends_with("listener.js")), "{told}");
    assert_eq!(site["kind"], "listener", "{told}");
    assert_eq!(site["growth_per_op"]["operation"], "GET /feed", "{told}");
    let classes = memory(&summary)["classes"].as_array().cloned().unwrap_or_default();
    let kept = classes.iter().find(|class| class["class"] == "ServerResponse");
    let per_op = kept.and_then(|class| class["per_op"].as_f64()).unwrap_or_default();
    assert!((0.98..1.02).contains(&per_op), "{told}");
    let way = kept.map(|class| class["held_by"].to_string()).unwrap_or_default();
    assert!(way.contains("change") || way.contains("variable res"), "{told}");

    // Judged again from its files, it is the same.
    let run = folder.path().join("run").display().to_string();
    let again = ebb(&["leaks", &run], folder.path());
    let text = String::from_utf8_lossy(&again.stdout).into_owned();
    assert_eq!(again.status.code(), Some(98), "{text}");
    assert!(text.contains("listener.js") && text.contains("ServerResponse"), "{text}");
}

#[test]
fn its_mended_twin_is_clean() {
    let _turn = turn();
    let mended = |text: String| text.replace("\"${port}\"]", "\"${port}\", \"--mended\"]");
    let (code, summary, _folder) = run("listener.toml", mended);
    let told = format!("{:#}", memory(&summary)["sites"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("\"leaking\"") && !told.contains("\"growing\""), "{told}");
}

/// A server that was there before, and stays.
struct Server(std::process::Child, u16);

impl Server {
    fn start(name: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let child = Command::new("node")
            .args([name, &port.to_string()])
            .env("NODE_OPTIONS", "--inspect-port=0")
            .current_dir(programs())
            .spawn()
            .expect("`node` is needed: `cargo xtask setup` says how to get it");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Self(child, port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_that_runs_already_is_dumped_twice_and_compared() {
    let _turn = turn();
    let mut server = Server::start("sessions.js");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pid = server.0.id().to_string();
    let url = format!("http://127.0.0.1:{}/login?user=ann", server.1);
    for name in ["before.heapsnapshot", "after.heapsnapshot"] {
        let load = ["load", &url, "-n", "300", "-c", "2", "--json"];
        let loaded = ebb(&load, folder.path());
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        let dumped = ebb(&["dump", &pid, "-o", name], folder.path());
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        assert!(folder.path().join(name).exists());
    }
    let words = ["diff", "before.heapsnapshot", "after.heapsnapshot", "--json"];
    let compared = ebb(&words, folder.path());
    let told = String::from_utf8_lossy(&compared.stdout).into_owned();
    let document: Value = serde_json::from_str(&told).expect("a document");
    let classes = document["classes"].as_array().cloned().unwrap_or_default();
    let session = classes.iter().find(|class| class["class"] == "Session").expect("sessions");
    // V8 forgets its identifiers when an inspector leaves, so which instances are new is not told.
    assert_eq!((&session["instances_before"], &session["instances"]), (&300.into(), &600.into()));
    assert!(server.0.try_wait().expect("a state").is_none(), "it goes on");
}
