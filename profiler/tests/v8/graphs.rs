//! Dominators against brute force: a node dominates another when without it no way from the root
//! is left.
//!
//! In: random graphs of a seed. Out: dead or alive, for each node of each.

use super::draw::Drawing;
use ebbtide_profiler::v8::{Dominators, Heap};

/// A generator of small numbers (xorshift64, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Nodes that the root reaches when one of them is taken away.
fn reached(drawing: &Drawing, without: Option<usize>) -> Vec<bool> {
    let mut seen = vec![false; drawing.nodes.len()];
    let mut stack = if without == Some(0) { vec![] } else { vec![0] };
    while let Some(node) = stack.pop() {
        if std::mem::replace(&mut seen[node], true) {
            continue;
        }
        for (from, to, kind, _) in &drawing.edges {
            let strong = *kind < 2 || (*kind == 2 && *from == 0);
            if *from == node && strong && Some(*to) != without {
                stack.push(*to);
            }
        }
    }
    seen
}

#[test]
fn dominators_are_those_of_brute_force() {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for round in 0..400 {
        let count = 1 + numbers.below(14);
        let nodes = (0..count).map(|place| (1, "Node", 1 << place)).collect();
        let edges = (0..numbers.below(3 * count + 1))
            .map(|_| (numbers.below(count), numbers.below(count), numbers.below(4), "edge"))
            .collect();
        let drawing = Drawing { nodes, edges };
        let heap = Heap::read(drawing.text().as_bytes()).unwrap();
        let dominators = Dominators::of(&heap);
        let all = reached(&drawing, None);
        for node in 0..count {
            let left = reached(&drawing, Some(node));
            // Each node has a bit of its own as size: the sum tells the set.
            let kept: u64 =
                (0..count).filter(|other| all[*other] && !left[*other]).map(|n| 1 << n).sum();
            let told = dominators.retained_by(node as u32);
            assert_eq!(told, kept, "round {round}, node {node}: {drawing:?}");
        }
    }
}
