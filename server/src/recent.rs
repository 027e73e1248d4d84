//! What was said, kept for who comes later.
//! In: the encoded messages of a room, in order. Out: the newest of them, oldest first.
//! A bounded ring for each room, for the list of a room's messages.
//! Leaves to others: which rooms there are (`hub`), keeping all of it (`store`).

use ebbtide_socketio::Text;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Keeps the newest messages of each room in memory.
#[derive(Debug)]
pub(crate) struct Recent {
    per_room: usize,
    rooms: Mutex<BTreeMap<Box<str>, VecDeque<Text>>>,
}

impl Recent {
    /// Keeps `per_room` messages of each room.
    pub(crate) fn new(per_room: usize) -> Self {
        Self { per_room: per_room.max(1), rooms: Mutex::default() }
    }

    /// Keeps one more message of `room`.
    pub(crate) fn keep(&self, room: &str, message: Text) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = match rooms.get_mut(room) {
            Some(ring) => ring,
            // Allocated whole, so that a room's ring never grows again.
            None => rooms.entry(room.into()).or_insert(VecDeque::with_capacity(self.per_room)),
        };
        if ring.len() == self.per_room {
            ring.pop_front();
        }
        ring.push_back(message);
    }

    /// The newest `limit` messages of `room`, oldest first.
    pub(crate) fn newest(&self, room: &str, limit: usize) -> Vec<Text> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ring) = rooms.get(room) else { return Vec::new() };
        ring.iter().skip(ring.len().saturating_sub(limit)).cloned().collect()
    }

    /// Forgets `room`: nobody is in it, and it does not stay by itself.
    pub(crate) fn forget(&self, room: &str) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_in_order_and_no_more_than_fit() {
        let store = Recent::new(3);
        for text in ["a", "b", "c", "d"] {
            store.keep("lobby", text.into());
        }
        for (limit, kept) in [(9, "bcd"), (2, "cd"), (0, "")] {
            let newest: String = store.newest("lobby", limit).iter().map(|m| m.as_str()).collect();
            assert_eq!(newest, kept, "{limit}");
        }
        store.forget("lobby");
        assert!(store.newest("lobby", 9).is_empty());
    }
}
