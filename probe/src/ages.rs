//! Created and dropped counters of one census place, cut by the second of birth, so that the
//! ages of what lives are known although a creation and a drop cost one addition each.
//! In: births and drops with the probe's clock in whole seconds. Out: [`Tally`].
//! Births of the last 16 s stand in cells of one second, sharded; [`Ages::fold`] moves older ones
//! into cells of ten seconds, and after 640 s into one sum. Totals are exact whatever races with
//! a move; an age may be off by a second for an object that is dropped at that instant.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Counters of one number, so that threads seldom write to the same cache line.
pub(crate) const SHARDS: usize = 16;

/// Upper bounds of the reported ages, seconds; a last class has none.
pub(crate) const BOUNDS_S: [u64; 4] = [1, 10, 60, 600];

/// Cells of one second. Sixteen make a shard's row two cache lines.
const YOUNG: u32 = 16;

/// Cells of [`SPAN_S`] seconds: enough to tell 600 s after the young ones.
const MIDDLE: u32 = 64;

/// Seconds of birth in a middle cell.
const SPAN_S: u32 = 10;

/// Created and dropped counts of one span of birth.
struct Cell {
    created: AtomicU32,
    dropped: AtomicU32,
}

impl Cell {
    const fn new() -> Self {
        Self { created: AtomicU32::new(0), dropped: AtomicU32::new(0) }
    }
}

/// The cells of one shard, alone on their cache lines.
#[repr(align(128))]
struct Row([Cell; YOUNG as usize]);

/// Counters of one place.
pub(crate) struct Ages {
    rows: [Row; SHARDS],
    middle: [Cell; MIDDLE as usize],
    created: AtomicU64,
    dropped: AtomicU64,
}

/// What the counters of one place, or of several, add up to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Ever created.
    pub(crate) created: u64,
    /// Ever dropped.
    pub(crate) dropped: u64,
    /// Live objects by [`BOUNDS_S`]; the last class is older than all bounds.
    pub(crate) live_by_age: [i64; BOUNDS_S.len() + 1],
}

impl Tally {
    /// Adds another place's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.dropped += other.dropped;
        for (sum, part) in self.live_by_age.iter_mut().zip(other.live_by_age) {
            *sum += part;
        }
    }

    fn cell(&mut self, age_s: u64, created: u32, dropped: u32) {
        let class = BOUNDS_S.iter().position(|&bound| age_s <= bound).unwrap_or(BOUNDS_S.len());
        self.created += u64::from(created);
        self.dropped += u64::from(dropped);
        self.live_by_age[class] += i64::from(created) - i64::from(dropped);
    }
}

