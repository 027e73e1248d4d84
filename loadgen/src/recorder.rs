//! What one thread measured in one interval: histograms and counters, nothing per sample. Pure.
//!
//! In: samples. Out: sums that can be merged without loss. No allocation once every slot has
//! been seen. Names, units and rates are left to [`crate::totals`].

use crate::disconnect::Disconnect;
use crate::sample::Failure;
use ebbtide_record::event::CheckCount;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest latency told apart: an hour, in microseconds. Longer ones count as this.
pub const LATENCY_MAX_US: u64 = 3_600_000_000;

/// What a fresh histogram holds without growing: a second, in microseconds.
const LATENCY_FIRST_US: u64 = 1_000_000;

/// Significant digits of latencies.
const DIGITS: u8 = 3;

/// What is measured in a slot.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Trend {
    /// From the actual start to the end, of exchanges whose reply came in one piece.
    Duration,
    /// The same of exchanges whose reply came in several.
    DurationLong,
    /// From the request's end to the first byte of a reply that came in several pieces.
    Waiting,
    /// From the first byte of such a reply to its last.
    Receiving,
    /// From the intended start to the end.
    Latency,
    /// Wait of an exchange for a connection, its making included.
    Blocked,
    /// Connections made for an exchange, a proxy's tunnel included.
    Connecting,
    /// TLS handshakes made for an exchange.
    TlsHandshaking,
    /// Requests that could not be written at once.
    Sending,
    /// Life of a WebSocket.
    Session,
    /// Delivery of a stamped message.
    Delivery,
    /// Actual start minus intended start.
    LateStart,
    /// When the generator was ready to start it minus intended start: the part of a late start
    /// that no target can be the reason of.
    Pacing,
    /// From the first recipient of a stamped message to the last.
    Spread,
}

/// What is worth a word and no failure, counted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Notice {
    /// A redirect to a host that is not the target was not followed.
    RedirectElsewhere,
    /// A redirect was not followed, as so many had been.
    RedirectsTooMany,
}

/// Kinds of trends.
pub const TRENDS: usize = Trend::ALL.len();

impl Trend {
    /// All of them, in the order of their values.
    pub const ALL: [Self; 14] = [
        Self::Duration,
        Self::DurationLong,
        Self::Waiting,
        Self::Receiving,
        Self::Latency,
        Self::Blocked,
        Self::Connecting,
        Self::TlsHandshaking,
        Self::Sending,
        Self::Session,
        Self::Delivery,
        Self::LateStart,
        Self::Pacing,
        Self::Spread,
    ];

    /// Its word in the interval log. A word never changes.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::DurationLong => "duration_long",
            Self::Waiting => "waiting",
            Self::Receiving => "receiving",
            Self::Latency => "latency",
            Self::Blocked => "blocked",
            Self::Connecting => "connecting",
            Self::TlsHandshaking => "tls_handshaking",
            Self::Sending => "sending",
            Self::Session => "session",
            Self::Delivery => "delivery",
            Self::LateStart => "late_start",
            Self::Pacing => "pacing",
            Self::Spread => "spread",
        }
    }
}

/// A latency histogram in microseconds.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, LATENCY_FIRST_US, DIGITS)
        .expect("the bounds and digits are constants that the histogram allows");
    histogram.auto(true);
    histogram
}

/// Adds `other` to `sum`, which grows as needed.
pub fn add(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    // Both have the same digits and the sum resizes itself, so nothing can be out of range.
    let added = sum.add(other);
    debug_assert!(added.is_ok());
}

/// Samples of one slot.
#[derive(Clone, Debug, Default)]
pub struct SlotRecord {
    /// Exchanges, failed ones included.
    pub count: u64,
    /// Failed ones.
    pub failed: u64,
    /// Deliveries that its stamped messages should have led to.
    pub expected: u64,
    /// Histograms, made when first needed.
    pub trends: [Option<Box<Histogram<u64>>>; TRENDS],
}

