//! Hostile bytes of no form in particular: telling the form, unpacking gzip, and what a file is
//! instead. In: what libFuzzer makes. Out: a panic when the reader keeps less than it promises.
//! Each form has a target of its own beside this one.

#![no_main]

use ebbtide_profiler::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ebbtide_fuzz::exercise(parse::read, bytes));
