//! Who is present at the other processes, as they tell it.
//! In: what they tell, and when. Out: who came or went for everyone elsewhere; who is where; what
//! goes with a process that is not heard of any more.
//! Also what is to be told of this one. Leaves to others: who is present here (`rooms`), telling
//! it (`link`).

use super::entry::Presence;
use crate::store::RoomId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Silence after which a process counts as gone: some of its signs of life may come late.
const SILENCE: Duration = Duration::from_secs(4);

/// Processes that are known at one time.
const NODES: usize = 64;

/// Rooms that wait to be forgotten, since nobody is in them here.
const VACANT: usize = 1_024;

/// Time in which somebody may come back to a room before it is forgotten.
const VACANT_FOR: Duration = Duration::from_secs(60);

/// Somebody who came or went, in a room.
pub(crate) type Moved = (Box<str>, Box<str>);

/// The other processes.
#[derive(Debug, Default)]
pub(crate) struct Others {
    nodes: BTreeMap<Box<str>, Node>,
    /// What has changed here, not yet told.
    news: BTreeMap<Arc<str>, BTreeMap<Box<str>, bool>>,
    /// Rooms that were to be gone with the last who left, and when that was.
    vacant: BTreeMap<Arc<str>, (RoomId, Instant)>,
}

/// A process.
#[derive(Debug)]
struct Node {
    heard: Instant,
    /// Number of its next entry.
    next: u64,
    rooms: Places,
    /// Everyone who is present there, of which a part has come.
    coming: Option<Places>,
}

type Places = BTreeMap<Box<str>, Place>;

/// A room at another process.
#[derive(Debug, Default)]
struct Place {
    names: BTreeSet<Box<str>>,
    typing: BTreeSet<Box<str>>,
    clients: usize,
    nameless: usize,
}

/// What has become different elsewhere.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Change {
    /// Now somewhere, and nowhere before.
    pub(crate) came: Vec<Moved>,
    /// Now nowhere any more.
    pub(crate) went: Vec<Moved>,
    /// They typed, and their process has gone.
    pub(crate) hushed: Vec<Moved>,
}

/// How an entry of a process follows what was heard of it before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// Right behind it.
    Next,
    /// Something between them is missing, or the process is new.
    Gap,
    /// It was heard before.
    Again,
}

impl Others {
    /// An entry has come.
    pub(crate) fn hear(&mut self, node: &str, number: u64, now: Instant) -> Heard {
        if let Some(known) = self.nodes.get_mut(node) {
            known.heard = now;
            let expected = std::mem::replace(&mut known.next, number + 1);
            return match number {
                _ if number == expected => Heard::Next,
                _ if number > expected => Heard::Gap,
                _ => {
                    known.next = expected;
                    Heard::Again
                }
            };
        }
        if self.nodes.len() < NODES {
            let (rooms, coming) = (Places::new(), None);
            self.nodes.insert(node.into(), Node { heard: now, next: number + 1, rooms, coming });
        }
        Heard::Gap
    }

    /// Other processes.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Whether somebody is called so in a room elsewhere.
    pub(crate) fn has(&self, room: &str, name: &str) -> bool {
        self.places(room).any(|place| place.names.contains(name))
    }

