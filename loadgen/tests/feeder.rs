//! Rows of data: which iteration gets which, whatever the users, threads and segments.
//!
//! In: numbers of iterations, and scenarios. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

mod support;

use ebbtide_loadgen::feeder::{Exhausted, Pick, Turn};
use ebbtide_loadgen::segment::Segment;
use ebbtide_loadgen::{Engine, Faults, Pass, Plan, Scenario, Totals, files};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use support::TestServer;

/// A turn of a user that numbers its iterations itself.
fn own(vu: u64, iteration: u64, vus: u64) -> Turn {
    Turn { vu, sequence: iteration * vus + vu, stride: vus, share: (0, 1), ..Turn::default() }
}

proptest! {
    /// No row goes to two users, over all flows that share the table.
    #[test]
    fn a_unique_row_belongs_to_one_user(
        rows in 1_usize..200,
        users in prop::collection::vec(1_u64..12, 1..4),
        iterations in 1_u64..40,
        repeat in any::<bool>(),
    ) {
        let exhausted = if repeat { Exhausted::Repeat } else { Exhausted::Stop };
        let mut owners: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
        let mut taken = 0;
        for (flow, vus) in users.iter().enumerate() {
            for vu in 0..*vus {
                for iteration in 0..iterations {
                    let share = (flow as u64, users.len() as u64);
                    let turn = Turn { share, ..own(vu, iteration, *vus) };
                    let Some(row) = Pick::Unique.row(exhausted, rows, &turn) else { continue };
                    prop_assert!(row < rows);
                    let owner = owners.entry(row).or_insert((flow, vu));
                    prop_assert_eq!(*owner, (flow, vu), "row {}", row);
                    taken += 1;
                }
            }
        }
        if !repeat {
            prop_assert_eq!(taken, owners.len(), "no row twice");
        }
    }

    /// Users take all rows before one is out of rows, and those of an open flow likewise.
    #[test]
    fn all_rows_are_taken(rows in 1_usize..300, vus in 1_u64..20, open in any::<bool>()) {
        let taken: BTreeSet<usize> = (0..rows as u64)
            .map(|sequence| {
                let stride = if open { 0 } else { vus };
                let turn = Turn { vu: sequence % vus, sequence, stride, share: (0, 1), random: 0 };
                Pick::Unique.row(Exhausted::Stop, rows, &turn).unwrap()
            })
            .collect();
        prop_assert_eq!(taken.len(), rows);
        let after = Turn { sequence: rows as u64, share: (0, 1), ..Turn::default() };
        prop_assert_eq!(Pick::Unique.row(Exhausted::Stop, rows, &after), None);
        prop_assert_eq!(Pick::Unique.row(Exhausted::Fault, rows, &after), None);
    }

    /// The other ways to pick always give a row.
    #[test]
    fn there_is_always_a_row(rows in 1_usize..300, vu in 0_u64..50, iteration: u64, random: u64) {
        let sequence = iteration;
        let turn = Turn { vu, sequence, stride: 50, random, share: (0, 1) };
        for pick in [Pick::Sequential, Pick::Random, Pick::PerVu] {
            prop_assert!(pick.row(Exhausted::Stop, rows, &turn).unwrap() < rows);
        }
    }
}

#[test]
fn rows_are_taken_as_the_documentation_says() {
    // Users, rows, how; the rows of the first iterations of user 1.
    type Expected<'a> = &'a [Option<usize>];
    let table: [(u64, usize, Pick, Exhausted, Expected<'_>); 6] = [
        (3, 7, Pick::Unique, Exhausted::Stop, &[Some(1), Some(4), None, None]),
        (3, 7, Pick::Unique, Exhausted::Repeat, &[Some(1), Some(4), Some(1), Some(4)]),
        (3, 1, Pick::Unique, Exhausted::Repeat, &[None]),
        (3, 4, Pick::Sequential, Exhausted::Stop, &[Some(1), Some(0), Some(3), Some(2)]),
        (3, 2, Pick::PerVu, Exhausted::Stop, &[Some(1), Some(1), Some(1)]),
        (2, 9, Pick::Unique, Exhausted::Fault, &[Some(1), Some(3), Some(5), Some(7), None]),
    ];
    for (vus, rows, pick, exhausted, expected) in table {
        let found: Vec<Option<usize>> = (0..expected.len() as u64)
            .map(|iteration| pick.row(exhausted, rows, &own(1, iteration, vus)))
            .collect();
        assert_eq!(found, expected, "{pick:?} {exhausted:?} {vus} of {rows}");
    }
}

/// A plan of a scenario that lies in a folder of its own, with the given files beside it.
fn plan(base: &str, body: &str, files: &[(&str, &str)]) -> Result<Plan, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let text = format!("seed = 3\n[target]\nbase = \"{base}\"\n{body}");
    let file = folder.path().join("x.toml");
    let named = |faults: Faults| {
        faults.to_string().replace(&folder.path().display().to_string(), "").replace("/x", "x")
    };
    let mut scenario = Scenario::parse(&text, &file.display().to_string()).map_err(named)?;
    files::read(&mut scenario).map_err(named)?;
    Plan::resolve(&scenario, base).map_err(named)
}

