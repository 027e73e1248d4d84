//! Notifications: what a user should know.
//! In: occasions, from those who say and change things. Out: the same, waiting to be kept, at most
//! [`WAITING`] at a time; notifications as they are listed and told.
//! Leaves to others: keeping and telling them (`notifier`), lists and reading (`api`, `sio`).

mod batch;

pub(crate) use batch::Waiting;

use crate::clock::unix_ms;
use crate::message::{self, Person};
use crate::store::{self, Author, UserId};
use ebbtide_socketio::Text;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Occasions that may wait to be kept. The database is behind when there are more: what was said
/// is there all the same, and that nobody was told of it is counted.
pub(crate) const WAITING: usize = 4_096;

/// Names looked up in one message: more are a flood, not a mention.
const NAMES: usize = 16;

/// Signs of a message that a notification shows.
const EXCERPT: usize = 200;

/// What a notification is about.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Topic {
    /// Somebody named the user in a room.
    Mention,
    /// Somebody wrote to the user alone.
    Direct,
    /// The user was let into a room, put out, or given a role.
    Room,
    /// The server itself has something to say, such as that a password was changed.
    System,
}

impl Topic {
    /// The word it goes by, outside and in the table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Mention => "mention",
            Self::Direct => "direct",
            Self::Room => "room",
            Self::System => "system",
        }
    }
}

/// How soon a user should know: high and urgent at once, the others with the next batch.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    Low,
    Normal,
    High,
    Urgent,
}

impl Priority {
    /// The one that is kept under that number.
    pub(crate) fn of(number: i64) -> Self {
        match number {
            i64::MIN..=0 => Self::Low,
            1 => Self::Normal,
            2 => Self::High,
            3.. => Self::Urgent,
        }
    }

    /// Whether it waits for no window.
    pub(crate) fn is_hasty(self) -> bool {
        self >= Self::High
    }
}

/// Something a user is to be told.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) user: UserId,
    pub(crate) topic: Topic,
    pub(crate) priority: Priority,
    /// A JSON object.
    pub(crate) body: Value,
}

/// Something that somebody may have to know of.
#[derive(Debug)]
pub(crate) enum Occasion {
    /// One user, who is known.
    Told(Notice),
    /// Whoever is called so and may see the room.
    Named { room: Arc<str>, names: Vec<String>, but: Option<UserId>, body: Value },
}

impl Occasion {
    /// Somebody wrote to a user alone.
    pub(crate) fn direct(user: UserId, author: &Author, content: &str, message: i64) -> Self {
        let body = json!({
            "from": from(author), "content": excerpt(content), "message": message,
        });
        Self::Told(Notice { user, topic: Topic::Direct, priority: Priority::High, body })
    }

    /// Something happened to a user in a room.
    pub(crate) fn room(user: UserId, room: &str, by: &Author, content: &str) -> Self {
        let body = json!({ "room": room, "from": from(by), "content": content });
        Self::Told(Notice { user, topic: Topic::Room, priority: Priority::Normal, body })
    }

    /// The server has something to say to a user.
    pub(crate) fn system(user: UserId, priority: Priority, content: &str) -> Self {
        let body = json!({ "content": content });
        Self::Told(Notice { user, topic: Topic::System, priority, body })
    }

    /// A message in a room, if it names anybody.
    pub(crate) fn named(room: &Arc<str>, author: &Author, content: &str, seq: u64) -> Option<Self> {
        let names = names(content);
        if names.is_empty() {
            return None;
        }
        let but = match author {
            Author::User { id, .. } => Some(*id),
            Author::Guest { .. } => None,
        };
        let body = json!({
            "room": &**room, "from": from(author), "content": excerpt(content), "seq": seq,
        });
        Some(Self::Named { room: room.clone(), names, but, body })
    }
}

fn from(author: &Author) -> Value {
    match author {
        Author::User { id, name } => json!(Person { id: id.0, name }),
        Author::Guest { name, .. } => json!({ "name": name }),
    }
}

fn excerpt(content: &str) -> &str {
    match content.char_indices().nth(EXCERPT) {
        Some((end, _)) => &content[..end],
        None => content,
    }
}

