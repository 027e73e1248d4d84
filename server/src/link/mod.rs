//! Several processes as one server, over a stream of Redis and a database that all share.
//! In: entries of this process. Out: those of the others, from where reading stopped last; a new
//! connection when one breaks, with growing pauses.
//! The stream is trimmed: it carries news and keeps nothing. What any process missed comes from the
//! store, by the numbers of a room's messages (`filler`), so that a stream that is slow or lost
//! costs time and never a message. Clients of this process are served first and without Redis.
//! Leaves to others: what the processes know of each other (`cluster`).

mod delivery;
mod filler;
mod presence;

use crate::cluster::{Cluster, ClusterError, Entry};
use crate::hub::Hub;
use crate::sio;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{AsyncConnectionConfig, Client, RedisError, cmd, pipe};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Entries that may wait for Redis: a second of a busy process. Beyond it they are dropped, and
/// the others are told to look into the store.
const QUEUE: usize = 1_024;

/// Rooms that may wait to be looked up in the store; those beyond it are found by the next check.
const GAPS: usize = 1_024;

/// The stream. Installations that share a Redis use different databases of it.
const STREAM: &str = "ebbtide:cluster";

/// Entries kept in it: some seconds of a busy cluster. Who was away for longer reads the store.
const STREAM_LEN: usize = 4_096;

/// Entries written at once.
const BATCH: usize = 128;

/// Entries read at once.
const READ: usize = 128;

/// Time for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time that a read waits for news in Redis.
const BLOCK: Duration = Duration::from_secs(5);

/// Time between two signs of life.
const ALIVE: Duration = Duration::from_secs(1);

/// The first pause before another connection is tried, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Time for the last words.
const FAREWELL: Duration = Duration::from_millis(500);

/// The link before it is started.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    cluster: Arc<Cluster>,
    entries: mpsc::Receiver<Entry>,
    gaps: mpsc::Receiver<Arc<str>>,
}

/// The link while it runs.
#[derive(Debug)]
pub(crate) struct Linked {
    stop: Arc<Notify>,
    speaking: JoinHandle<()>,
    looking: JoinHandle<()>,
}

impl Link {
    /// The link to the Redis at this address, which need not be there yet.
    pub(crate) fn prepare(url: &str) -> Result<(Arc<Cluster>, Self), ClusterError> {
        let client = Client::open(url).map_err(|error| {
            // Its text has no part of the address, where a password may stand.
            ClusterError::Address(error.to_string())
        })?;
        let (sender, entries) = mpsc::channel(QUEUE);
        let (asker, gaps) = mpsc::channel(GAPS);
        let cluster = Arc::new(Cluster::new(sio::new_id().as_str().into(), sender, asker));
        Ok((cluster.clone(), Self { client, cluster, entries, gaps }))
    }

    /// Runs it until it is ended.
    pub(crate) fn start(self, hub: Arc<Hub>) -> Linked {
        let Self { client, cluster, entries, gaps } = self;
        let stop = Arc::new(Notify::new());
        let looking = tokio::spawn(filler::run(hub.clone(), gaps));
        let (last, number) = (None, 0);
        let session = Session { client, cluster, hub, entries, last, number, stop: stop.clone() };
        Linked { stop, speaking: tokio::spawn(session.run()), looking }
    }
}

impl Linked {
    /// Says goodbye to the others, within a bound.
    pub(crate) async fn end(mut self) {
        self.stop.notify_one();
        // Who cannot be told will notice.
        let _ = timeout(FAREWELL, &mut self.speaking).await;
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.speaking.abort();
        self.looking.abort();
    }
}

/// One connection after the other.
struct Session {
    client: Client,
    cluster: Arc<Cluster>,
    hub: Arc<Hub>,
    entries: mpsc::Receiver<Entry>,
    /// Id of the entry that was read last.
    last: Option<String>,
    /// Of the next entry of ours.
    number: u64,
    stop: Arc<Notify>,
}

impl Session {
    async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let begun = Instant::now();
            let Err(error) = self.live().await else { return };
            self.cluster.is_up.store(false, Relaxed);
            if begun.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            tracing::warn!(%error, "no link to Redis: clients of this process are served without");
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stop.notified() => return,
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Serves one connection; an end without an error is wanted.
    async fn live(&mut self) -> Result<(), RedisError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(PATIENCE);
        let config = config.set_response_timeout(PATIENCE);
        let client = self.client.clone();
        let mut writer = client.get_multiplexed_async_connection_with_config(&config).await?;
        let patient = config.set_response_timeout(BLOCK + PATIENCE);
        let mut reader = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let mut last = self.begin_at(&mut writer).await?;
        let Self { cluster, hub, entries, number, stop, .. } = self;
        hub.state().others.spare(Instant::now());
        let mut speaker = Speaker { writer: &mut writer, cluster, number };
        let mut first = hub.whole();
        first.push(Entry::Asked);
        speaker.speak(&first).await?;
        cluster.numbers.linked();
        cluster.check.notify_one();
        tracing::info!(node = &*cluster.node, "linked to Redis");
        let ended = tokio::select! {
            Err(error) = speaker.serve(hub, entries) => Err(error),
            Err(error) = listen(&mut reader, hub, &mut last) => Err(error),
            () = stop.notified() => Ok(()),
        };
        self.last = Some(last);
        if ended.is_ok() {
            let Self { cluster, number, .. } = self;
            Speaker { writer: &mut writer, cluster, number }.speak(&[Entry::Gone]).await?;
        }
        ended
    }

    /// Where reading goes on: behind what was read last, unless the stream has begun anew.
    async fn begin_at(&self, writer: &mut MultiplexedConnection) -> Result<String, RedisError> {
        let mut newest = cmd("XREVRANGE");
        let newest = newest.arg(STREAM).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: StreamRangeReply = newest.query_async(writer).await?;
        let newest = newest.ids.into_iter().next().map(|entry| entry.id);
        Ok(match (&self.last, newest) {
            (None, newest) => newest.unwrap_or_else(|| "0".to_owned()),
            (Some(last), Some(newest)) if place(last) <= place(&newest) => last.clone(),
            (Some(_), _) => "0".to_owned(),
        })
    }
}

