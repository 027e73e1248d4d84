//! Stacks as a tree of calls from the root, with the place of each frame in a picture. In:
//! stacks. Out: boxes, their places as shares of the whole width. Drawing is left to
//! `flamegraph`.

use crate::stacks::{StackRow, Stacks};
use std::collections::HashMap;

/// Frames from the root that are drawn: what is deeper stays in the box of the last one.
pub(super) const DEPTH_MAX: usize = 128;

/// Share of the whole width below which a box is no longer seen: a tenth of a pixel of 1,200.
const NARROWEST: f64 = 1.0 / 12_000.0;

/// Stands for the callers of the outermost own frame: the runtime's, the same for everything.
const CALLERS: &str = "(callers outside your own code)";

/// One function called along one way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    /// Its function.
    pub(super) function: String,
    /// Its file; empty when unknown.
    pub(super) file: String,
    /// It is the user's own code.
    pub(super) own: bool,
    /// Rows above it.
    pub(super) depth: usize,
    /// Where it begins, as a share of the whole width.
    pub(super) left: f64,
    /// Its share of the whole width.
    pub(super) width: f64,
    /// Bytes before, of all that was allocated through it.
    pub(super) before: f64,
    /// Bytes after.
    pub(super) after: f64,
}

/// A picture without its colours.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Flame {
    /// Those wide enough to be seen, callers before callees; the first is the whole.
    pub(super) frames: Vec<Frame>,
    /// Rows.
    pub(super) rows: usize,
    /// Left out, too narrow to be seen.
    pub(super) narrow: usize,
}

/// The whole, and the callers outside own code.
const NO_LINE: u32 = u32::MAX;

struct Node {
    /// Index into the stacks' frames; [`NO_LINE`] for what stands for several.
    line: u32,
    depth: usize,
    children: Vec<u32>,
    before: f64,
    after: f64,
    /// The larger of before and after of what ends here, and of all below.
    extent: f64,
}

/// Lays stacks out. A stack is as wide as the larger of what it held and what it holds, so that
/// what went is seen as well as what came.
pub(super) fn lay_out(stacks: &Stacks) -> Flame {
    let nodes = tree(stacks);
    let total = nodes[0].extent;
    let mut flame = Flame::default();
    if total <= 0.0 {
        return flame;
    }
    let mut waiting = vec![(0_u32, 0.0_f64)];
    while let Some((place, left)) = waiting.pop() {
        let node = &nodes[place as usize];
        let width = node.extent / total;
        if width < NARROWEST {
            flame.narrow += 1;
            continue;
        }
        flame.rows = flame.rows.max(node.depth + 1);
        let line = stacks.frames.get(node.line as usize);
        flame.frames.push(Frame {
            function: if place == 0 { "all" } else { name_of(stacks, node.line) }.to_owned(),
            file: line.map_or_else(String::new, |line| line.file.clone()),
            own: line.is_some_and(|line| line.own),
            depth: node.depth,
            left,
            width,
            before: node.before,
            after: node.after,
        });
        let name = |child: &u32| name_of(stacks, nodes[*child as usize].line);
        let mut children = node.children.clone();
        children.sort_by_key(name);
        let mut from = left;
        let first = waiting.len();
        for child in children {
            waiting.push((child, from));
            from += nodes[child as usize].extent / total;
        }
        // The leftmost is to be taken first.
        waiting[first..].reverse();
    }
    flame
}

fn name_of(stacks: &Stacks, line: u32) -> &str {
    stacks.frames.get(line as usize).map_or(CALLERS, |line| line.function.as_str())
}

/// The frames of a stack from the root on, those before the outermost own one as one.
fn from_root<'a>(stacks: &'a Stacks, row: &'a StackRow) -> impl Iterator<Item = u32> + 'a {
    let own = row.frames.iter().rposition(|frame| stacks.frames[*frame as usize].own);
    let end = own.map_or(row.frames.len(), |place| place + 1);
    let callers = (row.frames.len() - end > 0).then_some(NO_LINE);
    callers.into_iter().chain(row.frames[..end].iter().rev().copied())
}

fn tree(stacks: &Stacks) -> Vec<Node> {
    let node = |line, depth| Node {
        line,
        depth,
        children: Vec::new(),
        before: 0.0,
        after: 0.0,
        extent: 0.0,
    };
    let mut nodes = vec![node(NO_LINE, 0)];
    let mut child_of: HashMap<(u32, &str), u32> = HashMap::new();
    for row in &stacks.rows {
        let (before, after) = row.bytes();
        let mut place = 0_u32;
        let add = |node: &mut Node| {
            node.before += before;
            node.after += after;
            node.extent += before.max(after);
        };
        add(&mut nodes[0]);
        for line in from_root(stacks, row).take(DEPTH_MAX) {
            let function = name_of(stacks, line);
            let next = nodes.len() as u32;
            let child = *child_of.entry((place, function)).or_insert(next);
            if child == next {
                let depth = nodes[place as usize].depth + 1;
                nodes.push(node(line, depth));
                nodes[place as usize].children.push(child);
            }
            place = child;
            add(&mut nodes[place as usize]);
        }
    }
    nodes
}
