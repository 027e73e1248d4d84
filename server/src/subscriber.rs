//! One client as the rooms see it: a name, the rooms it is in, and the frames that wait for it.
//! In: frames, pushed by whoever speaks. Out: the same in order, taken by the client's session.
//! The queue is bounded in bytes; who overflows it is to be closed, and nobody else notices.
//! Leaves to others: making one (`hub`), writing to the socket (`session`).

use crate::auth::Identity;
use crate::letter::Dialect;
use crate::store::UserId;
use ebbtide_probe::Guard;
use ebbtide_socketio::{Frame, Text};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Frames for which a client has room from the start; more are spilled into a queue of their
/// own that is given back when it is empty. Most clients never have more waiting.
pub(crate) const SLOTS: usize = 32;

/// Bytes counted for a frame besides its content: its place in the queue.
const PLACE_BYTES: usize = size_of::<Frame>();

/// Why a client is to be closed from this side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// It does not read as fast as it is written to.
    Slow,
    /// The server stops.
    Stopping,
    /// It has gone already.
    Gone,
}

/// One client as the rooms see it.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    /// How it is spoken to.
    pub(crate) dialect: Dialect,
    /// Something has changed that its session is to look at.
    pub(crate) ready: Notify,
    max_bytes: usize,
    state: Mutex<State>,
    _counted: Guard,
}

#[derive(Debug)]
struct State {
    /// Never grows beyond its [`SLOTS`].
    slots: VecDeque<Frame>,
    /// What came when the slots were full; newer than all of them.
    spill: VecDeque<Frame>,
    bytes: usize,
    ending: Option<Ending>,
    name: Option<Box<str>>,
    rooms: Vec<Arc<str>>,
    /// What it comes back with, when it may come back.
    ticket: Option<Text>,
    /// The account, unless it is a guest.
    identity: Option<Box<Identity>>,
    /// It is in the namespace of notifications.
    notified: bool,
}

/// The memory of a client, all made by who subscribes it.
#[derive(Debug)]
pub(crate) struct Places {
    /// [`SLOTS`] frames.
    pub(crate) slots: VecDeque<Frame>,
    /// The few rooms most clients are in.
    pub(crate) rooms: Vec<Arc<str>>,
    /// Its place in the census.
    pub(crate) counted: Guard,
}

/// What the session is to do next.
#[derive(Debug)]
pub(crate) enum Next {
    Write(Frame),
    Close(Ending),
    Wait,
}

impl Subscriber {
    /// A client of the given number for which `max_bytes` may wait, in no room yet.
    #[inline]
    pub(crate) fn new(id: u64, dialect: Dialect, max_bytes: usize, places: Places) -> Self {
        let Places { slots, rooms, counted } = places;
        let (spill, bytes, ending) = (VecDeque::new(), 0, None);
        let (name, ticket, identity, notified) = (None, None, None, false);
        let state = State { slots, spill, bytes, ending, name, rooms, ticket, identity, notified };
        let state = Mutex::new(state);
        Self { id, dialect, ready: Notify::new(), max_bytes, state, _counted: counted }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues frames that belong together. False when the client is ending, or is now.
    pub(crate) fn push(&self, frames: &[Frame]) -> bool {
        let mut state = self.state();
        if state.ending.is_some() {
            return false;
        }
        for frame in frames {
            state.bytes += frame.len() + PLACE_BYTES;
            if state.slots.len() < SLOTS && state.spill.is_empty() {
                state.slots.push_back(frame.clone());
            } else {
                state.spill.push_back(frame.clone());
            }
        }
        if state.bytes > self.max_bytes {
            end(&mut state, Ending::Slow);
        }
        let taken = state.ending.is_none();
        drop(state);
        self.ready.notify_one();
        taken
    }

    /// Bytes that wait, places included.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.state().bytes
    }

    /// Queues a text.
    pub(crate) fn push_text(&self, text: Text) -> bool {
        self.push(&[Frame::Text(text)])
    }