/// The two numbers of an entry's id, which order the entries.
fn place(id: &str) -> (u64, u64) {
    let (time, count) = id.split_once('-').unwrap_or((id, "0"));
    (time.parse().unwrap_or(0), count.parse().unwrap_or(0))
}

/// What writes our entries.
struct Speaker<'a> {
    writer: &'a mut MultiplexedConnection,
    cluster: &'a Cluster,
    number: &'a mut u64,
}

impl Speaker<'_> {
    /// Writes what waits, with one flush, and a sign of life now and then.
    async fn serve(
        &mut self,
        hub: &Hub,
        entries: &mut mpsc::Receiver<Entry>,
    ) -> Result<Infallible, RedisError> {
        let mut beats = interval(ALIVE);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                // The queue is never closed: the hub holds its other end.
                _ = entries.recv_many(&mut batch, BATCH) => {}
                () = self.cluster.changed.notified() => {}
                _ = beats.tick() => {
                    batch.push(Entry::Alive);
                    if self.cluster.asks.swap(false, Relaxed) {
                        batch.push(Entry::Asked);
                    }
                    forget(hub);
                }
            }
            batch.extend(hub.news());
            if self.cluster.is_asked.swap(false, Relaxed) {
                batch.extend(hub.whole());
            }
            if self.cluster.has_dropped.swap(false, Relaxed) {
                batch.push(Entry::Look);
            }
            self.speak(&batch).await?;
            batch.clear();
        }
    }

    async fn speak(&mut self, entries: &[Entry]) -> Result<(), RedisError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut pipe = pipe();
        for entry in entries {
            let adding = pipe.cmd("XADD").arg(STREAM).arg("MAXLEN").arg("~").arg(STREAM_LEN);
            adding.arg("*").arg("n").arg(&*self.cluster.node).arg("c").arg(*self.number);
            adding.arg("e").arg(entry.to_json()).ignore();
            *self.number += 1;
        }
        let written = pipe.query_async::<()>(self.writer).await;
        match &written {
            Ok(()) => self.cluster.numbers.sent(entries.len()),
            Err(_) => self.cluster.has_dropped.store(true, Relaxed),
        }
        written
    }
}

/// Processes that are silent are gone, and rooms that nobody comes back to are forgotten.
fn forget(hub: &Hub) {
    for room in hub.expire(Instant::now()) {
        let store = hub.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.forget_ephemeral(room).await {
                tracing::warn!(%error, "an empty room could not be forgotten");
            }
        });
    }
}

/// Reads what the others write.
async fn listen(
    reader: &mut MultiplexedConnection,
    hub: &Hub,
    last: &mut String,
) -> Result<Infallible, RedisError> {
    let Some(cluster) = &hub.cluster else { return std::future::pending().await };
    let block = u64::try_from(BLOCK.as_millis()).unwrap_or(0);
    loop {
        let mut read = cmd("XREAD");
        let read = read.arg("COUNT").arg(READ).arg("BLOCK").arg(block);
        let read = read.arg("STREAMS").arg(STREAM).arg(&*last);
        let news: Option<StreamReadReply> = read.query_async(reader).await?;
        for entry in news.into_iter().flat_map(|news| news.keys).flat_map(|key| key.ids) {
            let node: Option<String> = entry.get("n");
            let (number, json) = (entry.get::<u64>("c"), entry.get::<Vec<u8>>("e"));
            last.clone_from(&entry.id);
            let (Some(node), Some(number), Some(json)) = (node, number, json) else { continue };
            if *node == *cluster.node {
                continue;
            }
            // One of a newer version is counted, and otherwise passed over.
            let entry = Entry::of_json(&json).unwrap_or(Entry::Alive);
            hub.obey(&node, number, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_as_numbers() {
        assert!(place("999-5") < place("1000-0"));
        assert!(place("1000-9") < place("1000-10"));
        assert!(place("0") < place("1-0"));
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_telling_its_password() {
        for url in ["localhost", "http://x", "redis://:secret@", "rediss://secret@x"] {
            let error = Link::prepare(url).expect_err(url).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Link::prepare("redis://:secret@localhost:6379/3").is_ok());
    }
}
