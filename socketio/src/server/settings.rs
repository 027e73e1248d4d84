//! What a server keeps to.
//!
//! Comes in: the owner's choices. Goes out: the same, with npm's defaults. Shared by all sessions.

use crate::packet::PacketLimits;
use std::time::Duration;

/// Times and bounds of every session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Between a pong and the next ping.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
    /// Whether a session on polling may go on over WebSocket.
    pub can_upgrade: bool,
    /// How long an upgrade may take.
    pub upgrade_timeout: Duration,
    /// How long a session may be without a namespace after its open.
    pub connect_timeout: Duration,
    /// How long a session on polling that is to be closed waits for a GET to say so.
    pub close_timeout: Duration,
    /// The largest body of a POST, in bytes; the host reads no more.
    pub max_payload: usize,
    /// Bytes that wait to be sent to one client; beyond it the session is closed.
    pub queue_bytes: usize,
    /// What a client may make us hold.
    pub limits: PacketLimits,
    /// Namespaces of one client, connected or asking.
    pub namespaces: usize,
    /// Events sent to one client that wait for an answer.
    pub pending_acks: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            can_upgrade: true,
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(45),
            close_timeout: Duration::from_secs(30),
            max_payload: 1_000_000,
            // As Centrifugo: a second of a busy room, and little beside what a process has.
            queue_bytes: 1 << 20,
            limits: PacketLimits::default(),
            // A program has a handful.
            namespaces: 64,
            pending_acks: 1024,
        }
    }
}
