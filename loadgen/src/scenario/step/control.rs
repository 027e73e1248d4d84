//! Control steps: what is done between exchanges, and how often. Pure.
//!
//! In: the fields of a step. Out: its [`Verb`], with all faults noted in the reader.

use super::super::Verb;
use super::super::reader::Fields;
use super::read;

/// Repetitions at most: more is a flow of its own.
const REPEAT_MAX: u64 = 1_000_000;

/// Nested `repeat` at most.
const DEPTH_MAX: usize = 8;

pub(super) fn think(fields: &Fields<'_, '_>) -> Option<Verb> {
    fields.opt("think").and_then(|node| node.span_of_time()).map(Verb::Think)
}

pub(super) fn repeat(fields: &Fields<'_, '_>, per_iteration: bool, depth: usize) -> Option<Verb> {
    let count = fields.opt("repeat").and_then(|node| node.whole(1, REPEAT_MAX));
    let node = fields.need("steps", "steps = [{ get = \"/\" }]")?;
    if depth >= DEPTH_MAX {
        node.fault(format!("`repeat` is nested more than {DEPTH_MAX} deep (flatten it)"));
        return None;
    }
    let items = node.items().unwrap_or_default();
    let steps = items.iter().filter_map(|item| read(item, per_iteration, depth + 1)).collect();
    Some(Verb::Repeat { count: count? as u32, steps })
}
