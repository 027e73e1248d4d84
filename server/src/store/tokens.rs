//! Refresh tokens: each good for one use, and all that came of one login a family.
//! In: hashes of tokens, never tokens. Out: whose they are, once; and the end of a family when one
//! of its tokens is used a second time.
//! Leaves to others: making and hashing tokens (`auth`).

use super::program::{Program, Then};
use super::value::{Value, values};
use super::{Store, StoreError, UserId, now};

const ADD: &str = "INSERT INTO refresh_tokens (hash, family, user_id, created_ms, expires_ms) \
    VALUES ($1, $2, $3, $4, $5)";
const CLEAN: &str = "DELETE FROM refresh_tokens WHERE expires_ms < $1";
/// What was used or is good, beyond the newest of a user. Each is a range of the user's index.
const TRIM_USED: &str = "DELETE FROM refresh_tokens WHERE user_id = $1 AND used_ms IS NOT NULL \
    AND created_ms < (SELECT created_ms FROM refresh_tokens WHERE user_id = $1 \
    AND used_ms IS NOT NULL ORDER BY created_ms DESC LIMIT 1 OFFSET $2)";
const TRIM_GOOD: &str = "DELETE FROM refresh_tokens WHERE user_id = $1 AND used_ms IS NULL \
    AND created_ms < (SELECT created_ms FROM refresh_tokens WHERE user_id = $1 \
    AND used_ms IS NULL ORDER BY created_ms DESC LIMIT 1 OFFSET $2)";
const USE: &str = "UPDATE refresh_tokens SET used_ms = $1 WHERE hash = $2 AND used_ms IS NULL \
    AND revoked_ms IS NULL AND expires_ms > $1 RETURNING family, user_id";
const OWNER: &str = "SELECT name, admin FROM users WHERE id = $1";
const FIND: &str = "SELECT family, used_ms, user_id FROM refresh_tokens WHERE hash = $1";
const REVOKE: &str =
    "UPDATE refresh_tokens SET revoked_ms = $1 WHERE family = $2 AND revoked_ms IS NULL";
const REVOKE_ALL: &str =
    "UPDATE refresh_tokens SET revoked_ms = $1 WHERE user_id = $2 AND revoked_ms IS NULL";

/// All of the above, for the test that reads their plans.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[ADD, CLEAN, TRIM_USED, TRIM_GOOD, USE, OWNER, FIND, REVOKE, REVOKE_ALL];

/// Tokens of a user that are good at one time, one for each window somebody has left logged in.
/// Who logs in once more is logged out where it was longest ago.
const GOOD: i64 = 64;

/// Used tokens of a user that are remembered, so that one that is shown again is known.
const USED: i64 = 64;

/// A token to be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewToken<'a> {
    pub(crate) hash: &'a str,
    pub(crate) lives_ms: i64,
}

/// What came of a token shown.
#[derive(Clone, Debug)]
pub(crate) enum Refreshed {
    /// It was good, and the new one takes its place.
    Good { family: String, user: UserId, name: String, admin: bool },
    /// It had been used before: its whole family is revoked, `now` or earlier.
    Reused { family: String, user: UserId, now: bool },
    /// There is none such, or it has expired or been revoked.
    Unknown,
}

impl Store {
    /// Keeps the first token of a family, and lets go of all that have expired.
    pub(crate) async fn add_token(
        &self,
        user: UserId,
        family: &str,
        new: NewToken<'_>,
    ) -> Result<(), StoreError> {
        let now = now();
        let values = values![new.hash, family, user, now, now.saturating_add(new.lives_ms)];
        let program = Program::default()
            .step(CLEAN, values![now], Then::On)
            .step(ADD, values, Then::On)
            .step(TRIM_GOOD, values![user, GOOD - 1], Then::On);
        self.write(program).await.map(drop)
    }

    /// Uses a token and puts a new one in its place.
    pub(crate) async fn refresh(
        &self,
        shown: &str,
        new: NewToken<'_>,
    ) -> Result<Refreshed, StoreError> {
        let now = now();
        let expires = now.saturating_add(new.lives_ms);
        let program = Program::default()
            .step(USE, values![now, shown], Then::Need)
            .step(OWNER, vec![Value::Of(0, 1)], Then::Need)
            .step(ADD, values![new.hash, Value::Of(0, 0), Value::Of(0, 1), now, expires], Then::On)
            .step(TRIM_USED, values![Value::Of(0, 1), USED - 1], Then::On);
        let outcome = self.write(program).await?;
        if outcome.stopped.is_none() {
            let (token, owner) = (outcome.expect(0)?, outcome.expect(1)?);
            return Ok(Refreshed::Good {
                family: token.text(0)?,
                user: UserId(token.int(1)?),
                name: owner.text(0)?,
                admin: owner.int(1)? != 0,
            });
        }
        let family = self
            .read_one(FIND, values![shown], |row| {
                Ok((row.text(0)?, row.maybe_int(1)?, UserId(row.int(2)?)))
            })
            .await?;
        let Some((family, Some(_), user)) = family else { return Ok(Refreshed::Unknown) };
        let now = self.revoke(&family).await?;
        Ok(Refreshed::Reused { family, user, now })
    }

    /// The family of a token, whatever has become of it.
    pub(crate) async fn family_of(&self, hash: &str) -> Result<Option<String>, StoreError> {
        self.read_one(FIND, values![hash], |row| row.text(0)).await
    }

    /// Ends a family; false when it had ended before.
    pub(crate) async fn revoke(&self, family: &str) -> Result<bool, StoreError> {
        let program = Program::default().step(REVOKE, values![now(), family], Then::On);
        Ok(self.write(program).await?.counts.first().is_some_and(|count| *count > 0))
    }

    /// Ends all families of a user.
    pub(crate) async fn revoke_all(&self, user: UserId) -> Result<(), StoreError> {
        let program = Program::default().step(REVOKE_ALL, values![now(), user], Then::On);
        self.write(program).await.map(drop)
    }
}
