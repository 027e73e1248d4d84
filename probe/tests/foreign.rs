//! The probe inside a service that is not of this workspace: built by its own lock file, linked
//! by its own rules, asked from outside.
//! In: `tests/foreign`. Out: proof that three lines are enough, or a panic that says what is not.
//! Profiles are read back by a decoder that is not ours. Needs cargo, node and `xtask/npm`.
#![allow(clippy::unwrap_used, reason = "tests may; the lint's own exception wants `#[test]` above")]

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{ask, ask_json, read_back, snapshot, snapshots};
use tempfile::TempDir;

/// Bytes of an order; jemalloc gives it 5,120, a size that nothing else in the service asks for.
const ORDER_BYTES: usize = 5_000;
const ORDER_CLASS: &str = "5120";

/// How long objects may take to grow old by some seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds the service once, beside the workspace's own target folder.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("foreign", &[]))
}

fn build(name: &str, features: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("foreign");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bin", name, "--features", &features.join(",")])
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug").join(name)
}

fn command(dir: &Path, variables: &[(&str, &str)]) -> Command {
    command_of(binary(), dir, variables)
}

fn command_of(program: &Path, dir: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    for name in ["ALLOCATOR", "DIR", "ADMIN", "ADMIN_TOKEN", "SAMPLE", "CENSUS"] {
        command.env_remove(format!("EBBTIDE_{name}"));
    }
    command.env_remove("_RJEM_MALLOC_CONF").env("EBBTIDE_DIR", dir);
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The running service.
struct Service {
    dir: TempDir,
    child: Child,
    address: String,
    announcement: Value,
}

impl Service {
    fn start(variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = command(dir.path(), variables).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("the service did not start: {errors}");
        };
        let announced = dir.path().join(format!("probe-{}.json", child.id()));
        let announcement = serde_json::from_slice(&std::fs::read(announced).unwrap()).unwrap();
        Self { address: address.to_owned(), dir, child, announcement }
    }

    fn admin(&self) -> &str {
        self.announcement["admin"].as_str().expect("the service has an admin listener")
    }

    fn order(&self, count: usize) {
        for _ in 0..count {
            let (status, ..) = ask(&self.address, "POST /orders", &[b'x'; ORDER_BYTES]);
            assert_eq!(status, 201);
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks for a snapshot by signal and waits for number `sequence`.
    fn dump(&self, sequence: u64) -> (PathBuf, Value) {
        self.signal(rustix::process::Signal::USR2);
        snapshot(self.dir.path(), sequence)
    }

    /// Ends the service as an operator would, and hands back the folder.
    fn stop(mut self) -> TempDir {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn refused(variables: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let Output { status, stderr, .. } = command(dir.path(), variables).output().unwrap();
    assert_eq!(status.code(), Some(1), "{variables:?} must be refused");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn three_lines_give_exact_snapshots_on_a_signal() {
    let service = Service::start(&[("EBBTIDE_SAMPLE", "1")]);
    let announcement = &service.announcement;
    assert_eq!(announcement["schema"], "ebbtide/probe/1");
    assert_eq!(announcement["pid"], service.child.id());
    assert_eq!(announcement["admin"], Value::Null);
    assert_eq!(announcement["profiling"], true, "the static configuration was lost at link");
    assert_eq!(announcement["accumulated"], true);
    assert_eq!(announcement["sample_interval_bytes"], 1);

    let orders = |profile: &Value| profile["liveObjectsBySize"][ORDER_CLASS].as_i64().unwrap_or(0);
    service.dump(1);
    let before = read_back(&service.dump(2).0);
    // The probe's own work leaves no trace: between two snapshots nothing was allocated at all.
    assert_eq!(read_back(&service.dump(3).0)["totals"], before["totals"]);
    service.order(200);
    let (file, sidecar) = service.dump(4);
    let after = read_back(&file);
    assert_eq!(orders(&after) - orders(&before), 200);

    assert_eq!(sidecar["trigger"], "signal");
    assert_eq!(sidecar["sampling"]["mean_bytes"], 1);
    assert!(sidecar["process"]["rss_bytes"].as_u64().unwrap() > 1_000_000);
    assert!(sidecar["allocator"]["resident_bytes"].as_u64().unwrap() > 1_000_000);
    assert_eq!(sidecar["census"]["schema"], "ebbtide/census/1");
    let exe = service.announcement["exe"].as_str().unwrap();
    assert_eq!(after["buildIds"][exe], sidecar["build_id"]);
    assert_eq!(sidecar["build_id"].as_str().unwrap().len(), 40);

    let common = announcement_in_tmp(service.child.id());
    assert!(common.exists());
    let own = service.dir.path().join(common.file_name().unwrap());
    let dir = service.stop();
    assert!(!own.exists() && !common.exists(), "the announcement outlives a clean exit");
    assert_eq!(snapshots(dir.path()).len(), 4);
}

fn announcement_in_tmp(pid: u32) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    PathBuf::from(format!("/tmp/ebbtide-{uid}/probe-{pid}.json"))
}

#[test]
fn a_sampled_profile_is_standard_and_unbiased() {
    let service = Service::start(&[("EBBTIDE_SAMPLE", "4KiB")]);
    service.order(1_000);
    let profile = read_back(&service.dump(1).0);
    let columns =
        ["alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"];
    assert_eq!(profile["columns"], serde_json::json!(columns));
    assert_eq!(profile["shown"], "inuse_space");
    assert_eq!(
        (&profile["periodType"], &profile["period"]),
        (&"space/bytes".into(), &4_096.into())
    );
    assert_eq!((&profile["strangers"], &profile["leafIsMapped"]), (&0.into(), &true.into()));

    // Relative standard error sqrt(R / B) is 2.8 %: five times that is no chance.
    // jemalloc writes whole samples, so the mean size of a stack is near its class, not on it.
    let class: f64 = ORDER_CLASS.parse().unwrap();
    let near = |size: &str| (size.parse::<f64>().unwrap() / class - 1.0).abs() < 0.02;
    let by_size = profile["liveObjectsBySize"].as_object().unwrap();
    let live = by_size.iter().filter(|(size, _)| near(size));
    let live: f64 = live.map(|(_, objects)| objects.as_f64().unwrap()).sum();
    assert!((live / 1_000.0 - 1.0).abs() < 0.15, "{live} of 1,000 orders");
    let total = profile["totals"][3].as_f64().unwrap();
    let stated = profile["comments"].as_array().unwrap().iter().find_map(|comment| {
        comment.as_str()?.strip_prefix("inuse_space_total=")?.parse::<f64>().ok()
    });
    assert!((total / stated.unwrap() - 1.0).abs() < 0.002, "{total} against {stated:?}");
    let samples = profile["samples"].as_f64().unwrap();
    assert!(samples < total / 4_096.0 * 1.5, "{samples} samples are raw counts");
}

#[test]
fn signals_in_a_row_give_a_file_each_and_a_burst_gives_whole_files() {
    let service = Service::start(&[]);
    for sequence in 1..=10 {
        let (file, sidecar) = service.dump(sequence);
        assert_eq!(sidecar["merged"], 0);
        assert_eq!(read_back(&file)["period"], 512 * 1_024);
    }
    for _ in 0..10 {
        service.signal(rustix::process::Signal::USR2);
    }
    snapshot(service.dir.path(), 11);
    let dir = service.stop();
    let burst = snapshots(dir.path()).split_off(10);
    let counted: u64 = burst.iter().map(|(_, one)| 1 + one["merged"].as_u64().unwrap()).sum();
    assert!((1..=10).contains(&counted), "{counted} signals counted of 10 sent");
    for (file, _) in &burst {
        read_back(file);
    }
    let temporary = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.'));
    assert_eq!(temporary.count(), 0);
}

#[test]
fn the_admin_listener_answers_its_contract() {
    let service = Service::start(&[("EBBTIDE_ADMIN", "127.0.0.1:0"), ("EBBTIDE_SAMPLE", "64KiB")]);
    let admin = service.admin();
    let memory = ask_json(admin, "GET /debug/memory?purge=1");
    assert_eq!(memory["schema"], "ebbtide/memory/1");
    assert_eq!(memory["pid"], service.child.id());
    assert_eq!(memory["sampling"]["mean_bytes"], 65_536);
    assert!(memory["process"]["threads"].as_u64().unwrap() >= 2);
    assert!(memory["allocator"]["allocated_bytes"].as_u64().unwrap() > 0);
    assert_eq!(ask_json(admin, "GET /debug/census")["schema"], "ebbtide/census/1");
    let sidecar = ask_json(admin, "POST /debug/snapshot?purge=1");
    assert_eq!((&sidecar["trigger"], &sidecar["sequence"]), (&"http".into(), &1.into()));
    assert_eq!(snapshot(service.dir.path(), 1).1, sidecar);

    let (status, content_type, body) = ask(admin, "GET /debug/pprof/heap", b"");
    assert_eq!((status, content_type.as_str()), (200, "application/octet-stream"));
    let file = service.dir.path().join("fetched");
    std::fs::write(&file, body).unwrap();
    assert_eq!(read_back(&file)["period"], 65_536);

    let refusals = [
        ("GET /debug/snapshot", 405),
        ("POST /debug/memory", 405),
        ("GET /debug/elsewhere", 404),
        ("GET /debug/memory\nHost: evil.example", 403),
        ("GET /debug/memory\nHost: localhost\nOrigin: http://localhost", 403),
    ];
    for (head, expected) in refusals {
        assert_eq!(ask(admin, head, b"").0, expected, "{head}");
    }
    assert_eq!(ask(admin, "POST /debug/snapshot", &[0; 70_000]).0, 413);
}

#[test]
fn an_open_listener_wants_its_token() {
    let service =
        Service::start(&[("EBBTIDE_ADMIN", "0.0.0.0:0"), ("EBBTIDE_ADMIN_TOKEN", "tide")]);
    let admin = service.admin().replace("0.0.0.0", "127.0.0.1");
    let cases = [
        ("GET /debug/memory\nHost: any.example", 401),
        ("GET /debug/memory\nHost: any.example\nAuthorization: Bearer tides", 401),
        ("GET /debug/memory\nHost: any.example\nAuthorization: Bearer tide", 200),
    ];
    for (head, expected) in cases {
        assert_eq!(ask(&admin, head, b"").0, expected, "{head}");
    }
}

#[test]
fn dhat_serves_the_same_binary_and_says_what_it_cannot() {
    let service =
        Service::start(&[("EBBTIDE_ALLOCATOR", "dhat"), ("EBBTIDE_ADMIN", "127.0.0.1:0")]);
    assert_eq!(service.announcement["allocator"], "dhat");
    assert_eq!(service.announcement["profiling"], false);
    let (status, _, body) = ask(service.admin(), "GET /debug/pprof/heap", b"");
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 501);
    assert!(text.contains("EBBTIDE_ALLOCATOR"), "{text}");
    assert_eq!(ask_json(service.admin(), "GET /debug/memory").get("allocator"), None);
    service.order(3);
    let name = format!("dhat-heap-{}.json", service.child.id());
    let dir = service.stop();
    let report: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join(name)).unwrap()).unwrap();
    assert_eq!(report["dhatFileVersion"], 2);
}

#[test]
fn a_program_with_jemalloc_pprof_of_its_own_sees_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let program = build("beside", &["jemalloc_pprof"]);
    let Output { status, stdout, stderr } =
        command_of(&program, dir.path(), &[("EBBTIDE_SAMPLE", "4KiB")]).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stdout).unwrap();
    let told = |word: &str| -> Vec<Vec<&str>> {
        let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines.filter(|line| line[0] == word).map(|line| line[1..].to_vec()).collect()
    };
    // The probe switches by the library's switch, so its book is right before and after.
    assert_eq!(told("active"), [["true"], ["false"]]);
    assert_eq!(told("interval"), [["4096"]]);
    let profile = read_back(Path::new(told("snapshot")[0][0]));
    let (ours, theirs) = (profile["totals"][3].as_f64().unwrap(), told("dump"));
    let theirs: f64 = theirs[0][0].trim_end_matches(':').parse().unwrap();
    assert!(theirs > 40_000_000.0 && (ours / theirs - 1.0).abs() < 0.01, "{ours}, {theirs}");

    let segments: Vec<(u64, u64, u64, &str)> = told("segment")
        .into_iter()
        .map(|word| {
            let number = |at: usize| word[at].parse().unwrap();
            (number(0), number(1), number(2), word[3])
        })
        .collect();
    let mut compared = 0;
    for mapping in profile["mappings"].as_array().unwrap() {
        let number = |key: &str| mapping[key].as_u64().unwrap();
        let file = mapping["file"].as_str().unwrap();
        let (start, limit) = (number("start"), number("limit"));
        let meets = |segment: &&(u64, u64, u64, &str)| segment.0 < limit && start < segment.1;
        if let Some(&(at, _, offset, id)) = segments.iter().find(meets)
            && file.starts_with('/')
        {
            assert_eq!(mapping["buildId"], id, "{file}");
            assert_eq!(start - number("offset"), at - offset, "{file}: the load address");
            compared += 1;
        }
    }
    assert!(compared >= 2, "{compared} files: the program and the C library at least");
}

