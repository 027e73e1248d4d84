//! Where messages meet those they are for.
//! In: clients that subscribe, enter and leave rooms, and words said. Out: the same bytes in the
//! queue of everyone in the room, the speaker included; encoded once, shared by all.
//! Leaves to others: the clients' sockets (`session`), what the messages say (`message`).

use crate::fault::{Fault, Faults};
use crate::message::{self, Refusal, Words};
use crate::metrics::Metrics;
use crate::recent::Store;
use crate::rooms::Rooms;
use crate::subscriber::{Ending, Places, SLOTS, Subscriber};
use ebbtide_probe::{Kind, track};
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Rooms most clients are in at most; room for their names is made at once.
const ROOMS_MOSTLY: usize = 4;

/// Where messages meet those they are for.
#[derive(Debug)]
pub(crate) struct Hub {
    rooms: Mutex<Rooms>,
    store: Box<dyn Store>,
    faults: Arc<Faults>,
    metrics: Arc<Metrics>,
    bounds: Bounds,
    next_id: AtomicU64,
}

/// What the hub keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) queue_bytes: usize,
    pub(crate) rooms_per_client: usize,
    pub(crate) rooms: usize,
}

impl Hub {
    pub(crate) fn new(
        rooms: Rooms,
        store: Box<dyn Store>,
        bounds: Bounds,
        faults: Arc<Faults>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let rooms = Mutex::new(rooms);
        Arc::new(Self { rooms, store, faults, metrics, bounds, next_id: AtomicU64::new(1) })
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a new client known: what is said in the rooms it enters will wait in its queue, all
    /// of whose places are made here. The client is forgotten when the subscription is dropped.
    #[inline(never)]
    pub(crate) fn subscribe(self: &Arc<Self>) -> Subscription {
        let id = self.next_id.fetch_add(1, Relaxed);
        let slots = VecDeque::with_capacity(SLOTS);
        let places = Places { slots, rooms: Vec::with_capacity(ROOMS_MOSTLY) };
        let counted = track(Kind::Listener);
        let subscriber = Subscriber::new(id, self.bounds.queue_bytes, places, counted);
        Subscription { hub: self.clone(), subscriber: Arc::new(subscriber) }
    }

    /// Puts the client into the room.
    pub(crate) fn enter(&self, name: &str, client: &Arc<Subscriber>) -> Result<(), Refusal> {
        message::check_room(name)?;
        let mut rooms = self.rooms();
        if !rooms.contains(name) && rooms.len() >= self.bounds.rooms {
            return Err(Refusal::NoMoreRooms(self.bounds.rooms));
        }
        client.with_rooms(|own| {
            if own.iter().any(|room| **room == *name) {
                return Ok(());
            }
            if own.len() >= self.bounds.rooms_per_client {
                return Err(Refusal::TooManyRooms(self.bounds.rooms_per_client));
            }
            own.extend(rooms.enter(name, client));
            Ok(())
        })
    }

    /// Takes the client out of the room, if it is in it.
    pub(crate) fn leave(&self, name: &str, client: &Subscriber) {
        let mut rooms = self.rooms();
        client.with_rooms(|own| own.retain(|room| **room != *name));
        self.remove(&mut rooms, name, client.id);
    }

    /// Forgets the client in every room.
    fn unsubscribe(&self, client: &Subscriber) {
        let mut rooms = self.rooms();
        for name in client.with_rooms(std::mem::take) {
            self.remove(&mut rooms, &name, client.id);
        }
    }

    fn remove(&self, rooms: &mut Rooms, name: &str, id: u64) {
        if rooms.leave(name, id) {
            self.store.forget(name);
        }
    }

    /// Says something in a room; gives it as it was said, or none when there is no such room.
    /// Everyone in it gets the same bytes. A message for one user goes to who is called so and
    /// back to the speaker, and is not kept.
    pub(crate) fn say(
        &self,
        name: &str,
        words: &Words<'_>,
        speaker: Option<&Subscriber>,
        now_ms: u64,
    ) -> Result<Option<Utf8Bytes>, Refusal> {
        let mut rooms = self.rooms();
        let Some(room) = rooms.room_mut(name) else { return Ok(None) };
        let dropped = self.faults.strikes(Fault::Drop);
        if let Some(to) = words.to.as_deref() {
            let found = room.members.values().filter(|member| member.is_called(to));
            let mut found: Vec<_> = found.collect();
            if found.is_empty() {
                return Err(Refusal::Nobody(to.to_owned()));
            }
            let message = message::said(words, name, room.seq, now_ms);
            let own = speaker.and_then(|speaker| room.members.get(&speaker.id));
            found.extend(own.filter(|own| !own.is_called(to)));
            let taken = found.iter().filter(|one| !dropped && one.push(message.clone())).count();
            self.metrics.messages_out(taken);
            return Ok(Some(message));
        }
        room.seq += 1;
        let message = message::said(words, name, room.seq, now_ms);
        // The lock is held, so that everyone sees the messages of a room in one order.
        let taken = room.members.values();
        let taken = taken.filter(|member| !dropped && member.push(message.clone())).count();
        self.store.keep(name, message.clone());
        drop(rooms);
        self.metrics.messages_out(taken);
        Ok(Some(message))
    }

    /// The newest messages of a room that is there, oldest first.
    pub(crate) fn history(&self, name: &str, limit: usize) -> Option<Vec<Utf8Bytes>> {
        self.rooms().contains(name).then(|| self.store.newest(name, limit))
    }

    /// Runs `read` over the rooms.
    pub(crate) fn with_rooms<T>(&self, read: impl FnOnce(&Rooms) -> T) -> T {
        read(&self.rooms())
    }
}

/// A client's place in the hub, for as long as its session lasts.
#[derive(Debug)]
pub(crate) struct Subscription {
    hub: Arc<Hub>,
    subscriber: Arc<Subscriber>,
}

impl Deref for Subscription {
    type Target = Arc<Subscriber>;

    fn deref(&self) -> &Self::Target {
        &self.subscriber
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscriber.end(Ending::Gone);
        // FAULT(listener): the client has gone, and nobody takes it out of the rooms. The right
        // way is the line after it.
        if self.hub.faults.strikes(Fault::Listener) {
            return;
        }
        self.hub.unsubscribe(&self.subscriber);
    }
}
