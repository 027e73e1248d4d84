//! What processes that are one server know of each other, and tell.
//! In: news of this process, for the others; entries of the others. Out: who is present elsewhere,
//! and the order in which messages are due, wherever they come from.
//! Leaves to others: the connection, and what is done with all that (`link`); keeping (`store`).

mod elsewhere;
mod entry;
mod numbers;
mod order;

pub(crate) use elsewhere::{Change, Heard, Moved, Others};
pub(crate) use entry::{Entry, Presence};
pub(crate) use order::Order;

use crate::letter::Letter;

use numbers::Numbers;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::{Notify, mpsc};

/// Why processes cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The address is none.
    #[error("`--redis`: {0} (such as `redis://127.0.0.1:6379`)")]
    Address(String),
    /// Every process would have messages of its own.
    #[error("`--redis` joins processes that share a database (set `--database postgres://...`)")]
    NothingShared,
}

/// This process as a member of the cluster: what everything that has news for the others holds.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Names this process among the others; another one after each start.
    pub(crate) node: Box<str>,
    entries: mpsc::Sender<Entry>,
    gaps: mpsc::Sender<Arc<str>>,
    /// Presence has changed here.
    pub(crate) changed: Notify,
    /// Redis is connected.
    pub(crate) is_up: AtomicBool,
    /// Something was not told to the others, who have to look for themselves.
    pub(crate) has_dropped: AtomicBool,
    /// Somebody wants to know who is present here.
    pub(crate) is_asked: AtomicBool,
    /// It is not known who is present elsewhere.
    pub(crate) asks: AtomicBool,
    /// All rooms are to be compared with the store.
    pub(crate) check: Notify,
    pub(crate) numbers: Numbers,
}

impl Cluster {
    pub(crate) fn new(
        node: Box<str>,
        entries: mpsc::Sender<Entry>,
        gaps: mpsc::Sender<Arc<str>>,
    ) -> Self {
        Self {
            node,
            entries,
            gaps,
            changed: Notify::new(),
            is_up: AtomicBool::new(false),
            has_dropped: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            asks: AtomicBool::new(false),
            check: Notify::new(),
            numbers: Numbers::default(),
        }
    }

    /// Tells every other process, as soon as may be. While Redis is away nothing is told: what is
    /// kept will be found in the store, and the rest is not worth telling late.
    pub(crate) fn tell(&self, entry: Entry) {
        if !self.is_up() || self.entries.try_send(entry).is_err() {
            self.numbers.dropped();
            self.has_dropped.store(true, Relaxed);
        }
    }

    /// Whether Redis is connected.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// Has a room looked up in the store: something is missing here, or may be.
    pub(crate) fn look_up(&self, room: Arc<str>) -> bool {
        self.gaps.try_send(room).is_ok()
    }

    /// The state of the link as text for Prometheus.
    pub(crate) fn render(&self, others: usize) -> String {
        self.numbers.render(self.is_up(), others)
    }
}

/// That somebody has come to a room, or gone.
pub(crate) fn presence_letter(room: &str, name: &str, is_here: bool) -> Letter {
    let event = if is_here { "presence:online" } else { "presence:offline" };
    Letter::event(event, json!({"room": room, "user": {"name": name}}).to_string())
}
