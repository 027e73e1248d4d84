//! What is said in rooms: pages of it, what was missed, and saying something.
//! In: words, cursors. Out: messages with their authors, in one query; the number a message was
//! given once it is stored.
//! Leaves to others: who may (`auth::access`), who is told (`hub`).

use super::extract::{Asked, At, Body, Caller};
use super::operation::{Api, Needs, get, post};
use super::rooms::room;
use super::{Person, json, limit, unprocessable};
use crate::app::App;
use crate::auth::access::Action;
use crate::message::{self, Refusal, Words};
use crate::problem::Problem;
use crate::speech::{Answer, Speech};
use crate::store::{self, Author, Event, Range, StoreError};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// Bytes of a client's own key.
const KEY_BYTES: usize = 128;

/// Enters the operations.
pub(super) fn add(api: Api) -> Api {
    api.add(
        get("/rooms/{room}/messages", "What was said in a room, oldest first")
            .needs(Needs::Entry)
            .query::<Wanted>()
            .answers::<Messages<'_>>(200),
        list,
    )
    .add(
        post("/rooms/{room}/messages", "Say something in a room")
            .needs(Needs::Entry)
            .body::<New>()
            .answers::<Message<'_>>(201)
            // Said before with the same key.
            .answers::<Message<'_>>(200),
        say,
    )
    .add(
        get("/rooms/{room}/events", "What happened in a room after a number")
            .needs(Needs::Entry)
            .query::<Missed>()
            .answers::<Events<'_>>(200),
        missed,
    )
}

/// Which messages are wanted: the newest, unless said.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next` of the page before: messages older than this number.
    before: Option<i64>,
    /// Messages newer than this number.
    after: Option<i64>,
}

/// Where a client's knowledge ends.
#[derive(Deserialize, JsonSchema)]
struct Missed {
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// The number of the last event the client knows.
    after: i64,
}

/// A page of messages, oldest first.
#[derive(JsonSchema, Serialize)]
struct Messages<'a> {
    messages: Vec<Message<'a>>,
    /// Cursor to the next page, in the direction that was asked for.
    next: Option<i64>,
}

/// Something that was said.
#[derive(JsonSchema, Serialize)]
struct Message<'a> {
    r#type: &'static str,
    /// Names it for ever.
    id: String,
    room: &'a str,
    /// Its number in the room: no number is left out.
    seq: i64,
    content: String,
    /// The author's name.
    username: String,
    /// The author, unless it was a guest.
    user: Option<Person>,
    /// The client's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Unix time in milliseconds.
    timestamp: i64,
}

/// Something to be said.
#[derive(Deserialize, JsonSchema)]
struct New {
    content: String,
    /// A guest's name; an account goes by its own.
    #[schemars(length(max = 64))]
    username: Option<String>,
    /// Your own, unique for you: sent again with the same key, a message is not stored twice.
    #[schemars(length(max = 128))]
    key: Option<String>,
}

/// What happened after a number.
#[derive(JsonSchema, Serialize)]
struct Events<'a> {
    events: Vec<Happened<'a>>,
    /// Number of the room's newest event.
    newest: i64,
    /// What came right after the number is not kept any more.
    too_old: bool,
    /// There is more: ask again after the last of these.
    more: bool,
}

/// Something that happened in a room: a message, or anything else by kind.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum Happened<'a> {
    Said(Message<'a>),
    Other {
        kind: String,
        seq: i64,
        timestamp: i64,
        /// Depends on the kind.
        #[schemars(with = "serde_json::Value")]
        body: Box<RawValue>,
    },
}

fn spell(room: &str, said: store::Message) -> Message<'_> {
    let user = said.user.map(|id| Person { id: id.0, name: said.name.clone() });
    Message {
        r#type: "user",
        id: said.id.to_string(),
        room,
        seq: said.id.seq,
        content: said.content,
        username: said.name,
        user,
        key: said.key,
        timestamp: said.at_ms,
    }
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    At(name): At<String>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Problem> {
    let view = room(&app, caller.who(), Action::See, &name).await?;
    let range = match (wanted.after, wanted.before) {
        (Some(_), Some(_)) => {
            let detail = "`after` and `before` cannot be asked for together";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail));
        }
        (Some(after), None) => Range::After(after),
        (None, before) => Range::Before(before.unwrap_or(i64::MAX)),
    };
    let limit = limit(wanted.limit);
    let messages = app.store.messages(view.room.id, range, limit).await?;
    let full = messages.len() as i64 >= limit;
    let last = match range {
        Range::After(_) => messages.last(),
        Range::Before(_) => messages.first(),
    };
    let next = last.filter(|_| full).map(|message| message.id.seq);
    let messages = messages.into_iter().map(|said| spell(&name, said)).collect();
    Ok(json(StatusCode::OK, &Messages { messages, next }))
}

