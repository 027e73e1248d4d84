//! Two snapshots of one process, by class: what came, what went, and who keeps the newest.
//!
//! In: two [`Heap`]s, the earlier one first. Out: rows, the one that grew most first. Objects are
//! told apart by V8's ids, which live as long as the process; snapshots of two processes have
//! nothing in common but names, and their rows say so by all being new.

use super::classes::Classes;
use super::dominators::Dominators;
use super::heap::Heap;
use super::path::{Paths, Step};
use std::collections::{HashMap, HashSet};

/// Instances of a class of which the way from the root is told.
const SHOWN: usize = 3;

/// Classes of which it is told.
const CLASSES_SHOWN: usize = 10;

/// How one class changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// The class, see [`super::classes::Class::name`].
    pub name: String,
    /// Instances that only the later snapshot has.
    pub new: u64,
    /// Instances that only the earlier one has.
    pub deleted: u64,
    /// Own bytes of the new ones less those of the deleted ones, and what changed of the others.
    pub size_delta: i64,
    /// Bytes that all instances keep, later less earlier.
    pub retained_delta: i64,
    /// Instances in the later one.
    pub count: u64,
    /// Ways from the root to the newest instances, for the classes that grew most.
    pub held_by: Vec<Vec<Step>>,
}

impl Change {
    /// New less deleted.
    #[must_use]
    pub fn delta(&self) -> i64 {
        self.new.cast_signed() - self.deleted.cast_signed()
    }
}

/// Compares two snapshots of one process.
#[must_use]
pub fn compare(before: &Heap, after: &Heap) -> Vec<Change> {
    let mut changes: HashMap<String, Change> = HashMap::new();
    // One at a time, so that not both dominator trees are held.
    {
        let later: HashSet<u32> = after.ids.iter().copied().collect();
        let dominators = Dominators::of(before);
        let classes = Classes::of(before, &dominators);
        tally(before, &classes, &mut changes, |change, id, size| {
            change.size_delta -= size.cast_signed();
            change.deleted += u64::from(!later.contains(&id));
        });
        for row in &classes.rows {
            entry(&mut changes, &row.name).retained_delta -= row.retained.cast_signed();
        }
    }
    let earlier: HashSet<u32> = before.ids.iter().copied().collect();
    let dominators = Dominators::of(after);
    let classes = Classes::of(after, &dominators);
    tally(after, &classes, &mut changes, |change, id, size| {
        change.size_delta += size.cast_signed();
        change.new += u64::from(!earlier.contains(&id));
        change.count += 1;
    });
    for row in &classes.rows {
        entry(&mut changes, &row.name).retained_delta += row.retained.cast_signed();
    }
    let mut changes: Vec<Change> = changes.into_values().collect();
    changes.sort_by(|a, b| {
        let by_size = b.size_delta.cmp(&a.size_delta);
        by_size.then_with(|| b.delta().cmp(&a.delta())).then_with(|| a.name.cmp(&b.name))
    });
    drop(dominators);
    show_newest(after, &classes, &earlier, &mut changes);
    changes
}

fn entry<'a>(changes: &'a mut HashMap<String, Change>, name: &str) -> &'a mut Change {
    changes
        .entry(name.to_owned())
        .or_insert_with(|| Change { name: name.to_owned(), ..Change::default() })
}

/// Hands each node that is reached to its class.
fn tally(
    heap: &Heap,
    classes: &Classes,
    changes: &mut HashMap<String, Change>,
    mut count: impl FnMut(&mut Change, u32, u64),
) {
    let mut rows: Vec<Change> = classes.rows.iter().map(|_| Change::default()).collect();
    for node in 0..heap.len() {
        if let Some(row) = classes.of_node(node as u32) {
            count(&mut rows[row], heap.ids[node], heap.sizes[node]);
        }
    }
    for (class, row) in classes.rows.iter().zip(rows) {
        let change = entry(changes, &class.name);
        change.new += row.new;
        change.deleted += row.deleted;
        change.count += row.count;
        change.size_delta += row.size_delta;
    }
}

/// Finds out who keeps the newest instances of the classes that grew most. V8 gives ids in the
/// order in which objects were first seen.
fn show_newest(heap: &Heap, classes: &Classes, earlier: &HashSet<u32>, changes: &mut [Change]) {
    let grown = changes.iter().filter(|change| change.delta() > 0).take(CLASSES_SHOWN);
    let names: HashSet<String> = grown.map(|change| change.name.clone()).collect();
    let mut newest: HashMap<&str, Vec<(u32, u32)>> = HashMap::new();
    for node in 0..heap.len() as u32 {
        let id = heap.ids[node as usize];
        let Some(row) = classes.of_node(node).filter(|_| !earlier.contains(&id)) else { continue };
        let name = classes.rows[row].name.as_str();
        if !names.contains(name) {
            continue;
        }
        let list = newest.entry(name).or_default();
        list.push((id, node));
        list.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        list.truncate(SHOWN);
    }
    let paths = Paths::of(heap);
    for change in changes {
        if let Some(list) = newest.get(change.name.as_str()) {
            change.held_by = list.iter().map(|(_, node)| paths.to(heap, *node)).collect();
        }
    }
}
