//! Segments: a load cut into parts that together are exactly the load, by machine and by thread.
//! Pure.
//!
//! In: `i/N`. Out: which arrivals, users and iterations belong to part i: those whose number
//! leaves i when it is divided by N. A load that is not cut is segment 0/1. Who runs the other
//! parts, and joining what they measured, is left to others.

use std::fmt;
use std::str::FromStr;

/// Parts at most: more than anybody has machines for.
pub const SEGMENTS_MAX: u64 = 100_000;

/// One part of a load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    index: u64,
    count: u64,
}

impl Default for Segment {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Segment {
    /// Part `index` of `count`; none unless the index lies below the count.
    #[must_use]
    pub fn new(index: u64, count: u64) -> Option<Self> {
        (index < count && count <= SEGMENTS_MAX).then_some(Self { index, count })
    }

    /// Which part, from 0.
    #[must_use]
    pub fn index(self) -> u64 {
        self.index
    }

    /// Of how many.
    #[must_use]
    pub fn count(self) -> u64 {
        self.count
    }

    /// Whether it does what is done once for all parts: setup and teardown.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.index == 0
    }

    /// Whether it is the whole load.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Whether what has this number belongs to it.
    #[must_use]
    pub fn holds(self, number: u64) -> bool {
        number % self.count == self.index
    }

    /// How many of the numbers below `total` belong to it.
    #[must_use]
    pub fn share(self, total: u64) -> u64 {
        total / self.count + u64::from(self.index < total % self.count)
    }

    /// Its numbers, in order.
    pub fn numbers(self) -> impl Iterator<Item = u64> {
        (0_u64..).map(move |nth| self.nth(nth))
    }

    /// Its n-th number.
    #[must_use]
    pub fn nth(self, n: u64) -> u64 {
        self.index + n * self.count
    }

    /// Part `place` of `of` of this part, numbered anew: what leaves `place` when the places of
    /// its numbers are divided by `of`.
    #[must_use]
    pub fn split(self, place: u64, of: u64) -> Self {
        let of = of.max(1);
        Self { index: self.index + self.count * (place % of), count: self.count * of }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Segment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is not a segment (write `0/3`, `1/3` and `2/3` for the three parts of a \
                 load)"
            )
        };
        let (index, count) = text.split_once('/').ok_or_else(bad)?;
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| bad());
        Self::new(number(index)?, number(count)?).ok_or_else(bad)
    }
}
