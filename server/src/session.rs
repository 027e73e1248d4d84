//! One WebSocket connection from its welcome to its end.
//! In: an upgraded connection. Out: what its client says, put to the hub; what waits for it,
//! written with one flush; pings; and a close frame that says why.
//! Leaves to others: the handshake (`upgrade`), who gets what (`hub`).

use crate::app::{App, unix_ms};
use crate::heartbeat::Heartbeat;
use crate::hub::Subscription;
use crate::message::{self, Refusal, Wish, Words};
use crate::registry::{Opening, Registered};
use crate::subscriber::{Ending, Next, Subscriber};
use ebbtide_probe::{Kind, track};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Time a client has to answer a close frame before its connection is cut.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Frames taken while a close frame waits for its answer: what a client may have been sending.
const FRAMES_AFTER_CLOSE: usize = 10_000;

/// Who connects, and where to.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) peer: SocketAddr,
    /// The `user-agent` header.
    pub(crate) agent: Box<[u8]>,
    pub(crate) room: Option<String>,
    pub(crate) username: Option<String>,
}

/// Why a session ends.
#[derive(Debug)]
enum End {
    /// The client closed, or its connection broke.
    Gone,
    /// This side closes, and says why.
    Close(CloseCode, &'static str),
}

/// One WebSocket connection.
struct Session<S> {
    app: Arc<App>,
    socket: Box<WebSocketStream<S>>,
    client: Subscription,
    heart: Heartbeat,
    registered: Registered,
}

/// Serves one connection to its end.
pub(crate) async fn run<S>(app: Arc<App>, socket: Box<WebSocketStream<S>>, arrival: Box<Arrival>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _counted = track(Kind::Task);
    app.metrics.socket_opened();
    let client = app.hub.subscribe();
    let opening =
        Opening { id: client.id, peer: arrival.peer, agent: &arrival.agent, now_ms: unix_ms() };
    let registered = app.registry.register(&opening);
    if app.is_draining() {
        client.end(Ending::Stopping);
    }
    let heart = Heartbeat::start(app.limits.ping_every, app.faults.clone());
    let mut session = Session { app, socket, client, heart, registered };
    session.welcome(*arrival);
    let end = session.exchange().await;
    session.close(end).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn welcome(&self, arrival: Arrival) {
        if let Some(name) = &arrival.username {
            self.client.call(name);
        }
        let room = arrival.room.as_deref().unwrap_or(&self.app.first_room);
        match self.app.hub.enter(room, &self.client) {
            Ok(()) => {
                let content = format!("Welcome! You are in `{room}`.");
                self.reply(message::system("welcome", &content, room, unix_ms()));
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn reply(&self, text: Utf8Bytes) {
        self.client.push(text);
    }

    fn refuse(&self, refusal: &Refusal) {
        self.app.metrics.message_error();
        self.reply(message::error(refusal));
    }

    async fn exchange(&mut self) -> End {
        loop {
            let end = tokio::select! {
                frame = self.socket.next() => self.take(frame).await,
                () = self.client.ready.notified() => self.deliver().await,
                () = self.heart.beat() => self.beat().await,
                () = self.registered.stopped() => {
                    self.client.end(Ending::Stopping);
                    Ok(())
                }
            };
            if let Err(end) = end {
                return end;
            }
        }
    }

    async fn take(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heart.heard();
        match frame {
            Some(Ok(Message::Text(text))) => {
                self.app.metrics.message_in();
                self.app.disturbance.stall().await;
                if let Err(refusal) = self.obey(&text) {
                    self.refuse(&refusal);
                }
                Ok(())
            }
            Some(Ok(Message::Binary(_))) => {
                self.refuse(&Refusal::Binary);
                Ok(())
            }
            // Pings are answered by the socket itself, with the next write or read.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                Err(End::Close(CloseCode::Size, "message far too long"))
            }
            Some(Err(Error::Utf8(_))) => Err(End::Close(CloseCode::Invalid, "text is not UTF-8")),
            Some(Err(Error::Protocol(_))) => {
                Err(End::Close(CloseCode::Protocol, "not the WebSocket protocol"))
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        }
    }

    fn obey(&self, text: &str) -> Result<(), Refusal> {
        let hub = &self.app.hub;
        match message::parse(text, self.app.limits.message_bytes)? {
            Wish::Say(words) => self.say(&words),
            Wish::Join(room) => {
                hub.enter(&room, &self.client)?;
                let content = format!("You are in `{room}`.");
                self.reply(message::system("joined", &content, &room, unix_ms()));
                Ok(())
            }
            Wish::Leave(room) => {
                hub.leave(&room, &self.client);
                let content = format!("You have left `{room}`.");
                self.reply(message::system("left", &content, &room, unix_ms()));
                Ok(())
            }
        }
    }

    fn say(&self, words: &Words<'_>) -> Result<(), Refusal> {
        let hub = &self.app.hub;
        if let Some(name) = &words.username {
            self.client.call(name);
        }
        let room = match &words.room {
            Some(room) => {
                hub.enter(room, &self.client)?;
                room
            }
            None => {
                let room = self.client.with_rooms(|own| own.first().cloned());
                return match room {
                    Some(room) => hub.say(&room, words, Some(&self.client), unix_ms()).map(drop),
                    None => Err(Refusal::Missing("room")),
                };
            }
        };
        hub.say(room, words, Some(&self.client), unix_ms()).map(drop)
    }

    /// Writes all that waits, with one flush. A beat does not interrupt it, but a client that
    /// is too slow or silent does.
    async fn deliver(&mut self) -> Result<(), End> {
        let Self { app, socket, client, heart, .. } = self;
        let mut beaten = false;
        {
            let mut writing = std::pin::pin!(write_all(socket, client));
            loop {
                tokio::select! {
                    end = &mut writing => break end,
                    () = client.ready.notified() => if let Some(ending) = client.cut() {
                        return Err(close_for(ending));
                    },
                    () = heart.beat() => {
                        if heart.silence() > app.limits.silence {
                            return Err(End::Gone);
                        }
                        beaten = true;
                    }
                }
            }
        }?;
        // A client that is always being written to would otherwise never be asked for a sign.
        if beaten { self.beat().await } else { Ok(()) }
    }

    async fn beat(&mut self) -> Result<(), End> {
        if self.heart.silence() > self.app.limits.silence {
            self.app.metrics.silent();
            return Err(End::Close(CloseCode::Policy, "silent for too long"));
        }
        let ping = self.socket.send(Message::Ping(bytes::Bytes::new()));
        match tokio::time::timeout(self.app.limits.silence, ping).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    /// Closes in good order, for as long as that may take, and lets the connection go.
    async fn close(mut self, end: End) {
        self.client.end(Ending::Gone);
        if let End::Close(code, reason) = end {
            if code == CloseCode::Again {
                self.app.metrics.slow();
            }
            let farewell = Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) });
            let goodbye = async {
                (*self.socket).close(farewell).await?;
                for _ in 0..FRAMES_AFTER_CLOSE {
                    match self.socket.next().await {
                        Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                        Some(Ok(_)) => {}
                    }
                }
                Ok::<(), Error>(())
            };
            // Who does not answer in time, or at all, is let go the same.
            let _ = tokio::time::timeout(CLOSE_PATIENCE, goodbye).await;
        } else {
            // Answers the client's close frame, if there was one.
            let _ = tokio::time::timeout(CLOSE_PATIENCE, self.socket.flush()).await;
        }
    }
}

async fn write_all<S>(socket: &mut WebSocketStream<S>, client: &Arc<Subscriber>) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut flushed = true;
    loop {
        match client.next() {
            Next::Write(text) => {
                socket.feed(Message::Text(text)).await.map_err(|_| End::Gone)?;
                flushed = false;
            }
            // More may have come during the flush, and its news been taken: look again.
            Next::Wait | Next::Close(_) if !flushed => {
                socket.flush().await.map_err(|_| End::Gone)?;
                flushed = true;
            }
            Next::Close(ending) => return Err(close_for(ending)),
            Next::Wait => return Ok(()),
        }
    }
}

fn close_for(ending: Ending) -> End {
    match ending {
        Ending::Slow => End::Close(CloseCode::Again, "too slow: reconnect and catch up"),
        Ending::Stopping => End::Close(CloseCode::Away, "the server stops: reconnect"),
        Ending::Gone => End::Gone,
    }
}
