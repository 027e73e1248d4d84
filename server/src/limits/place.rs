//! The places of connections: so many in all, and so many for one address.
//! In: a connection's address. Out: a place, given back when it is dropped, by which open
//! connections are counted. Leaves to others: what is done with a connection that has none.

use super::address::Key;
use crate::metrics::{Metrics, Transport};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places there are.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    taken: Arc<Taken>,
}

/// Connections by address. An address without one has no entry, so that there are no more entries
/// than connections.
#[derive(Debug)]
struct Taken {
    most: usize,
    by_key: Mutex<HashMap<Key, usize>>,
}

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
    counted: Option<(Arc<Taken>, Key)>,
    transport: AtomicU8,
}

impl Places {
    pub(super) fn new(most: usize, per_key: usize, metrics: &Arc<Metrics>) -> Self {
        let taken = Taken { most: per_key, by_key: Mutex::default() };
        Self {
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            metrics: metrics.clone(),
            taken: Arc::new(taken),
        }
    }

    /// Takes a place; the key's number is looked at unless there is none.
    pub(super) fn take(&self, key: Option<Key>) -> Option<Place> {
        let Ok(permit) = self.free.clone().try_acquire_owned() else {
            self.metrics.refused("full");
            return None;
        };
        if key.is_some_and(|key| !self.taken.enter(key)) {
            self.metrics.refused("address");
            return None;
        }
        self.metrics.opened(Transport::Http);
        Some(Place {
            _permit: permit,
            metrics: self.metrics.clone(),
            counted: key.map(|key| (self.taken.clone(), key)),
            transport: AtomicU8::new(Transport::Http as u8),
        })
    }
}

impl Taken {
    fn enter(&self, key: Key) -> bool {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_key.entry(key).or_default();
        // An address that is refused has an entry already: a limit of 0 is none.
        if *count >= self.most.max(1) {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, key: Key) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = by_key.entry(key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

impl Place {
    fn transport(&self) -> Transport {
        let now = self.transport.load(Relaxed);
        if now == Transport::WebSocket as u8 { Transport::WebSocket } else { Transport::Http }
    }

    /// The connection has become a WebSocket.
    pub(crate) fn upgrade(&self) {
        let before = self.transport();
        self.transport.store(Transport::WebSocket as u8, Relaxed);
        self.metrics.closed(before);
        self.metrics.opened(Transport::WebSocket);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.closed(self.transport());
        if let Some((taken, key)) = self.counted.take() {
            taken.leave(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_address_and_in_all() {
        let places = Places::new(4, 2, &Arc::default());
        let take = |address: Option<u32>| places.take(address.map(Key::V4));
        let first = take(Some(1)).unwrap();
        let second = take(Some(1)).unwrap();
        assert!(take(Some(1)).is_none());
        let other = take(Some(2)).unwrap();
        drop(first);
        let third = take(Some(1)).unwrap();
        let uncounted = take(None).unwrap();
        assert!(take(Some(3)).is_none(), "all are taken");
        drop((second, third, other, uncounted));
        assert!(places.taken.by_key.lock().unwrap().is_empty());
    }
}