    fn places<'a>(&'a self, room: &str) -> impl Iterator<Item = &'a Place> {
        self.nodes
            .values()
            .filter_map(move |node| node.rooms.get(room))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Those in a room elsewhere: their names, clients, and clients without a name.
    pub(crate) fn who(&self, room: &str) -> (BTreeSet<&str>, usize, usize) {
        self.places(room).fold(Default::default(), |(mut names, clients, nameless), place| {
            names.extend(place.names.iter().map(|name| &**name));
            (names, clients + place.clients, nameless + place.nameless)
        })
    }

    /// Who has come and gone at a process.
    pub(crate) fn change(&mut self, node: &str, presences: Vec<Presence>) -> Change {
        let mut change = Change::default();
        for presence in presences {
            let room: Box<str> = presence.room.as_str().into();
            let (mut came, mut went) = (Vec::new(), Vec::new());
            for name in &presence.came {
                if !self.has(&room, name) {
                    came.push((room.clone(), name.as_str().into()));
                }
            }
            let Some(known) = self.nodes.get_mut(node) else { return change };
            let left: Vec<_> = presence.went.clone();
            enter(&mut known.rooms, presence);
            for name in left {
                if !self.has(&room, &name) {
                    went.push((room.clone(), name.into()));
                }
            }
            change.came.append(&mut came);
            change.went.append(&mut went);
        }
        change
    }

    /// Everyone who is present at a process, in parts.
    pub(crate) fn replace(
        &mut self,
        node: &str,
        (is_first, is_last): (bool, bool),
        rooms: Vec<Presence>,
    ) -> Change {
        let Some(known) = self.nodes.get_mut(node) else { return Change::default() };
        if is_first {
            known.coming = Some(Places::new());
        }
        // Without its beginning a part is worth nothing; the whole will be asked for again.
        let Some(coming) = &mut known.coming else { return Change::default() };
        for presence in rooms {
            enter(coming, presence);
        }
        if !is_last {
            return Change::default();
        }
        let new = known.coming.take().unwrap_or_default();
        self.exchange(node, new)
    }

    fn exchange(&mut self, node: &str, new: Places) -> Change {
        let Some(known) = self.nodes.get_mut(node) else { return Change::default() };
        let old = std::mem::take(&mut known.rooms);
        let came = only_in(&new, &old).filter(|(room, name)| !self.has(room, name)).collect();
        let hushed = hushed(&old);
        let went: Vec<Moved> = only_in(&old, &new).collect();
        if let Some(known) = self.nodes.get_mut(node) {
            known.rooms = new;
        }
        let went = went.into_iter().filter(|(room, name)| !self.has(room, name)).collect();
        Change { came, went, hushed }
    }

    /// Somebody types at a process, or no longer.
    pub(crate) fn types(&mut self, node: &str, (room, name): (&str, &str), is_typing: bool) {
        let Some(node) = self.nodes.get_mut(node) else { return };
        let Some(place) = node.rooms.get_mut(room) else { return };
        if is_typing && place.names.contains(name) {
            place.typing.insert(name.into());
        } else {
            place.typing.remove(name);
        }
    }

    /// A process has gone.
    pub(crate) fn remove(&mut self, node: &str) -> Change {
        let change = self.exchange(node, Places::new());
        self.nodes.remove(node);
        change
    }

    /// The processes that are not heard of any more have gone.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Change> {
        let is_silent = |node: &Node| now.saturating_duration_since(node.heard) > SILENCE;
        let silent = self.nodes.iter().filter(|(_, node)| is_silent(node));
        let silent: Vec<_> = silent.map(|(name, _)| name.clone()).collect();
        silent.iter().map(|name| self.remove(name)).collect()
    }

    /// Nothing could be heard of anyone until now, and so not of who has come to a room elsewhere.
    pub(crate) fn spare(&mut self, now: Instant) {
        self.nodes.values_mut().for_each(|node| node.heard = now);
        self.vacant.values_mut().for_each(|(_, since)| *since = now);
    }

    /// A name has come to a room here, or gone; or, without one, others have.
    pub(crate) fn note(&mut self, room: &Arc<str>, moved: Option<(&str, bool)>) {
        let names = self.news.entry(room.clone()).or_default();
        if let Some((name, is_here)) = moved {
            names.insert(name.into(), is_here);
        }
    }

    /// What is to be told of here.
    pub(crate) fn take_news(&mut self) -> BTreeMap<Arc<str>, BTreeMap<Box<str>, bool>> {
        std::mem::take(&mut self.news)
    }

    /// A room is to be forgotten, unless somebody comes back to it.
    pub(crate) fn vacate(&mut self, room: &Arc<str>, id: RoomId, now: Instant) {
        if self.vacant.len() < VACANT {
            self.vacant.insert(room.clone(), (id, now));
        }
    }

    /// Rooms that have been empty everywhere for long enough; `is_here` says where somebody is.
    pub(crate) fn forsaken(&mut self, now: Instant, is_here: impl Fn(&str) -> bool) -> Vec<RoomId> {
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= VACANT_FOR;
        let due = self.vacant.iter().filter(|(_, (_, since))| is_due(since));
        let due: Vec<_> = due.map(|(room, (id, _))| (room.clone(), *id)).collect();
        let mut gone = Vec::new();
        for (room, id) in due {
            self.vacant.remove(&room);
            let is_used = is_here(&room) || self.places(&room).any(|place| place.clients > 0);
            gone.extend((!is_used).then_some(id));
        }
        gone
    }
}

fn enter(places: &mut Places, presence: Presence) {
    let Presence { room, came, went, clients, nameless } = presence;
    let room: Box<str> = room.into();
    let place = places.entry(room.clone()).or_default();
    (place.clients, place.nameless) = (clients, nameless);
    place.names.extend(came.into_iter().map(String::into_boxed_str));
    for name in went {
        place.names.remove(name.as_str());
        place.typing.remove(name.as_str());
    }
    if clients == 0 && place.names.is_empty() {
        places.remove(&room);
    }
}

