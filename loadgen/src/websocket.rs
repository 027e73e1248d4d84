//! WebSockets from the client's side.
//!
//! In: messages to send, bytes as they come. Out: messages, one at a time. [`frame`] is the pure
//! part, which knows bytes alone; the socket shakes hands, sends and takes over a wire. Counting
//! and stamps are left to the virtual user.

pub mod frame;
pub(crate) mod socket;
