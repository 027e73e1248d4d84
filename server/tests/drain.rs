//! How a server stops: what is in flight ends in good order, and within a bound.
//! In: a server that is told to stop with work in flight. Out: what its clients see of it.
//! The process and its signals are left to the command's tests.

mod support;

use ebbtide_server::{Config, Limits};
use std::time::Duration;
use support::{soon, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

#[tokio::test]
async fn clients_are_told_and_requests_are_finished() {
    let mut server = start(Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..150 {
        clients.push(server.connect("/ws").await);
    }
    // Idle: told to go at once. Half a request: answered first.
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut reply = [0; 15];
    idle.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 200 OK");
    let mut half = TcpStream::connect(server.address).await.unwrap();
    let head = b"POST /api/v1/echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
        content-length: 5\r\n\r\n";
    half.write_all(head).await.unwrap();
    let mut go_on = [0; 25];
    soon("100", half.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    half.write_all(b"he").await.unwrap();

    let address = server.address;
    server.stop();
    for client in &mut clients {
        assert_eq!(client.json().await["event"], "drain");
        let frame = client.end().await.expect("a close frame");
        assert_eq!(frame.code, CloseCode::Restart);
    }
    let mut rest = Vec::new();
    soon("the end of the idle", idle.read_to_end(&mut rest)).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "still listening");
    half.write_all(b"llo").await.unwrap();
    let mut reply = String::new();
    soon("the reply", half.read_to_string(&mut reply)).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.ends_with("hello"), "{reply}");
    server.ended().await;
}

#[tokio::test]
async fn who_does_not_end_is_left_behind() {
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let mut server = start(Config { limits, ..Config::default() }).await;
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"POST /api/v1/echo HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let _never_read = server.connect("/ws").await;
    server.stop();
    server.ended().await;
}

/// A balancer that asks sees that the server goes, while connections are still taken; clients of
/// Socket.IO are told before their connection ends.
#[tokio::test]
async fn a_balancer_has_time_to_see_it() {
    let limits = Limits { farewell: Duration::from_secs(30), ..Limits::default() };
    let mut server = start(Config { limits, ..Config::default() }).await;
    assert_eq!(server.ask("GET", "/readyz", "").await.0, 200);
    server.stop();
    let seen = async {
        while server.ask("GET", "/readyz", "").await.0 != 503 {
            tokio::task::yield_now().await;
        }
    };
    soon("`not ready`", seen).await;
    assert_eq!(server.ask("GET", "/healthz", "").await.0, 200, "it lives on");
    assert!(server.ask("GET", "/metrics", "").await.2.contains("ebbtide_draining 1\n"));
}

#[tokio::test]
async fn clients_of_socket_io_are_told_to_reconnect() {
    let mut server = start(Config::default()).await;
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut client = server.connect_unwelcomed(path).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client.send("40").await;
    assert!(client.text().await.starts_with("40{"));
    server.stop();
    assert_eq!(client.text().await, r#"42["server:drain",{"reconnect":true}]"#);
    client.end().await;
    server.ended().await;
}
