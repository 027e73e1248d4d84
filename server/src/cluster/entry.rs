//! What processes tell each other: the entries of the stream.
//! In: letters, who is present. Out: the same as JSON, and back.
//! Leaves to others: the stream (`link`), what an entry does (`link`).

use crate::letter::Written;
use serde::{Deserialize, Serialize};

/// Bytes of a letter that goes along; a longer one is read from the store by those who want it,
/// so that the stream stays small.
const LETTER_BYTES: usize = 16 << 10;

/// Something that one process tells all others.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// It lives. Told often; who is not heard of any more is gone.
    Alive,
    /// It has come, or has lost something: everyone is to tell who is present.
    Asked,
    /// It leaves in good order.
    Gone,
    /// It could not tell everything: look into the store.
    Look,
    /// A message or an event that has a number in its room. Without a letter it is in the store.
    Numbered { room: String, seq: u64, letter: Option<Written> },
    /// A letter to a room that is not kept.
    Told { room: String, letter: Written },
    /// A letter to everyone of a name in a room.
    Whispered { room: String, to: String, letter: Written },
    /// Somebody begins to type, or ends.
    Typing { room: String, name: Option<String>, is_typing: bool },
    /// Who has come and gone.
    Present(Vec<Presence>),
    /// Everyone who is present, in parts; what was known before is forgotten with the last.
    Whole { is_first: bool, is_last: bool, rooms: Vec<Presence> },
    /// A letter to all clients of accounts, or to those that listen to notifications.
    Personal { users: Vec<i64>, letter: Written, is_notice: bool },
    /// What is known of a room is old: ask the store.
    Changed { room: String },
}

/// A room at one process: who has come and gone, and how many are there now.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Presence {
    pub(crate) room: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) came: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) went: Vec<String>,
    /// Clients in it.
    pub(crate) clients: usize,
    /// Those of them without a name.
    pub(crate) nameless: usize,
}

impl Entry {
    /// A message or an event of a room. Bytes that go along are not kept, so they travel.
    pub(crate) fn numbered(room: &str, seq: u64, letter: Written) -> Self {
        let is_long = letter.bytes() > LETTER_BYTES && !letter.has_attachments();
        Self::Numbered { room: room.to_owned(), seq, letter: (!is_long).then_some(letter) }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }

    /// None when it is of a version that says more than this one knows.
    pub(crate) fn of_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::Letter;
    use bytes::Bytes;

    #[test]
    fn an_entry_arrives_as_it_was_sent() {
        let letter = Letter::message("{}".into(), "message:new", r#"{"a":"é\n"}"#.to_owned());
        let letter = letter.with_attachments(vec![Bytes::from_static(&[0, 255])]);
        let sent = Entry::numbered("lobby", 7, letter.written());
        let Some(Entry::Numbered { room, seq, letter: Some(written) }) =
            Entry::of_json(sent.to_json().as_bytes())
        else {
            panic!("{sent:?}")
        };
        assert_eq!((room.as_str(), seq), ("lobby", 7));
        let arrived = Letter::of(written);
        assert_eq!(arrived.frames(3), letter.frames(3));
        assert_eq!(arrived.plain(), letter.plain());
        assert!(Entry::of_json(b"{\"tomorrow\":1}").is_none());
    }

    #[test]
    fn what_is_long_is_left_to_the_store() {
        let long = || Letter::event("typing", format!("\"{}\"", "x".repeat(LETTER_BYTES)));
        let entry = Entry::numbered("lobby", 1, long().written());
        assert!(matches!(entry, Entry::Numbered { letter: None, .. }));
        let with_bytes = long().with_attachments(vec![Bytes::from_static(b"a")]);
        let entry = Entry::numbered("lobby", 1, with_bytes.written());
        assert!(matches!(entry, Entry::Numbered { letter: Some(_), .. }), "kept nowhere else");
    }
}
