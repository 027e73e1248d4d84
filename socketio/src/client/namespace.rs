//! One namespace of a client: what is wanted of it, what the server granted, what waits.
//!
//! Comes in: the packets of the namespace. Goes out: its state. Which events the user sees is for
//! `client`.

use crate::acks::Acks;
use crate::packet::{Args, Content, Encoded, Packet};
use crate::text::Text;

/// How far a namespace is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Not wanted, or refused, or ended by either side.
    Idle,
    /// Wanted; asked for as soon as there is a session.
    Wanted,
    /// Asked for.
    Asked,
    /// Granted.
    Connected,
}

/// What lets a server recover the connection's state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Recovery {
    /// The private id that the server gave.
    pub(super) pid: Option<String>,
    /// Of the last event seen.
    pub(super) offset: Option<String>,
}

#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) name: Text,
    pub(super) auth: Option<Text>,
    pub(super) phase: Phase,
    pub(super) sid: Option<Text>,
    pub(super) recovery: Recovery,
    pub(super) acks: Acks,
    /// What was emitted before it was connected, and its bytes.
    waiting: Vec<Encoded>,
    waiting_bytes: usize,
    /// Events that came before the grant: npm's server sends what a recovered connection has
    /// missed first.
    early: Vec<Early>,
    early_bytes: usize,
}

/// An event that came early: name, arguments, id of the answer.
pub(super) type Early = (Text, Args, Option<u64>);

/// What a server's CONNECT says.
#[derive(serde::Deserialize)]
pub(super) struct Granted {
    pub(super) sid: String,
    pub(super) pid: Option<String>,
}

impl Namespace {
    pub(super) fn new(name: Text) -> Self {
        Self {
            name,
            auth: None,
            phase: Phase::Idle,
            sid: None,
            recovery: Recovery::default(),
            acks: Acks::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            early: Vec::new(),
            early_bytes: 0,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// The packet that asks for it: the credentials, and before them what recovery needs.
    pub(super) fn request(&self) -> Encoded {
        let payload = match (&self.recovery.pid, &self.auth) {
            (None, auth) => auth.clone(),
            (Some(pid), auth) => {
                let quote = |text: &str| serde_json::Value::from(text).to_string();
                let mut object = format!("{{\"pid\":{}", quote(pid));
                if let Some(offset) = &self.recovery.offset {
                    object.push_str(",\"offset\":");
                    object.push_str(&quote(offset));
                }
                let own = auth.as_deref().unwrap_or("{}").trim();
                let own = own.strip_prefix('{').unwrap_or(own).trim_start();
                object.push_str(if own == "}" { "" } else { "," });
                object.push_str(own);
                Some(object.into())
            }
        };
        let content = Content::Connect(payload);
        Encoded::packet(&Packet { namespace: self.name.clone(), content })
    }

    /// Takes what the server granted; whether the state of an earlier connection was recovered.
    pub(super) fn grant(&mut self, granted: Granted) -> bool {
        let is_recovered = granted.pid.is_some() && granted.pid == self.recovery.pid;
        self.recovery.pid = granted.pid;
        self.sid = Some(granted.sid.into());
        self.phase = Phase::Connected;
        is_recovered
    }

    /// Remembers the offset of an event, when the server recovers connections.
    pub(super) fn note_offset(&mut self, args: &Args) {
        if self.recovery.pid.is_some()
            && let Some(offset) = args.last_string()
        {
            self.recovery.offset = Some(offset);
        }
    }

    pub(super) fn keep(&mut self, encoded: Encoded) {
        self.waiting_bytes += encoded.size();
        self.waiting.push(encoded);
    }

    /// What waited, in its order; nothing waits afterwards.
    pub(super) fn take_waiting(&mut self) -> Vec<Encoded> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Keeps an event until the namespace is granted; false when it exceeds the limit.
    pub(super) fn keep_early(&mut self, event: Early, limit: usize) -> bool {
        /// What an event takes beside its bytes, so that empty ones are bounded, too.
        const OVERHEAD: usize = 128;
        let attachments: usize = event.1.attachments().iter().map(bytes::Bytes::len).sum();
        self.early_bytes += event.0.len() + event.1.items().len() + attachments + OVERHEAD;
        self.early.push(event);
        self.early_bytes <= limit
    }

    pub(super) fn take_early(&mut self) -> Vec<Early> {
        self.early_bytes = 0;
        std::mem::take(&mut self.early)
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn request(pid: Option<&str>, offset: Option<&str>, auth: Option<&str>) -> String {
        let mut namespace = Namespace::new(Text::fixed("/chat"));
        namespace.recovery =
            Recovery { pid: pid.map(str::to_owned), offset: offset.map(str::to_owned) };
        namespace.auth = auth.map(Text::from);
        match namespace.request().frames().next() {
            Some(Frame::Text(text)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn recovery_stands_before_the_credentials() {
        for (pid, offset, auth, expected) in [
            (None, None, None, "40/chat,"),
            (None, Some("1"), Some(r#"{"a":1}"#), r#"40/chat,{"a":1}"#),
            (Some("p"), None, None, r#"40/chat,{"pid":"p"}"#),
            (Some("p"), Some("1-\""), Some("{ }"), r#"40/chat,{"pid":"p","offset":"1-\""}"#),
            (Some("p"), None, Some(r#"{"a":1}"#), r#"40/chat,{"pid":"p","a":1}"#),
        ] {
            assert_eq!(request(pid, offset, auth), expected);
        }
    }
}
