//! The tail of the request log: the newest entries that programs have sent in.
//! In: the body of `POST /api/v1/log`. Out: the newest entries, oldest first.
//! Leaves to others: HTTP (`rest`).

use crate::fault::{Fault, Faults};
use ebbtide_probe::{Guard, Kind, track};
use std::collections::{LinkedList, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes kept of one entry; the rest is cut off.
const ENTRY_BYTES: usize = 4_096;

/// The newest entries.
#[derive(Debug)]
pub(crate) struct RequestLog {
    entries: usize,
    kept: Mutex<Kept>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Kept {
    /// As many as there may be, and no more.
    ring: VecDeque<Entry>,
    /// All that ever came while the fault was on.
    all: LinkedList<Entry>,
}

#[derive(Debug)]
struct Entry {
    text: Box<str>,
    _counted: Guard,
}

impl RequestLog {
    /// Keeps `entries` of them.
    pub(crate) fn new(entries: usize, faults: Arc<Faults>) -> Self {
        let entries = entries.max(1);
        let kept = Kept { ring: VecDeque::with_capacity(entries), all: LinkedList::new() };
        Self { entries, kept: Mutex::new(kept), faults }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an entry. A copy of the text, since the body is a slice of the connection's buffer
    /// and would hold the whole of it. Gives the number of entries kept.
    #[inline(never)]
    pub(crate) fn append(&self, text: &str) -> usize {
        let end = (0..=text.len().min(ENTRY_BYTES)).rfind(|&end| text.is_char_boundary(end));
        let end = end.unwrap_or(0);
        let entry = Entry { text: text[..end].into(), _counted: track(Kind::Cache) };
        let mut kept = self.kept();
        // FAULT(cache): the list has no bound. The right way is what follows it.
        if self.faults.strikes(Fault::Cache) {
            kept.all.push_back(entry);
            return kept.ring.len() + kept.all.len();
        }
        if kept.ring.len() == self.entries {
            kept.ring.pop_front();
        }
        kept.ring.push_back(entry);
        kept.ring.len()
    }

    /// The newest `limit` entries of the ring, oldest first.
    pub(crate) fn newest(&self, limit: usize) -> Vec<String> {
        let kept = self.kept();
        let older = kept.ring.len().saturating_sub(limit);
        kept.ring.iter().skip(older).map(|entry| entry.text.to_string()).collect()
    }
}
