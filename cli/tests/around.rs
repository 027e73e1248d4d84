//! `ebb run` and what stands around the load: setup and teardown, data beside the scenario,
//! variables given on the command line. The real program against a real server that notes what it
//! is asked for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A server that answers everything, `/missing` with 404, and keeps the paths in order.
struct Target {
    base: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Target {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Self { base, seen }
    }

    fn paths(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut first = String::new();
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        let path = first.split(' ').nth(1)?.to_owned();
        let status = if path == "/missing" { "404 Not Found" } else { "200 OK" };
        log.lock().expect("no panic").push(path);
        let body = r#"{"token":"t-7"}"#;
        let length = body.len();
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(reply.as_bytes()).ok()?;
    }
}

/// Runs a scenario that lies in a folder of its own.
fn run(folder: &Path, scenario: &str, more: &[&str]) -> Output {
    command(folder, scenario, more).output().expect("the program starts")
}

fn command(folder: &Path, scenario: &str, more: &[&str]) -> Command {
    let path = folder.join("x.toml");
    std::fs::write(&path, scenario).expect("a scenario");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebb"));
    command.arg("run").arg(&path).args(["-q", "--json", "-o"]).arg(folder.join("run"));
    command.args(more).stdin(Stdio::null()).env_remove("EBB_TEST_SHOP");
    command
}

fn summary(output: &Output) -> serde_json::Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

const FLOW: &str = "[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 2\niterations = 2\n";

#[test]
fn setup_data_and_variables_reach_the_flows_and_teardown_ends_the_run() {
    let target = Target::start();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("users.csv"), "name\nann\nbob\ncy\ndee\n").expect("data");
    let scenario = format!(
        "[target]\nbase = \"{}\"\n[data.users]\nfile = \"users.csv\"\npick = \"unique\"\n\
         [setup]\nsteps = [{{ post = \"/login\", capture = {{ token = \"/token\" }} }}]\n\
         {FLOW}env = {{ SIDE = \"left\" }}\nsteps = [{{ get = \
         \"/${{env.EBB_TEST_SHOP}}/${{env.SIDE}}/${{setup.token}}/${{users.name}}\" }}]\n\
         [teardown]\nsteps = [{{ delete = \"/login/${{setup.token}}\" }}]\n",
        target.base
    );
    let output = run(folder.path(), &scenario, &["-e", "EBB_TEST_SHOP=tea", "-e", "SIDE=right"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let paths = target.paths();
    assert_eq!(paths.first().map(String::as_str), Some("/login"));
    assert_eq!(paths.last().map(String::as_str), Some("/login/t-7"));
    let mut load = paths[1..paths.len() - 1].to_vec();
    load.sort();
    let names = ["ann", "bob", "cy", "dee"];
    assert_eq!(load, names.map(|name| format!("/tea/left/t-7/{name}")));
    let summary = summary(&output);
    assert_eq!(summary["metrics"]["http_reqs"]["values"]["count"], 6.0);
    assert_eq!(summary["metrics"]["iterations"]["values"]["count"], 4.0);

    // Without the variable nothing is started, and the cure is named.
    let output = run(folder.path(), &scenario, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("-e EBB_TEST_SHOP=..."), "{said}");
    assert_eq!(target.paths().len(), 6);
}

#[test]
fn a_setup_that_fails_ends_the_run_with_one() {
    let target = Target::start();
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = format!(
        "[target]\nbase = \"{}\"\n[setup]\nsteps = [{{ get = \"/missing\" }}]\n{FLOW}steps = [{{ \
         get = \"/\" }}]\n[teardown]\nsteps = [{{ get = \"/teardown\" }}]\n",
        target.base
    );
    let output = run(folder.path(), &scenario, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(target.paths(), ["/missing"], "neither load nor teardown");
    let said = summary(&output)["ebbtide"]["partial"].clone();
    assert_eq!(said, true);
    let report = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .arg("report")
        .arg(folder.path().join("run"))
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&report.stdout);
    assert!(said.contains("setup failed at `GET /missing`: status 404"), "{said}");

    let failing = scenario.replace("get = \"/missing\"", "get = \"/setup\"");
    let failing = failing.replace("get = \"/teardown\"", "get = \"/missing\"");
    std::fs::remove_dir_all(folder.path().join("run")).expect("the run's folder");
    let output = run(folder.path(), &failing, &[]);
    assert_eq!(output.status.code(), Some(1), "a failing teardown is told as well");
    assert_eq!(target.paths().len(), 1 + 1 + 4 + 1);
}

#[test]
fn teardown_is_taken_after_the_first_interrupt() {
    let target = Target::start();
    let folder = tempfile::tempdir().expect("a folder");
    let flow = FLOW.replace("iterations = 2", "iterations = 100000000");
    let scenario = format!(
        "[target]\nbase = \"{}\"\n[setup]\nsteps = [{{ get = \"/setup\" }}]\n{flow}steps = [{{ get \
         = \"/load\" }}, {{ think = \"1ms\" }}]\n[teardown]\nsteps = [{{ get = \"/teardown\" }}]\n",
        target.base
    );
    let child = command(folder.path(), &scenario, &[])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    while !target.paths().iter().any(|path| path == "/load") {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(130));
    let paths = target.paths();
    assert_eq!(paths.iter().filter(|path| *path == "/teardown").count(), 1);
    assert_eq!(paths.last().map(String::as_str), Some("/teardown"));
}

#[test]
fn setup_and_teardown_stand_around_all_rounds() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = "[target]\ncommand = [\"ebb\", \"serve\", \"--port\", \"${port}\"]\nready = \
                    \"/readyz\"\nheap = \"rss\"\n\
                    [setup]\nsteps = [{ get = \"/healthz\" }]\n\
                    [flow.a]\nexecutor = \"constant-vus\"\nvus = 2\nduration = \"1s\"\n\
                    steps = [{ get = \"/healthz\" }]\n\
                    [teardown]\nsteps = [{ get = \"/healthz\" }, { get = \"/healthz\" }]\n\
                    [memory]\nwarmup_rounds = 1\nrounds = 3\nmax_rounds = 3\n\
                    operations_per_round = 50\nsettle = { quiet = \"10ms\", timeout = \"1s\" }\n\
                    [thresholds]\n\"http_reqs{group:::setup}\" = [\"count == 1\"]\n\
                    \"http_reqs{group:::teardown}\" = [\"count == 2\"]\n\
                    \"http_reqs{flow:a}\" = [\"count == 200\"]\n";
    let output = run(folder.path(), scenario, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{}", summary(&output)["metrics"]);
}
