//! What the other processes tell, done here; and messages in the order of their numbers.
//! In: entries of the stream, messages that were kept here, events read from the store. Out: each
//! message once and in order in the queues of everyone here; a look into the store where one is
//! missing.
//! Leaves to others: the order itself (`cluster`), looking (`filler`), presence (`presence`).

use crate::cluster::{Entry, Heard};
use crate::hub::{Hub, State};
use crate::letter::Letter;
use crate::speech;
use crate::store::{Event, Replay, RoomId};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl Hub {
    /// Tells everyone in a room, here and elsewhere, something that is kept under a number. Here
    /// first: nobody waits for Redis.
    pub(crate) fn announce(&self, room: &str, seq: u64, letter: Letter) {
        let Some(cluster) = &self.cluster else { return self.deliver(room, seq, letter) };
        let entry = Entry::numbered(room, seq, letter.written());
        self.deliver(room, seq, letter);
        cluster.tell(entry);
    }

    /// Tells everyone in a room here something that is kept under a number: at once when it is the
    /// next, otherwise behind what is missing, which comes from another process or the store.
    fn deliver(&self, room: &str, seq: u64, letter: Letter) {
        let mut state = self.state();
        let Some(key) = state.rooms.shared_name(room) else { return };
        let Some(found) = state.rooms.room_mut(room) else { return };
        if self.cluster.is_none() {
            found.seq = found.seq.max(seq);
            return self.hand_out(&mut state, &key, &letter);
        }
        let due = found.order.take(&mut found.seq, seq, letter);
        due.iter().for_each(|letter| self.hand_out(&mut state, &key, letter));
        self.look_for_missing(&mut state, &key);
    }

    fn hand_out(&self, state: &mut State, room: &Arc<str>, letter: &Letter) {
        if let Some(plain) = letter.plain() {
            self.recent.keep(room, plain.clone());
        }
        self.broadcast(state, room, letter, None);
    }

    fn look_for_missing(&self, state: &mut State, key: &Arc<str>) {
        let Some(cluster) = &self.cluster else { return };
        let Some(room) = state.rooms.room_mut(key) else { return };
        if room.order.begins_to_look(room.seq) && !cluster.look_up(key.clone()) {
            room.order.ends_to_look();
        }
    }

    /// Something may have been said in a room of which it is not known how far it was told.
    pub(crate) fn look_into(&self, room: &Arc<str>) {
        if let Some(cluster) = &self.cluster {
            cluster.look_up(room.clone());
        }
    }

    /// Where a room stands: its number in the store, that of what was told last, and the greatest
    /// that is known.
    pub(super) fn place_of(&self, room: &str) -> Option<(RoomId, u64, u64)> {
        self.with_rooms(|rooms| {
            let room = rooms.room(room)?;
            Some((room.id?, room.seq, room.order.known()))
        })
    }

    /// Tells what the store has of a room, of which `known` was the greatest number known when it
    /// was asked. True when there is more to be read.
    pub(super) fn catch_up(&self, key: &Arc<str>, replay: &Replay, known: u64) -> bool {
        let mut state = self.state();
        let number = |seq: i64| u64::try_from(seq).unwrap_or(0);
        let newest = replay.events.last().map_or(replay.last_seq, Event::seq);
        let mut due = Vec::new();
        let Some(room) = state.rooms.room_mut(key) else { return false };
        for event in &replay.events {
            let seq = number(event.seq());
            if seq > room.seq + 1 {
                // What lies between is not kept any more.
                due.append(&mut room.order.skip(&mut room.seq, seq - 1));
            }
            due.append(&mut room.order.take(&mut room.seq, seq, speech::retold(key, event)));
        }
        if !replay.more {
            due.append(&mut room.order.skip(&mut room.seq, number(newest)));
            room.order.settle(room.seq, known);
        }
        let is_missing = replay.more || room.order.is_missing(room.seq);
        if let Some(cluster) = &self.cluster {
            cluster.numbers.found(due.len());
        }
        due.iter().for_each(|letter| self.hand_out(&mut state, key, letter));
        is_missing
    }

    /// Nobody looks for what is missing in a room any more.
    pub(super) fn ends_to_look(&self, room: &str) {
        if let Some(room) = self.state().rooms.room_mut(room) {
            room.order.ends_to_look();
        }
    }

    /// All rooms the store knows, with the number of what was told last.
    pub(super) fn places(&self) -> Vec<(Arc<str>, RoomId)> {
        let state = self.state();
        let known = state.rooms.all().filter_map(|(name, room)| Some((name.clone(), room.id?)));
        known.collect()
    }

    /// The store has messages of a room up to this number.
    pub(super) fn know(&self, key: &Arc<str>, number: u64) {
        let mut state = self.state();
        if let Some(room) = state.rooms.room_mut(key) {
            room.order.know(number);
            self.look_for_missing(&mut state, key);
        }
    }

    /// What is known of a room is old, here and elsewhere.
    pub(crate) fn doubt_everywhere(&self, room: &str) {
        self.doubt(room);
        if let Some(cluster) = &self.cluster {
            cluster.tell(Entry::Changed { room: room.to_owned() });
        }
    }

    fn doubt(&self, room: &str) {
        if let Some(room) = self.state().rooms.room_mut(room) {
            room.is_public = false;
        }
    }

    /// Does what another process tells.
    pub(super) fn obey(&self, node: &str, number: u64, entry: Entry) {
        let Some(cluster) = &self.cluster else { return };
        cluster.numbers.received();
        let heard = self.state().others.hear(node, number, Instant::now());
        match heard {
            Heard::Again => return,
            // The first of a process that has just come tells everything itself.
            Heard::Gap if number > 0 => cluster.asks.store(true, Relaxed),
            Heard::Next | Heard::Gap => {}
        }
        match entry {
            Entry::Alive => {}
            Entry::Asked => {
                cluster.is_asked.store(true, Relaxed);
                cluster.changed.notify_one();
            }
            Entry::Gone => {
                let mut state = self.state();
                let change = state.others.remove(node);
                self.announce_moves(&mut state, change);
            }
            Entry::Look => cluster.check.notify_one(),
            Entry::Numbered { room, seq, letter: Some(letter) } => {
                self.deliver(&room, seq, Letter::of(letter));
            }
            Entry::Numbered { room, seq, letter: None } => self.know(&room.into(), seq),
            Entry::Told { room, letter } => {
                self.tell_here(&mut self.state(), &room, &Letter::of(letter));
            }
            Entry::Whispered { room, to, letter } => {
                self.whisper(&room, &to, &Letter::of(letter), None);
            }
            Entry::Personal { users, letter, is_notice } => {
                self.tell_from_elsewhere(&users, &Letter::of(letter), is_notice);
            }
            Entry::Typing { room, name, is_typing } => {
                self.types(node, (&room, name.as_deref()), is_typing);
            }
            Entry::Present(rooms) => {
                let mut state = self.state();
                let change = state.others.change(node, rooms);
                self.announce_moves(&mut state, change);
            }
            Entry::Whole { is_first, is_last, rooms } => {
                let mut state = self.state();
                let change = state.others.replace(node, (is_first, is_last), rooms);
                self.announce_moves(&mut state, change);
            }
            Entry::Changed { room } => self.doubt(&room),
        }
    }

    /// The processes that are not heard of any more have gone; rooms that nobody came back to,
    /// too. Gives the latter, to be forgotten by the store.
    pub(super) fn expire(&self, now: Instant) -> Vec<RoomId> {
        let mut state = self.state();
        for change in state.others.expire(now) {
            self.announce_moves(&mut state, change);
        }
        let State { others, rooms, .. } = &mut *state;
        others.forsaken(now, |room| rooms.contains(room))
    }
}
