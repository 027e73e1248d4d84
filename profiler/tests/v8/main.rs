//! V8 heap snapshots: the reader against broken files, the dominators against brute force, and
//! all of it against snapshots that the real Node writes.

#![allow(clippy::unwrap_used, missing_docs)]

mod draw;

mod graphs;
mod reading;
mod truth;
