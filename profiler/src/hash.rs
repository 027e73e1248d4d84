//! A hash that is the same on every machine and in every version: identifiers of sites and
//! stacks are kept in files and compared between runs. In: bytes. Out: 64 bits. Not against
//! adversaries. Pure.
//!
//! [`Quick`] is for tables in memory alone: begun differently in each process, so that no file
//! can be made to fill one slot of a table.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

/// Odd, with bits spread evenly (the golden ratio in 64 bits).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Joins a value to a hash; the order matters.
#[must_use]
pub(crate) fn join(hash: u64, value: u64) -> u64 {
    let mut mixed = (hash.rotate_left(23) ^ value).wrapping_mul(SPREAD);
    mixed ^= mixed >> 32;
    mixed = mixed.wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 29)
}

/// Joins a value whose bits are spread already, in half the time: the order matters. The hash
/// comes out with its upper bits the better ones, so the last of a row is handed to [`join`].
#[must_use]
#[inline]
pub(crate) fn chain(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(23) ^ value).wrapping_mul(SPREAD)
}

/// The hash of some bytes, their number included.
#[must_use]
pub(crate) fn of(bytes: &[u8]) -> u64 {
    after(SPREAD, bytes)
}

/// The hash of some bytes behind what `hash` stands for.
fn after(hash: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| join(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    join(join(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

/// Builds hashers for tables in memory, several times as quick as the standard library's.
#[derive(Clone, Debug)]
pub(crate) struct Quick(u64);

impl Default for Quick {
    fn default() -> Self {
        static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(SPREAD));
        Self(*SEED)
    }
}

impl BuildHasher for Quick {
    type Hasher = QuickHasher;

    fn build_hasher(&self) -> QuickHasher {
        QuickHasher(self.0)
    }
}

/// What [`Quick`] builds.
pub(crate) struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((sixteen, behind)) = rest.split_first_chunk::<16>()
            && !behind.is_empty()
        {
            let (first, last) = ends_of_eight(sixteen).unwrap_or_default();
            self.0 = folded(self.0 ^ first, SPREAD ^ last);
            rest = behind;
        }
        // Up to sixteen bytes as two words, which may have bytes in common.
        let (first, last) =
            ends_of_eight(rest).or_else(|| ends_of_four(rest)).unwrap_or_else(|| {
                let at = |at: usize| rest.get(at).copied().map_or(0, u64::from);
                (at(0) | at(1) << 8 | at(2) << 16, 0)
            });
        self.0 = folded(self.0 ^ first, SPREAD ^ last.wrapping_add(bytes.len() as u64));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = folded(self.0 ^ value, SPREAD);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Both halves of a product, joined: as good as two plain steps, and quicker than one.
#[inline]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

fn ends_of_eight(bytes: &[u8]) -> Option<(u64, u64)> {
    Some((u64::from_le_bytes(*bytes.first_chunk()?), u64::from_le_bytes(*bytes.last_chunk()?)))
}

fn ends_of_four(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
    Some((u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into()))
}

/// Finds things again by their hashes, in a list that its owner keeps: four bytes each, where a
/// map would hold the hashes a second time.
#[derive(Debug)]
pub(crate) struct Finder {
    /// Indices into the list, or [`FREE`]; twice as many as there are things, at least.
    slots: Vec<u32>,
    /// As of [`Quick`].
    seed: u64,
}

/// Nothing is in this slot.
const FREE: u32 = u32::MAX;

impl Finder {
    /// With room for so many things.
    pub(crate) fn with_room(count: usize) -> Self {
        let slots = count.saturating_mul(2).next_power_of_two();
        Self { slots: vec![FREE; slots], seed: Quick::default().0 }
    }

    /// The index of the thing with a hash; if there is none, that of `next`, which is one now.
    /// `hash_of` tells the hash of a thing that was put in before.
    pub(crate) fn find_or(&mut self, hash: u64, next: u32, hash_of: impl Fn(u32) -> u64) -> u32 {
        let last = self.slots.len() - 1;
        let mut at = join(self.seed, hash) as usize & last;
        loop {
            match self.slots[at] {
                FREE => {
                    self.slots[at] = next;
                    return next;
                }
                found if hash_of(found) == hash => return found,
                _ => at = (at + 1) & last,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    #[test]
    fn a_table_in_memory_tells_texts_apart_by_each_byte_and_their_length() {
        let quick = super::Quick::default();
        let mut seen = std::collections::HashSet::new();
        let text = b"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
        for length in 0..text.len() {
            assert!(seen.insert(quick.hash_one(&text[..length])), "{length}");
            for changed in 0..length {
                let mut other = text[..length].to_vec();
                other[changed] = b'-';
                assert!(seen.insert(quick.hash_one(other.as_slice())), "{length} {changed}");
            }
        }
        assert_ne!(quick.hash_one(("ab", "c")), quick.hash_one(("a", "bc")));
        assert_ne!(quick.hash_one((1_u64, 2_u64)), quick.hash_one((2_u64, 1_u64)));
    }

    #[test]
    fn what_was_put_in_is_found_again() {
        let hashes: Vec<u64> = (0..1_000).map(|at| at % 700 * 4_096).collect();
        let mut finder = super::Finder::with_room(hashes.len());
        let mut list: Vec<u64> = Vec::new();
        for hash in hashes {
            let next = list.len() as u32;
            let found = finder.find_or(hash, next, |at| list[at as usize]);
            assert_eq!(found, (hash / 4_096) as u32);
            if found == next {
                list.push(hash);
            }
        }
        assert_eq!(list.len(), 700);
    }

    #[test]
    fn stays_the_same_for_ever() {
        let cases = [("", super::of(b"")), ("12345678", super::of(b"12345678"))];
        for (text, hash) in cases {
            assert_eq!(hash, super::of(text.as_bytes()));
        }
        assert_ne!(super::of(b"a"), super::of(b"a\0"));
        assert_ne!(super::of(b"12345678"), super::of(b"12345678\0"));
        assert_ne!(super::join(super::join(1, 2), 3), super::join(super::join(1, 3), 2));
        assert_ne!(super::chain(super::chain(1, 2), 3), super::chain(super::chain(1, 3), 2));
    }
}
