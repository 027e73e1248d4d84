//! Which samples are new since the snapshot before. In: profiles of one process, in order, whose
//! samples have numbers that only rise. Out: the same profiles, with the samples ever seen at each
//! stack, so that what was replaced is told from what stayed. Formats that count what was ever
//! allocated need none of this, and are left as they are. Pure.

use crate::hash;
use crate::profile::{Profile, StackSample};
use std::collections::{HashMap, HashSet};

/// The samples seen so far.
#[derive(Clone, Debug, Default)]
pub struct Ages {
    newest: u64,
    /// By hash of the stack.
    seen: HashMap<u64, f64>,
}

impl Ages {
    /// Adds to each stack how many samples were ever seen there. A profile whose numbers begin
    /// anew is another process's, or another session's, and is the first again.
    pub fn note(&mut self, profile: &mut Profile) {
        let Some(newest) = profile.ordinals.iter().map(|(_, ordinal)| *ordinal).max() else {
            return;
        };
        if newest < self.newest {
            *self = Self::default();
        }
        let mut came = vec![0.0; profile.stacks.len()];
        for (stack, ordinal) in &profile.ordinals {
            if let Some(count) = came.get_mut(*stack as usize).filter(|_| *ordinal > self.newest) {
                *count += 1.0;
            }
        }
        let names: Vec<u64> = profile.locations.iter().map(name).collect();
        let keys: Vec<u64> = profile.stacks.iter().map(|stack| key(stack, &names)).collect();
        for (key, came) in keys.iter().zip(came) {
            *self.seen.entry(*key).or_default() += came;
        }
        // Functions of one name on one line make equal stacks, whose cells are added later on:
        // the first of them has what all of them have seen.
        let mut told = HashSet::with_capacity(keys.len());
        for (stack, key) in profile.stacks.iter_mut().zip(keys) {
            let seen = if told.insert(key) { self.seen.get(&key).copied() } else { None };
            stack.cell.alloc_samples = Some(seen.unwrap_or(0.0));
        }
        self.newest = newest;
    }
}

fn name(location: &crate::profile::Location) -> u64 {
    location.frames.iter().fold(0, |hash, frame| {
        let named = hash::join(hash, hash::of(frame.function.as_bytes()));
        hash::join(hash::join(named, hash::of(frame.file.as_bytes())), u64::from(frame.line))
    })
}

fn key(stack: &StackSample, names: &[u64]) -> u64 {
    let frames = stack.frames.iter().filter_map(|at| names.get(*at as usize));
    frames.fold(stack.frames.len() as u64, |hash, name| hash::join(hash, *name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::profile::Location;
    use std::sync::Arc;

    fn profile(ordinals: &[u64]) -> Profile {
        let frames = vec![Arc::new(Frame::named("keep", "/app/a.js", 3))];
        Profile {
            stacks: vec![StackSample { frames: vec![0], ..StackSample::default() }],
            locations: vec![Location { frames, ..Location::default() }],
            ordinals: ordinals.iter().map(|ordinal| (0, *ordinal)).collect(),
            ..Profile::default()
        }
    }

    #[test]
    fn samples_are_counted_once_however_long_they_stay() {
        let mut ages = Ages::default();
        let mut seen = |ordinals: &[u64]| {
            let mut profile = profile(ordinals);
            ages.note(&mut profile);
            profile.stacks[0].cell.alloc_samples
        };
        assert_eq!(seen(&[1, 4]), Some(2.0));
        assert_eq!(seen(&[1, 4, 9, 12]), Some(4.0), "two came");
        assert_eq!(seen(&[9, 20]), Some(5.0), "one came, three went");
        assert_eq!(seen(&[2]), Some(1.0), "another session");
        assert_eq!(seen(&[]), None);
    }

    #[test]
    fn functions_of_one_name_and_line_are_counted_once() {
        // As in a file that was made small: all of it is one line.
        let mut profile = profile(&[1, 4]);
        let twin = profile.locations[0].clone();
        profile.locations.push(twin);
        profile.stacks.push(StackSample { frames: vec![1], ..StackSample::default() });
        profile.ordinals.extend([(1, 5), (1, 6), (1, 7)]);
        let mut ages = Ages::default();
        for sum in [5.0, 5.0] {
            ages.note(&mut profile);
            let seen = profile.stacks.iter().map(|stack| stack.cell.alloc_samples);
            assert_eq!(seen.collect::<Vec<_>>(), [Some(sum), Some(0.0)]);
        }
    }
}
