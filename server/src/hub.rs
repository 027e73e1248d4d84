//! Where messages meet those they are for.
//! In: clients that subscribe, enter and leave rooms, and letters to rooms. Out: the same bytes in
//! the queue of everyone in the room, the speaker included; encoded once for each dialect.
//! Leaves to others: the clients' sockets (`session`, `sio`), what is said (`speech`).

use crate::auth::access::{self, Action, Who};
use crate::cluster::{self, Cluster, Entry, Others};
use crate::fault::{Fault, Faults};
use crate::letter::{Dialect, Letter};
use crate::mailbox::Mailboxes;
use crate::message::{self, Refusal};
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::recent::Recent;
use crate::recovery::{Audience, Recovery};
use crate::rooms::{Room, Rooms};
use crate::store::{Room as Kept, RoomView, Store, StoreError};
use crate::subscriber::{Ending, Places, SLOTS, Subscriber};
use ebbtide_probe::{Kind, track};
use ebbtide_socketio::{Frame, Text};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

/// Rooms most clients are in at most; room for their names is made at once.
const ROOMS_MOSTLY: usize = 4;

/// How a client entered a room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered {
    /// Of the newest message that was told before.
    pub(crate) seq: u64,
    /// Whether somebody was there already; otherwise what is being kept just now may be heard and
    /// have a number up to this one.
    pub(crate) was_known: bool,
}

/// Where messages meet those they are for.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    pub(crate) store: Store,
    pub(crate) recent: Recent,
    pub(crate) faults: Arc<Faults>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) notices: Notices,
    /// The other processes, if this one is not alone.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) bounds: Bounds,
    next_id: AtomicU64,
}

/// What is said and who hears it, under one lock: everyone sees the messages of a room in one
/// order.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rooms: Rooms,
    /// Who is present at the other processes.
    pub(crate) others: Others,
    pub(crate) recovery: Recovery,
}

/// What the hub keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) queue_bytes: usize,
    pub(crate) rooms_per_client: usize,
    pub(crate) rooms: usize,
    /// Guests may come, and make rooms by entering them.
    pub(crate) open: bool,
}

