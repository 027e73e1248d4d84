//! Accounts: names, password hashes, who is an administrator.
//! In: names and ids. Out: accounts, found by the one or the other, or listed by name.
//! Leaves to others: what a password is worth (`auth`).

use super::program::{Program, Then};
use super::value::{Row, values};
use super::{Caps, Store, StoreError, UserId, now};

const ADD: &str = "INSERT INTO users (name, name_key, password, admin, created_ms, updated_ms) \
    VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (name_key) DO NOTHING RETURNING id";
/// Numbers are given in order and no account is ever removed: the last is how many there are.
const PLACE: &str = "SELECT CAST(1 AS BIGINT) \
    WHERE (SELECT COALESCE(MAX(id), 0) FROM users) < CAST($1 AS BIGINT)";
const BY_NAME: &str = "SELECT id, name, admin, created_ms, password FROM users WHERE name_key = $1";
const BY_ID: &str = "SELECT id, name, admin, created_ms, password FROM users WHERE id = $1";
const LIST: &str = "SELECT id, name, admin, created_ms, '' FROM users \
    WHERE name_key > $1 AND name_key >= $2 AND name_key < $3 ORDER BY name_key LIMIT $4";
const RENAME: &str = "UPDATE users SET name = $1, name_key = $2, updated_ms = $3 WHERE id = $4 \
    AND NOT EXISTS (SELECT 1 FROM users WHERE name_key = $2 AND id <> $4) RETURNING id";
const SET_PASSWORD: &str = "UPDATE users SET password = $1, updated_ms = $2 WHERE id = $3";
const SET_ADMIN: &str = "UPDATE users SET admin = $1, updated_ms = $2 WHERE name_key = $3 \
    RETURNING id";

/// All of the above, for the test that reads their plans.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[ADD, PLACE, BY_NAME, BY_ID, LIST, RENAME, SET_PASSWORD, SET_ADMIN];

/// Comes after every name that begins with what stands before it.
const LAST: char = char::MAX;

/// An account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: UserId,
    pub(crate) name: String,
    /// May do everything everywhere.
    pub(crate) admin: bool,
    pub(crate) created_ms: i64,
    /// The hash in the form of the Password Hashing Competition; empty in lists.
    pub(crate) password: String,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewAccount<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
    pub(crate) admin: bool,
}

fn key(name: &str) -> String {
    name.to_lowercase()
}

fn account(row: &Row<'_>) -> Result<Account, StoreError> {
    Ok(Account {
        id: UserId(row.int(0)?),
        name: row.text(1)?,
        admin: row.flag(2)?,
        created_ms: row.int(3)?,
        password: row.text(4)?,
    })
}

impl Store {
    /// Makes an account; none when the name is taken. In memory there is an end to it.
    pub(crate) async fn add_account(
        &self,
        new: NewAccount<'_>,
    ) -> Result<Option<UserId>, StoreError> {
        let values = values![new.name, key(new.name), new.password, new.admin, now()];
        let mut program = Program::default();
        let most = self.0.caps.map(Caps::accounts);
        if let Some(most) = most {
            program = program.step(PLACE, values![most], Then::Need);
        }
        let added = program.steps().len();
        let outcome = self.write(program.step(ADD, values, Then::On)).await?;
        if let (Some(most), Some(_)) = (most, outcome.stopped) {
            return Err(StoreError::Full { what: "accounts", most });
        }
        outcome.row(added).map(|row| row.int(0).map(UserId)).transpose()
    }

    /// The account of that name, in any case.
    pub(crate) async fn account_named(&self, name: &str) -> Result<Option<Account>, StoreError> {
        self.read_one(BY_NAME, values![key(name)], account).await
    }

    /// The account.
    pub(crate) async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.read_one(BY_ID, values![id], account).await
    }

    /// Accounts by name that begin with `prefix`, after the name `after`.
    pub(crate) async fn accounts(
        &self,
        prefix: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Account>, StoreError> {
        let from = key(prefix);
        let to = format!("{from}{LAST}");
        self.read(LIST, values![key(after), from, to, limit], account).await
    }

    /// Gives an account another name; false when it is taken.
    pub(crate) async fn rename(&self, id: UserId, name: &str) -> Result<bool, StoreError> {
        let program = Program::default();
        let program = program.step(RENAME, values![name, key(name), now(), id], Then::On);
        Ok(self.write(program).await?.row(0).is_some())
    }

    /// Changes a password's hash.
    pub(crate) async fn set_password(&self, id: UserId, hash: &str) -> Result<(), StoreError> {
        let program = Program::default().step(SET_PASSWORD, values![hash, now(), id], Then::On);
        self.write(program).await.map(drop)
    }

    /// Makes an account an administrator, or not; false when there is none of that name.
    pub(crate) async fn set_admin(&self, name: &str, admin: bool) -> Result<bool, StoreError> {
        let program = Program::default();
        let program = program.step(SET_ADMIN, values![admin, now(), key(name)], Then::On);
        Ok(self.write(program).await?.row(0).is_some())
    }
}
