//! One message to many: when it reached its first and its last recipient, over all threads, in
//! bounded memory. Pure.
//!
//! In: deliveries of stamped messages. Out: a [`Spread`] for each message once no more of it is
//! waited for. Latencies of single deliveries and their counts are left to the recorder.

use std::collections::{BTreeMap, VecDeque};

/// Messages that a thread follows at once; 2 MiB. More cannot be followed, and are counted.
pub const FOLLOWED_MAX: usize = 1 << 16;

/// How long a message is followed, nanoseconds: deliveries later than this are loss to most.
pub const WINDOW_NS: u64 = 10_000_000_000;

/// Where a message has been.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spread {
    /// When it was sent; no two messages of an engine have the same.
    pub sent: u64,
    /// When the first recipient had it.
    pub first: u64,
    /// When the last one had it.
    pub last: u64,
    /// How many had it.
    pub recipients: u32,
    /// Slot of the first recipient's deliveries.
    pub slot: u32,
}

impl Spread {
    /// From the first recipient to the last, nanoseconds; none when there was but one.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        (self.recipients > 1).then(|| self.last - self.first)
    }

    fn join(&mut self, other: &Self) {
        if other.first < self.first {
            self.slot = other.slot;
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.recipients = self.recipients.saturating_add(other.recipients);
    }
}

/// The messages that one thread follows.
#[derive(Debug, Default)]
pub struct Fanout {
    /// In the order in which they were sent.
    followed: VecDeque<Spread>,
    /// Place of the one that was delivered last: the next delivery is most often of the same.
    latest: usize,
    /// Messages sent before this are not followed any more.
    closed: u64,
}

impl Fanout {
    /// Notes a delivery; false when its message cannot be followed.
    pub fn arrived(&mut self, sent: u64, at: u64, slot: usize) -> bool {
        let delivery = Spread { sent, first: at, last: at, recipients: 1, slot: slot as u32 };
        if let Some(same) = self.followed.get_mut(self.latest).filter(|it| it.sent == sent) {
            same.join(&delivery);
            return true;
        }
        match self.followed.binary_search_by_key(&sent, |spread| spread.sent) {
            Ok(place) => {
                self.latest = place;
                self.followed[place].join(&delivery);
            }
            Err(_) if sent < self.closed || self.followed.len() >= FOLLOWED_MAX => return false,
            Err(place) => {
                self.latest = place;
                self.followed.insert(place, delivery);
            }
        }
        true
    }

    /// The messages sent before `until`; their later deliveries are not followed.
    pub fn take(&mut self, until: u64) -> Vec<Spread> {
        self.closed = self.closed.max(until);
        self.latest = 0;
        let past = self.followed.partition_point(|spread| spread.sent < until);
        self.followed.drain(..past).collect()
    }
}

/// The messages of all threads, put together by the owner.
#[derive(Debug)]
pub struct Reunion {
    /// By the time they were sent.
    pending: BTreeMap<u64, Spread>,
    /// What each thread has handed over all messages before.
    passed: Vec<u64>,
}

impl Reunion {
    /// For so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { pending: BTreeMap::new(), passed: vec![0; threads] }
    }

    /// Takes what a thread followed of messages sent before `until`.
    pub fn add(&mut self, thread: usize, spreads: &[Spread], until: u64) {
        for spread in spreads {
            self.pending
                .entry(spread.sent)
                .and_modify(|known| known.join(spread))
                .or_insert(*spread);
        }
        self.passed[thread] = self.passed[thread].max(until);
    }

    /// The messages that every thread has handed over. A thread that falls behind is not waited
    /// for at the cost of memory without bound.
    pub fn finished(&mut self) -> Vec<Spread> {
        let passed = self.passed.iter().copied().min().unwrap_or(u64::MAX);
        let mut finished = Vec::new();
        let room = FOLLOWED_MAX * self.passed.len();
        while let Some((sent, spread)) = self.pending.pop_first() {
            if sent >= passed && self.pending.len() < room {
                self.pending.insert(sent, spread);
                break;
            }
            finished.push(spread);
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_followed_over_threads_until_all_have_let_go() {
        let mut threads = [Fanout::default(), Fanout::default()];
        let mut reunion = Reunion::new(2);
        for (thread, sent, at) in [(0, 10, 50), (1, 10, 30), (1, 20, 25), (0, 10, 45), (0, 15, 60)]
        {
            assert!(threads[thread].arrived(sent, at, thread));
        }
        reunion.add(0, &threads[0].take(16), 16);
        assert_eq!(reunion.finished(), [], "the other thread may still have some of it");
        reunion.add(1, &threads[1].take(16), 16);
        let both = Spread { sent: 10, first: 30, last: 50, recipients: 3, slot: 1 };
        let alone = Spread { sent: 15, first: 60, last: 60, recipients: 1, slot: 0 };
        assert_eq!(reunion.finished(), [both, alone]);
        assert_eq!((both.length(), alone.length()), (Some(20), None));
        assert!(!threads[0].arrived(10, 70, 0), "too late to be followed");
        assert!(threads[1].arrived(20, 70, 0), "known still");
        reunion.add(0, &threads[0].take(u64::MAX), u64::MAX);
        reunion.add(1, &threads[1].take(u64::MAX), u64::MAX);
        assert_eq!(reunion.finished().iter().map(Spread::length).collect::<Vec<_>>(), [Some(45)]);
    }

    #[test]
    fn what_is_followed_is_bounded() {
        let mut fanout = Fanout::default();
        // Backwards, so that places have to be found.
        for sent in (1..=FOLLOWED_MAX as u64).rev() {
            assert!(fanout.arrived(sent, sent + 1, 0));
        }
        assert!(!fanout.arrived(0, 1, 0));
        assert!(fanout.arrived(7, 9, 0), "what is known goes on");
        let mut reunion = Reunion::new(2);
        for chunk in 0..4 {
            let from = chunk * FOLLOWED_MAX as u64;
            let spread = |sent| Spread { sent, first: 0, last: 0, recipients: 1, slot: 0 };
            let spreads: Vec<Spread> = (from..from + FOLLOWED_MAX as u64).map(spread).collect();
            reunion.add(0, &spreads, from + FOLLOWED_MAX as u64);
        }
        assert_eq!(reunion.finished().len(), 2 * FOLLOWED_MAX, "one thread says nothing");
    }
}
