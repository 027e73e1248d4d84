//! Carries the client's machine over real sockets: what a host has to do, in its simplest form.
//!
//! Comes in: a client and an address. Goes out: its events, one by one. Each request has a
//! connection of its own. Waiting has a bound: a test that waits too long says for what.

use bytes::Bytes;
use ebbtide_socketio::client::{Action, Client, Event, Options, Transports};
use ebbtide_socketio::{Frame, Text};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::{SinkExt, StreamExt};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

type Reply = BoxFuture<'static, std::io::Result<(u16, Bytes)>>;
type Opened = Result<Box<WebSocketStream<TcpStream>>, Error>;
type Opening = BoxFuture<'static, Opened>;

/// A client on sockets.
pub(crate) struct Driver {
    pub(crate) client: Client,
    pub(crate) transports: Transports,
    address: String,
    start: Instant,
    get: Option<Reply>,
    post: Option<Reply>,
    opening: Option<Opening>,
    socket: Option<Box<WebSocketStream<TcpStream>>>,
}

enum Turn {
    Polled(std::io::Result<(u16, Bytes)>),
    Pushed(std::io::Result<(u16, Bytes)>),
    Opened(Opened),
    Message(Option<Result<Message, Error>>),
    Time,
}

impl Driver {
    pub(crate) fn new(options: Options, address: &str) -> Self {
        Self {
            transports: options.transports,
            client: Client::new(options),
            address: address.to_owned(),
            start: Instant::now(),
            get: None,
            post: None,
            opening: None,
            socket: None,
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Cuts the WebSocket without a word, as a network does.
    pub(crate) fn cut(&mut self) {
        assert!(self.socket.take().is_some(), "there is a WebSocket");
        self.client.websocket_lost(self.now());
    }

    /// The next event that the test does not skip.
    pub(crate) async fn next<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            while let Some(event) = self.client.next_event() {
                if let Some(found) = wanted(&event) {
                    return found;
                }
                seen.push(event);
            }
            self.act().await;
            assert!(Instant::now() < deadline, "waited in vain; seen: {seen:#?}");
            let turn = self.turn(deadline).await;
            self.take(turn);
        }
    }

    /// Carries out what waits, without waiting for anything.
    pub(crate) async fn act(&mut self) {
        while let Some(action) = self.client.next_action() {
            match action {
                Action::Get { target } => {
                    assert!(self.get.is_none(), "two GETs at a time");
                    self.get = Some(ask(self.address.clone(), "GET", target, Bytes::new()).boxed());
                }
                Action::Post { target, body } => {
                    assert!(self.post.is_none(), "two POSTs at a time");
                    self.post = Some(ask(self.address.clone(), "POST", target, body).boxed());
                }
                Action::OpenWebSocket { target } => {
                    self.opening = Some(open(self.address.clone(), target).boxed());
                }
                Action::Send(frame) => {
                    let socket = self.socket.as_mut().expect("sent on an open WebSocket");
                    // What fails is seen where it is read.
                    let _ = socket.send(message_of(frame)).await;
                }
                Action::CloseWebSocket => self.leave().await,
                Action::Abandon => {
                    (self.get, self.post) = (None, None);
                    self.leave().await;
                }
            }
        }
    }

    async fn leave(&mut self) {
        self.opening = None;
        if let Some(mut socket) = self.socket.take() {
            let _ = WebSocketStream::close(&mut socket, None).await;
        }
    }

    async fn turn(&mut self, deadline: Instant) -> Turn {
        let wake = self.client.next_deadline().map_or(deadline, |at| self.start + at).min(deadline);
        tokio::select! {
            reply = pending(&mut self.get) => Turn::Polled(reply),
            reply = pending(&mut self.post) => Turn::Pushed(reply),
            socket = pending(&mut self.opening) => Turn::Opened(socket),
            message = heard(&mut self.socket) => Turn::Message(message),
            () = tokio::time::sleep_until(wake.into()) => Turn::Time,
        }
    }

    fn take(&mut self, turn: Turn) {
        let now = self.now();
        match turn {
            Turn::Polled(reply) => {
                self.get = None;
                match reply {
                    Ok((status, body)) => self.client.poll_reply(now, status, body),
                    Err(_) => self.client.request_lost(now),
                }
            }
            Turn::Pushed(reply) => {
                self.post = None;
                match reply {
                    Ok((status, _)) => self.client.push_reply(now, status),
                    Err(_) => self.client.request_lost(now),
                }
            }
            Turn::Opened(socket) => {
                self.opening = None;
                self.socket = socket.ok();
                match self.socket {
                    Some(_) => self.client.websocket_opened(now),
                    None => self.client.websocket_lost(now),
                }
            }
            Turn::Message(Some(Ok(Message::Text(text)))) => {
                let text = Text::from_utf8(text.into()).unwrap();
                self.client.websocket_message(now, Frame::Text(text));
            }
            Turn::Message(Some(Ok(Message::Binary(bytes)))) => {
                self.client.websocket_message(now, Frame::Binary(bytes));
            }
            Turn::Message(Some(Ok(_))) => {}
            Turn::Message(Some(Err(_)) | None) => {
                self.socket = None;
                self.client.websocket_lost(now);
            }
            Turn::Time => self.client.tick(now),
        }
    }
}

fn message_of(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => Message::Text(Utf8Bytes::try_from(text.into_bytes()).unwrap()),
        Frame::Binary(bytes) => Message::Binary(bytes),
    }
}

async fn pending<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn heard(
    socket: &mut Option<Box<WebSocketStream<TcpStream>>>,
) -> Option<Result<Message, Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn open(address: String, target: String) -> Opened {
    let stream = TcpStream::connect(&address).await?;
    let url = format!("ws://{address}{target}");
    tokio_tungstenite::client_async(url, stream).await.map(|(socket, _)| Box::new(socket))
}

/// A request on a connection of its own, its reply read to the end of the connection.
async fn ask(
    address: String,
    method: &'static str,
    target: String,
    body: Bytes,
) -> std::io::Result<(u16, Bytes)> {
    let mut stream = TcpStream::connect(&address).await?;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: text/plain;charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&reply[..end]).to_lowercase();
    assert!(!head.contains("chunked"), "the servers of the tests say their lengths");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(cut)?;
    Ok((status, Bytes::from(reply).slice(end + 4..)))
}
