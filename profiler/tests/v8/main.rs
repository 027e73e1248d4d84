//! V8 heap snapshots: the reader against broken files, the dominators against brute force, and
//! all of it against snapshots that the real Node writes.
//!
//! In: text, drawings, programs. Out: what a person would count by hand. Screens and reports are
//! left to the crates that make them.

#![allow(clippy::unwrap_used, missing_docs)]

mod draw;

mod graphs;
mod reading;
mod truth;
