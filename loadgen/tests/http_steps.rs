//! HTTP steps end to end, against a server that says byte for byte what it got and what it gives.
//!
//! In: scenarios. Out: verdicts of `cargo test`. No test depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

#[path = "support/web.rs"]
mod web;

use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Totals, files, threshold};
use std::collections::BTreeMap;
use std::sync::Arc;
use web::{Reply, Request, Web, plain};

fn resolve(base: &str, text: &str, file: &str) -> Arc<Plan> {
    let text = format!("[target]\nbase = \"{base}\"\n{text}");
    let mut scenario = Scenario::parse(&text, file).unwrap_or_else(|faults| panic!("{faults}"));
    files::read(&mut scenario).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}")))
}

/// One user takes the steps `iterations` times; `settings` are those of the flow.
async fn drive(base: &str, settings: &str, steps: &str, iterations: u64) -> Totals {
    drive_file(base, (settings, steps), iterations, "test.toml").await
}

async fn drive_file(
    base: &str,
    (settings, steps): (&str, &str),
    iterations: u64,
    file: &str,
) -> Totals {
    let text = format!(
        "[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = {iterations}\n\
         {settings}\nsteps = [\n{steps}\n]\n"
    );
    let plan = resolve(base, &text, file);
    Engine::start(plan, Pass { threads: 1, ..Pass::default() }).unwrap().finish().await
}

fn failed_checks(totals: &Totals) -> Vec<String> {
    let checks = totals.so_far().checks;
    checks.into_iter().filter(|(_, count)| count.fails > 0).map(|(name, _)| name).collect()
}

fn count(totals: &Totals, metric: &str) -> f64 {
    totals.so_far().metrics.get(metric).and_then(|it| it.value("count")).unwrap_or(0.0)
}

fn echo(request: &Request) -> Reply {
    plain("200 OK", "", format!("{}\n{}", request.head, request.text()))
}

#[tokio::test]
async fn requests_are_what_the_step_says() {
    let token = "{ set = { user = \"ann\", token = \"t-1\" } }, ";
    let basic = "Basic YW5uOnMzY3JldA==";
    // Settings of the flow, the step, method and header that come, with the value.
    let table: [(&str, &str, &str, &str, Option<&str>); 16] = [
        ("", "{ request = { method = \"PURGE\", url = \"/x\" } }", "PURGE", "host", None),
        ("", "{ request = { method = \"get\", url = \"/x\" } }", "get", "host", None),
        ("", "{ get = \"/\" }", "GET", "authorization", None),
        (
            "",
            "{ get = \"/\", auth = { basic = { user = \"ann\", password = \"s3cret\" } } }",
            "GET",
            "authorization",
            Some(basic),
        ),
        (
            "",
            "{ get = \"/\", auth = { basic = { user = \"${user}\", password = \"s3cret\" } } }",
            "GET",
            "authorization",
            Some(basic),
        ),
        (
            "",
            "{ get = \"/\", auth = { bearer = \"${token}\" } }",
            "GET",
            "authorization",
            Some("Bearer t-1"),
        ),
        (
            "auth = { bearer = \"flow\" }",
            "{ get = \"/\" }",
            "GET",
            "authorization",
            Some("Bearer flow"),
        ),
        (
            "auth = { bearer = \"flow\" }",
            "{ get = \"/\", auth = { bearer = \"step\" } }",
            "GET",
            "authorization",
            Some("Bearer step"),
        ),
        (
            "auth = { bearer = \"f\" }",
            "{ get = \"/\", auth = false }",
            "GET",
            "authorization",
            None,
        ),
        ("headers = { x-a = \"flow\" }", "{ get = \"/\" }", "GET", "x-a", Some("flow")),
        (
            "headers = { x-a = \"flow\" }",
            "{ get = \"/\", headers = { X-A = \"step\" } }",
            "GET",
            "x-a",
            Some("step"),
        ),
        (
            "",
            "{ get = \"/\", cookies = { a = 1, b = \"${user}\" } }",
            "GET",
            "cookie",
            Some("a=1; b=ann"),
        ),
        (
            "",
            "{ get = \"/\", compression = true }",
            "GET",
            "accept-encoding",
            Some("gzip, deflate"),
        ),
        ("compression = \"gzip\"", "{ get = \"/\" }", "GET", "accept-encoding", Some("gzip")),
        (
            "compression = true",
            "{ get = \"/\", compression = false }",
            "GET",
            "accept-encoding",
            None,
        ),
        (
            "",
            "{ post = \"/\", form = { \"a b\" = \"c&${user}\" } }",
            "POST",
            "content-type",
            Some("application/x-www-form-urlencoded"),
        ),
    ];
    for (settings, step, method, header, value) in table {
        let web = Web::start(echo);
        let totals = drive(&web.base, settings, &format!("{token}{step}"), 1).await;
        assert_eq!(totals.so_far().errors, BTreeMap::new(), "{step}");
        let request = web.requests().pop().unwrap();
        assert_eq!(request.method, method, "{step}");
        if header != "host" {
            assert_eq!(request.header(header), value, "{settings} {step}");
            let names = request.head.lines().filter_map(|line| line.split(':').next());
            let lines = names.filter(|name| name.eq_ignore_ascii_case(header)).count();
            assert_eq!(lines, usize::from(value.is_some()), "{settings} {step}");
        }
    }
}

