//! What the events of Socket.IO mean: namespaces, rooms, messages, typing, presence.
//! In: events of one client, in order. Out: letters to rooms, answers, errors.
//! An event that cannot be done is answered with `{"error":{"code","message"}}` when an answer is
//! awaited, and with an event `error` otherwise; the connection stays.
//! Leaves to others: the sockets (`carrier`), who is where (`hub`), keeping (`speech`).

use super::new_id;
use crate::app::{App, unix_ms};
use crate::letter::Letter;
use crate::message::{self, Refusal, Words};
use crate::sessions::Client;
use crate::speech::{Answer, Speech};
use crate::subscriber::Subscriber;
use bytes::Bytes;
use ebbtide_socketio::Text;
use ebbtide_socketio::packet::{Arg, Args, MAIN};
use ebbtide_socketio::server::{AckId, Event, Grant, MemberId, Reason, Recovery};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The namespace of what concerns one user alone.
const NOTIFICATIONS: &str = "/notifications";

/// What a session has of the chat.
#[derive(Debug, Default)]
pub(super) struct Guest {
    main: Option<MemberId>,
    notifications: Option<MemberId>,
    typing: Option<(Arc<str>, Duration)>,
}

/// The credentials of a connect.
#[derive(Default, Deserialize)]
struct Credentials<'a> {
    #[serde(borrow)]
    username: Option<Cow<'a, str>>,
}

/// The object that an event carries.
#[derive(Debug, Default, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stamp: Option<&'a RawValue>,
    #[serde(borrow)]
    attachment: Option<&'a RawValue>,
    typing: Option<bool>,
}

/// An event, and whether it is answered by whoever keeps what it says.
type Done = Result<Option<Value>, Refusal>;

impl Guest {
    /// Until when the client counts as typing.
    pub(super) fn typing_until(&self) -> Option<Duration> {
        self.typing.as_ref().map(|(_, until)| *until)
    }

    /// What is late ends.
    pub(super) fn tick(&mut self, app: &App, own: &Subscriber, now: Duration) {
        if self.typing_until().is_some_and(|until| until <= now) {
            self.stop_typing(app, own);
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
                self.greet(app, client, own, (member, &namespace, auth, recovery));
            }
            Event::Message { member, name, args, ack } if Some(member) == self.main => {
                app.disturbance.stall().await;
                let done = self.act(app, client, own, (&name, &args, ack));
                answer(app, client, member, (&name, ack), done);
            }
            Event::Message { member, name, ack, .. } => {
                let done = Err(Refusal::UnknownEvent(name.chars().take(32).collect()));
                answer(app, client, member, (&name, ack), done);
            }
            Event::Disconnected { member, reason } => self.part(app, own, member, reason),
            Event::Closed { .. } => self.stop_typing(app, own),
            Event::Answer { .. } | Event::AnswerLost { .. } | Event::Upgraded => {}
        }
    }

    /// Lets a client into a namespace, or not.
    fn greet(
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
        let name = credentials.username.filter(|name| !name.is_empty());
        let is_long = name.as_ref().is_some_and(|name| name.len() > message::USERNAME_BYTES);
        let refusal = match namespace {
            _ if is_long => Some(r#"{"message":"`username` is too long"}"#),
            MAIN | NOTIFICATIONS => None,
            _ => Some(r#"{"message":"Invalid namespace"}"#),
        };
        let mut state = client.state();
        if let Some(refusal) = refusal {
            // A client that has gone meanwhile needs no refusal.
            let _ = state.connection.refuse(member, refusal);
            return;
        }
        if namespace == NOTIFICATIONS {
            self.notifications = Some(member);
            let _ = state.connection.accept(member, &Grant { sid: new_id(), pid: None });
            return;
        }
        self.main = Some(member);
        drop(state);
        let offset = |wanted: &Recovery| wanted.offset.as_deref().and_then(|it| it.parse().ok());
        let back = recovery.and_then(|wanted| {
            let offset = offset(&wanted)?;
            app.hub.readmit(own, &wanted.pid, offset).then_some(wanted.pid)
        });
        let ticket = back.unwrap_or_else(|| {
            let ticket = new_id();
            app.hub.enrol(ticket.clone(), own);
            ticket
        });
        if let Some(name) = name {
            app.hub.call(own, &name);
        }
        let grant = Grant { sid: new_id(), pid: Some(ticket) };
        let _ = client.state().connection.accept(member, &grant);
    }

    /// A namespace has ended.
    fn part(&mut self, app: &App, own: &Arc<Subscriber>, member: MemberId, reason: Reason) {
        if Some(member) == self.notifications {
            self.notifications = None;
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

    fn act(
        &mut self,
        app: &App,
        client: &Client,
        own: &Arc<Subscriber>,
        (name, args, ack): (&str, &Args, Option<AckId>),
    ) -> Done {
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
                app.hub.enter(room, own)?;
                Ok(Some(app.hub.with_rooms(|rooms| {
                    let found = rooms.room(room);
                    json!({
                        "room": room,
                        "seq": found.map_or(0, |room| room.seq),
                        "members": found.map_or(0, |room| room.members.len()),
                    })
                })))
            }
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
                self.say(app, own, (payload, args.attachments(), ack), is_direct)
            }
            "typing" => self.type_in(app, own, &payload, client.now()),
            "presence:list" => {
                let room = own_room(own, payload.room.as_deref())?;
                Ok(Some(app.hub.with_rooms(|rooms| {
                    let found = rooms.room(&room);
                    let names = found.into_iter().flat_map(|room| room.present());
                    let users: Vec<_> = names.map(|name| json!({"name": name})).collect();
                    let guests = found.map_or(0, |room| room.nameless());
                    json!({"room": &*room, "users": users, "guests": guests})
                })))
            }
            other => Err(Refusal::UnknownEvent(other.chars().take(32).collect())),
        }
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
        app.hub.say(&Speech { room, words, attachment, speaker, answer }, unix_ms())?;
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
        tell_typing(app, own, &room, true);
        self.typing = Some((room, until));
        Ok(Some(json!({})))
    }

    fn stop_typing(&mut self, app: &App, own: &Subscriber) {
        if let Some((room, _)) = self.typing.take() {
            tell_typing(app, own, &room, false);
        }
    }
}

fn tell_typing(app: &App, own: &Subscriber, room: &str, is_typing: bool) {
    let user = json!({"name": own.name()});
    let body = json!({"room": room, "user": user, "typing": is_typing}).to_string();
    app.hub.publish(room, &Letter::event("typing", body), Some(own.id));
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

fn required<'a>(value: Option<&'a str>, field: &'static str) -> Result<&'a str, Refusal> {
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
