//! Text to plan: good scenarios are read, bad ones say what is wrong, where, and how to mend it.
//!
//! In: tables of texts, and the scenarios that the project ships. Out: verdicts of `cargo test`.

use ebbtide_loadgen::{Plan, Quick, Scenario};
use std::time::Duration;

const HEAD: &str = "[target]\nbase = \"http://127.0.0.1:1\"\n";

fn faults(body: &str) -> String {
    let text = format!("{HEAD}{body}");
    match Scenario::parse(&text, "x.toml") {
        Ok(scenario) => match Plan::resolve(&scenario, "http://127.0.0.1:1") {
            Ok(_) => "no fault".to_owned(),
            Err(faults) => faults.to_string(),
        },
        Err(faults) => faults.to_string(),
    }
}

/// A closed flow with the given steps, beginning at line 3.
fn with_steps(steps: &str) -> String {
    format!(
        "[flow.a]\nexecutor = \"constant-vus\"\nvus = 1\nduration = \"1s\"\nsteps = [\n{steps}\n]\n"
    )
}

#[test]
fn bad_scenarios_say_what_is_wrong_where_and_how_to_mend_it() {
    let flow = |parameters: &str| format!("[flow.a]\n{parameters}\nsteps = [{{ get = \"/\" }}]\n");
    let table: Vec<(String, &str)> = vec![
        ("sede = 3\n".to_owned(), "x.toml:1: `flow`"),
        (
            flow("executor = \"constant-vu\"\nvus = 1\nduration = \"1s\""),
            "x.toml:4: `flow.a.executor`: unknown executor `constant-vu` (did you mean \
             `constant-vus`?)",
        ),
        (
            flow("executor = \"constant-vus\"\nvsu = 1\nduration = \"1s\""),
            "x.toml:3: `flow.a`: `vus` is missing (write `vus = 10`)\n\
             x.toml:5: `flow.a`: unknown key `vsu` (did you mean `vus`?)",
        ),
        (
            flow("executor = \"constant-vus\"\nvus = \"ten\"\nduration = \"1s\""),
            "x.toml:5: `flow.a.vus`: expected a whole number, found a string",
        ),
        (
            flow("executor = \"constant-vus\"\nvus = 0\nduration = \"1s\""),
            "x.toml:5: `flow.a.vus`: `0` is not between 1 and 1000000",
        ),
        (
            flow("executor = \"constant-vus\"\nvus = 1\nduration = \"1 parsec\""),
            "x.toml:6: `flow.a.duration`: `1 parsec` is not a duration (write `250ms`, `30s`, \
             `5m`, \
             `1h30m` or `0s`)",
        ),
        (
            flow(
                "executor = \"constant-arrival-rate\"\nrate = 20_000\ntime_unit = \"1ms\"\n\
                 duration = \"1s\"\npre_allocated_vus = 20",
            ),
            "x.toml:3: `flow.a`: more than 10000000 starts a second cannot be kept (lower it)",
        ),
        (
            flow(
                "executor = \"constant-arrival-rate\"\nrate = 5\nduration = \"1s\"\n\
                 pre_allocated_vus = 20\nmax_vus = 10",
            ),
            "x.toml:8: `flow.a.max_vus`: max_vus (10) is below pre_allocated_vus (20) (raise \
             it, or \
             leave it out)",
        ),
        (
            flow("executor = \"ramping-vus\"\nstages = []"),
            "x.toml:5: `flow.a.stages`: there is no stage (write `stages = [{ duration = \"30s\", \
             target = 10 }]`)",
        ),
        (
            with_steps("{ gte = \"/\" }"),
            "x.toml:8: `flow.a.steps[0]`: the step has no verb (did you mean `get`?)",
        ),
        (
            with_steps("{ get = \"/\", post = \"/\" }"),
            "x.toml:8: `flow.a.steps[0]`: the step has several verbs: `get`, `post` (make them \
             steps \
             each)",
        ),
        (
            with_steps("{ get = \"healthz\" }"),
            "x.toml:8: `flow.a.steps[0].get`: `healthz` is not a path (write `/healthz`)",
        ),
        (
            with_steps("{ get = \"/\", chekc = { status = 200 } }"),
            "x.toml:8: `flow.a.steps[0]`: unknown key `chekc` (did you mean `check`?)",
        ),
        (
            with_steps("{ get = \"/\", check = { status = \"ok\" } }"),
            "x.toml:8: `flow.a.steps[0].check.status`: `ok` is not a status (write `200` or \
             `\"2xx\"`)",
        ),
        (
            with_steps("{ get = \"/${iteraton}\" }"),
            "x.toml:8: `flow.a.steps[0]`: unknown variable `iteraton` (did you mean `iteration`?)",
        ),
        (
            with_steps("{ get = \"/${random(5,1)}\" }"),
            "x.toml:8: `flow.a.steps[0].get`: `${random(5,1)}` is not `random(low,high)` with two \
             whole numbers, low first",
        ),
        (
            with_steps("{ get = \"/${vu\" }"),
            "x.toml:8: `flow.a.steps[0].get`: `${vu` is not closed (add `}`)",
        ),
        (
            with_steps("{ get = \"/${env.EBBTIDE_NOT_SET_ANYWHERE}\" }"),
            "x.toml:8: `flow.a.steps[0]`: `${env.EBBTIDE_NOT_SET_ANYWHERE}` is not set (export \
             `EBBTIDE_NOT_SET_ANYWHERE`, say `-e EBBTIDE_NOT_SET_ANYWHERE=...`, or write \
             `${env.EBBTIDE_NOT_SET_ANYWHERE:default}`)",
        ),
        (
            with_steps("{ send = \"hi\" }"),
            "x.toml:8: `flow.a.steps[0]`: no socket is open here (add a step `{ connect = \
             \"/ws\" }` \
             before it)",
        ),
        (
            with_steps("{ connect = \"/ws\", as = \"room\" }, { close = \"rome\" }"),
            "x.toml:8: `flow.a.steps[1]`: unknown socket `rome` (did you mean `room`?)",
        ),
        (
            with_steps("{ post = \"/\", json = { a = 1 }, text = \"b\" }"),
            "x.toml:8: `flow.a.steps[0]`: several bodies: `json`, `text` (keep one)",
        ),
        (
            with_steps("{ get = \"http://other:1/\" }"),
            "x.toml:8: `flow.a.steps[0]`: host `other:1` is not the target's `127.0.0.1:1` (one \
             target per scenario so far)",
        ),
        (
            format!(
                "{}[thresholds]\nhttp_req_duraton = [\"p(99) < 1\"]\n",
                with_steps("{ get = \"/\" }")
            ),
            "x.toml:11: `thresholds.http_req_duraton`: unknown metric `http_req_duraton` (did you \
             mean `http_req_duration`?)",
        ),
        (
            format!(
                "{}[thresholds]\nhttp_req_duration = [\"rate < 1\"]\n",
                with_steps("{ get = \"/\" }")
            ),
            "x.toml:11: `thresholds.http_req_duration[0]`: `rate` is no value of \
             `http_req_duration` (it has `avg`, `min`, `med`, `max`, `p(N)`, `count`)",
        ),
        (
            format!("{}[thresholds]\nchecks = [\"rate of 1\"]\n", with_steps("{ get = \"/\" }")),
            "x.toml:11: `thresholds.checks[0]`: `rate of 1` is not a condition: it has no operator \
             (write `p(99) < 250` or `rate > 0.99`)",
        ),
        (
            format!("{}[memory]\nrounds = 9\nmax_rounds = 3\n", with_steps("{ get = \"/\" }")),
            "x.toml:10: `memory`: `max_rounds` (3) is below `rounds` (9) (raise it, or leave it \
             out)",
        ),
        (
            format!("{}[memory]\nfail_on = [\"leakin\"]\n", with_steps("{ get = \"/\" }")),
            "x.toml:11: `memory.fail_on[0]`: unknown word `leakin` (did you mean `leaking`?) \
             (known: \
             `leaking`, `growing`, `warming`, `inconclusive`)",
        ),
    ];
    for (body, expected) in table {
        let found = faults(&body);
        if expected == "x.toml:1: `flow`" {
            assert!(found.contains("`flow` is missing"), "{found}");
            assert!(found.contains("unknown key `sede`"), "{found}");
            continue;
        }
        assert_eq!(found, expected, "for:\n{HEAD}{body}");
    }
}

