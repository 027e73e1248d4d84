//! Control steps against a real server: which steps are taken, how often, and under what name.
//!
//! In: scenarios. Out: verdicts of `cargo test`. What the server saw is the truth.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Totals};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::TestServer;

fn plan(base: &str, body: &str) -> Arc<Plan> {
    let text = format!("seed = 3\n[target]\nbase = \"{base}\"\n{body}");
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

fn flow(iterations: u64, steps: &str) -> String {
    format!(
        "[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = {iterations}\n\
         steps = [\n{steps}\n]\n"
    )
}

async fn drive(plan: &Arc<Plan>, input_round: u32) -> Totals {
    let pass = Pass { threads: 1, input_round, ..Pass::default() };
    Engine::start(Arc::clone(plan), pass).unwrap().finish().await
}

/// Paths of the requests the server saw, with their counts.
fn paths(server: &TestServer) -> BTreeMap<String, usize> {
    let mut paths = BTreeMap::new();
    for request in server.requests() {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        *paths.entry(path).or_default() += 1;
    }
    paths
}

/// Runs a flow once and says which paths it asked for, in the order of their names.
async fn asked(steps: &str) -> Vec<String> {
    let server = TestServer::start();
    drive(&plan(&server.base, &flow(1, steps)), 0).await;
    paths(&server).into_iter().flat_map(|(path, times)| vec![path; times]).collect()
}

#[tokio::test]
async fn conditions_decide_which_steps_are_taken() {
    let set = "{ set = { word = \"blue moon\", size = \"12\", none = \"\" } }";
    let table = [
        ("var = \"word\", exists = true", true),
        ("var = \"none\", exists = true", false),
        ("var = \"none\", exists = false", true),
        ("var = \"word\", equals = \"blue moon\"", true),
        ("var = \"word\", equals = \"${none}blue moon\"", true),
        ("var = \"word\", equals = \"blue\"", false),
        ("var = \"word\", not_equals = \"blue\"", true),
        ("var = \"word\", contains = \"e m\"", true),
        ("var = \"word\", contains = \"em\"", false),
        ("var = \"word\", matches = '^b\\w+ m'", true),
        ("var = \"word\", matches = '^m'", false),
        ("var = \"size\", less = 13", true),
        ("var = \"size\", less = 12", false),
        ("var = \"size\", greater = \"11.5\"", true),
        // As numbers, not as text.
        ("var = \"size\", greater = 9", true),
        ("var = \"word\", greater = 9", false),
        ("var = \"word\", less = 9", false),
        ("var = \"size\", greater = 9, less = 20", true),
        ("var = \"size\", greater = 9, less = 10", false),
        ("chance = 1.0", true),
        ("chance = 0", false),
        ("var = \"size\", equals = 12, chance = 0", false),
    ];
    for (condition, holds) in table {
        let steps = format!(
            "{set}, {{ if = {{ {condition} }}, steps = [{{ get = \"/then\" }}], else = [{{ get = \
             \"/else\" }}] }}, {{ if = {{ {condition} }}, steps = [{{ get = \"/alone\" }}] }}, \
             {{ get = \"/z\" }}"
        );
        let expected: &[&str] = if holds { &["/alone", "/then", "/z"] } else { &["/else", "/z"] };
        assert_eq!(asked(&steps).await, expected, "{condition}");
    }
}

#[tokio::test]
async fn loops_end_when_their_condition_says_so() {
    let table: [(&str, &[&str]); 4] = [
        (
            "{ set = { n = \"go\" } }, { repeat = { while = { var = \"n\", equals = \"go\" } }, \
             steps = [{ get = \"/${n}\" }, { set = { n = \"no\" } }] }, { get = \"/z\" }",
            &["/go", "/z"],
        ),
        (
            "{ set = { n = \"no\" } }, { repeat = { while = { var = \"n\", equals = \"go\" } }, \
             steps = [{ get = \"/${n}\" }] }, { get = \"/z\" }",
            &["/z"],
        ),
        (
            "{ set = { n = \"\" } }, { repeat = { until = { var = \"n\", equals = \"xxx\" } }, \
             steps = [{ set = { n = \"${n}x\" } }, { get = \"/${n}\" }] }",
            &["/x", "/xx", "/xxx"],
        ),
        // Twice, so that the count of the first time must not be left over.
        (
            "{ repeat = 2, steps = [{ repeat = { while = { chance = 1 }, max = 3 }, steps = [{ \
             get = \"/m\" }] }] }",
            &["/m", "/m", "/m", "/m", "/m", "/m"],
        ),
    ];
    for (steps, expected) in table {
        assert_eq!(asked(steps).await, expected, "{steps}");
    }
}

#[tokio::test]
async fn an_iteration_ends_where_a_step_says_so() {
    let server = TestServer::start();
    let steps = "{ get = \"/a\" }, { if = { var = \"iteration\", equals = 1 }, steps = [{ stop = \
                 true }] }, { if = { var = \"iteration\", equals = 2 }, steps = [{ fail = \"no \
                 stock left\" }] }, { get = \"/b\" }";
    let totals = drive(&plan(&server.base, &flow(4, steps)), 0).await;
    let expected = [("/a".to_owned(), 4), ("/b".to_owned(), 2)];
    assert_eq!(paths(&server), BTreeMap::from(expected));
    let so_far = totals.so_far();
    assert_eq!(so_far.errors, BTreeMap::from([("no stock left".to_owned(), 1)]));
    assert_eq!(so_far.metrics["iterations"].value("count"), Some(4.0));
    assert_eq!(so_far.metrics["http_reqs"].value("count"), Some(6.0));
}

#[tokio::test]
async fn choices_follow_their_weights_and_the_seed() {
    let steps = "{ one_of = [{ weight = 7, steps = [{ get = \"/often\" }] }, { weight = 2, steps \
                 = [{ get = \"/seldom\" }] }, { steps = [] }] }, { if = { chance = 0.25 }, steps \
                 = [{ get = \"/quarter\" }] }";
    let mut seen = Vec::new();
    for round in [0, 0, 1] {
        let server = TestServer::start();
        let plan = plan(&server.base, &flow(1_000, steps));
        let expected = [("GET /often", 0.7), ("GET /quarter", 0.25), ("GET /seldom", 0.2)];
        let operations = plan.operations_per_iteration("a");
        for (name, share) in expected {
            assert!((operations[name] - share).abs() < 1e-9, "{operations:?}");
        }
        drive(&plan, round).await;
        let paths = paths(&server);
        // Four standard deviations of a thousand draws.
        for (path, share) in [("/often", 0.7), ("/seldom", 0.2), ("/quarter", 0.25_f64)] {
            let mean = 1_000.0 * share;
            let spread = 4.0 * (mean * (1.0 - share)).sqrt();
            assert!((paths[path] as f64 - mean).abs() < spread, "{paths:?}");
        }
        seen.push(paths);
    }
    assert_eq!(seen[0], seen[1], "a replay takes the same way");
    assert_ne!(seen[0], seen[2], "new input takes another");
}

#[tokio::test]
async fn groups_name_what_is_in_them_and_are_timed() {
    let server = TestServer::start();
    let cart = "{ group = \"cart\", tags = { deep = \"yes\" }, steps = [{ get = \"/\" }, { if = { \
                var = \"iteration\", equals = 1 }, steps = [{ fail = \"out\" }] }] }";
    let steps = format!(
        "{{ get = \"/\" }}, {{ group = \"shop\", steps = [{{ get = \"/\" }}, {cart}, {{ get = \
         \"/\" }}] }}"
    );
    let text = flow(2, &steps)
        + "[thresholds]\n\"http_reqs{group:::shop}\" = [\"count < 9\"]\n\
           \"http_reqs{group:::shop::cart}\" = [\"count < 9\"]\n\
           \"http_reqs{deep:yes}\" = [\"count < 9\"]\n\
           \"group_duration{group:::shop}\" = [\"p(95) < 60000\"]\n\
           \"group_duration{group:::shop::cart}\" = [\"p(95) < 60000\"]\n";
    let totals = drive(&plan(&server.base, &text), 0).await;
    let metrics = totals.so_far().metrics;
    let count = |name: &str| metrics[name].value("count");
    assert_eq!(count("http_reqs"), Some(7.0));
    assert_eq!(count("http_reqs{group:::shop}"), Some(3.0));
    assert_eq!(count("http_reqs{group:::shop::cart}"), Some(2.0));
    assert_eq!(count("http_reqs{deep:yes}"), Some(2.0));
    // Left by a failure, a group has a duration all the same, as in k6.
    assert_eq!(count("group_duration{group:::shop}"), Some(2.0));
    assert_eq!(count("group_duration{group:::shop::cart}"), Some(2.0));
    assert_eq!(count("group_duration"), Some(4.0));
}

#[tokio::test]
async fn variables_keep_what_was_set() {
    let steps = "{ set = { a = \"1\", b = \"${vu}-${a}\" } }, { get = \"/${b}\" }, { set = { a = \
                 \"${a}${a}\" } }, { get = \"/${a}\" }";
    assert_eq!(asked(steps).await, ["/0-1", "/11"]);
    // Captured once, known in later iterations.
    let server = TestServer::start();
    let steps = "{ if = { var = \"token\", exists = false }, steps = [{ get = \"/json\", capture \
                 = { token = \"/token\" } }] }, { get = \"/as/${token}\" }";
    drive(&plan(&server.base, &flow(3, steps)), 0).await;
    let expected = [("/json".to_owned(), 1), ("/as/t-1".to_owned(), 3)];
    assert_eq!(paths(&server), BTreeMap::from(expected));
}

#[tokio::test]
async fn named_steps_are_used_as_if_they_stood_there() {
    let server = TestServer::start();
    let text = format!(
        "[steps]\nlogin = [{{ get = \"/json\", capture = {{ token = \"/token\" }} }}]\n\
         visit = [{{ use = \"login\" }}, {{ get = \"/as/${{token}}\" }}]\n{}",
        flow(1, "{ use = \"visit\" }, { use = \"login\" }")
    );
    let plan = plan(&server.base, &text);
    drive(&plan, 0).await;
    assert_eq!(plan.operations_per_iteration("a")["GET /json"], 2.0);
    assert_eq!(
        paths(&server),
        BTreeMap::from([("/json".to_owned(), 2), ("/as/t-1".to_owned(), 1)])
    );
}

#[tokio::test]
async fn exponential_pauses_have_their_mean_and_their_limit() {
    let server = TestServer::start();
    // Pauses of half a millisecond on average, of which none is longer than a hundred: what is
    // told of them here is that the iterations end, and that pauses do not go to any metric.
    let steps = "{ repeat = 50, steps = [{ think = { exponential = \"500us\", max = \"100ms\" } \
                 }] }, { get = \"/\" }";
    let totals = drive(&plan(&server.base, &flow(2, steps)), 0).await;
    assert_eq!(totals.so_far().metrics["http_reqs"].value("count"), Some(2.0));
    let millis = totals.so_far().metrics["iteration_duration"].value("min").unwrap();
    assert!(millis > 1.0, "50 pauses took {millis} ms");
}

/// A loop of steps that wait for nothing leaves room for others, and can be stopped.
#[tokio::test]
async fn a_loop_that_waits_for_nothing_keeps_nobody_out() {
    let server = TestServer::start();
    let text = "[flow.spin]\nexecutor = \"constant-vus\"\nvus = 1\nduration = \"600s\"\nsteps = [\n\
                { repeat = 1000000, steps = [{ set = { a = \"x\" } }] }\n]\n\
                [flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = 3\n\
                steps = [{ get = \"/\" }]\n";
    let pass = Pass { threads: 1, ..Pass::default() };
    let mut engine = Engine::start(plan(&server.base, text), pass).unwrap();
    let stopper = engine.stopper();
    while engine.next().await.is_some() {
        if server.requests().len() == 3 {
            stopper.abort();
        }
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn every_iteration_of_a_flow_has_a_number_of_its_own() {
    let rate = "executor = \"constant-arrival-rate\"\nrate = 200\nduration = \"60ms\"\n\
                pre_allocated_vus = 2";
    let table = [
        ("executor = \"per-vu-iterations\"\nvus = 3\niterations = 4", None),
        ("executor = \"shared-iterations\"\nvus = 3\niterations = 12", None),
        ("executor = \"shared-iterations\"\nvus = 3\niterations = 99", Some(12)),
        ("executor = \"constant-vus\"\nvus = 3\nduration = \"60s\"", Some(12)),
        (rate, Some(12)),
        (rate, None),
    ];
    for (executor, counted) in table {
        let server = TestServer::start();
        let text = format!("[flow.a]\n{executor}\nsteps = [{{ get = \"/${{sequence}}\" }}]\n");
        let iterations = counted.map(|count| BTreeMap::from([("a".to_owned(), count)]));
        let pass = Pass { threads: 2, iterations, ..Pass::default() };
        Engine::start(plan(&server.base, &text), pass).unwrap().finish().await;
        let expected: BTreeMap<String, usize> = (0..12).map(|n| (format!("/{n}"), 1)).collect();
        assert_eq!(paths(&server), expected, "{executor} {counted:?}");
    }
}
