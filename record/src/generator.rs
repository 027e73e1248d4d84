//! How the generator itself fared: whether its figures are those of the target or its own.
//! In: nothing. Out: one value of the summary, and the code of the warning that voids it.
//! Measuring it is left to the generator, summing it up to the state.

use serde::{Deserialize, Serialize};

/// How the generator itself fared.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Generator {
    /// Its threads.
    pub threads: u32,
    /// CPU they used, as a share of their time (0 to 1), over the whole load.
    pub cpu_fraction: f64,
    /// The worst second's p99 of late starts, milliseconds.
    pub late_start_p99_ms: f64,
    /// It was the bottleneck.
    pub saturated: bool,
    /// Iterations due that found no free virtual user.
    pub dropped_iterations: u64,
}

/// The code that says the generator was the bottleneck, in the `code` of a warning.
pub const GENERATOR_SATURATED: &str = "generator_saturated";

/// Code of the warning that parts of a load are not among those joined, so that counts and rates
/// are not those of the load that was planned.
pub const SEGMENTS_MISSING: &str = "segments_missing";