#[tokio::test]
async fn a_name_before_the_host_says_who_the_user_is() {
    let web = Web::start(echo);
    let base = web.base.replace("http://", "http://ann:s%33cret@");
    let own = web.base.replace("http://", "http://bob@");
    let steps = format!("{{ get = \"/a\" }}, {{ get = \"{own}/b\" }}");
    let totals = drive(&base, "", &steps, 1).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    let seen: Vec<_> = web
        .requests()
        .iter()
        .map(|request| (request.path.clone(), request.header("authorization").map(str::to_owned)))
        .collect();
    let expected = [("/a", "Basic YW5uOnMzY3JldA=="), ("/b", "Basic Ym9iOg==")];
    assert_eq!(seen, expected.map(|(path, line)| (path.to_owned(), Some(line.to_owned()))));
}

#[tokio::test]
async fn files_are_sent_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    std::fs::write(folder.path().join("a.bin"), &bytes).unwrap();
    let file = folder.path().join("test.toml").display().to_string();
    let web = Web::start(echo);
    let steps = "{ put = \"/raw\", file = \"a.bin\", headers = { content-type = \"x/y\" } },\n\
                 { post = \"/form\", multipart = { \"the field\" = \"text ${iteration}\", avatar \
                 = { file = \"a.bin\", type = \"image/png\", name = 'a\".png' }, note = { text = \
                 \"hi\" } } }";
    let totals = drive_file(&web.base, ("", steps), 2, &file).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    let requests = web.requests();
    assert_eq!(requests[0].body, bytes);
    assert_eq!(requests[0].header("content-type"), Some("x/y"));
    let content_type = requests[3].header("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let mut expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"the field\"\r\n\r\ntext 1\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"avatar\"; \
         filename=\"a%22.png\"\r\nContent-Type: image/png\r\n\r\n"
    )
    .into_bytes();
    expected.extend_from_slice(&bytes);
    let rest = format!(
        "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"note\"; \
         filename=\"file.txt\"\r\nContent-Type: application/octet-stream\r\n\r\nhi\r\n\
         --{boundary}--\r\n"
    );
    expected.extend_from_slice(rest.as_bytes());
    assert_eq!(requests[3].body, expected);
}

#[test]
fn files_that_cannot_be_had_are_faults() {
    let folder = tempfile::tempdir().unwrap();
    let large = std::fs::File::create(folder.path().join("large")).unwrap();
    large.set_len(64 * 1024 * 1024 + 1).unwrap();
    let file = folder.path().join("x.toml").display().to_string();
    let table = [
        (
            "{ post = \"/\", file = \"none\" }",
            "steps[0].file`: file `none` cannot be read: it is not there (paths count from the \
             scenario's folder)",
        ),
        ("{ post = \"/\", file = \".\" }", "it is a folder"),
        ("{ post = \"/\", file = \"large\" }", "it is larger than 64 MiB"),
        (
            "{ post = \"/\", multipart = { a = { file = \"none\" } } }",
            "steps[0].multipart.a.file`: file `none`",
        ),
    ];
    for (step, expected) in table {
        let text = format!(
            "[target]\nbase = \"http://a\"\n[flow.a]\nexecutor = \"constant-vus\"\nvus = \
             1\nduration = \"1s\"\nsteps = [\n{step}\n]\n"
        );
        let mut scenario = Scenario::parse(&text, &file).unwrap();
        let found = files::read(&mut scenario).unwrap_err().to_string();
        assert!(found.contains(expected) && found.contains("x.toml:8: "), "{found}");
    }
}