/// Live objects of one size class by whether they are at least so many seconds old.
fn by_age(profile: &Value, class: &str, old_s: u64) -> (u64, u64) {
    let (mut young, mut old) = (0, 0);
    for (age_s, samples) in profile["agesBySize"][class].as_object().into_iter().flatten() {
        let samples = samples.as_u64().unwrap();
        *(if age_s.parse::<u64>().unwrap() < old_s { &mut young } else { &mut old }) += samples;
    }
    (young, old)
}

#[test]
fn ages_tell_a_leak_from_a_cache_that_turns_over() {
    let dir = tempfile::tempdir().unwrap();
    let program = build("aged", &["ages"]);
    // Each allocation is sampled, so that all numbers are exact.
    let variables = [("EBBTIDE_SAMPLE", "1"), ("EBBTIDE_ADMIN", "127.0.0.1:0")];
    let mut command = command_of(&program, dir.path(), &variables);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let announced = dir.path().join(format!("probe-{}.json", child.id()));
    let (mut orders, said) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = BufReader::new(said);
    let mut work = |operations: u32| {
        writeln!(orders, "{operations}").unwrap();
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
    };
    work(200);
    let announcement: Value = serde_json::from_slice(&std::fs::read(announced).unwrap()).unwrap();
    let look = || {
        let (status, _, body) =
            ask(announcement["admin"].as_str().unwrap(), "GET /debug/pprof/heap", b"");
        assert_eq!(status, 200);
        let file = dir.path().join("fetched");
        std::fs::write(&file, body).unwrap();
        read_back(&file)
    };
    let profile = look();
    assert_eq!(by_age(&profile, "5120", 3_600), (200, 0), "{}", profile["agesBySize"]);
    assert_eq!(by_age(&profile, "7168", 3_600), (64, 0), "{}", profile["agesBySize"]);
    // Both grow old together while nothing happens.
    let until = Instant::now() + PATIENCE;
    while by_age(&look(), "5120", 2).1 < 200 {
        assert!(Instant::now() < until, "nothing grew old");
    }
    work(100);
    let profile = look();
    let (leak, cache) = (by_age(&profile, "5120", 2), by_age(&profile, "7168", 2));
    let all = |(young, old): (u64, u64)| young + old;
    assert_eq!((all(leak), all(cache)), (300, 64), "{}", profile["agesBySize"]);
    // A snapshot on a busy machine may take so long that what is new is not young any more: then
    // it is at least younger than what is old.
    assert!(leak.1 >= 200, "of every age: {}", profile["agesBySize"]);
    let oldest = |class: &str| {
        let ages = profile["agesBySize"][class].as_object().unwrap().keys();
        ages.map(|age_s| age_s.parse::<u64>().unwrap()).max()
    };
    assert!(oldest("7168") < oldest("5120"), "turned over: {}", profile["agesBySize"]);
    assert!(profile["comments"].as_array().unwrap().contains(&"ages_lost=0".into()));
    drop(orders);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_start_that_cannot_be_says_the_cure() {
    let cases = [
        (("_RJEM_MALLOC_CONF", "prof:false"), "take `prof:false` out"),
        (("EBBTIDE_SAMPLE", "much"), "`64KiB`"),
        (("EBBTIDE_ADMIN", "here"), "`127.0.0.1:0`"),
        (("EBBTIDE_ADMIN", "0.0.0.0:0"), "EBBTIDE_ADMIN_TOKEN"),
        (("EBBTIDE_DIR", "/proc/nowhere"), "a folder of your own"),
    ];
    for (variable, cure) in cases {
        let text = refused(&[variable]);
        assert!(text.contains(cure), "{variable:?}: {text}");
    }
}
