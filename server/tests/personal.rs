//! What concerns one account: private messages, notifications, changes of rooms it is in; on both
//! databases, by REST, Socket.IO and plain WebSocket alike.
//! In: accounts with several windows. Out: what each window is told, and that others are not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use ebbtide_server::{Config, Database, Limits};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use support::caller::Caller;
use support::postgres::Postgres;
use support::{Client, Running, start};

/// An account with its windows.
struct Person {
    rest: Caller,
    id: i64,
    events: Window,
    plain: Plain,
}

/// A client of Socket.IO in both namespaces. What it is not asked for waits until it is.
struct Window {
    client: Client,
    passed: VecDeque<(String, Value)>,
}

/// A plain client; the same.
struct Plain {
    client: Client,
    passed: VecDeque<Value>,
}

impl Window {
    async fn open(server: &Running, token: &str) -> Self {
        let path = "/socket.io/?EIO=4&transport=websocket";
        let mut client = server.connect_unwelcomed(path).await.unwrap();
        assert!(client.text().await.starts_with("0{"));
        let auth = json!({ "token": token });
        for namespace in ["", "/notifications,"] {
            client.send(format!("40{namespace}{auth}")).await;
            let answer = client.text().await;
            assert!(answer.starts_with(&format!("40{namespace}{{")), "{answer}");
        }
        Self { client, passed: VecDeque::new() }
    }

    /// Emits an event and gives its answer.
    async fn ask(&mut self, name: &str, body: &Value) -> Value {
        self.ask_in("", name, body).await
    }

    async fn ask_in(&mut self, namespace: &str, name: &str, body: &Value) -> Value {
        self.client.send(format!("42{namespace}7{}", json!([name, body]))).await;
        let begin = format!("43{namespace}7");
        loop {
            let text = self.client.text().await;
            if let Some(answer) = text.strip_prefix(&begin) {
                let answer: Value = serde_json::from_str(answer).unwrap();
                return answer[0].clone();
            }
            self.pass(&text);
        }
    }

    fn pass(&mut self, text: &str) {
        let Some(begin) = text.find('[').filter(|_| text.starts_with("42")) else { return };
        let event: Value = serde_json::from_str(&text[begin..]).unwrap();
        let name = event[0].as_str().unwrap().to_owned();
        let is_personal = name.starts_with("notification");
        assert_eq!(text.starts_with("42/notifications,"), is_personal, "{text}");
        self.passed.push_back((name, event[1].clone()));
    }

    /// The next event of one of these names.
    async fn hears_one(&mut self, names: &[&str]) -> (String, Value) {
        loop {
            let at = self.passed.iter().position(|(name, _)| names.contains(&name.as_str()));
            if let Some(event) = at.and_then(|at| self.passed.remove(at)) {
                return event;
            }
            let text = self.client.text().await;
            self.pass(&text);
        }
    }

    async fn hears(&mut self, name: &str) -> Value {
        self.hears_one(&[name]).await.1
    }

    /// What the next event of notifications tells, be it one or several.
    async fn hears_notices(&mut self) -> Vec<Value> {
        let (name, body) = self.hears_one(&["notification:new", "notification:batch"]).await;
        match name.as_str() {
            "notification:new" => vec![body],
            _ => body["notifications"].as_array().unwrap().clone(),
        }
    }
}

impl Plain {
    async fn open(server: &Running, token: &str) -> Self {
        let client = server.connect(&format!("/ws?token={token}")).await;
        Self { client, passed: VecDeque::new() }
    }

    async fn send(&mut self, message: &Value) {
        self.client.send(message.to_string()).await;
    }

    /// The next message that has this word in this field.
    async fn find(&mut self, field: &str, word: &str) -> Value {
        loop {
            let at = self.passed.iter().position(|message| message[field] == word);
            if let Some(message) = at.and_then(|at| self.passed.remove(at)) {
                return message;
            }
            let message = self.client.json().await;
            self.passed.push_back(message);
        }
    }

    /// The next message of the server's own of that kind.
    async fn told(&mut self, event: &str) -> Value {
        let message = self.find("event", event).await;
        assert_eq!(message["type"], "system");
        assert!(message["content"].is_string(), "old clients show it: {message}");
        message
    }