const DOCUMENT: &str =
    r#"{"id":7,"name":"ann","price":-2.5,"items":[{"id":1},{"id":2}],"ok":true,"none":null}"#;

fn document(_: &Request) -> Reply {
    let headers =
        "ETag: \"v1\"\r\nVary: a\r\nVary: b\r\nX-N: 12\r\nSet-Cookie: sid=s-9; Path=/\r\n";
    plain("201 Created", headers, DOCUMENT)
}

#[tokio::test]
async fn checks_hold_or_fail_under_their_names() {
    let web = Web::start(document);
    // The check, its name, whether it holds.
    let table = [
        ("status = 201", "status is 201", true),
        ("status = [200, \"3xx\"]", "status is 200 or 3xx", false),
        ("header = { etag = true }", "header etag exists", true),
        ("header = { etag = false }", "header etag is absent", false),
        ("header = { nothing = false }", "header nothing is absent", true),
        ("header = { etag = '\"v1\"' }", "header etag is \"v1\"", true),
        ("header = { vary = \"b\" }", "header vary is b", true),
        ("header = { vary = { contains = \"c\" } }", "header vary contains c", false),
        ("header = { etag = { matches = 'v\\d' } }", "header etag matches v\\d", true),
        ("header = { x-n = { above = 11.5 } }", "header x-n > 11.5", true),
        ("header = { x-n = { at_most = 11 } }", "header x-n <= 11", false),
        ("body = \"ann\"", "body contains ann", true),
        ("body = { matches = '\"id\":[0-9],' }", "body matches \"id\":[0-9],", true),
        ("body = { is = \"x\" }", "body is x", false),
        ("body = { length = { at_least = 10 } }", "body length >= 10", true),
        ("body = { length = 3 }", "body length is 3", false),
        ("body = { length = { at_least = 1, at_most = 3 } }", "body length 1 to 3", false),
        ("json = { id = 7 }", "/id is 7", true),
        ("json = { \"/name\" = \"bob\" }", "/name is bob", false),
        ("json = { \"$.items[1].id\" = 2 }", "$.items[1].id is 2", true),
        ("json = { \"$.items[?@.id > 1].id\" = { is = 2 } }", "$.items[?@.id > 1].id is 2", true),
        ("json = { price = { below = -2 } }", "/price < -2", true),
        ("json = { price = { at_least = -2.5 } }", "/price >= -2.5", true),
        ("json = { name = { above = 1 } }", "/name > 1", false),
        ("json = { items = { length = 2 } }", "/items length is 2", true),
        ("json = { none = { exists = true } }", "/none exists", true),
        ("json = { gone = { exists = false } }", "/gone is absent", true),
        ("json = { ok = true }", "/ok is true", true),
        ("time = \"1h\"", "time < 3600000 ms", true),
        ("not = { status = 201 }", "not status is 201", false),
        ("not = { body = \"error\" }", "not body contains error", true),
        ("\"logged in\" = { status = 201, json = { id = 7 } }", "logged in", true),
        ("\"logged in\" = { status = 201, json = { id = 8 } }", "logged in", false),
        ("made = { not = { status = 201 }, body = \"ann\" }", "made", false),
    ];
    for (check, name, holds) in table {
        let step = format!("{{ get = \"/\", check = {{ {check} }} }}");
        let totals = drive(&web.base, "", &step, 2).await;
        let counted = totals.so_far().checks;
        let expected = if holds { (2, 0) } else { (0, 2) };
        let found =
            counted.iter().map(|(name, count)| (name.as_str(), (count.passes, count.fails)));
        assert_eq!(found.collect::<Vec<_>>(), [(name, expected)], "{check}");
    }
}

