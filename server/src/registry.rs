//! All sessions that are open, so that they can be counted and closed.
//! In: sessions that begin. Out: their number, and a way to end them all.
//! Leaves to others: what a session does (`session`).

use crate::fault::{Fault, Faults};
use ebbtide_probe::{Guard, Kind, track};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bytes of a client's `user-agent` that are kept.
const AGENT_BYTES: usize = 256;

/// All open sessions, by number. An ordered map: it grows and shrinks by small nodes.
#[derive(Debug)]
pub(crate) struct Registry {
    sessions: Mutex<BTreeMap<u64, Arc<Session>>>,
    faults: Arc<Faults>,
}

/// What is known of an open session.
#[derive(Debug)]
#[expect(dead_code, reason = "shown by the list of sessions, which moderators will have")]
struct Session {
    peer: SocketAddr,
    opened_unix_ms: u64,
    agent: [u8; AGENT_BYTES],
    stop: Notify,
    counted: Guard,
}

/// What a session begins with.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) agent: &'a [u8],
    pub(crate) now_ms: u64,
}

impl Registry {
    pub(crate) fn new(faults: Arc<Faults>) -> Arc<Self> {
        Arc::new(Self { sessions: Mutex::default(), faults })
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session into the list, until what it gives is dropped.
    #[inline(never)]
    pub(crate) fn register(self: &Arc<Self>, opening: &Opening<'_>) -> Registered {
        let mut agent = [0; AGENT_BYTES];
        let kept = opening.agent.len().min(AGENT_BYTES);
        agent[..kept].copy_from_slice(&opening.agent[..kept]);
        let session = Arc::new(Session {
            peer: opening.peer,
            opened_unix_ms: opening.now_ms,
            agent,
            stop: Notify::new(),
            counted: track(Kind::Connection),
        });
        self.sessions().insert(opening.id, session.clone());
        Registered { registry: self.clone(), id: opening.id, session }
    }

    /// Sessions in the list.
    pub(crate) fn len(&self) -> usize {
        self.sessions().len()
    }

    /// Ends the next `count` sessions after number `after`; gives the number to go on from, or
    /// none when that was all.
    pub(crate) fn end_some(&self, after: u64, count: usize) -> Option<u64> {
        let sessions = self.sessions();
        let mut last = None;
        for (&id, session) in sessions.range((Bound::Excluded(after), Bound::Unbounded)).take(count)
        {
            session.stop.notify_one();
            last = Some(id);
        }
        last
    }
}

/// A session's place in the list.
#[derive(Debug)]
pub(crate) struct Registered {
    registry: Arc<Registry>,
    id: u64,
    session: Arc<Session>,
}

impl Registered {
    /// Waits until the session is asked to end.
    pub(crate) async fn stopped(&self) {
        self.session.stop.notified().await;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // FAULT(connection): the connection has closed, and its session stays in the list. The
        // right way is the line after it.
        if self.registry.faults.strikes(Fault::Connection) {
            return;
        }
        self.registry.sessions().remove(&self.id);
    }
}