fn users(count: usize) -> String {
    let rows: String = (0..count).map(|row| format!("user{row},pass{row}\n")).collect();
    format!("name,password\n{rows}")
}

async fn drive(plan: &Plan, pass: Pass) -> Totals {
    Engine::start(Arc::new(plan.clone()), pass).unwrap().finish().await
}

/// Who asked for what: the path after its first part, by user.
fn seen(server: &TestServer) -> Vec<String> {
    let paths = server.requests();
    paths.iter().map(|request| request.split(' ').nth(1).unwrap_or_default().to_owned()).collect()
}

const STEP: &str = "steps = [{ get = \"/${vu}/${users.name}/${users.password}\" }]\n";

#[tokio::test]
async fn unique_rows_are_taken_once_over_users_threads_and_segments() {
    let executors = [
        "executor = \"constant-vus\"\nvus = 7\nduration = \"600s\"",
        "executor = \"ramping-vus\"\nstart_vus = 7\nstages = [{ duration = \"600s\", target = 7 }]",
        "executor = \"per-vu-iterations\"\nvus = 7\niterations = 1000",
        "executor = \"constant-arrival-rate\"\nrate = 2000\nduration = \"600s\"\n\
         pre_allocated_vus = 7",
        "executor = \"shared-iterations\"\nvus = 7\niterations = 1000",
    ];
    for executor in executors {
        let mut whole = Vec::new();
        for (segments, threads) in [(1, 1), (1, 3), (3, 2)] {
            let server = TestServer::start();
            let body = format!(
                "[data.users]\nfile = \"users.csv\"\npick = \"unique\"\n[flow.a]\n\
                 {executor}\n{STEP}"
            );
            let plan = plan(&server.base, &body, &[("users.csv", &users(40))]).unwrap();
            for index in 0..segments {
                let segment = Segment::new(index, segments).unwrap();
                let totals = drive(&plan, Pass { threads, segment, ..Pass::default() }).await;
                let codes: Vec<String> =
                    totals.warnings().into_iter().map(|warning| warning.code).collect();
                assert!(codes.contains(&"data_exhausted".to_owned()), "{executor}: {codes:?}");
            }
            let requests = seen(&server);
            let rows: BTreeSet<String> = requests
                .iter()
                .map(|path| path.split_once("/user").unwrap().1.to_owned())
                .collect();
            assert_eq!((requests.len(), rows.len()), (40, 40), "{executor} {segments} {threads}");
            whole.push(requests);
        }
        assert_eq!(whole[0], whole[1], "{executor}: threads change nothing");
        assert_eq!(whole[0], whole[2], "{executor}: segments change nothing");
    }
}

#[tokio::test]
async fn a_replay_gets_the_same_rows() {
    for (pick, new_differs) in
        [("sequential", false), ("random", true), ("unique", false), ("per-vu", false)]
    {
        let mut runs = Vec::new();
        for (round, threads) in [(0, 1), (0, 2), (1, 1)] {
            let server = TestServer::start();
            let body = format!(
                "[data.users]\nfile = \"users.json\"\npick = \"{pick}\"\n[flow.a]\nexecutor = \
                 \"constant-vus\"\nvus = 5\nduration = \"600s\"\n{STEP}"
            );
            let rows: Vec<String> = (0..60)
                .map(|row| format!("{{\"name\":\"user{row}\",\"password\":\"pass{row}\"}}"))
                .collect();
            let file = format!("[{}]", rows.join(","));
            let plan = plan(&server.base, &body, &[("users.json", &file)]).unwrap();
            let iterations = Some(BTreeMap::from([("a".to_owned(), 50)]));
            let pass = Pass { threads, iterations, input_round: round, ..Pass::default() };
            drive(&plan, pass).await;
            runs.push(seen(&server));
        }
        assert_eq!(runs[0].len(), 50, "{pick}");
        assert_eq!(runs[0], runs[1], "{pick}: a replay");
        assert_eq!(runs[0] != runs[2], new_differs, "{pick}: new input");
        // Name and password come from the same row.
        assert!(runs[0].iter().all(|path| {
            let (_, rest) = path.split_once("/user").unwrap();
            let (name, password) = rest.split_once("/pass").unwrap();
            name == password
        }));
    }
}