async fn missed(
    State(app): State<Arc<App>>,
    caller: Caller,
    At(name): At<String>,
    Asked(missed): Asked<Missed>,
) -> Result<Response, Problem> {
    let view = room(&app, caller.who(), Action::See, &name).await?;
    let replay = app.store.events_after(view.room.id, missed.after, limit(missed.limit)).await?;
    let events = replay.events.into_iter().map(|event| match event {
        Event::Said(said) => Happened::Said(spell(&name, said)),
        Event::Other { seq, at_ms, kind, body } => {
            // It was JSON when it was noted.
            let body = RawValue::from_string(body).unwrap_or_default();
            Happened::Other { kind, seq, timestamp: at_ms, body }
        }
    });
    let events = Events {
        events: events.collect(),
        newest: replay.last_seq,
        too_old: replay.too_old,
        more: replay.more,
    };
    Ok(json(StatusCode::OK, &events))
}

fn bound(field: &str, bytes: usize, max: usize) -> Result<(), Problem> {
    if bytes <= max {
        return Ok(());
    }
    Err(unprocessable("too_long", format!("`{field}` has {bytes} bytes, at most {max} are taken")))
}

async fn say(
    State(app): State<Arc<App>>,
    caller: Caller,
    At(name): At<String>,
    Body(mut new): Body<New>,
) -> Result<Response, Problem> {
    let view = room(&app, caller.who(), Action::Speak, &name).await?;
    bound("content", new.content.len(), app.limits.message_bytes)?;
    bound("key", new.key.as_ref().map_or(0, String::len), KEY_BYTES)?;
    let guest = new.username.unwrap_or_else(|| "guest".to_owned());
    bound("username", guest.len(), message::USERNAME_BYTES)?;
    let author = match &caller.identity {
        Some(identity) => Author::User { id: identity.user, name: identity.name.as_str().into() },
        None => Author::Guest { name: guest.into(), identity: None },
    };
    if new.content.contains('\0') {
        // As it is stored: PostgreSQL takes every character but this one.
        new.content = new.content.replace('\0', "\u{fffd}");
    }
    app.metrics.message_in();
    let username = match &author {
        Author::User { name, .. } | Author::Guest { name, .. } => name.to_string(),
    };
    let mut words = Words::of(new.content.clone().into());
    words.username = Some(username.into());
    words.key = new.key.clone().map(Into::into);
    let (waiting, told) = oneshot::channel();
    let answer = Answer::Wait(Mutex::new(Some(waiting)));
    let speech = Speech {
        room: name.as_str().into(),
        words,
        author: author.clone(),
        attachment: None,
        speaker: None,
        answer,
    };
    app.hub.say_in(view.room.id, speech).map_err(refused)?;
    let stored = told.await.unwrap_or(Err(Refusal::NotKept)).map_err(refused)?;
    let (username, user) = match author {
        Author::User { id, name } => {
            (name.to_string(), Some(Person { id: id.0, name: name.into() }))
        }
        Author::Guest { name, .. } => (name.into(), None),
    };
    let said = Message {
        r#type: "user",
        id: stored.id.to_string(),
        room: &name,
        seq: stored.id.seq,
        content: new.content,
        username,
        user,
        key: new.key,
        timestamp: stored.at_ms,
    };
    let status = if stored.again { StatusCode::OK } else { StatusCode::CREATED };
    Ok(json(status, &said))
}

/// Why something was not said, as a document.
pub(super) fn refused(refusal: Refusal) -> Problem {
    match &refusal {
        Refusal::NoRoom(_) => super::not_found("room"),
        Refusal::Busy(_) => Problem::from(StoreError::Busy),
        _ => Problem::from(StoreError::Closed),
    }
}
