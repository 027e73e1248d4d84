//! The metrics of a summary beside what k6's documentation says of them: names, types, what they
//! contain, and the keys of their values.
//!
//! In: a real load over HTTP, with checks. Out: verdicts of `cargo test`. The table is written by
//! hand from the pages "Built-in metrics" and "Custom summary".

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::{Engine, Pass, Plan, Scenario};
use serde_json::Value;
use std::sync::Arc;
use support::TestServer;

const TREND: &[&str] = &["avg", "min", "med", "max", "p(90)", "p(95)"];
const COUNTER: &[&str] = &["count", "rate"];
const RATE: &[&str] = &["rate", "passes", "fails"];
const GAUGE: &[&str] = &["value", "min", "max"];

/// Name, type, contains, keys of the values.
const K6: [(&str, &str, &str, &[&str]); 13] = [
    ("http_reqs", "counter", "default", COUNTER),
    ("http_req_failed", "rate", "default", RATE),
    ("http_req_duration", "trend", "time", TREND),
    ("http_req_waiting", "trend", "time", TREND),
    ("http_req_receiving", "trend", "time", TREND),
    ("http_req_connecting", "trend", "time", TREND),
    ("iterations", "counter", "default", COUNTER),
    ("iteration_duration", "trend", "time", TREND),
    ("checks", "rate", "default", RATE),
    ("data_sent", "counter", "data", COUNTER),
    ("data_received", "counter", "data", COUNTER),
    ("vus", "gauge", "default", GAUGE),
    ("vus_max", "gauge", "default", GAUGE),
];

#[tokio::test]
async fn metrics_have_k6s_names_types_and_keys() {
    let server = TestServer::start();
    let text = format!(
        "[target]\nbase = \"{}\"\n[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 2\n\
         iterations = 5\nsteps = [{{ get = \"/\", check = {{ status = 200 }} }}]\n\
         [thresholds]\nhttp_req_duration = [\"p(97) < 60000\"]\n\
         \"http_reqs{{scenario:a}}\" = [\"count >= 10\"]\n",
        server.base
    );
    let scenario = Scenario::parse(&text, "a.toml").unwrap();
    let plan = Arc::new(Plan::resolve(&scenario, &server.base).unwrap());
    let pass = Pass { threads: 1, ..Pass::default() };
    let mut metrics = Engine::start(plan, pass).unwrap().finish().await.so_far().metrics;
    ebbtide_loadgen::threshold::judge(&scenario.thresholds, &mut metrics);
    let json = serde_json::to_value(&metrics).unwrap();
    for (name, metric_type, contains, keys) in K6 {
        let metric = &json[name];
        assert_eq!(metric["type"], metric_type, "{name}");
        assert_eq!(metric["contains"], contains, "{name}");
        for key in keys {
            assert!(metric["values"][key].is_number(), "{name} has no `{key}`: {metric}");
        }
    }
    assert_eq!(json["http_req_duration"]["thresholds"]["p(97) < 60000"]["ok"], Value::Bool(true));
    let sub = &json["http_reqs{scenario:a}"];
    assert_eq!(sub["values"]["count"], 10.0);
    assert_eq!(sub["thresholds"]["count >= 10"]["ok"], Value::Bool(true));
}
