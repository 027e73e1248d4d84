//! The reference server: a real-time chat over plain WebSocket and REST, small enough to be read
//! in an evening, with five leaks and other faults that can be switched on and off.
//!
//! In: a [`Config`]. Out: a listening [`Server`], driven to its end by [`Server::run`] or, in one
//! step, by [`serve`]; and [`Faults`], the switches, which answer on the program's admin listener.
//! Leaves to others: the process (arguments, signals, logging) and the heap (`ebbtide-probe`).
//!
//! The modules stand in the order in which a message meets them.

mod api;
mod app;
mod auth;
mod changes;
mod clock;
mod cluster;
mod config;
mod cors;
mod direct;
mod disturbance;
mod drain;
mod echo;
mod fault;
mod guarded;
mod headers;
mod heartbeat;
#[allow(dead_code, reason = "histories come from the store")]
mod hub;
mod letter;
mod limits;
mod link;
mod mailbox;
mod message;
mod metrics;
mod notices;
mod notifier;
mod origin;
mod page;
mod post;
mod problem;
#[allow(dead_code, reason = "histories come from the store")]
mod recent;
mod recovery;
mod registry;
mod request_log;
mod rest;
#[allow(dead_code, reason = "histories come from the store")]
mod rooms;
mod server;
mod session;
mod sessions;
mod sio;
mod speech;
#[allow(dead_code, unused_imports, reason = "rooms and sockets use the rest of it")]
mod store;
mod stream;
mod subscriber;
mod tls;
mod upgrade;
mod uploads;
mod vocabulary;
mod wire;

pub use cluster::ClusterError;
pub use config::{Config, Database, Limits, SECRET_BYTES, Tls};
pub use fault::{FAULTS, Fault, FaultError, Faults, Setting};
pub use limits::{Network, Rate};
pub use server::{ServeError, Server, serve};
pub use store::StoreError;
pub use tls::{Renewal, TlsError};
