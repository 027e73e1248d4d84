//! What is said to many, in the two spellings it is said in: a text for plain WebSockets, an event
//! for Socket.IO. Each is written once and its bytes are shared by all who get it.
//! In: a text, or a name and a JSON object, or both. Out: frames as they go onto a WebSocket.
//! Leaves to others: who gets it (`hub`).

use crate::vocabulary;
use bytes::Bytes;
use data_encoding::BASE64;
use ebbtide_socketio::packet::{Args, Encoded, MAIN};
use ebbtide_socketio::{Frame, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a client is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dialect {
    /// JSON texts on a WebSocket.
    Plain,
    /// Socket.IO's events.
    Events,
}

/// Something said to many.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    plain: Option<Text>,
    event: Option<Event>,
}

#[derive(Clone, Debug)]
struct Event {
    name: Cow<'static, str>,
    /// A JSON object, with a placeholder for each attachment.
    body: String,
    attachments: Vec<Bytes>,
}

impl Letter {
    /// A message, which everyone understands.
    pub(crate) fn message(plain: Text, name: &'static str, body: String) -> Self {
        debug_assert!(vocabulary::is_told(name), "`{name}` is not in the vocabulary");
        let event = Some(Event { name: name.into(), body, attachments: Vec::new() });
        Self { plain: Some(plain), event }
    }

    /// An event that plain clients do not know.
    pub(crate) fn event(name: impl Into<Cow<'static, str>>, body: String) -> Self {
        let name = name.into();
        debug_assert!(vocabulary::is_told(&name), "`{name}` is not in the vocabulary");
        Self { plain: None, event: Some(Event { name, body, attachments: Vec::new() }) }
    }

    /// The same with bytes beside the body of the event.
    pub(crate) fn with_attachments(mut self, attachments: Vec<Bytes>) -> Self {
        if let Some(event) = &mut self.event {
            event.attachments = attachments;
        }
        self
    }

    /// For plain clients, if they understand it.
    pub(crate) fn plain(&self) -> Option<&Text> {
        self.plain.as_ref()
    }

    /// Bytes of it, in both spellings.
    pub(crate) fn bytes(&self) -> usize {
        let plain = self.plain.as_ref().map_or(0, |text| text.len());
        let event = self.event.as_ref().map_or(0, |event| {
            event.body.len() + event.attachments.iter().map(Bytes::len).sum::<usize>()
        });
        plain + event
    }

    /// The same for another process.
    pub(crate) fn written(&self) -> Written {
        let event = self.event.as_ref();
        let attachments = event.map_or(&[][..], |event| &event.attachments);
        Written {
            plain: self.plain.as_ref().map(ToString::to_string),
            event: event.map(|event| (event.name.to_string(), event.body.clone())),
            attachments: attachments.iter().map(|bytes| BASE64.encode(bytes)).collect(),
        }
    }

    /// A letter of another process.
    pub(crate) fn of(written: Written) -> Self {
        let Written { plain, event, attachments } = written;
        let bytes = attachments.iter().filter_map(|text| BASE64.decode(text.as_bytes()).ok());
        let attachments = bytes.map(Bytes::from).collect();
        let event = event.map(|(name, body)| Event { name: name.into(), body, attachments });
        Self { plain: plain.map(Text::from), event }
    }

    /// For clients of Socket.IO. `number` is the offset behind the body, which a client sends back
    /// to have what it missed.
    pub(crate) fn frames(&self, number: u64) -> Vec<Frame> {
        let Some(Event { name, body, attachments }) = &self.event else { return Vec::new() };
        let items = Text::from(format!("{body},\"{number}\""));
        let args = Args::trusted(items).with_attachments(attachments.clone());
        Encoded::event(MAIN, name, &args, None).frames().collect()
    }

    /// For clients of Socket.IO in a namespace where nothing is given again: without a number.
    pub(crate) fn frames_in(&self, namespace: &str) -> Vec<Frame> {
        let Some(Event { name, body, .. }) = &self.event else { return Vec::new() };
        let args = Args::trusted(body.as_str().into());
        Encoded::event(namespace, name, &args, None).frames().collect()
    }
}

/// A letter as processes hand it to each other.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plain: Option<String>,
    /// Name and body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<(String, String)>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
}

impl Written {
    /// Bytes of both spellings, without attachments.
    pub(crate) fn bytes(&self) -> usize {
        let plain = self.plain.as_ref().map_or(0, String::len);
        plain + self.event.as_ref().map_or(0, |(_, body)| body.len())
    }

    /// Whether bytes go along.
    pub(crate) fn has_attachments(&self) -> bool {
        !self.attachments.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_in_its_offset() {
        let letter = Letter::event("typing", r#"{"room":"lobby"}"#.to_owned());
        let frames = letter.frames(7);
        assert_eq!(frames, [Frame::Text(r#"42["typing",{"room":"lobby"},"7"]"#.into())]);
        assert!(letter.plain().is_none());
        let bytes = Bytes::from_static(b"ab");
        let letter = letter.with_attachments(vec![bytes.clone()]);
        let frames = letter.frames(8);
        assert_eq!(frames[0], Frame::Text(r#"451-["typing",{"room":"lobby"},"8"]"#.into()));
        assert_eq!(frames[1], Frame::Binary(bytes));
    }
}
