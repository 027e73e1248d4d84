//! What others wrote down -> a scenario that our own reader takes, says the same and tells no
//! secret. The HAR file has the shape that Chromium exports, the OpenAPI document most of what
//! such documents hold, the curl lines are as browsers copy them.

use ebbtide_loadgen::import::curl;
use ebbtide_loadgen::import::har::{self, HarWish};
use ebbtide_loadgen::import::openapi::{self, ApiWish};
use ebbtide_loadgen::import::{Body, Draft, Imported, Request};
use ebbtide_loadgen::scenario::Verb;
use ebbtide_loadgen::{Plan, Scenario};
use serde_json::json;

const SHOP: &str = include_str!("shop.har");
const PETS: &str = include_str!("pets.yaml");

/// Reads the text of an imported scenario with our own reader.
fn read(imported: &Imported) -> Scenario {
    let text = imported.to_toml("a test");
    // Secrets are for the user to set; here anything will do.
    let text = text
        .split("${env.")
        .enumerate()
        .map(|(place, part)| match part.split_once('}') {
            Some((name, rest)) if place > 0 => format!("${{env.{name}:x}}{rest}"),
            _ => part.to_owned(),
        })
        .collect::<String>();
    let scenario =
        Scenario::parse(&text, "imported.toml").unwrap_or_else(|e| panic!("{e}\n{text}"));
    Plan::resolve(&scenario, &imported.base).unwrap_or_else(|e| panic!("{e}\n{text}"));
    scenario
}

fn requests(imported: &Imported) -> Vec<&Request> {
    let request = |step: &Draft| matches!(step, Draft::Request(_));
    let steps = imported.steps.iter().filter(|step| request(step));
    steps
        .map(|step| match step {
            Draft::Request(request) => &**request,
            Draft::Think(_) => unreachable!("only requests are left"),
        })
        .collect()
}

