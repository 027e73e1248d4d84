//! Messages from one user to another.
//! In: words and whom they are for. Out: the number they were given; conversations and the inbox.
//! Leaves to others: keeping them and telling both users (`direct`).

use super::extract::{Account, Asked, Body};
use super::messages::refused;
use super::operation::{Api, get, post};
use super::{json, limit, next, not_found, unprocessable};
use crate::app::App;
use crate::message::Words;
use crate::problem::Problem;
use crate::store::Direct;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of a client's own key.
const KEY_BYTES: usize = 128;

/// Enters the operations.
pub(super) fn add(api: Api) -> Api {
    api.add(
        get("/messages/direct", "What was said between you and somebody, or to you, newest first")
            .query::<Wanted>()
            .answers::<Directs>(200)
            .problems(&[404]),
        list,
    )
    .add(
        post("/messages/direct", "Say something to one user")
            .body::<New>()
            .answers::<Sent>(201)
            // Said before with the same key.
            .answers::<Sent>(200)
            .problems(&[404]),
        send,
    )
}

/// Which messages are wanted.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    /// The name of who else took part; without it, all that was sent to you.
    with: Option<String>,
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next` of the page before.
    before: Option<i64>,
    /// All that was said to and by you after this message, oldest first; then neither of the
    /// others counts.
    after: Option<i64>,
}

/// Words for one user.
#[derive(Deserialize, JsonSchema)]
struct New {
    /// The name of who is to get them.
    to: String,
    content: String,
    /// Your own, unique for you: sent again with the same key, a message is not stored twice.
    #[schemars(length(max = 128))]
    key: Option<String>,
}

/// What became of words for one user.
#[derive(JsonSchema, Serialize)]
struct Sent {
    id: i64,
    /// Unix time in milliseconds.
    timestamp: i64,
}

/// Messages between users, newest first.
#[derive(JsonSchema, Serialize)]
struct Directs {
    messages: Vec<Shown>,
    next: Option<i64>,
}

/// A message from one user to another.
#[derive(JsonSchema, Serialize)]
struct Shown {
    id: i64,
    /// The number of the sender's account.
    from: i64,
    /// The sender's name.
    username: String,
    /// The number of the account it is for.
    to: i64,
    /// The name of that account.
    to_name: String,
    content: String,
    /// The sender's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Unix time in milliseconds.
    timestamp: i64,
}

impl From<Direct> for Shown {
    fn from(direct: Direct) -> Self {
        let Direct { id, from, from_name, to, to_name, key, content, at_ms } = direct;
        let (from, to, username) = (from.0, to.0, from_name);
        Self { id, from, username, to, to_name, content, key, timestamp: at_ms }
    }
}

async fn list(
    State(app): State<Arc<App>>,
    Account(who): Account,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Problem> {
    let limit = limit(wanted.limit);
    let before = wanted.before.unwrap_or(i64::MAX);
    let messages = match wanted.with {
        _ if wanted.after.is_some() => {
            app.store.directs_after(who.user, wanted.after.unwrap_or(0), limit).await?
        }
        None => app.store.inbox(who.user, before, limit).await?,
        Some(name) => {
            let other = app.store.account_named(&name).await?;
            let other = other.ok_or_else(|| not_found("account"))?;
            app.store.conversation((who.user, other.id), before, limit).await?
        }
    };
    let next = next(&messages, limit, |message| message.id);
    let messages = messages.into_iter().map(Shown::from).collect();
    Ok(json(StatusCode::OK, &Directs { messages, next }))
}

async fn send(
    State(app): State<Arc<App>>,
    Account(who): Account,
    Body(new): Body<New>,
) -> Result<Response, Problem> {
    let key = new.key.as_deref();
    let too_long = new.content.len() > app.limits.message_bytes;
    if too_long || key.is_some_and(|key| key.len() > KEY_BYTES) {
        return Err(unprocessable("too_long", "`content` or `key` is longer than is taken"));
    }
    let mut words = Words::of(new.content.into());
    (words.to, words.key) = (Some(new.to.into()), new.key.map(Into::into));
    app.metrics.message_in();
    let whisper = app.hub.whisper_to_account(&who, &words).await.map_err(refused)?;
    let sent = whisper.ok_or_else(|| not_found("account"))?.sent;
    let status = if sent.again { StatusCode::OK } else { StatusCode::CREATED };
    Ok(json(status, &Sent { id: sent.id, timestamp: sent.at_ms }))
}
