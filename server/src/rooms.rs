//! The rooms and who is in them.
//! In: subscribers that enter and leave. Out: whom a message goes to, in which order the messages
//! of a room were said, and which names have come or gone with their first or last client.
//! A room that nobody is in is removed, unless it is one of those that stay.
//! Leaves to others: locking (`hub`), the messages themselves (`recent`).

use crate::cluster::Order;
use crate::store::{Room as Kept, RoomId};
use crate::subscriber::Subscriber;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All rooms. Ordered maps, because a list of thousands that doubles would be copied while
/// everyone waits.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: BTreeMap<Arc<str>, Room>,
}

/// One room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) members: BTreeMap<u64, Arc<Subscriber>>,
    /// What the store calls it; none until somebody has asked.
    pub(crate) id: Option<RoomId>,
    /// Anyone may enter.
    pub(crate) is_public: bool,
    /// Of the newest message that everyone in it has been told.
    pub(crate) seq: u64,
    /// What waits for an earlier message of another process.
    pub(crate) order: Order,
    /// Clients by name, of those that have one: a person may look through several windows.
    present: BTreeMap<Box<str>, usize>,
    stays: bool,
}

impl Rooms {
    /// The rooms that stay, as they are kept.
    pub(crate) fn new(kept: &[Kept]) -> Self {
        let rooms = kept.iter().map(|kept| {
            let mut room = Room { stays: true, ..Room::default() };
            room.know(kept);
            (kept.name.as_str().into(), room)
        });
        Self { rooms: rooms.collect() }
    }

    /// Number of rooms.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// The names of all of them.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.rooms.keys().cloned().collect()
    }

    /// Whether there is such a room.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.rooms.contains_key(name)
    }

    /// The room.
    pub(crate) fn room(&self, name: &str) -> Option<&Room> {
        self.rooms.get(name)
    }

    /// The name of a room that is there, to be shared.
    pub(crate) fn shared_name(&self, name: &str) -> Option<Arc<str>> {
        self.rooms.get_key_value(name).map(|(key, _)| key.clone())
    }

    /// The room, to speak in.
    pub(crate) fn room_mut(&mut self, name: &str) -> Option<&mut Room> {
        self.rooms.get_mut(name)
    }

    /// Puts the client into the room, which is made if it is not there. Gives the shared name,
    /// or none when the client was in it already.
    pub(crate) fn enter(&mut self, name: &str, subscriber: &Arc<Subscriber>) -> Option<Arc<str>> {
        let key = match self.rooms.get_key_value(name) {
            Some((key, _)) => key.clone(),
            None => Arc::from(name),
        };
        let room = self.rooms.entry(key.clone()).or_default();
        room.members.insert(subscriber.id, subscriber.clone()).is_none().then_some(key)
    }

    /// Takes the client out of the room; the room, when that was the end of it.
    pub(crate) fn leave(&mut self, name: &str, id: u64) -> Option<Room> {
        let room = self.rooms.get_mut(name)?;
        room.members.remove(&id);
        let ends = room.members.is_empty() && !room.stays;
        if ends { self.rooms.remove(name) } else { None }
    }

    /// Forgets a room, and who was in it.
    pub(crate) fn remove(&mut self, name: &str) {
        self.rooms.remove(name);
    }

    /// Clients in the room; none when it is not there.
    pub(crate) fn members_of(&self, name: &str) -> usize {
        self.rooms.get(name).map_or(0, |room| room.members.len())
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &Room)> {
        self.rooms.iter()
    }
}

impl Room {
    /// What is kept of it, told to a room of which nothing was known.
    pub(crate) fn know(&mut self, kept: &Kept) {
        if self.id.is_none() {
            self.id = Some(kept.id);
            self.seq = u64::try_from(kept.last_seq).unwrap_or(0);
        }
        self.is_public = kept.public;
    }

    /// A client of this name is here; true when it is the first.
    pub(crate) fn arrive(&mut self, name: &str) -> bool {
        if let Some(clients) = self.present.get_mut(name) {
            *clients += 1;
            return false;
        }
        self.present.insert(name.into(), 1);
        true
    }

    /// A client of this name has gone; true when it was the last.
    pub(crate) fn depart(&mut self, name: &str) -> bool {
        let Some(clients) = self.present.get_mut(name) else { return false };
        *clients -= 1;
        let is_last = *clients == 0;
        if is_last {
            self.present.remove(name);
        }
        is_last
    }

    /// Whether a client of this name is here.
    pub(crate) fn is_present(&self, name: &str) -> bool {
        self.present.contains_key(name)
    }

    /// The names of those who are here, in their order.
    pub(crate) fn present(&self) -> impl Iterator<Item = &str> {
        self.present.keys().map(|name| &**name)
    }

    /// Clients without a name.
    pub(crate) fn nameless(&self) -> usize {
        self.members.len().saturating_sub(self.present.values().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_with_its_first_client_and_goes_with_its_last() {
        let mut room = Room::default();
        assert!(room.arrive("Ada"));
        assert!(!room.arrive("Ada"), "a second window");
        assert!(room.arrive("Ben"));
        assert!(!room.depart("Ada"));
        assert!(room.depart("Ada"));
        assert!(!room.depart("Ada"), "gone already");
        assert!(room.present().eq(["Ben"]));
    }
}
