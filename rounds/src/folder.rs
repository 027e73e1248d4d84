//! The run's folder: what is in it, how it is written so that a kill leaves all of it readable,
//! and how it is read again. The event log is the only truth; everything else in the folder is
//! either a source (scenario, snapshots) or can be made again from the log.

use ebbtide_loadgen::totals::Ledger;
use ebbtide_record::event::{Body, Event, VERSION};
use ebbtide_record::{State, Summary};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Who may look into the folder of snapshots.
const OWNER_ONLY: u32 = 0o700;

/// The event log.
pub const EVENTS: &str = "events.ndjson";
/// The scenario as it was read.
pub const SCENARIO: &str = "scenario.toml";
/// The plan as it was resolved.
pub const PLAN: &str = "plan.json";
/// Latencies, second by second.
pub const HISTOGRAMS: &str = "metrics.hlog";
/// What was measured, but for the histograms: what `report merge` adds up.
pub const TOTALS: &str = "totals.json";
/// Heap snapshots.
pub const SNAPSHOTS: &str = "snapshots";
/// The summary.
pub const SUMMARY: &str = "summary.json";
/// The report.
pub const REPORT: &str = "report.html";
/// What the target wrote to its standard output and error.
pub const TARGET_LOG: &str = "target.log";

/// A line of the log longer than this is not one of ours.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made or written.
    #[error("`{}`: {source}: choose another folder with `--out`", path.display())]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds a run already.
    #[error("`{}` holds a run already: choose another folder with `--out`", path.display())]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// It is no run's folder.
    #[error("`{}`: {source}: a run's folder has a file `{EVENTS}`", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A run's folder, open for writing.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder and what is in it.
    ///
    /// # Errors
    ///
    /// [`FolderError::Taken`] when a run is in it, [`FolderError::Unwritable`] when it cannot be
    /// made.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        let unwritable = |source| FolderError::Unwritable { path: path.to_owned(), source };
        if path.join(EVENTS).exists() {
            return Err(FolderError::Taken { path: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(unwritable)?;
        // A heap holds whatever its process does: secrets, and the data of its users.
        let mut owned = fs::DirBuilder::new();
        owned.recursive(true).mode(OWNER_ONLY).create(path.join(SNAPSHOTS)).map_err(unwritable)?;
        // A target refuses a relative folder or another one than it was told.
        let path = path.canonicalize().map_err(unwritable)?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where snapshots go.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }

    /// Writes a file of the folder whole: under another name, then renamed.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unwritable`].
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let partial = self.path.join(format!(".{name}.partial"));
        fs::write(&partial, content)
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(|source| FolderError::Unwritable { path, source })
    }

    /// Writes down what was measured, so that it can be joined with other parts of the load.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unwritable`].
    pub fn write_totals(&self, ledger: &Ledger) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(ledger).map_err(|source| FolderError::Unwritable {
            path: self.path.join(TOTALS),
            source: source.into(),
        })?;
        self.write(TOTALS, &text)
    }

    /// Opens the event log.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unwritable`].
    pub fn log(&self) -> Result<EventLog, FolderError> {
        let path = self.path.join(EVENTS);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| FolderError::Unwritable { path: path.clone(), source })?;
        Ok(EventLog { file, path, began: Instant::now(), seq: 0 })
    }
}

/// The event log, append-only. Each line reaches the kernel before the next thing happens.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    path: PathBuf,
    began: Instant,
    seq: u64,
}

impl EventLog {
    /// Stamps what happened and appends it.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unwritable`], for example when the disk is full.
    pub fn append(&mut self, body: Body) -> Result<Event, FolderError> {
        let t_ms = self.began.elapsed().as_millis() as u64;
        self.append_at(t_ms, body)
    }

    /// Appends what happened at a time of its own, milliseconds since the run began.
    ///
    /// # Errors
    ///
    /// As [`EventLog::append`].
    pub fn append_at(&mut self, t_ms: u64, body: Body) -> Result<Event, FolderError> {
        let event = Event { v: VERSION, seq: self.seq, t_ms, body };
        let mut line = serde_json::to_vec(&event).map_err(|source| FolderError::Unwritable {
            path: self.path.clone(),
            source: source.into(),
        })?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|source| FolderError::Unwritable { path: self.path.clone(), source })?;
        self.seq += 1;
        Ok(event)
    }
}

/// Reads what happened in a run: its folder, or its log. A torn last line is ignored, a line
/// that is not understood is counted.
///
/// # Errors
///
/// [`FolderError::Unreadable`].
pub fn read_state(path: &Path) -> Result<State, FolderError> {
    let mut state = State::default();
    read_events(path, |event| state.apply(&event))?;
    Ok(state)
}

/// Calls `each` for each event of a run's folder or log.
///
/// # Errors
///
/// [`FolderError::Unreadable`].
pub fn read_events(path: &Path, each: impl FnMut(Event)) -> Result<(), FolderError> {
    LogReader::new(path).read_on(each)
}

