//! Connection state recovery: the newest events, and the tickets of clients that may come back.
//! In: events as they are said, clients that come and go. Out: for a ticket and an offset, the
//! rooms that its client was in and the events it has not seen; or nothing, when it stayed away
//! too long. While nobody holds a ticket nothing is kept.
//! Leaves to others: locking and delivery (`hub`); what is older is in the store.

use crate::store::UserId;
use crate::subscriber::Subscriber;
use ebbtide_socketio::{Frame, Text};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a client may stay away; npm's default, too.
const AWAY: Duration = Duration::from_secs(120);

/// Events kept for those who come back: some seconds of a busy server.
const EVENTS: usize = 4_096;

/// Bytes of these events.
const EVENT_BYTES: usize = 8 << 20;

/// Clients that may be away at one time; more, and the one that left first is forgotten.
const AWAY_CLIENTS: usize = 4_096;

/// Whom an event was for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Audience {
    /// Everyone in this room.
    Room(Arc<str>),
    /// Everyone of this name.
    Name(Box<str>),
    /// All clients of these accounts.
    Users(Box<[UserId]>),
}

#[derive(Debug)]
struct Logged {
    number: u64,
    audience: Audience,
    frames: Vec<Frame>,
    bytes: usize,
    said: Instant,
}

#[derive(Debug)]
enum Ticket {
    Here(Weak<Subscriber>),
    Away(Absent),
}

/// What is remembered of a client that has gone.
#[derive(Clone, Debug)]
pub(crate) struct Absent {
    pub(crate) rooms: Vec<Arc<str>>,
    pub(crate) name: Option<Box<str>>,
    until: Instant,
}

/// What a client gets back.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) rooms: Vec<Arc<str>>,
    pub(crate) name: Option<Box<str>>,
    /// Its former self, when nobody had noticed that it was gone.
    pub(crate) former: Option<Arc<Subscriber>>,
    /// What it has not seen, oldest first.
    pub(crate) missed: Vec<Frame>,
}

/// The newest events and the tickets.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// Of the newest event.
    number: u64,
    /// Of the newest event that is no longer kept.
    forgotten: u64,
    log: VecDeque<Logged>,
    bytes: usize,
    tickets: BTreeMap<Text, Ticket>,
    /// Tickets of those who are away, in the order in which they left.
    absent: VecDeque<(Text, Instant)>,
}

impl Recovery {
    /// The number of the next event.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Keeps an event, if somebody may want it again.
    pub(crate) fn keep(&mut self, number: u64, audience: Audience, frames: &[Frame]) {
        if self.tickets.is_empty() {
            self.log.clear();
            (self.bytes, self.forgotten) = (0, number);
            return;
        }
        let (said, bytes) = (Instant::now(), frames.iter().map(Frame::len).sum());
        self.bytes += bytes;
        self.log.push_back(Logged { number, audience, frames: frames.to_vec(), bytes, said });
        let is_old = |logged: &Logged| said.duration_since(logged.said) > AWAY;
        while self.log.len() > EVENTS
            || self.bytes > EVENT_BYTES
            || self.log.front().is_some_and(is_old)
        {
            let Some(oldest) = self.log.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.forgotten = oldest.number;
        }
    }

    /// Gives a client a ticket.
    pub(crate) fn enrol(&mut self, ticket: Text, client: &Arc<Subscriber>) {
        self.tickets.insert(ticket, Ticket::Here(Arc::downgrade(client)));
    }

    /// The client has gone, and may come back. A ticket that has gone over to another connection
    /// stays there.
    pub(crate) fn leave(&mut self, ticket: &Text, client: &Arc<Subscriber>, rooms: Vec<Arc<str>>) {
        let Some(Ticket::Here(holder)) = self.tickets.get(ticket) else { return };
        if holder.as_ptr() != Arc::as_ptr(client) {
            return;
        }
        let now = Instant::now();
        let absent = Absent { rooms, name: client.name(), until: now + AWAY };
        self.absent.push_back((ticket.clone(), absent.until));
        self.tickets.insert(ticket.clone(), Ticket::Away(absent));
        while self.absent.len() > AWAY_CLIENTS
            || self.absent.front().is_some_and(|(_, until)| *until <= now)
        {
            let Some((oldest, until)) = self.absent.pop_front() else { break };
            let is_same =
                matches!(self.tickets.get(&oldest), Some(Ticket::Away(a)) if a.until == until);
            if is_same {
                self.tickets.remove(&oldest);
            }
        }
    }

    /// The ticket is no longer good: its client said goodbye.
    pub(crate) fn forget(&mut self, ticket: &Text) {
        self.tickets.remove(ticket);
    }

