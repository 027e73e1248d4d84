//! From bytes to sites: reading, naming, folding, telling kinds, comparing, fetching. Each part
//! is met at its boundary: bytes in, values out; processes are real ones.
//! In and out: see the parts, which stand in the order of the data.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod bounds;
mod collapsed;
mod comparing;
mod fetching;
mod flavours;
mod folding;
mod grouping;
mod hostile;
mod kinds;
mod naming;
mod reading;
mod splitting;
mod strangers;
mod timeline;
mod uncounted;
mod valgrind;
mod writing;
