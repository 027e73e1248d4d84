//! The rooms and who is in them.
//! In: subscribers that enter and leave. Out: whom a message goes to, and in which order the
//! messages of a room were said.
//! A room that nobody is in is removed, unless it is one of those that stay.
//! Leaves to others: locking (`hub`), the messages themselves (`recent`).

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
    /// Messages said in it so far.
    pub(crate) seq: u64,
    stays: bool,
}

impl Rooms {
    /// The rooms that stay.
    pub(crate) fn new(names: &[String]) -> Self {
        let room = || Room { stays: true, ..Room::default() };
        Self { rooms: names.iter().map(|name| (name.as_str().into(), room())).collect() }
    }

    /// Number of rooms.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether there is such a room.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.rooms.contains_key(name)
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

    /// Takes the client out of the room; true when that was the end of the room.
    pub(crate) fn leave(&mut self, name: &str, id: u64) -> bool {
        let Some(room) = self.rooms.get_mut(name) else { return false };
        room.members.remove(&id);
        let ends = room.members.is_empty() && !room.stays;
        if ends {
            self.rooms.remove(name);
        }
        ends
    }

    /// Clients in the room; none when it is not there.
    pub(crate) fn members_of(&self, name: &str) -> usize {
        self.rooms.get(name).map_or(0, |room| room.members.len())
    }

    /// Name, number of members and of messages so far, by name.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&str, usize, u64)> {
        self.rooms.iter().map(|(name, room)| (&**name, room.members.len(), room.seq))
    }
}
