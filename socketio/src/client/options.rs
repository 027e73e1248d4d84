//! What a client is told before it opens.
//!
//! Comes in: the user's choices. Goes out: the same, with npm's defaults.

use super::reconnection::Reconnection;
use crate::engine;
use crate::packet::PacketLimits;
use std::time::Duration;

/// The ways a session goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Transports {
    /// Long polling first, then WebSocket when the server offers it.
    #[default]
    PollingThenWebSocket,
    /// WebSocket at once.
    WebSocket,
    /// Long polling to the end.
    Polling,
}

/// How a client connects and what it holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// The path of all requests.
    pub path: String,
    /// More for the query of all requests: `a=1&b=2`, escaped; empty for none.
    pub query: String,
    /// The ways allowed.
    pub transports: Transports,
    /// How long an open may take, from the first request to the server's handshake.
    pub connect_timeout: Duration,
    /// What happens when a session is lost; none leaves it lost.
    pub reconnection: Option<Reconnection>,
    /// Bytes that wait to be sent, in the session and before a namespace is connected. What would
    /// exceed it is refused by `emit`.
    pub queue_bytes: usize,
    /// Events that wait for an answer, in all namespaces together.
    pub pending_acks: usize,
    /// What the server may make us hold.
    pub limits: PacketLimits,
    /// The largest body of a reply to a poll, in bytes.
    pub body_bytes: usize,
    /// Where the jitter of reconnections comes from: the same seed waits the same times.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            query: String::new(),
            transports: Transports::default(),
            connect_timeout: Duration::from_secs(20),
            reconnection: Some(Reconnection::default()),
            // As much as a server would let wait for one client.
            queue_bytes: 1 << 20,
            // A thousand answers outstanding on one connection is a server that does not answer.
            pending_acks: 1024,
            limits: PacketLimits::default(),
            // A server may join many packets to one reply; npm's limit of a packet is a megabyte.
            body_bytes: 16 << 20,
            seed: 0,
        }
    }
}

impl Options {
    /// Path and query of a request.
    pub(super) fn target(&self, transport: &str, sid: Option<&str>) -> String {
        let mut target = format!("{}?EIO=4&transport={transport}", self.path);
        if let Some(sid) = sid {
            target.push_str("&sid=");
            target.push_str(&engine::escape(sid));
        }
        if !self.query.is_empty() {
            target.push('&');
            target.push_str(&self.query);
        }
        target
    }
}
