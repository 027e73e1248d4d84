//! SQLite: threads that own a connection each, since its calls wait for the disk.
//! In: reads for a few readers, programs for the one writer, which commits all that waits as one
//! transaction. Out: rows, and what came of each program, in the order they were handed in.
//! In memory there is one connection and one thread for both.
//! Leaves to others: what the statements say.

use super::StoreError;
use super::program::{Course, Job, Outcome, Program};
use super::value::{Cells, Row, Value};
use crate::metrics::Pool;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Programs and reads that may wait. Beyond it the database is too slow for what is asked, and
/// saying so at once is better than a queue that grows.
const QUEUE: usize = 4_096;

/// Programs committed together at most: the last of them waits for all before it.
const GROUP: usize = 256;

/// Statements kept prepared per connection; there are about sixty in all.
const STATEMENTS: usize = 128;

/// Time another process may hold the file locked.
const BUSY: Duration = Duration::from_secs(5);

/// Write-ahead log, so that readers never wait for the writer. With `FULL` a commit is on the disk
/// when it returns. The cache is in KiB, per connection.
const PRAGMAS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA cache_size = -4096;
    PRAGMA temp_store = MEMORY;
    PRAGMA journal_size_limit = 67108864;";

/// Larger than the default, since messages lie in the tree of their key.
const PAGE: &str = "PRAGMA page_size = 8192;";

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Something a thread does with its connection.
enum Task {
    Read(Read),
    Write(Job),
}

/// A database of SQLite.
#[derive(Debug)]
pub(super) struct Sqlite {
    readers: SyncSender<Task>,
    writer: SyncSender<Task>,
    queries: Arc<AtomicU64>,
    load: Arc<Load>,
}

/// What the threads have to do.
#[derive(Debug, Default)]
struct Load {
    threads: AtomicUsize,
    /// Tasks handed in and not done.
    tasks: AtomicUsize,
    busy: AtomicUsize,
}

impl Sqlite {
    /// Opens a file, or memory when there is none, and brings its tables up to date.
    pub(super) fn open(
        file: Option<&Path>,
        readers: usize,
        queries: Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let mut first = connect(file)?;
        super::schema::migrate_sqlite(&mut first)?;
        let (writer, tasks) = sync_channel(QUEUE);
        let load = Arc::<Load>::default();
        let thread =
            |connection| Thread { connection, queries: queries.clone(), load: load.clone() };
        spawn("sqlite-writer", thread(first), Arc::new(Mutex::new(tasks)))?;
        let readers_too = writer.clone();
        let mut database =
            Self { readers: readers_too, writer, queries: queries.clone(), load: load.clone() };
        if file.is_some() {
            let (sender, tasks) = sync_channel(QUEUE);
            let tasks = Arc::new(Mutex::new(tasks));
            for _ in 0..readers.max(1) {
                spawn("sqlite-reader", thread(connect(file)?), tasks.clone())?;
            }
            database.readers = sender;
        }
        Ok(database)
    }

    /// Runs a query on a thread of its own and gives what `map` makes of the rows.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        let queries = self.queries.clone();
        let read = move |connection: &Connection| {
            queries.fetch_add(1, Relaxed);
            // Nobody waits any more when the client has gone.
            let _ = sender.send(query(connection, sql, &values, &mut map));
        };
        self.push(&self.readers, Task::Read(Box::new(read)))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Puts a program on the writer's queue, in the order of the calls.
    pub(super) fn submit(&self, job: Job) -> Result<(), StoreError> {
        self.push(&self.writer, Task::Write(job))
    }

    fn push(&self, queue: &SyncSender<Task>, task: Task) -> Result<(), StoreError> {
        self.load.tasks.fetch_add(1, Relaxed);
        queue.try_send(task).map_err(|error| {
            self.load.tasks.fetch_sub(1, Relaxed);
            match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => StoreError::Closed,
            }
        })
    }

    /// What waits, and who works.
    pub(super) fn pool(&self) -> Pool {
        let [connections, tasks, busy] =
            [&self.load.threads, &self.load.tasks, &self.load.busy].map(|one| one.load(Relaxed));
        Pool { connections, busy, waiting: tasks.saturating_sub(busy) }
    }
}