/// What the reader makes of each step: method and URL.
fn lines(scenario: &Scenario) -> Vec<String> {
    let steps = &scenario.flows["main"].steps;
    let line = |verb: &Verb| match verb {
        Verb::Http(http) => Some(format!("{} {}", http.method, http.url.written())),
        _ => None,
    };
    steps.iter().filter_map(|step| line(&step.verb)).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_recording_becomes_steps_in_its_order_without_a_secret() {
    let imported = har::import(SHOP, &HarWish::default()).expect("a HAR file");
    assert_eq!(imported.base, "http://shop.test:8080");
    let scenario = read(&imported);
    assert_eq!(
        lines(&scenario),
        ["GET /", "GET /site.css", "POST /api/login", "POST /api/cart", "PUT /api/note"]
    );
    let text = imported.to_toml("shop.har");
    for secret in ["hunter2", "s3cret-cookie", "eyJhbGciOi"] {
        assert!(!text.contains(secret), "{text}");
    }
    for word in ["cdn.test", "WebSocket", "set COOKIE", "set AUTHORIZATION", "set PASSWORD"] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    let requests = requests(&imported);
    assert_eq!(requests[0].query, [pair("lang", "de"), pair("q", "grün tea")]);
    assert_eq!(
        requests[0].headers,
        [pair("accept", "text/html"), pair("user-agent", "Mozilla/5.0")]
    );
    assert_eq!(requests[1].status.as_deref(), Some("200"), "a 304 is the browser's own");
    let login = json!({
        "user": "ann", "password": "${env.PASSWORD}", "age": 7, "ratio": 1.0,
        "tags": ["a", "b"], "deep": { "x y": true }
    });
    assert_eq!(requests[2].body, Some(Body::Json(login)));
    assert!(requests[2].headers.contains(&pair("x-note", "costs $${price}")));
    assert_eq!(
        requests[3].body,
        Some(Body::Form(vec![pair("item", "tea pot"), pair("count", "2")]))
    );
    assert!(requests[3].headers.contains(&pair("authorization", "Bearer ${env.AUTHORIZATION}")));
}

#[test]
fn files_of_the_page_are_left_out_and_pauses_kept_when_wanted() {
    let wish = HarWish { no_static: true, think: true, host: None };
    let imported = har::import(SHOP, &wish).expect("a HAR file");
    let scenario = read(&imported);
    assert_eq!(lines(&scenario), ["GET /", "POST /api/login", "POST /api/cart", "PUT /api/note"]);
    let pauses: Vec<_> = imported
        .steps
        .iter()
        .filter_map(
            |step| if let Draft::Think(pause) = step { Some(pause.as_millis()) } else { None },
        )
        .collect();
    // From 10:00:00.04325 to 10:00:02.500; the gaps of 10 ms are no pauses.
    assert_eq!(pauses, [2_456]);
}

#[test]
fn another_host_is_taken_when_it_is_named() {
    let wish = HarWish { host: Some("cdn.test".to_owned()), ..HarWish::default() };
    let imported = har::import(SHOP, &wish).expect("a HAR file");
    assert_eq!(imported.base, "https://cdn.test");
    assert_eq!(requests(&imported).len(), 1);
    let wish = HarWish { host: Some("no.test".to_owned()), ..HarWish::default() };
    let told = har::import(SHOP, &wish).unwrap_err().to_string();
    assert!(told.contains("`no.test`") && told.contains("`shop.test:8080` (6)"), "{told}");
    for bad in ["", "{}", "[]", "{\"log\":{\"entries\":[]}}"] {
        assert!(har::import(bad, &HarWish::default()).is_err(), "{bad}");
    }
}

#[test]
fn a_multipart_form_is_read_from_the_wire() {
    let body = "--XX\\r\\nContent-Disposition: form-data; name=\\\"title\\\"\\r\\n\\r\\nhello\\r\\n\
                --XX\\r\\nContent-Disposition: form-data; name=\\\"f\\\"; \
                filename=\\\"a.txt\\\"\\r\\n\
                Content-Type: text/plain\\r\\n\\r\\nline\\r\\n--XX--\\r\\n";
    let har = format!(
        "{{\"log\":{{\"entries\":[{{\"request\":{{\"method\":\"POST\",\"url\":\"http://a/up\",\
         \"postData\":{{\"mimeType\":\"multipart/form-data; boundary=XX\",\"text\":\"{body}\"}}}},\
         \"response\":{{\"status\":200}}}}]}}}}"
    );
    let imported = har::import(&har, &HarWish::default()).expect("a HAR file");
    read(&imported);
    let Some(Body::Multipart(parts)) = &requests(&imported)[0].body else { panic!("no parts") };
    assert_eq!((parts[0].name.as_str(), parts[0].text.as_str()), ("title", "hello"));
    assert_eq!((parts[1].file_name.as_deref(), parts[1].text.as_str()), (Some("a.txt"), "line"));
    assert_eq!(parts[1].content_type.as_deref(), Some("text/plain"));
}

#[test]
fn each_operation_of_an_api_becomes_a_step_with_values_that_fit() {
    let imported = openapi::import(PETS, &ApiWish::default()).expect("a document");
    assert_eq!((imported.name.as_str(), imported.base.as_str()), ("Pets", "https://eu.pets.test"));
    let local = Imported { base: "http://127.0.0.1:1".to_owned(), ..imported.clone() };
    assert_eq!(
        lines(&read(&local)),
        [
            "POST /v1/login",
            "POST /v1/pets",
            "GET /v1/pets",
            "GET /v1/pets/${uuid}",
            "DELETE /v1/pets/${uuid}",
            "GET /v1/shops/a%20b%2Fc/10",
        ]
    );
    let requests = requests(&imported);
    let names: Vec<&str> = requests.iter().filter_map(|r| r.name.as_deref()).collect();
    assert_eq!(names, ["login", "addPet", "listPets", "GET /pets/{petId}", "removePet", "shop"]);
    let fields = vec![pair("password", "${env.PASSWORD}"), pair("user", "ann $${x}")];
    assert_eq!(requests[0].body, Some(Body::Form(fields)));
    assert!(requests[0].headers.is_empty(), "the login needs no credentials");
    let Some(Body::Json(pet)) = &requests[1].body else { panic!("no JSON") };
    assert_eq!(
        (&pet["name"], &pet["age"], &pet["toys"], &pet["size"], &pet["born"]),
        (
            &json!("textte"),
            &json!(2),
            &json!(["ball", "ball"]),
            &json!("big"),
            &json!("2026-01-01")
        )
    );
    assert_eq!(pet["owner"]["email"], "user${vu}@example.org");
    assert!(pet["owner"].get("friend").is_none(), "a schema within itself ends");
    assert!(pet.get("id").is_none(), "what only the server says is not sent");
    assert_eq!(requests[2].query, [pair("limit", "5"), pair("tags", "cat,dog")]);
    let bearer = pair("authorization", "Bearer ${env.AUTHORIZATION}");
    assert_eq!(requests[2].headers, [pair("x-trace", "on"), bearer]);
    assert_eq!(requests[4].headers, [pair("x-api-key", "${env.X_API_KEY}")]);
    assert_eq!(requests[5].query, [pair("filter[open]", "true")]);
    let statuses: Vec<_> = requests.iter().filter_map(|r| r.status.as_deref()).collect();
    assert_eq!(statuses, ["2xx", "201", "200", "200", "204", "200"]);
}

#[test]
fn json_and_yaml_say_the_same_and_methods_can_be_chosen() {
    let small = "openapi: 3.0.3\npaths:\n  /a:\n    get: {}\n    delete: {}\n";
    let same = "{\"openapi\":\"3.0.3\",\"paths\":{\"/a\":{\"get\":{},\"delete\":{}}}}";
    let wish = ApiWish {
        source: Some("http://api.test/docs/openapi.json".to_owned()),
        methods: vec!["get".to_owned()],
    };
    let imported = openapi::import(small, &wish).expect("a document");
    assert_eq!(imported, openapi::import(same, &wish).expect("a document"));
    assert_eq!((imported.base.as_str(), imported.steps.len()), ("http://api.test", 1));
    for (bad, word) in [
        ("swagger: '2.0'", "Swagger 2"),
        ("openapi: 4.0.0", "4.0.0"),
        ("a: [", "neither"),
        ("openapi: 3.0.0\npaths: {}", "no operation"),
        ("hello: world", "`openapi` is missing"),
    ] {
        let told = openapi::import(bad, &ApiWish::default()).unwrap_err().to_string();
        assert!(told.contains(word), "{bad}: {told}");
    }
}

/// A line, and what is sent: method and path, query, body.
#[test]
fn curl_lines_say_what_curl_would_send() {
    let form = |pairs: &[(&str, &str)]| {
        Some(Body::Form(pairs.iter().map(|(name, value)| pair(name, value)).collect()))
    };
    let text = |text: &str, kind: &str| Some(Body::Text(text.to_owned(), kind.to_owned()));
    let table = [
        ("curl localhost:8080/a", "GET /a", None),
        ("curl -X DELETE 'http://a/x'", "DELETE /x", None),
        ("curl -XPOST http://a/", "POST /", None),
        ("curl -X PURGE http://a/x", "PURGE /x", None),
        ("curl http://a/ -d a=1 -d 'b=x y'", "POST /", form(&[("a", "1"), ("b", "x y")])),
        ("curl http://a/ --data-urlencode 'q=a&b'", "POST /", form(&[("q", "a&b")])),
        ("curl -sSL -I http://a/", "HEAD /", None),
        (
            "curl --json '{\"a\":[1,\"$x\"]}' http://a/",
            "POST /",
            Some(Body::Json(json!({ "a": [1, "$x"] }))),
        ),
        (
            "curl http://a/ -H 'Content-Type: text/plain' --data-raw $'it\\'s\\n'",
            "POST /",
            text("it's\n", "text/plain"),
        ),
        (
            "curl -d @big.json -H 'content-type: application/json' http://a/",
            "POST /",
            Some(Body::File("big.json".into(), "application/json".into())),
        ),
        ("curl -T up.bin http://a/f", "PUT /f", Some(Body::File("up.bin".into(), String::new()))),
        ("curl -d plain http://a/", "POST /", text("plain", "application/x-www-form-urlencoded")),
    ];
    for (line, asked, body) in table {
        let imported = curl::import(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let request = requests(&imported)[0];
        assert_eq!(format!("{} {}", request.method, request.path), asked, "{line}");
        assert_eq!(request.body, body, "{line}");
        if !matches!(body, Some(Body::File(..))) {
            read(&imported);
        }
    }
    let imported = curl::import("curl -G http://a/?z=0 -d a=1 --data-urlencode 'b=x y'").unwrap();
    let query = [pair("z", "0"), pair("a", "1"), pair("b", "x y")];
    assert_eq!(requests(&imported)[0].query, query);
}

/// "Copy as cURL (bash)" of Chromium, and of Firefox.
#[test]
fn what_browsers_copy_becomes_a_scenario() {
    let chromium = r#"curl 'https://shop.test/api/cart?x=1' \
  -H 'accept: */*' \
  -H 'authorization: Bearer abc.def' \
  -H 'content-type: application/json' \
  -b 'session=12345; theme=dark' \
  -H 'sec-ch-ua: "Chromium";v="150"' \
  -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64)' \
  --data-raw $'{"name":"O\'Neill","n":2}' \
  --compressed --insecure"#;
    let imported = curl::import(chromium).expect("a command");
    let request = requests(&imported)[0];
    assert_eq!(request.body, Some(Body::Json(json!({ "name": "O'Neill", "n": 2 }))));
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accept", "authorization", "cookie", "user-agent"]);
    let text = imported.to_toml("curl");
    assert!(!text.contains("abc.def") && !text.contains("12345"), "{text}");
    assert!(text.contains("--insecure"), "{text}");
    let firefox = "curl 'http://shop.test/form' -X POST -H 'Accept-Encoding: gzip, deflate' \
                   -H 'Content-Type: multipart/form-data; boundary=x' -F 'a=1' \
                   -F 'f=@p.png;type=image/png' \
                   -u ann:hunter2";
    let imported = curl::import(firefox).expect("a command");
    let request = requests(&imported)[0];
    let Some(Body::Multipart(parts)) = &request.body else { panic!("no parts") };
    assert_eq!(parts[1].file.as_deref(), Some("p.png"));
    assert_eq!(parts[1].content_type.as_deref(), Some("image/png"));
    let text = imported.to_toml("curl");
    assert!(!text.contains("hunter2") && text.contains("Basic ${env.AUTHORIZATION}"), "{text}");
}

#[test]
fn commands_that_are_none_are_told() {
    for (line, word) in [
        ("wget http://a", "begin with `curl`"),
        ("curl", "no URL"),
        ("curl 'http://a", "not closed"),
        ("curl http://a -H", "lacks its value"),
        ("curl ftp://a/", "`ftp`"),
    ] {
        let told = curl::import(line).unwrap_err().to_string();
        assert!(told.contains(word), "{line}: {told}");
    }
}

/// Text that would mean something to a template or to TOML comes out as it went in.
#[test]
fn hostile_text_means_nothing() {
    let evil = "\u{1b}\"\\ ${vu} '''\n\u{7f}$${x}";
    let body = serde_json::to_string(&json!({ evil: evil })).unwrap();
    let har = json!({ "log": { "entries": [{
        "request": { "method": "POST", "url": "http://a/${vu}", "postData":
            { "mimeType": "application/json", "text": body } },
        "response": { "status": 200 } }] } });
    let imported = har::import(&har.to_string(), &HarWish::default()).expect("a HAR file");
    let scenario = read(&imported);
    let plan = Plan::resolve(&scenario, "http://a").expect("a plan");
    let plan = serde_json::to_string(&plan).expect("a plan is JSON");
    assert!(plan.contains("${vu}"), "the text was taken for a variable: {plan}");
}

/// Schemas and arrays within each other come to 10^12 values; the example ends long before.
#[test]
fn schemas_that_multiply_come_to_an_end() {
    let refer = |to: usize| json!({ "$ref": format!("#/components/schemas/S{to}") });
    let schemas = (0..12).map(|at| {
        let wide = (0..10).map(|name| (format!("p{name}"), refer(at + 1)));
        let wide: serde_json::Map<_, _> = wide.collect();
        let listed = json!({ "type": "array", "minItems": 10, "items": refer(at + 1) });
        let schema = json!({ "type": "object", "properties": wide, "additionalProperties": false });
        (format!("S{at}"), if at % 2 == 0 { schema } else { listed })
    });
    let schemas: serde_json::Map<_, _> = schemas.collect();
    let document = json!({ "openapi": "3.0.0", "servers": [{ "url": "http://a" }],
        "paths": { "/a": { "post": { "requestBody": { "content": { "application/json": {
            "schema": refer(0) } } }, "responses": {} } } },
        "components": { "schemas": schemas } });
    let wish = ApiWish { source: None, methods: Vec::new() };
    let imported = openapi::import(&document.to_string(), &wish).expect("a document");
    let length = imported.to_toml("a test").len();
    assert!(length < 100_000, "the scenario has {length} bytes");
    read(&imported);
}

#[test]
fn passwords_by_their_short_names_are_secrets_too() {
    let line = "curl http://a/ -H 'content-type: application/json' \
                -H 'x-session-token: hush' --data-raw '{\"pwd\":\"hush\",\"session_id\":\"hush\"}'";
    let text = curl::import(line).expect("a curl line").to_toml("a test");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn secrets_in_text_that_is_json_stay_out_as_well() {
    let line = r#"curl http://a.test/login -d '{"user":"ann","password":"hunter2"}'"#;
    let imported = curl::import(line).expect("a curl line");
    let text = format!("{:?}", requests(&imported)[0].body);
    assert!(text.contains("${env.PASSWORD}") && !text.contains("hunter2"), "{text}");
    let plain = curl::import("curl http://a.test/ -d '{\"b\": 1,  \"a\":2}'").expect("a curl line");
    let text = format!("{:?}", requests(&plain)[0].body);
    assert!(text.contains("1,  "), "text without a secret stays as it is: {text}");
}
