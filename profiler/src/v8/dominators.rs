//! What would be freed with a node: dominators over strong edges, and retained sizes.
//!
//! In: a [`Heap`]. Out: the tree of dominators, and for each node the bytes that only it keeps.
//! Who keeps a node, by name, is left to `path`.
//!
//! Source: Lengauer and Tarjan 1979 in the form of Georgiadis 2005 (semi-dominators and nearest
//! common ancestors), without recursion. Which edges keep a node alive: Chrome's DevTools, all but
//! weak ones, and shortcuts only where they leave the root.

use super::heap::Heap;

/// No node, and no number of one.
pub const NONE: u32 = u32::MAX;

/// The dominator tree of a heap. Its lists are by number, the place of a node in `order`: what is
/// near in the tree is then near in memory.
#[derive(Debug)]
pub struct Dominators {
    /// Nodes as a walk from the root first meets them.
    pub order: Vec<u32>,
    /// Number of the immediate dominator, which is always smaller; 0 for the root.
    pub(super) parents: Vec<u32>,
    /// Own bytes of each node and of all it dominates.
    pub(super) retained: Vec<u64>,
    /// Number of each node; [`NONE`] for what the root does not reach.
    pub(super) numbers: Vec<u32>,
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

    #[inline]
    pub(super) fn keeps(&self, heap: &Heap, from: u32, edge: usize) -> bool {
        let kind = Some(heap.edge_kinds[edge]);
        kind != self.weak && (kind != self.shortcut || from == 0)
    }
}

/// A walk from the root: nodes in the order of their first visit, and the number of each.
struct Walk {
    order: Vec<u32>,
    numbers: Vec<u32>,
    /// By number, the number of the node it was reached from.
    parents: Vec<u32>,
}

impl Dominators {
    /// The dominator tree of a heap.
    #[must_use]
    pub fn of(heap: &Heap) -> Self {
        let strong = Strong::of(heap);
        let Walk { order, numbers, parents } = walk(heap, &strong);
        let edges = Edges::of(heap, &strong, &order, &numbers);
        let parents = immediate(parents, edges);
        let sizes = order.iter().map(|node| heap.sizes[*node as usize]);
        let mut retained: Vec<u64> = sizes.collect();
        // Whoever is dominated has a higher number than its dominator.
        for number in (1..parents.len()).rev() {
            retained[parents[number] as usize] += retained[number];
        }
        Self { order, parents, retained, numbers }
    }

    /// Bytes that only a node keeps, its own among them; 0 of what the root does not reach.
    #[must_use]
    pub fn retained_by(&self, node: u32) -> u64 {
        self.retained.get(self.numbers[node as usize] as usize).copied().unwrap_or(0)
    }
}

fn walk(heap: &Heap, strong: &Strong) -> Walk {
    let mut numbers = vec![NONE; heap.len()];
    let (mut order, mut parents) = (vec![0], vec![0]);
    numbers[0] = 0;
    let mut stack = vec![(0_u32, heap.edges(0))];
    while let Some((from, edges)) = stack.last_mut() {
        let from = *from;
        let Some(at) = edges.next() else {
            stack.pop();
            continue;
        };
        let target = heap.edge_targets[at];
        if numbers[target as usize] == NONE && strong.keeps(heap, from, at) {
            numbers[target as usize] = order.len() as u32;
            parents.push(numbers[from as usize]);
            order.push(target);
            let edges = heap.edges(target);
            if !edges.is_empty() {
                stack.push((target, edges));
            }
        }
    }
    Walk { order, numbers, parents }
}

/// The edges that keep what they lead to, by number.
struct Edges {
    /// Of those that lead down the tree of the walk, to each node, the one from nearest the root.
    down: Vec<u32>,
    /// Where the others that lead to each node begin in `across`; one more than there are nodes.
    begins: Vec<u32>,
    /// Where each of the others comes from.
    across: Vec<u32>,
}

impl Edges {
    fn of(heap: &Heap, strong: &Strong, order: &[u32], numbers: &[u32]) -> Self {
        let mut down = vec![NONE; order.len()];
        let mut begins = vec![0_u32; order.len() + 1];
        let mut pairs = Vec::new();
        for (from, node) in order.iter().enumerate() {
            let from = from as u32;
            for edge in heap.edges(*node) {
                if !strong.keeps(heap, *node, edge) {
                    continue;
                }
                // A walk that goes into the depth meets what an edge leads to before it leaves
                // the node, so an edge to a higher number leads to one below it in the tree.
                let to = numbers[heap.edge_targets[edge] as usize];
                if from < to {
                    let nearest = &mut down[to as usize];
                    *nearest = from.min(*nearest);
                } else if from > to {
                    begins[to as usize + 1] += 1;
                    pairs.push((from, to));
                }
            }
        }
        for place in 0..order.len() {
            begins[place + 1] += begins[place];
        }
        let mut across = vec![0_u32; pairs.len()];
        let mut next = begins.clone();
        for (from, to) in pairs {
            let place = &mut next[to as usize];
            across[*place as usize] = from;
            *place += 1;
        }
        Self { down, begins, across }
    }
}

/// Immediate dominators, all by number; `parents` are those of the walk.
fn immediate(parents: Vec<u32>, edges: Edges) -> Vec<u32> {
    let Edges { down: mut semis, begins, across } = edges;
    let mut forest = Forest {
        trees: parents.iter().map(|parent| Tree { ancestor: *parent, least: NONE }).collect(),
        path: Vec::new(),
    };
    for number in (1..parents.len()).rev() {
        let mut semi = semis[number];
        for from in &across[begins[number] as usize..begins[number + 1] as usize] {
            semi = semi.min(forest.least(*from, number as u32));
        }
        semis[number] = semi;
        forest.trees[number].least = semi;
    }
    let mut idoms = parents;
    for number in 1..idoms.len() {
        let mut idom = idoms[number];
        while idom > semis[number] {
            idom = idoms[idom as usize];
        }
        idoms[number] = idom;
    }
    idoms
}

/// The part of the walk's tree whose semi-dominators are known, with compressed paths.
struct Forest {
    trees: Vec<Tree>,
    path: Vec<u32>,
}

/// What is known above a node.
#[derive(Clone, Copy)]
struct Tree {
    /// Up to where the path is compressed.
    ancestor: u32,
    /// The smallest semi-dominator of the node and of those between it and `ancestor`.
    least: u32,
}

impl Forest {
    /// The smallest semi-dominator on the way from `from` up to the nodes numbered above `last`.
    /// `from` is one of those.
    fn least(&mut self, from: u32, last: u32) -> u32 {
        let mut node = from;
        loop {
            let ancestor = self.trees[node as usize].ancestor;
            if ancestor <= last {
                break;
            }
            self.path.push(node);
            node = ancestor;
        }
        let Tree { ancestor, mut least } = self.trees[node as usize];
        while let Some(below) = self.path.pop() {
            let tree = &mut self.trees[below as usize];
            least = least.min(tree.least);
            *tree = Tree { ancestor, least };
        }
        least
    }
}
