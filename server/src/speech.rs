//! A message on its way: checked, kept, and handed to everyone it is for.
//! In: words, where they are said, who wants to know how it went. Out: the same message, kept
//! once, in the queue of everyone in the room in one order, and an answer to who said it.
//! Leaves to others: reading what a client sends (`message`, `sio`), the queues (`hub`).

use crate::hub::Hub;
use crate::letter::Letter;
use crate::message::{self, Kept, Refusal, Words};
use crate::subscriber::Subscriber;
use bytes::Bytes;
use ebbtide_socketio::packet::{Args, Encoded, MAIN};
use ebbtide_socketio::server::AckId;
use ebbtide_socketio::{Frame, Text};
use serde_json::json;
use std::sync::Arc;

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) room: Arc<str>,
    pub(crate) words: Words<'static>,
    /// Bytes that go along to those who are here; they are not kept.
    pub(crate) attachment: Option<Bytes>,
    /// Who says it, when it is a client.
    pub(crate) speaker: Option<Arc<Subscriber>>,
    pub(crate) answer: Answer,
}

/// How who said it learns how it went.
#[derive(Debug)]
pub(crate) enum Answer {
    /// By hearing it; a refusal comes as an error.
    Echo,
    /// By an answer of Socket.IO.
    Ack(AckId),
    /// By an event of Socket.IO when it is refused.
    Event,
}

impl Hub {
    /// Says something in a room; gives it as it was said, or none when there is no such room.
    /// A message for one user goes to who is called so and back to the speaker, and is not kept.
    pub(crate) fn say(&self, speech: &Speech, now_ms: u64) -> Result<Option<Text>, Refusal> {
        let Speech { room, words, attachment, speaker, .. } = speech;
        let attachments: Vec<Bytes> = attachment.iter().cloned().collect();
        let from = speaker.as_ref().map(|speaker| speaker.id);
        let mut state = self.state();
        let Some(found) = state.rooms.room_mut(room) else { return Ok(None) };
        if let Some(to) = words.to.as_deref() {
            let kept = Kept { id: 0, seq: found.seq };
            drop(state);
            let said = message::said(words, room, kept.seq, now_ms);
            let body = message::body(words, room, (None, attachment.is_some()), now_ms);
            let letter = Letter::message(said.clone(), "message:direct", body);
            if !self.whisper(room, to, &letter.with_attachments(attachments), from) {
                return Err(Refusal::Nobody(to.to_owned()));
            }
            speech.confirm(&kept);
            return Ok(Some(said));
        }
        let author = words.username.as_deref().unwrap_or_default();
        if let Some(key) = words.key.as_deref()
            && let Some(kept) = found.keys.find(author, key)
        {
            let said = message::said(words, room, kept.seq, now_ms);
            drop(state);
            speech.repeat(&said, &kept);
            return Ok(Some(said));
        }
        found.seq += 1;
        let kept = Kept { id: found.seq, seq: found.seq };
        if let Some(key) = words.key.as_deref() {
            found.keys.keep(author, key, kept);
        }
        let said = message::said(words, room, kept.seq, now_ms);
        let body = message::body(words, room, (Some(kept), attachment.is_some()), now_ms);
        let letter = Letter::message(said.clone(), "message:new", body);
        self.store.keep(room, said.clone());
        self.broadcast(&mut state, room, &letter.with_attachments(attachments), None);
        drop(state);
        speech.confirm(&kept);
        Ok(Some(said))
    }
}

impl Speech {
    /// It is kept, and on its way to everyone.
    fn confirm(&self, kept: &Kept) {
        if let (Answer::Ack(ack), Some(speaker)) = (&self.answer, &self.speaker) {
            let kept = json!(kept).to_string();
            speaker.push(&ack_frames(*ack, kept));
        }
    }

    /// It was kept before: nobody hears it twice but who said it.
    fn repeat(&self, said: &Text, kept: &Kept) {
        if let (Answer::Echo, Some(speaker)) = (&self.answer, &self.speaker) {
            speaker.push_text(said.clone());
        }
        self.confirm(kept);
    }
}

/// An answer to an event of the main namespace.
fn ack_frames(ack: AckId, body: String) -> Vec<Frame> {
    Encoded::ack(MAIN, ack.0, &Args::trusted(body.into())).frames().collect()
}
