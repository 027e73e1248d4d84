//! Setup and teardown against a real server: taken once, their samples in a group of their own, a
//! failure named.
//!
//! In: scenarios. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::engine::Values;
use ebbtide_loadgen::plan::Part;
use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Totals};
use std::sync::Arc;
use support::TestServer;

fn plan(base: &str, body: &str) -> Arc<Plan> {
    let text = format!(
        "seed = 3\n[target]\nbase = \"{base}\"\n[flow.a]\nexecutor = \"per-vu-iterations\"\n\
         vus = 2\niterations = 2\nsteps = [{{ get = \"/as/${{setup.token}}/${{vu}}\" }}]\n{body}"
    );
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

/// Takes a part once.
async fn once(plan: &Arc<Plan>, part: Part, given: &Values) -> (Result<Values, String>, Totals) {
    let pass = Pass { threads: 2, part, given: Arc::new(given.clone()), ..Pass::default() };
    let mut engine = Engine::start(Arc::clone(plan), pass).unwrap();
    while engine.next().await.is_some() {}
    (engine.left(), engine.finish().await)
}

#[tokio::test]
async fn what_setup_captures_is_read_by_flows_and_teardown() {
    let server = TestServer::start();
    let body = "[setup]\nsteps = [{ get = \"/json\", check = { status = 200 }, capture = { token = \
                \"/token\" } }, { set = { twice = \"${token}${token}\" } }]\n\
                [teardown]\nsteps = [{ delete = \"/sessions/${setup.twice}\" }]\n\
                [thresholds]\n\"http_reqs{group:::setup}\" = [\"count < 9\"]\n\
                \"http_reqs{group:::teardown}\" = [\"count < 9\"]\n\
                \"http_reqs{flow:a}\" = [\"count < 9\"]\n";
    let plan = plan(&server.base, body);
    assert_eq!(plan.flows().collect::<Vec<_>>(), ["a"], "setup is no flow of the load");
    let (left, first) = once(&plan, Part::Setup, &Values::new()).await;
    let given = left.unwrap();
    assert_eq!(given["token"], "t-1");
    let pass = Pass { threads: 2, given: Arc::new(given.clone()), ..Pass::default() };
    let load = Engine::start(Arc::clone(&plan), pass).unwrap().finish().await;
    let (left, last) = once(&plan, Part::Teardown, &given).await;
    left.unwrap();
    let mut totals = Totals::default();
    totals.merge_once(&first);
    assert!(totals.measured().is_zero(), "rates are those of the load");
    totals.merge(&load);
    assert_eq!(totals.measured(), load.measured());
    totals.merge_once(&last);
    let metrics = totals.so_far().metrics;
    let count = |name: &str| metrics[name].value("count");
    assert_eq!(count("http_reqs"), Some(6.0));
    assert_eq!(count("http_reqs{group:::setup}"), Some(1.0));
    assert_eq!(count("http_reqs{group:::teardown}"), Some(1.0));
    assert_eq!(count("http_reqs{flow:a}"), Some(4.0));
    assert_eq!(count("iterations"), Some(4.0), "as in k6, setup is no iteration");
    assert_eq!(count("group_duration"), Some(2.0));
    assert_eq!(totals.operations()["GET /json"], 1);
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().filter_map(|it| it.split(" HTTP").next()).collect();
    let expected = [
        "DELETE /sessions/t-1t-1",
        "GET /as/t-1/0",
        "GET /as/t-1/0",
        "GET /as/t-1/1",
        "GET /as/t-1/1",
        "GET /json",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_setup_that_fails_says_which_step_and_why() {
    let server = TestServer::start();
    let table = [
        ("{ get = \"/missing\" }", "setup failed at `GET /missing`: status 404"),
        (
            "{ get = \"/\" }, { get = \"/json\", name = \"login\", check = { json = { token = \
             \"x\" } } }",
            "setup failed at `login`: check `/token is x` does not hold",
        ),
        ("{ get = \"/hang\", timeout = \"50ms\" }", "setup failed at `GET /hang`: timed out"),
        ("{ get = \"/garbage\" }", "setup failed at `GET /garbage`: not a valid reply"),
        ("{ get = \"/\" }", "setup left `token` empty, which flows read"),
        (
            "{ get = \"/json\", capture = { token = \"/tokn\" } }",
            "setup failed at `GET /json`: check `capture token` does not hold",
        ),
    ];
    for (steps, expected) in table {
        let body = format!("[setup]\nsteps = [{{ set = {{ token = \"\" }} }}, {steps}]\n");
        let (left, _) = once(&plan(&server.base, &body), Part::Setup, &Values::new()).await;
        assert_eq!(left.unwrap_err(), expected, "{steps}");
    }
    // A status that a check asks for is none of a failure.
    let body = "[setup]\nsteps = [{ set = { token = \"x\" } }, { get = \"/missing\", check = { \
                status = 404 } }]\n";
    let (left, _) = once(&plan(&server.base, body), Part::Setup, &Values::new()).await;
    assert_eq!(left.unwrap()["token"], "x");
    let body = "[setup]\ntimeout = \"100ms\"\nsteps = [{ set = { token = \"x\" } }, { get = \
                \"/hang\" }]\n";
    let (left, _) = once(&plan(&server.base, body), Part::Setup, &Values::new()).await;
    assert_eq!(left.unwrap_err(), "setup did not end within 0.1 s (raise its `timeout`)");
    let body = "[setup]\nsteps = [{ set = { token = \"\" } }, { fail = \"no licence\" }]\n";
    let (left, _) = once(&plan(&server.base, body), Part::Setup, &Values::new()).await;
    assert_eq!(left.unwrap_err(), "setup failed: no licence");
}

#[tokio::test]
async fn the_load_does_not_start_what_is_done_once() {
    let server = TestServer::start();
    let body = "[setup]\nsteps = [{ get = \"/json\", capture = { token = \"/token\" } }]\n";
    let plan = plan(&server.base, body);
    Engine::start(plan, Pass { threads: 2, ..Pass::default() }).unwrap().finish().await;
    assert!(server.requests().iter().all(|request| request.starts_with("GET /as//")));
}
