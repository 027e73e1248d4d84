//! Words from one account to another on their way: kept, and then handed to both.
//! In: who says it, to whom, what. Out: the same, kept once, in the queues of all clients of both
//! accounts; a notification for whom it is for.
//! Leaves to others: guests, whose words in private are not kept (`speech`), the queues (`post`).

use crate::auth::Identity;
use crate::auth::access::{self, Who};
use crate::hub::Hub;
use crate::letter::Letter;
use crate::message::{Person, Refusal, Words};
use crate::notices::Occasion;
use crate::store::{Direct, NewDirect, Sent, UserId};
use ebbtide_socketio::Text;
use serde::Serialize;
use serde_json::value::RawValue;

/// Words from one account to another, as both of them hear it.
#[derive(Debug, Serialize)]
pub(crate) struct Whispered<'a> {
    /// Names it for ever, and orders it among all that the two have said.
    id: i64,
    /// The sender's account.
    from: i64,
    username: &'a str,
    user: Person<'a>,
    /// The name of whom it is for.
    to: &'a str,
    /// The number of that account.
    to_id: i64,
    content: &'a str,
    /// The sender's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// Unix time in milliseconds.
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<&'a RawValue>,
}

/// The same for plain clients, which know `type` and `content`.
#[derive(Serialize)]
struct Plain<'a> {
    r#type: &'static str,
    content: &'a str,
    username: &'a str,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// The client's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    /// The number that the message goes by.
    direct: i64,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<&'a RawValue>,
}

/// What became of words for an account.
#[derive(Debug)]
pub(crate) struct Whisper {
    pub(crate) sent: Sent,
    /// For who was told of it before, and asks again.
    pub(crate) plain: Text,
}

impl<'a> From<&'a Direct> for Whispered<'a> {
    fn from(direct: &'a Direct) -> Self {
        Self {
            id: direct.id,
            from: direct.from.0,
            username: &direct.from_name,
            user: Person { id: direct.from.0, name: &direct.from_name },
            to: &direct.to_name,
            to_id: direct.to.0,
            content: &direct.content,
            key: direct.key.as_deref(),
            timestamp: direct.at_ms,
            stamp: None,
        }
    }
}

impl Hub {
    /// Says something to the account that `words.to` names: when it is kept, all clients of both
    /// are told. None when there is no such account, or none who says it.
    pub(crate) async fn whisper_to_account(
        &self,
        from: &Identity,
        words: &Words<'_>,
    ) -> Result<Option<Whisper>, Refusal> {
        let who = Who { identity: Some(from), open: self.bounds.open };
        access::may_whisper(who).map_err(|denied| Refusal::Denied(denied.to_string()))?;
        let Some(to) = words.to.as_deref() else { return Ok(None) };
        let failed = |error| Refusal::of(&error);
        let Some(to) = self.store.account_named(to).await.map_err(failed)? else {
            return Ok(None);
        };
        // As it is stored: PostgreSQL takes every character but this one.
        let content = words.content.replace('\0', "\u{fffd}");
        let key = words.key.as_deref();
        let new = NewDirect { from: from.user, to: to.id, content: &content, key };
        let Some(sent) = self.store.send(new).await.map_err(failed)? else { return Ok(None) };
        let told = Whispered {
            id: sent.id,
            from: from.user.0,
            username: &from.name,
            user: Person { id: from.user.0, name: &from.name },
            to: &to.name,
            to_id: to.id.0,
            content: &content,
            key,
            timestamp: sent.at_ms,
            stamp: words.stamp.as_deref(),
        };
        let plain: Text = json(&Plain {
            r#type: "user",
            content: &content,
            username: &from.name,
            to: &to.name,
            key,
            id: words.id.as_deref(),
            direct: sent.id,
            timestamp: sent.at_ms,
            stamp: words.stamp.as_deref(),
        })
        .into();
        if !sent.again {
            let letter = Letter::message(plain.clone(), "message:direct", json(&told));
            let both = [from.user, to.id];
            let is_own = from.user == to.id;
            self.tell(if is_own { &both[..1] } else { &both }, &letter);
            if !is_own {
                self.note_whisper(from, to.id, &told);
            }
        }
        Ok(Some(Whisper { sent, plain }))
    }

    fn note_whisper(&self, from: &Identity, to: UserId, told: &Whispered<'_>) {
        let name = from.name.as_str().into();
        let author = crate::store::Author::User { id: from.user, name };
        let content = told.content;
        self.notices.note(Occasion::direct(to, &author, content, told.id));
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and JSON are always JSON")
}
