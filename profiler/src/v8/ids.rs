//! The ids of a snapshot's objects as a set. In: a [`Heap`]. Out: whether an id is in it. A bit
//! for each id where ids stand close, as V8 counts them, and a sorted list for those far out, as it
//! makes of addresses outside its heap, so that bits never take more room than the ids themselves.

use super::heap::Heap;

/// Bytes of bits for each node, at most: as many as its id takes.
const BYTES_PER_NODE: usize = 4;

/// A set of ids.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// A bit for each id from 0 on.
    bits: Vec<u64>,
    /// Those for which there is no bit, in order.
    far: Vec<u32>,
}

impl Ids {
    /// The ids of a heap.
    pub(super) fn of(heap: &Heap) -> Self {
        let last = heap.ids.iter().max().map_or(0, |id| *id as usize / 64);
        let words = (last + 1).min(heap.len() * BYTES_PER_NODE / 8);
        let mut ids = Self { bits: vec![0; words], far: Vec::new() };
        for id in &heap.ids {
            match ids.bits.get_mut(*id as usize / 64) {
                Some(word) => *word |= 1 << (id % 64),
                None => ids.far.push(*id),
            }
        }
        ids.far.sort_unstable();
        ids
    }

    /// Whether an id is one of them.
    pub(super) fn contains(&self, id: u32) -> bool {
        match self.bits.get(id as usize / 64) {
            Some(word) => word & (1 << (id % 64)) != 0,
            None => self.far.binary_search(&id).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_ids_are_held_and_no_others() {
        for ids in [vec![1, 3, 5, 127, 128], vec![1, u32::MAX, 70_000_000]] {
            let heap = Heap { kinds: vec![0; ids.len()], ids: ids.clone(), ..Heap::default() };
            let set = Ids::of(&heap);
            assert!(ids.iter().all(|id| set.contains(*id)), "{set:?}");
            assert!([0, 2, 129, u32::MAX - 1].iter().all(|id| !set.contains(*id)));
        }
    }
}