impl Hub {
    pub(crate) fn new(
        rooms: Rooms,
        (store, recent, cluster): (Store, Recent, Option<Arc<Cluster>>),
        bounds: Bounds,
        faults: Arc<Faults>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (others, recovery) = (Others::default(), Recovery::default());
        let state = Mutex::new(State { rooms, others, recovery });
        let next_id = AtomicU64::new(1);
        let (mailboxes, notices) = (Mailboxes::default(), Notices::default());
        Arc::new(Self {
            state,
            store,
            recent,
            faults,
            metrics,
            cluster,
            mailboxes,
            notices,
            bounds,
            next_id,
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a new client known: what is said in the rooms it enters will wait in its queue, all
    /// of whose places are made here. The client is forgotten when the subscription is dropped.
    #[inline(never)]
    pub(crate) fn subscribe(self: &Arc<Self>, dialect: Dialect) -> Subscription {
        let id = self.next_id.fetch_add(1, Relaxed);
        let slots = VecDeque::with_capacity(SLOTS);
        let rooms = Vec::with_capacity(ROOMS_MOSTLY);
        let places = Places { slots, rooms, counted: track(Kind::Listener) };
        let subscriber = Subscriber::new(id, dialect, self.bounds.queue_bytes, places);
        Subscription { hub: self.clone(), subscriber: Arc::new(subscriber) }
    }

    /// Puts the client into the room, which is made when it is not there. Gives the number of the
    /// newest message that it will not hear: it hears all that follow.
    pub(crate) async fn enter(
        &self,
        name: &str,
        client: &Arc<Subscriber>,
    ) -> Result<Entered, Refusal> {
        message::check_room(name)?;
        let is_known = self.with_rooms(|rooms| {
            if !rooms.contains(name) && rooms.len() >= self.bounds.rooms {
                return Err(Refusal::NoMoreRooms(self.bounds.rooms));
            }
            Ok(rooms.room(name).is_some_and(|room| room.id.is_some() && room.is_public))
        })?;
        // Who is let in to a room that is not for all is asked of the store each time.
        let kept = if is_known { None } else { Some(self.admit(name, client).await?) };
        let mut state = self.state();
        let entered = client.with_rooms(|own| {
            if own.iter().any(|room| **room == *name) {
                return Ok(None);
            }
            if own.len() >= self.bounds.rooms_per_client {
                return Err(Refusal::TooManyRooms(self.bounds.rooms_per_client));
            }
            let entered = state.rooms.enter(name, client);
            own.extend(entered.clone());
            Ok(entered)
        })?;
        let found = state.rooms.room_mut(name);
        // In a cluster what is missing comes by itself, in order, whoever said it.
        let is_new = found.as_ref().is_none_or(|room| room.id.is_none());
        let was_known = self.cluster.is_some() || !is_new;
        let seq = found.map_or(0, |room| {
            kept.iter().for_each(|kept| room.know(kept));
            room.seq
        });
        if let Some(room) = entered {
            self.mark(&mut state, &room, None);
            if is_new {
                self.look_into(&room);
            }
            if let Some(name) = client.name() {
                self.arrive(&mut state, &room, &name, client.id);
            }
        }
        Ok(Entered { seq, was_known })
    }

    /// What is kept of a room that the client may enter.
    async fn admit(&self, name: &str, client: &Subscriber) -> Result<Kept, Refusal> {
        let identity = client.identity();
        let who = Who { identity: identity.as_deref(), open: self.bounds.open };
        let user = identity.as_ref().map(|identity| identity.user);
        let failed = |error: StoreError| Refusal::of(&error);
        let view = match self.store.room(name, user).await.map_err(failed)? {
            Some(view) => view,
            None if self.bounds.open => {
                let room = self.store.ensure_room(name, true).await.map_err(failed)?;
                RoomView { room, role: None }
            }
            None => return Err(Refusal::NoRoom(name.to_owned())),
        };
        access::may(who, Action::See, &view)
            .map_err(|denied| Refusal::Denied(denied.to_string()))?;
        Ok(view.room)
    }

    /// Takes the client out of the room, if it is in it.
    pub(crate) fn leave(&self, name: &str, client: &Subscriber) {
        let mut state = self.state();
        let left = client.with_rooms(|own| {
            let at = own.iter().position(|room| **room == *name)?;
            Some(own.remove(at))
        });
        if let Some(room) = left {
            self.remove(&mut state, &room, client);
        }
    }

    /// Takes the client out of every room; gives the rooms.
    pub(crate) fn leave_all(&self, client: &Subscriber) -> Vec<Arc<str>> {
        let mut state = self.state();
        let rooms = client.with_rooms(std::mem::take);
        for room in &rooms {
            self.remove(&mut state, room, client);
        }
        rooms
    }

    fn remove(&self, state: &mut State, room: &Arc<str>, client: &Subscriber) {
        let ended = state.rooms.leave(room, client.id);
        self.mark(state, room, None);
        let name = client.name();
        let Some(ended) = ended else {
            if let Some(name) = name {
                self.depart(state, room, &name, client.id);
            }
            return;
        };
        if let Some(name) = name {
            self.mark(state, room, Some((&name, false)));
        }
        self.recent.forget(room);
        if ended.id.is_some_and(|id| self.vacates(state, room, id)) {
            return;
        }
        // A server that has no runtime any more has no rooms to keep in order either.
        if let (Some(id), Ok(runtime)) = (ended.id, Handle::try_current()) {
            let store = self.store.clone();
            runtime.spawn(async move {
                if let Err(error) = store.forget_ephemeral(id).await {
                    tracing::warn!(%error, "an empty room could not be forgotten");
                }
            });
        }
    }

    /// The client is called so from now on, in all its rooms.
    pub(crate) fn call(&self, client: &Subscriber, name: &str) {
        let Some(before) = client.rename(name) else { return };
        let mut state = self.state();
        for room in client.with_rooms(|rooms| rooms.clone()) {
            if let Some(before) = &before {
                self.depart(&mut state, &room, before, client.id);
            }
            self.arrive(&mut state, &room, name, client.id);
        }
    }

    fn arrive(&self, state: &mut State, room: &Arc<str>, name: &str, id: u64) {
        if state.rooms.room_mut(room).is_some_and(|room| room.arrive(name)) {
            self.mark(state, room, Some((name, true)));
            if !state.others.has(room, name) {
                let letter = cluster::presence_letter(room, name, true);
                self.broadcast(state, room, &letter, Some(id));
            }
        }
    }

    fn depart(&self, state: &mut State, room: &Arc<str>, name: &str, id: u64) {
        if state.rooms.room_mut(room).is_some_and(|room| room.depart(name)) {
            self.mark(state, room, Some((name, false)));
            if !state.others.has(room, name) {
                let letter = cluster::presence_letter(room, name, false);
                self.broadcast(state, room, &letter, Some(id));
            }
        }
    }

    /// Tells everyone in a room, but one if so wished.
    pub(crate) fn publish(&self, room: &str, letter: &Letter, but: Option<u64>) {
        let mut state = self.state();
        let key = state.rooms.shared_name(room);
        if let Some(room) = key {
            self.broadcast(&mut state, &room, letter, but);
        }
    }

    /// Hands a letter to everyone in a room, but one if so wished, in every one's dialect.
    pub(crate) fn broadcast(
        &self,
        state: &mut State,
        room: &Arc<str>,
        letter: &Letter,
        but: Option<u64>,
    ) {
        let dropped = self.faults.strikes(Fault::Drop);
        let State { rooms, recovery, .. } = state;
        let Some(found) = rooms.room(room) else { return };
        let number = recovery.next_number();
        let frames = letter.frames(number);
        recovery.keep(number, Audience::Room(room.clone()), &frames);
        if dropped {
            return;
        }
        let taken = hand_over(found, letter, &frames, but);
        self.metrics.messages_out(taken);
    }

    /// Hands a letter to everyone of a name in a room, and to the client that sent it; false when
    /// nobody there is called so. One that was sent here goes to the other processes, too.
    pub(crate) fn whisper(&self, room: &str, to: &str, letter: &Letter, from: Option<u64>) -> bool {
        let dropped = self.faults.strikes(Fault::Drop);
        let mut state = self.state();
        let State { rooms, others, recovery } = &mut *state;
        let cluster = self.cluster.as_ref().filter(|_| from.is_some() && others.has(room, to));
        if let Some(cluster) = cluster {
            let (room, to, letter) = (room.to_owned(), to.to_owned(), letter.written());
            cluster.tell(Entry::Whispered { room, to, letter });
        }
        let Some(room) = rooms.room(room) else { return false };
        let is_meant = |client: &&Arc<Subscriber>| client.is_called(to);
        let mut found: Vec<_> = room.members.values().filter(is_meant).collect();
        if found.is_empty() && cluster.is_none() {
            return false;
        }
        let own = from.and_then(|id| room.members.get(&id));
        found.extend(own.filter(|own| !own.is_called(to)));
        let number = recovery.next_number();
        let frames = letter.frames(number);
        recovery.keep(number, Audience::Name(to.into()), &frames);
        let plain = letter.plain().cloned().map(Frame::Text);
        let taken = found.iter().filter(|one| match one.dialect {
            Dialect::Events => !dropped && one.push(&frames),
            Dialect::Plain => {
                !dropped && plain.iter().all(|text| one.push(std::slice::from_ref(text)))
            }
        });
        self.metrics.messages_out(taken.count());
        true
    }

    /// Gives a client what it may come back with.
    pub(crate) fn enrol(&self, ticket: Text, client: &Arc<Subscriber>) {
        client.set_ticket(Some(ticket.clone()));
        self.state().recovery.enrol(ticket, client);
    }

    /// The client will not come back with its ticket: it said goodbye.
    pub(crate) fn discharge(&self, client: &Subscriber) {
        if let Some(ticket) = client.ticket() {
            client.set_ticket(None);
            self.state().recovery.forget(&ticket);
        }
    }

    /// Gives a client that comes back its name, its rooms, and in its queue what it missed in them.
    /// None when that is no longer known: then it begins anew. Rooms that were given up meanwhile,
    /// as nobody was in them, are to be entered again.
    pub(crate) fn readmit(
        &self,
        client: &Arc<Subscriber>,
        ticket: &Text,
        offset: u64,
    ) -> Option<Vec<Arc<str>>> {
        let mut state = self.state();
        // Half of its queue: the other half is for what is said meanwhile.
        let most = self.bounds.queue_bytes / 2;
        let user = client.identity().map(|identity| identity.user);
        let recovered = state.recovery.recover((ticket, user), offset, most)?;
        let is_left = |room: &Arc<str>| !state.rooms.contains(room);
        if self.cluster.is_some() && recovered.rooms.iter().any(is_left) {
            // What was said there meanwhile at other processes was not heard here.
            return None;
        }
        let mut given_up = Vec::new();
        if let Some(former) = &recovered.former {
            former.set_ticket(None);
            former.end(Ending::Gone);
            former.ready.notify_one();
        }
        state.recovery.enrol(ticket.detached(), client);
        client.set_ticket(Some(ticket.detached()));
        if let Some(name) = &recovered.name {
            client.rename(name);
        }
        client.push(&recovered.missed);
        for room in &recovered.rooms {
            if !state.rooms.contains(room) {
                given_up.push(room.clone());
                continue;
            }
            if let Some(room) = state.rooms.enter(room, client) {
                client.with_rooms(|own| own.push(room.clone()));
                if let Some(name) = &recovered.name {
                    self.arrive(&mut state, &room, name, client.id);
                }
            }
        }
        Some(given_up)
    }

    /// The newest messages of a room that is there, oldest first.
    pub(crate) fn history(&self, name: &str, limit: usize) -> Option<Vec<Text>> {
        self.state().rooms.contains(name).then(|| self.recent.newest(name, limit))
    }

    /// Bytes that wait for the clients in rooms: of all, and of the one that has most. The lock is
    /// held for one room at a time, and queues are looked at without it.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let names = self.with_rooms(Rooms::names);
        let mut seen = BTreeMap::new();
        for name in names {
            let members = self.with_rooms(|rooms| {
                let room = rooms.room(&name)?;
                Some(room.members.values().cloned().collect::<Vec<_>>())
            });
            // A client in several rooms has one queue.
            seen.extend(members.into_iter().flatten().map(|one| (one.id, one.queued_bytes())));
        }
        (seen.values().sum(), seen.values().copied().max().unwrap_or(0))
    }

    /// Runs `read` over the rooms.
    pub(crate) fn with_rooms<T>(&self, read: impl FnOnce(&Rooms) -> T) -> T {
        read(&self.state().rooms)
    }
}

/// Queues a letter for everyone in a room but one; gives how many took it.
fn hand_over(room: &Room, letter: &Letter, frames: &[Frame], but: Option<u64>) -> usize {
    let text = letter.plain().cloned().map(Frame::Text);
    let text = text.as_slice();
    let members = room.members.values().filter(|one| but != Some(one.id));
    let taken = members.filter(|one| {
        let own = match one.dialect {
            Dialect::Plain => text,
            Dialect::Events => frames,
        };
        !own.is_empty() && one.push(own)
    });
    taken.count()
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
        // way is what follows it.
        if self.hub.faults.strikes(Fault::Listener) {
            return;
        }
        if let Some(identity) = self.subscriber.identity() {
            self.hub.mailboxes.leave(identity.user, &self.subscriber);
        }
        let rooms = self.hub.leave_all(&self.subscriber);
        if let Some(ticket) = self.subscriber.ticket() {
            self.hub.state().recovery.leave(&ticket, &self.subscriber, rooms);
        }
    }
}