#[tokio::test]
async fn users_without_rows_stop_start_again_or_end_the_run() {
    let flow = "[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 3\niterations = 4\n";
    let table = [("stop", 5, None), ("repeat", 12, None), ("fault", 5, Some("5 rows are too few"))];
    for (when, requests, lost) in table {
        let server = TestServer::start();
        let body = format!(
            "[data.users]\nfile = \"users.csv\"\npick = \"unique\"\nwhen_exhausted = \"{when}\"\n\
             {flow}{STEP}"
        );
        let plan = plan(&server.base, &body, &[("users.csv", &users(5))]).unwrap();
        let totals = drive(&plan, Pass { threads: 1, ..Pass::default() }).await;
        let why = totals.target_lost().unwrap_or_default();
        assert_eq!(!why.is_empty(), lost.is_some(), "{when}: {why}");
        assert!(why.contains(lost.unwrap_or_default()), "{when}: {why}");
        if lost.is_none() {
            assert_eq!(seen(&server).len(), requests, "{when}");
        }
    }
}

#[tokio::test]
async fn columns_are_variables_like_others() {
    let server = TestServer::start();
    let body = "[data.shop]\nrows = [{ item = \"tea & cake\", price = 4 }, { item = \"nut\" }]\n\
                [flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = 2\nsteps = [\n\
                { post = \"/echo\", json = { item = \"${shop.item}\" }, headers = { x-price = \
                \"${shop.price}\" } },\n\
                { if = { var = \"shop.price\", exists = true }, steps = [{ get = \"/buy\", query \
                = { item = \"${shop.item}\" } }] },\n]\n";
    let plan = plan(&server.base, body, &[]).unwrap();
    drive(&plan, Pass { threads: 1, ..Pass::default() }).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[0].starts_with("GET /buy?item=tea%20%26%20cake "), "{requests:?}");
    assert!(requests.iter().any(|it| it.contains("x-price: 4\r\n") && it.contains("tea & cake")));
    assert!(requests.iter().any(|it| it.contains("x-price: \r\n") && it.contains("\"nut\"")));
}

