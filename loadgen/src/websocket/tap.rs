//! What follows the stamped messages that reach one recipient: delivery latency, spread,
//! duplicates.
//!
//! In: messages as they come, with the time of the read that brought them. Out: notes in the
//! recorder and in the thread's table of messages followed.

use crate::recorder::Trend;
use crate::stamp::Finder;
use crate::wire::lane::Lane;

/// Messages remembered for telling duplicates: those come close behind their original.
const REMEMBERED: usize = 16;

/// Follows the messages of one recipient.
#[derive(Debug)]
pub(crate) struct Tap {
    finder: Finder,
    /// Slot of the deliveries.
    slot: usize,
    /// When the last messages were sent.
    seen: [u64; REMEMBERED],
    next: usize,
}

impl Tap {
    pub(crate) fn new(token: u32, slot: usize) -> Self {
        Self { finder: Finder::new(token), slot, seen: [0; REMEMBERED], next: 0 }
    }

    /// Looks at a message that a read of `now` brought.
    pub(crate) fn note(&mut self, message: &[u8], lane: &Lane, now: u64) {
        let Some(stamp) = self.finder.find(message) else { return };
        if self.seen.contains(&stamp) {
            lane.note(|recorder| recorder.counters.delivery_duplicates += 1);
            return;
        }
        self.seen[self.next] = stamp;
        self.next = (self.next + 1) % REMEMBERED;
        let sent = lane.since_epoch(stamp);
        let followed = lane.fanout.borrow_mut().arrived(sent, now, self.slot);
        lane.note(|recorder| {
            recorder.counters.delivered += 1;
            recorder.counters.delivery_unfollowed += u64::from(!followed);
            recorder.slots[self.slot].count += 1;
            recorder.record(self.slot, Trend::Delivery, now.saturating_sub(sent));
        });
    }
}
