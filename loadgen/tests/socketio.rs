//! Socket.IO steps against npm's own server: what the server saw is what was asked for.
//!
//! In: scenarios. Out: verdicts of `cargo test`. Needs Node and the packages of `xtask/npm`
//! (`cargo xtask setup`). No test depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Totals};
use ebbtide_record::event::MetricsSoFar;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

/// A Node program of `xtask/npm`; it ends when its stdin does.
struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Node {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/npm");
        let packages = folder.join("node_modules/socket.io");
        assert!(packages.exists(), "npm's socket.io is missing: run `cargo xtask setup`");
        let mut child = Command::new("node")
            .arg(folder.join(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`node` is missing: install Node 20 or later");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// All further lines, once it has been told to end.
    fn end(mut self) -> Vec<serde_json::Value> {
        drop(self.stdin.take());
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return lines;
            }
            lines.push(serde_json::from_str(&line).unwrap());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stdin.take());
        drop(self.child.wait());
    }
}

fn server() -> (Node, String) {
    let mut node = Node::start("sio-server.mjs", &["0", "log"]);
    let port = node.line().strip_prefix("listening on ").unwrap().to_owned();
    (node, format!("http://127.0.0.1:{port}"))
}

fn plan(base: &str, text: &str) -> Arc<Plan> {
    let text = format!("seed = 3\n[target]\nbase = \"{base}\"\n{text}");
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

fn once(steps: &str) -> String {
    format!(
        "[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = 1\nsteps = [{steps}]\n"
    )
}

async fn drive(plan: Arc<Plan>) -> (MetricsSoFar, Totals) {
    let pass = Pass { threads: 2, ..Pass::default() };
    let totals = Engine::start(plan, pass).unwrap().finish().await;
    (totals.so_far(), totals)
}

fn value(so_far: &MetricsSoFar, metric: &str, value: &str) -> f64 {
    so_far.metrics.get(metric).and_then(|metric| metric.value(value)).unwrap_or(0.0)
}

/// How many lines have this event, and this value under this name.
fn seen(log: &[serde_json::Value], event: &str, name: &str, value: &str) -> usize {
    log.iter().filter(|line| line["event"] == event && line[name] == value).count()
}

#[tokio::test]
async fn every_way_to_connect_is_the_one_the_server_sees() {
    for (transports, first, upgrades) in [
        ("", "polling", 1),
        ("transports = [\"polling\"],", "polling", 0),
        ("transports = [\"websocket\"],", "websocket", 0),
    ] {
        let (server, base) = server();
        let steps = format!(
            "{{ sio_connect = \"/socket.io/\", {transports} namespace = \"/chat\", \
             auth = {{ token = \"t-${{vu}}\" }}, query = {{ who = \"a b\" }}, as = \"c\" }}, \
             {{ emit = \"echo\", args = [{{ n = 1 }}], ack = {{ json = {{ n = 1 }} }} }}, \
             {{ think = \"300ms\" }}, \
             {{ emit = \"bytes\", args = [{{ base64 = \"AQIDBA==\" }}], ack = true }}, \
             {{ emit = \"ask me\" }}, \
             {{ await_event = \"question\", json = {{ \"/0\" = \"7\" }} }}, \
             {{ think = \"100ms\" }}, {{ sio_close = true }}"
        );
        let (so_far, totals) = drive(plan(&base, &once(&steps))).await;
        let log = server.end();
        assert!(so_far.errors.is_empty(), "{transports}: {:?} {log:?}", so_far.errors);
        assert_eq!(seen(&log, "connection", "transport", first), 1, "{log:?}");
        assert_eq!(seen(&log, "connection", "namespace", "/chat"), 1, "{log:?}");
        assert_eq!(seen(&log, "connection", "query", "a b"), 1, "{log:?}");
        assert_eq!(log[0]["auth"]["token"], "t-0", "{log:?}");
        assert_eq!(seen(&log, "upgrade", "transport", "websocket"), upgrades, "{log:?}");
        let bytes = log.iter().find(|line| line["event"] == "bytes").unwrap();
        assert_eq!((&bytes["length"], &bytes["last"]), (&4.into(), &4.into()));
        assert_eq!(log.iter().filter(|line| line["event"] == "answered").count(), 1, "{log:?}");
        let reason = "client namespace disconnect";
        assert_eq!(seen(&log, "disconnect", "reason", reason), 1, "{log:?}");
        assert_eq!(value(&so_far, "sio_connecting", "count"), 1.0);
        assert_eq!(value(&so_far, "sio_upgrade_duration", "count"), upgrades as f64);
        assert_eq!(value(&so_far, "sio_emits", "count"), 3.0);
        assert_eq!(value(&so_far, "sio_ack_duration", "count"), 2.0);
        assert_eq!(value(&so_far, "sio_events_received", "count"), 1.0);
        assert_eq!(value(&so_far, "disconnects", "count"), 0.0);
        let operations = totals.operations();
        for name in ["connect /chat", "emit echo", "emit bytes", "emit ask me", "close /chat"] {
            assert_eq!(operations.get(name), Some(&1), "{name}: {operations:?}");
        }
    }
}

#[tokio::test]
async fn losses_are_told_apart_and_mended_by_the_policy() {
    let connect = "{ sio_connect = \"/socket.io/\", transports = [\"websocket\"], \
                   reconnect = { delay = \"20ms\" } }";
    for (event, reason, back) in
        [("cut me off", "transport close", 1.0), ("send me away", "io server disconnect", 0.0)]
    {
        let (server, base) = server();
        let steps = format!("{connect}, {{ emit = \"{event}\" }}, {{ think = \"1s\" }}");
        let (so_far, _) = drive(plan(&base, &once(&steps))).await;
        drop(server);
        assert_eq!(value(&so_far, &format!("disconnects{{reason:{reason}}}"), "count"), 1.0);
        assert_eq!(value(&so_far, "sio_reconnects", "count"), back, "{event}: {so_far:?}");
    }
    let (_server, base) = server();
    for (steps, error) in [
        ("{ sio_connect = \"/socket.io/\", namespace = \"/closed\" }", "namespace refused"),
        (
            "{ sio_connect = \"/socket.io/\" }, { emit = \"never\", ack = { within = \"100ms\" } }",
            "acknowledgement not received",
        ),
        (
            "{ sio_connect = \"/socket.io/\" }, { emit = \"echo\", args = [1], ack = { json = { \
             \"/0\" = 2 } } }",
            "acknowledgement not as expected",
        ),
        (
            "{ sio_connect = \"/socket.io/\" }, { await_event = \"said\", within = \"100ms\" }",
            "awaited message not received",
        ),
        (
            "{ sio_connect = \"/nowhere/\", timeout = \"5s\" }, { sio_close = true }",
            "connection closed before the reply",
        ),
    ] {
        let (so_far, _) = drive(plan(&base, &once(steps))).await;
        let errors: Vec<&String> = so_far.errors.keys().collect();
        assert!(errors.iter().any(|text| text.contains(error)), "{steps}: {errors:?}");
        let timeouts = f64::from(u8::from(error == "acknowledgement not received"));
        assert_eq!(value(&so_far, "sio_ack_timeouts", "count"), timeouts);
    }
}

#[tokio::test]
async fn a_room_is_reached_and_an_observer_sees_the_same_messages() {
    let (server, base) = server();
    let mut observer = Node::start("sio-observer.mjs", &[&base, "r", "20"]);
    assert_eq!(observer.line(), "joined");
    let listeners = "[flow.listeners]\nexecutor = \"per-vu-iterations\"\nvus = 30\niterations = 1\n\
                     steps = [{ sio_connect = \"/socket.io/\", transports = [\"websocket\"] }, \
                     { emit = \"join\", args = [\"r\"], ack = { json = { joined = \"r\" } } }, \
                     { listen = \"4s\" }]\n";
    let sender = "[flow.sender]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = 1\n\
                  start_time = \"2s\"\nsteps = [{ sio_connect = \"/socket.io/\" }, \
                  { repeat = 20, steps = [{ emit = \"say\", \
                  args = [\"r\", { text = \"hi ${stamp}\" }], expect = 30 }] }, \
                  { think = \"300ms\" }]\n";
    let (so_far, _) = drive(plan(&base, &format!("{listeners}{sender}"))).await;
    assert!(so_far.errors.is_empty(), "{:?}", so_far.errors);
    assert_eq!(value(&so_far, "delivery_reach", "passes"), 600.0, "{so_far:?}");
    assert_eq!(value(&so_far, "delivery_reach", "fails"), 0.0);
    assert_eq!(value(&so_far, "delivery_spread", "count"), 20.0);
    let told: serde_json::Value = serde_json::from_str(&observer.line()).unwrap();
    assert_eq!(told["count"], 20, "{told}");
    // One clock for both: no message is received before it is sent.
    assert!(told["p50"].as_f64().unwrap() > 0.0, "{told}");
    drop(server);
}

#[test]
fn a_node_program_can_be_written_to() {
    let (mut node, _) = server();
    node.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    assert_eq!(node.line(), "0 0");
}
