//! Numbers that look random and depend on a seed alone (SplitMix64, Steele and others 2014).
//! In: a seed. Out: numbers. Shared by all requests, so it is one atomic counter: which request
//! gets which number depends on their order, and what the numbers are does not.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Odd, and its bits look random: the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of numbers.
pub(crate) struct Random {
    state: AtomicU64,
}

impl Random {
    /// The numbers of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&self, bound: usize) -> usize {
        let mut bits = self.state.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((u128::from(bits) * bound as u128) >> 64) as usize
    }
}
