//! Events that concern one account alone: private messages, what was missed of them, and
//! notifications.
//! In: events of a client, with its account. Out: answers.
//! The rest goes by `direct` and `notifier`.
//! Leaves to others: rooms, and what guests say to each other (`events`).

use super::events::{Done, Payload, required};
use crate::app::App;
use crate::auth::access::Denied;
use crate::direct::Whispered;
use crate::message::{Refusal, Words};
use crate::subscriber::Subscriber;
use crate::vocabulary::{self, NOTIFICATIONS};
use ebbtide_socketio::packet::{Arg, Args};
use serde::Deserialize;
use serde_json::{Value, json};

/// Messages given at once to who has missed some.
const SYNC_MESSAGES: i64 = 500;

/// Which notifications were read.
#[derive(Debug, Default, Deserialize)]
struct Read {
    id: Option<i64>,
    #[serde(default)]
    all: bool,
}

/// Says something to an account alone; none when the one or the other is not an account.
pub(super) async fn whisper(
    app: &App,
    own: &Subscriber,
    payload: &Payload<'_>,
) -> Result<Option<Value>, Refusal> {
    let (Some(identity), Some(to)) = (own.identity(), &payload.to) else { return Ok(None) };
    let content = required(payload.content.as_deref(), "content")?;
    let mut words = Words::of(content.into());
    (words.to, words.key) = (Some((&**to).into()), payload.key.as_deref().map(Into::into));
    let words = words.stamped(payload.stamp)?;
    let whisper = app.hub.whisper_to_account(&identity, &words).await?;
    Ok(whisper.map(|it| json!({ "id": it.sent.id, "timestamp": it.sent.at_ms })))
}

/// What was said to and by the account since.
pub(super) async fn sync(app: &App, own: &Subscriber, after: i64) -> Result<Value, Refusal> {
    let identity = own.identity().ok_or_else(|| Refusal::Denied(Denied::Unknown.to_string()))?;
    let missed = app.store.directs_after(identity.user, after, SYNC_MESSAGES).await;
    let missed = missed.map_err(|error| Refusal::of(&error))?;
    let events = missed.iter().map(|direct| {
        let data = Whispered::from(direct);
        json!({ "event": "message:direct", "seq": direct.id, "data": data })
    });
    let events: Vec<Value> = events.collect();
    let seq = missed.last().map_or(after, |direct| direct.id);
    let more = i64::try_from(events.len()).unwrap_or(i64::MAX) >= SYNC_MESSAGES;
    Ok(json!({ "events": events, "seq": seq, "more": more, "too_old": false }))
}

/// Does what an event of the namespace of notifications asks for.
pub(super) async fn notifications(
    app: &App,
    own: &Subscriber,
    (name, args): (&str, &Args),
) -> Done {
    // The only one there is.
    if !vocabulary::is_asked(NOTIFICATIONS, name) {
        return Err(Refusal::UnknownEvent(name.chars().take(32).collect()));
    }
    let list = args.list();
    let Some(Arg::Json(json)) = list.first() else { return Err(Refusal::Missing("id")) };
    let read: Read =
        serde_json::from_str(json).map_err(|error| Refusal::BadJson(error.to_string()))?;
    let id = if read.all { None } else { Some(read.id.ok_or(Refusal::Missing("id"))?) };
    let identity = own.identity().ok_or_else(|| Refusal::Denied(Denied::Unknown.to_string()))?;
    app.hub.mark_read(identity.user, id).await.map(Some)
}