/// The names that stand in a text behind an `@`, each once, without regard to case. One that ends
/// in dots may be the end of a sentence: it is looked for without them.
fn names(content: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in content.split('@').skip(1).take(4 * NAMES) {
        let end = part.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
        let name = part[..end.unwrap_or(part.len())].trim_end_matches('.').to_lowercase();
        let is_new = !name.is_empty() && name.len() <= message::USERNAME_BYTES;
        if is_new && !names.contains(&name) && names.len() < NAMES {
            names.push(name);
        }
    }
    names
}

/// A notification, as it is listed and told.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Notification")]
pub(crate) struct Shown {
    pub(crate) id: i64,
    /// `mention`, `direct`, `room` or `system`.
    pub(crate) kind: String,
    pub(crate) priority: Priority,
    /// Depends on the kind.
    #[schemars(with = "serde_json::Value")]
    pub(crate) body: Box<RawValue>,
    /// Unix time in milliseconds.
    pub(crate) timestamp: i64,
    pub(crate) read: bool,
}

/// A message of the server's own to plain clients, with what is known of it beside the words.
pub(crate) fn system(event: &str, mut fields: Value) -> Text {
    fields["type"] = "system".into();
    fields["event"] = event.into();
    if fields.get("timestamp").is_none() {
        fields["timestamp"] = unix_ms().into();
    }
    fields.to_string().into()
}

/// What a notification says, for clients that show text alone.
pub(crate) fn in_words(one: &Shown) -> String {
    let body: Value = serde_json::from_str(one.body.get()).unwrap_or_default();
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let (from, room) = (text(&body["from"]["name"]), text(&body["room"]));
    let content = text(&body["content"]);
    match one.kind.as_str() {
        "mention" => format!("{from} named you in `{room}`: {content}"),
        "direct" => format!("{from} wrote to you: {content}"),
        "room" => format!("{from} {content} (`{room}`)"),
        _ => content,
    }
}

/// A notification that was kept, as it is shown.
pub(crate) fn shown(kept: store::Notification) -> Shown {
    let store::Notification { id, kind, priority, body, at_ms, read_ms } = kept;
    Shown {
        id,
        kind,
        priority: Priority::of(priority),
        // It was JSON when it was kept.
        body: RawValue::from_string(body).unwrap_or_default(),
        timestamp: at_ms,
        read: read_ms.is_some(),
    }
}

/// Where occasions wait to be kept.
#[derive(Debug)]
pub(crate) struct Notices {
    occasions: mpsc::Sender<Occasion>,
    /// Taken by the worker.
    receiver: Mutex<Option<mpsc::Receiver<Occasion>>>,
    kept: AtomicU64,
    lost: AtomicU64,
}

impl Default for Notices {
    fn default() -> Self {
        let (occasions, receiver) = mpsc::channel(WAITING);
        let receiver = Mutex::new(Some(receiver));
        Self { occasions, receiver, kept: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }
}

impl Notices {
    /// Somebody should know. Never waits.
    pub(crate) fn note(&self, occasion: Occasion) {
        if self.occasions.try_send(occasion).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// So many were kept.
    pub(crate) fn count_kept(&self, count: usize) {
        self.kept.fetch_add(count as u64, Relaxed);
    }

    /// So many could not be kept.
    pub(crate) fn count_lost(&self, count: usize) {
        self.lost.fetch_add(count as u64, Relaxed);
    }

    /// Notifications that were kept, and occasions that nobody was told of.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.kept.load(Relaxed), self.lost.load(Relaxed))
    }

    /// The other end, for the one who keeps them; none when somebody has it.
    pub(crate) fn receiver(&self) -> Option<mpsc::Receiver<Occasion>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_behind_an_at() {
        for (text, found) in [
            ("hello", ""),
            ("@Ada and @ben, @ADA", "ada ben"),
            ("ask @ada.", "ada"),
            ("ask @a.b-c_d!", "a.b-c_d"),
            ("mail me@example.com", "example.com"),
            ("@ @@", ""),
            ("@Éva", "éva"),
        ] {
            assert_eq!(names(text).join(" "), found, "{text}");
        }
        let flood: String = (0..1_000).map(|n| format!("@user{n} ")).collect();
        assert_eq!(names(&flood).len(), NAMES);
    }

    #[test]
    fn an_excerpt_ends_between_two_signs() {
        let long = "é".repeat(EXCERPT + 1);
        assert_eq!(excerpt(&long).chars().count(), EXCERPT);
        assert_eq!(excerpt("short"), "short");
    }
}
