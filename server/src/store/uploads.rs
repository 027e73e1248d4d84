//! What is known of uploaded files, and who may see them besides who has sent them.
//! In: a file's hash, name, type and size; messages that name files. Out: the entry, a user's
//! uploads page by page, the rooms a file was shown in, and what is still to be made of it.
//! Leaves to others: the files themselves (`uploads`), who may (`auth::access`).

use super::program::{Program, Then};
use super::value::{Row, values};
use super::{RoomId, RoomView, Store, StoreError, UserId, now, rooms};
use std::time::Duration;

const ADD: &str = "INSERT INTO uploads \
    (hash, user_id, name, media_type, bytes, created_ms, width, height, small) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id, created_ms";
const BY_ID: &str = "SELECT id, hash, user_id, name, media_type, bytes, created_ms, width, height, \
    small FROM uploads WHERE id = $1";
const LIST: &str = "SELECT id, hash, user_id, name, media_type, bytes, created_ms, width, height, \
    small FROM uploads WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
const TOTAL: &str =
    "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM uploads WHERE user_id = $1";
const WAITING: &str = "SELECT id, hash, media_type, small_tries FROM uploads \
    WHERE small = 'waiting' AND small_after_ms <= $1 ORDER BY small_after_ms, id LIMIT $2";
const SET_SMALL: &str =
    "UPDATE uploads SET small = $1, small_tries = $2, small_after_ms = $3 WHERE id = $4";
const SHOW_ROOM: &str = "INSERT INTO upload_rooms (upload_id, room_id) \
    SELECT id, CAST($1 AS BIGINT) FROM uploads WHERE id = $2 AND user_id = $3 \
    ON CONFLICT DO NOTHING";
const SHOW_USER: &str = "INSERT INTO upload_users (upload_id, user_id) \
    SELECT id, CAST($1 AS BIGINT) FROM uploads WHERE id = $2 AND user_id = $3 \
    ON CONFLICT DO NOTHING";
const SHOWN_TO: &str = "SELECT upload_id FROM upload_users WHERE upload_id = $1 AND user_id = $2";
const SHOWN_IN: &str = "SELECT r.id, r.name, r.title, r.public, r.ephemeral, r.last_seq, \
    r.created_ms, m.role FROM upload_rooms s JOIN rooms r ON r.id = s.room_id \
    LEFT JOIN memberships m ON m.room_id = r.id AND m.user_id = $1 \
    WHERE s.upload_id = $2 ORDER BY s.room_id LIMIT $3";

/// All of the above, for the test that reads their plans.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[ADD, BY_ID, LIST, TOTAL, WAITING, SET_SMALL, SHOW_ROOM, SHOW_USER, SHOWN_TO, SHOWN_IN];

/// Files that one message may show.
const FILES: usize = 16;

/// Rooms looked at for one that lets somebody see a file.
const ROOMS: i64 = 64;

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
    /// Of a picture.
    pub(crate) size: Option<(u32, u32)>,
    /// A small picture of it is to be made.
    pub(crate) is_waiting: bool,
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
    /// Of a picture.
    pub(crate) size: Option<(i64, i64)>,
    /// What has become of the small picture: `none`, `waiting`, `made`, `failed`.
    pub(crate) small: String,
}

/// A small picture that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: i64,
    pub(crate) hash: String,
    pub(crate) media_type: String,
    /// How often it was tried.
    pub(crate) tries: i64,
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
        size: row.maybe_int(7)?.zip(row.maybe_int(8)?),
        small: row.text(9)?,
    })
}

/// The files that a text names by their address.
fn named(content: &str) -> Vec<i64> {
    let parts = content.split("/api/v1/uploads/").skip(1).take(FILES);
    let number = |part: &str| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    };
    parts.filter_map(number).collect()
}

/// Steps that show the files which a message names to whoever may read in the room. Those of
/// others alone are not theirs to show.
pub(super) fn show_room(program: Program, room: RoomId, by: UserId, content: &str) -> Program {
    let show = |program: Program, id| program.step(SHOW_ROOM, values![room, id, by], Then::On);
    named(content).into_iter().fold(program, show)
}

/// The same for one user.
pub(super) fn show_user(program: Program, user: UserId, by: UserId, content: &str) -> Program {
    let show = |program: Program, id| program.step(SHOW_USER, values![user, id, by], Then::On);
    named(content).into_iter().fold(program, show)
}

impl Store {
    /// Enters an upload; gives its number and time.
    pub(crate) async fn add_upload(&self, new: NewUpload<'_>) -> Result<(i64, i64), StoreError> {
        let (width, height) = new.size.unzip();
        let small = if new.is_waiting { "waiting" } else { "none" };
        let values = values![
            new.hash,
            new.user,
            new.name,
            new.media_type,
            new.bytes,
            now(),
            width.map(i64::from),
            height.map(i64::from),
            small,
        ];
        let outcome = self.write(Program::default().step(ADD, values, Then::On)).await?;
        let row = outcome.expect(0)?;
        Ok((row.int(0)?, row.int(1)?))
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

    /// Bytes that a user has uploaded.
    pub(crate) async fn uploaded_bytes(&self, user: UserId) -> Result<i64, StoreError> {
        let total = self.read_one(TOTAL, values![user], |row| row.int(0)).await?;
        total.ok_or_else(|| StoreError::Shape("a sum".to_owned()))
    }

    /// Whether an upload was shown to a user alone.
    pub(crate) async fn is_shown_to(&self, upload: i64, user: UserId) -> Result<bool, StoreError> {
        let shown = self.read_one(SHOWN_TO, values![upload, user], |row| row.int(0)).await?;
        Ok(shown.is_some())
    }

    /// Rooms in which an upload was shown, as the user sees them.
    pub(crate) async fn shown_in(
        &self,
        upload: i64,
        user: Option<UserId>,
    ) -> Result<Vec<RoomView>, StoreError> {
        let values = values![user.unwrap_or(rooms::NOBODY), upload, ROOMS];
        self.read(SHOWN_IN, values, rooms::view).await
    }

    /// Small pictures that are due to be made, the longest due first.
    pub(crate) async fn small_waiting(&self, limit: i64) -> Result<Vec<Waiting>, StoreError> {
        let waiting = |row: &Row<'_>| {
            Ok(Waiting {
                id: row.int(0)?,
                hash: row.text(1)?,
                media_type: row.text(2)?,
                tries: row.int(3)?,
            })
        };
        self.read(WAITING, values![now(), limit], waiting).await
    }

    /// Notes what has become of a small picture, and when it is to be tried again.
    pub(crate) async fn set_small(
        &self,
        id: i64,
        state: &str,
        tries: i64,
        again: Option<Duration>,
    ) -> Result<(), StoreError> {
        let wait = again.map_or(0, |wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        let values = values![state, tries, now().saturating_add(wait), id];
        self.write(Program::default().step(SET_SMALL, values, Then::On)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_address() {
        for (text, numbers) in [
            ("hello", vec![]),
            ("![a](/api/v1/uploads/7) [b](/api/v1/uploads/12/small)", vec![7, 12]),
            ("/api/v1/uploads/x /api/v1/uploads/", vec![]),
            ("/api/v1/uploads/99999999999999999999", vec![]),
        ] {
            assert_eq!(named(text), numbers, "{text}");
        }
    }
}
