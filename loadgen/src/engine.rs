//! The engine: threads that drive load, and the one owner that merges what they measured.
//!
//! In: a [`Plan`] and a [`Pass`]. Out: one [`Interval`] a second, and [`Totals`] at the end. What
//! intervals are for, and what happens between two passes, is left to the caller.

use crate::plan::Plan;
use crate::totals::Totals;
use ebbtide_record::event::Interval;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One drive of a plan.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// What random input is derived from besides the seed: the same round gives the same bytes.
    pub input_round: u32,
    /// Iterations per flow; replaces durations. Flows that are not named get none.
    pub iterations: Option<BTreeMap<String, u64>>,
    /// Threads; 0 for one per core.
    pub threads: usize,
    /// Load at the start that is not measured.
    pub warmup: Duration,
}

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A thread could not be started.
    #[error("engine thread could not be started: {0} (fewer threads may do: `--threads`)")]
    Thread(#[from] std::io::Error),
    /// The target's name has no address.
    #[error(
        "host `{host}` could not be resolved: {cause} (check its spelling, or give an address)"
    )]
    Resolve {
        /// Host and port.
        host: String,
        /// What the resolver said.
        cause: String,
    },
}

/// Load in progress.
#[derive(Debug)]
pub struct Engine {
    totals: Totals,
    stopper: Stopper,
    histograms: IntervalHistograms,
}

/// Ends the load before its time. Clones act on the same load.
#[derive(Clone, Debug, Default)]
pub struct Stopper {}

impl Stopper {
    /// No new iterations; those in progress may end within their graceful stop.
    pub fn drain(&self) {}

    /// Everything in flight is cut.
    pub fn abort(&self) {}
}

/// Latencies of one interval, for [`crate::hlog`].
#[derive(Clone, Debug, Default)]
pub struct IntervalHistograms {}

impl Engine {
    /// Starts the threads of a pass.
    ///
    /// # Errors
    /// When the host has no address or a thread cannot be started.
    pub fn start(_plan: Arc<Plan>, _pass: Pass) -> Result<Self, EngineError> {
        Ok(Self {
            totals: Totals::default(),
            stopper: Stopper::default(),
            histograms: IntervalHistograms::default(),
        })
    }

    /// Waits for the next second of load. None once load and drain are over.
    pub async fn next(&mut self) -> Option<Interval> {
        None
    }

    /// Latencies of the interval that [`Engine::next`] gave last.
    #[must_use]
    pub fn histograms(&self) -> &IntervalHistograms {
        &self.histograms
    }

    /// What was measured so far; warm-up excluded.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Whether the load is over and connections are being closed.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        true
    }

    /// What ends the load early.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until load and drain are over, and gives what was measured.
    pub async fn finish(mut self) -> Totals {
        while self.next().await.is_some() {}
        self.totals
    }
}
