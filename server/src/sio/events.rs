//! What the events of Socket.IO mean: namespaces, rooms, messages, typing, presence.
//! In: events of one client, in order. Out: letters to rooms, answers, errors.
//! An event that cannot be done is answered with `{"error":{"code","message"}}` when an answer is
//! awaited, and with an event `error` otherwise; the connection stays.
//! Leaves to others: the sockets (`carrier`), who is where (`hub`), keeping (`speech`).

use super::{new_id, personal};
use crate::app::{App, unix_ms};
use crate::auth::AuthError;
use crate::auth::access::{self, Who};
use crate::limits::Whence;
use crate::message::{self, Refusal, Words};
use crate::sessions::Client;
use crate::speech::{self, Answer, Speech};
use crate::store::{self, Author};
use crate::subscriber::Subscriber;
use crate::vocabulary::{self, NOTIFICATIONS};
use bytes::Bytes;
use ebbtide_socketio::Text;
use ebbtide_socketio::packet::{Arg, Args, MAIN};
use ebbtide_socketio::server::{AckId, Connection, Event, Grant, MemberId, Reason, Recovery};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Events given at once to who has missed some; who wants more asks again.
const SYNC_EVENTS: i64 = 500;

/// What a session has of the chat.
#[derive(Debug, Default)]
pub(super) struct Guest {
    /// Where the client is, by which its events are counted.
    pub(super) from: Option<Whence>,
    main: Option<MemberId>,
    notifications: Option<MemberId>,
    typing: Option<(Arc<str>, Duration)>,
    /// The client's own, kept over its connections; with it a guest's key means something.
    identity: Option<Box<str>>,
    /// When the client has to have renewed its token.
    renew_by: Option<Duration>,
    /// It has not, and comes in again with a new token alone.
    has_expired: bool,
}

/// The credentials of a connect.
#[derive(Default, Deserialize)]
struct Credentials<'a> {
    #[serde(borrow)]
    username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    identity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
}

/// The object that an event carries.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) stamp: Option<&'a RawValue>,
    #[serde(borrow)]
    attachment: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
    typing: Option<bool>,
    /// Private messages are meant, and no room.
    #[serde(default)]
    direct: bool,
    after: Option<i64>,
}

/// An event, and whether it is answered by whoever keeps what it says.
pub(super) type Done = Result<Option<Value>, Refusal>;

impl Guest {
    pub(super) fn at(from: Whence) -> Self {
        Self { from: Some(from), ..Self::default() }
    }

