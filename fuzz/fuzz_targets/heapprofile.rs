//! Hostile bytes for the reader of `heapprofile`. In: what libFuzzer makes. Out: a panic when the
//! reader keeps less than it promises. What that is stands in the crate's root; the corpus
//! comes from `cargo xtask fuzz`.

#![no_main]

use ebbtide_profiler::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ebbtide_fuzz::exercise(parse::heapprofile::read, bytes));
