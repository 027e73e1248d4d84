//! The process as the kernel sees it: resident memory, its proportional share, threads, files.
//! In: `/proc/self`. Out: [`ProcessMemory`]; what cannot be read is absent, never 0.
//! Leaves to others: the allocator's own totals (`jemalloc`).

use serde::Serialize;
use std::fs;

/// The kernel's figures.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct ProcessMemory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open_files: Option<u64>,
}

impl ProcessMemory {
    /// Reads all of it. The share takes the kernel some milliseconds per gigabyte.
    pub(crate) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let share = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        Self {
            rss_bytes: field(&status, "VmRSS:").map(|kib| kib * 1_024),
            pss_bytes: field(&share, "Pss:").map(|kib| kib * 1_024),
            threads: field(&status, "Threads:"),
            // The folder's own descriptor is among those it lists.
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|list| (list.count() as u64).saturating_sub(1)),
        }
    }
}

/// The resident set alone, cheap enough for each second.
pub(crate) fn rss_bytes() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:").map(|kib| kib * 1_024)
}

/// The number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let memory = ProcessMemory::read();
        assert!(memory.rss_bytes.unwrap() > 64 * 1_024);
        assert!(memory.threads.unwrap() >= 1);
        assert!(memory.open_files.unwrap() >= 3);
        assert_eq!(field("Pss:   12 kB\n", "Pss:"), Some(12));
        assert_eq!(field("Pss_Dirty: 12 kB\n", "Pss:"), None);
    }
}
