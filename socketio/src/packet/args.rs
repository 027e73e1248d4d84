//! The arguments of an event or of an ack: JSON values, and bytes beside them.
//!
//! Comes in: the elements of an array as text, with a placeholder for each attachment. Goes out:
//! the same, or argument by argument. The text shares memory with the message that it came in.

use super::json;
use super::{PacketError, PacketLimits};
use crate::text::Text;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Arguments in their order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Args {
    /// The elements of the array without its brackets; JSON.
    items: Text,
    attachments: Vec<Bytes>,
}

/// One argument. Bytes that lie deeper, inside an object, stay a placeholder in its JSON.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// A JSON value as text.
    Json(&'a str),
    /// An attachment.
    Binary(&'a Bytes),
}

/// What stands in JSON for bytes.
#[derive(Deserialize)]
struct Placeholder {
    _placeholder: bool,
    num: usize,
}

impl Args {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes a JSON array as text: `[1,{"a":true}]`. For bytes inside, write
    /// `{"_placeholder":true,"num":0}` and hand them over with [`Args::with_attachments`].
    ///
    /// # Errors
    /// When the text is not a JSON array, or nests deeper than 128.
    pub fn parse(array: &str) -> Result<Self, PacketError> {
        let inside = array.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let items = inside.ok_or_else(|| PacketError::Payload("not a JSON array".to_owned()))?;
        json::inspect_items(items).map_err(|error| PacketError::Payload(error.to_string()))?;
        Ok(Self::trusted(Text::from(items.trim())))
    }

    /// Elements of an array that are known to be JSON, without the brackets: `1,{"a":true}`. They
    /// are sent as they stand.
    #[must_use]
    pub fn trusted(items: Text) -> Self {
        Self { items, attachments: Vec::new() }
    }

    /// From arguments one by one, JSON trusted; a placeholder is written for each of bytes.
    #[must_use]
    pub fn of(list: &[Arg<'_>]) -> Self {
        let (mut items, mut attachments) = (String::new(), Vec::new());
        for (index, arg) in list.iter().enumerate() {
            if index > 0 {
                items.push(',');
            }
            match arg {
                Arg::Json(json) => items.push_str(json),
                Arg::Binary(bytes) => {
                    let num = attachments.len();
                    items.push_str(&format!("{{\"_placeholder\":true,\"num\":{num}}}"));
                    attachments.push((*bytes).clone());
                }
            }
        }
        Self { items: items.into(), attachments }
    }

    /// The bytes that the placeholders stand for, by their numbers.
    #[must_use]
    pub fn with_attachments(mut self, attachments: Vec<Bytes>) -> Self {
        self.attachments = attachments;
        self
    }

    /// The elements of the array as text, without the brackets.
    #[must_use]
    pub fn items(&self) -> &Text {
        &self.items
    }

    /// The bytes beside the JSON.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// The whole as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("[{}]", self.items)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The arguments one by one. Reads the text once more.
    #[must_use]
    pub fn list(&self) -> Vec<Arg<'_>> {
        let mut rest = self.items.as_str();
        let mut list = Vec::new();
        loop {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
            let Some(Ok(value)) = values.next() else { return list };
            rest = &rest[values.byte_offset()..];
            rest = rest.trim_start().strip_prefix(',').unwrap_or_default();
            list.push(self.arg(value.get()));
        }
    }

    fn arg<'a>(&'a self, json: &'a str) -> Arg<'a> {
        if self.attachments.is_empty() || !json.starts_with('{') {
            return Arg::Json(json);
        }
        serde_json::from_str::<Placeholder>(json)
            .ok()
            .filter(|found| found._placeholder)
            .and_then(|found| self.attachments.get(found.num))
            .map_or(Arg::Json(json), Arg::Binary)
    }

    /// The last argument when it is a string: the offset that a server with connection state
    /// recovery puts behind every event.
    pub(crate) fn last_string(&self) -> Option<String> {
        // Saves the walk: what does not end in a quote has no string at its end.
        if !self.items.ends_with('"') {
            return None;
        }
        match self.list().last()? {
            Arg::Json(json) => serde_json::from_str(json).ok(),
            Arg::Binary(_) => None,
        }
    }

    /// Whether both ends would take these arguments; how many bytes they have.
    ///
    /// # Errors
    /// When there are more attachments or bytes than the limits allow.
    pub fn check(&self, limits: PacketLimits) -> Result<usize, PacketError> {
        let count = self.attachments.len();
        if count > limits.attachments {
            let limit = limits.attachments;
            return Err(PacketError::TooManyAttachments { count: count as u64, limit });
        }
        let size = self.items.len() + self.attachments.iter().map(Bytes::len).sum::<usize>();
        if size > limits.bytes {
            return Err(PacketError::TooLarge { size, limit: limits.bytes });
        }
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_told_apart() {
        let bytes = Bytes::from_static(&[1, 2]);
        let args = Args::of(&[Arg::Json("1"), Arg::Binary(&bytes), Arg::Json(r#"{"a":"]"}"#)]);
        assert_eq!(args.to_json(), r#"[1,{"_placeholder":true,"num":0},{"a":"]"}]"#);
        let [Arg::Json("1"), Arg::Binary(found), Arg::Json(last)] = args.list()[..] else {
            panic!("{:?}", args.list())
        };
        assert_eq!((found, last), (&bytes, r#"{"a":"]"}"#));
    }

    #[test]
    fn an_array_is_parsed_and_anything_else_is_not() {
        assert_eq!(Args::parse(" [ 1 , \"x\" ] ").unwrap().items(), &"1 , \"x\"");
        assert_eq!(Args::parse("[1, \"of\\\"f\"]").unwrap().last_string().unwrap(), "of\"f");
        assert_eq!(Args::parse("[\"a\",{\"b\":\"c\"}]").unwrap().last_string(), None);
        assert!(Args::parse("[]").unwrap().is_empty());
        for text in ["", "{}", "1", "[1", "[1,]", "[1],[2]", "[\"\\ud800\"]"] {
            assert!(Args::parse(text).is_err(), "{text}");
        }
    }
}
