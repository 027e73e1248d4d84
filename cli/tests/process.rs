//! The program as a process: what it says and how it ends when something is wrong, one line
//! each with the cure; and the short paths on which all is well. Everything is the real thing:
//! sockets, processes, files; ports are the system's choice.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

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

/// Ends a process of the test, however the test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Fails with `code`, says each of `words` in one line on standard error, and nothing else.
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.starts_with("ebb: "), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert_eq!(text(&output.stdout), "", "a failure has no result");
}

#[test]
fn without_arguments_a_short_help_with_examples_is_shown() {
    let output = ebb(&[]);
    let said = text(&output.stderr);
    for word in ["ebb demo", "ebb load http", "ebb run scenario.toml"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn help_tells_no_secret_of_the_environment() {
    let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["serve", "--help"])
        .env("EBB_SERVER_DATABASE", "postgres://ebb:hunter2@db/chat")
        .env("EBB_SERVER_SECRET", "hunter2")
        .output()
        .expect("the program starts");
    let said = text(&output.stdout);
    assert!(said.contains("EBB_SERVER_DATABASE") && !said.contains("hunter2"), "{said}");
}

#[test]
fn bad_arguments_end_with_two() {
    for words in [
        &["lod", "http://127.0.0.1/"][..],
        &["load"],
        &["load", "http://127.0.0.1/", "--conections", "3"],
        &["load", "http://127.0.0.1/", "-d", "soon"],
        &["load", "http://127.0.0.1/", "-H", "nonsense"],
    ] {
        assert_eq!(ebb(words).status.code(), Some(2), "{words:?}");
    }
    assert_fails(&ebb(&["load", "nonsense"]), 2, &["`nonsense`", "http://"]);
    assert_fails(&ebb(&["dump", "nonsense"]), 2, &["`nonsense`", "process id"]);
    assert_fails(&ebb(&["leaks", "a", "b"]), 2, &["3 or more"]);
    assert_fails(&ebb(&["serve", "--port", "0", "--fault", "lissener"]), 2, &["lissener"]);
}

#[test]
fn load_on_another_machine_needs_leave() {
    let output = ebb(&["load", "http://192.0.2.1/"]);
    assert_fails(&output, 2, &["192.0.2.1", "--allow-host"]);
}

#[test]
fn a_target_that_is_not_there_is_told_at_once() {
    let port = closed_port();
    let url = format!("http://127.0.0.1:{port}/");
    assert_fails(&ebb(&["load", &url]), 1, &["refused", "is it running"]);
    assert_fails(&ebb(&["dump", &url]), 1, &[&port.to_string(), "is it running"]);
    let nowhere = ["load", "http://no-such-host.invalid/", "--allow-host", "no-such-host.invalid"];
    assert_fails(&ebb(&nowhere), 1, &["no-such-host.invalid"]);
}

#[test]
fn all_faults_of_a_scenario_are_listed_with_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.toml");
    let scenario = "schema = 1\nname = \"bad\"\n[target]\nbas = \"http://127.0.0.1\"\n\
                    [flow.a]\nexecutor = \"constant-vu\"\nvus = 1\nduration = \"1s\"\n\
                    steps = [{ get = \"/\" }]\n";
    std::fs::write(&path, scenario).expect("a scenario");
    for command in ["validate", "run"] {
        let output = ebb(&[command, path.to_str().expect("a path")]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for word in ["bad.toml:4:1:", "base", "| bas = ", "| ^^^", "bad.toml:6:12:", "constant-vus"]
        {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }
    assert_fails(&ebb(&["run", "no-such-file.toml"]), 2, &["no-such-file.toml"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_the_cure() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = ebb(&["serve", "--port", &port]);
    assert_fails(&output, 1, &[&port, "choose another port"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    // Nobody, root included, can make a folder below a file.
    let output = ebb(&["load", &url, "--out", "/dev/null/run"]);
    assert_fails(&output, 1, &["/dev/null/run", "--out"]);
}

#[test]
fn what_is_no_run_and_no_snapshot_is_told() {
    assert_fails(&ebb(&["report", "/nonexistent"]), 1, &["/nonexistent", "events.ndjson"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("not-a-heap.pb.gz");
    std::fs::write(&path, b"not a heap").expect("a file");
    let path = path.to_str().expect("a path");
    assert_fails(&ebb(&["diff", path, path]), 1, &["not-a-heap"]);
}

#[test]
fn a_process_that_would_die_of_the_signal_is_left_alone() {
    let sleeper = Command::new("sleep").arg("100").spawn().expect("sleep starts");
    let mut sleeper = Ended(sleeper);
    let pid = sleeper.0.id().to_string();
    for words in [&["dump", &pid][..], &["dump", &pid, "--signal"]] {
        assert_fails(&ebb(words), 1, &[&pid, "probe"]);
    }
    assert!(sleeper.0.try_wait().expect("a state").is_none(), "the process died");
}

#[test]
fn a_run_is_reported_from_its_log_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/leak.ndjson");
    let whole = std::fs::read(log).expect("the events of a run");
    // As a kill leaves it: without its end, the last line torn.
    std::fs::write(folder.path().join("events.ndjson"), &whole[..whole.len() * 3 / 4])
        .expect("a log");
    let run = folder.path().to_str().expect("a path");
    let output = ebb(&["report", run, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(summary["ebbtide"]["partial"], true);
    assert!(folder.path().join("report.html").exists());
    assert!(folder.path().join("summary.json").exists());
    let output = ebb(&["watch", run]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("leak-listener"), "text where there is no terminal");
}

/// Writes a scenario that loads `/healthz` of a target started by `command` for a minute.
fn minute_of_load(folder: &Path, command: &[&str]) -> String {
    let path = folder.join("minute.toml");
    let scenario = format!(
        "schema = 1\nname = \"minute\"\n[target]\ncommand = {command:?}\nready = \"/readyz\"\n\
         [flow.a]\nexecutor = \"constant-vus\"\nvus = 1\nduration = \"60s\"\n\
         steps = [{{ get = \"/healthz\" }}]\n"
    );
    std::fs::write(&path, scenario).expect("a scenario");
    path.to_str().expect("a path").to_owned()
}

/// Waits until a run has begun to load, and gives the event that tells of its start.
fn begun(run: &Path) -> serde_json::Value {
    loop {
        let log = std::fs::read_to_string(run.join("events.ndjson")).unwrap_or_default();
        if log.contains("\"phase\":\"load\"") {
            let first = log.lines().next().expect("a first line");
            return serde_json::from_str(first).expect("an event");
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_is_interrupted_before_its_target_is_ready_ends_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = minute_of_load(folder.path(), &["sh", "-c", "kill -INT $PPID; exec sleep 100"]);
    let out = folder.path().join("run");
    let output = ebb(&["run", &scenario, "-q", "-o", out.to_str().expect("a path")]);
    assert_fails(&output, 130, &["interrupted"]);
}

#[test]
fn a_target_that_is_killed_ends_the_run_and_what_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = format!("{} serve --port ${{port}}; true", env!("CARGO_BIN_EXE_ebb"));
    let scenario = minute_of_load(folder.path(), &["sh", "-c", &serve]);
    let out = folder.path().join("run");
    let run = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["run", &scenario, "--json", "-q", "-o", out.to_str().expect("a path")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let started = begun(&out);
    let pid = started["target_pid"].to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
    let output = run.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(1));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    let refused = &summary["ebbtide"]["errors"]["connection refused"];
    assert!(refused.as_u64() > Some(0), "errors are counted by kind: {}", summary["ebbtide"]);
    let base = started["base"].as_str().expect("an address").trim_start_matches("http://");
    assert!(std::net::TcpStream::connect(base).is_err(), "the server itself still listens");
}

#[test]
fn a_result_that_cannot_be_kept_is_told_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let command = ["ebb", "serve", "--port", "${port}"];
    let scenario = minute_of_load(folder.path(), &command);
    let short = std::fs::read_to_string(&scenario).expect("a scenario").replace("60s", "1s");
    std::fs::write(&scenario, short).expect("a scenario");
    let out = folder.path().join("run");
    std::fs::create_dir_all(out.join("summary.json")).expect("a folder in the way");
    let output = ebb(&["run", &scenario, "--json", "-o", out.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("summary.json"), "{}", text(&output.stderr));
    serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("one document");
}

#[test]
fn snapshots_without_a_pause_are_refused() {
    let pid = std::process::id().to_string();
    assert_fails(&ebb(&["watch", &pid, "--every", "0s"]), 2, &["--every 0s", "1 s"]);
}

#[test]
fn a_run_is_reported_in_every_form_and_a_file_name_tells_the_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/load.ndjson");
    std::fs::copy(log, folder.path().join("events.ndjson")).expect("the events of a run");
    let run = folder.path().to_str().expect("a path");
    for (form, first) in [
        ("text", "\n  "),
        ("json", "{"),
        ("html", "<!doctype html>"),
        ("junit", "<?xml"),
        ("markdown", "## "),
        ("ndjson", "{\"t_ms\":"),
        ("csv", "t_ms,"),
        ("openmetrics", "# TYPE "),
    ] {
        let output = ebb(&["report", run, "--format", form]);
        assert_eq!(output.status.code(), Some(0), "{form}: {}", text(&output.stderr));
        assert!(text(&output.stdout).to_lowercase().starts_with(&first.to_lowercase()), "{form}");
    }
    let file = folder.path().join("results.xml");
    let output = ebb(&["report", run, "-o", file.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(std::fs::read_to_string(file).expect("a file").contains("<testsuites"));
    assert!(!folder.path().join("report.html").exists(), "the folder was not left alone");
}

#[test]
fn reports_that_could_not_be_written_are_told_before_the_load() {
    let url = format!("http://127.0.0.1:{}/", closed_port());
    let table: [(&[&str], &str); 4] = [
        (&["--report", "junit=/nonexistent/a.xml"], "/nonexistent/a.xml"),
        (&["--report", "csv=-", "--json"], "one result"),
        (&["--report", "csv=-", "--report", "junit=-"], "one result"),
        (&["--report", "xml=a.xml"], "junit"),
    ];
    for (flags, words) in table {
        let output = ebb(&[&["load", &url][..], flags].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

#[test]
fn a_server_is_started_found_by_its_port_loaded_and_stopped_with_all_its_kin() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let out = out.to_str().expect("a path");
    // The one that listens is a child of a child, and ends only when it is made to.
    let script = format!("trap '' TERM; {} serve --port 0 & wait; wait", env!("CARGO_BIN_EXE_ebb"));
    let output = ebb(&[
        "load",
        "/healthz",
        "--on-port",
        "-n",
        "3",
        "-c",
        "10",
        "--json",
        "-o",
        out,
        "--",
        "sh",
        "-c",
        &script,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(summary["metrics"]["http_reqs"]["values"]["count"], 3.0);
    let log = std::fs::read_to_string(format!("{out}/events.ndjson")).expect("a log");
    let started: serde_json::Value =
        serde_json::from_str(log.lines().next().expect("a first line")).expect("an event");
    let base = started["base"].as_str().expect("an address").trim_start_matches("http://");
    let address = base.trim_end_matches("/healthz");
    // What is killed may take a moment to be gone.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(std::time::Instant::now() < deadline, "{address} still listens");
        std::thread::yield_now();
    }
    for (name, word) in [("metrics.hlog", "Tag=http:load:"), ("report.html", "<!doctype html>")] {
        let text = std::fs::read_to_string(format!("{out}/{name}")).expect("a file");
        assert!(text.contains(word), "{name}");
    }
}

#[test]
fn a_server_that_does_not_listen_is_told_with_what_it_wrote() {
    let output = ebb(&["load", "/", "--on-port", "--", "sh", "-c", "echo boom; exit 3"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("boom") && said.contains("exit status: 3"), "{said}");
    assert_fails(
        &ebb(&["load", "/", "--on-port", "--", "no-such-program"]),
        1,
        &["no-such-program"],
    );
    assert_fails(&ebb(&["load", "x", "--on-port", "--", "sleep", "9"]), 2, &["`/x`"]);
    assert_eq!(ebb(&["load", "/", "--on-port"]).status.code(), Some(2));
}

#[test]
fn tables_of_autocannon_stand_on_standard_output_when_they_are_asked_for() {
    let ebb_itself = env!("CARGO_BIN_EXE_ebb");
    let words = ["load", "/healthz", "--on-port", "-n", "100", "--renderer", "autocannon", "--"];
    let output = ebb(&[&words[..], &[ebb_itself, "serve", "--port", "0"]].concat());
    let said = text(&output.stdout);
    for word in ["│ Latency │", "2.5%", "100 requests in"] {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(!said.contains("│ - "), "a figure is missing: {said}");
}

#[test]
fn more_connections_than_files_are_refused_with_the_bound() {
    let output = ebb(&["load", ":1/", "-c", "4000000000"]);
    assert_fails(&output, 2, &["4000000000", "ulimit -Hn"]);
}

#[test]
fn a_fine_scenario_is_told_with_what_it_would_do() {
    let scenario = b"[target]\nbase = \"http://127.0.0.1:1\"\n[flow.open]\n\
        executor = \"constant-arrival-rate\"\nrate = 50\nduration = \"1m\"\n\
        pre_allocated_vus = 5\nmax_vus = 20\nsteps = [{ repeat = 3, steps = [{ get = \"/a\" }] }]\n\
        [flow.users]\nexecutor = \"ramping-vus\"\nstart_time = \"10s\"\n\
        stages = [{ duration = \"30s\", target = 8 }]\nsteps = [{ post = \"/b\", name = \"b\" }]\n";
    let mut child = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), scenario).expect("read");
    let output = child.wait_with_output().expect("an end");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for word in [
        "fine: `stdin` with open, users",
        "open: constant-arrival-rate, 3,000 iterations over 1 min 00 s, 5 to 20 users",
        "9,000 x GET /a",
        "users: ramping-vus, up to 8 users for 30 s, from 10 s on",
        "b, once per iteration",
        "1 min 00 s in all, 28 users at most",
    ] {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// What a browser would export of two requests to the reference server.
const HAR: &str = r#"{"log":{"version":"1.2","entries":[
  {"request":{"method":"GET","url":"http://recorded.test/healthz","headers":[{"name":"Accept","value":"*/*"}]},
   "response":{"status":200}},
  {"request":{"method":"POST","url":"http://recorded.test/api/v1/echo","headers":[],
   "postData":{"mimeType":"application/json","text":"{\"a\":1}"}},"response":{"status":200}}]}}"#;

#[test]
fn a_recording_is_imported_and_runs_against_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let (har, toml) = (folder.path().join("a.har"), folder.path().join("a.toml"));
    std::fs::write(&har, HAR).expect("a file");
    let (har, toml) = (har.to_str().expect("a path"), toml.to_str().expect("a path"));
    let output = ebb(&["import", "har", har, "-o", toml]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(ebb(&["validate", toml]).status.code(), Some(0));
    let itself = env!("CARGO_BIN_EXE_ebb");
    let output = ebb(&[
        "load",
        "--har",
        har,
        "--on-port",
        "-n",
        "20",
        "--json",
        "--",
        itself,
        "serve",
        "--port",
        "0",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(summary["metrics"]["http_reqs"]["values"]["count"], 40.0);
    assert_eq!(summary["metrics"]["checks"]["values"]["rate"], 1.0, "{summary}");
}

#[test]
fn what_cannot_be_imported_is_told_in_one_line() {
    assert_fails(&ebb(&["import", "har", "/nonexistent"]), 2, &["/nonexistent"]);
    assert_fails(&ebb(&["import", "curl", "wget http://a"]), 2, &["begin with `curl`"]);
    assert_fails(&ebb(&["import", "openapi", "https://a/openapi.json"]), 2, &["https", "fetch it"]);
    let gone = format!("http://127.0.0.1:{}/openapi.json", closed_port());
    assert_fails(&ebb(&["import", "openapi", &gone]), 1, &[&gone, "is it running"]);
    let split = ebb(&["import", "curl", "--", "curl", "-d", "a=1", "http://127.0.0.1/x"]);
    assert!(text(&split.stdout).contains("form = { a = \"1\" }"), "{}", text(&split.stdout));
}

/// A scenario of one request against `base`, in `folder`.
fn one_request(folder: &Path, base: &str) -> String {
    let path = folder.join("one.toml");
    let text = format!(
        "schema = 1\nname = \"one\"\n[target]\nbase = \"{base}\"\n[flow.one]\n\
         executor = \"shared-iterations\"\nvus = 1\niterations = 1\nmax_duration = \"5s\"\n\
         steps = [{{ get = \"/\" }}]\n"
    );
    std::fs::write(&path, text).expect("a scenario");
    path.display().to_string()
}

#[test]
fn a_folder_that_holds_a_run_is_a_bad_argument() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let scenario = one_request(folder.path(), &base);
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).expect("a folder");
    std::fs::write(taken.join("events.ndjson"), "").expect("a log");
    let taken = taken.display().to_string();
    for words in [&["run", &scenario][..], &["load", &base, "-n", "1"]] {
        let mut all = words.to_vec();
        all.extend(["--out", &taken]);
        assert_fails(&ebb(&all), 2, &["holds a run already", "--out"]);
    }
}

#[test]
fn no_password_is_written_into_the_folder_of_a_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A proxy that hangs up on everybody is enough of one to be named.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let scenario = one_request(folder.path(), "http://127.0.0.1:1");
    let proxy = format!("http://me:pa55word@{address}");
    let out = folder.path().join("run");
    let shown = out.display().to_string();
    ebb(&["run", &scenario, "--proxy", &proxy, "-e", "API_TOKEN=pa55word", "-o", &shown]);
    let log = std::fs::read_to_string(out.join("events.ndjson")).expect("a log");
    assert!(log.contains("http://***@127.0.0.1"), "{log:.600}");
    for entry in std::fs::read_dir(&out).expect("a folder") {
        let path = entry.expect("an entry").path();
        let content = std::fs::read(&path).unwrap_or_default();
        assert!(!text(&content).contains("pa55word"), "{} has the password", path.display());
    }
}
