//! Engine.IO v4 and Socket.IO v5 for both ends, as state machines: what came from the network and
//! what time it is goes in, what is to be done and what has happened comes out.
//!
//! In: bodies of HTTP, WebSocket messages, the user's wishes, the time as a [`std::time::Duration`]
//! since any fixed moment. Out: requests and messages to send, events. Leaves to others: sockets,
//! clocks, randomness (a seed is handed in), tasks, WebSocket framing, CORS, rooms.
//!
//! The modules stand in the order in which a message meets them.

mod acks;
mod frame;
mod outbox;
mod text;

pub mod client;
pub mod engine;
pub mod packet;
pub mod server;

pub use acks::AckId;
pub use frame::Frame;
pub use text::Text;
