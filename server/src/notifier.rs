//! The task that keeps and tells notifications.
//! In: occasions, as many as wait at a time. Out: one write for all of them; events in the queues
//! of those who are here, at once or by batches.
//! Leaves to others: what an occasion is, and what waits (`notices`).

use crate::auth::Identity;
use crate::auth::access::{self, Action, Who};
use crate::hub::Hub;
use crate::letter::Letter;
use crate::message::Refusal;
use crate::notices::{Notice, Occasion, Priority, Shown, Topic, Waiting, in_words, system};
use crate::store::{NewNotification, StoreError, UserId};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Occasions kept by one write.
const AT_ONCE: usize = 64;

/// Times that a write is tried when the database is behind, and the pause before the next.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Keeps and tells what is noted, until the task is aborted.
pub(crate) async fn run(hub: Arc<Hub>, window: Duration) {
    let Some(mut occasions) = hub.notices.receiver() else { return };
    let mut waiting = Waiting::new(window);
    let mut noted = Vec::with_capacity(AT_ONCE);
    loop {
        let due = waiting.due();
        let end = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            count = occasions.recv_many(&mut noted, AT_ONCE) => {
                if count == 0 {
                    return;
                }
                let notices = hub.notices_of(std::mem::take(&mut noted)).await;
                hub.keep_and_tell(notices, &mut waiting).await;
            }
            () = end => {}
        }
        while let Some((user, list)) = waiting.next(Instant::now()) {
            hub.tell_notices(user, list).await;
        }
    }
}

impl Hub {
    /// The notices that occasions amount to: names become users who may see the room.
    async fn notices_of(&self, occasions: Vec<Occasion>) -> Vec<Notice> {
        let mut notices = Vec::new();
        for occasion in occasions {
            let (room, names, but, body) = match occasion {
                Occasion::Told(notice) => {
                    notices.push(notice);
                    continue;
                }
                Occasion::Named { room, names, but, body } => (room, names, but, body),
            };
            for name in names {
                match self.may_be_named(&room, &name).await {
                    Ok(Some(user)) if Some(user) != but => {
                        let (topic, priority) = (Topic::Mention, Priority::High);
                        notices.push(Notice { user, topic, priority, body: body.clone() });
                    }
                    Ok(_) => {}
                    Err(error) => {
                        self.notices.count_lost(1);
                        tracing::warn!(%error, "somebody who was named could not be told");
                    }
                }
            }
        }
        notices
    }

    /// The account of that name, if it may see the room.
    async fn may_be_named(&self, room: &str, name: &str) -> Result<Option<UserId>, StoreError> {
        let Some(account) = self.store.account_named(name).await? else { return Ok(None) };
        let Some(view) = self.store.room(room, Some(account.id)).await? else { return Ok(None) };
        let identity = Identity {
            user: account.id,
            name: account.name,
            admin: account.admin,
            session: String::new(),
            expires_ms: 0,
        };
        let who = Who { identity: Some(&identity), open: self.bounds.open };
        Ok(access::may(who, Action::See, &view).is_ok().then_some(account.id))
    }

    async fn keep_and_tell(&self, notices: Vec<Notice>, waiting: &mut Waiting<Shown>) {
        if notices.is_empty() {
            return;
        }
        let bodies: Vec<String> = notices.iter().map(|notice| notice.body.to_string()).collect();
        let new = notices.iter().zip(&bodies).map(|(notice, body)| NewNotification {
            user: notice.user,
            kind: notice.topic.word(),
            priority: notice.priority as i64,
            body,
        });
        let new: Vec<_> = new.collect();
        let numbers = match self.keep(&new).await {
            Ok(numbers) => numbers,
            Err(error) => {
                self.notices.count_lost(new.len());
                tracing::warn!(%error, "notifications could not be kept");
                return;
            }
        };
        self.notices.count_kept(new.len());
        for ((notice, body), (id, timestamp)) in notices.iter().zip(&bodies).zip(numbers) {
            let (user, priority) = (notice.user, notice.priority);
            if !self.may_be_told(user) {
                continue;
            }
            let kind = notice.topic.word().to_owned();
            let body = RawValue::from_string(body.clone()).unwrap_or_default();
            let shown = Shown { id, kind, priority, body, timestamp, read: false };
            let ready = if priority.is_hasty() {
                Some((user, vec![shown]))
            } else {
                waiting.add(user, shown, Instant::now())
            };
            if let Some((user, list)) = ready {
                self.tell_notices(user, list).await;
            }
        }
    }

    async fn keep(&self, new: &[NewNotification<'_>]) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut tries = 1;
        loop {
            match self.store.notify(new).await {
                Err(StoreError::Busy) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// Tells a user who is here: one alone by itself, several together.
    async fn tell_notices(&self, user: UserId, list: Vec<Shown>) {
        if !self.may_be_told(user) {
            return;
        }
        // An extra: without the number the list is told all the same.
        let unread = self.store.count_unread(user).await.ok();
        let letter = match list.as_slice() {
            [one] => {
                let mut body = json!(one);
                body["unread"] = json!(unread);
                let mut plain = body.clone();
                plain["content"] = in_words(one).into();
                Letter::message(system("notification", plain), "notification:new", body.to_string())
            }
            list => {
                let body = json!({ "notifications": list, "unread": unread });
                let mut plain = body.clone();
                plain["content"] = format!("{} notifications", list.len()).into();
                let plain = system("notifications", plain);
                Letter::message(plain, "notification:batch", body.to_string())
            }
        };
        self.tell_of(user, &letter);
    }

    /// A user has read one, or all; gives how many it has not.
    pub(crate) async fn mark_read(&self, user: UserId, id: Option<i64>) -> Result<Value, Refusal> {
        let failed = |error: StoreError| Refusal::of(&error);
        match id {
            Some(id) if !self.store.mark_read(user, id).await.map_err(failed)? => {
                return Err(Refusal::NoNotification(id));
            }
            Some(_) => {}
            None => drop(self.store.mark_all_read(user).await.map_err(failed)?),
        }
        let unread = self.tell_read(user, id).await.map_err(failed)?;
        Ok(json!({ "id": id, "unread": unread }))
    }

    /// Tells all windows of a user that one was read, or all were.
    pub(crate) async fn tell_read(&self, user: UserId, id: Option<i64>) -> Result<i64, StoreError> {
        let unread = self.store.count_unread(user).await?;
        if self.may_be_told(user) {
            let body = json!({ "id": id, "all": id.is_none(), "unread": unread });
            let mut plain = body.clone();
            plain["content"] = format!("{unread} notifications are unread").into();
            let plain = system("notification-read", plain);
            self.tell_of(user, &Letter::message(plain, "notification:read", body.to_string()));
        }
        Ok(unread)
    }
}
