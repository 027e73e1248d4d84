//! A small real server for tests: HTTP with bodies of several kinds, and WebSockets that echo.
//!
//! In: nothing. Out: its address, and every request it saw.

#![allow(clippy::unwrap_used, dead_code)]

use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// A server on a free port, in a thread of its own.
pub(crate) struct TestServer {
    pub(crate) base: String,
    seen: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        let (stop, stopped) = oneshot::channel();
        let (address_out, address) = std::sync::mpsc::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                address_out.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, log) => {}
                    _ = stopped => {}
                }
            });
            // Dropping the runtime closes every connection, as a kill does.
        });
        let address: SocketAddr = address.recv().unwrap();
        Self { base: format!("http://{address}"), seen, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        let mut requests = self.seen.lock().unwrap().clone();
        requests.sort();
        requests
    }

    /// What it saw since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut requests = std::mem::take(&mut *self.seen.lock().unwrap());
        requests.sort();
        requests
    }

    pub(crate) fn kill(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<String>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(stream, Arc::clone(&seen)));
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let mut buffer = Vec::new();
    loop {
        let Some((head, body)) = request(&mut stream, &mut buffer).await else { return };
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if head.to_ascii_lowercase().contains("upgrade: websocket") {
            return websocket(stream, &head, seen).await;
        }
        seen.lock().unwrap().push(format!("{head}{body}"));
        if head.starts_with("HEAD ") {
            let text = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n";
            stream.write_all(text).await.unwrap();
        } else if !reply(&mut stream, &path, &body).await {
            return;
        }
    }
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end + 4]).into_owned();
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                })
                .unwrap_or(0_usize);
            if buffer.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
                buffer.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// False when the connection is to be closed.
async fn reply(stream: &mut TcpStream, path: &str, body: &str) -> bool {
    let fixed = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let text = match path.split('?').next().unwrap_or(path) {
        "/echo" => fixed("200 OK", body),
        "/json" => fixed("200 OK", r#"{"token":"t-1","list":[{"id":7}]}"#),
        "/large" => fixed("200 OK", &"x".repeat(300_000)),
        "/missing" => fixed("404 Not Found", "no"),
        "/chunked" => {
            // In two writes, so that the reply cannot come in one piece.
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            "7;x=y\r\n, world\r\n0\r\n\r\n".to_owned()
        }
        "/close" => {
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_owned()
        }
        "/until-close" => "HTTP/1.0 200 OK\r\n\r\nuntil the end".to_owned(),
        "/garbage" => "SPDY nonsense\r\n\r\n".to_owned(),
        "/hang" => return std::future::pending().await,
        _ => fixed("200 OK", "ok"),
    };
    let closes = matches!(path, "/close" | "/until-close" | "/garbage");
    stream.write_all(text.as_bytes()).await.is_ok() && !closes
}

async fn websocket(mut stream: TcpStream, head: &str, seen: Arc<Mutex<Vec<String>>>) {
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap_or_default()
        .trim();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let reply = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    seen.lock().unwrap().push(head.to_owned());
    stream.write_all(reply.as_bytes()).await.unwrap();
    let mut socket =
        tokio_tungstenite::WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let welcome = Message::text(r#"{"type":"system","content":"welcome","id":42}"#);
    if socket.send(welcome).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) => {
                seen.lock().unwrap().push(text.to_string());
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            // The socket says itself when its peer has gone.
            Message::Binary(bytes) => drop(socket.send(Message::Binary(bytes)).await),
            Message::Close(frame) => {
                let code = frame.map_or(0, |frame| u16::from(frame.code));
                seen.lock().unwrap().push(format!("closed {code}"));
            }
            _ => {}
        }
    }
}