/// Plain sums.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Counters {
    /// Iterations completed.
    pub iterations: u64,
    /// Iterations cut by the end of the load.
    pub interrupted: u64,
    /// Iterations due, in the open model.
    pub offered: u64,
    /// Iterations due that found neither a user nor a place to wait.
    pub dropped: u64,
    /// Iterations due that had to wait for a free user.
    pub queued: u64,
    /// Users, or in the open model arrivals, that had no row of data left.
    pub exhausted: u64,
    /// Exchanges, failed ones included.
    pub requests: u64,
    /// WebSocket messages sent.
    pub messages_sent: u64,
    /// WebSocket messages received.
    pub messages_received: u64,
    /// Bytes written.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// WebSockets opened.
    pub sessions: u64,
    /// WebSockets that the peer closed.
    pub disconnects: u64,
    /// Deliveries that stamped messages should have led to.
    pub delivery_expected: u64,
    /// Deliveries seen.
    pub delivered: u64,
    /// Deliveries of a message to a recipient that had it already.
    pub delivery_duplicates: u64,
    /// Deliveries of messages whose spread could not be followed.
    pub delivery_unfollowed: u64,
    /// WebSockets opened again after they were lost.
    pub reconnects: u64,
    /// Socket.IO clients connected again after they were lost.
    pub sio_reconnects: u64,
    /// Socket.IO events sent.
    pub sio_emits: u64,
    /// Socket.IO events received.
    pub sio_events: u64,
    /// Acknowledgements that did not come in time.
    pub sio_ack_timeouts: u64,
    /// Exchanges that succeeded at the level of the connection.
    pub answered: u64,
    /// Connections that could not be made.
    pub unreachable: u64,
    /// Connections made anew because the server had closed a kept one.
    pub http_reconnects: u64,
}

/// Everything measured in one interval by one thread, or by several merged.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// Sums.
    pub counters: Counters,
    /// By slot.
    pub slots: Vec<SlotRecord>,
    /// By place of the check.
    pub checks: Vec<CheckCount>,
    /// Failed exchanges by reason.
    pub failures: BTreeMap<Failure, u64>,
    /// What is worth a word.
    pub notices: BTreeMap<Notice, u64>,
    /// Connections lost by reason.
    pub disconnects: BTreeMap<Disconnect, u64>,
}

