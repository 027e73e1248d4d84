//! Messages from one user to another.
//! In: words for a user. Out: the number and time they were given; conversations and inboxes,
//! page by page. Leaves to others: telling the user (`hub`).

use super::program::{Program, Then};
use super::value::{Row, Value, values};
use super::{Store, StoreError, UserId, now, uploads};

const SAID: &str = "SELECT id, created_ms FROM direct_messages WHERE from_id = $1 AND key = $2";
const KNOWN: &str = "SELECT id FROM users WHERE id = $1";
const ADD: &str = "INSERT INTO direct_messages \
    (from_id, to_id, low_id, high_id, key, content, created_ms) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id, created_ms";
const TRIM: &str =
    "DELETE FROM direct_messages WHERE id <= CAST($1 AS BIGINT) - CAST($2 AS BIGINT)";
const BETWEEN: &str = "SELECT d.id, d.from_id, u.name, d.to_id, \
    (SELECT name FROM users WHERE id = d.to_id), d.key, d.content, d.created_ms \
    FROM direct_messages d JOIN users u ON u.id = d.from_id \
    WHERE d.low_id = $1 AND d.high_id = $2 AND d.id < $3 ORDER BY d.id DESC LIMIT $4";
const INBOX: &str = "SELECT d.id, d.from_id, u.name, d.to_id, \
    (SELECT name FROM users WHERE id = d.to_id), d.key, d.content, d.created_ms \
    FROM direct_messages d JOIN users u ON u.id = d.from_id \
    WHERE d.to_id = $1 AND d.id < $2 ORDER BY d.id DESC LIMIT $3";
/// What came and what went as one list; no more of either are looked at than wanted.
const MISSED: &str = "SELECT id, from_id, (SELECT name FROM users WHERE id = from_id), to_id, \
    (SELECT name FROM users WHERE id = to_id), key, content, created_ms FROM ( \
    SELECT * FROM (SELECT d.id, d.from_id, d.to_id, d.key, d.content, d.created_ms \
    FROM direct_messages d WHERE d.to_id = $1 AND d.id > $2 ORDER BY d.id LIMIT $3) came \
    UNION ALL SELECT * FROM (SELECT d.id, d.from_id, d.to_id, d.key, d.content, d.created_ms \
    FROM direct_messages d WHERE d.from_id = $1 AND d.to_id <> $1 AND d.id > $2 \
    ORDER BY d.id LIMIT $3) went \
    ) missed ORDER BY id LIMIT $3";

/// All of the above, for the test that reads their plans.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[SAID, KNOWN, ADD, TRIM, BETWEEN, INBOX, MISSED];

/// Words for one user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewDirect<'a> {
    pub(crate) from: UserId,
    pub(crate) to: UserId,
    pub(crate) content: &'a str,
    /// Unique for the sender: sent again with the same key, it is not stored again.
    pub(crate) key: Option<&'a str>,
}

/// What became of words for one user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sent {
    pub(crate) id: i64,
    pub(crate) at_ms: i64,
    /// It had been stored before.
    pub(crate) again: bool,
}

/// A message from one user to another.
#[derive(Clone, Debug)]
pub(crate) struct Direct {
    pub(crate) id: i64,
    pub(crate) from: UserId,
    pub(crate) from_name: String,
    pub(crate) to: UserId,
    pub(crate) to_name: String,
    pub(crate) key: Option<String>,
    pub(crate) content: String,
    pub(crate) at_ms: i64,
}

fn direct(row: &Row<'_>) -> Result<Direct, StoreError> {
    Ok(Direct {
        id: row.int(0)?,
        from: UserId(row.int(1)?),
        from_name: row.text(2)?,
        to: UserId(row.int(3)?),
        to_name: row.text(4)?,
        key: row.maybe_text(5)?,
        content: row.text(6)?,
        at_ms: row.int(7)?,
    })
}

impl Store {
    /// Stores words for one user; none when there is no such user.
    pub(crate) async fn send(&self, new: NewDirect<'_>) -> Result<Option<Sent>, StoreError> {
        let mut program = Program::default();
        if let Some(key) = new.key {
            program = program.step(SAID, values![new.from, key], Then::Unless);
        }
        let added = program.steps().len() + 1;
        let (low, high) = (new.from.min(new.to), new.from.max(new.to));
        let values = values![new.from, new.to, low, high, new.key, new.content, now()];
        program = program.step(KNOWN, values![new.to], Then::Need).step(ADD, values, Then::On);
        program = uploads::show_user(program, new.to, new.from, new.content);
        if let Some(caps) = self.0.caps {
            let values = values![Value::Of(added, 0), caps.direct()];
            program = program.step(TRIM, values, Then::On);
        }
        let outcome = self.write(program).await?;
        if outcome.stopped.is_some() {
            return Ok(None);
        }
        let fresh = outcome.row(added);
        let row = fresh.map_or_else(|| outcome.expect(0), Ok)?;
        Ok(Some(Sent { id: row.int(0)?, at_ms: row.int(1)?, again: fresh.is_none() }))
    }

    /// What two users said to each other before the message `before`, newest first.
    pub(crate) async fn conversation(
        &self,
        (one, other): (UserId, UserId),
        before: i64,
        limit: i64,
    ) -> Result<Vec<Direct>, StoreError> {
        let values = values![one.min(other), one.max(other), before, limit];
        self.read(BETWEEN, values, direct).await
    }

    /// What was said to and by a user after the message `after`, oldest first.
    pub(crate) async fn directs_after(
        &self,
        user: UserId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Direct>, StoreError> {
        self.read(MISSED, values![user, after, limit], direct).await
    }

    /// What was sent to a user before the message `before`, newest first.
    pub(crate) async fn inbox(
        &self,
        user: UserId,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Direct>, StoreError> {
        self.read(INBOX, values![user, before, limit], direct).await
    }
}