#[test]
fn bad_data_says_what_is_wrong_where_and_how_to_mend_it() {
    let head = "[flow.a]\nexecutor = \"constant-vus\"\nvus = 1\nduration = \"1s\"\n";
    let shared = "[flow.a]\nexecutor = \"shared-iterations\"\nvus = 2\niterations = 9\n";
    let plain = "steps = [{ get = \"/\" }]\n";
    let csv = ("u.csv", "name,age\nann,1\n");
    let table: Vec<(String, &str)> = vec![
        (
            format!("{head}{plain}[data.u]\n"),
            "x.toml:9: `data.u`: neither `file` nor `rows` says what the data is (write `file = \
             \"users.csv\"`)",
        ),
        (
            format!("{head}{plain}[data.u]\nfile = \"u.csv\"\nrows = [{{ a = 1 }}]\n"),
            "x.toml:9: `data.u`: `file` and `rows` exclude each other (remove one of them)",
        ),
        (
            format!("{head}{plain}[data.u]\nfile = \"u.xlsx\"\n"),
            "x.toml:10: `data.u.file`: `u.xlsx` is neither a `.csv` nor a `.json` file (rename it)",
        ),
        (
            format!("{head}{plain}[data.u]\nfile = \"gone.csv\"\n"),
            "x.toml:10: `data.u.file`: file `gone.csv` cannot be read: it is not there (paths \
             count from the scenario's folder)",
        ),
        (
            format!("{head}{plain}[data.u]\nfile = \"u.csv\"\npick = \"uniqe\"\n"),
            "x.toml:11: `data.u.pick`: unknown word `uniqe` (did you mean `unique`?) (known: \
             `sequential`, `random`, `unique`, `per-vu`)",
        ),
        (
            format!("{head}{plain}[data.u]\nfile = \"u.csv\"\nwhen_exhausted = \"stop\"\n"),
            "x.toml:11: `data.u.when_exhausted`: only unique rows are ever exhausted (write `pick \
             = \"unique\"`, or remove it)",
        ),
        (
            format!("{head}{plain}[data.u]\nfile = \"u.csv\"\ndelimiter = \"ab\"\n"),
            "x.toml:11: `data.u.delimiter`: a delimiter is one character (write `delimiter = \
             \";\"`)",
        ),
        (
            format!("{head}{plain}[data.setup]\nfile = \"u.csv\"\n"),
            "x.toml:9: `data.setup`: `setup` has a meaning of its own (give the table another \
             name)",
        ),
        (
            format!("{head}{plain}[data.u]\nrows = [{{ a = [1] }}]\n"),
            "x.toml:10: `data.u.rows[0].a`: expected a string or a number, found an array",
        ),
        (
            format!("{head}{plain}[data.u]\nfile = \"ragged.csv\"\n"),
            "x.toml:9: `data.u`: `ragged.csv`: line 3: the row has 1 values, and the first line \
             names 2 columns (quote values with a `,` in them)",
        ),
        (
            format!("{head}steps = [{{ get = \"/${{u.nmae}}\" }}]\n[data.u]\nfile = \"u.csv\"\n"),
            "x.toml:8: `flow.a.steps[0]`: `u` has no column `nmae` (did you mean `name`?)",
        ),
        (
            format!("{head}steps = [{{ get = \"/${{u.c}}\" }}]\n[data.u]\nrows = [{{ a = 1 }}]\n"),
            "x.toml:8: `flow.a.steps[0]`: `u` has no column `c` (it has `a`)",
        ),
        (
            format!(
                "{head}steps = [{{ get = \"/${{usr.a}}\" }}]\n[data.user]\nrows = [{{ a = 1 }}]\n"
            ),
            "x.toml:8: `flow.a.steps[0]`: there is no data named `usr` (did you mean `user`?)",
        ),
        (
            format!("{head}steps = [{{ get = \"/${{users.a}}\" }}]\n"),
            "x.toml:8: `flow.a.steps[0]`: there is no data named `users` (write `[data.users]` and \
             in it `file = \"users.csv\"`)",
        ),
        (
            format!(
                "{shared}steps = [{{ get = \"/${{u.name}}\" }}]\n[data.u]\nfile = \"u.csv\"\npick \
                 = \"unique\"\nwhen_exhausted = \"repeat\"\n"
            ),
            "x.toml:9: `data.u`: `repeat` needs users with rows of their own, and in flow `a` \
             arrivals go to whoever is free (write `pick = \"sequential\"`)",
        ),
        (
            format!(
                "{head}{plain}[setup]\nsteps = [{{ get = \"/${{u.name}}\" }}]\n[data.u]\nfile = \
                 \"u.csv\"\npick = \"unique\"\n"
            ),
            "x.toml:11: `data.u`: unique rows are for the users of flows, not for setup (pick them \
             otherwise)",
        ),
        (
            format!("{head}steps = [{{ get = \"/${{setup.token}}\" }}]\n"),
            "x.toml:8: `flow.a.steps[0]`: there is no `[setup]` that sets `token` (write it)",
        ),
        (
            format!(
                "{head}steps = [{{ get = \"/${{setup.tokn}}\" }}]\n[setup]\nsteps = [{{ set = {{ \
                 token = \"x\" }} }}]\n"
            ),
            "x.toml:8: `flow.a.steps[0]`: setup sets no `tokn` (did you mean `token`?)",
        ),
        (
            format!("{head}{plain}[setup]\nsteps = [{{ gte = \"/\" }}]\n"),
            "x.toml:10: `setup.steps[0]`: the step has no verb (did you mean `get`?)",
        ),
        (
            format!("{head}{plain}[teardown]\ntimeout = \"0s\"\nsteps = []\n"),
            "x.toml:9: `teardown`: `timeout` is 0, so nothing could ever end in time (raise it)",
        ),
        (
            format!("{head}{plain}[setpu]\nsteps = []\n"),
            "x.toml:9: unknown key `setpu` (did you mean `setup`?)",
        ),
    ];
    let files = [csv, ("ragged.csv", "name,age\nann,1\nbob\n")];
    for (body, expected) in table {
        let found = plan("http://127.0.0.1:1", &body, &files).map(|_| "no fault".to_owned());
        assert_eq!(found.unwrap_or_else(|found| found), expected, "for:\n{body}");
    }
}
