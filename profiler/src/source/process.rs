//! A process as the kernel shows it under `/proc`. In: a pid. Out: whether it lives, what it
//! runs, whom it belongs to, which signals it handles, how much memory it takes. Nothing is
//! changed in it. Snapshots are left to the other sources.

use super::SourceError;
use ebbtide_record::snapshot::ProcessMemory;
use object::Object as _;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The number of SIGUSR2 on Linux.
pub(crate) const SIGUSR2: u32 = 12;

/// What `/proc/<pid>/status` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Status {
    pub(crate) name: String,
    /// `R`, `S`, `Z` and so on.
    pub(crate) state: char,
    pub(crate) uid: u32,
    pub(crate) threads: u64,
    pub(crate) rss_bytes: u64,
    /// Anonymous memory, resident and swapped out, bytes; absent where the kernel does not say.
    pub(crate) anonymous_bytes: Option<u64>,
    /// Bit n - 1 stands for signal n.
    pub(crate) caught: u64,
}

impl Status {
    /// Reads it; a process that has ended and only waits to be reaped counts as gone.
    pub(crate) fn of(pid: u32) -> Result<Self, SourceError> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(|_| SourceError::NoProcess { pid })?;
        let status = Self::parse(&text);
        if matches!(status.state, 'Z' | 'X') {
            return Err(SourceError::NoProcess { pid });
        }
        Ok(status)
    }

    fn parse(text: &str) -> Self {
        let mut status = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let first = value.split_ascii_whitespace().next().unwrap_or_default();
            match key {
                "Name" => value.trim().clone_into(&mut status.name),
                "State" => status.state = first.chars().next().unwrap_or('?'),
                "Uid" => status.uid = first.parse().unwrap_or_default(),
                "Threads" => status.threads = first.parse().unwrap_or_default(),
                // The kernel's kB are KiB.
                "VmRSS" => status.rss_bytes = first.parse::<u64>().unwrap_or_default() * 1024,
                "RssAnon" | "VmSwap" => {
                    let bytes = first.parse::<u64>().unwrap_or_default() * 1024;
                    status.anonymous_bytes = Some(status.anonymous_bytes.unwrap_or(0) + bytes);
                }
                "SigCgt" => status.caught = u64::from_str_radix(first, 16).unwrap_or_default(),
                _ => {}
            }
        }
        status
    }

    /// It has a handler for the signal.
    pub(crate) fn catches(&self, signal: u32) -> bool {
        self.caught & (1 << (signal - 1)) != 0
    }
}

/// Memory, threads and open files of a process. A kernel that does not show the proportional
/// share leaves it absent.
///
/// # Errors
/// [`SourceError::NoProcess`] when there is none.
pub fn memory(pid: u32) -> Result<ProcessMemory, SourceError> {
    let status = Status::of(pid)?;
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let pss_bytes = summed(&rollup, "Pss:");
    // The kernel keeps the count in `status` by core, up to some hundred pages off.
    let rss_bytes = summed(&rollup, "Rss:").unwrap_or(status.rss_bytes);
    let swapped = summed(&rollup, "Swap:").unwrap_or(0);
    let anonymous = summed(&rollup, "Anonymous:").map(|bytes| bytes + swapped);
    let open_files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    Ok(ProcessMemory {
        rss_bytes,
        pss_bytes,
        anonymous_bytes: anonymous.or(status.anonymous_bytes),
        threads: status.threads,
        open_files: open_files as u64,
        processes: None,
    })
}

/// A line of `smaps_rollup`, bytes.
fn summed(rollup: &str, key: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The executable; the mark of a file that is gone is cut off.
pub(crate) fn exe(pid: u32) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let text = path.to_string_lossy();
    Some(text.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

/// It is a Go program: its executable has the section in which Go says how it was built, which
/// stays when symbols are stripped.
#[must_use]
pub fn is_go(pid: u32) -> bool {
    // By the link itself, which leads to the file even when it was deleted meanwhile.
    let Ok(file) = std::fs::File::open(format!("/proc/{pid}/exe")) else { return false };
    let cache = object::ReadCache::new(file);
    object::File::parse(&cache).is_ok_and(|elf| elf.section_by_name(".go.buildinfo").is_some())
}

/// A variable of its environment, as it was at the start.
pub(crate) fn variable(pid: u32, name: &str) -> Option<PathBuf> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    (!value.is_empty()).then(|| PathBuf::from(OsString::from_vec(value.to_vec())))
}

/// It lives in our network, so that its ports are what they seem. False where that cannot be seen.
pub(crate) fn shares_network(pid: u32) -> bool {
    let ours = std::fs::read_link("/proc/self/ns/net");
    let its = std::fs::read_link(format!("/proc/{pid}/ns/net"));
    matches!((ours, its), (Ok(ours), Ok(its)) if ours == its)
}

/// The number that a process has for itself, which in a container is another.
pub(crate) fn pid_inside(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    // Kernels without namespaces of pids do not tell.
    numbers.map_or(Some(pid), |numbers| numbers.split_whitespace().last()?.parse().ok())
}

/// A path as the process means it: relative ones begin at its own folder.
pub(crate) fn resolve(pid: u32, path: &Path) -> PathBuf {
    if path.is_absolute() {
        return path.to_owned();
    }
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    folder.join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read() {
        let text = "Name:\ta b\nState:\tS (sleeping)\nUid:\t1000\t1000\t1000\t1000\n\
                    VmRSS:\t    1844 kB\nRssAnon:\t 800 kB\nVmSwap:\t 24 kB\nThreads:\t3\n\
                    SigCgt:\t0000000000000800\n";
        let status = Status::parse(text);
        assert_eq!((status.name.as_str(), status.state, status.uid), ("a b", 'S', 1000));
        assert_eq!((status.threads, status.rss_bytes), (3, 1844 * 1024));
        assert_eq!(status.anonymous_bytes, Some(824 * 1024));
        assert!(status.catches(SIGUSR2) && !status.catches(10));
    }

    #[test]
    fn own_process_is_seen() {
        let pid = std::process::id();
        let memory = memory(pid).unwrap();
        assert!(memory.rss_bytes > 100_000 && memory.threads >= 1 && memory.open_files >= 3);
        // Pages of the executable are none of its own.
        assert!(memory.anonymous_bytes.is_some_and(|b| b > 0 && b < memory.rss_bytes));
        assert_eq!(exe(pid), std::env::current_exe().ok());
        assert!(!is_go(pid), "this is written in Rust");
        assert!(shares_network(pid) && !shares_network(u32::MAX));
        assert_eq!(pid_inside(pid), Some(pid));
        assert!(matches!(Status::of(u32::MAX), Err(SourceError::NoProcess { .. })));
    }
}
