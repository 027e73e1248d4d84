//! Ages of what is live in a `profile.proto` of the probe: a label `age` says that a sample is at
//! least so many seconds old, and a comment that the label means that. In: strings and labels.
//! Out: [`Ages`]. Other writers' labels of that name are left alone. Pure.

use super::sample::Sample;
use crate::profile::{Aged, Ages, Cell};

/// Different ages that are taken; the probe tells 25.
const AGES_MAX: usize = 64;

/// The comment without which the label is a stranger's.
const SAID: &str = "ages_lost=";

/// Ages while samples are read.
#[derive(Debug, Default)]
pub(super) struct AgeLabels {
    key: Option<i64>,
    /// Ages seen, seconds, in the order of their coming.
    ages: Vec<i64>,
    /// The bracket is an index into `ages`.
    rows: Vec<Aged>,
}

impl AgeLabels {
    /// Looks for the label among the strings of a profile.
    pub(super) fn find<'a>(strings: impl Iterator<Item = &'a str> + Clone) -> Self {
        let key = (0..).zip(strings.clone()).find(|(_, text)| *text == "age");
        let said = key.is_some() && strings.clone().any(|text| text.starts_with(SAID));
        Self { key: key.map(|(key, _)| key).filter(|_| said), ..Self::default() }
    }

    /// Takes what a sample says of its age.
    pub(super) fn note(&mut self, at: usize, sample: &Sample, cell: &Cell) {
        let Some(key) = self.key else { return };
        let Some((_, age)) = sample.labels.iter().find(|(name, _)| *name == key) else { return };
        let known = self.ages.iter().position(|known| known == age);
        let bracket = known.unwrap_or(self.ages.len());
        if known.is_none() {
            if *age < 0 || self.ages.len() == AGES_MAX {
                return;
            }
            self.ages.push(*age);
        }
        self.rows.push(Aged {
            at: at as u32,
            bracket: bracket as u32,
            bytes: cell.live_bytes,
            samples: cell.live_samples.unwrap_or(0.0),
        });
    }

    /// The ages, where any was told.
    pub(super) fn finish(mut self) -> Option<Ages> {
        if self.rows.is_empty() {
            return None;
        }
        // The lower bound of each class is the upper end of the bracket before; 0 is nobody's.
        let mut bounds: Vec<i64> = self.ages.iter().copied().filter(|age| *age > 0).collect();
        bounds.sort_unstable();
        for row in &mut self.rows {
            let age = self.ages[row.bracket as usize];
            row.bracket = bounds.partition_point(|bound| *bound <= age) as u32;
        }
        Some(Ages { bounds_s: bounds.iter().map(|bound| *bound as f64).collect(), rows: self.rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(strings: &[&str], told: &[(i64, f64)]) -> Option<Ages> {
        let mut labels = AgeLabels::find(strings.iter().copied());
        for (at, (age, bytes)) in told.iter().enumerate() {
            let sample = Sample { labels: vec![(2, *age)], ..Sample::default() };
            let live_samples = Some(bytes / 8.0);
            let cell = Cell { live_bytes: *bytes, live_samples, ..Cell::default() };
            labels.note(at, &sample, &cell);
        }
        labels.finish()
    }

    #[test]
    fn ages_are_put_into_brackets() {
        let strings = ["", "bytes", "age", "ages_lost=0"];
        let ages =
            read(&strings, &[(64, 80.0), (0, 16.0), (2, 8.0), (64, 8.0), (-1, 8.0)]).unwrap();
        assert_eq!(ages.bounds_s, [2.0, 64.0]);
        let row = |at, bracket, bytes: f64| Aged { at, bracket, bytes, samples: bytes / 8.0 };
        assert_eq!(ages.rows, [row(0, 2, 80.0), row(1, 0, 16.0), row(2, 1, 8.0), row(3, 2, 8.0)]);
    }

    #[test]
    fn labels_of_strangers_and_too_many_ages_are_left_alone() {
        assert_eq!(read(&["", "bytes", "age"], &[(64, 80.0)]), None);
        assert_eq!(read(&["", "bytes", "ages", "ages_lost=0"], &[(64, 80.0)]), None);
        let strings = ["", "bytes", "age", "ages_lost=7"];
        assert_eq!(read(&strings, &[]), None);
        let many: Vec<(i64, f64)> = (1..200).map(|age| (age, 8.0)).collect();
        let ages = read(&strings, &many).unwrap();
        assert_eq!((ages.bounds_s.len(), ages.rows.len()), (AGES_MAX, AGES_MAX));
    }
}
