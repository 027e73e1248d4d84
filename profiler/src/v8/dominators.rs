//! What would be freed with a node: dominators over strong edges, and retained sizes.
//!
//! In: a [`Heap`]. Out: for each node its immediate dominator, and the bytes that only it keeps.
//! Who keeps a node, by name, is left to `path`.
//!
//! Source: Lengauer and Tarjan 1979 in the form of Georgiadis 2005 (semi-dominators and nearest
//! common ancestors), without recursion. Which edges keep a node alive: Chrome's DevTools, all but
//! weak ones, and shortcuts only where they leave the root.

use super::heap::Heap;

/// No node.
pub const NONE: u32 = u32::MAX;

/// The dominator tree of a heap.
#[derive(Debug)]
pub struct Dominators {
    /// Immediate dominator of each node; [`NONE`] for the root and for what it does not reach.
    pub parents: Vec<u32>,
    /// Own bytes of each node and of all it dominates.
    pub retained: Vec<u64>,
    /// Nodes as a walk from the root first meets them.
    pub order: Vec<u32>,
}

/// Whether an edge keeps what it leads to.
pub(super) struct Strong {
    weak: Option<u8>,
    shortcut: Option<u8>,
}

impl Strong {
    pub(super) fn of(heap: &Heap) -> Self {
        Self { weak: heap.edge_type("weak"), shortcut: heap.edge_type("shortcut") }
    }

    pub(super) fn keeps(&self, heap: &Heap, from: u32, edge: usize) -> bool {
        let kind = Some(heap.edge_kinds[edge]);
        kind != self.weak && (kind != self.shortcut || from == 0)
    }
}

/// A walk from the root: nodes in the order of their first visit, each with the number of the one
/// it was reached from.
struct Walk {
    order: Vec<u32>,
    numbers: Vec<u32>,
    parents: Vec<u32>,
}

impl Dominators {
    /// The dominator tree of a heap.
    #[must_use]
    pub fn of(heap: &Heap) -> Self {
        let strong = Strong::of(heap);
        let walk = walk(heap, &strong);
        let idoms = immediate(heap, &strong, &walk);
        let mut parents = vec![NONE; heap.len()];
        let mut retained: Vec<u64> = heap.sizes.clone();
        // Whoever is dominated has a higher number than its dominator.
        for number in (1..walk.order.len()).rev() {
            let (node, parent) = (walk.order[number], walk.order[idoms[number] as usize]);
            parents[node as usize] = parent;
            retained[parent as usize] += retained[node as usize];
        }
        Self { parents, retained, order: walk.order }
    }
}

fn walk(heap: &Heap, strong: &Strong) -> Walk {
    let mut numbers = vec![NONE; heap.len()];
    let (mut order, mut parents) = (vec![0], vec![0]);
    numbers[0] = 0;
    let mut stack = vec![(0_u32, heap.first_edges[0])];
    while let Some((node, edge)) = stack.last_mut() {
        if *edge == heap.first_edges[*node as usize + 1] {
            stack.pop();
            continue;
        }
        let (from, at) = (*node, *edge as usize);
        *edge += 1;
        let target = heap.edge_targets[at];
        if numbers[target as usize] == NONE && strong.keeps(heap, from, at) {
            numbers[target as usize] = order.len() as u32;
            parents.push(numbers[from as usize]);
            order.push(target);
            stack.push((target, heap.first_edges[target as usize]));
        }
    }
    Walk { order, numbers, parents }
}

/// Calls `take` with both ends, by number, of each edge that keeps what it leads to.
fn each_strong(heap: &Heap, strong: &Strong, walk: &Walk, mut take: impl FnMut(u32, u32)) {
    for (number, node) in walk.order.iter().enumerate() {
        for edge in heap.edges(*node) {
            if strong.keeps(heap, *node, edge) {
                take(number as u32, walk.numbers[heap.edge_targets[edge] as usize]);
            }
        }
    }
}

/// Who has an edge to each node, by number: begins of the lists, and the lists in one.
fn predecessors(heap: &Heap, strong: &Strong, walk: &Walk) -> (Vec<u32>, Vec<u32>) {
    let count = walk.order.len();
    let mut begins = vec![0_u32; count + 1];
    each_strong(heap, strong, walk, |_, to| begins[to as usize + 1] += 1);
    for place in 0..count {
        begins[place + 1] += begins[place];
    }
    let mut lists = vec![0_u32; begins[count] as usize];
    let mut next = begins.clone();
    each_strong(heap, strong, walk, |from, to| {
        lists[next[to as usize] as usize] = from;
        next[to as usize] += 1;
    });
    (begins, lists)
}

/// Immediate dominators, all by number.
fn immediate(heap: &Heap, strong: &Strong, walk: &Walk) -> Vec<u32> {
    let count = walk.order.len();
    let (begins, lists) = predecessors(heap, strong, walk);
    let mut forest = Forest {
        ancestors: walk.parents.clone(),
        labels: (0..count as u32).collect(),
        semis: (0..count as u32).collect(),
        path: Vec::new(),
    };
    for number in (1..count as u32).rev() {
        let list = begins[number as usize] as usize..begins[number as usize + 1] as usize;
        let mut semi = walk.parents[number as usize];
        for from in &lists[list] {
            let best = forest.best(*from, number);
            semi = semi.min(forest.semis[best as usize]);
        }
        forest.semis[number as usize] = semi;
    }
    let mut idoms = walk.parents.clone();
    for number in 1..count {
        let mut idom = idoms[number];
        while idom > forest.semis[number] {
            idom = idoms[idom as usize];
        }
        idoms[number] = idom;
    }
    idoms
}

/// The part of the walk's tree whose semi-dominators are known, with compressed paths.
struct Forest {
    ancestors: Vec<u32>,
    labels: Vec<u32>,
    semis: Vec<u32>,
    path: Vec<u32>,
}

impl Forest {
    /// On the way from `from` up to the nodes numbered `last` and below: whose semi-dominator is
    /// the smallest.
    fn best(&mut self, from: u32, last: u32) -> u32 {
        if from <= last {
            return from;
        }
        let mut node = from;
        while self.ancestors[node as usize] > last {
            self.path.push(node);
            node = self.ancestors[node as usize];
        }
        while let Some(below) = self.path.pop() {
            let above = self.ancestors[below as usize];
            let (mine, theirs) = (self.labels[below as usize], self.labels[above as usize]);
            if self.semis[theirs as usize] < self.semis[mine as usize] {
                self.labels[below as usize] = theirs;
            }
            self.ancestors[below as usize] = self.ancestors[above as usize];
        }
        self.labels[from as usize]
    }
}
