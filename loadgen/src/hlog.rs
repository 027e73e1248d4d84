//! The interval log of HdrHistogram (`metrics.hlog`): latencies of each second, by metric and
//! operation, that any HdrHistogram tool reads, and that has all there is: the sum of its lines is
//! what was measured, to the last bit.
//!
//! In: histograms of an interval. Out: lines of the log, written to any writer, and the same
//! histograms read back. Which file that is, is left to the caller.

mod read;

pub use read::{Entry, HlogError, Log, read};

use crate::plan::{Slot, SlotKind};
use crate::recorder::{Trend, add, histogram};
use crate::totals::IntervalHistograms;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Values are microseconds; the column of maxima is in milliseconds.
const MAX_DIVISOR: f64 = 1e3;

/// Writes an interval log.
pub struct HlogWriter<W: Write> {
    out: W,
    serializer: V2DeflateSerializer,
}

impl<W: Write> HlogWriter<W> {
    /// Begins a log; `started_unix_ms` is what offsets count from.
    ///
    /// # Errors
    /// When the head cannot be written.
    pub fn begin(mut out: W, started_unix_ms: u64) -> io::Result<Self> {
        let mut serializer = V2DeflateSerializer::new();
        let started = UNIX_EPOCH + Duration::from_millis(started_unix_ms);
        IntervalLogWriterBuilder::new()
            .add_comment("latencies in microseconds, tagged kind:flow:operation:trend")
            .with_start_time(started)
            .with_base_time(started)
            .with_max_value_divisor(MAX_DIVISOR)
            .begin_log_with(&mut out, &mut serializer)?;
        out.flush()?;
        Ok(Self { out, serializer })
    }

    /// Writes the histograms of an interval that began `start` after the log did.
    ///
    /// # Errors
    /// When a line cannot be written.
    pub fn write(&mut self, interval: &IntervalHistograms, start: Duration) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(MAX_DIVISOR);
        let mut log = builder.begin_log_with(&mut lines, &mut self.serializer)?;
        for (tag, histogram) in tagged(interval) {
            log.write_histogram(&histogram, start, interval.length, Tag::new(&tag))
                .map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
        // The legend stands at the top of the file already.
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b"Tag=") {
                self.out.write_all(line)?;
            }
        }
        self.out.flush()
    }
}

/// Histograms that are not empty, with their tags. `duration` is that of all exchanges;
/// `duration_long` those among them whose reply came in several pieces.
fn tagged(interval: &IntervalHistograms) -> Vec<(String, Histogram<u64>)> {
    let mut tagged = Vec::new();
    for (tag, record) in slot_tags(&interval.slots).iter().zip(&interval.recorder.slots) {
        for trend in Trend::ALL {
            let mut sum = histogram();
            let parts: &[Trend] =
                if trend == Trend::Duration { &[trend, Trend::DurationLong] } else { &[trend] };
            for part in parts {
                if let Some(histogram) = &record.trends[*part as usize] {
                    add(&mut sum, histogram);
                }
            }
            if !sum.is_empty() {
                tagged.push((format!("{tag}:{}", trend.word()), sum));
            }
        }
    }
    tagged
}

/// A tag for each slot, by its kind, flow and name; those that would be the same are numbered.
fn slot_tags(slots: &[Slot]) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut tags = Vec::with_capacity(slots.len());
    for slot in slots {
        let flow = slot.tags.get("flow").map_or("", String::as_str);
        let text = tag_text(&format!("{}:{flow}:{}", kind_word(slot.kind), slot.name));
        let count = seen.entry(text.clone()).or_default();
        *count += 1;
        tags.push(if *count == 1 { text } else { format!("{text}#{count}") });
    }
    tags
}

fn kind_word(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Flow => "iteration",
        SlotKind::Http => "http",
        SlotKind::Connect => "ws_connect",
        SlotKind::Send => "ws_send",
        SlotKind::Await => "ws_await",
        SlotKind::Listen => "ws_listen",
        SlotKind::Ping => "ws_ping",
        SlotKind::Close => "ws_close",
        SlotKind::SioConnect => "sio_connect",
        SlotKind::Emit => "sio_emit",
        SlotKind::SioAwait => "sio_await",
        SlotKind::SioClose => "sio_close",
        SlotKind::Group => "group",
    }
}

/// A tag may hold neither commas nor blanks.
fn tag_text(text: &str) -> String {
    text.chars()
        .map(|c| if c == ',' || c.is_whitespace() || c.is_control() { '_' } else { c })
        .collect()
}
