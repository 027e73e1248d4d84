//! A whole heap as sites, so that a series of `.heapsnapshot` files is judged as any other: each
//! class is a site that holds its instances' own bytes, all of them counted. In: a [`Heap`]. Out:
//! [`Folded`]. Where they were allocated such files do not say. Pure.

use super::classes::Classes;
use super::dominators::Dominators;
use super::heap::Heap;
use crate::profile::{Cell, Form};
use crate::site::{Folded, FoldedCell, FoldedSite, id};
use crate::{hash, kind};
use std::collections::HashMap;

/// What stands in the place of a file, which a class has none of.
const PLACE: &str = "(V8 heap)";

/// Folds a heap by class, the one with most bytes of its own first.
#[must_use]
pub fn by_class(heap: &Heap) -> Folded {
    let dominators = Dominators::of(heap);
    let classes = Classes::of(heap, &dominators);
    let mut sites: Vec<FoldedSite> = Vec::with_capacity(classes.rows.len());
    // V8's own things and a program's class may have one name: `RegExp`.
    let mut known: HashMap<&str, usize> = HashMap::with_capacity(classes.rows.len());
    let (mut live_bytes, mut live_objects) = (0.0, 0.0);
    for class in &classes.rows {
        let cell = Cell {
            live_bytes: class.size as f64,
            live_objects: Some(class.count as f64),
            ..Cell::default()
        };
        live_bytes += class.size as f64;
        live_objects += class.count as f64;
        let place = *known.entry(&class.name).or_insert(sites.len());
        if let Some(same) = sites.get_mut(place) {
            same.cells[0].cell.add(&cell);
            continue;
        }
        sites.push(FoldedSite {
            id: id(&class.name, PLACE),
            function: class.name.clone(),
            kind: kind::of_name(&class.name),
            // What stands in brackets is V8's own way of keeping something.
            own: !class.name.starts_with('('),
            cells: vec![FoldedCell { stack: hash::of(class.name.as_bytes()), cell }],
            ..FoldedSite::default()
        });
    }
    sites.sort_by(|a, b| {
        let bytes = |site: &FoldedSite| site.cells[0].cell.live_bytes;
        bytes(b).total_cmp(&bytes(a)).then_with(|| a.id.cmp(&b.id))
    });
    Folded {
        interval_bytes: 1.0,
        live_bytes,
        live_objects: Some(live_objects),
        sites,
        form: Some(Form::HeapSnapshot),
        ..Folded::default()
    }
}