    /// When [`Guest::tick`] wants to be called.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let typing = self.typing.as_ref().map(|(_, until)| *until);
        typing.into_iter().chain(self.renew_by).min()
    }

    /// What is late ends: typing, and the stay of who has not renewed a token.
    pub(super) fn tick(&mut self, app: &App, client: &Client, own: &Subscriber) {
        let now = client.now();
        if self.typing.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.stop_typing(app, own);
        }
        if self.renew_by.is_some_and(|by| by <= now) {
            self.renew_by = None;
            self.has_expired = true;
            app.hub.forget_identity(own);
            let mut state = client.state();
            for member in [self.main, self.notifications].into_iter().flatten() {
                let error = json!({"code": "token_expired", "message": "the token has expired"});
                // A client that has gone meanwhile need not be put out.
                let _ = state.connection.emit(member, "error", &args(&error));
                let _ = state.connection.disconnect(member);
            }
        }
    }

    /// Whether another event is taken from here now.
    fn is_allowed(&self, app: &App, own: &Subscriber) -> Result<(), Refusal> {
        self.from.map_or(Ok(()), |from| app.may_speak(from, own))
    }

    /// Tells the client that the server stops, so that it can come back elsewhere.
    pub(super) fn say_goodbye(&self, connection: &mut Connection) {
        if let Some(member) = self.main {
            // A client that has gone meanwhile need not be told.
            let _ = connection.emit(member, "server:drain", &args(&json!({"reconnect": true})));
        }
    }

    /// Does what an event asks for.
    pub(super) async fn obey(
        &mut self,
        app: &Arc<App>,
        client: &Client,
        own: &Arc<Subscriber>,
        event: Event,
    ) {
        match event {
            Event::Request { member, namespace, auth, recovery } => {
                self.greet(app, client, own, (member, &namespace, auth, recovery)).await;
            }
            Event::Message { member, name, args, ack } if Some(member) == self.main => {
                app.disturbance.stall().await;
                let done = match self.is_allowed(app, own) {
                    Ok(()) => self.act(app, client, own, (&name, &args, ack)).await,
                    Err(refusal) => Err(refusal),
                };
                answer(app, client, member, (&name, ack), done);
            }
            Event::Message { member, name, args, ack } => {
                let done = match self.is_allowed(app, own) {
                    Ok(()) => personal::notifications(app, own, (&name, &args)).await,
                    Err(refusal) => Err(refusal),
                };
                answer(app, client, member, (&name, ack), done);
            }
            Event::Disconnected { member, reason } => self.part(app, own, member, reason),
            Event::Closed { .. } => self.stop_typing(app, own),
            Event::Answer { .. } | Event::AnswerLost { .. } | Event::Upgraded => {}
        }
    }

    /// Lets a client into a namespace, or not.
    async fn greet(
        &mut self,
        app: &App,
        client: &Client,
        own: &Arc<Subscriber>,
        (member, namespace, auth, recovery): (MemberId, &str, Option<Text>, Option<Recovery>),
    ) {
        let credentials = match auth.as_deref().map(serde_json::from_str::<Credentials<'_>>) {
            Some(Ok(credentials)) => credentials,
            Some(Err(_)) | None => Credentials::default(),
        };
        let mut name = credentials.username.as_deref().filter(|name| !name.is_empty());
        if let Err(refusal) = self.check(app, client, own, (namespace, &credentials)) {
            // A client that has gone meanwhile needs no refusal.
            let _ = client.state().connection.refuse(member, &refusal.to_string());
            return;
        }
        if namespace == NOTIFICATIONS {
            self.notifications = Some(member);
            own.set_notified(true);
            let grant = Grant { sid: new_id(), pid: None };
            let _ = client.state().connection.accept(member, &grant);
            return;
        }
        self.main = Some(member);
        let identity = own.identity();
        if let Some(identity) = &identity {
            name = Some(&identity.name);
        }
        let offset = |wanted: &Recovery| wanted.offset.as_deref().and_then(|it| it.parse().ok());
        let back = recovery.and_then(|wanted| {
            let given_up = app.hub.readmit(own, &wanted.pid, offset(&wanted)?)?;
            Some((wanted.pid, given_up))
        });
        let (ticket, given_up) = back.unwrap_or_else(|| {
            let ticket = new_id();
            app.hub.enrol(ticket.clone(), own);
            (ticket, Vec::new())
        });
        for room in given_up {
            // One that is closed to the client by now stays so.
            let _ = app.hub.enter(&room, own).await;
        }
        if let Some(name) = name {
            app.hub.call(own, name);
        }
        let own_id = credentials.identity.as_deref().unwrap_or(&ticket);
        self.identity = Some(own_id.into());
        let grant = Grant { sid: new_id(), pid: Some(ticket) };
        let _ = client.state().connection.accept(member, &grant);
    }

    /// Whether a client may come into a namespace; if not, the object that says why.
    fn check(
        &mut self,
        app: &App,
        client: &Client,
        own: &Arc<Subscriber>,
        (namespace, credentials): (&str, &Credentials<'_>),
    ) -> Result<(), Value> {
        if namespace != MAIN && namespace != NOTIFICATIONS {
            return Err(json!({"message": "Invalid namespace"}));
        }
        let refuse =
            |code: &str, message: &str| json!({"message": message, "data": {"code": code}});
        let long = |text: &Option<Cow<'_, str>>| {
            text.as_ref().is_some_and(|text| text.len() > message::USERNAME_BYTES)
        };
        if long(&credentials.username) || long(&credentials.identity) {
            return Err(refuse("too_long", "`username` or `identity` is too long"));
        }
        if let Some(token) = &credentials.token {
            self.identify(app, client, own, token).map_err(|error| {
                let expired = matches!(error, AuthError::Expired);
                refuse(if expired { "token_expired" } else { "unauthorized" }, &error.to_string())
            })?;
        }
        // What the session was let in by before is good for as long as it says, and no longer.
        if self.has_expired || own.has_expired(unix_ms()) {
            return Err(refuse("token_expired", "the token has expired"));
        }
        let identity = own.identity();
        let who = Who { identity: identity.as_deref(), open: app.open };
        access::may_come(who).map_err(|denied| refuse("unauthorized", &denied.to_string()))
    }

    /// The client is whom its token says, until the token expires.
    fn identify(
        &mut self,
        app: &App,
        client: &Client,
        own: &Arc<Subscriber>,
        token: &str,
    ) -> Result<u64, AuthError> {
        let now_ms = unix_ms();
        let identity = app.tokens.authenticate(token, now_ms)?;
        let expires_ms = identity.expires_ms;
        let left = Duration::from_millis(expires_ms.saturating_sub(now_ms));
        self.renew_by = Some(client.now() + left);
        self.has_expired = false;
        app.hub.identify(own, identity);
        Ok(expires_ms)
    }

    /// A namespace has ended.
    fn part(&mut self, app: &App, own: &Arc<Subscriber>, member: MemberId, reason: Reason) {
        if Some(member) == self.notifications {
            self.notifications = None;
            own.set_notified(false);
        }
        if Some(member) == self.main {
            self.main = None;
            self.stop_typing(app, own);
            // Who says goodbye does not come back to what it had.
            if matches!(
                reason,
                Reason::ClientNamespaceDisconnect | Reason::ServerNamespaceDisconnect
            ) {
                app.hub.discharge(own);
                app.hub.leave_all(own);
            }
        }
    }

    async fn act(
        &mut self,
        app: &App,
        client: &Client,
        own: &Arc<Subscriber>,
        (name, args, ack): (&str, &Args, Option<AckId>),
    ) -> Done {
        if !vocabulary::is_asked(MAIN, name) {
            return Err(Refusal::UnknownEvent(name.chars().take(32).collect()));
        }
        let list = args.list();
        let json = match list.first() {
            Some(Arg::Json(json)) => *json,
            _ => "{}",
        };
        if json.len() > app.limits.message_bytes {
            let (bytes, max) = (json.len(), app.limits.message_bytes);
            return Err(Refusal::TooLong { field: "message", bytes, max });
        }
        let payload: Payload<'_> =
            serde_json::from_str(json).map_err(|error| Refusal::BadJson(error.to_string()))?;
        match name {
            "room:join" => {
                let room = required(payload.room.as_deref(), "room")?;
                app.hub.enter(room, own).await?;
                let members = app.hub.company(room).clients;
                let seq = app.hub.with_rooms(|rooms| rooms.room(room).map_or(0, |room| room.seq));
                Ok(Some(json!({"room": room, "seq": seq, "members": members})))
            }
            "sync" if payload.direct => {
                personal::sync(app, own, payload.after.unwrap_or(0)).await.map(Some)
            }
            "sync" => sync(app, own, &payload).await.map(Some),
            "auth:renew" => self.renew(app, client, own, &payload),
            "room:leave" => {
                let room = required(payload.room.as_deref(), "room")?;
                if self.typing.as_ref().is_some_and(|(typing, _)| **typing == *room) {
                    self.stop_typing(app, own);
                }
                app.hub.leave(room, own);
                Ok(Some(json!({"room": room})))
            }
            "message:send" | "message:direct" => {
                let is_direct = name == "message:direct";
                if is_direct && let Some(sent) = personal::whisper(app, own, &payload).await? {
                    return Ok(Some(sent));
                }
                self.say(app, own, (payload, args.attachments(), ack), is_direct)
            }
            "typing" => self.type_in(app, own, &payload, client.now()),
            "presence:list" => {
                let room = own_room(own, payload.room.as_deref())?;
                let company = app.hub.company(&room);
                let users: Vec<_> =
                    company.names.iter().map(|name| json!({"name": name})).collect();
                let guests = company.nameless;
                Ok(Some(json!({"room": &*room, "users": users, "guests": guests})))
            }
            other => Err(Refusal::UnknownEvent(other.chars().take(32).collect())),
        }
    }

    fn renew(
        &mut self,
        app: &App,
        client: &Client,
        own: &Arc<Subscriber>,
        payload: &Payload<'_>,
    ) -> Done {
        let token = required(payload.token.as_deref(), "token")?;
        let before = own.identity().map(|identity| identity.user);
        let renewed = self.identify(app, client, own, token);
        let expires_ms = renewed.map_err(|error| Refusal::Denied(error.to_string()))?;
        // Another account is another connection: the rooms were entered as this one.
        if own.identity().map(|identity| identity.user) != before {
            self.renew_by = Some(client.now());
        }
        Ok(Some(json!({"expires_ms": expires_ms})))
    }

    fn say(
        &mut self,
        app: &App,
        own: &Arc<Subscriber>,
        (payload, attachments, ack): (Payload<'_>, &[Bytes], Option<AckId>),
        is_direct: bool,
    ) -> Done {
        let content = payload.content.ok_or(Refusal::Missing("content"))?;
        let room = own_room(own, payload.room.as_deref())?;
        let to = payload.to.filter(|_| is_direct);
        if is_direct && to.is_none() {
            return Err(Refusal::Missing("to"));
        }
        let attachment = payload.attachment.and_then(|_| attachments.first()).cloned();
        let max = app.limits.message_bytes;
        if let Some(bytes) = attachment.as_ref().map(Bytes::len).filter(|bytes| *bytes > max) {
            return Err(Refusal::TooLong { field: "attachment", bytes, max });
        }
        let username = own.name().map(|name| Cow::Owned(name.into_string()));
        let words = Words { username, to, key: payload.key, ..Words::of(content) };
        let words = words.stamped(payload.stamp)?.into_owned();
        if self.typing.as_ref().is_some_and(|(typing, _)| *typing == room) {
            self.stop_typing(app, own);
        }
        let answer = ack.map_or(Answer::Event, Answer::Ack);
        let speaker = Some(own.clone());
        let author = match own.identity() {
            Some(identity) => Author::User { id: identity.user, name: identity.name.into() },
            None => Author::Guest {
                name: words.username.as_deref().unwrap_or_default().into(),
                identity: self.identity.clone(),
            },
        };
        app.hub.say(Speech { room, words, author, attachment, speaker, answer }, unix_ms())?;
        Ok(None)
    }

    fn type_in(
        &mut self,
        app: &App,
        own: &Arc<Subscriber>,
        payload: &Payload<'_>,
        now: Duration,
    ) -> Done {
        let room = own_room(own, payload.room.as_deref())?;
        if !payload.typing.unwrap_or(true) {
            self.stop_typing(app, own);
            return Ok(Some(json!({})));
        }
        let until = now + app.limits.typing;
        let before = self.typing.as_ref().map(|(room, _)| room.clone());
        if before.as_ref() == Some(&room) {
            self.typing = Some((room, until));
            return Ok(Some(json!({})));
        }
        self.stop_typing(app, own);
        app.hub.typing(own, &room, true);
        self.typing = Some((room, until));
        Ok(Some(json!({})))
    }

    fn stop_typing(&mut self, app: &App, own: &Subscriber) {
        if let Some((room, _)) = self.typing.take() {
            app.hub.typing(own, &room, false);
        }
    }
}

