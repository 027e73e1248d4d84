//! An interval log read back.
//!
//! In: the text of a log, the slots of its plan. Out: a recorder for each interval, with the
//! histograms of its slots. Counters are not in the log.

use super::slot_tags;
use crate::plan::Slot;
use crate::recorder::{Recorder, Trend, add, histogram};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use std::collections::BTreeMap;
use std::time::Duration;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HlogError {
    /// It is no interval log.
    #[error("the log is not an interval log of HdrHistogram from byte {0} on")]
    Form(usize),
    /// A histogram in it is broken.
    #[error("the histogram of `{tag}` at {start_s:.3} s cannot be read: {cause}")]
    Histogram {
        /// Its tag.
        tag: String,
        /// Start of its interval, seconds.
        start_s: f64,
        /// What is wrong.
        cause: String,
    },
    /// A tag in it belongs to no slot of the plan.
    #[error("the tag `{0}` belongs to nothing in the plan")]
    Tag(String),
}

/// A log read back.
#[derive(Clone, Default)]
pub struct Log {
    /// When it began, since 1970.
    pub began: Duration,
    /// Its intervals, in order.
    pub entries: Vec<Entry>,
}

/// One interval of a log.
#[derive(Clone, Default)]
pub struct Entry {
    /// When it began, since the log did.
    pub start: Duration,
    /// Its length.
    pub length: Duration,
    /// Its histograms.
    pub recorder: Recorder,
}

/// Reads a log of a plan with these slots and so many checks.
///
/// # Errors
/// When it is broken, or of another plan.
pub fn read(text: &[u8], slots: &[Slot], checks: usize) -> Result<Log, HlogError> {
    let places = places(slots);
    let mut deserializer = Deserializer::new();
    let mut entries: BTreeMap<Duration, Entry> = BTreeMap::new();
    let (mut at, mut began) = (0, Duration::ZERO);
    for entry in IntervalLogIterator::new(text) {
        let entry = entry.map_err(|_| HlogError::Form(at))?;
        let interval = match entry {
            LogEntry::Interval(interval) => interval,
            LogEntry::StartTime(time) => {
                began = time;
                continue;
            }
            LogEntry::BaseTime(_) => continue,
        };
        at += interval.encoded_histogram().len();
        let tag = interval.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
        let start = interval.start_timestamp();
        let (slot, trend) = *places.get(&tag).ok_or_else(|| HlogError::Tag(tag.clone()))?;
        let broken = |cause: String| HlogError::Histogram {
            tag: tag.clone(),
            start_s: start.as_secs_f64(),
            cause,
        };
        let bytes = base64(interval.encoded_histogram())
            .ok_or_else(|| broken("it is not base64".to_owned()))?;
        let read: Histogram<u64> = deserializer
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| broken(format!("{error:?}")))?;
        let entry = entries.entry(start).or_insert_with(|| Entry {
            start,
            length: interval.duration(),
            recorder: Recorder::new(slots.len(), checks),
        });
        let place = &mut entry.recorder.slots[slot].trends[trend as usize];
        add(place.get_or_insert_with(|| Box::new(histogram())), &read);
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    for entry in &mut entries {
        part_durations(&mut entry.recorder);
    }
    Ok(Log { began, entries })
}

/// Where the histograms of a tag belong.
fn places(slots: &[Slot]) -> BTreeMap<String, (usize, Trend)> {
    let mut places = BTreeMap::new();
    for (slot, tag) in slot_tags(slots).into_iter().enumerate() {
        for trend in Trend::ALL {
            places.insert(format!("{tag}:{}", trend.word()), (slot, trend));
        }
    }
    places
}

/// Takes those in several pieces out of all durations: in a recorder they are apart.
fn part_durations(recorder: &mut Recorder) {
    for record in &mut recorder.slots {
        let [all, long, ..] = &mut record.trends;
        if let (Some(sum), Some(long)) = (all.as_deref_mut(), long) {
            // What is taken out was put in when the line was written.
            let taken = sum.subtract(&**long);
            debug_assert!(taken.is_ok());
            let mut rest = histogram();
            add(&mut rest, sum);
            *all = (!rest.is_empty()).then(|| Box::new(rest));
        }
    }
}

/// Decodes base64 with its usual alphabet (RFC 4648); none when it is something else.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    Some(out)
}
