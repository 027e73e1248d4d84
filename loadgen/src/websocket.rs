//! WebSockets from the client's side.
//!
//! In: messages to send, bytes as they come. Out: messages, one at a time. [`frame`] and [`inbox`]
//! are pure and know bytes alone; the socket shakes hands, sends and takes over a wire, and its
//! tap follows stamped messages. Counting all else is left to the virtual user.

pub mod frame;
pub mod inbox;

pub(crate) mod socket;

mod tap;

pub(crate) use tap::Tap;
