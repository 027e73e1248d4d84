//! What a Rust server adds to be observed: a global allocator that can sample the heap, a thread
//! that answers SIGUSR2 and a loopback admin interface, and a census of live objects.
//!
//! ```no_run
//! #[global_allocator]
//! static ALLOCATOR: ebbtide_probe::Allocator = ebbtide_probe::Allocator;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let _probe = ebbtide_probe::start()?;
//!     Ok(())
//! }
//! ```
//!
//! In: `EBBTIDE_*` variables or [`Options`]. Out: standard gzip'd `profile.proto` files with a JSON
//! beside each. Leaves to others: symbols and verdicts, which the reader of the files makes.
//! A program that uses `jemalloc_pprof` too asks for the feature of that name: one switch for both.
//! The feature `ages` tells beside each stack how old its live samples are.

// In the order of the data: what is counted, what is read, what is written, who asks.
mod admin;
mod ages;
mod allocator;
mod announce;
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
mod backtrace;
mod census;
mod clock;
mod desk;
mod dump;
mod error;
mod folder;
#[cfg(feature = "ages")]
mod generations;
mod handle;
mod jemalloc;
mod kind;
mod listener;
mod mapping;
mod options;
mod pprof;
mod probe;
mod process;
mod route;
mod signal;
mod watch;
mod wrap;

pub use allocator::{Allocator, Mode};
pub use census::{
    AgeHistogram, Census, Count, Guard, InFlight, Site, in_flight, requests_in_flight, track,
};
pub use error::{SnapshotError, StartError};
pub use handle::Handle;
pub use jemalloc::Totals as HeapTotals;
pub use kind::Kind;
pub use options::{DEFAULT_MAX_BYTES, DEFAULT_MAX_FILES, DEFAULT_SAMPLE_BYTES, Options};
pub use probe::{Probe, start};
pub use route::{Reply, Request, Responder};
pub use wrap::{Tracked, interval, sleep, spawn, subscription};
