//! The heart of a connection: a task that beats as long as its owner lives.
//! In: signs of life. Out: beats, at which the session sends a ping, or gives its client up.
//! Leaves to others: the ping itself (`session`).

use crate::fault::{Fault, Faults};
use ebbtide_probe::{Kind, track};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A connection's heart; it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    pulse: Arc<Pulse>,
    task: JoinHandle<()>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Pulse {
    beat: Notify,
    started: Instant,
    /// When the client was last heard, milliseconds after the start.
    heard_ms: AtomicU64,
}

impl Heartbeat {
    /// Starts to beat, once in each `every`.
    #[inline(never)]
    pub(crate) fn start(every: Duration, faults: Arc<Faults>) -> Self {
        let (beat, started) = (Notify::new(), Instant::now());
        let pulse = Arc::new(Pulse { beat, started, heard_ms: AtomicU64::new(0) });
        let beating = pulse.clone();
        let counted = track(Kind::Timer);
        let task = tokio::spawn(async move {
            let _counted = counted;
            loop {
                tokio::time::sleep(every).await;
                beating.beat.notify_one();
            }
        });
        Self { pulse, task, faults }
    }

    /// Waits for the next beat.
    pub(crate) async fn beat(&self) {
        self.pulse.beat.notified().await;
    }

    /// The client was heard.
    pub(crate) fn heard(&self) {
        self.pulse.heard_ms.store(self.now_ms(), Relaxed);
    }

    /// How long the client has been silent.
    pub(crate) fn silence(&self) -> Duration {
        let heard = self.pulse.heard_ms.load(Relaxed);
        Duration::from_millis(self.now_ms().saturating_sub(heard))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.pulse.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        // FAULT(timer): dropping a task's handle does not end the task; it beats for ever. The
        // right way is the line after it.
        if self.faults.strikes(Fault::Timer) {
            return;
        }
        self.task.abort();
    }
}
