//! Presence and typing over all processes.
//! In: clients that come, go and type here; what the other processes tell of theirs. Out: each
//! name told once when its first client comes and its last goes, wherever those are.
//! Leaves to others: what is known of the other processes (`cluster`).

use crate::cluster::{Change, Entry, Moved, Presence, presence_letter};
use crate::hub::{Hub, State};
use crate::letter::Letter;
use crate::store::RoomId;
use crate::subscriber::Subscriber;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Names told in one entry.
const NAMES: usize = 512;

/// Everyone in a room, here and elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Company {
    pub(crate) names: BTreeSet<String>,
    pub(crate) clients: usize,
    /// Those without a name.
    pub(crate) nameless: usize,
}

fn typing_letter(room: &str, name: Option<&str>, is_typing: bool) -> Letter {
    let user = json!({"name": name});
    Letter::event("typing", json!({"room": room, "user": user, "typing": is_typing}).to_string())
}

impl Hub {
    /// Everyone in a room, here and elsewhere.
    pub(crate) fn company(&self, name: &str) -> Company {
        let state = self.state();
        let (names, clients, nameless) = state.others.who(name);
        let names = names.into_iter().map(str::to_owned).collect();
        let mut company = Company { names, clients, nameless };
        if let Some(room) = state.rooms.room(name) {
            company.names.extend(room.present().map(str::to_owned));
            company.clients += room.members.len();
            company.nameless += room.nameless();
        }
        company
    }

    /// Clients in a room, or in it under a name, are others now: the other processes are told.
    pub(crate) fn mark(&self, state: &mut State, room: &Arc<str>, moved: Option<(&str, bool)>) {
        if let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.is_up()) {
            state.others.note(room, moved);
            cluster.changed.notify_one();
        }
    }

    /// A client begins to type in a room, or ends.
    pub(crate) fn typing(&self, client: &Subscriber, room: &str, is_typing: bool) {
        let name = client.name();
        self.publish(room, &typing_letter(room, name.as_deref(), is_typing), Some(client.id));
        if let Some(cluster) = &self.cluster {
            let name = name.map(String::from);
            cluster.tell(Entry::Typing { room: room.to_owned(), name, is_typing });
        }
    }

    /// A room that was to be gone with the last who left: in a cluster somebody may still be in it
    /// elsewhere, so it waits. False when there are no others.
    pub(crate) fn vacates(&self, state: &mut State, room: &Arc<str>, id: RoomId) -> bool {
        if self.cluster.is_some() {
            state.others.vacate(room, id, Instant::now());
        }
        self.cluster.is_some()
    }

    /// The link to the others as text for Prometheus, if there is one.
    pub(crate) fn render_cluster(&self) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        let others = self.state().others.count();
        Some(cluster.render(others))
    }

    /// What has changed here since it was told last.
    pub(super) fn news(&self) -> Option<Entry> {
        let mut state = self.state();
        let news = state.others.take_news();
        let rooms = news.into_iter().map(|(room, names)| {
            let mut presence = here(&state, &room);
            for (name, is_here) in names {
                let list = if is_here { &mut presence.came } else { &mut presence.went };
                list.push(name.into());
            }
            presence
        });
        let rooms: Vec<_> = rooms.collect();
        (!rooms.is_empty()).then_some(Entry::Present(rooms))
    }

    /// Everyone who is here, in entries of a bounded size; from now on what changes is news.
    pub(super) fn whole(&self) -> Vec<Entry> {
        let mut state = self.state();
        state.others.take_news();
        if let Some(cluster) = &self.cluster {
            cluster.is_up.store(true, Relaxed);
        }
        let (mut parts, mut part, mut count) = (Vec::new(), Vec::new(), 0);
        for (name, room) in state.rooms.all().filter(|(_, room)| !room.members.is_empty()) {
            let names: Vec<_> = room.present().map(str::to_owned).collect();
            let chunks = names.chunks(NAMES).map(<[String]>::to_vec);
            for came in chunks.chain(names.is_empty().then(Vec::new)) {
                count += came.len() + 1;
                part.push(Presence { came, ..here(&state, name) });
                if count >= NAMES {
                    parts.push(std::mem::take(&mut part));
                    count = 0;
                }
            }
        }
        parts.push(part);
        let last = parts.len() - 1;
        let entry = |(number, rooms)| Entry::Whole {
            is_first: number == 0,
            is_last: number == last,
            rooms,
        };
        parts.into_iter().enumerate().map(entry).collect()
    }

    /// Tells everyone here who has come and gone elsewhere.
    pub(super) fn announce_moves(&self, state: &mut State, change: Change) {
        let Change { came, went, hushed } = change;
        for (room, name) in hushed {
            self.tell_here(state, &room, &typing_letter(&room, Some(&name), false));
        }
        for (moved, is_here) in
            came.iter().map(|one| (one, true)).chain(went.iter().map(|one| (one, false)))
        {
            let (room, name): &Moved = moved;
            let is_known = state.rooms.room(room).is_some_and(|room| room.is_present(name));
            if !is_known {
                self.tell_here(state, room, &presence_letter(room, name, is_here));
            }
        }
    }

    /// Somebody types at another process, or no longer.
    pub(super) fn types(&self, node: &str, (room, name): (&str, Option<&str>), is_typing: bool) {
        let mut state = self.state();
        if let Some(name) = name {
            state.others.types(node, (room, name), is_typing);
        }
        self.tell_here(&mut state, room, &typing_letter(room, name, is_typing));
    }

    /// Hands a letter to everyone in a room here, if anyone is.
    pub(super) fn tell_here(&self, state: &mut State, room: &str, letter: &Letter) {
        if let Some(room) = state.rooms.shared_name(room) {
            self.broadcast(state, &room, letter, None);
        }
    }
}

/// How many are in a room here.
fn here(state: &State, name: &str) -> Presence {
    let room = state.rooms.room(name);
    Presence {
        room: name.to_owned(),
        clients: room.map_or(0, |room| room.members.len()),
        nameless: room.map_or(0, crate::rooms::Room::nameless),
        ..Presence::default()
    }
}
