//! A request before it meets a session: where it goes, or why it is refused.
//!
//! Comes in: method, query, whether it asks for a WebSocket. Goes out: a route, or a refusal with
//! the status and body that npm's server sends. Reading HTTP is the host's.

use crate::engine::Query;
use std::borrow::Cow;

/// How a client sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Requests.
    Polling,
    /// A WebSocket.
    WebSocket,
}

/// Where a request goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route<'a> {
    /// A new session. On polling the request is its first GET as well.
    Open(Transport),
    /// GET of the session with this id: it wants what waits.
    Poll(Cow<'a, str>),
    /// POST of the session: it brings packets.
    Push(Cow<'a, str>),
    /// The session wants to go on over this WebSocket.
    Upgrade(Cow<'a, str>),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// `transport` is missing or none of ours, or is not what the request is.
    #[error("Transport unknown")]
    UnknownTransport,
    /// There is no session of this id, or it has ended, or goes over WebSocket by now.
    #[error("Session ID unknown")]
    UnknownSession,
    /// A session begins with GET.
    #[error("Bad handshake method")]
    BadMethod,
    /// Out of turn, or unreadable.
    #[error("Bad request")]
    BadRequest,
    /// The host does not want it.
    #[error("Forbidden")]
    Forbidden,
    /// `EIO` is missing or not 4.
    #[error("Unsupported protocol version")]
    UnsupportedVersion,
    /// The body exceeds `max_payload`.
    #[error("Payload too large")]
    TooLarge,
}

impl Refusal {
    /// The status of the reply.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            Self::TooLarge => 413,
            _ => 400,
        }
    }

    /// The body of the reply, JSON.
    #[must_use]
    pub fn body(self) -> String {
        let code = match self {
            Self::UnknownTransport => 0,
            Self::UnknownSession => 1,
            Self::BadMethod => 2,
            Self::BadRequest | Self::TooLarge => 3,
            Self::Forbidden => 4,
            Self::UnsupportedVersion => 5,
        };
        format!("{{\"code\":{code},\"message\":\"{self}\"}}")
    }
}

impl<'a> Route<'a> {
    /// Tells where a request goes, by its method, its query without `?`, and whether it asks to
    /// become a WebSocket.
    ///
    /// # Errors
    /// When it goes nowhere.
    pub fn of(method: &str, query: &'a str, is_upgrade: bool) -> Result<Self, Refusal> {
        let query = Query::read(query);
        let transport = match query.transport {
            Some("polling") if !is_upgrade => Transport::Polling,
            Some("websocket") if is_upgrade => Transport::WebSocket,
            _ => return Err(Refusal::UnknownTransport),
        };
        if query.version != Some("4") {
            return Err(Refusal::UnsupportedVersion);
        }
        match (query.sid, transport, method) {
            (None, _, "GET") => Ok(Self::Open(transport)),
            (None, _, _) => Err(Refusal::BadMethod),
            (Some(sid), Transport::WebSocket, "GET") => Ok(Self::Upgrade(sid)),
            (Some(sid), Transport::Polling, "GET") => Ok(Self::Poll(sid)),
            (Some(sid), Transport::Polling, "POST") => Ok(Self::Push(sid)),
            (Some(_), _, _) => Err(Refusal::BadRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_where_they_belong() {
        let sid = || Cow::Borrowed("a");
        for (method, query, is_upgrade, expected) in [
            ("GET", "EIO=4&transport=polling", false, Ok(Route::Open(Transport::Polling))),
            ("GET", "EIO=4&transport=websocket", true, Ok(Route::Open(Transport::WebSocket))),
            ("GET", "EIO=4&transport=polling&sid=a", false, Ok(Route::Poll(sid()))),
            ("POST", "EIO=4&transport=polling&sid=a", false, Ok(Route::Push(sid()))),
            ("GET", "EIO=4&transport=websocket&sid=a", true, Ok(Route::Upgrade(sid()))),
            ("GET", "transport=polling", false, Err(Refusal::UnsupportedVersion)),
            ("GET", "EIO=abc&transport=polling", false, Err(Refusal::UnsupportedVersion)),
            ("GET", "EIO=4", false, Err(Refusal::UnknownTransport)),
            ("GET", "EIO=4&transport=abc", false, Err(Refusal::UnknownTransport)),
            ("GET", "EIO=4&transport=websocket", false, Err(Refusal::UnknownTransport)),
            ("GET", "EIO=4&transport=polling", true, Err(Refusal::UnknownTransport)),
            ("POST", "EIO=4&transport=polling", false, Err(Refusal::BadMethod)),
            ("PUT", "EIO=4&transport=polling", false, Err(Refusal::BadMethod)),
            ("PUT", "EIO=4&transport=polling&sid=a", false, Err(Refusal::BadRequest)),
        ] {
            assert_eq!(Route::of(method, query, is_upgrade), expected, "{method} {query}");
        }
        assert_eq!(Refusal::UnknownSession.body(), r#"{"code":1,"message":"Session ID unknown"}"#);
    }
}
