//! Heap snapshots of V8, as Node and Chrome write them: every object, and who keeps it.
//!
//! In: the bytes of `.heapsnapshot` or `.heaptimeline` files, as they are read. Out: classes with
//! what they retain, ways from the root, and what changed between two snapshots. They tell what a
//! sampled profile cannot, types and owners, and nothing of allocation sites. Pure.

mod row;
pub(crate) mod scan;

pub mod heap;

pub mod dominators;

pub mod classes;
pub mod path;

mod ids;

pub mod compare;
pub mod sites;

pub use classes::{Class, Classes};
pub use compare::{Change, compare, survey};
pub use dominators::Dominators;
pub use heap::{Heap, HeapError};
pub use path::{Paths, Step, is_of_engine};
pub use sites::by_class;
