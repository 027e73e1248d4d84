//! WebSockets from the client's side: frames as bytes, and the socket that sends and takes them.

pub mod frame;
pub(crate) mod socket;
