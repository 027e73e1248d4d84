//! Messages of rooms, and everything else that happens in them, on one count per room.
//! In: words and their author, handed in in the order they are to be stored. Out: the number and
//! the time each was given, once it is stored; pages of what was said; what a client has missed.
//! Leaves to others: who may speak (`auth`), who is told (`hub`).

use super::program::{Outcome, Program, Then};
use super::value::{Row, Value, values};
use super::{RoomId, Store, StoreError, UserId, now, uploads};
use std::collections::BTreeMap;
use std::fmt;

const SAID_BY_USER: &str =
    "SELECT room_id, seq, created_ms FROM messages WHERE user_id = $1 AND key = $2";
const SAID_BY_GUEST: &str =
    "SELECT room_id, seq, created_ms FROM messages WHERE guest = $1 AND key = $2";
const NEXT: &str = "UPDATE rooms SET last_seq = last_seq + 1 WHERE id = $1 RETURNING id, last_seq";
const ADD: &str = "INSERT INTO messages \
    (room_id, seq, user_id, guest, guest_name, key, content, created_ms) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING room_id, seq, created_ms";
const ADD_EVENT: &str = "INSERT INTO room_events (room_id, seq, kind, body, created_ms) \
    VALUES ($1, $2, $3, $4, $5) RETURNING room_id, seq, created_ms";
const FORGET: &str =
    "DELETE FROM messages WHERE room_id = $1 AND seq <= CAST($2 AS BIGINT) - CAST($3 AS BIGINT)";
const FORGET_EVENTS: &str = "DELETE FROM room_events \
    WHERE room_id = $1 AND seq <= CAST($2 AS BIGINT) - CAST($3 AS BIGINT)";

const BEFORE: &str = "SELECT m.room_id, m.seq, m.created_ms, m.user_id, \
    COALESCE(u.name, m.guest_name, ''), m.key, m.content FROM messages m \
    LEFT JOIN users u ON u.id = m.user_id \
    WHERE m.room_id = $1 AND m.seq < $2 ORDER BY m.seq DESC LIMIT $3";
const AFTER: &str = "SELECT m.room_id, m.seq, m.created_ms, m.user_id, \
    COALESCE(u.name, m.guest_name, ''), m.key, m.content FROM messages m \
    LEFT JOIN users u ON u.id = m.user_id \
    WHERE m.room_id = $1 AND m.seq > $2 ORDER BY m.seq LIMIT $3";
/// Messages and other events as one list; no more of either are looked at than wanted.
const MISSED: &str = "SELECT room_id, seq, created_ms, user_id, name, key, content, kind FROM ( \
    SELECT * FROM (SELECT m.room_id, m.seq, m.created_ms, m.user_id, \
    COALESCE(u.name, m.guest_name, '') AS name, m.key, m.content, '' AS kind FROM messages m \
    LEFT JOIN users u ON u.id = m.user_id \
    WHERE m.room_id = $1 AND m.seq > $2 ORDER BY m.seq LIMIT $3) said \
    UNION ALL SELECT * FROM (SELECT e.room_id, e.seq, e.created_ms, CAST(NULL AS BIGINT), '', \
    CAST(NULL AS TEXT), e.body, e.kind FROM room_events e \
    WHERE e.room_id = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3) noted \
    ) missed ORDER BY seq LIMIT $3";
const HEAD: &str = "SELECT last_seq FROM rooms WHERE id = $1";
/// Of so many rooms at a time; the places that are left over name no room.
const HEADS: &str = "SELECT id, last_seq FROM rooms WHERE id IN \
    ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

/// Rooms that [`HEADS`] asks for.
const HEADS_ROOMS: usize = 16;

/// All of the above, for the test that reads their plans.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    SAID_BY_USER,
    SAID_BY_GUEST,
    NEXT,
    ADD,
    ADD_EVENT,
    FORGET,
    FORGET_EVENTS,
    BEFORE,
    AFTER,
    MISSED,
    HEAD,
    HEADS,
];

/// Names a message for ever: its room and its number there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct MessageId {
    pub(crate) room: RoomId,
    pub(crate) seq: i64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.room.0, self.seq)
    }
}