#[tokio::test]
async fn thresholds_know_checks_by_name() {
    let web = Web::start(document);
    let text = "[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = 1\niterations = 3\nsteps = [\n\
                { get = \"/\", name = \"one\", check = { status = 201, body = \"nothing\" } },\n\
                { get = \"/\", name = \"two\", check = { status = 404 } }\n]\n\
                [thresholds]\n\"checks{check:status is 201}\" = [\"rate == 1\"]\n\
                \"checks{check:body contains nothing}\" = [\"rate == 0\"]\n\
                \"checks{check:status is 404,name:two}\" = [\"rate > 0.5\"]\n\
                \"checks{check:status is 404,name:one}\" = [\"rate > 0.5\"]\n\
                checks = [\"rate < 0.4\"]\n";
    let plan = resolve(&web.base, text, "x.toml");
    let pass = Pass { threads: 1, ..Pass::default() };
    let totals = Engine::start(Arc::clone(&plan), pass).unwrap().finish().await;
    let mut metrics = totals.so_far().metrics;
    let failed = threshold::judge(&plan.thresholds, &mut metrics);
    assert_eq!(failed, ["checks{check:status is 404,name:two}: rate > 0.5"]);
}

#[tokio::test]
async fn captures_are_found_and_sent_on() {
    let web = Web::start(document);
    // The capture, what it becomes, whether its check holds; none when it has no check.
    let table = [
        ("\"/id\"", "7", Some(true)),
        ("\"$.items[-1].id\"", "2", Some(true)),
        ("{ json = \"/name\" }", "ann", Some(true)),
        ("{ jsonpath = \"$..id\" }", "7", Some(true)),
        ("{ regex = '\"name\":\"([a-z]+)\"' }", "ann", Some(true)),
        (
            "{ regex = '\"(?<key>n[a-z]+)\":\"(?<value>[a-z]+)\"', group = \"value\" }",
            "ann",
            Some(true),
        ),
        ("{ regex = '(n)(a)(m)', group = 3 }", "m", Some(true)),
        ("{ regex = 'na.e' }", "name", Some(true)),
        ("{ header = \"etag\" }", "\"v1\"", Some(true)),
        ("{ cookie = \"sid\" }", "s-9", Some(true)),
        ("{ status = true }", "201", Some(true)),
        ("{ body = true }", DOCUMENT, Some(true)),
        ("\"/gone\"", "", Some(false)),
        ("{ regex = 'gone' }", "", Some(false)),
        ("{ header = \"gone\", default = \"d-${iteration}\" }", "d-0", None),
        ("{ json = \"/id\", default = \"d\" }", "7", None),
    ];
    for (capture, value, check) in table {
        let steps = format!(
            "{{ get = \"/\", capture = {{ it = {capture} }} }}, {{ post = \"/on\", text = \
             \"${{it}}\" }}"
        );
        let totals = drive(&web.base, "", &steps, 1).await;
        assert_eq!(web.requests().pop().unwrap().text(), value, "{capture}");
        let expected: BTreeMap<String, (u64, u64)> = check
            .map(|held| ("capture it".to_owned(), if held { (1, 0) } else { (0, 1) }))
            .into_iter()
            .collect();
        let counted = totals.so_far().checks;
        let found = counted.into_iter().map(|(name, count)| (name, (count.passes, count.fails)));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "{capture}");
    }
}

/// A shop with a session: `/login` gives one, `/me` wants it, `/out` takes it back.
fn shop(request: &Request) -> Reply {
    let session = request.header("cookie").unwrap_or_default();
    match request.path.as_str() {
        "/login" => plain("302 Found", "Set-Cookie: sid=1; Path=/\r\nLocation: /me\r\n", ""),
        "/me" if session.contains("sid=1") => plain("200 OK", "", "welcome"),
        "/me" => plain("401 Unauthorized", "", "who are you"),
        "/out" => plain("200 OK", "Set-Cookie: sid=; Path=/; Max-Age=0\r\n", "bye"),
        _ => plain("404 Not Found", "", ""),
    }
}

