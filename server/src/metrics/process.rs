//! The process as the kernel sees it, under the names that every Prometheus client library uses.
//! In: `/proc/self`. Out: figures; what cannot be read is absent, never 0.
//! Leaves to others: their spelling (`metrics`).

use std::fs;

/// Figures of the process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) resident_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) most_files: Option<u64>,
    /// All threads, user and system.
    pub(super) cpu_seconds: f64,
}

impl Process {
    pub(super) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let own = fs::read_dir("/proc/self/fd").ok();
        Self {
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1_024),
            threads: field(&status, "Threads:"),
            // The folder's own descriptor is among those it lists.
            open_files: own.map(|list| (list.count() as u64).saturating_sub(1)),
            most_files: limits.current,
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        }
    }
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
    fn this_process_has_figures() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 1 << 16);
        assert!(process.threads.unwrap() >= 1 && process.open_files.unwrap() >= 3);
        assert!(process.most_files.unwrap() >= process.open_files.unwrap());
        assert!(process.cpu_seconds > 0.0);
    }
}