    /// What the holder of a ticket gets back, who is this account if any, and has seen everything
    /// up to `offset`. None when the ticket is unknown, or more was missed than `most_bytes` or
    /// than is kept.
    pub(crate) fn recover(
        &mut self,
        (ticket, user): (&Text, Option<UserId>),
        offset: u64,
        most_bytes: usize,
    ) -> Option<Recovered> {
        let (rooms, name, former) = match self.tickets.get(ticket)? {
            Ticket::Away(absent) if absent.until <= Instant::now() => return None,
            Ticket::Away(absent) => (absent.rooms.clone(), absent.name.clone(), None),
            Ticket::Here(holder) => {
                let former = holder.upgrade()?;
                (former.with_rooms(|rooms| rooms.clone()), former.name(), Some(former))
            }
        };
        if offset < self.forgotten || offset > self.number {
            return None;
        }
        let is_for = |audience: &Audience| match audience {
            Audience::Room(room) => rooms.contains(room),
            Audience::Name(whom) => name.as_ref() == Some(whom),
            Audience::Users(users) => user.is_some_and(|user| users.contains(&user)),
        };
        let begin = self.log.partition_point(|logged| logged.number <= offset);
        let missed = || self.log.range(begin..).filter(|logged| is_for(&logged.audience));
        if missed().map(|logged| logged.bytes).sum::<usize>() > most_bytes {
            return None;
        }
        let missed = missed().flat_map(|logged| logged.frames.iter().cloned()).collect();
        Some(Recovered { rooms, name, former, missed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::Dialect;
    use crate::subscriber::{Places, SLOTS};
    use ebbtide_probe::{Kind, track};

    fn client(rooms: &[&str]) -> Arc<Subscriber> {
        let slots = VecDeque::with_capacity(SLOTS);
        let rooms = rooms.iter().map(|room| Arc::from(*room)).collect();
        let places = Places { slots, rooms, counted: track(Kind::Listener) };
        Arc::new(Subscriber::new(1, Dialect::Events, 1 << 20, places))
    }

    fn say(recovery: &mut Recovery, room: &str, text: &str) -> u64 {
        let number = recovery.next_number();
        recovery.keep(number, Audience::Room(room.into()), &[Frame::Text(text.into())]);
        number
    }

    fn texts(recovered: &Recovered) -> Vec<&str> {
        let texts = recovered.missed.iter().map(|frame| match frame {
            Frame::Text(text) => text.as_str(),
            Frame::Binary(_) => "bytes",
        });
        texts.collect()
    }

    #[test]
    fn who_comes_back_gets_what_it_missed_in_its_rooms() {
        let mut recovery = Recovery::default();
        say(&mut recovery, "lobby", "before anyone came");
        let ada = client(&["lobby", "tea"]);
        recovery.enrol("ada".into(), &ada);
        let seen = say(&mut recovery, "lobby", "seen");
        recovery.leave(&"ada".into(), &ada, ada.with_rooms(std::mem::take));
        for (room, text) in [("lobby", "1"), ("cellar", "2"), ("tea", "3")] {
            say(&mut recovery, room, text);
        }
        let back = recovery.recover((&"ada".into(), None), seen, 100).expect("known");
        assert_eq!(texts(&back), ["1", "3"]);
        assert_eq!(back.rooms.len(), 2);
        for (ticket, offset, most, why) in [
            ("ben", seen, 100, "an unknown ticket"),
            ("ada", seen, 1, "more than may be sent"),
            ("ada", 0, 100, "older than what is kept"),
            ("ada", 99, 100, "not said yet"),
        ] {
            assert!(recovery.recover((&ticket.into(), None), offset, most).is_none(), "{why}");
        }
        recovery.forget(&"ada".into());
        assert!(recovery.recover((&"ada".into(), None), seen, 100).is_none(), "said goodbye");
        say(&mut recovery, "lobby", "nobody can want it");
        assert!(recovery.log.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut recovery = Recovery::default();
        let ada = client(&["lobby"]);
        recovery.enrol("ada".into(), &ada);
        for _ in 0..=EVENTS {
            say(&mut recovery, "lobby", "x");
        }
        assert_eq!((recovery.log.len(), recovery.forgotten), (EVENTS, 1));
        for number in 0..=AWAY_CLIENTS {
            let ticket = Text::from(number.to_string());
            recovery.enrol(ticket.clone(), &ada);
            recovery.leave(&ticket, &ada, Vec::new());
        }
        assert_eq!(recovery.absent.len(), AWAY_CLIENTS);
        assert_eq!(recovery.tickets.len(), AWAY_CLIENTS + 1);
        assert!(recovery.recover((&"0".into(), None), 1, 100).is_none(), "the first was forgotten");
        assert!(recovery.recover((&"1".into(), None), 1, 1 << 20).is_some());
    }
}
