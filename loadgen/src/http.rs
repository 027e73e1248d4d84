//! HTTP/1.1 from the client's side: replies as bytes, and the client that fetches them.

pub(crate) mod client;
pub mod reply;
