//! A message on its way: kept, and then handed to everyone it is for.
//! In: words, where they are said, who wants to know how it went. Out: the same message, kept
//! once, in the queue of everyone in the room in the order in which it was kept, and an answer to
//! who said it.
//! Leaves to others: reading what a client sends (`message`, `sio`), the queues (`hub`).

use crate::hub::Hub;
use crate::letter::Letter;
use crate::message::{self, Kept, Refusal, Words};
use crate::notices::Occasion;
use crate::store::{self, Author, NewMessage, RoomId, StoreError, Stored};
use crate::subscriber::Subscriber;
use bytes::Bytes;
use ebbtide_socketio::packet::{Args, Encoded, MAIN};
use ebbtide_socketio::server::AckId;
use ebbtide_socketio::{Frame, Text};
use serde_json::json;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) room: Arc<str>,
    pub(crate) words: Words<'static>,
    pub(crate) author: Author,
    /// Bytes that go along to those who are here; they are not kept.
    pub(crate) attachment: Option<Bytes>,
    /// Who says it, when it is a client.
    pub(crate) speaker: Option<Arc<Subscriber>>,
    pub(crate) answer: Answer,
}

/// What who waits is told: how it was kept, or why it was not.
pub(crate) type Told = Result<Stored, Refusal>;

/// How who said it learns how it went.
#[derive(Debug)]
pub(crate) enum Answer {
    /// By hearing it; a refusal comes as an error of the plain protocol.
    Echo,
    /// By an answer of Socket.IO.
    Ack(AckId),
    /// By an event of Socket.IO when it is refused.
    Event,
    /// By waiting for it.
    Wait(Mutex<Option<oneshot::Sender<Told>>>),
}

impl Hub {
    /// Says something in a room: when it is kept, everyone in the room is told, and the answer is
    /// given. A message for one user goes to who is called so and back to the speaker, and is not
    /// kept.
    ///
    /// A refusal is given at once, or by the answer, not by both.
    pub(crate) fn say(self: &Arc<Self>, speech: Speech, now_ms: u64) -> Result<(), Refusal> {
        let found = self.with_rooms(|rooms| {
            let room = rooms.room(&speech.room)?;
            Some((room.id?, room.seq))
        });
        let (id, seq) = found.ok_or_else(|| Refusal::NoRoom(speech.room.to_string()))?;
        if let Some(to) = speech.words.to.as_deref() {
            return self.say_to(to, &speech, seq, now_ms);
        }
        self.say_in(id, speech)
    }

    /// The same in a room that the store calls so, whether anyone is in it or not.
    pub(crate) fn say_in(self: &Arc<Self>, id: RoomId, mut speech: Speech) -> Result<(), Refusal> {
        if speech.words.content.contains('\0') {
            // As it is stored: PostgreSQL takes every character but this one.
            speech.words.content = speech.words.content.replace('\0', "\u{fffd}").into();
        }
        let speech = Arc::new(speech);
        let (hub, kept) = (self.clone(), speech.clone());
        let new = NewMessage {
            room: id,
            author: &speech.author,
            content: &speech.words.content,
            key: speech.words.key.as_deref(),
        };
        let done = move |stored| hub.stored(&kept, stored);
        self.store.append(&new, done).map_err(|error| Refusal::of(&error))
    }

    fn say_to(&self, to: &str, speech: &Speech, seq: u64, now_ms: u64) -> Result<(), Refusal> {
        let Speech { room, words, attachment, speaker, .. } = speech;
        let said = message::said(words, room, seq, now_ms);
        let body = message::body(words, room, (None, attachment.is_some()), now_ms);
        let letter = Letter::message(said.clone(), "message:direct", body);
        let letter = letter.with_attachments(attachment.iter().cloned().collect());
        let from = speaker.as_ref().map(|speaker| speaker.id);
        if !self.whisper(room, to, &letter, from) {
            return Err(Refusal::Nobody(to.to_owned()));
        }
        speech.confirm(json!({}));
        Ok(())
    }

