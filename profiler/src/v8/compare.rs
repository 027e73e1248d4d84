//! Two snapshots of one process, by class: what came, what went, and who keeps the newest.
//!
//! In: two [`Heap`]s, the earlier one first. Out: rows, the one that grew most first. Objects are
//! told apart by V8's ids, which live as long as the process; snapshots of two processes have
//! nothing in common but names, and their rows say so by all being new.

use super::classes::Classes;
use super::dominators::Dominators;
use super::heap::Heap;
use super::ids::Ids;
use super::path::{Paths, Step, is_of_engine};
use std::collections::{HashMap, HashSet};

/// Instances of a class of which the way from the root is told.
const SHOWN: usize = 3;

/// Instances of a class that are looked at for it: some of the newest are V8's own, which it copies
/// literals from.
const LOOKED_AT: usize = 32;

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
    /// Instances in the earlier one.
    pub count_before: u64,
    /// Instances in the later one.
    pub count: u64,
    /// Own bytes of all instances in the later one.
    pub size: u64,
    /// Bytes that all instances keep in the later one.
    pub retained: u64,
    /// Ways from the root to the newest instances, for the classes that grew most.
    pub held_by: Vec<Vec<Step>>,
}

impl Change {
    /// New less deleted.
    #[must_use]
    pub fn delta(&self) -> i64 {
        self.new.cast_signed() - self.deleted.cast_signed()
    }

    /// Own bytes of all instances in the earlier one.
    #[must_use]
    pub fn size_before(&self) -> u64 {
        self.size.saturating_add_signed(-self.size_delta)
    }

    /// Bytes that all instances kept in the earlier one.
    #[must_use]
    pub fn retained_before(&self) -> u64 {
        self.retained.saturating_add_signed(-self.retained_delta)
    }

    /// V8's own business: code, shapes of objects and the like, which grows while a program
    /// warms up whatever the program keeps.
    #[must_use]
    pub fn is_engine(&self) -> bool {
        match self.name.strip_prefix("system / ") {
            // Variables of closures, and the bytes of buffers: the program's.
            Some(rest) => !matches!(rest, "Context" | "JSArrayBufferData"),
            None => ENGINE.contains(&self.name.as_str()),
        }
    }
}

/// Classes of what V8 makes for itself.
const ENGINE: [&str; 4] = ["(compiled code)", "(object shape)", "(system)", "(synthetic)"];

/// What Node makes to hand a snapshot out: there while one is taken, by whoever takes it.
const TAKING: [&str; 2] = ["HeapSnapshotStream", "Node / HeapSnapshotStream"];

/// All classes of one snapshot, those that keep most first.
#[must_use]
pub fn survey(heap: &Heap) -> Vec<Change> {
    let dominators = Dominators::of(heap);
    let classes = Classes::of(heap, &dominators);
    let rows = classes.rows.iter().map(|row| Change {
        name: row.name.clone(),
        count: row.count,
        new: row.count,
        size: row.size,
        size_delta: row.size.cast_signed(),
        retained: row.retained,
        retained_delta: row.retained.cast_signed(),
        ..Change::default()
    });
    let mut rows: Vec<Change> = rows.collect();
    drop(dominators);
    show_newest(heap, &classes, &Ids::default(), &mut rows);
    rows
}

/// Compares two snapshots of one process.
#[must_use]
pub fn compare(before: &Heap, after: &Heap) -> Vec<Change> {
    let mut changes: HashMap<String, Change> = HashMap::new();
    // One at a time, so that not both dominator trees are held.
    {
        let later = Ids::of(after);
        let dominators = Dominators::of(before);
        let classes = Classes::of(before, &dominators);
        tally(before, &classes, &mut changes, |change, id, size| {
            change.size_delta -= size.cast_signed();
            change.deleted += u64::from(!later.contains(id));
            change.count_before += 1;
        });
        for row in &classes.rows {
            entry(&mut changes, &row.name).retained_delta -= row.retained.cast_signed();
        }
    }
    let earlier = Ids::of(before);
    let dominators = Dominators::of(after);
    let classes = Classes::of(after, &dominators);
    tally(after, &classes, &mut changes, |change, id, size| {
        change.size_delta += size.cast_signed();
        change.new += u64::from(!earlier.contains(id));
        change.count += 1;
        change.size += size;
    });
    for row in &classes.rows {
        let change = entry(&mut changes, &row.name);
        change.retained_delta += row.retained.cast_signed();
        change.retained += row.retained;
    }
    let mut changes: Vec<Change> = changes.into_values().collect();
    changes.retain(|change| !TAKING.contains(&change.name.as_str()));
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
        change.count_before += row.count_before;
        change.size += row.size;
        change.size_delta += row.size_delta;
    }
}

/// Finds out who keeps the newest instances of the classes that grew most. V8 gives ids in the
/// order in which objects were first seen.
fn show_newest(heap: &Heap, classes: &Classes, earlier: &Ids, changes: &mut [Change]) {
    let grown = changes.iter().filter(|change| change.delta() > 0).take(CLASSES_SHOWN);
    let names: HashSet<&str> = grown.map(|change| change.name.as_str()).collect();
    let rows = classes.rows.iter();
    let wanted: Vec<bool> = rows.map(|row| names.contains(row.name.as_str())).collect();
    // By row; rows of one name are joined below. Twice as many as are wanted are kept before the
    // older half goes, so that each node costs the same.
    let mut newest: Vec<Vec<(u32, u32)>> = vec![Vec::new(); classes.rows.len()];
    for node in 0..heap.len() as u32 {
        let Some(row) = classes.of_node(node).filter(|row| wanted[*row]) else { continue };
        let id = heap.ids[node as usize];
        if earlier.contains(id) {
            continue;
        }
        let list = &mut newest[row];
        list.push((id, node));
        if list.len() == 2 * LOOKED_AT {
            list.select_nth_unstable_by_key(LOOKED_AT, |(id, _)| std::cmp::Reverse(*id));
            list.truncate(LOOKED_AT);
        }
    }
    let mut named: HashMap<&str, Vec<(u32, u32)>> = HashMap::new();
    for (class, list) in classes.rows.iter().zip(newest) {
        named.entry(&class.name).or_default().extend(list);
    }
    for list in named.values_mut() {
        list.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        list.truncate(LOOKED_AT);
    }
    let nodes: Vec<u32> = named.values().flatten().map(|(_, node)| *node).collect();
    let paths = Paths::toward(heap, &nodes);
    for change in changes {
        if let Some(list) = named.get(change.name.as_str()) {
            let mut ways: Vec<_> = list.iter().map(|(_, node)| paths.to(heap, *node)).collect();
            ways.sort_by_key(|way| is_of_engine(way));
            ways.truncate(SHOWN);
            change.held_by = ways;
        }
    }
}
