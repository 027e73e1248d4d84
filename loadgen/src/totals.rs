//! What was measured so far: the sum of what all threads recorded, and its metrics. Pure.
//!
//! In: recorders of threads, other totals. Out: metrics in k6's names, operations, warnings.
//! When it is asked, and where it goes, is left to the caller.

use ebbtide_record::event::{MetricsSoFar, Warning};
use std::collections::BTreeMap;

/// What was measured over one pass, or over several merged.
#[derive(Clone, Debug, Default)]
pub struct Totals {}

impl Totals {
    /// Adds what another pass of the same plan measured.
    pub fn merge(&mut self, _other: &Self) {}

    /// All metrics, in k6's names.
    #[must_use]
    pub fn so_far(&self) -> MetricsSoFar {
        MetricsSoFar::default()
    }

    /// Operations by name, failed ones included.
    #[must_use]
    pub fn operations(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    /// Doubts about the measurement.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        Vec::new()
    }

    /// Why the target counts as lost; none while it answers.
    #[must_use]
    pub fn target_lost(&self) -> Option<String> {
        None
    }
}
