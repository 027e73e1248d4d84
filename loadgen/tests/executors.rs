//! Executors against a real server: segments, ramp-down, time limits, pauses and paces.
//!
//! In: scenarios. Out: verdicts of `cargo test`. What is asserted are counts and bytes that hold
//! however slow the machine is.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Segment, Totals};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::TestServer;

fn plan(base: &str, body: &str) -> Arc<Plan> {
    let text = format!("seed = 3\n[target]\nbase = \"{base}\"\n{body}");
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

fn count(totals: &Totals, metric: &str) -> u64 {
    let metrics = totals.so_far().metrics;
    metrics.get(metric).and_then(|metric| metric.value("count")).unwrap_or(0.0) as u64
}

async fn drive(plan: &Arc<Plan>, threads: usize, segment: Segment) -> Totals {
    let pass = Pass { threads, segment, ..Pass::default() };
    Engine::start(Arc::clone(plan), pass).unwrap().finish().await
}

const STEPS: &str = "steps = [\n\
    { get = \"/${vu}/${iteration}?x=${random(1,1000000)}\" },\n\
    { post = \"/echo\", json = { id = \"${uuid}\", vu = \"${vu}\", now = \"${now}\" } },\n]\n";

#[tokio::test]
async fn segments_send_together_what_one_run_sends() {
    let server = TestServer::start();
    let flows = [
        ("counted", "executor = \"per-vu-iterations\"\nvus = 5\niterations = 7"),
        ("shared", "executor = \"shared-iterations\"\nvus = 2\niterations = 31"),
        (
            "ramp",
            "executor = \"ramping-arrival-rate\"\nstart_rate = 0\npre_allocated_vus = 7\n\
             stages = [{ duration = \"500ms\", target = 300 },\n\
             { duration = \"0s\", target = 50 }, { duration = \"500ms\", target = 0 }]",
        ),
        (
            "poisson",
            "executor = \"constant-arrival-rate\"\nrate = 100\nduration = \"1s\"\n\
             pre_allocated_vus = 3\nmax_vus = 8\narrivals = \"poisson\"\nstart_time = \"100ms\"",
        ),
    ];
    let text: String = flows
        .iter()
        .map(|(name, executor)| format!("[flow.{name}]\n{executor}\n{STEPS}"))
        .collect();
    let plan = plan(&server.base, &text);
    let whole = drive(&plan, 2, Segment::default()).await;
    let alone = server.take();
    assert_eq!(count(&whole, "dropped_iterations"), 0);
    assert_eq!(count(&whole, "http_reqs"), alone.len() as u64);
    let part = |index| drive(&plan, 2, Segment::new(index, 3).unwrap());
    let parts: [Totals; 3] = tokio::join!(part(0), part(1), part(2)).into();
    assert_eq!(server.take(), alone, "as multisets, to the last byte");
    for totals in &parts {
        assert!(count(totals, "iterations") > 0);
    }
}

#[tokio::test]
async fn an_iteration_the_ramp_has_no_place_for_has_its_grace_and_no_more() {
    let server = TestServer::start();
    // The server never answers the first step, so without grace it must be cut.
    let ramp = |grace: &str, step: &str| {
        format!(
            "[flow.a]\nexecutor = \"ramping-vus\"\nstart_vus = 3\n\
             graceful_ramp_down = \"{grace}\"\nstages = [{{ duration = \"300ms\", target = 3 }},\n\
             {{ duration = \"0s\", target = 0 }}, {{ duration = \"1s\", target = 0 }}]\n\
             steps = [{step}]\n"
        )
    };
    let hung = plan(&server.base, &ramp("0s", "{ get = \"/hang\", timeout = \"60s\" }"));
    let totals = drive(&hung, 2, Segment::default()).await;
    let (done, cut) = (count(&totals, "iterations"), count(&totals, "interrupted_iterations"));
    assert_eq!((done, cut), (0, 3));
    let short = plan(&server.base, &ramp("60s", "{ get = \"/\" }, { think = \"700ms\" }"));
    let totals = drive(&short, 2, Segment::default()).await;
    let (done, cut) = (count(&totals, "iterations"), count(&totals, "interrupted_iterations"));
    assert_eq!((done, cut), (3, 0), "each once, and then there is no place");
}

#[tokio::test]
async fn a_user_that_leaves_the_ramp_closes_its_connections() {
    let server = TestServer::start();
    let plan = plan(
        &server.base,
        "[flow.a]\nexecutor = \"ramping-vus\"\nstart_vus = 2\n\
         stages = [{ duration = \"300ms\", target = 2 }, { duration = \"0s\", target = 0 },\n\
         { duration = \"300ms\", target = 0 }, { duration = \"0s\", target = 2 },\n\
         { duration = \"300ms\", target = 2 }]\n\
         steps = [{ connect = \"/ws\", as = \"r\" }, { think = \"20ms\" }]\n",
    );
    let totals = drive(&plan, 1, Segment::default()).await;
    // One connection for each turn of each user, closed at its end.
    assert_eq!(count(&totals, "ws_sessions"), 4);
    assert_eq!(server.requests().iter().filter(|text| *text == "closed 1000").count(), 4);
    let vus = &totals.so_far().metrics["vus_max"];
    assert_eq!(vus.value("value"), Some(2.0));
}

#[tokio::test]
async fn what_the_time_does_not_suffice_for_is_dropped() {
    let server = TestServer::start();
    for (executor, total) in [("per-vu-iterations", 3 * 1_000), ("shared-iterations", 1_000)] {
        let plan = plan(
            &server.base,
            &format!(
                "[flow.a]\nexecutor = \"{executor}\"\nvus = 3\niterations = 1000\n\
                 max_duration = \"300ms\"\nsteps = [{{ get = \"/\" }}, {{ think = \"50ms\" }}]\n"
            ),
        );
        let totals = drive(&plan, 2, Segment::default()).await;
        let done = count(&totals, "iterations");
        assert_eq!(done + count(&totals, "dropped_iterations"), total, "{executor}");
        // Six each fit, and one that has begun may end.
        assert!((1..=3 * 7).contains(&done), "{executor}: {done}");
    }
}

#[tokio::test]
async fn a_full_queue_drops_and_what_is_due_is_done_or_counted() {
    let server = TestServer::start();
    for queue in [0, 5] {
        let plan = plan(
            &server.base,
            &format!(
                "[flow.a]\nexecutor = \"constant-arrival-rate\"\nrate = 200\nduration = \"500ms\"\n\
                 pre_allocated_vus = 1\nmax_vus = 2\nqueue = {queue}\ngraceful_stop = \"5s\"\n\
                 steps = [{{ get = \"/\" }}, {{ think = \"100ms\" }}]\n"
            ),
        );
        let totals = drive(&plan, 2, Segment::default()).await;
        let (done, dropped) = (count(&totals, "iterations"), count(&totals, "dropped_iterations"));
        assert_eq!(done + dropped, 100, "queue {queue}");
        assert!(done <= 2 * 7 + queue, "queue {queue}: {done}");
        assert_eq!(totals.so_far().metrics["vus_max"].value("value"), Some(2.0));
    }
}

#[tokio::test]
async fn a_pause_shifts_the_schedule_and_forgets_nothing() {
    let server = TestServer::start();
    let text = format!(
        "[flow.open]\nexecutor = \"constant-arrival-rate\"\nrate = 300\nduration = \"1500ms\"\n\
         pre_allocated_vus = 4\n{STEPS}\
         [flow.closed]\nexecutor = \"per-vu-iterations\"\nvus = 2\niterations = 40\n\
         steps = [{{ get = \"/closed\" }}, {{ think = \"40ms\" }}]\n"
    );
    let plan = plan(&server.base, &text);
    let began = Instant::now();
    let pass = Pass { threads: 2, ..Pass::default() };
    let mut engine = Engine::start(Arc::clone(&plan), pass).unwrap();
    let stopper = engine.stopper();
    assert!(engine.next().await.unwrap().requests > 0);
    assert!(stopper.pause() && !stopper.pause());
    // What is under way ends in the second in which the pause begins.
    engine.next().await.unwrap();
    let held = engine.next().await.unwrap();
    assert_eq!((held.requests, held.offered), (0, Some(0)), "nothing is sent in a pause");
    assert!(stopper.resume() && !stopper.resume());
    let totals = engine.finish().await;
    assert!(began.elapsed() >= Duration::from_millis(1_500 + 1_000));
    assert_eq!(count(&totals, "iterations"), 450 + 80);
    assert_eq!(count(&totals, "dropped_iterations"), 0);
}

#[tokio::test]
async fn a_pace_multiplies_what_is_due() {
    let server = TestServer::start();
    let text = "[flow.open]\nexecutor = \"constant-arrival-rate\"\nrate = 100\nduration = \"2s\"\n\
         pre_allocated_vus = 4\nsteps = [{ get = \"/\" }]\n\
         [flow.closed]\nexecutor = \"constant-vus\"\nvus = 2\nduration = \"2s\"\n\
         steps = [{ get = \"/${vu}\" }, { think = \"10ms\" }]\n";
    let plan = plan(&server.base, text);
    let pass = Pass { threads: 2, ..Pass::default() };
    let mut engine = Engine::start(Arc::clone(&plan), pass).unwrap();
    let stopper = engine.stopper();
    assert!(stopper.set_pace(3.0) && !stopper.set_pace(3.0) && !stopper.set_pace(f64::NAN));
    let mut offered = 0;
    while let Some(interval) = engine.next().await {
        offered += interval.offered.unwrap_or(0);
    }
    let totals = engine.finish().await;
    // The change came within the first instants: what was due before came at the planned rate.
    assert!((500..=601).contains(&offered), "{offered}");
    assert_eq!(totals.so_far().metrics["vus_max"].value("value"), Some(4.0 + 2.0 + 4.0));
    assert!(server.requests().iter().any(|text| text.starts_with("GET /5 ")));
    // Where iterations are counted, nobody can change them.
    let counts = [("open".to_owned(), 3)].into();
    let counted = Pass { iterations: Some(counts), threads: 1, ..Pass::default() };
    let engine = Engine::start(plan, counted).unwrap();
    assert!(!engine.stopper().pause() && !engine.stopper().set_pace(2.0));
    engine.finish().await;
}
