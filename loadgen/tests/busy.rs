//! A generator on a core that another process keeps busy says so, in either model.
//!
//! In: real child processes, this test binary over again, pinned to one core. Out: verdicts of
//! `cargo test`.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::{Engine, Pass, Plan, Quick};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::TestServer;

/// What a child is to do, and where the server is.
const ROLE: &str = "EBBTIDE_TEST_ROLE";
const BASE: &str = "EBBTIDE_TEST_BASE";

/// Processes that keep the core busy: with three of them a quarter of it is left.
const HOGS: usize = 3;

/// A child: keeps its core busy until it is killed, or loads and says what it doubts.
#[tokio::test]
async fn plays_a_role() {
    let role = std::env::var(ROLE).unwrap_or_default();
    match role.as_str() {
        "" => {}
        "hog" => loop {
            std::hint::spin_loop();
        },
        model => {
            let quick = Quick {
                url: std::env::var(BASE).unwrap(),
                connections: 16,
                duration: Duration::from_secs(3),
                rate: (model == "open").then_some(2_000.0),
                ..Quick::default()
            };
            let plan = Arc::new(Plan::quick(&quick).unwrap());
            let pass = Pass { threads: 1, ..Pass::default() };
            let totals = Engine::start(plan, pass).unwrap().finish().await;
            for warning in totals.warnings() {
                eprintln!("doubt {}: {}", warning.code, warning.message);
            }
        }
    }
}

fn pinned(role: &str, base: &str) -> Command {
    let mut command = Command::new("taskset");
    command
        .args(["-c", "0"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "plays_a_role", "--nocapture"])
        .env(ROLE, role)
        .env(BASE, base)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

struct Hog(Child);

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_generator_without_a_core_of_its_own_says_so() {
    let server = TestServer::start();
    let hogs: Vec<Hog> =
        (0..HOGS).map(|_| Hog(pinned("hog", "").spawn().expect("taskset"))).collect();
    for model in ["closed", "open"] {
        let Output { stderr, .. } =
            pinned(model, &server.base).stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&stderr);
        let doubts: Vec<&str> =
            told.lines().filter_map(|line| line.split_once("doubt ")).map(|(_, it)| it).collect();
        let found = doubts.iter().any(|doubt| {
            doubt.starts_with("generator_saturated:") && doubt.contains("waited for a CPU")
        });
        assert!(found, "{model}: {doubts:?}");
    }
    drop(hogs);
}