/// Who said something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Author {
    User {
        id: UserId,
        name: Box<str>,
    },
    Guest {
        name: Box<str>,
        /// The client's own, kept over its connections. Without one, a key means nothing.
        identity: Option<Box<str>>,
    },
}

/// Something to be said.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage<'a> {
    pub(crate) room: RoomId,
    pub(crate) author: &'a Author,
    pub(crate) content: &'a str,
    /// Unique for the author: said again with the same key, it is not stored again.
    pub(crate) key: Option<&'a str>,
}

/// What became of something said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stored {
    pub(crate) id: MessageId,
    pub(crate) at_ms: i64,
    /// It had been stored before, and others have heard it.
    pub(crate) again: bool,
}

/// A message as it was said.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    pub(crate) at_ms: i64,
    /// None for a guest.
    pub(crate) user: Option<UserId>,
    /// The author's name; a user's of today, a guest's of then.
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    pub(crate) content: String,
}

/// Something that happened in a room.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Said(Message),
    /// Anything else: a word and a JSON document.
    Other {
        seq: i64,
        at_ms: i64,
        kind: String,
        body: String,
    },
}

impl Event {
    /// Its number in the room.
    pub(crate) fn seq(&self) -> i64 {
        match self {
            Self::Said(message) => message.id.seq,
            Self::Other { seq, .. } => *seq,
        }
    }
}

/// Something else than a message, to be noted in a room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happening<'a> {
    pub(crate) room: RoomId,
    pub(crate) kind: &'a str,
    /// A JSON document.
    pub(crate) body: &'a str,
}

/// A part of a room's messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Range {
    /// Those before a number, the newest first taken.
    Before(i64),
    /// Those after a number, the oldest first taken.
    After(i64),
}

/// What a client has missed.
#[derive(Debug)]
pub(crate) struct Replay {
    /// In order.
    pub(crate) events: Vec<Event>,
    /// Number of the room's newest event.
    pub(crate) last_seq: i64,
    /// Events right after the gap are not kept any more.
    pub(crate) too_old: bool,
    /// There are more than were wanted.
    pub(crate) more: bool,
}

fn message(row: &Row<'_>) -> Result<Message, StoreError> {
    Ok(Message {
        id: MessageId { room: RoomId(row.int(0)?), seq: row.int(1)? },
        at_ms: row.int(2)?,
        user: row.maybe_int(3)?.map(UserId),
        name: row.text(4)?,
        key: row.maybe_text(5)?,
        content: row.text(6)?,
    })
}

fn event(row: &Row<'_>) -> Result<Event, StoreError> {
    let kind = row.text(7)?;
    if kind.is_empty() {
        return message(row).map(Event::Said);
    }
    Ok(Event::Other { seq: row.int(1)?, at_ms: row.int(2)?, kind, body: row.text(6)? })
}

/// The steps that store a message, and where among them it is stored.
fn program(new: &NewMessage<'_>, keep: Option<i64>) -> (Program, usize) {
    let (user, guest, name) = match new.author {
        Author::User { id, .. } => (Some(*id), None, None),
        Author::Guest { name, identity } => (None, identity.as_deref(), Some(&**name)),
    };
    // Without an identity nobody can come back with the key.
    let key = new.key.filter(|_| user.is_some() || guest.is_some());
    let mut program = Program::default();
    match (user, guest, key) {
        (Some(user), _, Some(key)) => {
            program = program.step(SAID_BY_USER, values![user, key], Then::Unless);
        }
        (None, Some(guest), Some(key)) => {
            program = program.step(SAID_BY_GUEST, values![guest, key], Then::Unless);
        }
        _ => {}
    }
    let counted = program.steps().len();
    let seq = || Value::Of(counted, 1);
    let mut program = program.step(NEXT, values![new.room], Then::Need).step(
        ADD,
        values![new.room, seq(), user, guest, name, key, new.content, now()],
        Then::On,
    );
    if let Some(user) = user {
        program = uploads::show_room(program, new.room, user, new.content);
    }
    if let Some(keep) = keep {
        program = program.step(FORGET, values![new.room, seq(), keep], Then::On);
    }
    (program, counted + 1)
}

