//! What is told to accounts: it reaches every window they look through.
//! In: letters, and whom they are for. Out: the same in the queues of all clients of an account,
//! and kept for those who come back.
//! Leaves to others: what the letters say (`direct`, `notifier`, `changes`), whose a client is
//! (`mailbox`).

use crate::auth::Identity;
use crate::cluster::Entry;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::letter::Letter;
use crate::mailbox;
use crate::recovery::Audience;
use crate::store::UserId;
use crate::subscriber::Subscriber;
use crate::vocabulary::NOTIFICATIONS;
use std::sync::Arc;

impl Hub {
    /// From now on the client is this account's, until it goes.
    pub(crate) fn identify(&self, client: &Arc<Subscriber>, identity: Identity) {
        let user = identity.user;
        if let Some(before) = client.identity().filter(|before| before.user != user) {
            self.mailboxes.leave(before.user, client);
        }
        client.identify(identity);
        self.mailboxes.enter(user, client);
    }

    /// The client is no account's any more.
    pub(crate) fn forget_identity(&self, client: &Subscriber) {
        if let Some(before) = client.take_identity() {
            self.mailboxes.leave(before.user, client);
        }
    }

    /// Tells all clients of accounts, in the main namespace.
    pub(crate) fn tell(&self, users: &[UserId], letter: &Letter) {
        self.tell_here_of(users, letter);
        self.tell_elsewhere(users, letter, false);
    }

    /// Whether an account has a client here, or may have one at another process.
    pub(crate) fn may_be_told(&self, user: UserId) -> bool {
        self.cluster.is_some() || self.mailboxes.has(user)
    }

    fn tell_elsewhere(&self, users: &[UserId], letter: &Letter, is_notice: bool) {
        if let Some(cluster) = &self.cluster {
            let (users, letter) = (users.iter().map(|user| user.0).collect(), letter.written());
            cluster.tell(Entry::Personal { users, letter, is_notice });
        }
    }

    /// What another process has for accounts whose clients may be here.
    pub(crate) fn tell_from_elsewhere(&self, users: &[i64], letter: &Letter, is_notice: bool) {
        let users: Vec<UserId> = users.iter().copied().map(UserId).collect();
        if is_notice {
            users.iter().for_each(|user| self.notify_here(*user, letter));
        } else {
            self.tell_here_of(&users, letter);
        }
    }

    fn tell_here_of(&self, users: &[UserId], letter: &Letter) {
        let dropped = self.faults.strikes(Fault::Drop);
        let frames = {
            // Under the lock, so that what is kept lies in the order of its numbers.
            let mut state = self.state();
            let number = state.recovery.next_number();
            let frames = letter.frames(number);
            state.recovery.keep(number, Audience::Users(users.into()), &frames);
            frames
        };
        if dropped {
            return;
        }
        let clients = users.iter().flat_map(|user| self.mailboxes.of(*user));
        let taken = clients.filter(|client| mailbox::hand(client, letter, Some(frames.as_slice())));
        self.metrics.messages_out(taken.count());
    }

    /// Tells all clients of an account that listen to its notifications.
    pub(crate) fn tell_of(&self, user: UserId, letter: &Letter) {
        self.notify_here(user, letter);
        self.tell_elsewhere(&[user], letter, true);
    }

    fn notify_here(&self, user: UserId, letter: &Letter) {
        let clients = self.mailboxes.of(user);
        if clients.is_empty() || self.faults.strikes(Fault::Drop) {
            return;
        }
        let frames = letter.frames_in(NOTIFICATIONS);
        let taken = clients.iter().filter(|client| {
            let frames = client.is_notified().then_some(frames.as_slice());
            mailbox::hand(client, letter, frames)
        });
        self.metrics.messages_out(taken.count());
    }
}