    /// The next thing to do for the client. Waiting messages go before an ending, except when
    /// the ending has thrown them away.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.state();
        if state.slots.is_empty() && !state.spill.is_empty() {
            let moved = state.spill.len().min(SLOTS);
            let State { slots, spill, .. } = &mut *state;
            slots.extend(spill.drain(..moved));
            if spill.is_empty() {
                *spill = VecDeque::new();
            }
        }
        match state.slots.pop_front() {
            Some(frame) => {
                state.bytes -= frame.len() + PLACE_BYTES;
                Next::Write(frame)
            }
            None => state.ending.map_or(Next::Wait, Next::Close),
        }
    }

    /// Ends the client. The first reason stands; what waits is thrown away unless the server
    /// stops in good order.
    pub(crate) fn end(&self, ending: Ending) {
        end(&mut self.state(), ending);
        self.ready.notify_one();
    }

    /// Why the client is to be closed now, whatever waits for it.
    pub(crate) fn cut(&self) -> Option<Ending> {
        self.state().ending.filter(|&ending| ending != Ending::Stopping)
    }

    /// The name the client has taken last becomes `name`; gives the one before, if it was another.
    pub(crate) fn rename(&self, name: &str) -> Option<Option<Box<str>>> {
        let mut state = self.state();
        if state.name.as_deref() == Some(name) {
            return None;
        }
        Some(state.name.replace(name.into()))
    }

    /// What the client is called.
    pub(crate) fn name(&self) -> Option<Box<str>> {
        self.state().name.clone()
    }

    /// The account, unless it is a guest.
    pub(crate) fn identity(&self) -> Option<Box<Identity>> {
        self.state().identity.clone()
    }

    /// The number of the account, unless it is a guest.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.state().identity.as_ref().map(|identity| identity.user)
    }

    /// From now on the client is this account.
    pub(crate) fn identify(&self, identity: Identity) {
        self.state().identity = Some(Box::new(identity));
    }

    /// From now on the client is no account; gives the one it was.
    pub(crate) fn take_identity(&self) -> Option<Box<Identity>> {
        self.state().identity.take()
    }

    /// The client's account is called so from now on.
    pub(crate) fn call_identity(&self, name: &str) {
        if let Some(identity) = &mut self.state().identity {
            identity.name = name.to_owned();
        }
    }

    /// From now on the client hears notifications, or no more.
    pub(crate) fn set_notified(&self, notified: bool) {
        self.state().notified = notified;
    }

    /// Whether the client hears notifications as events.
    pub(crate) fn is_notified(&self) -> bool {
        self.state().notified
    }

    /// Whether what the client identified itself by is no longer good.
    pub(crate) fn has_expired(&self, now_ms: u64) -> bool {
        self.state().identity.as_ref().is_some_and(|identity| identity.expires_ms <= now_ms)
    }

    /// What the client may come back with.
    pub(crate) fn ticket(&self) -> Option<Text> {
        self.state().ticket.clone()
    }

    /// From now on the client may come back with this, or no more.
    pub(crate) fn set_ticket(&self, ticket: Option<Text>) {
        self.state().ticket = ticket;
    }

    /// Whether the client is called `name`.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.state().name.as_deref() == Some(name)
    }

    /// Whether the client is in this room.
    pub(crate) fn is_in(&self, room: &str) -> bool {
        self.state().rooms.iter().any(|own| **own == *room)
    }

    /// Runs `change` on the rooms the client is in.
    pub(crate) fn with_rooms<T>(&self, change: impl FnOnce(&mut Vec<Arc<str>>) -> T) -> T {
        change(&mut self.state().rooms)
    }
}

fn end(state: &mut State, ending: Ending) {
    // A client that is being said goodbye to may still turn out slow, or go.
    if state.ending.is_none_or(|before| before == Ending::Stopping) {
        state.ending = Some(ending);
    }
    if ending != Ending::Stopping {
        state.slots.clear();
        state.spill = VecDeque::new();
        state.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_probe::{Kind, track};

    fn subscriber(max_bytes: usize) -> Subscriber {
        let slots = VecDeque::with_capacity(SLOTS);
        let places = Places { slots, rooms: Vec::new(), counted: track(Kind::Listener) };
        Subscriber::new(1, Dialect::Plain, max_bytes, places)
    }

    fn text_of(frame: &Frame) -> String {
        let Frame::Text(text) = frame else { panic!("{frame:?}") };
        text.to_string()
    }

    fn taken(subscriber: &Subscriber) -> Vec<String> {
        let mut texts = Vec::new();
        while let Next::Write(frame) = subscriber.next() {
            texts.push(text_of(&frame));
        }
        texts
    }

    #[test]
    fn order_is_kept_across_slots_and_spill() {
        let subscriber = subscriber(1 << 20);
        let sent: Vec<String> = (0..SLOTS * 3 + 5).map(|n| n.to_string()).collect();
        let (first, second) = sent.split_at(SLOTS + 7);
        first.iter().for_each(|text| assert!(subscriber.push_text(text.as_str().into())));
        let Next::Write(head) = subscriber.next() else { panic!("nothing waits") };
        second.iter().for_each(|text| assert!(subscriber.push_text(text.as_str().into())));
        let mut got = vec![text_of(&head)];
        got.extend(taken(&subscriber));
        assert_eq!(got, sent);
        assert_eq!(subscriber.state().spill.capacity(), 0, "the spill is given back");
        assert_eq!(subscriber.state().bytes, 0);
    }

    #[test]
    fn an_overflow_ends_the_client_and_frees_what_waited() {
        let subscriber = subscriber(10 * (PLACE_BYTES + 1));
        for _ in 0..10 {
            assert!(subscriber.push_text("x".into()));
        }
        assert!(!subscriber.push_text("x".into()), "one too many");
        assert_eq!(subscriber.cut(), Some(Ending::Slow));
        assert!(matches!(subscriber.next(), Next::Close(Ending::Slow)));
        assert!(!subscriber.push_text("x".into()));
    }

    #[test]
    fn stopping_lets_what_waits_go_first() {
        let subscriber = subscriber(1 << 20);
        subscriber.push_text("last words".into());
        subscriber.end(Ending::Stopping);
        assert_eq!(subscriber.cut(), None);
        assert_eq!(taken(&subscriber), ["last words"]);
        assert!(matches!(subscriber.next(), Next::Close(Ending::Stopping)));
    }
}
