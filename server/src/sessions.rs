//! The sessions of Socket.IO, each as its requests and its carrier share it.
//! In: requests, a WebSocket; what the carrier does with them. Out: what the session says to each.
//! The session decides under one lock, at once; what follows from it is done by the carrier, which
//! is woken by every input.
//! Leaves to others: HTTP, carrying, and what is said (`sio`).

use crate::config::Limits;
use crate::subscriber::Subscriber;
use crate::wire::{Held, Socket};
use bytes::Bytes;
use ebbtide_socketio::Text;
use ebbtide_socketio::server::{Connection, Refusal, Session, Settings};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a reply may take to a client that says it is alive; see [`Limits::silence`].
const PONG_AT_LEAST: Duration = Duration::from_millis(100);

/// Times the limit of a message that a POST or a message of a WebSocket may have: text in its
/// escapes, or an event with what is attached to it in base64.
const PAYLOAD: usize = 4;

/// All sessions of Socket.IO.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clients: Arc<Clients>,
    /// What the sessions' times are counted from.
    pub(crate) started: Instant,
}

impl Host {
    pub(crate) fn new(limits: &Limits) -> Self {
        let settings = Settings {
            ping_interval: limits.ping_every,
            ping_timeout: limits.silence.saturating_sub(limits.ping_every).max(PONG_AT_LEAST),
            connect_timeout: limits.hello,
            queue_bytes: limits.queue_bytes,
            max_payload: limits.message_bytes.saturating_mul(PAYLOAD),
            ..Settings::default()
        };
        let (settings, clients) = (Arc::new(settings), Arc::default());
        Self { settings, clients, started: Instant::now() }
    }
}

/// A reply to a GET that hangs.
type Verdict = oneshot::Sender<Result<Bytes, Refusal>>;

/// A WebSocket, and what it holds of the server.
type Line = (Box<Socket>, Held);

/// One session.
#[derive(Debug)]
pub(crate) struct Client {
    state: Mutex<State>,
    subscriber: Arc<Subscriber>,
    /// What the session's times are counted from.
    started: Instant,
}

/// What the requests and the carrier share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) connection: Connection,
    /// Replies that are awaited, oldest first.
    pub(crate) hanging: VecDeque<Verdict>,
    /// A WebSocket that has come, for the carrier to take.
    pub(crate) arrived: Option<Line>,
}

impl Client {
    pub(crate) fn new(
        connection: Connection,
        subscriber: Arc<Subscriber>,
        started: Instant,
    ) -> Self {
        let state = State { connection, hanging: VecDeque::new(), arrived: None };
        Self { state: Mutex::new(state), subscriber, started }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Puts something to the session, and wakes its carrier.
    pub(crate) fn input<T>(&self, put: impl FnOnce(&mut Session, Duration) -> T) -> T {
        let answer = put(self.state().connection.session(), self.now());
        self.subscriber.ready.notify_one();
        answer
    }

    /// Hands a WebSocket over, or the news that its handshake came to nothing.
    pub(crate) fn hand(&self, line: Option<Line>) {
        match line {
            Some(line) => {
                self.state().arrived = Some(line);
                self.subscriber.ready.notify_one();
            }
            None => self.input(Session::websocket_lost),
        }
    }
}

/// A GET that hangs; dropped before its reply, it is lost.
pub(crate) struct Hanging<'a> {
    client: &'a Client,
    reply: Option<oneshot::Receiver<Result<Bytes, Refusal>>>,
}

impl<'a> Hanging<'a> {
    /// Lets the session know of a GET.
    pub(crate) fn begin(client: &'a Client) -> Result<Self, Refusal> {
        let (verdict, reply) = oneshot::channel();
        let mut state = client.state();
        let taken = state.connection.session().poll(client.now());
        if taken.is_ok() {
            state.hanging.push_back(verdict);
        }
        drop(state);
        client.subscriber.ready.notify_one();
        taken.map(|()| Self { client, reply: Some(reply) })
    }

    /// Waits for the reply.
    pub(crate) async fn end(mut self) -> Result<Bytes, Refusal> {
        let Some(reply) = &mut self.reply else { return Err(Refusal::UnknownSession) };
        let answer = reply.await;
        self.reply = None;
        answer.unwrap_or(Err(Refusal::UnknownSession))
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        if self.reply.take().is_some() {
            self.client.input(Session::poll_lost);
        }
    }
}

/// A POST whose body has not come yet; dropped, it is lost.
pub(crate) struct Unfinished<'a>(Option<&'a Client>);

impl<'a> Unfinished<'a> {
    pub(crate) fn begin(client: &'a Client) -> Self {
        Self(Some(client))
    }

    /// The body has come.
    pub(crate) fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            client.input(Session::push_lost);
        }
    }
}

/// All sessions by their ids. An ordered map: it grows and shrinks by small nodes.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    clients: Mutex<BTreeMap<Text, Arc<Client>>>,
}

impl Clients {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<Text, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session with this id.
    pub(crate) fn find(&self, sid: &str) -> Result<Arc<Client>, Refusal> {
        self.clients().get(&Text::from(sid)).cloned().ok_or(Refusal::UnknownSession)
    }

    /// Lists a session until what it gives is dropped.
    pub(crate) fn list(self: &Arc<Self>, sid: Text, client: Arc<Client>) -> Listed {
        self.clients().insert(sid.clone(), client);
        Listed { clients: self.clone(), sid }
    }
}

/// A session's place in the list.
#[derive(Debug)]
pub(crate) struct Listed {
    clients: Arc<Clients>,
    sid: Text,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.clients.clients().remove(&self.sid);
    }
}
