//! Metrics of open connections: deliveries, losses, reconnections. Pure.
//!
//! In: [`Totals`]. Out: [`Metric`]s; none for what was not measured. Trends are left to
//! `metrics.rs`, which sums them for all protocols alike.

use super::Totals;
use crate::plan::{Slot, SlotKind};
use crate::threshold::Tags;
use ebbtide_record::{Metric, Metrics};

/// The tag that tells disconnects apart.
const REASON: &str = "reason";

impl Totals {
    /// A metric of open connections over the wanted slots.
    pub(super) fn realtime(&self, name: &str, wanted: &dyn Fn(&Slot) -> bool) -> Option<Metric> {
        let counters = &self.recorder.counters;
        match name {
            "ws_sessions" => self.counter(counters.sessions),
            "ws_msgs_sent" => self.counter(counters.messages_sent),
            "ws_msgs_received" => self.counter(counters.messages_received),
            "sio_emits" => self.counter(counters.sio_emits),
            "sio_events_received" => self.counter(counters.sio_events),
            "sio_ack_timeouts" => self.counter(counters.sio_ack_timeouts),
            "sio_reconnects" => self.counter(counters.sio_reconnects),
            "ws_reconnects" => self.counter(counters.reconnects),
            "disconnects" => self.counter(counters.disconnects),
            "delivery_duplicates" => self.counter(counters.delivery_duplicates),
            "delivery_untracked" => self.counter(counters.delivery_unfollowed),
            "delivery_reach" => self.reach(wanted),
            _ => None,
        }
    }

    fn counter(&self, count: u64) -> Option<Metric> {
        let seconds = self.measured_ns() as f64 / 1e9;
        (count > 0).then(|| Metric::counter(count as f64, seconds))
    }

    /// Deliveries over those expected. Duplicates are not among them.
    fn reach(&self, wanted: &dyn Fn(&Slot) -> bool) -> Option<Metric> {
        let (mut delivered, mut expected) = (0, 0);
        for (slot, record) in self.slots.iter().zip(&self.recorder.slots) {
            match slot.kind {
                SlotKind::Listen if wanted(slot) => delivered += record.count - record.failed,
                SlotKind::Send | SlotKind::Emit if wanted(slot) => expected += record.expected,
                _ => {}
            }
        }
        (expected > 0).then(|| Metric::rate(delivered, expected.saturating_sub(delivered)))
    }

    /// `disconnects{reason:...}` for each reason seen.
    pub(super) fn add_disconnects(&self, metrics: &mut Metrics) {
        for (why, count) in &self.recorder.disconnects {
            if let Some(metric) = self.counter(*count) {
                metrics.insert(format!("disconnects{{{REASON}:{why}}}"), metric);
            }
        }
    }

    /// The disconnects that a threshold asks for by reason; none when it names no reason.
    pub(super) fn disconnects_for(&self, tags: &Tags) -> Option<Metric> {
        let (_, wanted) = tags.iter().find(|(tag, _)| tag == REASON)?;
        let counts = self.recorder.disconnects.iter();
        let sum = counts.filter(|(why, _)| why.to_string() == *wanted).map(|(_, count)| count);
        self.counter(sum.sum())
    }
}
