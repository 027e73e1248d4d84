//! A heap by class: how many instances, their own bytes, and what they keep together.
//!
//! In: a [`Heap`] and its dominators. Out: rows as Chrome's DevTools shows them: objects by
//! constructor, all else by what V8 calls it. Pure; comparing two heaps is left to `compare`.

use super::dominators::{Dominators, NONE};
use super::heap::Heap;

/// One row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Class {
    /// Its constructor's name, or a word in brackets: `(string)`, `(compiled code)`,
    /// `(closure) onData`.
    pub name: String,
    /// Instances.
    pub count: u64,
    /// Their own bytes.
    pub size: u64,
    /// Bytes that would be freed with all of them.
    pub retained: u64,
}

/// The classes of a heap.
#[derive(Debug, Default)]
pub struct Classes {
    /// One row each, the one that retains most first.
    pub rows: Vec<Class>,
    /// Row of each node, in the order the classes were met; see [`Classes::of_node`].
    places: Vec<u32>,
    /// Row of each place.
    ranks: Vec<u32>,
}

impl Classes {
    /// Sorts the nodes of a heap by class. Nodes that the root does not reach are no part of it.
    #[must_use]
    pub fn of(heap: &Heap, dominators: &Dominators) -> Self {
        let mut rows: Vec<Class> = Vec::new();
        let mut places = vec![NONE; heap.len()];
        // By type, and for types with names by name: the place of the row.
        let mut by_type: Vec<Vec<u32>> = vec![Vec::new(); heap.node_types.len()];
        let named: Vec<bool> = heap.node_types.iter().map(|word| is_named(word)).collect();
        for (node, slot) in places.iter_mut().enumerate() {
            if dominators.numbers[node] == NONE {
                continue;
            }
            let kind = heap.kinds[node];
            let name = named[usize::from(kind)].then(|| heap.names[node]);
            let key = Key { kind, name };
            let by_name = &mut by_type[usize::from(key.kind)];
            if by_name.is_empty() {
                *by_name = vec![NONE; if key.name.is_some() { heap.strings.len() + 1 } else { 1 }];
            }
            // All names that the file does not have are one.
            let name = key.name.map_or(0, |name| name as usize).min(by_name.len() - 1);
            if by_name[name] == NONE {
                by_name[name] = rows.len() as u32;
                rows.push(Class { name: key.name(heap), ..Class::default() });
            }
            let place = by_name[name];
            *slot = place;
            rows[place as usize].count += 1;
            rows[place as usize].size += heap.sizes[node];
        }
        add_retained(&mut rows, &places, dominators);
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&rows[*a as usize], &rows[*b as usize]);
            b.retained.cmp(&a.retained).then_with(|| a.name.cmp(&b.name))
        });
        let mut ranks = vec![0; rows.len()];
        for (rank, place) in order.iter().enumerate() {
            ranks[*place as usize] = rank as u32;
        }
        let rows = order.iter().map(|place| rows[*place as usize].clone()).collect();
        Self { rows, places, ranks }
    }

    /// The row of a node; none when the root does not reach it.
    #[must_use]
    pub fn of_node(&self, node: u32) -> Option<usize> {
        let place = *self.places.get(node as usize)?;
        self.ranks.get(place as usize).map(|rank| *rank as usize)
    }
}

/// An instance below another of its own class adds nothing: what it keeps is kept already.
fn add_retained(rows: &mut [Class], places: &[u32], dominators: &Dominators) {
    let place_of = dominators.order.iter().map(|node| places[*node as usize]);
    let places: Vec<u32> = place_of.collect();
    let (begins, list) = children(&dominators.parents);
    let children = |number: u32| {
        let at = number as usize;
        &list[begins[at] as usize..begins[at + 1] as usize]
    };
    // Walked from dominators to dominated, with the classes that are open on the way.
    let mut open = vec![0_u32; rows.len()];
    let mut stack = vec![(0_u32, false)];
    while let Some((number, leaving)) = stack.pop() {
        let place = places[number as usize] as usize;
        if leaving {
            open[place] -= 1;
            continue;
        }
        if open[place] == 0 {
            rows[place].retained += dominators.retained[number as usize];
        }
        open[place] += 1;
        stack.push((number, true));
        for child in children(number) {
            if !children(*child).is_empty() {
                stack.push((*child, false));
                continue;
            }
            let place = places[*child as usize] as usize;
            if open[place] == 0 {
                rows[place].retained += dominators.retained[*child as usize];
            }
        }
    }
}

/// Whom each node dominates, by number: begins of the lists, and the lists in one. The root, which
/// nobody dominates, comes first among the parents.
fn children(parents: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut begins = vec![0_u32; parents.len() + 1];
    for parent in &parents[1..] {
        begins[*parent as usize + 1] += 1;
    }
    for place in 0..parents.len() {
        begins[place + 1] += begins[place];
    }
    let mut next = begins.clone();
    let mut list = vec![0_u32; parents.len() - 1];
    for (parent, number) in parents[1..].iter().zip(1..) {
        list[next[*parent as usize] as usize] = number;
        next[*parent as usize] += 1;
    }
    (begins, list)
}

/// What tells classes apart: the type, for objects the name of their constructor, and for
/// closures that of their function.
#[derive(Clone, Copy)]
struct Key {
    kind: u8,
    name: Option<u32>,
}

/// Instances of these types are told apart by their names.
fn is_named(node_type: &str) -> bool {
    matches!(node_type, "object" | "native" | "closure")
}

impl Key {
    fn name(self, heap: &Heap) -> String {
        match heap.node_types[usize::from(self.kind)].as_str() {
            "object" | "native" => self.name.map(|name| heap.strings.text(name).into_owned()),
            "hidden" => Some("(system)".to_owned()),
            "code" => Some("(compiled code)".to_owned()),
            "closure" => self.name.map(|name| match &*heap.strings.text(name) {
                "" => "(closure)".to_owned(),
                name => format!("(closure) {name}"),
            }),
            "regexp" => Some("RegExp".to_owned()),
            other => Some(format!("({other})")),
        }
        .unwrap_or_default()
    }
}