#[tokio::test]
async fn cookies_last_for_an_iteration_or_as_long_as_asked() {
    let login = "{ post = \"/login\", form = { a = \"b\" }, check = { body = \"welcome\" } }";
    let both = format!("{login}, {{ get = \"/me\" }}");
    let out = format!("{login}, {{ get = \"/out\" }}, {{ get = \"/me\" }}");
    let first = "{ set = { n = \"${iteration}\" } },\n{ if = { var = \"n\", equals = \"0\" }, \
                 steps = [{ post = \"/login\" }] },\n{ get = \"/me\" }";
    // Settings, steps, iterations, refused requests.
    let table = [
        ("", both.as_str(), 3, 0),
        ("cookies = false", both.as_str(), 3, 6),
        ("", out.as_str(), 3, 3),
        ("", first, 3, 2),
        ("keep_cookies = true", first, 3, 0),
        ("", "{ get = \"/me\", cookies = { sid = \"1\" } }", 2, 0),
    ];
    for (settings, steps, iterations, refused) in table {
        let web = Web::start(shop);
        let totals = drive(&web.base, settings, steps, iterations).await;
        let errors = totals.so_far().errors;
        let found = errors.get("status 401").copied().unwrap_or(0);
        assert_eq!(found, refused, "{settings} {steps}");
        assert_eq!(errors.values().sum::<u64>(), refused, "{settings} {steps}");
    }
}

#[tokio::test]
async fn redirects_are_followed_and_each_hop_counted() {
    let web = Web::start(|request| match request.path.as_str() {
        "/three" => plain("301 Moved", "Location: two\r\n", "moved"),
        "/two" => plain("302 Found", "Location: /one?x=1\r\nConnection: close\r\n", ""),
        "/one?x=1" => plain("307 Temporary", "Location: /end\r\n", ""),
        "/keep" => plain("308 Permanent", "Location: /end\r\n", ""),
        "/circle" => plain("302 Found", "Location: /circle\r\n", ""),
        "/away" => plain("302 Found", "Location: http://127.0.0.2:1/\r\n", ""),
        "/lost" => plain("302 Found", "", ""),
        _ => plain("200 OK", "", format!("{} {}", request.method, request.text())),
    });
    let post = |path: &str| format!("{{ post = \"{path}\", text = \"hi\"");
    // The step without its end, requests, body at the end, warning.
    let table: [(String, f64, &str, Option<&str>); 8] = [
        (post("/three"), 4.0, "GET ", None),
        (post("/keep"), 2.0, "POST hi", None),
        (format!("{}, redirects = 0", post("/three")), 1.0, "moved", None),
        ("{ get = \"/lost\"".to_owned(), 1.0, "", None),
        (format!("{}, redirects = 2", post("/three")), 3.0, "", Some("redirects_too_many")),
        ("{ get = \"/circle\"".to_owned(), 11.0, "", Some("redirects_too_many")),
        ("{ get = \"/away\"".to_owned(), 1.0, "", Some("redirects_elsewhere")),
        ("{ get = \"/end?${iteration}\"".to_owned(), 1.0, "GET ", None),
    ];
    for (step, requests, body, warning) in table {
        let steps = format!(
            "{step}, name = \"it\", check = {{ body = {{ is = \"{body}\" }} }}, capture = {{ s = \
             {{ status = true }} }} }}"
        );
        let totals = drive(&web.base, "", &steps, 1).await;
        assert_eq!(failed_checks(&totals), Vec::<String>::new(), "{step}");
        assert_eq!(totals.so_far().errors, BTreeMap::new(), "{step}");
        assert_eq!(count(&totals, "http_reqs"), requests, "{step}");
        assert_eq!(count(&totals, "http_req_duration"), requests, "{step}");
        assert_eq!(totals.operations().get("it"), Some(&(requests as u64)), "{step}");
        let codes: Vec<String> = totals.warnings().into_iter().map(|it| it.code).collect();
        assert_eq!(codes.first().map(String::as_str), warning, "{step}");
    }
}