/// Reads an event log from where it was left: what stands in it, then what was added since.
#[derive(Debug)]
pub struct LogReader {
    log: PathBuf,
    /// Bytes of whole lines read so far. A torn line is read again once it is whole.
    read: u64,
}

impl LogReader {
    /// A reader at the begin of a run's folder or log, which need not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let log = if path.is_dir() { path.join(EVENTS) } else { path.to_owned() };
        Self { log, read: 0 }
    }

    /// Calls `each` for each event that was added since the last time.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unreadable`].
    pub fn read_on(&mut self, mut each: impl FnMut(Event)) -> Result<(), FolderError> {
        let log = &self.log;
        let unreadable = |source| FolderError::Unreadable { path: log.clone(), source };
        let mut reader = BufReader::new(File::open(log).map_err(unreadable)?);
        reader.seek(SeekFrom::Start(self.read)).map_err(unreadable)?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = io::Read::take(&mut reader, LINE_BYTES_MAX);
            let length = limited.read_until(b'\n', &mut line).map_err(unreadable)?;
            if line.last() != Some(&b'\n') {
                return Ok(());
            }
            self.read += length as u64;
            each(serde_json::from_slice(&line).unwrap_or_default());
        }
    }
}

/// Writes `summary.json` of a state into a run's folder.
///
/// # Errors
///
/// [`FolderError::Unwritable`].
pub fn write_summary(folder: &Path, state: &State) -> Result<(), FolderError> {
    let path = folder.join(SUMMARY);
    let unwritable = |source| FolderError::Unwritable { path: path.clone(), source };
    let mut text = serde_json::to_vec_pretty(&Summary::of(state))
        .map_err(|source| unwritable(source.into()))?;
    text.push(b'\n');
    RunFolder { path: folder.to_owned() }.write(SUMMARY, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_record::event::{Missed, RunEnded};

    #[test]
    fn snapshots_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = RunFolder::create(&dir.path().join("run")).expect("a folder");
        let held = fs::metadata(folder.path().join(SNAPSHOTS)).expect("a folder of snapshots");
        assert_eq!(held.permissions().mode() & 0o777, OWNER_ONLY);
    }

    #[test]
    fn a_log_is_read_back_and_a_torn_line_is_ignored() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = RunFolder::create(&dir.path().join("run")).expect("a folder");
        let mut log = folder.log().expect("a log");
        log.append(Body::Missed(Missed { what: "census".into(), reason: "gone".into() }))
            .expect("a line");
        log.append(Body::RunEnded(RunEnded { exit_code: 98, ..RunEnded::default() }))
            .expect("a line");
        OpenOptions::new()
            .append(true)
            .open(folder.path().join(EVENTS))
            .and_then(|mut file| file.write_all(b"{\"v\":1,\"seq\":2,\"t_"))
            .expect("a torn line");
        let state = read_state(folder.path()).expect("a state");
        assert_eq!((state.events, state.missed.len(), state.ignored), (2, 1, 0));
        assert_eq!(state.ended.map(|ended| ended.exit_code), Some(98));
    }

    #[test]
    fn a_log_is_read_on_from_where_it_was_left_and_a_torn_line_once_it_is_whole() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut reader = LogReader::new(dir.path());
        let mut seen = |grown: &str| -> Vec<u64> {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(dir.path().join(EVENTS))
                .and_then(|mut file| file.write_all(grown.as_bytes()))
                .expect("a log");
            let mut times = Vec::new();
            reader.read_on(|event| times.push(event.t_ms)).expect("events");
            times
        };
        let line = |t_ms: u64| format!("{{\"v\":1,\"seq\":0,\"t_ms\":{t_ms},\"type\":\"x\"}}\n");
        assert_eq!(seen(&(line(1) + &line(2))), [1, 2]);
        assert_eq!(seen(""), [] as [u64; 0]);
        let (torn, rest) = (&line(3)[..20], &line(3)[20..]);
        assert_eq!(seen(torn), [] as [u64; 0]);
        assert_eq!(seen(&(rest.to_owned() + &line(4))), [3, 4]);
    }

    #[test]
    fn a_line_of_another_version_is_counted_and_passed_over() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = dir.path().join(EVENTS);
        fs::write(&log, "{\"v\":9,\"seq\":0,\"t_ms\":5,\"type\":\"eclipse\"}\nnot json\n")
            .expect("a log");
        let state = read_state(dir.path()).expect("a state");
        assert_eq!((state.events, state.ignored), (2, 2));
    }

    #[test]
    fn a_folder_is_used_once_and_errors_name_the_place() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = RunFolder::create(dir.path()).expect("a folder");
        folder.log().expect("a log");
        let again = RunFolder::create(dir.path()).expect_err("taken");
        assert!(again.to_string().contains("holds a run already"), "{again}");
        let none = read_state(&dir.path().join("none")).expect_err("unreadable");
        assert!(none.to_string().contains("none"), "{none}");
    }
}
