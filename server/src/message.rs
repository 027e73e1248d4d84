//! The chat protocol's messages, as text.
//! In: the text of a client's frame. Out: what the client wants, or what is wrong with it; and
//! the text of everything the server says.
//! Leaves to others: who gets it (`hub`), keeping it (`recent`), the clock.
//! Old clients know only `type` and `content`: fields are added, never taken away.

use crate::store::StoreError;
use ebbtide_socketio::Text;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Bytes a room's name may have.
pub(crate) const ROOM_NAME_BYTES: usize = 64;

/// Bytes a user's name may have.
pub(crate) const USERNAME_BYTES: usize = 64;

/// Bytes of a client's own `id`, `timestamp` or `stamp`, which are handed on as they came.
const OWN_FIELD_BYTES: usize = 256;

/// A client's frame, as sent.
#[derive(Debug, Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    stamp: Option<&'a RawValue>,
}

/// What a client wants.
#[derive(Debug)]
pub(crate) enum Wish<'a> {
    /// To say something.
    Say(Words<'a>),
    /// To enter a room.
    Join(Cow<'a, str>),
    /// To leave a room.
    Leave(Cow<'a, str>),
    /// To have read one notification, or all.
    Read(Option<i64>),
}

/// A user's message.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    pub(crate) content: Cow<'a, str>,
    pub(crate) username: Option<Cow<'a, str>>,
    /// The room, when it is said.
    pub(crate) room: Option<Cow<'a, str>>,
    /// The only user it is for.
    pub(crate) to: Option<Cow<'a, str>>,
    /// The client's own name for the message: said twice, it is kept and heard once.
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) id: Option<Cow<'a, RawValue>>,
    pub(crate) timestamp: Option<Cow<'a, RawValue>>,
    pub(crate) stamp: Option<Cow<'a, RawValue>>,
}

impl<'a> Words<'a> {
    /// Words with nothing but a content.
    pub(crate) fn of(content: Cow<'a, str>) -> Self {
        let (username, room, to, key, id, timestamp, stamp) =
            (None, None, None, None, None, None, None);
        Self { content, username, room, to, key, id, timestamp, stamp }
    }

    /// With the client's own stamp, which is handed on as it came.
    pub(crate) fn stamped(mut self, stamp: Option<&'a RawValue>) -> Result<Self, Refusal> {
        bound("stamp", stamp.map_or(0, |stamp| stamp.get().len()), OWN_FIELD_BYTES)?;
        for (field, text) in [("to", &self.to), ("key", &self.key)] {
            bound(field, text.as_ref().map_or(0, |text| text.len()), USERNAME_BYTES)?;
        }
        self.stamp = stamp.map(Cow::Borrowed);
        Ok(self)
    }

    /// The same with nothing borrowed, for what waits until it is kept.
    pub(crate) fn into_owned(self) -> Words<'static> {
        let text = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        let json = |json: Option<Cow<'_, RawValue>>| json.map(|it| Cow::Owned(it.into_owned()));
        Words {
            content: Cow::Owned(self.content.into_owned()),
            username: text(self.username),
            room: text(self.room),
            to: text(self.to),
            key: text(self.key),
            id: json(self.id),
            timestamp: json(self.timestamp),
            stamp: json(self.stamp),
        }
    }
}

