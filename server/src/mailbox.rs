//! The clients of each account: a person may look through several windows.
//! In: clients that say whose they are, and go. Out: all of an account; a letter in the queue of
//! one, in its dialect.
//! Leaves to others: locking the rooms (`hub`), what is told to an account (`post`).

use crate::letter::{Dialect, Letter};
use crate::store::UserId;
use crate::subscriber::Subscriber;
use ebbtide_socketio::Frame;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The clients of each account that has any. As many as there are connections, at most.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes(Mutex<BTreeMap<UserId, Vec<Arc<Subscriber>>>>);

impl Mailboxes {
    fn all(&self) -> MutexGuard<'_, BTreeMap<UserId, Vec<Arc<Subscriber>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client is this account's from now on.
    pub(crate) fn enter(&self, user: UserId, client: &Arc<Subscriber>) {
        let mut all = self.all();
        let clients = all.entry(user).or_default();
        if clients.iter().all(|one| one.id != client.id) {
            clients.push(client.clone());
        }
    }

    /// The client is this account's no more.
    pub(crate) fn leave(&self, user: UserId, client: &Subscriber) {
        let mut all = self.all();
        let Some(clients) = all.get_mut(&user) else { return };
        clients.retain(|one| one.id != client.id);
        if clients.is_empty() {
            all.remove(&user);
        }
    }

    /// The clients of an account.
    pub(crate) fn of(&self, user: UserId) -> Vec<Arc<Subscriber>> {
        self.all().get(&user).cloned().unwrap_or_default()
    }

    /// Whether an account has any.
    pub(crate) fn has(&self, user: UserId) -> bool {
        self.all().contains_key(&user)
    }
}

/// Queues a letter for one client; true when it was taken.
pub(crate) fn hand(client: &Subscriber, letter: &Letter, frames: Option<&[Frame]>) -> bool {
    match client.dialect {
        Dialect::Events => frames.is_some_and(|frames| client.push(frames)),
        Dialect::Plain => letter.plain().is_some_and(|text| client.push_text(text.clone())),
    }
}
