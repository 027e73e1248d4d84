//! Notifications, kept until their user has read and deleted them.
//! In: what a user is to be told. Out: lists by filter, page by page; counts of the unread.
//! Leaves to others: telling users who are here (`hub`).

use super::program::{Program, Then};
use super::value::{Row, values};
use super::{Store, StoreError, UserId, now};
use std::collections::BTreeSet;

const ADD: &str = "INSERT INTO notifications (user_id, kind, priority, body, created_ms) \
    VALUES ($1, $2, $3, $4, $5) RETURNING id, created_ms";
const FORGET: &str = "DELETE FROM notifications WHERE user_id = $1 AND id <= \
    (SELECT id FROM notifications WHERE user_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
const ALL: &str = "SELECT id, kind, priority, body, created_ms, read_ms FROM notifications \
    WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
const UNREAD: &str = "SELECT id, kind, priority, body, created_ms, read_ms FROM notifications \
    WHERE user_id = $1 AND id < $2 AND read_ms IS NULL ORDER BY id DESC LIMIT $3";
const OF_KIND: &str = "SELECT id, kind, priority, body, created_ms, read_ms FROM notifications \
    WHERE user_id = $1 AND id < $2 AND kind = $3 ORDER BY id DESC LIMIT $4";
const UNREAD_OF_KIND: &str = "SELECT id, kind, priority, body, created_ms, read_ms \
    FROM notifications WHERE user_id = $1 AND id < $2 AND kind = $3 AND read_ms IS NULL \
    ORDER BY id DESC LIMIT $4";
const COUNT: &str = "SELECT COUNT(*) FROM notifications WHERE user_id = $1 AND read_ms IS NULL";
const READ: &str = "UPDATE notifications SET read_ms = COALESCE(read_ms, $1) \
    WHERE id = $2 AND user_id = $3 RETURNING id";
const READ_ALL: &str =
    "UPDATE notifications SET read_ms = $1 WHERE user_id = $2 AND read_ms IS NULL";
const DELETE: &str = "DELETE FROM notifications WHERE id = $1 AND user_id = $2 RETURNING id";

/// All of the above, for the test that reads their plans.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[ADD, FORGET, ALL, UNREAD, OF_KIND, UNREAD_OF_KIND, COUNT, READ, READ_ALL, DELETE];

/// Kept for one user; the oldest go, read or not. Who has more has not looked for very long.
const PER_USER: i64 = 1_000;

/// Something a user is to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewNotification<'a> {
    pub(crate) user: UserId,
    /// `mention`, `direct`, `room` or `system`.
    pub(crate) kind: &'a str,
    /// 0 low, 1 normal, 2 high, 3 urgent.
    pub(crate) priority: i64,
    /// A JSON document.
    pub(crate) body: &'a str,
}

/// Something a user was or is to be told.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) priority: i64,
    pub(crate) body: String,
    pub(crate) at_ms: i64,
    pub(crate) read_ms: Option<i64>,
}

/// Which notifications are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) unread: bool,
    pub(crate) kind: Option<&'a str>,
    /// Those before this one alone.
    pub(crate) before: i64,
    pub(crate) limit: i64,
}

fn notification(row: &Row<'_>) -> Result<Notification, StoreError> {
    Ok(Notification {
        id: row.int(0)?,
        kind: row.text(1)?,
        priority: row.int(2)?,
        body: row.text(3)?,
        at_ms: row.int(4)?,
        read_ms: row.maybe_int(5)?,
    })
}

impl Store {
    /// Keeps notifications, all or none of them; gives their numbers and times, in order.
    pub(crate) async fn notify(
        &self,
        new: &[NewNotification<'_>],
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let now = now();
        let add = |program: Program, new: &NewNotification<'_>| {
            let values = values![new.user, new.kind, new.priority, new.body, now];
            program.step(ADD, values, Then::On)
        };
        let users: BTreeSet<UserId> = new.iter().map(|new| new.user).collect();
        let forget =
            |program: Program, user| program.step(FORGET, values![user, PER_USER], Then::On);
        let program = new.iter().fold(Program::default(), add);
        let outcome = self.write(users.into_iter().fold(program, forget)).await?;
        let given = |step| {
            let row = outcome.expect(step)?;
            Ok((row.int(0)?, row.int(1)?))
        };
        (0..new.len()).map(given).collect()
    }

    /// A user's notifications, newest first.
    pub(crate) async fn notifications(
        &self,
        user: UserId,
        filter: Filter<'_>,
    ) -> Result<Vec<Notification>, StoreError> {
        let sql = match (filter.unread, filter.kind) {
            (false, None) => ALL,
            (true, None) => UNREAD,
            (false, Some(_)) => OF_KIND,
            (true, Some(_)) => UNREAD_OF_KIND,
        };
        let mut values = values![user, filter.before];
        values.extend(filter.kind.map(Into::into));
        values.push(filter.limit.into());
        self.read(sql, values, notification).await
    }

    /// How many of a user's notifications are unread.
    pub(crate) async fn count_unread(&self, user: UserId) -> Result<i64, StoreError> {
        let count = self.read_one(COUNT, values![user], |row| row.int(0)).await?;
        count.ok_or_else(|| StoreError::Shape("a count".to_owned()))
    }

    /// Notes that a user has read one; false when the user has none of that number.
    pub(crate) async fn mark_read(&self, user: UserId, id: i64) -> Result<bool, StoreError> {
        let program = Program::default().step(READ, values![now(), id, user], Then::On);
        Ok(self.write(program).await?.row(0).is_some())
    }

    /// Notes that a user has read all; gives how many were unread.
    pub(crate) async fn mark_all_read(&self, user: UserId) -> Result<u64, StoreError> {
        let program = Program::default().step(READ_ALL, values![now(), user], Then::On);
        Ok(self.write(program).await?.counts.first().copied().unwrap_or(0))
    }

    /// Deletes one; false when the user has none of that number.
    pub(crate) async fn delete_notification(
        &self,
        user: UserId,
        id: i64,
    ) -> Result<bool, StoreError> {
        let program = Program::default().step(DELETE, values![id, user], Then::On);
        Ok(self.write(program).await?.row(0).is_some())
    }
}
