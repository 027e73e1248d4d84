//! The server's first packet: the session's id, and what both ends keep to.
//!
//! Comes in: the JSON of an `open` packet. Goes out: its values, within bounds. And the way back.

use super::EngineError;
use crate::text::Text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A session id goes into every URL; servers make them of 20 to 40 characters.
const SID_BYTES: usize = 256;
/// Longer than a day is no heartbeat, and sums of such times stay far from overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a server says when a session opens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// The session's id.
    pub sid: Text,
    /// Whether the session may go on over WebSocket.
    pub can_upgrade: bool,
    /// Between two pings of the server.
    pub ping_interval: Duration,
    /// How long the server waits for the answer.
    pub ping_timeout: Duration,
    /// The largest body of a POST, in bytes; none when the server does not say.
    pub max_payload: Option<usize>,
}

/// The same, as it stands on the wire.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    sid: std::borrow::Cow<'a, str>,
    #[serde(default)]
    upgrades: Vec<std::borrow::Cow<'a, str>>,
    ping_interval: u64,
    ping_timeout: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_payload: Option<usize>,
}

impl Handshake {
    /// Reads the content of an `open` packet.
    ///
    /// # Errors
    /// When it is not the JSON asked for, or its values are out of bounds.
    pub fn decode(text: &str) -> Result<Self, EngineError> {
        let wire: Wire<'_> = serde_json::from_str(text)
            .map_err(|error| EngineError::Handshake(error.to_string()))?;
        if wire.sid.is_empty() || wire.sid.len() > SID_BYTES {
            let what = format!("`sid` has {} bytes, not 1 to {SID_BYTES}", wire.sid.len());
            return Err(EngineError::Handshake(what));
        }
        let time = |name: &str, ms: u64| {
            let time = Duration::from_millis(ms);
            let is_sane = !time.is_zero() && time <= LONGEST;
            is_sane
                .then_some(time)
                .ok_or_else(|| EngineError::Handshake(format!("`{name}` is {ms} ms")))
        };
        Ok(Self {
            sid: Text::from(&*wire.sid),
            can_upgrade: wire.upgrades.iter().any(|name| name == "websocket"),
            ping_interval: time("pingInterval", wire.ping_interval)?,
            ping_timeout: time("pingTimeout", wire.ping_timeout)?,
            max_payload: wire.max_payload,
        })
    }

    /// The content of an `open` packet.
    #[must_use]
    pub fn encode(&self) -> String {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let wire = Wire {
            sid: self.sid.as_str().into(),
            upgrades: if self.can_upgrade { vec!["websocket".into()] } else { Vec::new() },
            ping_interval: ms(self.ping_interval),
            ping_timeout: ms(self.ping_timeout),
            max_payload: self.max_payload,
        };
        serde_json::to_string(&wire).expect("strings and numbers are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_protocol_is_read_and_written() {
        let text = concat!(
            r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"#,
            r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#,
        );
        let handshake = Handshake::decode(text).unwrap();
        assert_eq!(handshake.ping_interval, Duration::from_secs(25));
        assert!(handshake.can_upgrade);
        assert_eq!(handshake.encode(), text);
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        for (text, expected) in [
            ("{}", "missing field `sid`"),
            (r#"{"sid":"","pingInterval":1,"pingTimeout":1}"#, "`sid` has 0 bytes"),
            (r#"{"sid":"a","pingInterval":0,"pingTimeout":1}"#, "`pingInterval` is 0 ms"),
            (
                r#"{"sid":"a","pingInterval":1,"pingTimeout":18446744073709551615}"#,
                "`pingTimeout` is 1844",
            ),
        ] {
            let error = Handshake::decode(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
