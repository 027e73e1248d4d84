//! A bounded number of buckets, by whose they are.
//! In: keys and times. Out: yes, or how long to wait.
//! Leaves to others: the clock.
//!
//! Who floods the table with many addresses makes it forget those it has not seen for longest: a
//! forgotten bucket is a full one. So many addresses have as many full buckets anyway.

use super::address::Key;
use super::bucket::{Rate, Wait};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts of the table with a lock each, so that cores rarely meet.
const SHARDS: usize = 16;

/// Buckets by key.
#[derive(Debug)]
pub(super) struct Table {
    rate: Rate,
    hash: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// Two generations: the young one becomes the old one when it is full, and what was in the old
/// one and has not been asked for since is forgotten.
#[derive(Debug, Default)]
struct Shard {
    most: usize,
    young: HashMap<Key, u64>,
    old: HashMap<Key, u64>,
}

impl Table {
    /// A table of at most about `buckets` buckets.
    pub(super) fn new(rate: Rate, buckets: usize) -> Self {
        let most = (buckets / SHARDS / 2).max(1);
        let shard = || Mutex::new(Shard { most, ..Shard::default() });
        Self { rate, hash: RandomState::new(), shards: std::array::from_fn(|_| shard()) }
    }

    /// Takes a token from the bucket of `key` at `now`, in nanoseconds.
    pub(super) fn take(&self, key: Key, now: u64) -> Result<(), Wait> {
        if self.rate.is_off() {
            return Ok(());
        }
        let hash = usize::try_from(self.hash.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let mut shard = lock(&self.shards[hash]);
        let known = shard.young.get(&key).or_else(|| shard.old.get(&key));
        let full = self.rate.take(known.copied().unwrap_or(0), now)?;
        shard.keep(key, full);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        let lens = self.shards.iter().map(lock);
        lens.map(|shard| shard.young.len() + shard.old.len()).sum()
    }
}

impl Shard {
    fn keep(&mut self, key: Key, full: u64) {
        if self.young.len() >= self.most && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, full);
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_addresses_is_bounded_and_forgets_nobody_who_asks_on() {
        let table = Table::new(Rate::new(1, 2), 1_024);
        let steady = Key::User(7);
        assert!(table.take(steady, 0).is_ok());
        assert!(table.take(steady, 0).is_ok());
        assert!(table.take(steady, 0).is_err());
        for address in 0..100_000_u32 {
            assert!(table.take(Key::V4(address), 0).is_ok());
        }
        assert!(table.len() <= 1_024, "{}", table.len());
        // Refused ones take no place, and a key that goes on asking stays in its bucket.
        let busy = Key::User(8);
        for second in 0..1_000_u64 {
            assert!(table.take(busy, second * 1_000_000_000).is_ok());
            for address in 0..20 {
                let address = u32::try_from(second).unwrap() * 20 + address;
                let _ = table.take(Key::V4(address), second * 1_000_000_000);
            }
        }
        assert!(table.take(busy, 999_000_000_000).is_ok());
        assert!(table.take(busy, 999_000_000_000).is_err(), "its bucket was forgotten");
        assert!(table.len() <= 1_024, "{}", table.len());
    }

    #[test]
    fn buckets_are_apart() {
        let table = Table::new(Rate::new(1, 1), 1_024);
        assert!(table.take(Key::V4(1), 0).is_ok());
        assert!(table.take(Key::V4(1), 0).is_err());
        assert!(table.take(Key::V4(2), 0).is_ok());
        assert!(table.take(Key::User(1), 0).is_ok());
        let off = Table::new(Rate::OFF, 1_024);
        assert!((0..1_000).all(|_| off.take(Key::V4(1), 0).is_ok()));
        assert_eq!(off.len(), 0);
    }
}
