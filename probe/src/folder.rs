//! Folders and files of the probe: a private folder of the user's, files that appear whole, and a
//! cap on the snapshots of this process.
//! In: paths, names, bytes. Out: files of mode 0600, renamed into place after they are synced.
//! Leaves to others: what is in the files (`desk`, `announce`).

use crate::error::{SnapshotError, StartError};
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Ending of a snapshot's profile; its sidecar has the same name with [`SIDECAR`].
const PROFILE: &str = ".pb.gz";

/// Ending of a snapshot's sidecar.
const SIDECAR: &str = ".json";

/// The folder of this user's probes: `/tmp/ebbtide-<uid>`, where readers look for them.
pub(crate) fn common() -> PathBuf {
    PathBuf::from(format!("/tmp/ebbtide-{}", effective_uid()))
}

/// Makes the common folder, or checks that it is this user's and nobody else's: `/tmp` is open
/// to everyone, and whoever made the folder first could read what is put there.
///
/// # Errors
///
/// [`StartError::Folder`].
pub(crate) fn open_common() -> Result<PathBuf, StartError> {
    let path = common();
    let refused = |reason: String| StartError::Folder { path: path.clone(), reason };
    make(&path).map_err(|error| refused(error.to_string()))?;
    let metadata = fs::symlink_metadata(&path).map_err(|error| refused(error.to_string()))?;
    if !metadata.is_dir() {
        return Err(refused("is not a folder".to_owned()));
    }
    if metadata.uid() != effective_uid() {
        return Err(refused(format!("belongs to user {}", metadata.uid())));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .map_err(|error| refused(format!("is open to others: {error}")))?;
    }
    Ok(path)
}

/// Makes a folder that was asked for, with its parents, and checks that a file can be made there.
///
/// # Errors
///
/// [`StartError::Folder`].
pub(crate) fn open(path: &Path) -> Result<(), StartError> {
    let refused =
        |error: io::Error| StartError::Folder { path: path.to_owned(), reason: error.to_string() };
    make(path).map_err(refused)?;
    let trial = path.join(format!(".probe-{}.trial", std::process::id()));
    new_file(&trial).and_then(|_| fs::remove_file(&trial)).map_err(refused)
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a file of our own: what lies there, a link of a stranger's perhaps, is not written to.
fn new_file(path: &Path) -> io::Result<fs::File> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        other => other,
    }
}

/// Writes a file that is seen either whole or not at all.
///
/// # Errors
///
/// [`SnapshotError::Write`]; the temporary file is removed.
pub(crate) fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, SnapshotError> {
    let (path, temporary) = (dir.join(name), dir.join(format!(".{name}.tmp")));
    let written = new_file(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&temporary, &path));
    match written {
        Ok(()) => Ok(path),
        Err(source) => {
            // Whether it can be removed or not, what is reported is why it was not written.
            let _ = fs::remove_file(&temporary);
            Err(SnapshotError::Write { path, source })
        }
    }
}

/// The snapshots of this process in a folder, and how many may stay.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    prefix: String,
    max_files: usize,
    max_bytes: u64,
}

/// A snapshot on the shelf.
struct Kept {
    profile: PathBuf,
    sidecar: PathBuf,
    bytes: u64,
    at_unix_ms: u64,
    sequence: u64,
}

