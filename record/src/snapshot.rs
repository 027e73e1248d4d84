//! The sidecar: a JSON file beside each heap snapshot, with what the profile itself cannot say.
//! Schema `ebbtide/snapshot/1`.
//! In: nothing. Out: the form as it is read and written. The heap itself is in the profile.

use crate::census::Census;
use serde::{Deserialize, Serialize};

/// The name and version of the form.
pub const SCHEMA: &str = "ebbtide/snapshot/1";

/// What stands beside `heapdump-<pid>-<sequence>-<unix ms>.pb.gz`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Sidecar {
    /// [`SCHEMA`].
    pub schema: String,
    /// The process.
    pub pid: u32,
    /// Its executable.
    pub exe: String,
    /// GNU build id of the executable, hexadecimal.
    pub build_id: String,
    /// Counts the snapshots of the process, from 1.
    pub sequence: u64,
    /// When it was taken, Unix milliseconds.
    pub at_unix_ms: u64,
    /// `signal`, `http`, `timer`, `rss` or `exit`.
    pub trigger: String,
    /// Signals that merged into this snapshot and got no file of their own.
    #[serde(skip_serializing_if = "is_zero")]
    pub merged: u64,
    /// How the heap was sampled.
    pub sampling: Sampling,
    /// File name of the profile, in the same folder.
    pub profile: String,
    /// The process as the kernel sees it.
    pub process: ProcessMemory,
    /// The allocator's own totals.
    pub allocator: AllocatorTotals,
    /// Live objects by kind, where the process counts them.
    pub census: Census,
}

/// How a heap was sampled.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Sampling {
    /// Mean bytes between two samples; 1 means that each allocation is counted.
    pub mean_bytes: u64,
}

/// A process as the kernel sees it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ProcessMemory {
    /// Resident set, bytes.
    pub rss_bytes: u64,
    /// Proportional share of the resident set, bytes; absent where the kernel does not say.
    pub pss_bytes: Option<u64>,
    /// Anonymous memory, resident or swapped out, bytes: what is no page of a file. Absent where
    /// the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_bytes: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// Processes that these figures are the sum of; absent for one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
}

/// An allocator's totals (jemalloc's names).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct AllocatorTotals {
    /// Bytes handed out and not freed, in size classes.
    pub allocated_bytes: u64,
    /// Bytes in pages that hold any of them.
    pub active_bytes: u64,
    /// Bytes of pages resident in memory.
    pub resident_bytes: u64,
    /// Bytes of address space kept for later use.
    pub retained_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
