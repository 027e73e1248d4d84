//! One session's task: carries what is said over the requests and the WebSocket that belong to it.
//! In: the session, the client's queue, the WebSocket, the time. Out: replies and messages, all
//! that waits with one flush; the client's events, one after the other.
//! A WebSocket that does not take what is sent lets the queue grow to its bound and nothing else
//! wait: then the client is closed, and told to come again.
//! Leaves to others: what an event means (`events`).

use super::events::Guest;
use crate::app::{App, unix_ms};
use crate::hub::Subscription;
use crate::letter::Dialect;
use crate::limits::Whence;
use crate::registry::{Opening, Registered};
use crate::sessions::{Client, Listed, State};
use crate::subscriber::{Ending, Next, Subscriber};
use crate::wire::{Held, Line, Socket, message_of};
use ebbtide_probe::{Guard, Kind, track};
use ebbtide_socketio::Frame;
use ebbtide_socketio::Text;
use ebbtide_socketio::server::{Connection, Output, Session, Transport};
use futures_util::{SinkExt, StreamExt};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// The code of RFC 6455 for an end that means no harm.
pub(super) const NORMAL: u16 = 1000;

/// Try again later: connect anew and recover.
const AGAIN: u16 = 1013;

/// How long a client may take to say goodbye on its WebSocket.
const GOODBYE: Duration = Duration::from_secs(5);

/// Bytes moved from the client's queue to its session at a time: enough for a flush, little beside
/// the bound of the queue.
const PORTION_BYTES: usize = 32 << 10;

/// What a session begins with.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) transport: Transport,
    pub(super) from: Whence,
    /// The `user-agent` header.
    pub(super) agent: Box<[u8]>,
    pub(super) held: Held,
}

/// A session's task.
struct Carrier {
    app: Arc<App>,
    client: Arc<Client>,
    guest: Guest,
    line: Option<(Line, Held)>,
    timer: Timer,
    registered: Registered,
    /// Kept until the session is forgotten everywhere.
    _listed: Listed,
    subscription: Subscription,
}

/// When the session wants to be looked at again.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    due: Option<Duration>,
    _counted: Guard,
}

/// What came first.
enum Turn {
    Message(Option<Result<Message, Error>>),
    Lost,
    Woken,
    Stopped,
    Time,
}

/// Begins a session and its task.
pub(super) fn open(app: &Arc<App>, opened: Opened, socket: Option<Box<Socket>>) -> Arc<Client> {
    let host = &app.sio;
    let (sid, now) = (super::new_id(), host.started.elapsed());
    let session = Session::open(host.settings.clone(), sid.clone(), opened.transport, now);
    let subscription = app.hub.subscribe(Dialect::Events);
    let connection = Connection::new(session, now);
    let client = Arc::new(Client::new(connection, (*subscription).clone(), host.started));
    let Opened { from, agent, held, .. } = opened;
    let opening =
        Opening { id: subscription.id, peer: from.client, agent: &agent, now_ms: unix_ms() };
    let carrier = Carrier {
        registered: app.registry.register(&opening),
        _listed: host.clients.list(sid, client.clone()),
        app: app.clone(),
        client: client.clone(),
        guest: Guest::at(from),
        line: socket.map(|socket| (Line::new(socket), held)),
        timer: Timer::new(),
        subscription,
    };
    app.metrics.socket_opened();
    tokio::spawn(carrier.run());
    client
}

impl Carrier {
    /// Runs until the session is over and everything is out.
    async fn run(mut self) {
        let _counted = track(Kind::Task);
        loop {
            self.obey().await;
            let (deadline, is_over) = {
                let mut state = self.client.state();
                let deadline = state.connection.next_deadline();
                (deadline, state.connection.session().is_closed())
            };
            if is_over && self.line.is_none() && self.client.state().hanging.is_empty() {
                return;
            }
            let farewell = || self.client.now() + GOODBYE;
            let deadline = match (deadline, self.guest.next_deadline()) {
                (Some(deadline), Some(until)) => deadline.min(until),
                (Some(deadline), None) => deadline,
                // It is over, and what is left is to go out.
                (None, _) => self.timer.due.filter(|_| is_over).unwrap_or_else(farewell),
            };
            self.timer.set(deadline, &self.client);
            let turn = self.turn().await;
            self.take(turn, is_over);
        }
    }

    /// Does what the client's events ask for, one after the other.
    async fn obey(&mut self) {
        loop {
            let now = self.client.now();
            let Some(event) = self.client.state().connection.next_event(now) else { return };
            self.guest.obey(&self.app, &self.client, &self.subscription, event).await;
        }
    }