impl Recorder {
    /// An empty recorder for a plan of so many slots and checks.
    #[must_use]
    pub fn new(slots: usize, checks: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| SlotRecord::default()).collect(),
            checks: vec![CheckCount::default(); checks],
            ..Self::default()
        }
    }

    /// Records a latency.
    #[inline]
    pub fn record(&mut self, slot: usize, trend: Trend, nanos: u64) {
        let place = &mut self.slots[slot].trends[trend as usize];
        let histogram = place.get_or_insert_with(|| Box::new(histogram()));
        let us = (nanos / 1_000).clamp(1, LATENCY_MAX_US);
        // It resizes itself, and the value is within what an hour needs.
        let recorded = histogram.record(us);
        debug_assert!(recorded.is_ok());
    }

    /// Counts an exchange that went well.
    #[inline]
    pub fn succeed(&mut self, slot: usize) {
        self.slots[slot].count += 1;
        self.counters.requests += 1;
        self.counters.answered += 1;
    }

    /// Counts an exchange that failed. One that was cut counts nowhere but in the iteration.
    pub fn fail(&mut self, slot: usize, failure: Failure) {
        if failure.is_cut() {
            return;
        }
        self.slots[slot].count += 1;
        self.slots[slot].failed += 1;
        self.counters.requests += 1;
        match failure {
            Failure::Refused | Failure::Unreachable | Failure::NotConnected => {
                self.counters.unreachable += 1
            }
            Failure::Status(_) | Failure::Handshake(_) => self.counters.answered += 1,
            _ => {}
        }
        *self.failures.entry(failure).or_default() += 1;
    }

    /// Counts what is worth a word.
    pub fn notice(&mut self, notice: Notice) {
        *self.notices.entry(notice).or_default() += 1;
    }

    /// Counts a connection that was lost.
    pub fn disconnect(&mut self, why: Disconnect) {
        self.counters.disconnects += 1;
        *self.disconnects.entry(why).or_default() += 1;
    }

    /// Counts a check.
    pub fn check(&mut self, place: usize, held: bool) {
        let count = &mut self.checks[place];
        if held {
            count.passes += 1;
        } else {
            count.fails += 1;
        }
    }

    /// Adds what another recorder of the same plan measured.
    pub fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        let slots = self.slots.len().max(other.slots.len());
        self.slots.resize_with(slots, SlotRecord::default);
        for (sum, slot) in self.slots.iter_mut().zip(&other.slots) {
            sum.count += slot.count;
            sum.failed += slot.failed;
            sum.expected += slot.expected;
            for (sum, trend) in sum.trends.iter_mut().zip(&slot.trends) {
                if let Some(trend) = trend.as_deref().filter(|trend| !trend.is_empty()) {
                    add(sum.get_or_insert_with(|| Box::new(histogram())), trend);
                }
            }
        }
        self.checks.resize(self.checks.len().max(other.checks.len()), CheckCount::default());
        for (sum, check) in self.checks.iter_mut().zip(&other.checks) {
            sum.passes += check.passes;
            sum.fails += check.fails;
        }
        for (failure, count) in &other.failures {
            *self.failures.entry(*failure).or_default() += count;
        }
        for (notice, count) in &other.notices {
            *self.notices.entry(*notice).or_default() += count;
        }
        for (disconnect, count) in &other.disconnects {
            *self.disconnects.entry(*disconnect).or_default() += count;
        }
    }

    /// Forgets everything, keeping what is allocated.
    pub fn clear(&mut self) {
        self.counters = Counters::default();
        for slot in &mut self.slots {
            slot.count = 0;
            slot.failed = 0;
            slot.expected = 0;
            for trend in slot.trends.iter_mut().flatten() {
                trend.clear();
            }
        }
        self.checks.fill(CheckCount::default());
        self.failures.clear();
        self.notices.clear();
        self.disconnects.clear();
    }
}

impl Counters {
    fn merge(&mut self, other: &Self) {
        let Self {
            iterations,
            interrupted,
            offered,
            dropped,
            queued,
            exhausted,
            requests,
            messages_sent,
            messages_received,
            bytes_sent,
            bytes_received,
            sessions,
            disconnects,
            delivery_expected,
            delivered,
            delivery_duplicates,
            delivery_unfollowed,
            reconnects,
            sio_reconnects,
            sio_emits,
            sio_events,
            sio_ack_timeouts,
            answered,
            unreachable,
            http_reconnects,
        } = self;
        *iterations += other.iterations;
        *interrupted += other.interrupted;
        *offered += other.offered;
        *dropped += other.dropped;
        *queued += other.queued;
        *exhausted += other.exhausted;
        *requests += other.requests;
        *messages_sent += other.messages_sent;
        *messages_received += other.messages_received;
        *bytes_sent += other.bytes_sent;
        *bytes_received += other.bytes_received;
        *sessions += other.sessions;
        *disconnects += other.disconnects;
        *delivery_expected += other.delivery_expected;
        *delivered += other.delivered;
        *delivery_duplicates += other.delivery_duplicates;
        *delivery_unfollowed += other.delivery_unfollowed;
        *reconnects += other.reconnects;
        *sio_reconnects += other.sio_reconnects;
        *sio_emits += other.sio_emits;
        *sio_events += other.sio_events;
        *sio_ack_timeouts += other.sio_ack_timeouts;
        *answered += other.answered;
        *unreachable += other.unreachable;
        *http_reconnects += other.http_reconnects;
    }
}
