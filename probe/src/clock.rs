//! The two clocks of the probe: wall time for what is written, and nothing else.
//! In: the system's clock. Out: Unix milliseconds.
//! Leaves to others: elapsed time, which is `std::time::Instant` where it is needed.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970; 0 when the clock stands before that.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
