//! One client as the rooms see it: a name, the rooms it is in, and the messages that wait for it.
//! In: messages, pushed by whoever speaks. Out: the same in order, taken by the client's session.
//! The queue is bounded in bytes; who overflows it is to be closed, and nobody else notices.
//! Leaves to others: making one (`hub`), writing to the socket (`session`).

use ebbtide_probe::Guard;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Messages for which a client has room from the start; more are spilled into a queue of their
/// own that is given back when it is empty. Most clients never have more waiting.
pub(crate) const SLOTS: usize = 32;

/// Bytes counted for a message besides its text: its place in the queue.
const PLACE_BYTES: usize = size_of::<Utf8Bytes>();

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
    pub(crate) ready: Notify,
    max_bytes: usize,
    state: Mutex<State>,
    _counted: Guard,
}

#[derive(Debug)]
struct State {
    /// Never grows beyond its [`SLOTS`].
    slots: VecDeque<Utf8Bytes>,
    /// What came when the slots were full; newer than all of them.
    spill: VecDeque<Utf8Bytes>,
    bytes: usize,
    ending: Option<Ending>,
    name: Option<Box<str>>,
    rooms: Vec<Arc<str>>,
}

/// The memory of a client, all made by who subscribes it.
#[derive(Debug)]
pub(crate) struct Places {
    /// [`SLOTS`] messages.
    pub(crate) slots: VecDeque<Utf8Bytes>,
    /// The few rooms most clients are in.
    pub(crate) rooms: Vec<Arc<str>>,
}

/// What the session is to do next.
#[derive(Debug)]
pub(crate) enum Next {
    Write(Utf8Bytes),
    Close(Ending),
    Wait,
}

impl Subscriber {
    /// A client of the given number for which `max_bytes` may wait, in no room yet.
    #[inline]
    pub(crate) fn new(id: u64, max_bytes: usize, places: Places, counted: Guard) -> Self {
        let Places { slots, rooms } = places;
        let (spill, bytes, ending, name) = (VecDeque::new(), 0, None, None);
        let state = Mutex::new(State { slots, spill, bytes, ending, name, rooms });
        Self { id, ready: Notify::new(), max_bytes, state, _counted: counted }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message. False when the client is ending, or is now.
    pub(crate) fn push(&self, message: Utf8Bytes) -> bool {
        let mut state = self.state();
        if state.ending.is_some() {
            return false;
        }
        state.bytes += message.len() + PLACE_BYTES;
        if state.bytes > self.max_bytes {
            end(&mut state, Ending::Slow);
        } else if state.slots.len() < SLOTS && state.spill.is_empty() {
            state.slots.push_back(message);
        } else {
            state.spill.push_back(message);
        }
        let taken = state.ending.is_none();
        drop(state);
        self.ready.notify_one();
        taken
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
            Some(message) => {
                state.bytes -= message.len() + PLACE_BYTES;
                Next::Write(message)
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

    /// The name the client has taken last becomes `name`.
    pub(crate) fn call(&self, name: &str) {
        let mut state = self.state();
        if state.name.as_deref() != Some(name) {
            state.name = Some(name.into());
        }
    }

    /// Whether the client is called `name`.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.state().name.as_deref() == Some(name)
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
        let places = Places { slots: VecDeque::with_capacity(SLOTS), rooms: Vec::new() };
        Subscriber::new(1, max_bytes, places, track(Kind::Listener))
    }

    fn taken(subscriber: &Subscriber) -> Vec<String> {
        let mut texts = Vec::new();
        while let Next::Write(message) = subscriber.next() {
            texts.push(message.to_string());
        }
        texts
    }

    #[test]
    fn order_is_kept_across_slots_and_spill() {
        let subscriber = subscriber(1 << 20);
        let sent: Vec<String> = (0..SLOTS * 3 + 5).map(|n| n.to_string()).collect();
        let (first, second) = sent.split_at(SLOTS + 7);
        first.iter().for_each(|text| assert!(subscriber.push(text.as_str().into())));
        let Next::Write(head) = subscriber.next() else { panic!("nothing waits") };
        second.iter().for_each(|text| assert!(subscriber.push(text.as_str().into())));
        let mut got = vec![head.to_string()];
        got.extend(taken(&subscriber));
        assert_eq!(got, sent);
        assert_eq!(subscriber.state().spill.capacity(), 0, "the spill is given back");
        assert_eq!(subscriber.state().bytes, 0);
    }

    #[test]
    fn an_overflow_ends_the_client_and_frees_what_waited() {
        let subscriber = subscriber(10 * (PLACE_BYTES + 1));
        for _ in 0..10 {
            assert!(subscriber.push("x".into()));
        }
        assert!(!subscriber.push("x".into()), "one too many");
        assert_eq!(subscriber.cut(), Some(Ending::Slow));
        assert!(matches!(subscriber.next(), Next::Close(Ending::Slow)));
        assert!(!subscriber.push("x".into()));
    }

    #[test]
    fn stopping_lets_what_waits_go_first() {
        let subscriber = subscriber(1 << 20);
        subscriber.push("last words".into());
        subscriber.end(Ending::Stopping);
        assert_eq!(subscriber.cut(), None);
        assert_eq!(taken(&subscriber), ["last words"]);
        assert!(matches!(subscriber.next(), Next::Close(Ending::Stopping)));
    }
}
