//! Why a node is still there: the shortest way from the root to it, over strong edges.
//!
//! In: a [`Heap`]. Out: steps, each the name of an edge and of what holds it. Which nodes are
//! worth asking for is left to `compare`.

use super::dominators::{NONE, Strong};
use super::heap::Heap;
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

/// Shortest ways from the root.
#[derive(Debug)]
pub struct Paths {
    /// The edge by which each node is first reached.
    edges: Vec<u32>,
}

impl Paths {
    /// The ways to all nodes of a heap: 4 bytes for each.
    #[must_use]
    pub fn of(heap: &Heap) -> Self {
        Self::found(heap, |_| false)
    }

    /// The ways to some nodes: those to others may be missing.
    pub(super) fn toward(heap: &Heap, nodes: &[u32]) -> Self {
        Self::found(heap, |edges| nodes.iter().all(|node| edges[*node as usize] != NONE))
    }

    /// Looks for ways of one more step each time, until all that is there was reached, or it is
    /// `enough`.
    fn found(heap: &Heap, enough: impl Fn(&[u32]) -> bool) -> Self {
        let strong = Strong::of(heap);
        let mut edges = vec![NONE; heap.len()];
        let (mut here, mut next) = (vec![0_u32], Vec::new());
        while !here.is_empty() && !enough(&edges) {
            for node in here.drain(..) {
                for edge in heap.edges(node) {
                    let target = heap.edge_targets[edge];
                    let is_new = target != 0 && edges[target as usize] == NONE;
                    if is_new && strong.keeps(heap, node, edge) {
                        edges[target as usize] = edge as u32;
                        next.push(target);
                    }
                }
            }
            std::mem::swap(&mut here, &mut next);
        }
        Self { edges }
    }

    /// The way to a node, from the root; empty when there is none.
    #[must_use]
    pub fn to(&self, heap: &Heap, node: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut node = node;
        while node != 0 {
            let edge = self.edges[node as usize];
            if edge == NONE {
                return Vec::new();
            }
            let holder = heap.holder_of(edge);
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
