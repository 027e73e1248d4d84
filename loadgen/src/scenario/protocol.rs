//! What is spoken on connections and who shares them, as the user wrote it. Pure.
//!
//! In: `http`, `connections` and `in_flight` of `[target]`, or the same words as flags. Out: a
//! [`Protocol`]. What a connection is made over is left to the transport.

use super::document::word;
use super::reader::Fields;
use serde::Serialize;

/// Requests in flight on one connection at most: servers allow 100 to 250 streams, and what they
/// do not allow waits inside the generator.
pub const IN_FLIGHT_MAX: u32 = 1_000;

/// Users of a shared connection, unless the scenario says otherwise: h2load's and oha's habit in
/// examples, and well below what servers allow.
pub const IN_FLIGHT_SHARED: u32 = 10;

/// Version of HTTP.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "1.1")]
    One,
    /// HTTP/2, over `http://` with prior knowledge.
    #[serde(rename = "2")]
    Two,
    /// What the peer prefers, where TLS lets it choose, and else HTTP/1.1.
    #[serde(rename = "auto")]
    Auto,
}

/// Who uses a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Connections {
    /// One user, for all its requests.
    #[default]
    Vu,
    /// Several users at once.
    Shared,
    /// One request.
    None,
}

/// What is spoken on connections, and who shares them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Protocol {
    /// Version of HTTP.
    pub http: HttpVersion,
    /// Who uses a connection.
    pub connections: Connections,
    /// Users that share one, and so requests in flight on it at most.
    pub in_flight: u32,
}

impl Default for Protocol {
    fn default() -> Self {
        Self { http: HttpVersion::default(), connections: Connections::default(), in_flight: 1 }
    }
}

impl Protocol {
    /// What in it contradicts itself, and what to do about it.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        let Self { connections, in_flight, .. } = *self;
        if in_flight == 0 || in_flight > IN_FLIGHT_MAX {
            return Some(format!("{in_flight} is not between 1 and {IN_FLIGHT_MAX}"));
        }
        if in_flight > 1 && connections != Connections::Shared {
            let why = if connections == Connections::Vu {
                "a user has one request in flight at a time"
            } else {
                "a connection for one request has one in flight"
            };
            return Some(format!("{why} (write `connections = \"shared\"`, or leave it out)"));
        }
        None
    }
}

/// The words of [`HttpVersion`].
pub const HTTP_VERSIONS: [(&str, HttpVersion); 3] =
    [("1.1", HttpVersion::One), ("2", HttpVersion::Two), ("auto", HttpVersion::Auto)];

/// The words of [`Connections`].
pub const CONNECTIONS: [(&str, Connections); 3] =
    [("vu", Connections::Vu), ("shared", Connections::Shared), ("none", Connections::None)];

/// Reads the keys of `[target]` that belong here.
pub(super) fn read(fields: &Fields<'_, '_>) -> Protocol {
    let mut protocol = Protocol::default();
    if let Some(node) = fields.opt("http") {
        protocol.http = word(&node, &HTTP_VERSIONS).unwrap_or_default();
    }
    let in_flight = fields.opt("in_flight");
    let asked = in_flight.as_ref().and_then(|node| node.count(1));
    let connections = fields.opt("connections").and_then(|node| word(&node, &CONNECTIONS));
    protocol.connections = connections.unwrap_or(match asked {
        Some(2..) => Connections::Shared,
        _ => Connections::Vu,
    });
    let shared = protocol.connections == Connections::Shared;
    protocol.in_flight = asked.unwrap_or(if shared { IN_FLIGHT_SHARED } else { 1 });
    if let (Some(what), Some(node)) = (protocol.contradiction(), &in_flight) {
        node.fault(what);
        protocol.in_flight = 1;
    }
    protocol
}
