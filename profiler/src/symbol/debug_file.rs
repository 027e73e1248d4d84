//! Debug files that were split off an executable. In: the executable's own word about them (build
//! id, `.gnu_debuglink`), where it lies, folders that the user names. Out: the file with the
//! names, or one of another build, which is never used but is worth a word.
//! Reading names out of it is left to the parent.
//!
//! Source: the GDB manual, "Debugging Information in Separate Files".

use super::{Head, read_head};
use object::read::Object;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where distributions put debug files.
const SYSTEM: &str = "usr/lib/debug";

/// Bytes of a debug file that are gone through for its check sum; the largest programs have some
/// gigabytes, and who has those has build ids.
const SUMMED_MAX: u64 = 1 << 30;

/// What an executable says of its debug file.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// The file's name, without folders.
    name: PathBuf,
    /// Check sum of the file, as zlib counts it.
    sum: u32,
}

impl Link {
    /// Read from an executable.
    pub(super) fn of<'a>(object: &impl Object<'a>) -> Option<Self> {
        let (name, sum) = object.gnu_debuglink().ok()??;
        let name = PathBuf::from(std::str::from_utf8(name).ok()?);
        // A name with folders in it could lead anywhere.
        let is_plain = name.file_name() == Some(name.as_os_str());
        is_plain.then_some(Self { name, sum })
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The debug file of this very build.
    pub(super) file: Option<PathBuf>,
    /// One that lies where it should, but is of another build.
    pub(super) strange: Option<PathBuf>,
}

/// Where to look.
pub(super) struct Places<'a> {
    /// Paths of the executable: as the process saw it, and as it was opened.
    pub(super) exe: [&'a Path; 2],
    /// Roots of the file systems it may live in.
    pub(super) roots: &'a [PathBuf],
    /// Folders that the user has named.
    pub(super) folders: &'a [PathBuf],
}

/// Looks for the debug file of an executable.
pub(super) fn find(head: &Head, places: &Places<'_>) -> Found {
    let mut found = Found::default();
    for path in candidates(head, places) {
        if !path.is_file() || places.exe.contains(&path.as_path()) {
            continue;
        }
        if is_of(head, &path) {
            found.file = Some(path);
            break;
        }
        found.strange.get_or_insert(path);
    }
    found
}

/// By build id first, as debuggers do; then beside the executable.
fn candidates(head: &Head, places: &Places<'_>) -> Vec<PathBuf> {
    let system: Vec<PathBuf> = places.roots.iter().map(|root| root.join(SYSTEM)).collect();
    let mut paths = Vec::new();
    if let Some((first, rest)) = head.build_id.split_at_checked(2) {
        let all = places.folders.iter().chain(&system);
        paths.extend(
            all.map(|folder| folder.join(".build-id").join(first).join(format!("{rest}.debug"))),
        );
    }
    let name = places.exe[0].file_name().unwrap_or_default();
    let mut with_end = name.to_owned();
    with_end.push(".debug");
    let mut names: Vec<&Path> = head.link.iter().map(|link| link.name.as_path()).collect();
    names.extend([Path::new(&with_end), Path::new(name)]);
    for folder in places.folders {
        paths.extend(names.iter().map(|name| folder.join(name)));
    }
    names.pop();
    for folder in places.exe.iter().filter_map(|exe| exe.parent()) {
        paths.extend(names.iter().map(|name| folder.join(name)));
        paths.extend(names.iter().map(|name| folder.join(".debug").join(name)));
        let inside = folder.strip_prefix("/").unwrap_or(folder);
        paths.extend(
            system
                .iter()
                .flat_map(|system| names.iter().map(move |name| system.join(inside).join(name))),
        );
    }
    paths
}

/// The file belongs to the executable: by build id, or where there is none by the check sum that
/// the executable keeps.
fn is_of(head: &Head, path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    if head.build_id.is_empty() {
        return head.link.as_ref().is_some_and(|link| check_sum(file) == Some(link.sum));
    }
    read_head(file).is_ok_and(|other| other.build_id == head.build_id)
}

fn check_sum(file: File) -> Option<u32> {
    let mut sum = flate2::Crc::new();
    let mut file = file.take(SUMMED_MAX);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(sum.sum()),
            read => sum.update(&buffer[..read]),
        }
    }
}