#[tokio::test]
async fn coded_bodies_are_decoded_for_those_who_look() {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    let web = Web::start(|request| {
        if !request.header("accept-encoding").unwrap_or_default().contains("gzip") {
            return plain("200 OK", "", "{\"a\":\"plain\"}");
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(format!("{{\"a\":\"{}\"}}", "packed".repeat(1_000)).as_bytes()).unwrap();
        plain("200 OK", "Content-Encoding: gzip\r\n", encoder.finish().unwrap())
    });
    let packed = "compression = \"gzip, deflate\"";
    let look = "{ get = \"/\", check = { body = \"packedpacked\" }, capture = { a = \"/a\" } }";
    let totals = drive(&web.base, packed, look, 3).await;
    assert_eq!(failed_checks(&totals), Vec::<String>::new());
    // What came over the wire is counted, not what it became.
    assert!(count(&totals, "data_received") < 3.0 * 400.0);
    let totals = drive(&web.base, "", "{ get = \"/\", check = { body = \"plain\" } }", 1).await;
    assert_eq!(failed_checks(&totals), Vec::<String>::new());
}

#[tokio::test]
async fn steps_side_by_side_share_six_connections_and_are_all_seen() {
    use std::sync::{Condvar, Mutex};
    // The first six replies wait for each other: one after the other they would wait for ever.
    let gate = Arc::new((Mutex::new(0_u32), Condvar::new()));
    let web = Web::start(move |request| {
        if request.path.starts_with("/gate") {
            let mut waiting = gate.0.lock().unwrap();
            *waiting += 1;
            gate.1.notify_all();
            while *waiting < 6 {
                waiting = gate.1.wait(waiting).unwrap();
            }
        }
        match request.path.as_str() {
            "/go" => plain("302 Found", "Set-Cookie: sid=1; Path=/\r\nLocation: /gone\r\n", ""),
            "/bad" => Reply::Last(b"nonsense\r\n\r\n".to_vec()),
            path => plain("200 OK", "", format!("{{\"path\":\"{path}\"}}")),
        }
    });
    let mut steps: Vec<String> = (0..9)
        .map(|n| {
            format!(
                "{{ get = \"/gate/{n}?${{iteration}}\", name = \"g{n}\", capture = {{ c{n} = \
                 \"/path\" }}, check = {{ status = 200 }} }}"
            )
        })
        .collect();
    steps.push("{ get = \"/go\", name = \"go\", check = { body = \"/gone\" } }".to_owned());
    let text = format!(
        "{{ parallel = [ {} ] }}, {{ post = \"/end\", text = \"${{c0}} ${{c8}}\" }}",
        steps.join(",\n")
    );
    let totals = drive(&web.base, "", &text, 3).await;
    let so_far = totals.so_far();
    assert_eq!(so_far.errors, BTreeMap::new());
    assert_eq!(failed_checks(&totals), Vec::<String>::new());
    assert_eq!(count(&totals, "http_reqs"), 3.0 * 12.0);
    assert_eq!(totals.operations()["g8"], 3);
    assert_eq!(totals.operations()["go"], 6);
    let requests = web.requests();
    let connections: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 6);
    let ends: Vec<_> = requests.iter().filter(|it| it.path == "/end").collect();
    assert_eq!(ends[2].text(), "/gate/0?2 /gate/8?2");
    assert_eq!(ends[2].header("cookie"), Some("sid=1"));

    // One that fails leaves the others whole, and ends the iteration.
    let text = "{ parallel = [ { get = \"/a\" }, { get = \"/bad\" }, { get = \"/b\" } ] }, { get \
                = \"/never\" }";
    let totals = drive(&web.base, "", text, 1).await;
    assert_eq!(totals.so_far().errors, BTreeMap::from([("not a valid reply".to_owned(), 1)]));
    assert_eq!(count(&totals, "http_reqs"), 3.0);
    assert!(web.requests().iter().all(|request| request.path != "/never"));
}

