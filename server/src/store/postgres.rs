//! PostgreSQL: a pool of connections, and one task that commits messages in groups.
//! In: reads and programs. Out: rows, and what came of each program; those of the queue in the
//! order they were handed in.
//! Leaves to others: what the statements say.

use super::StoreError;
use super::program::{Course, Done, Job, Outcome, Program};
use super::value::{Cells, Row, Value};
use crate::metrics::Pool as PoolFigures;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::{StreamExt, TryStreamExt};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_postgres::{Config, NoTls};

/// Connections; a PostgreSQL of today takes a hundred by default, and there may be several of us.
const CONNECTIONS: usize = 8;

/// Time a request waits for one of them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Programs that may wait for the writer.
const QUEUE: usize = 4_096;

/// Programs committed together at most.
const GROUP: usize = 256;

/// A database of PostgreSQL.
#[derive(Debug)]
pub(super) struct Postgres {
    pool: Pool,
    writer: mpsc::Sender<Job>,
    queries: Arc<AtomicU64>,
}

impl Postgres {
    /// Connects, and brings the tables up to date.
    pub(super) async fn open(url: &str, queries: Arc<AtomicU64>) -> Result<Self, StoreError> {
        let mut config = Config::from_str(url)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(PATIENCE);
        }
        let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, NoTls, fast))
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .build()
            .map_err(|error| StoreError::Pool(error.to_string()))?;
        let mut client = connection(&pool).await?;
        super::schema::migrate_postgres(&mut client).await?;
        drop(client);
        let (writer, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(write(Writer { pool: pool.clone(), queries: queries.clone() }, jobs));
        Ok(Self { pool, writer, queries })
    }

    /// Runs a query and gives what `map` makes of the rows.
    pub(super) async fn read<T>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.queries.fetch_add(1, Relaxed);
        let client = connection(&self.pool).await?;
        let statement = client.prepare_cached(sql).await?;
        let rows = client.query_raw(&statement, &values).await?;
        rows.map(|row| map(&Row::Postgres(&row?))).try_collect().await
    }

    /// Puts a program on the writer's queue, in the order of the calls.
    pub(super) fn submit(&self, job: Job) -> Result<(), StoreError> {
        self.writer.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
    }

    /// What waits, and who works.
    pub(super) fn pool(&self) -> PoolFigures {
        let state = self.pool.status();
        let queued = QUEUE.saturating_sub(self.writer.capacity());
        PoolFigures {
            connections: state.size,
            busy: state.size.saturating_sub(state.available),
            waiting: state.waiting + queued,
        }
    }

    /// Runs a program beside all others.
    pub(super) async fn run(&self, program: Program) -> Result<Outcome, StoreError> {
        let writer = Writer { pool: self.pool.clone(), queries: self.queries.clone() };
        writer.alone(&program).await
    }
}

async fn connection(pool: &Pool) -> Result<Object, StoreError> {
    pool.get().await.map_err(|error| match error {
        deadpool_postgres::PoolError::Backend(error) => error.into(),
        other => StoreError::Pool(other.to_string()),
    })
}

/// What runs programs.
struct Writer {
    pool: Pool,
    queries: Arc<AtomicU64>,
}

/// Why a transaction did not come to its end.
enum Failed {
    One(StoreError),
    /// A program wants to be undone.
    Undone(Outcome),
    /// It was to be committed, and whether it was is not known.
    InDoubt(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::One(error)
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::One(error.into())
    }
}

/// Runs all programs of the queue until there is nobody to send any.
async fn write(writer: Writer, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(GROUP);
    while jobs.recv_many(&mut group, GROUP).await > 0 {
        // All processes lock rooms in one order, so that none waits for one that waits for it.
        // Those of one room stay in theirs.
        group.sort_by_key(|job| job.program.place());
        let (programs, done): (Vec<_>, Vec<_>) =
            group.drain(..).map(|job| (job.program, job.done)).unzip();
        writer.commit(&programs, done).await;
    }
}

impl Writer {
    /// All in one transaction; when one of them fails, each in its own, so that only that one
    /// fails.
    async fn commit(&self, programs: &[Program], done: Vec<Done>) {
        match self.transact(programs).await {
            Ok(outcomes) => {
                for (done, outcome) in done.into_iter().zip(outcomes) {
                    done(Ok(outcome));
                }
            }
            // Run again, what was committed after all would be there twice.
            Err(Failed::InDoubt(error)) => {
                let text = error.to_string();
                for done in done {
                    done(Err(StoreError::InDoubt(text.clone())));
                }
            }
            Err(_) => {
                for (program, done) in programs.iter().zip(done) {
                    done(self.alone(program).await);
                }
            }
        }
    }

    async fn alone(&self, program: &Program) -> Result<Outcome, StoreError> {
        match self.transact(std::slice::from_ref(program)).await {
            Ok(mut outcomes) => outcomes.pop().ok_or(StoreError::Closed),
            Err(Failed::Undone(outcome)) => Ok(outcome),
            Err(Failed::One(error)) => Err(error),
            Err(Failed::InDoubt(error)) => Err(StoreError::InDoubt(error.to_string())),
        }
    }

    async fn transact(&self, programs: &[Program]) -> Result<Vec<Outcome>, Failed> {
        let mut client = connection(&self.pool).await?;
        if let [program] = programs
            && let [_] = program.steps()
        {
            // A statement alone is a transaction already.
            return Ok(vec![self.run(&client, program).await?]);
        }
        let transaction = client.transaction().await?;
        let mut outcomes = Vec::with_capacity(programs.len());
        for program in programs {
            outcomes.push(self.run(&transaction, program).await?);
        }
        transaction.commit().await.map_err(|error| Failed::InDoubt(error.into()))?;
        Ok(outcomes)
    }

    async fn run(&self, client: &impl Session, program: &Program) -> Result<Outcome, Failed> {
        let mut outcome = Outcome::default();
        for step in program.steps() {
            self.queries.fetch_add(1, Relaxed);
            let (row, count) = client.first(step.sql, step.values(&outcome)).await?;
            match outcome.enter(step.then, row, count) {
                Course::Next => {}
                Course::Done => break,
                Course::Undo if outcome.counts.len() == 1 => break,
                Course::Undo => return Err(Failed::Undone(outcome)),
            }
        }
        Ok(outcome)
    }
}

/// What statements are run on: a connection, or a transaction of one.
trait Session: Sync {
    async fn stream(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<tokio_postgres::RowStream, tokio_postgres::Error>;

    /// The first row, and how many were given or changed.
    async fn first(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<(Option<Cells>, u64), StoreError> {
        let mut rows = std::pin::pin!(self.stream(sql, values).await?);
        let (mut first, mut count) = (None, 0);
        while let Some(row) = rows.next().await {
            let row = row?;
            if first.is_none() {
                first = Some(Cells(Row::Postgres(&row).cells()?));
            }
            count += 1;
        }
        Ok((first, rows.rows_affected().unwrap_or(count)))
    }
}

impl Session for Object {
    async fn stream(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<tokio_postgres::RowStream, tokio_postgres::Error> {
        let statement = self.prepare_cached(sql).await?;
        self.query_raw(&statement, &values).await
    }
}

impl Session for deadpool_postgres::Transaction<'_> {
    async fn stream(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<tokio_postgres::RowStream, tokio_postgres::Error> {
        let statement = self.prepare_cached(sql).await?;
        self.query_raw(&statement, &values).await
    }
}
