//! HTTP/1.1 from the client's side.
//!
//! In: prepared requests, bytes as they come. Out: replies with their times. [`reply`] and
//! [`coding`] are the pure part, which knows bytes alone; the client fetches them over a wire.
//! Checks, captures and counting are left to the virtual user.

pub(crate) mod client;
pub mod coding;
pub mod reply;
