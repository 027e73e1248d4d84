//! What waits for its window to end, by user. Pure.
//! In: things for a user, and the time. Out: all that a user has when the window of the first of
//! them is over, or when there are as many as fit.
//! Leaves to others: telling them (`worker`).

use crate::store::UserId;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Notifications told together at most.
const BATCH: usize = 50;

/// Users for whom something may wait; one more, and the first of them is told before time.
const USERS: usize = 4_096;

/// What waits for its window to end.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    window: Duration,
    by_user: BTreeMap<UserId, Vec<T>>,
    /// Whose window ends when, in this order: all windows are equally long. One that was told
    /// before time is passed over.
    ends: VecDeque<(Instant, UserId)>,
}

impl<T> Waiting<T> {
    /// With windows of this length.
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, by_user: BTreeMap::new(), ends: VecDeque::new() }
    }

    /// One more for a user; gives what is to be told now, before its window is over.
    pub(crate) fn add(&mut self, user: UserId, one: T, now: Instant) -> Option<(UserId, Vec<T>)> {
        let list = self.by_user.entry(user).or_default();
        if list.is_empty() {
            self.ends.push_back((now + self.window, user));
        }
        list.push(one);
        if list.len() >= BATCH {
            return self.take(user);
        }
        if self.by_user.len() > USERS {
            let (_, first) = self.ends.pop_front()?;
            return self.take(first);
        }
        None
    }

    /// All that waits for a user, for whom the window ends by that.
    pub(crate) fn take(&mut self, user: UserId) -> Option<(UserId, Vec<T>)> {
        let list = self.by_user.remove(&user)?;
        self.ends.retain(|(_, one)| *one != user);
        Some((user, list))
    }

    /// When the next window ends.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// What a user has whose window is over.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(UserId, Vec<T>)> {
        let (end, user) = *self.ends.front()?;
        if end > now {
            return None;
        }
        self.take(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_the_first_and_ends_for_all() {
        let mut waiting = Waiting::new(Duration::from_secs(2));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (ada, ben) = (UserId(1), UserId(2));
        assert_eq!(waiting.due(), None);
        for (user, thing, now) in [(ada, "a", 0), (ben, "b", 1), (ada, "c", 1)] {
            assert!(waiting.add(user, thing, at(now)).is_none());
        }
        assert_eq!(waiting.due(), Some(at(2)));
        assert_eq!(waiting.next(at(1)), None);
        assert_eq!(waiting.next(at(2)), Some((ada, vec!["a", "c"])));
        assert_eq!(waiting.next(at(2)), None);
        assert_eq!(waiting.next(at(3)), Some((ben, vec!["b"])));
        assert_eq!(waiting.due(), None);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut waiting = Waiting::new(Duration::from_secs(2));
        let now = Instant::now();
        for n in 1..BATCH {
            assert!(waiting.add(UserId(0), n, now).is_none());
        }
        let (_, all) = waiting.add(UserId(0), BATCH, now).expect("full");
        assert_eq!(all.len(), BATCH);
        assert_eq!(waiting.due(), None, "nothing is left of its window");
        let users = i64::try_from(USERS).expect("it is small");
        for user in 1..=users {
            assert!(waiting.add(UserId(user), 0, now).is_none());
        }
        assert_eq!(waiting.add(UserId(users + 1), 0, now), Some((UserId(1), vec![0])));
        assert_eq!((waiting.by_user.len(), waiting.ends.len()), (USERS, USERS));
    }
}