#[test]
fn a_target_says_what_is_loaded_and_only_once() {
    let flow = with_steps("{ get = \"/\" }");
    let table = [
        ("", "neither `base` nor `command` says what is loaded (give one of them)"),
        (
            "base = \"http://a\"\ncommand = [\"b\"]\n",
            "`base` and `command` exclude each other (remove one of them, or write `${port}` for \
             the port in `base`)",
        ),
        ("base = \"http://a\"\nheap = \"pprog\"\n", "unknown word `pprog` (did you mean `pprof`?)"),
    ];
    for (target, expected) in table {
        let text = format!("[target]\n{target}{flow}");
        let found = Scenario::parse(&text, "x.toml").unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_base_that_cannot_be_loaded_is_a_fault() {
    let text = format!("{HEAD}{}", with_steps("{ get = \"/\" }"));
    let scenario = Scenario::parse(&text, "x.toml").unwrap();
    let table = [
        ("h3://127.0.0.1:1", "scheme `h3` is unknown"),
        ("ftp://127.0.0.1:1", "scheme `ftp` is unknown"),
        ("127.0.0.1", "is not a URL that can be loaded"),
        ("http://127.0.0.1:0", "port 0 cannot be connected to"),
    ];
    for (base, expected) in table {
        let found = Plan::resolve(&scenario, base).unwrap_err().to_string();
        assert!(found.contains(expected), "{base}: {found}");
    }
}

#[test]
fn text_that_is_not_toml_is_a_fault_with_its_line() {
    let found = Scenario::parse("name = \"x\"\n[target\n", "x.toml").unwrap_err().to_string();
    assert!(found.starts_with("x.toml:2: "), "{found}");
}

#[test]
fn operations_of_an_iteration_follow_from_the_steps() {
    let table: [(&str, &[(&str, f64)]); 5] = [
        (
            "{ get = \"/a?b=1\" }, { get = \"/a\", name = \"own\" }",
            &[("GET /a", 1.0), ("own", 1.0)],
        ),
        ("{ repeat = 3, steps = [{ post = \"/x\", json = {} }] }", &[("POST /x", 3.0)]),
        (
            "{ connect = \"/ws\", as = \"r\" }, { send = \"a\" }",
            &[("connect /ws", 0.0), ("close /ws", 0.0), ("send r", 1.0)],
        ),
        (
            "{ connect = \"/ws\", per_iteration = true }, { send = \"a\" }",
            &[("connect /ws", 1.0), ("close /ws", 1.0), ("send /ws", 1.0)],
        ),
        (
            "{ connect = \"/ws\", as = \"r\" }, { close = \"r\" }",
            &[("connect /ws", 1.0), ("close /ws", 1.0)],
        ),
    ];
    for (steps, expected) in table {
        let text = format!("{HEAD}{}", with_steps(steps));
        let scenario = Scenario::parse(&text, "x.toml").unwrap();
        let plan = Plan::resolve(&scenario, "http://127.0.0.1:1").unwrap();
        let expected = expected.iter().map(|(name, times)| ((*name).to_owned(), *times)).collect();
        assert_eq!(plan.operations_per_iteration("a"), expected, "{steps}");
    }
}

#[test]
fn every_scenario_that_is_shipped_is_without_fault() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.display().to_string();
            let scenario =
                Scenario::parse(&text, &name).unwrap_or_else(|faults| panic!("{faults}"));
            Plan::resolve(&scenario, "http://127.0.0.1:1").unwrap_or_else(|e| panic!("{e}"));
            assert!(text.starts_with("# Purpose:"), "{name} says no purpose");
            assert!(text.contains("# Expected:"), "{name} says no expected verdict");
            seen += 1;
        }
    }
    assert!(seen >= 14, "{seen} scenarios");
}

#[test]
fn quick_orders_that_do_nothing_or_never_end_are_faults() {
    let base = || Quick { url: "http://127.0.0.1:1/".to_owned(), ..Quick::default() };
    for (quick, what) in [
        (Quick { requests: Some(0), ..base() }, "`requests`: 0 requests do nothing"),
        (Quick { duration: Duration::ZERO, ..base() }, "`duration`: no time does nothing"),
        (Quick { rate: Some(1e12), ..base() }, "`rate`: more than 10000000 a second"),
    ] {
        let faults = Plan::quick(&quick).expect_err(what).to_string();
        assert!(faults.contains(what), "{faults}");
    }
    let counted = Quick { requests: Some(1), duration: Duration::ZERO, ..base() };
    Plan::quick(&counted).expect("a count needs no duration");
}
