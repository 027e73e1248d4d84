//! The one owner of what is kept: accounts, rooms, messages, notifications, tokens, uploads.
//! In: questions and changes, as methods in a file for each table. Out: answers of one query each,
//! and changes that are stored when their answer comes.
//! One set of statements serves SQLite and PostgreSQL; what differs stands in `schema`, `sqlite`
//! and `postgres`. Leaves to others: who may do what (`auth`), who is told (`hub`).

mod accounts;
mod direct;
mod messages;
mod notifications;
mod postgres;
mod program;
mod rooms;
mod schema;
mod sqlite;
mod tokens;
mod uploads;
mod value;

pub(crate) use accounts::{Account, NewAccount};
pub(crate) use direct::{Direct, NewDirect, Sent};
pub(crate) use messages::{
    Author, Event, Happening, Message, MessageId, NewMessage, Range, Replay, Stored,
};
pub(crate) use notifications::{Filter, NewNotification, Notification};
pub(crate) use rooms::{Changes, Member, NewRoom, Role, Room, RoomView};
pub(crate) use tokens::{NewToken, Refreshed};
pub(crate) use uploads::{NewUpload, Upload, Waiting};

use crate::clock::unix_ms;
use crate::config::Database;
use crate::metrics::Pool;
use postgres::Postgres;
use program::{Job, Outcome, Program};
use serde::Serialize;
use sqlite::Sqlite;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use value::{Row, Value};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// More waits than the database can keep up with.
    #[error("the database is behind, try again in a moment")]
    Busy,
    /// The server stops.
    #[error("the database has been closed")]
    Closed,
    /// In memory there is no place for more.
    #[error("there are {most} {what}, as many as fit in memory (give the server a database)")]
    Full {
        /// What there is enough of.
        what: &'static str,
        /// How many there may be.
        most: i64,
    },
    /// What SQLite said.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What PostgreSQL said.
    #[error("PostgreSQL: {}", in_full(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection could be had.
    #[error("PostgreSQL: no connection: {0}")]
    Pool(String),
    /// The connection broke while a transaction was being committed.
    #[error("whether it was stored is not known, the connection broke: {0}")]
    InDoubt(String),
    /// A row does not have what its statement says.
    #[error("the database gave something else than {0}")]
    Shape(String),
    /// The database was made by a later version of the program.
    #[error(
        "the database has tables of version {database}, this program knows {program} (use the \
         newer program, or another database)"
    )]
    Newer {
        /// Version of the tables.
        database: i64,
        /// Version that this program would make.
        program: i64,
    },
    /// No thread could be started.
    #[error("cannot start a thread for the database: {0}")]
    Thread(std::io::Error),
}

/// The error of the driver says little, its source says what is wrong.
fn in_full(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Names an account for ever.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct UserId(pub(crate) i64);

/// Names a room inside; outside it goes by its name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct RoomId(pub(crate) i64);

impl From<UserId> for Value {
    fn from(id: UserId) -> Self {
        Self::Int(id.0)
    }
}

impl From<RoomId> for Value {
    fn from(id: RoomId) -> Self {
        Self::Int(id.0)
    }
}

/// All that is kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Backend,
    /// Messages and events kept of each room, when not all are.
    keep: Option<i64>,
    caps: Option<Caps>,
    queries: Arc<AtomicU64>,
}

/// What is kept at most, in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Messages and events of each room; the oldest go.
    pub(crate) history: usize,
    /// Accounts; more are refused.
    pub(crate) accounts: usize,
    /// Messages between two users, of all together; the oldest go.
    pub(crate) direct: usize,
}

impl Caps {
    fn accounts(self) -> i64 {
        count(self.accounts)
    }

    fn direct(self) -> i64 {
        count(self.direct)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number.max(1)).unwrap_or(i64::MAX)
}

#[derive(Debug)]
enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Store {
    /// Opens the database and brings its tables up to date. The caps hold in memory alone.
    pub(crate) async fn open(database: &Database, caps: Caps) -> Result<Self, StoreError> {
        let queries = Arc::<AtomicU64>::default();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let (mut keep, mut kept) = (None, None);
        let backend = match database {
            Database::Memory => {
                (keep, kept) = (Some(count(caps.history)), Some(caps));
                Backend::Sqlite(Sqlite::open(None, 1, queries.clone())?)
            }
            Database::File(path) => {
                Backend::Sqlite(Sqlite::open(Some(path), cores, queries.clone())?)
            }
            Database::Postgres(url) => {
                Backend::Postgres(Postgres::open(url, queries.clone()).await?)
            }
        };
        Ok(Self(Arc::new(Inner { backend, keep, caps: kept, queries })))
    }

    /// What waits for the database, and its connections.
    pub(crate) fn pool(&self) -> Pool {
        match &self.0.backend {
            Backend::Sqlite(sqlite) => sqlite.pool(),
            Backend::Postgres(postgres) => postgres.pool(),
        }
    }

    /// Statements run so far.
    pub(crate) fn queries(&self) -> u64 {
        self.0.queries.load(Relaxed)
    }

    async fn read<T: Send + 'static>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
        map: impl FnMut(&Row<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        match &self.0.backend {
            Backend::Sqlite(sqlite) => sqlite.read(sql, values, map).await,
            Backend::Postgres(postgres) => postgres.read(sql, values, map).await,
        }
    }

    /// The only row, if there is one.
    async fn read_one<T: Send + 'static>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
        map: impl FnMut(&Row<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.read(sql, values, map).await?.pop())
    }

    /// Hands a program to the writer; `done` hears what came of it, on the writer's thread.
    fn submit(
        &self,
        program: Program,
        done: impl FnOnce(Result<Outcome, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let job = Job { program, done: Box::new(done) };
        match &self.0.backend {
            Backend::Sqlite(sqlite) => sqlite.submit(job),
            Backend::Postgres(postgres) => postgres.submit(job),
        }
    }

    /// Runs a program that needs no order among others.
    async fn write(&self, program: Program) -> Result<Outcome, StoreError> {
        if let Backend::Postgres(postgres) = &self.0.backend {
            return postgres.run(program).await;
        }
        let (sender, answer) = tokio::sync::oneshot::channel();
        // Nobody waits any more when the client has gone.
        self.submit(program, |outcome| drop(sender.send(outcome)))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// Unix time in milliseconds, as the tables have it.
fn now() -> i64 {
    i64::try_from(unix_ms()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "../tests/support/postgres.rs"]
mod cluster;

#[cfg(test)]
mod plans;

#[cfg(test)]
mod tests;
