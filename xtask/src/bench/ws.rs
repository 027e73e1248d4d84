//! `cargo xtask bench ws`: WebSocket echoes, one core for the generator and one for the target.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. The target is a process of its
//! own (`target`).

pub(crate) mod target;