/// What is wrong with a frame, or with what it wants. The connection stays.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("not a JSON object with a `type`: {0}")]
    BadJson(String),
    #[error("unknown type `{0}` (there are user, join, leave, read)")]
    UnknownType(String),
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` is empty")]
    Empty(&'static str),
    #[error("`{field}` has {bytes} bytes, at most {max} are taken")]
    TooLong { field: &'static str, bytes: usize, max: usize },
    #[error("`room` may have letters, digits, and - _ . : alone")]
    BadRoom,
    #[error("binary frames are not understood, send text")]
    Binary,
    #[error("you are in {0} rooms, as many as one may be in: leave one first")]
    TooManyRooms(usize),
    #[error("there are {0} rooms, as many as there may be: use one of them")]
    NoMoreRooms(usize),
    #[error("nobody called `{0}` is in the room")]
    Nobody(String),
    #[error("you are not in room `{0}` (send `room:join` first)")]
    NotIn(String),
    #[error("unknown event `{0}`")]
    UnknownEvent(String),
    #[error("there is no room `{0}` any more (enter it again)")]
    NoRoom(String),
    #[error("you have no notification {0}")]
    NoNotification(i64),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Busy(String),
    #[error("what was said could not be kept, say it again")]
    NotKept,
    #[error("too many events: wait {0} s")]
    TooFast(u64),
}

impl Refusal {
    /// What a client is told of a failure of the store; the rest is for the log.
    pub(crate) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy(error.to_string()),
            error => {
                tracing::error!(%error, "the store failed");
                Self::NotKept
            }
        }
    }

    /// The stable word a program can act on.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::BadJson(_) => "bad_json",
            Self::UnknownType(_) => "unknown_type",
            Self::Missing(_) | Self::Empty(_) => "missing_field",
            Self::TooLong { .. } => "too_long",
            Self::BadRoom => "bad_room",
            Self::Binary => "binary",
            Self::TooManyRooms(_) | Self::NoMoreRooms(_) => "too_many_rooms",
            Self::Nobody(_) => "nobody",
            Self::NotIn(_) => "not_in_room",
            Self::UnknownEvent(_) => "unknown_event",
            Self::NoRoom(_) => "no_room",
            Self::NoNotification(_) => "no_notification",
            Self::Denied(_) => "denied",
            Self::Busy(_) => "busy",
            Self::NotKept => "not_kept",
            Self::TooFast(_) => "too_many",
        }
    }
}

/// Reads a client's frame.
pub(crate) fn parse(text: &str, max_bytes: usize) -> Result<Wish<'_>, Refusal> {
    bound("message", text.len(), max_bytes)?;
    let frame: Frame<'_> =
        serde_json::from_str(text).map_err(|error| Refusal::BadJson(error.to_string()))?;
    let kind = frame.kind.as_deref().ok_or(Refusal::Missing("type"))?;
    if let Some(room) = &frame.room {
        check_room(room)?;
    }
    for (field, own) in [("id", frame.id), ("timestamp", frame.timestamp), ("stamp", frame.stamp)] {
        bound(field, own.map_or(0, |own| own.get().len()), OWN_FIELD_BYTES)?;
    }
    let names = [("username", &frame.username), ("to", &frame.to), ("key", &frame.key)];
    for (field, name) in names {
        bound(field, name.as_ref().map_or(0, |name| name.len()), USERNAME_BYTES)?;
    }
    match kind {
        "user" => Ok(Wish::Say(Words {
            content: frame.content.ok_or(Refusal::Missing("content"))?,
            username: frame.username,
            room: frame.room,
            to: frame.to,
            key: frame.key,
            id: frame.id.map(Cow::Borrowed),
            timestamp: frame.timestamp.map(Cow::Borrowed),
            stamp: frame.stamp.map(Cow::Borrowed),
        })),
        "join" => Ok(Wish::Join(frame.room.ok_or(Refusal::Missing("room"))?)),
        "leave" => Ok(Wish::Leave(frame.room.ok_or(Refusal::Missing("room"))?)),
        "read" => match frame.id {
            None => Ok(Wish::Read(None)),
            Some(id) => {
                let id = serde_json::from_str(id.get());
                id.map(Some).map(Wish::Read).map_err(|error| Refusal::BadJson(error.to_string()))
            }
        },
        other => Err(Refusal::UnknownType(other.chars().take(32).collect())),
    }
}

/// Whether a room may be called so.
pub(crate) fn check_room(room: &str) -> Result<(), Refusal> {
    if room.is_empty() {
        return Err(Refusal::Empty("room"));
    }
    bound("room", room.len(), ROOM_NAME_BYTES)?;
    let good = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
    if room.chars().all(good) { Ok(()) } else { Err(Refusal::BadRoom) }
}

fn bound(field: &'static str, bytes: usize, max: usize) -> Result<(), Refusal> {
    if bytes <= max { Ok(()) } else { Err(Refusal::TooLong { field, bytes, max }) }
}

/// A user's message as everyone in the room gets it.
#[derive(Serialize)]
struct Said<'a> {
    r#type: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    seq: u64,
    timestamp: Time<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Time<'a> {
    Clients(&'a RawValue),
    Ours(u64),
}

/// The text of a user's message: the client's own fields as they came, the rest added.
/// `seq` counts the messages of the room; `now_ms` is Unix time.
pub(crate) fn said(words: &Words<'_>, room: &str, seq: u64, now_ms: u64) -> Text {
    encode(&Said {
        r#type: "user",
        content: &words.content,
        username: words.username.as_deref(),
        room,
        to: words.to.as_deref(),
        key: words.key.as_deref(),
        id: words.id.as_deref(),
        seq,
        timestamp: words.timestamp.as_deref().map_or(Time::Ours(now_ms), Time::Clients),
        stamp: words.stamp.as_deref(),
    })
}

/// A user's message as the body of an event of Socket.IO.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Person<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Placeholder>,
}

/// An account, as others see it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Person<'a> {
    pub(crate) id: i64,
    pub(crate) name: &'a str,
}

/// What stands in Socket.IO's JSON for the first of the bytes beside it.
#[derive(Serialize)]
struct Placeholder {
    _placeholder: bool,
    num: u8,
}

/// What a message has once it is kept: its number in the store, and in its room.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) seq: u64,
    /// The number of the account that said it.
    #[serde(skip)]
    pub(crate) user: Option<i64>,
}

/// The body of the event that tells a user's message; with a place for the bytes that go along.
pub(crate) fn body(
    words: &Words<'_>,
    room: &str,
    (kept, has_attachment): (Option<&Kept>, bool),
    now_ms: u64,
) -> String {
    let name = words.username.as_deref().unwrap_or_default();
    let body = Body {
        id: kept.map(|kept| kept.id.as_str()),
        room,
        seq: kept.map(|kept| kept.seq),
        content: &words.content,
        username: words.username.as_deref(),
        user: kept.and_then(|kept| kept.user).map(|id| Person { id, name }),
        to: words.to.as_deref(),
        key: words.key.as_deref(),
        timestamp: now_ms,
        stamp: words.stamp.as_deref(),
        attachment: has_attachment.then_some(Placeholder { _placeholder: true, num: 0 }),
    };
    serde_json::to_string(&body).expect("strings, numbers and JSON are always JSON")
}

/// What the server says to one client. `event` is `welcome`, `joined` or `left`.
#[derive(Serialize)]
struct System<'a> {
    r#type: &'static str,
    event: &'static str,
    content: &'a str,
    room: &'a str,
    timestamp: u64,
}

/// The text of a message of the server's own.
pub(crate) fn system(event: &'static str, content: &str, room: &str, now_ms: u64) -> Text {
    encode(&System { r#type: "system", event, content, room, timestamp: now_ms })
}

#[derive(Serialize)]
struct ErrorReply<'a> {
    r#type: &'static str,
    code: &'static str,
    content: &'a str,
}

/// The text that tells a client what was wrong.
pub(crate) fn error(refusal: &Refusal) -> Text {
    let content = refusal.to_string();
    encode(&ErrorReply { r#type: "error", code: refusal.code(), content: &content })
}

fn encode(message: &impl Serialize) -> Text {
    serde_json::to_string(message).expect("strings, numbers and JSON are always JSON").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 256;

    #[test]
    fn own_fields_come_back_as_they_went() {
        let text = r#"{"type":"user","content":"hi \"you\"","username":"Ada","id":"a-1",
            "timestamp":"2024-05-01T10:00:00Z","stamp":[1.50,"x"],"colour":"blue"}"#;
        let Wish::Say(words) = parse(text, MAX).unwrap() else { panic!("not said") };
        let said = said(&words, "lobby", 7, 99);
        assert_eq!(
            said.as_str(),
            r#"{"type":"user","content":"hi \"you\"","username":"Ada","room":"lobby","id":"a-1","#
                .to_owned()
                + r#""seq":7,"timestamp":"2024-05-01T10:00:00Z","stamp":[1.50,"x"]}"#
        );
    }

    #[test]
    fn the_least_a_client_can_say_is_enough() {
        let Wish::Say(words) = parse(r#"{"type":"user","content":"hi"}"#, MAX).unwrap() else {
            panic!("not said")
        };
        assert_eq!(
            said(&words, "lobby", 1, 5).as_str(),
            r#"{"type":"user","content":"hi","room":"lobby","seq":1,"timestamp":5}"#
        );
    }

    #[test]
    fn what_is_wrong_is_said_by_code() {
        let long = format!(r#"{{"type":"user","content":"{}"}}"#, "x".repeat(MAX));
        let long_name =
            format!(r#"{{"type":"user","content":"","username":"{}"}}"#, "x".repeat(65));
        for (text, code) in [
            ("", "bad_json"),
            ("[]", "bad_json"),
            (r#"{"type":1}"#, "bad_json"),
            (r#"{"content":"x"}"#, "missing_field"),
            (r#"{"type":"user"}"#, "missing_field"),
            (r#"{"type":"join"}"#, "missing_field"),
            (r#"{"type":"join","room":""}"#, "missing_field"),
            (r#"{"type":"join","room":"a b"}"#, "bad_room"),
            (r#"{"type":"shout","content":"x"}"#, "unknown_type"),
            (&long, "too_long"),
            (&long_name, "too_long"),
        ] {
            assert_eq!(parse(text, MAX).unwrap_err().code(), code, "{text}");
        }
    }
}