#[test]
fn bad_http_steps_say_what_is_wrong_and_how_to_mend_it() {
    let table = [
        (
            "{ request = { method = \"A B\", url = \"/\" } }",
            "steps[0].request.method`: `A B` is not an HTTP method (write `PURGE`)",
        ),
        (
            "{ request = { method = \"PURGE\" } }",
            "steps[0].request`: `url` is missing (write `url = \"/\"`)",
        ),
        (
            "{ parallel = [{ get = \"/\" }, { think = \"1s\" }] }",
            "steps[0].parallel[1]`: only HTTP steps can be side by side (put it before or after \
             `parallel`)",
        ),
        (
            "{ parallel = [{ get = \"/\", capture = { a = \"/a\" } }, { get = \"/${a}\" }] }",
            "`${a}` is read before any step sets it",
        ),
        ("{ parallel = [] }", "`parallel` takes 1 to 256 steps (make it several)"),
        (
            "{ get = \"/\", auth = { basic = { user = \"a\" }, bearer = \"b\" } }",
            "steps[0].auth`: `auth` has either `basic` or `bearer` (write `{ bearer = \"${token}\" \
             }`)",
        ),
        (
            "{ get = \"/\", auth = { basic = { password = \"a\" } } }",
            "`user` is missing (write `user = \"ann\"`)",
        ),
        (
            "{ get = \"/\", cookies = { a = \"b;c\" } }",
            "cookie `a` has a `;`, a `,` or a line break (encode it)",
        ),
        (
            "{ get = \"/\", compression = \"gzip, br\" }",
            "coding `br` cannot be read (known: `gzip`, `deflate`, `identity`)",
        ),
        ("{ get = \"/\", redirects = 101 }", "`101` is not between 0 and 100"),
        (
            "{ post = \"/\", file = \"${vu}.png\" }",
            "a file's name cannot depend on variables (write one step for each file)",
        ),
        (
            "{ post = \"/\", multipart = { a = { type = \"x/y\" } } }",
            "multipart.a`: a part has either `file` or `text` (write `{ file = \"a.png\" }`)",
        ),
        (
            "{ get = \"/\", capture = { a = { } } }",
            "capture.a`: the capture has no source (known: `json`, `jsonpath`, `regex`, `header`, \
             `cookie`, `status`, `body`; write `{ token = \"/access\" }` or `{ etag = { header = \
             \"etag\" } }`)",
        ),
        (
            "{ get = \"/\", capture = { a = { header = \"b\", cookie = \"c\" } } }",
            "the capture has several sources: `header`, `cookie` (keep one)",
        ),
        (
            "{ get = \"/\", capture = { a = { regex = '(b' } } }",
            "`(b` is not a regular expression: unclosed group (write `\\(` for a bracket)",
        ),
        (
            "{ get = \"/\", capture = { a = { regex = '(b)', group = \"c\" } } }",
            "there is no group `c` (write `(?<c>...)`)",
        ),
        (
            "{ get = \"/\", capture = { a = { regex = '(b)', group = 2 } } }",
            "`2` is not between 0 and 1",
        ),
        (
            "{ get = \"/\", capture = { a = { regex = '(\\w{1000}){1000}' } } }",
            "compiles to more than 1048576 bytes (repeat less in it)",
        ),
        (
            "{ get = \"/\", capture = { a = \"$.b[\" } }",
            "`$.b[` is not a JSONPath: an index is missing (write `$.items[0].id` or `$..id`)",
        ),
        (
            "{ get = \"/\", check = { json = { a = { abov = 1 } } } }",
            "check.json.a`: unknown key `abov` (did you mean `above`?)",
        ),
        (
            "{ get = \"/\", check = { statsu = 200 } }",
            "check`: unknown key `statsu` (did you mean `status`?)",
        ),
        (
            "{ get = \"/\", check = { body = { length = {} } } }",
            "`length` has no bound (write `length = 5` or `{ at_least = 1 }`)",
        ),
    ];
    for (step, expected) in table {
        let text = format!(
            "[target]\nbase = \"http://a\"\n[flow.a]\nexecutor = \"constant-vus\"\nvus = \
             1\nduration = \"1s\"\nsteps = [\n{step}\n]\n"
        );
        let found = Scenario::parse(&text, "x.toml").map(|_| step).unwrap_err().to_string();
        assert!(found.contains(expected) && found.contains("x.toml:8: "), "{step}:\n{found}");
    }
}