/// Puts the client into a room and gives what it has missed there. When that is all, everything
/// later comes by itself, behind it.
async fn sync(app: &App, own: &Arc<Subscriber>, payload: &Payload<'_>) -> Result<Value, Refusal> {
    let name = required(payload.room.as_deref(), "room")?;
    let after = payload.after.unwrap_or(0);
    if app.hub.cluster.is_some() {
        app.hub.reach(name, u64::try_from(after).unwrap_or(0)).await;
    }
    let entered = app.hub.enter(name, own).await?;
    let id = app.hub.with_rooms(|rooms| rooms.room(name).and_then(|room| room.id));
    let id = id.ok_or_else(|| Refusal::NoRoom(name.to_owned()))?;
    let replay = app.store.events_after(id, after, SYNC_EVENTS).await;
    let replay = replay.map_err(|error| Refusal::of(&error))?;
    // What was told after the client entered waits in its queue, and is not told twice.
    let until = if entered.was_known { entered.seq } else { u64::MAX };
    let is_missed = |event: &&store::Event| u64::try_from(event.seq()).is_ok_and(|it| it <= until);
    let events = replay.events.iter().filter(is_missed).map(|event| match event {
        store::Event::Said(said) => {
            let (words, kept, at_ms) = speech::kept_words(said);
            let body = message::body(&words, name, (Some(&kept), false), at_ms);
            json!({"event": "message:new", "seq": kept.seq, "data": raw(&body)})
        }
        store::Event::Other { seq, kind, body, .. } => {
            json!({"event": kind, "seq": seq, "data": raw(body)})
        }
    });
    let events: Vec<Value> = events.collect();
    let seq = replay.last_seq;
    let (more, too_old) = (replay.more, replay.too_old);
    Ok(json!({"room": name, "events": events, "seq": seq, "more": more, "too_old": too_old}))
}

