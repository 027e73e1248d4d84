//! Why a node is still there: the shortest way from the root to it, over strong edges.
//!
//! In: a [`Heap`]. Out: steps, each the name of an edge and of what holds it. Which nodes are
//! worth asking for is left to `compare`.

use super::dominators::{NONE, Strong};
use super::heap::Heap;
use std::collections::VecDeque;
use std::fmt;

/// One step of a way: a property, an element or a variable of what holds the next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// What holds it: the name of a constructor, a function, or of what V8 calls it.
    pub holder: String,
    /// What V8 calls it: `object`, `closure`, `array`, ...
    pub holder_type: String,
    /// By what: `.handlers`, `[3]`, `context variable`.
    pub edge: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.holder, self.edge)
    }
}

/// Holders that are V8's own books: what a literal is copied from, names that are kept once.
const BOOKS: [&str; 5] = [
    "system / FeedbackVector",
    "system / AllocationSite",
    "system / ObjectBoilerplateDescription",
    "system / BytecodeArray",
    "(Internalized strings)",
];

/// Whether a way leads through the books of V8, and so tells nothing of the program.
#[must_use]
pub fn is_of_engine(way: &[Step]) -> bool {
    way.is_empty() || way.iter().any(|step| BOOKS.contains(&step.holder.as_str()))
}

/// Shortest ways from the root to every node.
#[derive(Debug)]
pub struct Paths {
    /// The edge by which each node is first reached.
    edges: Vec<u32>,
    /// The node that this edge leaves.
    holders: Vec<u32>,
}

impl Paths {
    /// The ways of a heap: 8 bytes for each node.
    #[must_use]
    pub fn of(heap: &Heap) -> Self {
        let strong = Strong::of(heap);
        let mut paths = Self { edges: vec![NONE; heap.len()], holders: vec![NONE; heap.len()] };
        paths.holders[0] = 0;
        let mut queue = VecDeque::from([0_u32]);
        while let Some(node) = queue.pop_front() {
            for edge in heap.edges(node) {
                let target = heap.edge_targets[edge];
                if paths.holders[target as usize] == NONE && strong.keeps(heap, node, edge) {
                    paths.holders[target as usize] = node;
                    paths.edges[target as usize] = edge as u32;
                    queue.push_back(target);
                }
            }
        }
        paths
    }

    /// The way to a node, from the root; empty when there is none.
    #[must_use]
    pub fn to(&self, heap: &Heap, node: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut node = node;
        while node != 0 {
            let (holder, edge) = (self.holders[node as usize], self.edges[node as usize]);
            if holder == NONE || edge == NONE {
                return Vec::new();
            }
            steps.push(Step {
                holder: heap.strings.text(heap.names[holder as usize]).into_owned(),
                holder_type: heap.node_type(holder).to_owned(),
                edge: edge_name(heap, edge as usize),
            });
            node = holder;
        }
        steps.reverse();
        steps
    }
}

fn edge_name(heap: &Heap, edge: usize) -> String {
    let name = heap.edge_names[edge];
    match heap.edge_types[usize::from(heap.edge_kinds[edge])].as_str() {
        "element" | "hidden" => format!("[{name}]"),
        "context" => format!(" (variable {})", heap.strings.text(name)),
        "internal" => format!(" ({})", heap.strings.text(name)),
        _ => format!(".{}", heap.strings.text(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_v8_copies_literals_from_is_nobodys() {
        let way = |holder: &str| {
            vec![Step {
                holder: holder.to_owned(),
                holder_type: String::new(),
                edge: String::new(),
            }]
        };
        assert!(is_of_engine(&way("system / FeedbackVector")) && is_of_engine(&[]));
        assert!(!is_of_engine(&way("system / Context")) && !is_of_engine(&way("Map")));
    }
}
