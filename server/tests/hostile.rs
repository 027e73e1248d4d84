//! A table of attacks on everything but REST bodies, which `attacks` has: crafted tokens, floods of
//! connections, packets that are not Socket.IO, script in every field of text.
//! In: hostile clients. Out: what each is answered; and that the server has not panicked, answers
//! others, and is no larger than before.
//! Malformed frames are left to `frames`, rates and slow heads to `limits`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use data_encoding::BASE64URL_NOPAD;
use ebbtide_server::{Config, Limits};
use ring::hmac;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::caller::Caller;
use support::{Client, Running, soon, start};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// Panics of any task of this process. A task that panics takes nothing else along, so that only
/// this tells.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Relaxed);
        before(info);
    }));
}

/// The server answers, and nothing in it has panicked.
async fn is_well(server: &Running, after: &str) {
    assert_eq!(server.ask("GET", "/healthz", "").await.0, 200, "after {after}");
    assert_eq!(PANICS.load(Relaxed), 0, "after {after}");
}

/// Resident memory of this process, server and clients together.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1_024
}

const SECRET: &str = "the secret of this server's tokens";

/// A token of these claims, signed with `secret`.
fn token(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = BASE64URL_NOPAD.encode(hmac::sign(&key, signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

#[tokio::test(flavor = "multi_thread")]
async fn crafted_tokens_open_nothing() {
    let config = Config { secret: Some(SECRET.to_owned()), open: false, ..Config::default() };
    let server = start(config).await;
    let guest = Caller::new(&server).await;
    guest.register("Ada").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let head = |alg: &str| json!({ "alg": alg, "typ": "JWT" });
    let claims = |change: Value| {
        let mut claims = json!({
            "iss": "ebbtide", "sub": "1", "name": "Ada", "sid": "s", "iat": now, "exp": now + 600,
        });
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims
    };
    let good = token(&head("HS256"), &claims(json!({})), SECRET);
    assert_eq!(guest.with(&good).get("/users/me").await.0, 200, "the craft itself is right");
    for (what, token) in [
        ("no algorithm", token(&head("none"), &claims(json!({})), SECRET)),
        ("another algorithm", token(&head("HS512"), &claims(json!({})), SECRET)),
        ("another case", token(&head("hs256"), &claims(json!({})), SECRET)),
        (
            "the wrong key",
            token(&head("HS256"), &claims(json!({})), "a secret of somebody else's, as long"),
        ),
        ("an empty key", token(&head("HS256"), &claims(json!({})), "")),
        ("expired", token(&head("HS256"), &claims(json!({ "exp": now - 1 })), SECRET)),
        ("expired long ago", token(&head("HS256"), &claims(json!({ "exp": 0 })), SECRET)),
        ("another issuer", token(&head("HS256"), &claims(json!({ "iss": "x" })), SECRET)),
        ("no account", token(&head("HS256"), &claims(json!({ "sub": "1 OR 1=1" })), SECRET)),
        ("wrong types", token(&head("HS256"), &claims(json!({ "exp": "never" })), SECRET)),
        (
            "a header that must be understood",
            token(&json!({ "alg": "HS256", "crit": ["b64"] }), &claims(json!({})), SECRET),
        ),
    ] {
        let (status, problem) = guest.with(&token).get("/users/me").await;
        assert_eq!((status, &problem["code"]), (401, &json!("bad_token")), "{what}");
        // The same at both kinds of socket.
        assert!(server.connect_unwelcomed(&format!("/ws?token={token}")).await.is_err(), "{what}");
        let mut client = open(&server).await;
        client.send(format!(r#"40{{"token":"{token}"}}"#)).await;
        let reply = client.text().await;
        let code = if what.starts_with("expired") { "token_expired" } else { "unauthorized" };
        assert!(reply.starts_with("44{") && reply.contains(code), "{what}: {reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_is_good_for_nothing_more() {
    let config = Config { secret: Some(SECRET.to_owned()), ..Config::default() };
    let server = start(config).await;
    let guest = Caller::new(&server).await;
    let (ada, session) = guest.register("Ada").await;
    let (ben, _) = guest.register("Ben").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let sub = session["user"]["id"].to_string();
    let claims = json!({
        "iss": "ebbtide", "sub": sub, "name": "Ada", "sid": "s", "iat": now, "exp": now + 2,
    });
    let short = token(&json!({ "alg": "HS256", "typ": "JWT" }), &claims, SECRET);
    let mut client = open(&server).await;
    client.send(format!(r#"40{{"token":"{short}"}}"#)).await;
    assert!(client.text().await.starts_with("40{"));
    let told = client.text().await;
    assert!(told.starts_with("42[\"error\"") && told.contains("token_expired"), "{told}");
    assert_eq!(client.text().await, "41");
    // What is hers does not reach it any more, and it does not come in again as her.
    let direct = json!({ "to": "Ada", "content": "for her alone" });
    assert_eq!(ben.call("POST", "/messages/direct", Some(direct)).await.0, 201);
    client.send("40").await;
    let reply = client.text().await;
    assert!(reply.starts_with("44{") && reply.contains("token_expired"), "{reply}");
    client.send(format!(r#"40{{"token":"{short}"}}"#)).await;
    assert!(client.text().await.starts_with("44{"));
    client.send(format!(r#"40{{"token":"{}"}}"#, ada.token.as_ref().unwrap())).await;
    assert!(client.text().await.starts_with("40{"), "a new token lets it in");
}

/// A session of Socket.IO that is in no namespace yet.
async fn open(server: &Running) -> Client {
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut client = server.connect_unwelcomed(path).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client
}

/// Packets that no client of Socket.IO would send.
const PACKETS: &[&str] = &[
    "",
    "7",
    "9",
    "x",
    "4",
    "5",
    "6",
    "1",
    "2probe",
    "3probe",
    "0{}",
    "4x",
    "47",
    "40{",
    "40[]",
    "40/nowhere,",
    "40/nowhere",
    "40,{}",
    "41",
    "41/nowhere,",
    "42",
    "42{}",
    "42[]",
    "42[",
    "42[7]",
    "42[null]",
    r#"42["message:send""#,
    r#"42["message:send"]x"#,
    r#"42["connect"]"#,
    r#"42["disconnect"]"#,
    r#"42["newListener"]"#,
    r#"42["__proto__",{"__proto__":{}}]"#,
    r#"42["message:send",7]"#,
    r#"42["message:send",null]"#,
    r#"42["sync",{"room":7}]"#,
    r#"42["sync",{"room":"lobby","after":-9223372036854775808}]"#,
    r#"42["sync",{"room":"lobby","after":1e400}]"#,
    r#"42["room:join",{"room":""}]"#,
    r#"42["room:join",{"room":"../../etc"}]"#,
    r#"42["typing",{"room":"nowhere"}]"#,
    "4299999999999999999999[\"typing\",{}]",
    "42-1[\"typing\",{}]",
    "43[]",
    "4399[]",
    "43x[]",
    "44{}",
    "45[]",
    "450-[]",
    "451[]",
    "451-",
    "4599999999-[\"x\"]",
    r#"451-["message:send",{"content":{"_placeholder":true,"num":9}}]"#,
    r#"452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
    "46[]",
    "461-1[]",
    "42/chat,[\"x\"]",
    "42/,[\"x\"]",
    "b4AAAA",
    "4\u{1e}4",
    "4\u{0}",
    "40\u{feff}{}",
];

/// All of them, and two that are nested too deep.
fn packets() -> Vec<String> {
    let deep = format!("42{}", "[".repeat(50_000));
    let (open, shut) = ("[".repeat(20_000), "]".repeat(20_000));
    let nested = format!(r#"42["message:send",{open}1{shut}]"#);
    PACKETS.iter().map(|text| (*text).to_owned()).chain([deep, nested]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_are_no_packets() {
    count_panics();
    let server = start(Config::default()).await;
    let texts = packets();
    for text in &texts {
        for has_entered in [false, true] {
            let mut client = open(&server).await;
            if has_entered {
                client.send("40").await;
                assert!(client.text().await.starts_with("40{"));
            }
            // Text, then bytes that were or were not announced, then a good packet. Whoever is cut
            // on the way was refused.
            let _ =
                futures_util::SinkExt::send(&mut client.socket, Message::text(text.as_str())).await;
            let bytes = Message::binary(vec![0xff; 16]);
            let _ = futures_util::SinkExt::send(&mut client.socket, bytes).await;
            let last = Message::text(r#"427["presence:list",{"room":"lobby"}]"#);
            let _ = futures_util::SinkExt::send(&mut client.socket, last).await;
            let _ = client.socket.close(None).await;
            client.end().await;
        }
        is_well(&server, &text[..text.len().min(40)]).await;
    }
}

/// The same by polling: each body is refused or taken, and the session is one's own.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_polling_that_are_no_packets() {
    count_panics();
    let server = start(Config::default()).await;
    let path = "/socket.io/?EIO=4&transport=polling";
    let more = ["\u{1e}", "\u{1e}\u{1e}40", "40\u{1e}", "b", "bA", "b\u{1e}b"].map(str::to_owned);
    for body in packets().into_iter().chain(more) {
        let sid = server.ask("GET", path, "").await.2.split('"').nth(3).unwrap().to_owned();
        let (status, ..) = server.ask("POST", &format!("{path}&sid={sid}"), &body).await;
        assert!(matches!(status, 200 | 400), "{status} for {}", &body[..body.len().min(40)]);
    }
    let sid = server.ask("GET", path, "").await.2.split('"').nth(3).unwrap().to_owned();
    let far = "4".repeat((256 << 10) + 1);
    assert_eq!(server.ask("POST", &format!("{path}&sid={sid}"), &far).await.0, 413);
    for query in ["", "?EIO=3", "?EIO=4", "?EIO=4&transport=x", "?EIO=4&transport=polling&sid=%00"]
    {
        let (status, _, text) = server.ask("GET", &format!("/socket.io/{query}"), "").await;
        assert_eq!(status, 400, "{query}: {text}");
    }
    is_well(&server, "all of them").await;
}

/// Connections begun; 64 of them may stay.
const CONNECTS: usize = 10_000;
const PLACES: usize = 64;

/// Connections begun together: as many as are open here at one time besides those that stay.
const TOGETHER: usize = 100;

/// What the flood may leave in memory. Each connection that was kept would be some 10 KiB.
const LEFT_BYTES: u64 = 16 << 20;

#[tokio::test]
async fn ten_thousand_connects_from_one_address() {
    let limits = Limits {
        connections_per_address: PLACES,
        loopback_is_exempt: false,
        header_timeout: Duration::from_secs(600),
        ..Limits::default()
    };
    let server = start(Config { limits, ..Config::default() }).await;
    let connect = || async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 66], 0))).unwrap();
        socket.connect(server.address).await.unwrap()
    };
    let mut held: Vec<TcpStream> = Vec::new();
    let before = resident_bytes();
    for _ in 0..CONNECTS / TOGETHER {
        let begun = futures_util::future::join_all((0..TOGETHER).map(|_| connect())).await;
        for mut stream in begun {
            if held.len() < PLACES {
                held.push(stream);
                continue;
            }
            let mut nothing = [0; 1];
            // Cut in good order or by a reset.
            let end = soon("the end", stream.read(&mut nothing)).await;
            assert!(matches!(end, Ok(0) | Err(_)), "one too many was let in");
        }
    }
    let left = resident_bytes().saturating_sub(before);
    assert!(left < LEFT_BYTES, "{left} bytes are left");
    let (status, _, figures) = server.ask("GET", "/metrics", "").await;
    assert_eq!(status, 200, "others are served");
    let of = |name: &str| -> f64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no `{name}`")).parse().unwrap()
    };
    let refused = of("ebbtide_connections_refused_total");
    assert!(refused >= (CONNECTS - PLACES) as f64, "{refused}");
    assert!(of("ebbtide_connections_open{transport=\"http\"}") <= (PLACES + 2) as f64);
}

/// What would be run by a page that took text for markup.
const SCRIPT: &str = r#"<script>alert(1)</script><img src=x onerror=alert(1)>"'`"#;

#[tokio::test(flavor = "multi_thread")]
async fn script_in_every_field_of_text_stays_text() {
    count_panics();
    let server = start(Config::default()).await;
    let guest = Caller::new(&server).await;
    let (ada, _) = guest.register("Ada").await;
    // Names are words: refused.
    for (path, body) in [
        ("/auth/register", json!({ "username": SCRIPT, "password": "correct horse" })),
        ("/rooms", json!({ "id": SCRIPT })),
    ] {
        let (status, problem) = ada.call("POST", path, Some(body)).await;
        assert_eq!(status, 422, "{path}: {problem}");
    }
    assert_eq!(ada.call("PATCH", "/users/me", Some(json!({ "username": SCRIPT }))).await.0, 422);
    // Everything else is kept as it is, and given as JSON, which no browser takes for a page.
    let room = json!({ "id": "den", "title": SCRIPT });
    assert_eq!(ada.call("POST", "/rooms", Some(room)).await.1["title"], SCRIPT);
    let said = json!({ "content": SCRIPT, "key": SCRIPT });
    assert_eq!(ada.call("POST", "/rooms/den/messages", Some(said)).await.0, 201);
    let direct = json!({ "to": "Ada", "content": SCRIPT });
    assert_eq!(ada.call("POST", "/messages/direct", Some(direct)).await.0, 201);
    assert_eq!(ada.send("POST", "/log", Some(SCRIPT), "text/html").await.0, 202);
    for path in ["/rooms/den", "/rooms/den/messages", "/messages/direct?with=Ada", "/log"] {
        let reply = server.reply("GET", &format!("/api/v1{path}"), "").await;
        if reply.status() == 200 {
            assert_eq!(reply.headers()["content-type"], "application/json", "{path}");
        }
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff", "{path}");
        assert!(ada.get(path).await.1.to_string().contains("<script>"), "{path}");
    }
    // What is echoed in problems is JSON as well, and what is echoed as a body is no page.
    let (status, kind, _) = server.ask("GET", "/%3Cscript%3Ealert(1)%3C/script%3E", "").await;
    assert_eq!((status, kind.as_str()), (404, "application/problem+json"));
    let (_, kind, _) = server.ask("POST", "/api/v1/echo", SCRIPT).await;
    assert_eq!(kind, "text/plain");
    // Over both sockets it comes as what it was.
    let mut plain = server.connect("/ws?username=%3Cscript%3E").await;
    let mut client = open(&server).await;
    client.send("40").await;
    assert!(client.text().await.starts_with("40{"));
    client.send(r#"420["room:join",{"room":"lobby"}]"#).await;
    assert!(client.text().await.starts_with("430["));
    plain.send(json!({ "type": "user", "content": SCRIPT, "username": SCRIPT }).to_string()).await;
    loop {
        let said = plain.json().await;
        if said["type"] == "user" {
            assert_eq!((&said["content"], &said["username"]), (&json!(SCRIPT), &json!(SCRIPT)));
            break;
        }
    }
    loop {
        let text = client.text().await;
        if text.starts_with("42[\"message:new\",") {
            let event: Value = serde_json::from_str(&text[2..]).unwrap();
            assert_eq!(event[1]["content"], SCRIPT);
            break;
        }
    }
    is_well(&server, "script").await;
}