    /// The next message of a user.
    async fn said(&mut self) -> Value {
        self.find("type", "user").await
    }
}

async fn person(server: &Running, guest: &Caller, name: &str) -> Person {
    let (rest, session) = guest.register(name).await;
    let token = rest.token.clone().unwrap();
    let events = Window::open(server, &token).await;
    let plain = Plain::open(server, &token).await;
    Person { rest, id: session["user"]["id"].as_i64().unwrap(), events, plain }
}

fn config(database: Database) -> Config {
    let limits = Limits { notices: Duration::from_millis(300), ..Limits::default() };
    Config { database, limits, ..Config::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    everything(config(Database::File(folder.path().join("chat")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let cluster = Postgres::start();
    everything(config(Database::Postgres(cluster.url("postgres")))).await;
}

async fn everything(config: Config) {
    let server = start(config).await;
    let guest = Caller::new(&server).await;
    let mut ada = person(&server, &guest, "Ada").await;
    let mut ben = person(&server, &guest, "Ben").await;
    let eve = person(&server, &guest, "Eve").await;
    whispers(&server, &mut ada, &mut ben).await;
    mentions(&mut ada, &mut ben).await;
    reading(&mut ada, &ben).await;
    rooms(&guest, &mut ada, &mut ben).await;
    nothing_of_others(eve).await;
}

async fn whispers(server: &Running, ada: &mut Person, ben: &mut Person) {
    // By each of three ways; both hear it in all their windows, once.
    let new =
        |n: i32| json!({ "to": "ben", "content": format!("psst {n}"), "key": format!("k{n}") });
    let answer = ada.events.ask("message:direct", &new(1)).await;
    assert_eq!(answer["id"], 1, "{answer}");
    assert_eq!(ada.events.ask("message:direct", &new(1)).await["id"], 1, "kept once");
    let mut plain = new(2);
    plain["type"] = "user".into();
    ada.plain.send(&plain).await;
    for n in [1, 2] {
        let own = ada.plain.said().await;
        assert_eq!((&own["to"], &own["direct"]), (&json!("Ben"), &json!(n)), "{own}");
    }
    ada.plain.send(&plain).await;
    assert_eq!(ada.plain.said().await["direct"], 2, "who asks again hears it again");
    assert_eq!(ada.rest.call("POST", "/messages/direct", Some(new(3))).await.0, 201);
    for n in 1..=3 {
        let heard = ben.events.hears("message:direct").await;
        assert_eq!(heard["id"], n, "{heard}");
        assert_eq!(heard["user"], json!({ "id": ada.id, "name": "Ada" }));
        assert_eq!((&heard["to"], &heard["key"]), (&json!("Ben"), &json!(format!("k{n}"))));
        let heard = ben.plain.said().await;
        assert_eq!(heard["content"], format!("psst {n}"));
        assert_eq!((&heard["username"], &heard["direct"]), (&json!("Ada"), &json!(n)));
    }
    // Another window of hers, later: what was said is given again.
    let mut window = Window::open(server, ada.rest.token.as_ref().unwrap()).await;
    let missed = window.ask("sync", &json!({ "direct": true, "after": 1 })).await;
    let ids: Vec<_> = missed["events"].as_array().unwrap().iter().map(|one| &one["seq"]).collect();
    assert_eq!((ids, &missed["more"]), (vec![&json!(2), &json!(3)], &json!(false)));
    assert_eq!(missed["events"][0]["data"]["to"], "Ben");
    let (_, after) = ben.rest.get("/messages/direct?after=2").await;
    assert_eq!(after["messages"][0]["content"], "psst 3", "{after}");
    let nobody = json!({ "to": "nobody", "content": "x", "room": "lobby" });
    let refused = window.ask("message:direct", &nobody).await;
    assert!(refused["error"]["code"].is_string(), "{refused}");
}

async fn mentions(ada: &mut Person, ben: &mut Person) {
    for n in 1..=3 {
        let direct = ben.events.hears("notification:new").await;
        assert_eq!((&direct["kind"], &direct["priority"]), (&json!("direct"), &json!("high")));
        assert_eq!(direct["body"]["content"], format!("psst {n}"), "{direct}");
        assert_eq!(direct["body"]["from"]["name"], "Ada");
        let direct = ben.plain.told("notification").await;
        assert_eq!(direct["content"], format!("Ada wrote to you: psst {n}"));
    }
    // In a public room everyone may be named, in a private one its members.
    let den = json!({ "id": "den", "public": false });
    assert_eq!(ada.rest.call("POST", "/rooms", Some(den)).await.0, 201);
    for (room, words) in [
        ("den", "@ben cannot know of this, @ada and @nobody neither"),
        ("lobby", "is @Ben, or @BEN, about?"),
    ] {
        let new = json!({ "content": words });
        let path = format!("/rooms/{room}/messages");
        assert_eq!(ada.rest.call("POST", &path, Some(new)).await.0, 201);
    }
    let mention = ben.events.hears("notification:new").await;
    assert_eq!((&mention["kind"], &mention["body"]["room"]), (&json!("mention"), &json!("lobby")));
    assert_eq!(mention["unread"], 4, "{mention}");
    let mention = ben.plain.told("notification").await;
    assert_eq!(mention["content"], "Ada named you in `lobby`: is @Ben, or @BEN, about?");
}

async fn reading(ada: &mut Person, ben: &Person) {
    // Of normal priority, three within a window: told together.
    for name in ["one", "two", "three"] {
        let room = json!({ "id": name, "public": false });
        assert_eq!(ben.rest.call("POST", "/rooms", Some(room)).await.0, 201);
        let path = format!("/rooms/{name}/members/{}", ada.id);
        let role = json!({ "role": "member" });
        assert_eq!(ben.rest.call("PUT", &path, Some(role)).await.0, 204);
    }
    let mut rooms = Vec::new();
    while rooms.len() < 3 {
        // A slow machine may take longer than a window.
        let batch = ada.events.hears_notices().await;
        rooms.extend(batch.iter().map(|one| one["body"]["room"].as_str().unwrap().to_owned()));
    }
    assert_eq!(rooms, ["one", "two", "three"]);
    let (_, list) = ada.rest.get("/notifications?kind=room").await;
    assert_eq!(
        (&list["unread"], &list["notifications"][0]["priority"]),
        (&json!(3), &json!("normal"))
    );
    let id = list["notifications"][0]["id"].as_i64().unwrap();
    // Read in one window, read in all.
    let read = json!({ "id": id });
    let answer = ada.events.ask_in("/notifications,", "notification:read", &read).await;
    assert_eq!(answer["unread"], 2, "{answer}");
    assert_eq!(ada.plain.told("notification-read").await["id"], id);
    ada.plain.send(&json!({ "type": "read", "id": id + 999 })).await;
    assert_eq!(ada.plain.find("type", "error").await["code"], "no_notification");
    ada.plain.send(&json!({ "type": "read" })).await;
    assert_eq!(ada.plain.told("notification-read").await["unread"], 0);
    assert_eq!(ada.rest.get("/notifications?unread=true").await.1["notifications"], json!([]));
}

async fn rooms(guest: &Caller, ada: &mut Person, ben: &mut Person) {
    let tea = json!({ "id": "tea", "title": "Tea" });
    assert_eq!(ada.rest.call("POST", "/rooms", Some(tea)).await.0, 201);
    let joined = ben.events.ask("room:join", &json!({ "room": "tea" })).await;
    assert_eq!(joined["seq"], 1, "its making is its first event: {joined}");
    // Everyone may see it, and so everyone in the first room is told.
    assert_eq!(ben.plain.find("title", "Tea").await["event"], "room:created");
    ben.plain.send(&json!({ "type": "join", "room": "tea" })).await;
    ben.plain.told("joined").await;
    assert_eq!(ben.rest.call("POST", "/rooms/tea/members", None).await.0, 204);
    let member = format!("/rooms/tea/members/{}", ben.id);
    for (method, path, body) in [
        ("PATCH", "/rooms/tea", Some(json!({ "title": "Tea & cake" }))),
        ("POST", "/rooms/tea/messages", Some(json!({ "content": "a message between" }))),
        ("PUT", &member, Some(json!({ "role": "moderator" }))),
    ] {
        let (status, answer) = ada.rest.call(method, path, body).await;
        assert!(status < 300, "{answer}");
    }
    for (name, seq) in
        [("member:joined", 2), ("room:updated", 3), ("message:new", 4), ("member:changed", 5)]
    {
        let event = ben.events.hears(name).await;
        assert_eq!(
            (&event["room"], &event["seq"]),
            (&json!("tea"), &json!(seq)),
            "{name}: {event}"
        );
        let message = ben.plain.find("room", "tea").await;
        assert_eq!((&message["room"], &message["seq"]), (&json!("tea"), &json!(seq)), "{message}");
    }
    // The same for who comes later, in one list.
    let missed = ada.events.ask("sync", &json!({ "room": "tea", "after": 0 })).await;
    let events: Vec<_> = missed["events"].as_array().unwrap().iter().map(|e| &e["event"]).collect();
    assert_eq!(
        events,
        ["room:created", "member:joined", "room:updated", "message:new", "member:changed"]
    );
    assert_eq!(missed["events"][2]["data"]["title"], "Tea & cake");
    // Put out: it is the last that he hears.
    assert_eq!(ada.rest.call("DELETE", &member, None).await.0, 204);
    assert_eq!(ben.events.hears("member:removed").await["user"]["name"], "Ben");
    let new = json!({ "room": "tea", "content": "still here?" });
    let refused = ben.events.ask("message:send", &new).await;
    assert_eq!(refused["error"]["code"], "not_in_room", "{refused}");
    // Closed: guests and others are out, and stay out.
    let window = &mut ben.events;
    window.ask("room:join", &json!({ "room": "tea" })).await;
    let closed = json!({ "public": false });
    assert_eq!(ada.rest.call("PATCH", "/rooms/tea", Some(closed)).await.0, 200);
    assert_eq!(window.hears("room:deleted").await["room"], "tea");
    let refused = window.ask("room:join", &json!({ "room": "tea" })).await;
    assert_eq!(refused["error"]["code"], "denied", "{refused}");
    // Removed: nobody is in it any more.
    assert_eq!(ada.rest.call("DELETE", "/rooms/tea", None).await.0, 204);
    assert_eq!(ada.events.hears("room:deleted").await["room"], "tea");
    let new = json!({ "room": "tea", "content": "hello?" });
    let refused = ada.events.ask("message:send", &new).await;
    assert_eq!(refused["error"]["code"], "not_in_room", "{refused}");
    // Another name is told where the two meet.
    window.ask("room:join", &json!({ "room": "lobby" })).await;
    assert_eq!(
        ada.rest.call("PATCH", "/users/me", Some(json!({ "username": "Adele" }))).await.0,
        200
    );
    let event = window.hears("user:updated").await;
    assert_eq!((&event["user"]["name"], &event["before"]), (&json!("Adele"), &json!("Ada")));
    assert_eq!(guest.get("/users?prefix=Adele").await.1["users"][0]["name"], "Adele");
}

/// Somebody who had a window open all the time, and concerned nobody.
async fn nothing_of_others(mut eve: Person) {
    let (_, list) = eve.rest.get("/notifications").await;
    assert_eq!((&list["unread"], &list["notifications"]), (&json!(0), &json!([])));
    assert_eq!(eve.rest.get("/messages/direct?after=0").await.1["messages"], json!([]));
    let last = eve.events.ask("sync", &json!({ "direct": true, "after": 0 })).await;
    assert_eq!(last["events"], json!([]));
    for id in 1..=4 {
        let path = format!("/notifications/{id}/read");
        assert_eq!(eve.rest.call("POST", &path, None).await.0, 404);
        let read = json!({ "id": id });
        let refused = eve.events.ask_in("/notifications,", "notification:read", &read).await;
        assert_eq!(refused["error"]["code"], "no_notification");
    }
    eve.plain.send(&json!({ "type": "user", "content": "the end" })).await;
    eve.plain.find("content", "the end").await;
    for message in &eve.plain.passed {
        let text = message.to_string();
        assert!(!text.contains("psst") && message["event"] != "notification", "{message}");
    }
}
