//! The probe inside this very test program, which allocates through it: what only a program that
//! holds the `Probe` can do (caps, triggers, routes, a mount of its own, the census's wrappers).
//! In: `Options`. Out: proof by the files, the replies and the census.
//! A process has one probe, so the tests take turns.
#![allow(clippy::unwrap_used, reason = "tests may; the lint's own exception wants `#[test]` above")]

mod support;

use ebbtide_probe::{
    Allocator, Census, Kind, Mode, Options, Reply, Request, StartError, in_flight, interval, sleep,
    spawn, subscription, track,
};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use support::{ask, ask_json, read_back, snapshot, snapshots, wait_for};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_cap_on_files_keeps_the_newest_and_is_counted() {
    let _turn = my_turn();
    let dir = tempfile::tempdir().unwrap();
    let probe = Options::default().dir(dir.path()).keep(3, u64::MAX).start().unwrap();
    assert_eq!(Mode::current(), Mode::Jemalloc);
    for _ in 0..5 {
        probe.snapshot().unwrap();
    }
    let kept: Vec<u64> =
        snapshots(dir.path()).iter().map(|(_, one)| one["sequence"].as_u64().unwrap()).collect();
    assert_eq!(kept, [kept[0], kept[0] + 1, kept[0] + 2]);
    let last = probe.snapshot().unwrap();
    let sidecar = snapshot(dir.path(), kept[0] + 3).1;
    assert_eq!((&sidecar["deleted"], &sidecar["trigger"]), (&2.into(), &"program".into()));
    read_back(&last);
}

#[test]
fn there_is_one_probe_and_then_another() {
    let _turn = my_turn();
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default().dir(dir.path());
    let first = options.clone().start().unwrap();
    assert!(matches!(options.clone().start(), Err(StartError::Running)));
    assert!(first.snapshot().is_ok());
    drop(first);
    let second = options.at_exit(true).start().unwrap();
    drop(second);
    assert_eq!(snapshots(dir.path()).last().unwrap().1["trigger"], "exit");
}

#[test]
fn a_handler_of_the_program_is_not_taken_away() {
    let _turn = my_turn();
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // A signal that the program handles for good would stay so for the other tests: this one
    // goes by a child of the same program.
    if std::env::var_os("EBBTIDE_TEST_HANDLES").is_some() {
        let kind = tokio::signal::unix::SignalKind::user_defined2();
        let _handler = runtime.block_on(async { tokio::signal::unix::signal(kind) }).unwrap();
        let options = Options::default().dir(dir.path());
        assert!(matches!(options.clone().start(), Err(StartError::SignalTaken)));
        assert!(options.signal(false).start().is_ok());
        return;
    }
    let name = "a_handler_of_the_program_is_not_taken_away";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env("EBBTIDE_TEST_HANDLES", "yes")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

#[test]
fn time_and_growth_trigger_snapshots() {
    let _turn = my_turn();
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default().dir(dir.path());
    let timed = options.clone().every(Duration::from_secs(1)).start().unwrap();
    let by = |trigger: &str| {
        let mut all = snapshots(dir.path()).into_iter();
        all.find(|(_, one)| one["trigger"] == trigger)
    };
    wait_for(dir.path(), "snapshot by the clock", || by("timer"));
    drop(timed);
    let grown = options.rss_step(32 << 20).start().unwrap();
    let ballast = std::hint::black_box(vec![1u8; 128 << 20]);
    wait_for(dir.path(), "snapshot for growth", || by("rss"));
    drop((ballast, grown));
}

#[test]
fn routes_and_mounts_answer_on_the_probes_thread() {
    let _turn = my_turn();
    let dir = tempfile::tempdir().unwrap();
    let echo = Arc::new(|request: &Request| {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let body = String::from_utf8_lossy(&request.body);
        let Request { method, path, query, .. } = request;
        Reply::text(200, format!("{thread} {method} {path} {query} {body}"))
    });
    let probe = Options::default()
        .dir(dir.path())
        .admin_loopback()
        .route("/debug/echo", echo)
        .route("/debug/panic", Arc::new(|_: &Request| panic!("a fault of the host's")))
        .start()
        .unwrap();
    let admin = probe.admin().unwrap().to_string();
    let cases = [
        ("PUT /debug/echo/a?b=1", 200, "ebbtide-probe PUT /debug/echo/a b=1 body"),
        ("GET /debug/echoes", 404, "`/debug/echoes` is not here"),
        ("GET /debug/panic", 500, "the route `/debug/panic` panicked"),
        ("GET /debug/echo", 200, "ebbtide-probe GET /debug/echo"),
    ];
    for (head, status, start) in cases {
        let (got, _, body) = ask(&admin, head, b"body");
        let text = String::from_utf8(body).unwrap();
        assert!(got == status && text.starts_with(start), "{head}: {got} {text}");
    }

    let handle = probe.handle();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let request = || Request {
        method: "GET".to_owned(),
        path: "/debug/memory".to_owned(),
        ..Request::default()
    };
    assert_eq!(runtime.block_on(handle.respond(request())).status, 200);
    drop(probe);
    assert_eq!(runtime.block_on(handle.respond(request())).status, 503);
}

#[test]
fn the_census_counts_by_kind_line_and_age() {
    let _turn = my_turn();
    let dir = tempfile::tempdir().unwrap();
    let probe = Options::default().dir(dir.path()).admin_loopback().start().unwrap();
    let site = |census: &Value, line: u32| {
        let mut sites = census["sites"].as_array().unwrap().iter();
        let found = sites.find(|site| site["line"] == line && site["file"] == file!());
        found.cloned().unwrap_or_default()
    };
    let counts = |site: &Value| ["live", "created", "dropped"].map(|key| site[key].as_u64());
    let census = || ask_json(&probe.admin().unwrap().to_string(), "GET /debug/census");

    let line = line!() + 1;
    let mut guards: Vec<_> = (0..100).map(|_| track(Kind::Cache)).collect();
    guards.truncate(40);
    let flights = [in_flight(), in_flight()];
    let seen = census();
    assert_eq!(counts(&site(&seen, line)), [Some(40), Some(100), Some(60)]);
    assert_eq!(site(&seen, line)["kind"], "cache");
    assert_eq!(seen["in_flight"], 2);
    assert_eq!(seen["kinds"]["cache"]["live"], 40);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _runtime = runtime.enter();
    let first = line!() + 1;
    let task = spawn(std::future::pending::<()>());
    let listener = subscription(tokio::sync::broadcast::channel::<u8>(1));
    let ticker = interval(Duration::from_secs(3_600));
    let sleeper = sleep(Duration::from_secs(3_600));
    let seen = census();
    for (line, kind) in (first..).zip(["task", "listener", "timer", "timer"]) {
        assert_eq!(site(&seen, line)["kind"], kind);
        assert_eq!(site(&seen, line)["live"], 1, "{kind}");
    }
    task.abort();
    assert!(runtime.block_on(task).unwrap_err().is_cancelled());
    drop((listener, ticker, sleeper, flights));
    let seen = census();
    for line in first..first + 4 {
        assert_eq!(counts(&site(&seen, line)), [Some(0), Some(1), Some(1)]);
    }
    assert_eq!(seen["in_flight"], 0);

    drop((probe, guards));
    let off = Options::default().dir(dir.path()).census(false).start().unwrap();
    let before = Census::count().kinds["cache"];
    let uncounted = track(Kind::Cache);
    assert_eq!(Census::count().kinds["cache"], before);
    drop((off, uncounted));
}