fn only_in<'a>(these: &'a Places, those: &'a Places) -> impl Iterator<Item = Moved> + 'a {
    these.iter().flat_map(|(room, place)| {
        let other = those.get(room);
        let only = place
            .names
            .iter()
            .filter(move |name| other.is_none_or(|other| !other.names.contains(&***name)));
        only.map(|name| (room.clone(), name.clone()))
    })
}

fn hushed(places: &Places) -> Vec<Moved> {
    let all = places.iter();
    let all =
        all.flat_map(|(room, place)| place.typing.iter().map(|name| (room.clone(), name.clone())));
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(room: &str, came: &[&str], went: &[&str], clients: usize) -> Presence {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let (came, went) = (words(came), words(went));
        Presence { room: room.to_owned(), came, went, clients, nameless: 0 }
    }

    fn words(moved: &[Moved]) -> String {
        moved.iter().map(|(room, name)| format!("{room}:{name}")).collect::<Vec<_>>().join(" ")
    }

    fn others() -> (Others, Instant) {
        let (mut others, now) = (Others::default(), Instant::now());
        for node in ["one", "two"] {
            assert_eq!(others.hear(node, 5, now), Heard::Gap);
        }
        (others, now)
    }

    #[test]
    fn a_name_comes_with_the_first_process_and_goes_with_the_last() {
        let (mut others, _) = others();
        let change = others.change("one", vec![presence("tea", &["Ada", "Ben"], &[], 2)]);
        assert_eq!(words(&change.came), "tea:Ada tea:Ben");
        let change = others.change("two", vec![presence("tea", &["Ada"], &[], 3)]);
        assert_eq!(change, Change::default());
        assert_eq!(others.who("tea"), (["Ada", "Ben"].into(), 5, 0));
        let change = others.change("one", vec![presence("tea", &[], &["Ada", "Ben"], 0)]);
        assert_eq!(words(&change.went), "tea:Ben");
        assert!(others.has("tea", "Ada") && !others.has("tea", "Ben"));
        others.types("two", ("tea", "Ada"), true);
        let change = others.remove("two");
        assert_eq!(
            (words(&change.went), words(&change.hushed)),
            ("tea:Ada".into(), "tea:Ada".into())
        );
        assert_eq!((others.who("tea").1, others.count()), (0, 1));
    }

    #[test]
    fn the_whole_takes_the_place_of_what_was_known() {
        let (mut others, _) = others();
        others.change("one", vec![presence("tea", &["Ada", "Ben"], &[], 2)]);
        let lost = others.replace("one", (false, true), vec![presence("tea", &["Eve"], &[], 1)]);
        assert_eq!(lost, Change::default(), "its beginning was lost");
        let first = others.replace("one", (true, false), vec![presence("tea", &["Ada"], &[], 1)]);
        assert_eq!(first, Change::default());
        let change = others.replace("one", (false, true), vec![presence("den", &["Eve"], &[], 1)]);
        assert_eq!(
            (words(&change.came), words(&change.went)),
            ("den:Eve".into(), "tea:Ben".into())
        );
    }

    #[test]
    fn entries_are_counted_and_silence_ends_a_process() {
        let (mut others, now) = others();
        for (number, heard) in [
            (6, Heard::Next),
            (6, Heard::Again),
            (9, Heard::Gap),
            (8, Heard::Again),
            (10, Heard::Next),
        ] {
            assert_eq!(others.hear("one", number, now), heard, "{number}");
        }
        let later = now + SILENCE + Duration::from_millis(1);
        others.change("two", vec![presence("tea", &["Ada"], &[], 1)]);
        others.hear("one", 11, later);
        let changes = others.expire(later);
        assert_eq!((changes.len(), words(&changes[0].went)), (1, "tea:Ada".into()));
        others.spare(later + SILENCE);
        assert!(others.expire(later + SILENCE).is_empty());
    }

    #[test]
    fn a_room_is_forgotten_when_nobody_is_in_it_anywhere() {
        let (mut others, now) = others();
        others.change("one", vec![presence("tea", &[], &[], 1)]);
        for (number, room) in ["tea", "den", "hall"].into_iter().enumerate() {
            others.vacate(&room.into(), RoomId(i64::try_from(number).unwrap()), now);
        }
        assert!(others.forsaken(now, |_| false).is_empty(), "too early");
        let gone = others.forsaken(now + VACANT_FOR, |room| room == "hall");
        assert_eq!(gone, [RoomId(1)]);
        assert!(others.vacant.is_empty());
        // While nothing could be heard, somebody may have come to it elsewhere.
        others.vacate(&"den".into(), RoomId(1), now);
        let back = now + 2 * VACANT_FOR;
        others.spare(back);
        assert!(others.forsaken(back, |_| false).is_empty(), "they have not told of it yet");
        assert_eq!(others.forsaken(back + VACANT_FOR, |_| false), [RoomId(1)]);
    }
}
