//! A target that stands still once, by SIGSTOP: corrected latency shows what the schedule
//! predicts, uncorrected latency does not.
//!
//! In: a real child process, this test binary over again. Out: verdicts of `cargo test`. The
//! freeze is predicted from when it was measured to begin and end, so that a slow machine moves
//! both sides alike.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::{Engine, Pass, Plan, Quick};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::TestServer;

/// Tells the child that it is one.
const ROLE: &str = "EBBTIDE_TEST_TARGET";

/// Arrivals a second, and seconds.
const RATE: f64 = 100.0;
const SECONDS: f64 = 6.0;

/// Connections: few, so that uncorrected latency sees the freeze a few times at most.
const CONNECTIONS: u32 = 4;

/// The child: a server until it is killed. Without the role there is nothing to do.
#[test]
fn stands_in_as_the_target() {
    if std::env::var_os(ROLE).is_some() {
        let server = TestServer::start();
        eprintln!("base {}", server.base);
        loop {
            std::thread::park();
        }
    }
}

struct Target {
    child: Child,
    base: String,
}

impl Target {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "stands_in_as_the_target", "--nocapture"])
            .env(ROLE, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut bases = lines
            .map_while(Result::ok)
            .filter_map(|line| line.split_once("base ").map(|(_, base)| base.trim().to_owned()));
        let base = bases.next().unwrap();
        Self { child, base }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // A process that is stopped is killed as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The latencies that the schedule predicts, in order: arrival n is due at n / rate; if that lies
/// within the freeze, it is answered at the freeze's end, and otherwise at once.
fn predicted(frozen: (f64, f64), at_once: f64) -> Vec<f64> {
    let arrivals = (RATE * SECONDS) as u32;
    let mut latencies: Vec<f64> = (0..arrivals)
        .map(|n| f64::from(n) / RATE)
        .map(|due| if due >= frozen.0 && due < frozen.1 { frozen.1 - due } else { 0.0 })
        .map(|wait| wait + at_once)
        .collect();
    latencies.sort_by(f64::total_cmp);
    latencies
}

#[tokio::test]
async fn a_freeze_is_seen_as_the_schedule_predicts() {
    let target = Target::start();
    let quick = Quick {
        url: format!("{}/", target.base),
        rate: Some(RATE),
        duration: Duration::from_secs_f64(SECONDS),
        connections: CONNECTIONS,
        timeout: Duration::from_secs(60),
        ..Quick::default()
    };
    let plan = Arc::new(Plan::quick(&quick).unwrap());
    let began = Instant::now();
    let pass = Pass { threads: 1, ..Pass::default() };
    let mut engine = Engine::start(plan, pass).unwrap();
    engine.next().await.unwrap();
    target.signal(Signal::STOP);
    let begin = began.elapsed().as_secs_f64();
    engine.next().await.unwrap();
    engine.next().await.unwrap();
    target.signal(Signal::CONT);
    let end = began.elapsed().as_secs_f64();
    let totals = engine.finish().await;

    let metrics = totals.so_far().metrics;
    let told = |metric: &str, key: &str| metrics[metric].value(key).unwrap() / 1e3;
    let uncorrected = told("http_req_duration", "med");
    // A busy machine may leave the last one or two of the schedule beyond its end.
    let count = told("http_req_latency", "count") * 1e3;
    assert!((RATE * SECONDS * 0.99..=RATE * SECONDS).contains(&count), "{count}");
    let expected = predicted((begin, end), uncorrected);
    // The n-th of 600 is the quantile of n / 600, as the histogram has it.
    let at = |share: f64| expected[(expected.len() as f64 * share).ceil() as usize - 1];
    let frozen = end - begin;
    for (key, share) in [("p(90)", 0.9), ("p(99)", 0.99), ("p(99.9)", 0.999), ("max", 1.0)] {
        let (told, expected) = (told("http_req_latency", key), at(share));
        let slack = (expected * 0.02).max(0.005);
        assert!(
            (told - expected).abs() <= slack,
            "{key}: {told:.4} s, predicted {expected:.4} s of a freeze of {frozen:.4} s"
        );
    }
    assert!(told("http_req_latency", "p(99)") > frozen * 0.9);
    // Four requests were on their way, of 600: the median knows nothing of the freeze, and the
    // 99th percentile hardly more.
    assert!(uncorrected < frozen * 0.05, "{uncorrected}");
    assert!(told("http_req_duration", "p(99)") < frozen * 0.5);
}
