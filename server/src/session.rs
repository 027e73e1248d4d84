//! One WebSocket connection from its welcome to its end.
//! In: an upgraded connection. Out: what its client says, put to the hub; what waits for it,
//! written with one flush; pings; and a close frame that says why.
//! Leaves to others: the handshake (`upgrade`), who gets what (`hub`).

use crate::app::{App, unix_ms};
use crate::auth::Identity;
use crate::auth::access::Denied;
use crate::heartbeat::Heartbeat;
use crate::hub::Subscription;
use crate::letter::Dialect;
use crate::limits::Whence;
use crate::message::{self, Refusal, Wish, Words};
use crate::registry::{Opening, Registered};
use crate::speech::{Answer, Speech};
use crate::store::Author;
use crate::subscriber::{Ending, Next, Subscriber};
use crate::wire::{Line, Socket, message_of};
use ebbtide_probe::{Kind, track};
use ebbtide_socketio::Text;
use futures_util::{SinkExt, StreamExt};
use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Time a client has to answer a close frame before its connection is cut.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Frames taken while a close frame waits for its answer: what a client may have been sending.
const FRAMES_AFTER_CLOSE: usize = 10_000;

/// The code registered for a client that may not be here, or no longer.
const UNAUTHORIZED: CloseCode = CloseCode::Library(3000);

/// Who connects, and where to.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) from: Whence,
    /// The `user-agent` header.
    pub(crate) agent: Box<[u8]>,
    pub(crate) room: Option<String>,
    pub(crate) username: Option<String>,
    /// The account, unless it is a guest.
    pub(crate) identity: Option<Identity>,
}

