//! Tells readers that this process can be asked: `probe-<pid>.json`, written when handler and
//! listener are ready and removed on a clean exit. Form `ebbtide/probe/1`.
//! In: what was started. Out: the file in the user's common folder and in the chosen one.
//! Leaves to others: finding it (the reader), which must check that the pid still lives.

use crate::error::StartError;
use crate::folder;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Name and version of the form.
pub(crate) const SCHEMA: &str = "ebbtide/probe/1";

/// Files of processes long gone that are looked at on a start.
const MAX_STALE: usize = 1_024;

/// What the file says.
#[derive(Debug, Serialize)]
pub(crate) struct Announcement {
    /// [`SCHEMA`].
    pub(crate) schema: &'static str,
    pub(crate) pid: u32,
    pub(crate) exe: String,
    pub(crate) admin: Option<String>,
    pub(crate) dir: String,
    pub(crate) allocator: &'static str,
    pub(crate) profiling: bool,
    /// Why there is no profile, when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profiling_off: Option<String>,
    /// Whether cumulative columns are kept.
    pub(crate) accumulated: bool,
    pub(crate) sample_interval_bytes: u64,
    pub(crate) census: bool,
    /// `null` when the program kept the signal for itself.
    pub(crate) signal: Option<&'static str>,
    pub(crate) started_unix_ms: u64,
}

/// The files written; dropping it removes them.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    files: Vec<PathBuf>,
}

impl Announced {
    /// Writes the announcement into each folder.
    ///
    /// # Errors
    ///
    /// [`StartError::Folder`] for the first that cannot be written; none stays behind.
    pub(crate) fn write(
        announcement: &Announcement,
        folders: &[&Path],
    ) -> Result<Self, StartError> {
        let mut announced = Self::default();
        let name = format!("probe-{}.json", announcement.pid);
        let text = serde_json::to_vec(announcement)
            .expect("an announcement is text, numbers and nothing else");
        for folder in folders {
            let file = folder::write_whole(folder, &name, &text).map_err(|error| {
                StartError::Folder { path: folder.to_path_buf(), reason: error.to_string() }
            })?;
            announced.files.push(file);
        }
        Ok(announced)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        for file in &self.files {
            // A file that is gone already is what was wanted.
            let _ = fs::remove_file(file);
        }
    }
}

/// Removes the files of processes that no longer live, so that a reader does not signal a
/// stranger who was given the same pid.
pub(crate) fn sweep(folder: &Path) {
    let Ok(list) = fs::read_dir(folder) else { return };
    for entry in list.flatten().take(MAX_STALE) {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix("probe-")?.strip_suffix(".json"))
            .and_then(|pid| pid.parse::<u32>().ok());
        if let Some(pid) = pid
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}