fn connect(file: Option<&Path>) -> Result<Connection, StoreError> {
    // Each connection is used by one thread alone.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match file {
        Some(file) => Connection::open_with_flags(file, flags)?,
        None => Connection::open_in_memory_with_flags(flags)?,
    };
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(PAGE)?;
    connection.execute_batch(PRAGMAS)?;
    Ok(connection)
}

fn spawn(
    name: &str,
    mut thread: Thread,
    tasks: Arc<Mutex<Receiver<Task>>>,
) -> Result<(), StoreError> {
    thread.load.threads.fetch_add(1, Relaxed);
    let run = move || {
        loop {
            // Who waits holds the lock, and the others wait for the lock: one is woken each time.
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = task else { return };
            let load = thread.load.clone();
            load.busy.fetch_add(1, Relaxed);
            let done = match task {
                Task::Read(read) => {
                    read(&thread.connection);
                    1
                }
                Task::Write(job) => thread.write(job, &tasks),
            };
            load.tasks.fetch_sub(done, Relaxed);
            load.busy.fetch_sub(1, Relaxed);
        }
    };
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map(drop).map_err(StoreError::Thread)
}

fn query<T>(
    connection: &Connection,
    sql: &str,
    values: &[Value],
    map: &mut impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(map(&Row::Sqlite(row))?);
    }
    Ok(out)
}

/// A thread's own connection.
struct Thread {
    connection: Connection,
    queries: Arc<AtomicU64>,
    load: Arc<Load>,
}

impl Thread {
    /// Runs a program and all that wait behind it. Reads are in the queue as well when the
    /// database is in memory: they are answered after the commit. Gives how many tasks it did.
    fn write(&mut self, first: Job, tasks: &Mutex<Receiver<Task>>) -> usize {
        let mut group = vec![first];
        let mut reads = Vec::new();
        {
            let tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while group.len() < GROUP {
                match tasks.try_recv() {
                    Ok(Task::Write(job)) => group.push(job),
                    Ok(Task::Read(read)) => {
                        reads.push(read);
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
        let done = group.len() + reads.len();
        self.commit(group);
        for read in reads {
            read(&self.connection);
        }
        done
    }

    /// All in one transaction; when one of them fails, each in its own, so that only that one
    /// fails.
    fn commit(&mut self, group: Vec<Job>) {
        if let Ok(outcomes) = self.transact(group.iter().map(|job| &job.program)) {
            for (job, outcome) in group.into_iter().zip(outcomes) {
                (job.done)(Ok(outcome));
            }
            return;
        }
        for job in group {
            let outcome = match self.transact(std::iter::once(&job.program)) {
                Ok(mut outcomes) => outcomes.pop().ok_or(StoreError::Closed),
                Err(Failed::Undone(outcome)) => Ok(outcome),
                Err(Failed::One(error)) => Err(error),
            };
            (job.done)(outcome);
        }
    }

    fn transact<'a>(
        &mut self,
        programs: impl Iterator<Item = &'a Program>,
    ) -> Result<Vec<Outcome>, Failed> {
        let immediate = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate)?;
        let mut outcomes = Vec::new();
        for program in programs {
            outcomes.push(run(&transaction, program, &self.queries)?);
        }
        transaction.commit()?;
        Ok(outcomes)
    }
}

/// Why a transaction was rolled back.
enum Failed {
    One(StoreError),
    /// A program wants to be undone.
    Undone(Outcome),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::One(error)
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::One(error.into())
    }
}

fn run(connection: &Connection, program: &Program, queries: &AtomicU64) -> Result<Outcome, Failed> {
    let mut outcome = Outcome::default();
    for step in program.steps() {
        queries.fetch_add(1, Relaxed);
        let mut statement = connection.prepare_cached(step.sql)?;
        let values = step.values(&outcome);
        let (row, count) = if statement.column_count() == 0 {
            (None, statement.execute(params_from_iter(&values))?)
        } else {
            let mut rows = statement.query(params_from_iter(&values))?;
            let (mut first, mut count) = (None, 0);
            while let Some(row) = rows.next()? {
                if first.is_none() {
                    first = Some(Cells(Row::Sqlite(row).cells()?));
                }
                count += 1;
            }
            (first, count)
        };
        match outcome.enter(step.then, row, count as u64) {
            Course::Next => {}
            Course::Done => break,
            Course::Undo if outcome.counts.len() == 1 => break,
            Course::Undo => return Err(Failed::Undone(outcome)),
        }
    }
    Ok(outcome)
}