/// Why a session ends.
#[derive(Debug)]
enum End {
    /// The client closed, or its connection broke.
    Gone,
    /// This side closes, and says why.
    Close(CloseCode, &'static str),
}

/// What came first.
enum Turn {
    Frame(Option<Result<Message, Error>>),
    End(End),
    Woken,
    Beat,
    Stopped,
}

/// One WebSocket connection.
struct Session {
    app: Arc<App>,
    line: Line,
    client: Subscription,
    heart: Heartbeat,
    registered: Registered,
    from: Whence,
}

/// Serves one connection to its end.
pub(crate) async fn run(app: Arc<App>, socket: Box<Socket>, arrival: Box<Arrival>) {
    let _counted = track(Kind::Task);
    app.metrics.socket_opened();
    let client = app.hub.subscribe(Dialect::Plain);
    let opening = Opening {
        id: client.id,
        peer: arrival.from.client,
        agent: &arrival.agent,
        now_ms: unix_ms(),
    };
    let registered = app.registry.register(&opening);
    if app.is_draining() {
        client.end(Ending::Stopping);
    }
    let heart = Heartbeat::start(app.limits.ping_every, app.faults.clone());
    let line = Line::new(socket);
    let from = arrival.from;
    let mut session = Session { app, line, client, heart, registered, from };
    session.welcome(*arrival).await;
    let end = session.exchange().await;
    session.close(end).await;
}

impl Session {
    async fn welcome(&self, arrival: Arrival) {
        if let Some(identity) = arrival.identity {
            self.app.hub.call(&self.client, &identity.name);
            self.app.hub.identify(&self.client, identity);
        } else if let Some(name) = &arrival.username {
            self.app.hub.call(&self.client, name);
        }
        let room = arrival.room.as_deref().unwrap_or(&self.app.first_room);
        match self.app.hub.enter(room, &self.client).await {
            Ok(_) => {
                let content = format!("Welcome! You are in `{room}`.");
                self.reply(message::system("welcome", &content, room, unix_ms()));
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn reply(&self, text: Text) {
        self.client.push_text(text);
    }

    fn refuse(&self, refusal: &Refusal) {
        self.app.metrics.message_error();
        self.reply(message::error(refusal));
    }

    async fn exchange(&mut self) -> End {
        loop {
            let done = match self.turn().await {
                Turn::Frame(frame) => self.take(frame).await,
                Turn::End(end) => Err(end),
                Turn::Woken => Ok(()),
                Turn::Beat => self.beat(),
                Turn::Stopped => {
                    let content = "The server stops: reconnect.";
                    self.reply(message::system("drain", content, "", unix_ms()));
                    self.client.end(Ending::Stopping);
                    Ok(())
                }
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// Waits for what comes first, while what waits is written.
    async fn turn(&mut self) -> Turn {
        let Self { line, client, heart, registered, .. } = self;
        let mut woken = pin!(client.ready.notified());
        let mut beat = pin!(heart.beat());
        let mut stopped = pin!(registered.stopped());
        std::future::poll_fn(|context| {
            if let Err(end) = write(line, client, context) {
                return Poll::Ready(Turn::End(end));
            }
            if let Poll::Ready(frame) = line.poll_next(context) {
                return Poll::Ready(Turn::Frame(frame));
            }
            if woken.as_mut().poll(context).is_ready() {
                return Poll::Ready(Turn::Woken);
            }
            if beat.as_mut().poll(context).is_ready() {
                return Poll::Ready(Turn::Beat);
            }
            stopped.as_mut().poll(context).map(|()| Turn::Stopped)
        })
        .await
    }

    async fn take(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heart.heard();
        match frame {
            Some(Ok(Message::Text(text))) => {
                self.app.metrics.message_in();
                self.app.disturbance.stall().await;
                let allowed = self.app.may_speak(self.from, &self.client);
                let done = match allowed {
                    Ok(()) => self.obey(&text).await,
                    Err(refusal) => Err(refusal),
                };
                if let Err(refusal) = done {
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

    async fn obey(&self, text: &str) -> Result<(), Refusal> {
        let hub = &self.app.hub;
        match message::parse(text, self.app.limits.message_bytes)? {
            Wish::Say(words) => self.say(words).await,
            Wish::Join(room) => {
                hub.enter(&room, &self.client).await?;
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
            // All windows hear of it, this one too.
            Wish::Read(id) => match self.client.identity() {
                Some(identity) => hub.mark_read(identity.user, id).await.map(drop),
                None => Err(Refusal::Denied(Denied::Unknown.to_string())),
            },
        }
    }

    async fn say(&self, words: Words<'_>) -> Result<(), Refusal> {
        let hub = &self.app.hub;
        let mut words = words;
        let author = match self.client.identity() {
            // An account speaks in its own name.
            Some(identity) => {
                if let Some(whisper) = hub.whisper_to_account(&identity, &words).await? {
                    if whisper.sent.again {
                        self.reply(whisper.plain);
                    }
                    return Ok(());
                }
                words.username = Some(Cow::Owned(identity.name.clone()));
                Author::User { id: identity.user, name: identity.name.into() }
            }
            None => {
                if let Some(name) = &words.username {
                    hub.call(&self.client, name);
                }
                let name = words.username.as_deref().unwrap_or_default().into();
                Author::Guest { name, identity: None }
            }
        };
        if let Some(room) = &words.room
            && !self.client.is_in(room)
        {
            hub.enter(room, &self.client).await?;
        }
        let room = self.client.with_rooms(|own| match &words.room {
            Some(room) => own.iter().find(|one| ***one == **room).cloned(),
            None => own.first().cloned(),
        });
        let speech = Speech {
            room: room.ok_or(Refusal::Missing("room"))?,
            author,
            words: words.into_owned(),
            attachment: None,
            speaker: Some((*self.client).clone()),
            answer: Answer::Echo,
        };
        hub.say(speech, unix_ms())
    }

    /// Asks the client for a sign of life, or gives it up.
    fn beat(&mut self) -> Result<(), End> {
        if self.heart.silence() > self.app.limits.silence {
            self.app.metrics.silent();
            return Err(End::Close(CloseCode::Policy, "silent for too long"));
        }
        if self.client.has_expired(unix_ms()) {
            return Err(End::Close(UNAUTHORIZED, "the access token has expired: come again"));
        }
        self.line.feed(Message::Ping(bytes::Bytes::new())).map_err(|_| End::Gone)
    }

    /// Closes in good order, for as long as that may take, and lets the connection go.
    async fn close(self, end: End) {
        self.client.end(Ending::Gone);
        let mut socket = self.line.into_socket();
        if let End::Close(code, reason) = end {
            if code == CloseCode::Again {
                self.app.metrics.slow();
            }
            let farewell = Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) });
            let goodbye = async {
                (*socket).close(farewell).await?;
                for _ in 0..FRAMES_AFTER_CLOSE {
                    match socket.next().await {
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
            let _ = tokio::time::timeout(CLOSE_PATIENCE, socket.flush()).await;
        }
    }
}

/// Feeds all that waits, as far as the socket takes it.
fn write(line: &mut Line, client: &Subscriber, context: &mut Context<'_>) -> Result<(), End> {
    loop {
        match line.poll_ready(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(End::Gone),
            Poll::Pending => return client.cut().map_or(Ok(()), |ending| Err(close_for(ending))),
        }
        match client.next() {
            Next::Write(frame) => line.feed(message_of(frame)).map_err(|_| End::Gone)?,
            Next::Close(ending) => return Err(close_for(ending)),
            Next::Wait => return Ok(()),
        }
    }
}

fn close_for(ending: Ending) -> End {
    match ending {
        Ending::Slow => End::Close(CloseCode::Again, "too slow: reconnect and catch up"),
        Ending::Stopping => End::Close(CloseCode::Restart, "the server stops: reconnect"),
        Ending::Gone => End::Gone,
    }
}
