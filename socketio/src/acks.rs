//! Answers that are awaited, each with its deadline.
//!
//! Comes in: ids and deadlines. Goes out: which have been answered, which are too late.

use std::collections::BTreeMap;
use std::time::Duration;

/// Which answer belongs to which event, in a namespace.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AckId(pub u64);

/// The answers that one namespace awaits.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    next: u64,
    pending: BTreeMap<u64, Option<Duration>>,
}

impl Acks {
    pub(crate) fn open(&mut self, deadline: Option<Duration>) -> AckId {
        let id = self.next;
        self.next += 1;
        self.pending.insert(id, deadline);
        AckId(id)
    }

    /// Whether this one was awaited.
    pub(crate) fn close(&mut self, id: AckId) -> bool {
        self.pending.remove(&id.0).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.pending.values().flatten().min().copied()
    }

    /// Those that are too late, taken out.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<AckId> {
        let is_late = |deadline: &Option<Duration>| deadline.is_some_and(|due| due <= now);
        if !self.pending.values().any(is_late) {
            return Vec::new();
        }
        let late: Vec<u64> =
            self.pending.iter().filter(|(_, due)| is_late(due)).map(|(id, _)| *id).collect();
        self.pending.retain(|_, deadline| !is_late(deadline));
        late.into_iter().map(AckId).collect()
    }

    /// All of them, taken out: nobody is left to answer.
    pub(crate) fn abandon(&mut self) -> Vec<AckId> {
        std::mem::take(&mut self.pending).into_keys().map(AckId).collect()
    }
}
