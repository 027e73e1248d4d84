//! The chat over real WebSockets: who gets what, what is refused, and who is closed.
//! In: real clients on a real socket. Out: what they are answered, and when they are closed.
//! REST paths and faults have files of their own.

mod support;

use ebbtide_server::{Config, Limits};
use futures_util::SinkExt;
use serde_json::json;
use std::time::Duration;
use support::{soon, start};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::test]
async fn everyone_in_the_room_gets_it_the_speaker_too() {
    let server = start(Config::default()).await;
    let mut ada = server.connect("/ws").await;
    let mut ben = server.connect("/").await;
    let mut cleo = server.connect("/ws?room=tea&username=Cleo").await;
    ada.send(r#"{"type":"user","content":"hi","username":"Ada","stamp":12.50,"id":"a"}"#).await;
    let heard = ada.text().await;
    assert!(heard.contains(r#""stamp":12.50"#), "{heard}");
    assert_eq!(ben.text().await, heard);
    // What is said in a room is heard in it, by who enters by speaking too.
    ben.send(r#"{"type":"user","content":"tea?","room":"tea"}"#).await;
    let tea = cleo.json().await;
    assert_eq!((&tea["content"], &tea["room"]), (&json!("tea?"), &json!("tea")));
    assert_eq!(ben.json().await, tea);
    cleo.send(r#"{"type":"user","content":"milk?"}"#).await;
    assert_eq!(ben.json().await["content"], "milk?");
    // Who leaves hears no more.
    ben.send(r#"{"type":"leave","room":"tea"}"#).await;
    assert_eq!(ben.json().await["event"], "left");
    cleo.send(r#"{"type":"user","content":"gone?"}"#).await;
    assert_eq!(cleo.json().await["content"], "milk?");
    assert_eq!(cleo.json().await["content"], "gone?");
    ada.send(r#"{"type":"user","content":"bye"}"#).await;
    assert_eq!(ben.json().await["content"], "bye");
}

#[tokio::test]
async fn a_message_for_one_is_for_one() {
    let server = start(Config::default()).await;
    let mut ada = server.connect("/ws?username=Ada").await;
    let mut ben = server.connect("/ws?username=Ben").await;
    let mut cleo = server.connect("/ws?username=Cleo").await;
    ada.send(r#"{"type":"user","content":"psst","to":"Ben"}"#).await;
    assert_eq!(ada.json().await["content"], "psst");
    assert_eq!(ben.json().await["to"], "Ben");
    ada.send(r#"{"type":"user","content":"all"}"#).await;
    assert_eq!(cleo.json().await["content"], "all");
    ada.send(r#"{"type":"user","content":"psst","to":"Dan"}"#).await;
    assert_eq!(ada.json().await["content"], "all");
    assert_eq!(ada.json().await["code"], "nobody");
}

#[tokio::test]
async fn what_is_wrong_is_answered_and_the_connection_stays() {
    let limits = Limits { message_bytes: 200, rooms_per_client: 2, rooms: 3, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let mut other = server.connect("/ws?room=third").await;
    let mut client = server.connect("/ws").await;
    let long = format!(r#"{{"type":"user","content":"{}"}}"#, "x".repeat(200));
    for (text, code) in [
        ("not JSON", "bad_json"),
        (r#"{"type":"user"}"#, "missing_field"),
        (r#"{"type":"dance","content":"x"}"#, "unknown_type"),
        (&long, "too_long"),
        (r#"{"type":"join","room":"no spaces"}"#, "bad_room"),
    ] {
        client.send(text).await;
        let error = client.json().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{text}");
    }
    client.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.json().await["code"], "binary");
    client.send(r#"{"type":"join","room":"second"}"#).await;
    assert_eq!(client.json().await["event"], "joined");
    client.send(r#"{"type":"join","room":"third"}"#).await;
    assert_eq!(client.json().await["code"], "too_many_rooms", "for one client");
    other.send(r#"{"type":"join","room":"fourth"}"#).await;
    assert_eq!(other.json().await["code"], "too_many_rooms", "for the server");
    client.send(r#"{"type":"user","content":"still here"}"#).await;
    assert_eq!(client.json().await["content"], "still here");
}

#[tokio::test]
async fn who_breaks_the_protocol_is_closed_with_the_reason() {
    let limits = Limits { message_bytes: 1_000, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let mut client = server.connect("/ws").await;
    // Far too long: not even read to the end.
    let _ = client.socket.send(Message::text("x".repeat(100_000))).await;
    assert_eq!(client.end().await.map(|frame| frame.code), Some(CloseCode::Size));
    for path in ["/ws?room=a%20b", "/ws?room=%zz", "/ws?room="] {
        let Err(Error::Http(reply)) = server.connect_unwelcomed(path).await else {
            panic!("{path} was taken")
        };
        assert_eq!(reply.status().as_u16(), 400, "{path}");
    }
}

#[tokio::test]
async fn nothing_is_lost_and_all_hear_one_order() {
    const CLIENTS: usize = 40;
    const EACH: usize = 25;
    let server = start(Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(server.connect("/ws").await);
    }
    let mut tasks = Vec::new();
    for (n, mut client) in clients.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            for m in 0..EACH {
                let text = json!({"type": "user", "content": format!("{n}-{m}")}).to_string();
                client.socket.feed(Message::text(text)).await.unwrap();
            }
            client.socket.flush().await.unwrap();
            let mut heard = Vec::new();
            while heard.len() < CLIENTS * EACH {
                heard.push(client.text().await);
            }
            (heard, client)
        }));
    }
    let mut first = None;
    for task in tasks {
        let (heard, _client) = soon("all messages", task).await.unwrap();
        let seqs = heard.iter().map(|text| {
            serde_json::from_str::<serde_json::Value>(text).unwrap()["seq"].as_u64().unwrap()
        });
        assert!(seqs.eq(1..=(CLIENTS * EACH) as u64));
        assert_eq!(first.get_or_insert_with(|| heard.clone()), &heard);
    }
}

#[tokio::test]
async fn who_does_not_read_is_closed_and_nobody_else_notices() {
    let limits = Limits { queue_bytes: 256 << 10, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let mut slow = server.connect("/ws").await;
    let mut quick = server.connect("/ws").await;
    let text = json!({"type": "user", "content": "x".repeat(60_000)}).to_string();
    // More than the sockets' buffers and the queue hold: the slow one goes at some point.
    let gone = |text: String| text.contains("ebbtide_slow_clients_total 1\n");
    let mut sent = 0;
    while !gone(server.ask("GET", "/metrics", "").await.2) {
        for _ in 0..20 {
            quick.send(text.as_str()).await;
            assert_eq!(quick.json().await["room"], "lobby");
        }
        sent += 20;
        assert!(sent < 5_000, "the slow client was never closed");
    }
    assert_eq!(slow.end().await.map(|frame| frame.code), Some(CloseCode::Again));
    quick.send(r#"{"type":"user","content":"on we go"}"#).await;
    assert_eq!(quick.json().await["content"], "on we go");
}

#[tokio::test]
async fn who_is_silent_is_pinged_and_then_given_up() {
    let ping_every = Duration::from_millis(50);
    let limits = Limits { ping_every, silence: Duration::from_millis(1_500), ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    // This one is not polled, so it answers no ping.
    let mut silent = server.connect("/ws").await;
    let mut alive = server.connect("/ws").await;
    let given_up = |text: String| text.contains("ebbtide_silent_clients_total 1\n");
    let watch = async { while !given_up(server.ask("GET", "/metrics", "").await.2) {} };
    tokio::select! {
        () = soon("the end of the silent one", watch) => {}
        message = alive.next() => panic!("{message:?}"),
    }
    assert_eq!(silent.end().await.map(|frame| frame.code), Some(CloseCode::Policy));
    alive.send(r#"{"type":"user","content":"here"}"#).await;
    assert_eq!(alive.json().await["content"], "here");
}
