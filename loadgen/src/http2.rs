//! HTTP/2 from the client's side (RFC 9113), without sockets and without a clock.
//!
//! In: bytes of a connection as they come, and requests as header blocks with bodies. Out: bytes
//! to send, and replies in the flights that wait for them. A request is encoded once,
//! when the plan is made, so that sending it is a copy. When bytes are read and written, and who
//! shares a connection, is left to [`crate::http`].

mod control;
pub mod frame;
pub mod hpack;
mod huffman;
pub mod request;
pub(crate) mod session;
mod stream;

#[cfg(test)]
mod tests;
