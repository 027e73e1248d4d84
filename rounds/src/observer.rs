//! The observer: looks at the target's memory once a second, whatever else goes on, and knows
//! when the target has come to rest. In: a source. Out: memory points on a bounded channel, and
//! the word that the target has settled. Snapshots are left to `session`.

use ebbtide_profiler::source::Target as Source;
use ebbtide_record::Kind;
use ebbtide_record::event::MemoryPoint;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Points that may wait: the session takes them at once, and an old one is of no use.
const WAITING_MAX: usize = 4;
/// How often a target that is settling is looked at.
const SETTLE_EVERY: Duration = Duration::from_millis(50);

/// Looks at memory in the background until dropped.
#[derive(Debug)]
pub struct Observer {
    points: mpsc::Receiver<MemoryPoint>,
    task: Option<JoinHandle<()>>,
}

impl Observer {
    /// Begins to look; at nothing when there is no source.
    #[must_use]
    pub fn start(source: Option<Source>) -> Self {
        let (sender, points) = mpsc::channel(WAITING_MAX);
        let task = source.map(|source| {
            tokio::spawn(async move {
                let mut ticks = interval(LOOK_EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    if let Some(point) = look(&source).await
                        && sender.send(point).await.is_err()
                    {
                        return;
                    }
                }
            })
        });
        Self { points, task }
    }

    /// The next point. Never, when there is nothing to look at.
    pub async fn next(&mut self) -> MemoryPoint {
        match self.points.recv().await {
            Some(point) => point,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Looks at memory once; `None` when nothing can be seen.
pub async fn look(source: &Source) -> Option<MemoryPoint> {
    let memory = source.memory(false).await.ok()?;
    let census = source.census().await.ok();
    Some(MemoryPoint {
        rss_bytes: (memory.process.rss_bytes > 0).then_some(memory.process.rss_bytes),
        live_bytes: memory.allocator.map(|totals| totals.allocated_bytes),
        in_flight: memory.in_flight,
        census: census.map(|census| census.kinds).unwrap_or_default(),
    })
}

/// How a target came to rest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settled {
    /// How long it took, milliseconds.
    pub settled_ms: u64,
    /// The deadline passed before.
    pub unsettled: bool,
}

/// Waits until work in flight and the census have not moved for `quiet`. A target that tells of
/// neither is given the quiet time alone.
pub async fn settle(source: &Source, quiet: Duration, within: Duration) -> Settled {
    let began = Instant::now();
    let mut last = stirring(source).await;
    let mut since = Instant::now();
    loop {
        let still = since.elapsed();
        if still >= quiet || began.elapsed() >= within {
            return Settled {
                settled_ms: began.elapsed().as_millis() as u64,
                unsettled: still < quiet,
            };
        }
        sleep(SETTLE_EVERY.min(quiet)).await;
        let now = stirring(source).await;
        if now != last {
            last = now;
            since = Instant::now();
        }
    }
}

/// What moves while there is work: requests in flight, and live objects by kind.
async fn stirring(source: &Source) -> Option<(u64, BTreeMap<Kind, u64>)> {
    let census = source.census().await.ok()?;
    let live = census.kinds.iter().map(|(kind, count)| (*kind, count.live)).collect();
    Some((census.in_flight, live))
}