/// Reads what came of a program's step that gives room, number and time.
fn stored(outcome: &Outcome, step: usize) -> Result<Option<Stored>, StoreError> {
    if outcome.stopped.is_some() {
        return Ok(None);
    }
    let fresh = outcome.row(step);
    let row = fresh.map_or_else(|| outcome.expect(0), Ok)?;
    let id = MessageId { room: RoomId(row.int(0)?), seq: row.int(1)? };
    Ok(Some(Stored { id, at_ms: row.int(2)?, again: fresh.is_none() }))
}

impl Store {
    /// Hands a message to the writer, at once: of one room, the order of the calls is the order of
    /// the numbers. `done` hears what became of it, in the same order, on the writer's thread,
    /// when it is stored for good, or none when there is no such room; it must be short and never
    /// wait, and is not called when this gives an error.
    pub(crate) fn append(
        &self,
        new: &NewMessage<'_>,
        done: impl FnOnce(Result<Option<Stored>, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let (program, step) = program(new, self.0.keep);
        self.submit(program, move |outcome| {
            done(outcome.and_then(|outcome| stored(&outcome, step)));
        })
    }

    /// As [`Store::append`], for who can wait.
    pub(crate) async fn append_and_wait(
        &self,
        new: &NewMessage<'_>,
    ) -> Result<Option<Stored>, StoreError> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        // Nobody waits any more when the client has gone.
        self.append(new, |stored| drop(sender.send(stored)))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Notes something else that happened in a room, in order with what is said there.
    pub(crate) fn note(
        &self,
        happening: Happening<'_>,
        done: impl FnOnce(Result<Option<Stored>, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let Happening { room, kind, body } = happening;
        let values = values![room, Value::Of(0, 1), kind, body, now()];
        let mut program = Program::default().step(NEXT, values![room], Then::Need).step(
            ADD_EVENT,
            values,
            Then::On,
        );
        if let Some(keep) = self.0.keep {
            let values = values![room, Value::Of(0, 1), keep];
            program = program.step(FORGET_EVENTS, values, Then::On);
        }
        self.submit(program, |outcome| done(outcome.and_then(|outcome| stored(&outcome, 1))))
    }

    /// Messages of a room, oldest first.
    pub(crate) async fn messages(
        &self,
        room: RoomId,
        range: Range,
        limit: i64,
    ) -> Result<Vec<Message>, StoreError> {
        match range {
            Range::After(seq) => self.read(AFTER, values![room, seq, limit], message).await,
            Range::Before(seq) => {
                let mut messages = self.read(BEFORE, values![room, seq, limit], message).await?;
                messages.reverse();
                Ok(messages)
            }
        }
    }

    /// The newest number of each of these rooms that is there.
    pub(crate) async fn newest(
        &self,
        rooms: &[RoomId],
    ) -> Result<BTreeMap<RoomId, i64>, StoreError> {
        let mut newest = BTreeMap::new();
        for some in rooms.chunks(HEADS_ROOMS) {
            // The databases count from 1.
            let mut ids: Vec<Value> = some.iter().map(|room| Value::from(*room)).collect();
            ids.resize_with(HEADS_ROOMS, || Value::from(RoomId(0)));
            let head = |row: &Row<'_>| Ok((RoomId(row.int(0)?), row.int(1)?));
            newest.extend(self.read(HEADS, ids, head).await?);
        }
        Ok(newest)
    }

    /// What happened in a room after a number, `limit` events at most.
    pub(crate) async fn events_after(
        &self,
        room: RoomId,
        after: i64,
        limit: i64,
    ) -> Result<Replay, StoreError> {
        // Asked first: what comes in between is then more than there was, never missing.
        let last_seq = self.read_one(HEAD, values![room], |row| row.int(0)).await?.unwrap_or(0);
        let events = self.read(MISSED, values![room, after, limit], event).await?;
        let first = events.first().map_or(last_seq.saturating_add(1), Event::seq);
        let newest = events.last().map_or(after, Event::seq);
        let last_seq = last_seq.max(newest);
        Ok(Replay {
            // Numbers have no gaps but those that were forgotten.
            too_old: first > after.saturating_add(1),
            more: newest < last_seq && !events.is_empty(),
            events,
            last_seq,
        })
    }
}
