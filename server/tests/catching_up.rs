//! What is said over sockets is in the store: numbered as REST has it, given again after a gap,
//! kept once under its key; and who says it is known by a token.
//! In: clients of Socket.IO and of plain WebSocket, REST. Out: what each of them is told.
//! npm's clients have a file of their own (`sio.rs`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use ebbtide_server::Config;
use serde_json::{Value, json};
use support::caller::Caller;
use support::{Client, Running, start};
use tokio_tungstenite::tungstenite::Error;

/// A client in the main namespace; `auth` as a connect carries it.
async fn come(server: &Running, auth: &Value) -> Result<Client, Value> {
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut client = server.connect_unwelcomed(path).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client.send(format!("40{auth}")).await;
    let answer = client.text().await;
    match answer.strip_prefix("44") {
        Some(refusal) => Err(serde_json::from_str(refusal).unwrap()),
        None => Ok(client),
    }
}

/// Emits an event and gives its answer; what comes before it is passed over.
async fn emit(client: &mut Client, name: &str, body: &Value) -> Value {
    client.send(format!("427{}", json!([name, body]))).await;
    loop {
        if let Some(answer) = client.text().await.strip_prefix("437") {
            let answer: Value = serde_json::from_str(answer).unwrap();
            return answer[0].clone();
        }
    }
}

#[tokio::test]
async fn what_was_missed_is_given_and_then_all_that_follows() {
    let server = start(Config::default()).await;
    let mut ben = server.connect("/ws?username=Ben").await;
    for n in 1..=5 {
        let said = json!({"type": "user", "content": format!("{n}"), "username": "Ben"});
        ben.send(said.to_string()).await;
        assert_eq!(ben.json().await["seq"], n);
    }
    let mut ada = come(&server, &json!({"username": "Ada", "identity": "a"})).await.unwrap();
    let missed = emit(&mut ada, "sync", &json!({"room": "lobby", "after": 2})).await;
    let seqs: Vec<_> = missed["events"].as_array().unwrap().iter().map(|e| &e["seq"]).collect();
    assert_eq!(seqs, [3, 4, 5]);
    assert_eq!((&missed["more"], &missed["too_old"]), (&json!(false), &json!(false)));
    assert_eq!(missed["events"][0]["data"]["content"], "3");
    assert_eq!(missed["events"][0]["data"]["username"], "Ben");
    ben.send(json!({"type": "user", "content": "6"}).to_string()).await;
    let live = ada.text().await;
    assert!(live.starts_with(r#"42["message:new",{"#) && live.contains(r#""seq":6"#), "{live}");
    // Said again under its key by another connection of the same guest: kept and heard once.
    let said = json!({"room": "lobby", "content": "mine", "key": "k"});
    let first = emit(&mut ada, "message:send", &said).await;
    assert_eq!(first["seq"], 7);
    drop(ada);
    let mut again = come(&server, &json!({"username": "Ada", "identity": "a"})).await.unwrap();
    emit(&mut again, "room:join", &json!({"room": "lobby"})).await;
    assert_eq!(emit(&mut again, "message:send", &said).await, first);
    let (status, _, list) = server.ask("GET", "/api/v1/rooms/lobby/messages", "").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    let messages = list["messages"].as_array().unwrap();
    let contents: Vec<_> = messages.iter().map(|one| one["content"].as_str().unwrap()).collect();
    assert_eq!((status, contents), (200, vec!["1", "2", "3", "4", "5", "6", "mine"]));
    assert_eq!(messages[6]["id"], first["id"]);
}

#[tokio::test]
async fn a_token_says_who_speaks_and_without_one_nobody_comes() {
    let server = start(Config { open: false, ..Config::default() }).await;
    let (_, session) = Caller::new(&server).await.register("Ada").await;
    let token = session["access_token"].as_str().unwrap();
    for auth in [json!({}), json!({"token": "abc"}), json!({"username": "Ada"})] {
        let refusal = come(&server, &auth).await.err().unwrap();
        assert_eq!(refusal["data"]["code"], "unauthorized", "{auth}");
    }
    for path in ["/ws", "/ws?token=abc", "/ws?username=Ada"] {
        let Err(Error::Http(reply)) = server.connect_unwelcomed(path).await else {
            panic!("{path} was taken")
        };
        assert_eq!(reply.status().as_u16(), 401, "{path}");
    }
    let mut plain = server.connect(&format!("/ws?token={token}")).await;
    let mut ada = come(&server, &json!({"token": token})).await.unwrap();
    emit(&mut ada, "room:join", &json!({"room": "lobby"})).await;
    // Nobody speaks in another's name.
    plain.send(r#"{"type":"user","content":"hi","username":"Eve"}"#).await;
    assert_eq!(plain.json().await["username"], "Ada");
    let heard = ada.text().await;
    assert!(heard.contains(r#""user":{"id":1,"name":"Ada"}"#), "{heard}");
    let renewed = emit(&mut ada, "auth:renew", &json!({"token": token})).await;
    assert!(renewed["expires_ms"].as_u64().is_some(), "{renewed}");
    let refused = emit(&mut ada, "room:join", &json!({"room": "nowhere"})).await;
    assert_eq!(refused["error"]["code"], "no_room", "accounts make rooms by REST");
}

/// What the document says can be asked is understood, and nothing else is.
#[tokio::test]
async fn the_document_of_events_is_the_server() {
    let server = start(Config::default()).await;
    let (status, kind, text) = server.ask("GET", "/docs/asyncapi.json", "").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["asyncapi"], "3.0.0");
    let mut guest = come(&server, &json!({"username": "Ada"})).await.unwrap();
    let mut plain = server.connect("/ws").await;
    let mut asked = 0;
    for operation in document["operations"].as_object().unwrap().values() {
        let message = |place: &Value| {
            let path = place["$ref"].as_str().unwrap().trim_start_matches('#');
            let found = document.pointer(path).unwrap()["$ref"].as_str().unwrap();
            document.pointer(found.trim_start_matches('#')).unwrap()
        };
        let name = message(&operation["messages"][0])["name"].as_str().unwrap();
        if operation["action"] != "receive" {
            continue;
        }
        asked += 1;
        match operation["channel"]["$ref"].as_str().unwrap() {
            "#/channels/chat" => {
                let answer = emit(&mut guest, name, &json!({})).await;
                assert_ne!(answer["error"]["code"], "unknown_event", "{name}");
            }
            "#/channels/ws" => {
                plain.send(json!({"type": name, "id": {}}).to_string()).await;
                let answer = plain.json().await;
                assert_eq!(answer["type"], "error", "{name}: {answer}");
                assert_ne!(answer["code"], "unknown_type", "{name}: {answer}");
            }
            _ => assert_eq!(name, "notification:read"),
        }
    }
    assert!(asked > 10, "{asked}");
    let answer = emit(&mut guest, "room:paint", &json!({})).await;
    assert_eq!(answer["error"]["code"], "unknown_event");
    assert_eq!(server.ask("GET", "/docs/events", "").await.0, 200);
}
