//! A hash that is the same on every machine and in every version: identifiers of sites and
//! stacks are kept in files and compared between runs. In: bytes. Out: 64 bits. Not against
//! adversaries. Pure.

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
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(SPREAD, |hash, word| join(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    join(join(hash, u64::from_le_bytes(last)), bytes.len() as u64)
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
