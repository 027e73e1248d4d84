//! The REST interface as its clients meet it, on SQLite and on PostgreSQL.
//! In: requests of accounts and guests. Out: what they are answered; that every status is in the
//! OpenAPI document; how many statements the database ran.
//! What is refused is the matter of `attacks`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use ebbtide_server::{Config, Database};
use serde_json::{Value, json};
use support::caller::Caller;
use support::postgres::Postgres;
use support::{Running, start};

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    for database in [Database::Memory, Database::File(folder.path().join("chat"))] {
        everything(start(Config { database, ..Config::default() }).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let cluster = Postgres::start();
    let database = Database::Postgres(cluster.url("postgres"));
    everything(start(Config { database, ..Config::default() }).await).await;
}

async fn everything(server: Running) {
    let guest = Caller::new(&server).await;
    let (ada, _) = guest.register("Ada").await;
    let (bob, session) = guest.register("Bob").await;
    let bob_id = session["user"]["id"].as_i64().unwrap();
    accounts(&guest, &ada).await;
    rooms(&guest, &ada, &bob, bob_id).await;
    messages(&guest, &ada, &bob).await;
    directs(&ada, &bob).await;
    // That her password was changed, which is noted in the background.
    let noted = async {
        while ada.get("/notifications").await.1["unread"] != 1 {
            tokio::task::yield_now().await;
        }
    };
    support::soon("a notification", noted).await;
    let (status, told) = ada.get("/notifications?unread=true&kind=mention").await;
    assert_eq!((status, &told["unread"], &told["next"]), (200, &json!(1), &Value::Null));
    assert_eq!(ada.call("POST", "/notifications/read", None).await, (200, json!({ "read": 1 })));
    let (status, uploads) = ada.get("/uploads").await;
    assert_eq!((status, uploads), (200, json!({ "uploads": [], "next": null })));
}

async fn accounts(guest: &Caller, ada: &Caller) {
    let (status, me) = ada.get("/users/me").await;
    assert_eq!((status, &me["name"], &me["admin"]), (200, &json!("Ada"), &json!(false)));
    let login = |password| json!({ "username": "ADA", "password": password });
    let (status, session) = guest.call("POST", "/auth/login", Some(login("correct horse"))).await;
    assert_eq!((status, &session["expires_in"]), (200, &json!(900)), "{session}");
    let shown = json!({ "refresh_token": session["refresh_token"] });
    let (status, renewed) = guest.call("POST", "/auth/refresh", Some(shown)).await;
    assert_eq!(status, 200, "{renewed}");
    let renewed_token = renewed["access_token"].as_str().unwrap();
    assert_eq!(guest.with(renewed_token).get("/users/me").await.0, 200);
    let shown = json!({ "refresh_token": renewed["refresh_token"] });
    assert_eq!(guest.call("POST", "/auth/logout", Some(shown.clone())).await.0, 204);
    assert_eq!(guest.call("POST", "/auth/refresh", Some(shown)).await.0, 401, "logged out");
    let (_, people) = guest.get("/users?prefix=b").await;
    assert_eq!(people["users"][0]["name"], "Bob");
    let change = json!({ "password": "correct horse", "new_password": "battery staple" });
    assert_eq!(ada.call("PATCH", "/users/me", Some(change)).await.0, 200);
    for (password, expected) in [("correct horse", 401), ("battery staple", 200)] {
        let (status, _) = guest.call("POST", "/auth/login", Some(login(password))).await;
        assert_eq!(status, expected, "{password}");
    }
}

async fn rooms(guest: &Caller, ada: &Caller, bob: &Caller, bob_id: i64) {
    let den = json!({ "id": "den", "title": "A den", "public": false });
    let (status, room) = ada.call("POST", "/rooms", Some(den.clone())).await;
    assert_eq!((status, &room["role"]), (201, &json!("moderator")), "{room}");
    assert_eq!(bob.call("POST", "/rooms", Some(den)).await.0, 409);
    let names = |list: Value| {
        let rooms = list["rooms"].as_array().unwrap().clone();
        rooms.iter().map(|room| room["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(ada.get("/rooms").await.1), ["den", "lobby"]);
    assert_eq!(names(bob.get("/rooms").await.1), ["lobby"]);
    assert_eq!(names(guest.get("/rooms").await.1), ["lobby"]);
    let (_, page) = ada.get("/rooms?limit=1").await;
    assert_eq!(page["next"], "den");
    assert_eq!(names(ada.get("/rooms?after=den").await.1), ["lobby"]);
    let member = format!("/rooms/den/members/{bob_id}");
    let role = |role| Some(json!({ "role": role }));
    for (who, method, path, body, status) in [
        (bob, "GET", "/rooms/den", None, 404),
        (bob, "POST", "/rooms/den/members", None, 404),
        (bob, "PUT", &member, role("moderator"), 404),
        (ada, "PUT", &member, role("king"), 422),
        (ada, "PUT", "/rooms/den/members/999", role("member"), 404),
        (ada, "PUT", &member, role("member"), 204),
        (bob, "GET", "/rooms/den", None, 200),
        (bob, "PATCH", "/rooms/den", Some(json!({ "title": "Mine" })), 403),
        (bob, "DELETE", "/rooms/den", None, 403),
        (bob, "PUT", &member, role("moderator"), 403),
        (ada, "PATCH", "/rooms/den", Some(json!({ "title": "Ours" })), 200),
        (bob, "DELETE", "/rooms/den/members/me", None, 204),
        (bob, "GET", "/rooms/den/members", None, 404),
        (ada, "GET", "/rooms/den/members", None, 200),
        (bob, "DELETE", "/rooms/lobby", None, 403),
        (guest, "POST", "/rooms", Some(json!({ "id": "mine" })), 401),
        (ada, "POST", "/rooms", Some(json!({ "id": "a b" })), 422),
        (ada, "POST", "/rooms", Some(json!({ "id": "hall" })), 201),
        (bob, "POST", "/rooms/hall/members", None, 204),
        (bob, "DELETE", "/rooms/hall/members/me", None, 204),
        (bob, "DELETE", "/rooms/hall/members/me", None, 404),
        (ada, "DELETE", "/rooms/hall", None, 204),
    ] {
        let (got, text) = who.call(method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {text}");
    }
    assert_eq!(ada.get("/rooms/den").await.1["title"], "Ours");
    assert_eq!(ada.call("DELETE", "/rooms/den", None).await.0, 204);
    assert_eq!(ada.get("/rooms/den").await.0, 404);
}

async fn messages(guest: &Caller, ada: &Caller, bob: &Caller) {
    let path = "/rooms/lobby/messages";
    for n in 1..=5 {
        let content = format!("{n} <b>&\u{0}\u{1f600}");
        let key = format!("k{n}");
        let new = json!({ "content": content, "key": key, "username": "not me" });
        let (status, said) = ada.call("POST", path, Some(new.clone())).await;
        assert_eq!((status, &said["seq"], &said["username"]), (201, &json!(n), &json!("Ada")));
        let (status, again) = ada.call("POST", path, Some(new)).await;
        assert_eq!((status, &again["id"]), (200, &said["id"]), "stored once");
    }
    let new = json!({ "content": "hello", "username": "Guest 1" });
    let (status, said) = guest.call("POST", path, Some(new)).await;
    assert_eq!((status, &said["user"]), (201, &Value::Null), "{said}");
    let numbers = |page: &Value| {
        let all = page["messages"].as_array().unwrap();
        all.iter().map(|message| message["seq"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let (_, newest) = bob.get(&format!("{path}?limit=4")).await;
    assert_eq!((numbers(&newest), &newest["next"]), (vec![3, 4, 5, 6], &json!(3)));
    let (_, older) = bob.get(&format!("{path}?limit=4&before=3")).await;
    assert_eq!((numbers(&older), &older["next"]), (vec![1, 2], &Value::Null));
    assert_eq!(older["messages"][0]["user"]["name"], "Ada");
    assert_eq!(older["messages"][0]["content"], "1 <b>&\u{fffd}\u{1f600}");
    let (_, newer) = bob.get(&format!("{path}?limit=2&after=4")).await;
    assert_eq!((numbers(&newer), &newer["next"]), (vec![5, 6], &json!(6)));
    let (_, missed) = bob.get("/rooms/lobby/events?after=4").await;
    assert_eq!((&missed["newest"], &missed["too_old"]), (&json!(6), &json!(false)), "{missed}");
    assert_eq!(missed["events"][1]["username"], "Guest 1");
}

async fn directs(ada: &Caller, bob: &Caller) {
    let new = |to| json!({ "to": to, "content": "psst", "key": "d" });
    let (status, sent) = ada.call("POST", "/messages/direct", Some(new("bob"))).await;
    assert_eq!(status, 201, "{sent}");
    assert_eq!(ada.call("POST", "/messages/direct", Some(new("bob"))).await.1["id"], sent["id"]);
    assert_eq!(ada.call("POST", "/messages/direct", Some(new("eve"))).await.0, 404);
    for path in ["/messages/direct", "/messages/direct?with=ada"] {
        let (_, list) = bob.get(path).await;
        assert_eq!(list["messages"][0]["content"], "psst", "{path}: {list}");
        assert_eq!(list["messages"].as_array().unwrap().len(), 1, "{path}");
    }
}

/// As many statements for a page of fifty as for a page of one.
#[tokio::test(flavor = "multi_thread")]
async fn queries_do_not_grow_with_the_page() {
    let server = start(Config::default()).await;
    let guest = Caller::new(&server).await;
    let (ada, _) = guest.register("Ada").await;
    for n in 0..50 {
        let new = json!({ "content": n.to_string() });
        ada.call("POST", "/rooms/lobby/messages", Some(new)).await;
        ada.call("POST", "/rooms", Some(json!({ "id": format!("room{n}") }))).await;
        let new = json!({ "to": "Ada", "content": "to myself" });
        ada.call("POST", "/messages/direct", Some(new)).await;
    }
    for (path, most) in [
        ("/rooms/lobby/messages?", 2),
        ("/rooms/lobby/events?after=0&", 3),
        ("/rooms?", 1),
        ("/rooms/lobby/members?", 2),
        ("/users?", 1),
        ("/messages/direct?", 1),
        ("/messages/direct?with=Ada&", 2),
        ("/notifications?", 2),
        ("/uploads?", 1),
    ] {
        for limit in [1, 50] {
            let before = queries(&server).await;
            let (status, list) = ada.get(&format!("{path}limit={limit}")).await;
            assert_eq!(status, 200, "{list}");
            let ran = queries(&server).await - before;
            assert_eq!(ran, most, "{path}limit={limit}");
        }
    }
}

async fn queries(server: &Running) -> u64 {
    let (_, _, text) = server.ask("GET", "/metrics", "").await;
    let line = text.lines().find_map(|line| line.strip_prefix("ebbtide_database_queries_total "));
    line.unwrap().parse().unwrap()
}