impl Shelf {
    pub(crate) fn new(dir: PathBuf, pid: u32, max_files: usize, max_bytes: u64) -> Self {
        Self { dir, prefix: format!("heapdump-{pid}-"), max_files: max_files.max(1), max_bytes }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of profile and sidecar.
    pub(crate) fn names(&self, sequence: u64, at_unix_ms: u64) -> (String, String) {
        let stem = format!("{}{sequence}-{at_unix_ms}", self.prefix);
        (format!("{stem}{PROFILE}"), format!("{stem}{SIDECAR}"))
    }

    /// Deletes the oldest snapshots until the caps hold, but never the newest. Returns how many.
    pub(crate) fn prune(&self) -> u64 {
        let mut kept: Vec<Kept> = match fs::read_dir(&self.dir) {
            Ok(list) => list.flatten().filter_map(|entry| self.kept(&entry.path())).collect(),
            Err(_) => return 0,
        };
        kept.sort_by_key(|snapshot| (snapshot.at_unix_ms, snapshot.sequence));
        let mut files = kept.len();
        let mut bytes: u64 = kept.iter().map(|snapshot| snapshot.bytes).sum();
        let mut deleted = 0;
        for snapshot in &kept {
            if files <= 1 || (files <= self.max_files && bytes <= self.max_bytes) {
                break;
            }
            // The sidecar first: a reader that finds one may count on its profile.
            let _ = fs::remove_file(&snapshot.sidecar);
            if fs::remove_file(&snapshot.profile).is_ok() {
                deleted += 1;
            }
            files -= 1;
            bytes -= snapshot.bytes;
        }
        deleted
    }

    fn kept(&self, profile: &Path) -> Option<Kept> {
        let stem = profile.file_name()?.to_str()?.strip_suffix(PROFILE)?;
        let (sequence, at_unix_ms) = stem.strip_prefix(&self.prefix)?.split_once('-')?;
        let sidecar = self.dir.join(format!("{stem}{SIDECAR}"));
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        Some(Kept {
            bytes: size(profile) + size(&sidecar),
            profile: profile.to_owned(),
            sidecar,
            at_unix_ms: at_unix_ms.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

/// The user that owns what this process makes.
fn effective_uid() -> u32 {
    // The folder of the process in /proc belongs to its effective user.
    fs::metadata("/proc/self").map_or(0, |metadata| metadata.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf_with(sizes: &[usize], max_files: usize, max_bytes: u64) -> (tempfile::TempDir, Shelf) {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path().to_owned(), 7, max_files, max_bytes);
        for (sequence, &size) in (1..).zip(sizes) {
            let (profile, sidecar) = shelf.names(sequence, 1_000 + sequence);
            write_whole(dir.path(), &profile, &vec![0; size]).unwrap();
            write_whole(dir.path(), &sidecar, b"").unwrap();
        }
        write_whole(dir.path(), "heapdump-8-1-1.pb.gz", &[0; 999]).unwrap();
        (dir, shelf)
    }

    #[test]
    fn caps_delete_the_oldest_of_the_own_process() {
        let cases: [(&[usize], usize, u64, u64); 5] = [
            (&[10, 10, 10], 3, 1_000, 0),
            (&[10, 10, 10], 2, 1_000, 1),
            (&[10, 10, 10], 9, 20, 1),
            (&[10, 10, 10], 9, 0, 2),
            (&[10; 12], 2, 1_000, 10),
        ];
        for (sizes, max_files, max_bytes, expected) in cases {
            let (dir, shelf) = shelf_with(sizes, max_files, max_bytes);
            assert_eq!(shelf.prune(), expected, "{sizes:?} {max_files} {max_bytes}");
            let newest = shelf.names(sizes.len() as u64, 1_000 + sizes.len() as u64);
            assert!(dir.path().join(newest.0).exists() && dir.path().join(newest.1).exists());
            let left = fs::read_dir(dir.path()).unwrap().count() as u64;
            assert_eq!(left, 1 + 2 * (sizes.len() as u64 - expected));
        }
    }

    #[test]
    fn files_and_folders_are_private_and_failures_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("a/b");
        open(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
        let file = write_whole(&made, "x", b"whole").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        fs::create_dir(made.join("y")).unwrap();
        let text = write_whole(&made, "y", b"").unwrap_err().to_string();
        assert!(text.contains("/a/b/y`"), "{text}");
        assert_eq!(fs::read_dir(&made).unwrap().count(), 2);
        let text = open(&file).unwrap_err().to_string();
        assert!(text.contains("EBBTIDE_DIR"), "{text}");
    }
}
