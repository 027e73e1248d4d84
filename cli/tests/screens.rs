//! What a person sees, in the real thing: the report and the chat page in Chromium, the screen in
//! a terminal of tmux. In: a recorded run, a server that runs. Out: what was drawn, and that the
//! terminal is left clean. How it looks is for eyes; that it is there at all is held here.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

const HINT: &str = "run `cargo xtask setup`, which installs what tests need";

fn ebb() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebb"));
    command.stdin(Stdio::null());
    command
}

/// A run's folder with the events that the formats are documented by.
fn recorded(folder: &Path) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../record/tests/golden/events.ndjson");
    let run = folder.join("run");
    std::fs::create_dir_all(&run).expect("a folder");
    std::fs::copy(golden, run.join("events.ndjson")).expect("the golden events");
    run
}

/// The page after its script has run.
fn drawn(url: &str) -> String {
    let profile = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-quic", "--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .output()
        .unwrap_or_else(|error| panic!("`chromium` does not start ({error}): {HINT}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_report_draws_its_charts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = recorded(folder.path());
    let output = ebb().arg("report").arg(&run).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = run.join("report.html");
    let still = std::fs::read_to_string(&file).expect("a report");
    let page = drawn(&format!("file://{}", file.display()));
    let charts = |text: &str| text.matches("<path d=\"M").count();
    assert!(charts(&page) > charts(&still), "the script of the report drew nothing: {page:.2000}");
}

/// A server of the test's own, on a port of the system's choice.
struct Serving {
    child: Child,
    url: String,
    /// Kept open: who writes to a log that nobody can read has a reason to stop.
    _said: BufReader<ChildStderr>,
}

impl Serving {
    fn start() -> Self {
        let mut child = ebb()
            .args(["serve", "--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            assert!(said.read_line(&mut line).expect("a line") > 0, "it says where it listens");
        }
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_default().to_owned();
        Self { child, url, _said: said }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks at a page before it counts as not connecting.
const LOOKS_AT_A_PAGE: usize = 4;

/// What the page says once it is in its first room.
const WELCOME: &str = "Welcome to #lobby";

#[test]
fn the_chat_page_connects_by_itself() {
    let server = Serving::start();
    // A browser that is asked for a page does not wait for its sockets; on a busy machine the
    // first look may come before they are open.
    let mut page = drawn(&server.url);
    for _ in 1..LOOKS_AT_A_PAGE {
        if page.contains(WELCOME) {
            break;
        }
        page = drawn(&server.url);
    }
    assert!(page.contains(WELCOME), "{page}");
    assert!(page.contains("data-state=\"open\""), "{page}");
}

/// A terminal of its own, gone with the test.
struct Terminal {
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Terminal {
    fn run(columns: u16, rows: u16, shell: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let terminal = Self { socket: folder.path().join("tmux"), _folder: folder };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let words = ["new-session", "-d", "-x", &columns, "-y", &rows, shell];
        let started = terminal.tmux(&words);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        terminal
    }

    fn tmux(&self, words: &[&str]) -> Output {
        Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(words)
            .output()
            .unwrap_or_else(|error| panic!("`tmux` does not start ({error}): {HINT}"))
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Looks until the screen has `word`; the test runner bounds the wait.
    fn until(&self, word: &str) -> String {
        loop {
            let shown = self.shown();
            if shown.contains(word) {
                return shown;
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn the_screen_fits_a_small_terminal_and_leaves_it_clean() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = recorded(folder.path());
    let program = env!("CARGO_BIN_EXE_ebb");
    let shell = format!(
        "echo before; {program} watch {}; stty -a | grep -o ' echo '; echo left with $?; exec cat",
        run.display()
    );
    let terminal = Terminal::run(80, 24, &shell);
    let memory = terminal.until("Memory");
    assert!(memory.lines().all(|line| line.chars().count() <= 80), "{memory}");
    terminal.tmux(&["send-keys", "4"]);
    terminal.until("growth/op");
    terminal.tmux(&["send-keys", "q"]);
    let after = terminal.until("left with 0");
    assert!(after.contains("before"), "the screen that was there is back: {after}");
    assert!(after.contains(" echo"), "the terminal echoes again: {after}");
}
