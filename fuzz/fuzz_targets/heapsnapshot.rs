//! Hostile bytes for the reader of `.heapsnapshot`, and for what is made of a heap: classes,
//! what they keep alive, who keeps them, and a comparison. In: what libFuzzer makes. Out: a
//! panic when any of it keeps less than it promises.

#![no_main]

use ebbtide_profiler::v8::{self, Heap};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match Heap::read(bytes) {
    Ok(heap) => drop(v8::compare(&heap, &heap)),
    Err(error) => ebbtide_fuzz::check_line(&error.to_string()),
});
