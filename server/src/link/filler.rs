//! Looks into the store for what did not come over the stream.
//! In: rooms in which something is missing; the time. Out: what was missing, told in order.
//! While Redis is away this is how processes hear of each other: once a second, by one query for
//! the newest numbers of the rooms that somebody is in.
//! Leaves to others: what is done with it (`delivery`).

use super::GAPS;
use crate::hub::Hub;
use crate::store::RoomId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Time that a message may take from one process to another by the stream, before the store is
/// asked for it.
const PATIENCE: Duration = Duration::from_millis(50);

/// Events read at a time.
const EVENTS: i64 = 256;

/// Rooms that are looked up at the same time; the store has as many connections again for others.
const LOOKERS: usize = 3;

/// Time between two looks at all rooms while Redis is away.
const CHECK_DOWN: Duration = Duration::from_secs(1);

/// The same while it is there: finds what a process kept and died before it told of it.
const CHECK_UP: Duration = Duration::from_secs(3);

/// Looks up rooms for as long as somebody may ask for it.
pub(super) async fn run(hub: Arc<Hub>, mut gaps: mpsc::Receiver<Arc<str>>) {
    let Some(cluster) = hub.cluster.clone() else { return };
    let places = Arc::new(Semaphore::new(LOOKERS));
    let mut lookers = JoinSet::new();
    let mut ticks = interval(CHECK_DOWN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut checked = Instant::now();
    loop {
        let is_due = tokio::select! {
            Some(room) = gaps.recv(), if lookers.len() < GAPS => {
                lookers.spawn(look(hub.clone(), room, places.clone()));
                false
            }
            Some(_) = lookers.join_next() => false,
            () = cluster.check.notified() => true,
            _ = ticks.tick() => !cluster.is_up() || checked.elapsed() >= CHECK_UP,
        };
        if is_due {
            checked = Instant::now();
            check(&hub).await;
        }
    }
}

/// Reads what a room has more than was told here.
async fn look(hub: Arc<Hub>, room: Arc<str>, places: Arc<Semaphore>) {
    if hub.cluster.as_ref().is_some_and(|cluster| cluster.is_up()) {
        sleep(PATIENCE).await;
    }
    let _place = places.acquire().await;
    while let Some((id, seq, known)) = hub.place_of(&room) {
        let after = i64::try_from(seq).unwrap_or(i64::MAX);
        match hub.store.events_after(id, after, EVENTS).await {
            Ok(replay) if hub.catch_up(&room, &replay, known) => {}
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(%error, room = &*room, "what was missed cannot be read");
                break;
            }
        }
    }
    hub.ends_to_look(&room);
}

impl Hub {
    /// Tells a room everything up to a number, which a client that comes from another process knows
    /// already: it would hear again what is late here.
    pub(crate) async fn reach(&self, name: &str, number: u64) {
        let room: Arc<str> = name.into();
        while let Some((id, seq, known)) = self.place_of(name).filter(|(_, seq, _)| *seq < number) {
            let after = i64::try_from(seq).unwrap_or(i64::MAX);
            match self.store.events_after(id, after, EVENTS).await {
                Ok(replay) if self.catch_up(&room, &replay, known) => {}
                // Nothing more is there, or cannot be read: then the client asks again.
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Compares the newest number of every room with what was told here.
async fn check(hub: &Hub) {
    let places = hub.places();
    let ids: Vec<RoomId> = places.iter().map(|(_, id)| *id).collect();
    match hub.store.newest(&ids).await {
        Ok(newest) => {
            for (room, id) in &places {
                if let Some(number) = newest.get(id) {
                    hub.know(room, u64::try_from(*number).unwrap_or(0));
                }
            }
        }
        Err(error) => tracing::warn!(%error, "rooms cannot be compared with the store"),
    }
}
