//! What is known of uploaded files.
//! In: a file's hash, name, type and size. Out: the entry, and a user's uploads page by page.
//! Leaves to others: the files themselves, and what is in them.

use super::program::{Program, Then};
use super::value::{Row, values};
use super::{Store, StoreError, UserId, now};

const ADD: &str = "INSERT INTO uploads (hash, user_id, name, media_type, bytes, created_ms) \
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
const BY_ID: &str = "SELECT id, hash, user_id, name, media_type, bytes, created_ms \
    FROM uploads WHERE id = $1";
const LIST: &str = "SELECT id, hash, user_id, name, media_type, bytes, created_ms \
    FROM uploads WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

/// All of the above, for the test that reads their plans.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[ADD, BY_ID, LIST];

/// A file to be entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewUpload<'a> {
    /// SHA-256 of its content, in hex.
    pub(crate) hash: &'a str,
    pub(crate) user: UserId,
    pub(crate) name: &'a str,
    /// As its content says.
    pub(crate) media_type: &'a str,
    pub(crate) bytes: i64,
}

/// An uploaded file.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) id: i64,
    pub(crate) hash: String,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) bytes: i64,
    pub(crate) at_ms: i64,
}

fn upload(row: &Row<'_>) -> Result<Upload, StoreError> {
    Ok(Upload {
        id: row.int(0)?,
        hash: row.text(1)?,
        user: UserId(row.int(2)?),
        name: row.text(3)?,
        media_type: row.text(4)?,
        bytes: row.int(5)?,
        at_ms: row.int(6)?,
    })
}

impl Store {
    /// Enters an upload; gives its number.
    pub(crate) async fn add_upload(&self, new: NewUpload<'_>) -> Result<i64, StoreError> {
        let values = values![new.hash, new.user, new.name, new.media_type, new.bytes, now()];
        let outcome = self.write(Program::default().step(ADD, values, Then::On)).await?;
        outcome.expect(0)?.int(0)
    }

    /// An upload.
    pub(crate) async fn upload(&self, id: i64) -> Result<Option<Upload>, StoreError> {
        self.read_one(BY_ID, values![id], upload).await
    }

    /// A user's uploads before the number `before`, newest first.
    pub(crate) async fn uploads(
        &self,
        user: UserId,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Upload>, StoreError> {
        self.read(LIST, values![user, before, limit], upload).await
    }
}
