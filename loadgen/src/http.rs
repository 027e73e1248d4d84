//! HTTP from the client's side.
//!
//! In: prepared requests, bytes as they come. Out: replies with their times. [`reply`] and
//! [`coding`] are the pure part, which knows bytes alone; the client fetches them over a wire of
//! its own, or takes a seat on a link that several users share, by HTTP/1.1 in order or by the
//! streams of [`crate::http2`]. Checks, captures and counting are left to the virtual user.

pub(crate) mod client;
pub mod coding;
pub(crate) mod link;
mod pipeline;
pub(crate) mod pool;
pub mod reply;