impl Ages {
    #[expect(clippy::declare_interior_mutable_const, reason = "a pattern to repeat, never read")]
    pub(crate) const fn new() -> Self {
        const CELL: Cell = Cell::new();
        const ROW: Row = Row([CELL; YOUNG as usize]);
        Self {
            rows: [ROW; SHARDS],
            middle: [CELL; MIDDLE as usize],
            created: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Counts an object born in second `now`.
    #[inline]
    pub(crate) fn create(&self, shard: usize, now: u32) {
        self.rows[shard % SHARDS].0[(now % YOUNG) as usize].created.fetch_add(1, Relaxed);
    }

    /// Counts the drop, in second `now`, of an object born in second `birth`.
    #[inline]
    pub(crate) fn drop(&self, shard: usize, birth: u32, now: u32) {
        if now.wrapping_sub(birth) < YOUNG {
            self.rows[shard % SHARDS].0[(birth % YOUNG) as usize].dropped.fetch_add(1, Relaxed);
        } else if (now - YOUNG) / SPAN_S - birth / SPAN_S < MIDDLE {
            self.middle[middle_of(birth)].dropped.fetch_add(1, Relaxed);
        } else {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Makes room for births in second `next`: what was born [`YOUNG`] seconds before leaves its
    /// cell. Called once per second, before the clock shows `next`, by one thread at a time.
    pub(crate) fn fold(&self, next: u32) {
        let Some(birth) = next.checked_sub(YOUNG) else { return };
        let middle = &self.middle[middle_of(birth)];
        if birth % SPAN_S == 0 {
            self.created.fetch_add(u64::from(middle.created.swap(0, Relaxed)), Relaxed);
            self.dropped.fetch_add(u64::from(middle.dropped.swap(0, Relaxed)), Relaxed);
        }
        for row in &self.rows {
            let cell = &row.0[(birth % YOUNG) as usize];
            // A look before the swap keeps the lines of idle shards unwritten.
            if cell.created.load(Relaxed) > 0 {
                middle.created.fetch_add(cell.created.swap(0, Relaxed), Relaxed);
            }
            if cell.dropped.load(Relaxed) > 0 {
                middle.dropped.fetch_add(cell.dropped.swap(0, Relaxed), Relaxed);
            }
        }
    }

    /// Adds up at second `now`. Must not run together with [`Self::fold`].
    pub(crate) fn tally(&self, now: u32) -> Tally {
        let mut tally = Tally::default();
        for back in 0..YOUNG.min(now + 1) {
            let index = ((now - back) % YOUNG) as usize;
            for row in &self.rows {
                let cell = &row.0[index];
                // Dropped first: what is created and dropped in between then never shows as -1.
                let dropped = cell.dropped.load(Relaxed);
                tally.cell(u64::from(back), cell.created.load(Relaxed), dropped);
            }
        }
        if let Some(newest) = now.checked_sub(YOUNG) {
            for back in 0..MIDDLE.min(newest / SPAN_S + 1) {
                let span = newest / SPAN_S - back;
                let cell = &self.middle[(span % MIDDLE) as usize];
                let dropped = cell.dropped.load(Relaxed);
                let age_s = now - (span * SPAN_S + SPAN_S / 2).min(newest);
                tally.cell(u64::from(age_s), cell.created.load(Relaxed), dropped);
            }
        }
        let dropped = self.dropped.load(Relaxed);
        let created = self.created.load(Relaxed);
        tally.created += created;
        tally.dropped += dropped;
        tally.live_by_age[BOUNDS_S.len()] += created.cast_signed() - dropped.cast_signed();
        tally
    }
}

fn middle_of(birth: u32) -> usize {
    ((birth / SPAN_S) % MIDDLE) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets the clock run from second `from` to `to`.
    fn run(ages: &Ages, from: u32, to: u32) {
        (from + 1..=to).for_each(|next| ages.fold(next));
    }

    #[test]
    fn an_object_grows_old_class_by_class() {
        let ages = Ages::new();
        ages.create(3, 5);
        let mut now = 5;
        for (age, class) in [(0, 0), (1, 0), (2, 1), (10, 1), (11, 2), (16, 2), (50, 2), (80, 3)]
            .into_iter()
            .chain([(590, 3), (700, 4), (5_000, 4)])
        {
            run(&ages, now, 5 + age);
            now = 5 + age;
            let tally = ages.tally(now);
            let mut expected = [0; 5];
            expected[class] = 1;
            assert_eq!(tally.live_by_age, expected, "{age} s");
            assert_eq!((tally.created, tally.dropped), (1, 0));
        }
        ages.drop(7, 5, now);
        assert_eq!(ages.tally(now), Tally { created: 1, dropped: 1, live_by_age: [0; 5] });
    }

    #[test]
    fn a_drop_finds_its_birth_at_any_age() {
        for age in [0, 1, 14, 15, 16, 17, 25, 26, 300, 640, 655, 656, 670, 2_000] {
            for birth in [0, 9, 10, 15, 16, 163] {
                let ages = Ages::new();
                run(&ages, 0, birth);
                (0..3).for_each(|shard| ages.create(shard, birth));
                run(&ages, birth, birth + age);
                ages.drop(9, birth, birth + age);
                let tally = ages.tally(birth + age);
                let classes = tally.live_by_age.iter().filter(|&&live| live != 0).count();
                assert_eq!((tally.created, tally.dropped, classes), (3, 1, 1), "{birth} + {age}");
                assert_eq!(tally.live_by_age.iter().sum::<i64>(), 2, "{birth} + {age}");
            }
        }
    }
}
