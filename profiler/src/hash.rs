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
        self.0 = after(self.0, bytes);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = join(self.0, value);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn stays_the_same_for_ever() {
        let cases = [("", super::of(b"")), ("12345678", super::of(b"12345678"))];
        for (text, hash) in cases {
            assert_eq!(hash, super::of(text.as_bytes()));
        }
        assert_ne!(super::of(b"a"), super::of(b"a\0"));
        assert_ne!(super::of(b"12345678"), super::of(b"12345678\0"));
        assert_ne!(super::join(super::join(1, 2), 3), super::join(super::join(1, 3), 2));
    }
}
