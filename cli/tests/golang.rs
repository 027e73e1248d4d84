//! Truth tests on Go: a program with nothing but the standard library's pprof must be found, its
//! leak named, and its mended twin left alone. In: the programs and scenarios in `tests/go`, built
//! here, offline. Out: the summaries of real runs. The long table is made by `cargo xtask truth`.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The port of a heap profile in the scenarios, which a Go program is found without.
const SAID: &str = "pprof = ";

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go")
}

/// Builds a program once; the second time is quick.
fn built(program: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"));
    let out = Command::new("go")
        .args(["build", "-o"])
        .arg(folder.join(program))
        .arg(format!("{program}.go"))
        .current_dir(sources())
        .env("GOCACHE", folder.join("cache"))
        .envs([("GO111MODULE", "off"), ("GOPROXY", "off"), ("GOFLAGS", ""), ("CGO_ENABLED", "0")])
        .output()
        .expect("`go` starts: install it with `cargo xtask setup`");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    folder.join(program)
}

/// Runs a scenario of the folder, changed, and gives its exit code and summary.
fn run(cell: &str, program: &str, change: impl Fn(&str) -> String) -> (Option<i32>, Value, String) {
    let text = std::fs::read_to_string(sources().join(cell)).expect("a scenario");
    let program_path = built(program).display().to_string();
    let text = text.replace(&format!("${{built}}/{program}"), &program_path);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(cell);
    std::fs::write(&path, change(&text)).expect("a scenario");
    let output = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["run", "--json", "--no-tui", "--threads", "1", "--out"])
        .arg(folder.path().join("run"))
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let summary = serde_json::from_slice::<Value>(&output.stdout)
        .unwrap_or_else(|error| panic!("no summary ({error}): {said}"));
    (output.status.code(), summary["ebbtide"]["memory"].clone(), said)
}

#[test]
fn a_goroutine_that_never_ends_is_named_in_a_program_found_by_itself() {
    // A shell stands before the program, as `go run` would, and nobody says where its heap is.
    let (code, memory, said) = run("waiting.toml", "waiting", |text| {
        let lines = text.lines().filter(|line| !line.starts_with(SAID)).map(|line| {
            match line.strip_prefix("command = [\"") {
                Some(rest) => {
                    let path = rest.split('"').next().unwrap_or_default();
                    format!("command = [\"sh\", \"-c\", \"{path} ${{port}}; true\"]")
                }
                None => line.replace("max_rounds = 12", "max_rounds = 8"),
            }
        });
        let lines: Vec<String> = lines.collect();
        lines.join("\n").replace("operations_per_round = 5000", "operations_per_round = 2000")
    });
    let told = format!("{:#}\n{said}", memory["sites"]);
    assert_eq!(code, Some(98), "{told}");
    let site = &memory["sites"][0];
    assert_eq!(site["verdict"], "leaking", "{told}");
    assert_eq!(site["function"], "main.(*order).follow", "{told}");
    let file = site["file"].as_str().unwrap_or_default();
    assert!(file.ends_with("go/waiting.go") && site["line"] == 22, "{told}");
    assert_eq!((&site["kind"], &site["kind_from"]), (&"task".into(), &"census".into()), "{told}");
    // The program's own memory, and not that of the shell before it.
    let rss = memory["rounds"][0]["rss_bytes"].as_u64().unwrap_or_default();
    assert!(rss > 5_000_000, "{rss}");
    assert!(said.contains("runtime.MemProfileRate"), "{said}");
}

/// A program that runs until it is dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn dumps_of_a_url_are_a_series_in_a_folder() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let program = Command::new(built("growing")).arg(address.port().to_string()).spawn();
    let _running = Running(program.expect("the program starts"));
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::yield_now();
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().display().to_string();
    let ebb = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_ebb")).args(words).output().expect("the program starts")
    };
    for _ in 0..4 {
        let dumped = ebb(&["dump", &format!("http://{address}"), "-o", &path]);
        let said = String::from_utf8_lossy(&dumped.stderr).into_owned();
        assert!(dumped.status.success() && said.starts_with("live heap "), "{said}");
        assert!(!said.contains("resident"), "{said}");
    }
    let judged = ebb(&["leaks", "--json", &path]);
    let verdict: Value = serde_json::from_slice(&judged.stdout).expect("a document");
    assert_eq!(verdict["rounds"].as_array().map(Vec::len), Some(4), "{verdict:#}");
    assert_eq!(judged.status.code(), Some(0), "{verdict:#}");
}

#[test]
fn a_slice_with_a_bound_is_not_called_leaking() {
    let (code, memory, said) = run("growing-mended.toml", "growing", |text| {
        text.replace("operations_per_round = 20000", "operations_per_round = 5000")
    });
    assert_eq!(code, Some(0), "{:#}\n{said}", memory["sites"]);
    assert!(memory["detectable_bytes_per_op"].as_f64().is_some_and(|bytes| bytes > 0.0));
}
