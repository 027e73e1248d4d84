//! The ids of a snapshot's objects as a set. In: a [`Heap`]. Out: whether an id is in it. A bit
//! for each id where ids stand close, as V8's do, and a sorted list where a file has them spread
//! so that bits would take more room than the heap itself.

use super::heap::Heap;

/// Bytes of bits for each node that are worth their room: a list takes four.
const BYTES_PER_NODE: usize = 16;

/// A set of ids.
#[derive(Debug)]
pub(super) enum Ids {
    /// A bit for each id up to the largest.
    Bits(Vec<u64>),
    /// In order.
    List(Vec<u32>),
}

impl Ids {
    /// The ids of a heap.
    pub(super) fn of(heap: &Heap) -> Self {
        let words = heap.ids.iter().max().map_or(0, |id| *id as usize / 64 + 1);
        if words * 8 > heap.len() * BYTES_PER_NODE {
            let mut list = heap.ids.clone();
            list.sort_unstable();
            return Self::List(list);
        }
        let mut bits = vec![0_u64; words];
        for id in &heap.ids {
            bits[*id as usize / 64] |= 1 << (id % 64);
        }
        Self::Bits(bits)
    }

    /// Whether an id is one of them.
    pub(super) fn contains(&self, id: u32) -> bool {
        match self {
            Self::Bits(bits) => {
                bits.get(id as usize / 64).is_some_and(|word| word & (1 << (id % 64)) != 0)
            }
            Self::List(list) => list.binary_search(&id).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_hold_what_was_put_in() {
        for ids in [vec![1, 3, 5, 127, 128], vec![1, u32::MAX, 70_000_000]] {
            let heap = Heap { kinds: vec![0; ids.len()], ids: ids.clone(), ..Heap::default() };
            let set = Ids::of(&heap);
            assert!(ids.iter().all(|id| set.contains(*id)), "{set:?}");
            assert!([0, 2, 129, u32::MAX - 1].iter().all(|id| !set.contains(*id)));
        }
    }
}
