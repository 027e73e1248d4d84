//! Whole heaps that Node writes on a signal: `--heapsnapshot-signal`, or the module `heapdump`. In:
//! a pid. Out: the file, once it is whole, from the folder in which the process runs. Who has no
//! such handler for certain is never sent a signal: another would end it or mean something else.
//!
//! Source: Node `lib/internal/heap_utils.js` and `src/heap_utils.cc`; heapdump's `README.md`.

use super::{Fetched, SourceError, process};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time for a snapshot: the process stands still for some ten seconds per 100 MB.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause between two looks at the folder.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Files of a folder that are looked at: services run in folders of a few dozen.
const FILES_MAX: usize = 20_000;

/// Bytes of a snapshot that are read into memory.
const FILE_MAX: u64 = 4 << 30;

/// Node's option, in its arguments and in `NODE_OPTIONS`.
const OPTION: &str = "--heapsnapshot-signal";

/// What a process that has loaded `heapdump` maps.
const MODULE: &str = "/heapdump/build/";

/// How the end of a whole file looks: the strings are last.
const END: &[u8] = b"]}";

/// A process that writes its heap when it is told to.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pid: u32,
    signal: Signal,
    folder: PathBuf,
}

/// Looks whether a process writes its heap on a signal, and on which.
pub(crate) fn find(pid: u32) -> Option<Writer> {
    let signal = by_option(pid).or_else(|| by_module(pid))?;
    let status = process::Status::of(pid).ok()?;
    if !catches(&status, signal) {
        return None;
    }
    let folder = process::resolve(pid, Path::new("."));
    Some(Writer { pid, signal, folder })
}

impl Writer {
    /// Tells it to write, and waits until the file is whole.
    pub(crate) async fn snapshot(&self) -> Result<Fetched, SourceError> {
        let before = self.files()?;
        let target = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let target = target.ok_or(SourceError::NoProcess { pid: self.pid })?;
        // Each time: it may have let go of the signal, or its number be another's by now.
        let status = process::Status::of(self.pid)?;
        if !catches(&status, self.signal) {
            return Err(SourceError::Signal {
                pid: self.pid,
                reason: "it no longer handles the signal and would die of it".to_owned(),
            });
        }
        kill_process(target, self.signal).map_err(|error| match error {
            rustix::io::Errno::SRCH => SourceError::NoProcess { pid: self.pid },
            error => SourceError::Signal { pid: self.pid, reason: error.to_string() },
        })?;
        let deadline = Instant::now() + SNAPSHOT_TIMEOUT;
        loop {
            let fresh = self.files()?.into_iter().find(|path| !before.contains(path));
            if let Some(path) = fresh.filter(|path| is_whole(path)) {
                let read = read(&path);
                let reason = |error: std::io::Error| error.to_string();
                let bytes = read.map_err(|error| self.failed(reason(error)))?;
                return Ok(Fetched { bytes, path: Some(path), sidecar: None });
            }
            process::Status::of(self.pid)?;
            if Instant::now() >= deadline {
                return Err(SourceError::TimedOut {
                    what: format!("a whole `.heapsnapshot` in `{}`", self.folder.display()),
                    after_s: SNAPSHOT_TIMEOUT.as_secs(),
                });
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    fn files(&self) -> Result<BTreeSet<PathBuf>, SourceError> {
        let entries =
            std::fs::read_dir(&self.folder).map_err(|error| self.failed(error.to_string()))?;
        let paths = entries.take(FILES_MAX).filter_map(|entry| Some(entry.ok()?.path()));
        Ok(paths.filter(|path| path.extension().is_some_and(|end| end == "heapsnapshot")).collect())
    }

    fn failed(&self, reason: String) -> SourceError {
        SourceError::Folder { path: self.folder.clone(), reason }
    }
}

fn catches(status: &process::Status, signal: Signal) -> bool {
    u32::try_from(signal.as_raw()).is_ok_and(|number| status.catches(number))
}

/// `--heapsnapshot-signal=SIGUSR2`, or the name as the next argument.
fn by_option(pid: u32) -> Option<Signal> {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
    let options = process::variable(pid, "NODE_OPTIONS").unwrap_or_default();
    [&*arguments, &*options.to_string_lossy()].iter().find_map(|text| named(text))
}

fn named(text: &str) -> Option<Signal> {
    let (_, behind) = text.split_once(OPTION)?;
    let name = behind.trim_start_matches(['=', ' ']).split(' ').next()?;
    match name {
        "SIGUSR2" => Some(Signal::USR2),
        "SIGUSR1" => Some(Signal::USR1),
        "SIGHUP" => Some(Signal::HUP),
        _ => None,
    }
}

/// The module waits for SIGUSR2, unless it was loaded with that switched off.
fn by_module(pid: u32) -> Option<Signal> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let off = process::variable(pid, "NODE_HEAPDUMP_OPTIONS");
    let off = off.is_some_and(|options| options.to_string_lossy().contains("nosignal"));
    (maps.contains(MODULE) && !off).then_some(Signal::USR2)
}

/// It ends as a document does. V8 writes from front to back and the strings last, and a string
/// that ended like the document would be behind a quote.
fn is_whole(path: &Path) -> bool {
    let tail = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(8)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        tail.retain(|byte| !byte.is_ascii_whitespace());
        Ok(tail)
    };
    tail().is_ok_and(|tail| {
        let before = tail.len().checked_sub(END.len() + 1).and_then(|at| tail.get(at));
        tail.ends_with(END) && before == Some(&b'"')
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_is_the_one_that_was_named() {
        for (text, signal) in [
            ("node --heapsnapshot-signal=SIGUSR2 app.js", Some(Signal::USR2)),
            ("node --heapsnapshot-signal SIGUSR1 app.js", Some(Signal::USR1)),
            ("--max-old-space-size=9 --heapsnapshot-signal=SIGUSR2", Some(Signal::USR2)),
            ("node --heapsnapshot-signal=SIGKILL app.js", None),
            ("node app.js", None),
        ] {
            assert_eq!(named(text), signal, "{text}");
        }
    }

    #[test]
    fn nobody_else_is_sent_anything() {
        assert!(find(std::process::id()).is_none());
        assert!(find(u32::MAX).is_none());
    }

    #[test]
    fn a_file_is_whole_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        for (text, whole) in [
            ("{\"snapshot\":{},\"strings\":[\"a\",\n\"b\"]}", true),
            ("{\"snapshot\":{},\"strings\":[\"a\"]}\n", true),
            ("{\"snapshot\":{},\"strings\":[\"a", false),
            ("{\"snapshot\":{},\"nodes\":[1]}", false),
            ("]}", false),
            ("", false),
        ] {
            let path = folder.path().join("a.heapsnapshot");
            std::fs::write(&path, text).unwrap();
            assert_eq!(is_whole(&path), whole, "{text}");
        }
    }
}