/// JSON that was written here or by the store.
fn raw(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

/// Sends the answer, or the error.
fn answer(
    app: &App,
    client: &Client,
    member: MemberId,
    (name, ack): (&str, Option<AckId>),
    done: Done,
) {
    let (value, is_error) = match done {
        Ok(None) => return,
        Ok(Some(value)) => (value, false),
        Err(refusal) => {
            app.metrics.message_error();
            let error = json!({"code": refusal.code(), "message": refusal.to_string()});
            (error, true)
        }
    };
    let mut state = client.state();
    // A client that has gone meanwhile needs no answer.
    let _ = match (ack, is_error) {
        (Some(ack), true) => {
            let args = args(&json!({"error": value}));
            state.connection.answer(member, ack, &args)
        }
        (Some(ack), false) => state.connection.answer(member, ack, &args(&value)),
        (None, true) => {
            let mut value = value;
            value["event"] = name.into();
            state.connection.emit(member, "error", &args(&value))
        }
        (None, false) => Ok(()),
    };
}

fn args(value: &Value) -> Args {
    Args::trusted(value.to_string().into())
}

pub(super) fn required<'a>(
    value: Option<&'a str>,
    field: &'static str,
) -> Result<&'a str, Refusal> {
    value.ok_or(Refusal::Missing(field))
}

/// The room that is named, or the first, of those the client is in.
fn own_room(own: &Subscriber, name: Option<&str>) -> Result<Arc<str>, Refusal> {
    let found = own.with_rooms(|rooms| match name {
        Some(name) => rooms.iter().find(|room| ***room == *name).cloned(),
        None => rooms.first().cloned(),
    });
    found.ok_or(Refusal::NotIn(name.unwrap_or_default().chars().take(64).collect()))
}