    /// Waits for what comes first, while what waits is written.
    async fn turn(&mut self) -> Turn {
        let Self { client, line, timer, registered, subscription, .. } = self;
        let mut woken = pin!(subscription.ready.notified());
        let mut stopped = pin!(registered.stopped());
        std::future::poll_fn(|context| {
            match carry(client, subscription, line, context) {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Turn::Woken),
                Err(_) => return Poll::Ready(Turn::Lost),
            }
            if let Some((line, _)) = line
                && let Poll::Ready(message) = line.poll_next(context)
            {
                return Poll::Ready(Turn::Message(message));
            }
            if woken.as_mut().poll(context).is_ready() {
                return Poll::Ready(Turn::Woken);
            }
            if stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(Turn::Stopped);
            }
            timer.sleep.as_mut().poll(context).map(|()| Turn::Time)
        })
        .await
    }

    fn take(&mut self, turn: Turn, is_over: bool) {
        let now = self.client.now();
        let mut state = self.client.state();
        let session = state.connection.session();
        match turn {
            Turn::Message(Some(Ok(Message::Text(text)))) => {
                if let Ok(text) = Text::from_utf8(text.into()) {
                    self.app.metrics.message_in();
                    session.websocket_message(now, Frame::Text(text));
                }
            }
            Turn::Message(Some(Ok(Message::Binary(bytes)))) => {
                session.websocket_message(now, Frame::Binary(bytes));
            }
            // Pings are answered by the socket itself, with the next flush.
            Turn::Message(Some(Ok(_))) => {}
            Turn::Message(Some(Err(_)) | None) | Turn::Lost => {
                self.line = None;
                session.websocket_lost(now);
            }
            Turn::Woken => {
                if let Some((socket, held)) = state.arrived.take() {
                    self.line = Some((Line::new(socket), held));
                }
                if self.subscription.cut() == Some(Ending::Slow) && !is_over {
                    self.app.metrics.slow();
                    state.connection.session().overflow();
                } else if self.subscription.cut() == Some(Ending::Gone) {
                    // The client has come back elsewhere.
                    state.connection.close(now);
                }
            }
            Turn::Stopped => {
                self.guest.say_goodbye(&mut state.connection);
                state.connection.close(now);
            }
            Turn::Time if is_over => {
                self.line = None;
                state.hanging.clear();
            }
            Turn::Time => {
                state.connection.tick(now);
                drop(state);
                self.guest.tick(&self.app, &self.client, &self.subscription);
            }
        }
    }
}

/// Carries out what the session wants, as far as the WebSocket takes it; true when that was all
/// there will ever be.
fn carry(
    client: &Client,
    queue: &Subscriber,
    line: &mut Option<(Line, Held)>,
    context: &mut Context<'_>,
) -> Result<bool, Error> {
    let mut state = client.state();
    loop {
        let session = state.connection.session();
        // A socket that takes nothing more is not waited for at the end.
        let is_leaving = session.is_closed() && session.queued_bytes() == 0;
        if let Some((line, _)) = line.as_mut().filter(|_| !is_leaving) {
            match line.poll_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(false),
            }
        }
        match next_output(&mut state, queue) {
            Some(Output::Reply(reply)) => {
                if let Some(verdict) = state.hanging.pop_front() {
                    // Who no longer waits for a reply needs none.
                    let _ = verdict.send(reply);
                }
            }
            Some(Output::Send(frame)) => {
                if let Some((line, _)) = line {
                    line.feed(message_of(frame))?;
                }
            }
            Some(Output::CloseWebSocket(code)) => {
                if let Some((line, held)) = line.take() {
                    tokio::spawn(close(line.into_socket(), code, Some(held)));
                }
            }
            None => {
                let is_over = state.connection.session().is_closed();
                return Ok(is_over && line.is_none() && state.hanging.is_empty());
            }
        }
    }
}

/// What the session puts out; when that is nothing, it is given what waits in the client's queue.
fn next_output(state: &mut State, queue: &Subscriber) -> Option<Output> {
    let session = state.connection.session();
    if let Some(output) = session.next_output() {
        return Some(output);
    }
    // Polling takes when it asks; what it does not take yet waits in the queue, bounded.
    if session.queued_bytes() >= PORTION_BYTES {
        return None;
    }
    let mut portion = Vec::new();
    let mut bytes = 0;
    while bytes < PORTION_BYTES
        && let Next::Write(frame) = queue.next()
    {
        bytes += frame.len();
        portion.push(frame);
    }
    if portion.is_empty() {
        return None;
    }
    session.send(portion.into_iter());
    session.next_output()
}

/// Says goodbye behind what was sent, and waits for the answer within a bound.
pub(super) async fn close(mut socket: Box<Socket>, code: u16, held: Option<Held>) {
    let _counted = track(Kind::Task);
    let reason = if code == AGAIN { "too slow: reconnect and catch up" } else { "" };
    let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(reason) };
    let goodbye = async {
        socket.send(Message::Close(Some(frame))).await?;
        while let Some(message) = socket.next().await {
            message?;
        }
        Ok::<(), Error>(())
    };
    // A client that does not answer is not waited for.
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    drop(held);
}

impl Timer {
    #[inline(never)]
    fn new() -> Self {
        let sleep = Box::pin(tokio::time::sleep(GOODBYE));
        Self { sleep, due: None, _counted: track(Kind::Timer) }
    }

    /// Wakes the task then.
    fn set(&mut self, due: Duration, client: &Client) {
        if self.due != Some(due) {
            self.due = Some(due);
            let left = due.saturating_sub(client.now());
            self.sleep.as_mut().reset(Instant::now() + left);
        }
    }
}
