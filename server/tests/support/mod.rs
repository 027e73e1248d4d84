//! Starts a real server on a free port and speaks to it as any client would.
//! In: a configuration. Out: the running server, HTTP replies, WebSocket messages.
//! Leaves to others: what is right (the tests).
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

pub mod caller;
pub mod postgres;

use bytes::Bytes;
use ebbtide_server::{Config, Server};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// After this long a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A future that must be ready before long.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: too long"))
}

/// Waits until `value` gives `wanted`.
pub async fn until<T: PartialEq + std::fmt::Debug>(what: &str, wanted: T, value: impl Fn() -> T) {
    let wait = async {
        while value() != wanted {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("{what}: {:?} instead of {wanted:?}", value());
    }
}

/// A server that runs until it is stopped.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

pub async fn start(config: Config) -> Running {
    let server = Server::bind(Config { port: 0, ..config }).await.unwrap();
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server.run(async { drop(stopped.await) }));
    Running { address, stop: Some(stop), server }
}

impl Running {
    /// Tells the server to stop.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has.
    pub async fn ended(self) {
        soon("the server's end", self.server).await.unwrap();
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let reply = self.reply(method, path, body).await;
        let kind = reply.headers().get("content-type").map(|kind| kind.to_str().unwrap());
        let kind = kind.unwrap_or_default().to_owned();
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    pub async fn reply(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Response<hyper::body::Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let (mut sender, connection) = handshake;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "text/plain")
            .header("connection", "close")
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        soon("a reply", sender.send_request(request)).await.unwrap()
    }

    /// A WebSocket, its welcome read.
    pub async fn connect(&self, path: &str) -> Client {
        let mut client = self.connect_unwelcomed(path).await.unwrap();
        let welcome = client.json().await;
        assert_eq!(welcome["event"], "welcome", "{welcome}");
        client
    }

    pub async fn connect_unwelcomed(&self, path: &str) -> Result<Client, Error> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let url = format!("ws://{}{path}", self.address);
        let (socket, _) = soon("the handshake", client_async(url, stream)).await?;
        Ok(Client { socket })
    }
}

/// A chat client.
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub async fn send(&mut self, text: impl Into<String>) {
        let message = Message::text(text.into());
        soon("a message to be taken", self.socket.send(message)).await.unwrap();
    }

    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match soon("a message", self.socket.next()).await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next message as text.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("not a text: {other:?}"),
        }
    }

    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Reads until the connection ends; the close frame, if there was one.
    pub async fn end(&mut self) -> Option<CloseFrame> {
        loop {
            match self.next().await {
                Some(Message::Close(frame)) => {
                    // Lets the answer out, which the socket has ready.
                    let _ = self.socket.flush().await;
                    return frame;
                }
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Closes in good order.
    pub async fn close(mut self) {
        soon("the close", self.socket.close(None)).await.unwrap();
        self.end().await;
    }
}