    /// A message has been kept, or not. Called in the order in which they were kept, on the
    /// store's own thread.
    fn stored(&self, speech: &Speech, stored: Result<Option<Stored>, StoreError>) {
        let Speech { room, words, attachment, .. } = speech;
        let stored = match stored {
            Ok(Some(stored)) => stored,
            Ok(None) => return speech.refuse(Refusal::NoRoom(room.to_string())),
            Err(error) => return speech.refuse(Refusal::of(&error)),
        };
        let seq = u64::try_from(stored.id.seq).unwrap_or(0);
        let at_ms = u64::try_from(stored.at_ms).unwrap_or(0);
        let user = match &speech.author {
            Author::User { id, .. } => Some(id.0),
            Author::Guest { .. } => None,
        };
        let kept = Kept { id: stored.id.to_string(), seq, user };
        let said = message::said(words, room, seq, at_ms);
        if stored.again {
            speech.repeat(said, &kept);
            return speech.tell(Ok(stored));
        }
        let body = message::body(words, room, (Some(&kept), attachment.is_some()), at_ms);
        let letter = Letter::message(said, "message:new", body);
        let letter = letter.with_attachments(attachment.iter().cloned().collect());
        if let Some(named) = Occasion::named(room, &speech.author, &words.content, seq) {
            self.notices.note(named);
        }
        self.announce(room, seq, letter);
        speech.confirm(json!(kept));
        speech.tell(Ok(stored));
    }
}

/// What the store has of an event, as it is told to those who did not hear it.
pub(crate) fn retold(room: &str, event: &store::Event) -> Letter {
    let said = match event {
        store::Event::Said(said) => said,
        store::Event::Other { kind, body, .. } => return Letter::event(kind.clone(), body.clone()),
    };
    let (words, kept, at_ms) = kept_words(said);
    let plain = message::said(&words, room, kept.seq, at_ms);
    Letter::message(plain, "message:new", message::body(&words, room, (Some(&kept), false), at_ms))
}

/// A message of the store: its words, its numbers, and when it was said.
pub(crate) fn kept_words(said: &store::Message) -> (Words<'_>, Kept, u64) {
    let seq = u64::try_from(said.id.seq).unwrap_or(0);
    let kept = Kept { id: said.id.to_string(), seq, user: said.user.map(|user| user.0) };
    let mut words = Words::of(Cow::Borrowed(&said.content));
    words.username = Some(Cow::Borrowed(&said.name));
    words.key = said.key.as_deref().map(Cow::Borrowed);
    (words, kept, u64::try_from(said.at_ms).unwrap_or(0))
}

impl Speech {
    /// It is kept, and on its way to everyone.
    fn confirm(&self, kept: serde_json::Value) {
        if let (Answer::Ack(ack), Some(speaker)) = (&self.answer, &self.speaker) {
            speaker.push(&ack_frames(*ack, kept.to_string()));
        }
    }

    /// It was kept before: nobody hears it twice but who said it.
    fn repeat(&self, said: Text, kept: &Kept) {
        if let (Answer::Echo, Some(speaker)) = (&self.answer, &self.speaker) {
            speaker.push_text(said);
        }
        self.confirm(json!(kept));
    }

    fn refuse(&self, refusal: Refusal) {
        let error = json!({"code": refusal.code(), "message": refusal.to_string()});
        match (&self.answer, &self.speaker) {
            (Answer::Echo, Some(speaker)) => {
                speaker.push_text(message::error(&refusal));
            }
            (Answer::Ack(ack), Some(speaker)) => {
                speaker.push(&ack_frames(*ack, json!({"error": error}).to_string()));
            }
            (Answer::Event, Some(speaker)) => {
                let args = Args::trusted(error.to_string().into());
                let event = Encoded::event(MAIN, "error", &args, None);
                speaker.push(&event.frames().collect::<Vec<_>>());
            }
            (Answer::Wait(_), _) => self.tell(Err(refusal)),
            (_, None) => {}
        }
    }

    fn tell(&self, told: Told) {
        let Answer::Wait(waiting) = &self.answer else { return };
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            // Who has gone need not know.
            let _ = waiting.send(told);
        }
    }
}

/// An answer to an event of the main namespace.
fn ack_frames(ack: AckId, body: String) -> Vec<Frame> {
    Encoded::ack(MAIN, ack.0, &Args::trusted(body.into())).frames().collect()
}
