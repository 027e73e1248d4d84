//! Thresholds in k6's grammar: their faults, what holds without samples, those that end a load, and
//! those that must hold in each window.
//!
//! In: scenarios, and totals of a real load. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::guard::Guard;
use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, threshold};
use ebbtide_record::Metrics;
use std::sync::Arc;
use std::time::Duration;
use support::TestServer;

fn scenario(base: &str, thresholds: &str) -> Result<Scenario, String> {
    let text = format!(
        "[target]\nbase = \"{base}\"\n[flow.a]\nexecutor = \"constant-vus\"\nvus = 2\n\
         duration = \"4s\"\ntags = {{ team = \"core\" }}\n\
         steps = [{{ get = \"/\", name = \"home\" }}, {{ think = \"10ms\" }}]\n\
         [thresholds]\n{thresholds}\n"
    );
    Scenario::parse(&text, "a.toml").map_err(|faults| faults.to_string())
}

#[test]
fn every_form_of_k6_is_read_and_every_fault_has_its_cure() {
    for good in [
        "http_req_duration = \"p(95) < 200\"",
        "http_req_duration = [\"avg<=5\", \"min > 0\", \"med>=1\", \"max != 3\", \"p(99.99)<9e3\"]",
        "http_reqs = [\"count === 5\", \"rate == 1.5\"]",
        "http_req_failed = [\"rate<0.01\"]",
        "vus = [\"value > -1\"]",
        "\"http_req_duration{ name:home, team:core }\" = [\" p( 95 )  <  200 \"]",
        "\"checks{name:home}\" = [{ threshold = \"rate > 0.9\", abort_on_fail = true, \
         delay_abort_eval = \"10s\" }]",
        "http_req_duration = [{ threshold = \"p(99) < 250\", over = \"10s\" }]",
    ] {
        assert_eq!(scenario("http://127.0.0.1:1", good).map(|_| ()), Ok(()), "{good}");
    }
    for (bad, words) in [
        ("http_req_durations = [\"avg < 1\"]", "(did you mean `http_req_duration`?)"),
        ("http_reqs = [\"avg < 1\"]", "`avg` is no value of `http_reqs` (it has `count`, `rate`)"),
        ("http_req_failed = [\"count < 1\"]", "(it has `rate`)"),
        ("checks = [\"rate > most\"]", "its right side is not a number"),
        ("checks = [\"rate 0.9\"]", "it has no operator"),
        ("http_req_duration = [\"p(101) < 1\"]", "its left side is not a value"),
        ("\"http_reqs{name:a\" = [\"count > 1\"]", "does not end in `}`"),
        ("\"http_reqs{name}\" = [\"count > 1\"]", "`name` is not a tag (write `name:value`)"),
        ("vus = [{ threshold = \"value < 9\", over = \"5s\" }]", "leave `over` out"),
        ("checks = [{ threshold = \"rate > 0\", over = \"1h\" }]", "a window lasts from 1 s to"),
    ] {
        let fault = scenario("http://127.0.0.1:1", bad).map(|_| ()).unwrap_err();
        assert!(fault.starts_with("a.toml:10: ") && fault.contains(words), "{bad}: {fault}");
    }
}

#[test]
fn without_samples_a_metric_counts_as_zero_and_a_rate_is_not_judged() {
    for (threshold, holds) in [
        ("http_req_duration = [\"p(95) < 200\"]", true),
        ("http_req_duration = [\"avg > 1\"]", false),
        ("http_reqs = [\"count > 0\"]", false),
        ("\"http_reqs{name:nothing}\" = [\"count == 0\"]", true),
        ("checks = [\"rate > 0.99\"]", true),
        ("http_req_failed = [\"rate > 0.5\"]", true),
    ] {
        let thresholds = scenario("http://127.0.0.1:1", threshold).unwrap().thresholds;
        let mut metrics = Metrics::new();
        assert_eq!(threshold::judge(&thresholds, &mut metrics).is_empty(), holds, "{threshold}");
        let shown = &metrics[&thresholds[0].metric].thresholds[&thresholds[0].expression];
        assert_eq!(shown.ok, holds, "{threshold}");
    }
}

/// Drives the load under guard; seconds seen, why it ended, and what failed.
async fn guarded(base: &str, thresholds: &str) -> (usize, Option<String>, Vec<String>, String) {
    let scenario = scenario(base, thresholds).unwrap();
    let plan = Arc::new(Plan::resolve(&scenario, base).unwrap());
    let mut guard = Guard::new(&plan.thresholds);
    let mut engine = Engine::start(plan, Pass { threads: 1, ..Pass::default() }).unwrap();
    let stopper = engine.stopper();
    let (mut seconds, mut why) = (0, None);
    while engine.next().await.is_some() {
        seconds += 1;
        if why.is_none() {
            why = guard.see(engine.totals(), engine.histograms());
            if why.is_some() {
                stopper.drain();
            }
        }
    }
    let mut metrics = engine.finish().await.so_far().metrics;
    let failed = guard.judge(&mut metrics);
    (seconds, why, failed, guard.warning().map(|warning| warning.message).unwrap_or_default())
}

#[tokio::test]
async fn a_threshold_ends_the_load_when_it_may() {
    let server = TestServer::start();
    let ends = "{ threshold = \"count < 5\", abort_on_fail = true }";
    let (seconds, why, failed, _) =
        guarded(&server.base, &format!("\"http_reqs{{team:core}}\" = [{ends}]")).await;
    assert_eq!(why.as_deref(), Some("threshold `http_reqs{team:core}: count < 5` failed"));
    assert_eq!(failed, ["http_reqs{team:core}: count < 5"]);
    assert!(seconds <= 3, "{seconds}");
    let late = "{ threshold = \"count < 5\", abort_on_fail = true, delay_abort_eval = \"1h\" }";
    let (_, why, failed, _) = guarded(&server.base, &format!("http_reqs = [{late}]")).await;
    assert_eq!((why, failed.len()), (None, 1));
    // Nothing of it was measured, so there is nothing to end the load for.
    let idle = "{ threshold = \"avg > 5\", abort_on_fail = true }";
    let (_, why, failed, _) = guarded(&server.base, &format!("ws_msg_rtt = [{idle}]")).await;
    assert_eq!((why, failed.len()), (None, 1));
}

#[tokio::test]
async fn a_window_is_judged_once_it_is_full_and_named_when_it_breaks() {
    let server = TestServer::start();
    let thresholds = "http_reqs = [{ threshold = \"count < 1\", over = \"2s\" }, \
                      { threshold = \"count > 0\", over = \"2s\" }, \
                      { threshold = \"count < 1\", over = \"20s\" }]";
    let (seconds, why, failed, told) = guarded(&server.base, thresholds).await;
    // Four seconds have three windows of two seconds, and none of twenty.
    assert!(seconds >= 4 && why.is_none());
    assert_eq!(failed, ["http_reqs: count < 1 over 2s"]);
    assert!(told.contains("first from 0 s to 2 s"), "{told}");
    let limits = Duration::from_secs(2);
    assert!(scenario(&server.base, thresholds).unwrap().thresholds[0].over == Some(limits));
}
