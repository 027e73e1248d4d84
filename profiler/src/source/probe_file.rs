//! The file by which a probe says that it is ready: `probe-<pid>.json`. In: a pid. Out: what the
//! file says, when it is really that process's. Talking to the probe is left to `admin` and
//! `signal`.

use super::{SourceError, process};
use serde::Deserialize;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest file read: the real one has some 300 bytes.
const FILE_MAX: u64 = 64 * 1024;

/// The variable that moves the folder of snapshots.
const FOLDER_VARIABLE: &str = "EBBTIDE_DIR";

/// What `probe-<pid>.json` says, schema `ebbtide/probe/1`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct ProbeFile {
    /// The process.
    pub pid: u32,
    /// Its executable.
    pub exe: String,
    /// Where it answers; absent when it was not asked to.
    pub admin: Option<SocketAddr>,
    /// Where its snapshots go.
    pub dir: PathBuf,
    /// `jemalloc`, `dhat` or `system`.
    pub allocator: String,
    /// The heap is being sampled.
    pub profiling: bool,
    /// Mean bytes between two samples.
    pub sample_interval_bytes: u64,
    /// Objects are counted by kind.
    pub census: bool,
    /// When the probe started, Unix milliseconds.
    pub started_unix_ms: u64,
}

/// Finds the file of a process. `None` when there is none, or when it is another's: left behind
/// by an earlier process of the same number, or laid there by another user.
///
/// # Errors
/// [`SourceError::NoProcess`] when the process is gone, [`SourceError::Folder`] when the file is
/// there and cannot be read.
pub fn find(pid: u32) -> Result<Option<ProbeFile>, SourceError> {
    let status = process::Status::of(pid)?;
    for folder in folders(pid, status.uid) {
        let path = folder.join(format!("probe-{pid}.json"));
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.uid() != status.uid && metadata.uid() != 0 {
            continue;
        }
        let file = read(&path, metadata.len())?;
        if is_of(&file, pid) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Where a probe of the process would leave its file.
pub(crate) fn folders(pid: u32, uid: u32) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(format!("/tmp/ebbtide-{uid}"))];
    if let Some(folder) = process::variable(pid, FOLDER_VARIABLE) {
        folders.push(process::resolve(pid, &folder));
    }
    folders
}

fn read(path: &Path, length: u64) -> Result<ProbeFile, SourceError> {
    let failed = |reason: String| SourceError::Folder { path: path.to_owned(), reason };
    if length > FILE_MAX {
        return Err(failed(format!("has {length} bytes, too many for a probe's file")));
    }
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut file: ProbeFile =
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    if file.dir.as_os_str().is_empty() {
        file.dir = path.parent().unwrap_or(Path::new("/")).to_owned();
    }
    Ok(file)
}

/// Pids are given again: the executable must be the same too.
fn is_of(file: &ProbeFile, pid: u32) -> bool {
    let exe = file.exe.strip_suffix(" (deleted)").unwrap_or(&file.exe);
    file.pid == pid && process::exe(pid).is_none_or(|running| running == Path::new(exe))
}
