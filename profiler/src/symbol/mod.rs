//! Names for addresses. In: a profile whose locations are bare addresses in mapped files. Out:
//! functions, files and lines for each location, inlined calls included, and a clear word for
//! what could not be named. Executables are read from disk, never in the target, and kept open
//! from one snapshot to the next. Choosing among the names is left to `site`.
//!
//! A file is asked only if it has the build id that the process had; where the snapshot has none,
//! that is said. Debug files that were split off are looked for by `debug_file`.

mod debug_file;

use crate::frame::{Frame, Symbols, short_with_crate};
use crate::profile::{Location, Mapping, Profile};
use addr2line::Loader;
use debug_file::{Link, Places};
use object::read::{Object, ObjectSection, ObjectSegment, ReadCache};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Executables kept open. A process maps some tens of libraries; series of many processes are
/// read one after the other.
const MODULES_MAX: usize = 256;

/// Addresses kept by executable: more than the call sites of any program seen in profiles.
const ADDRESSES_MAX: usize = 1_000_000;

/// The variable that names folders with executables and debug files, colons between them.
pub const FOLDERS_VARIABLE: &str = "EBBTIDE_SYMBOLS";

/// The end that the kernel gives the path of a file that is no longer there.
const DELETED: &str = " (deleted)";

/// Finds names for addresses. Slow for an address seen the first time, fast after. One is kept
/// for a whole series of snapshots.
#[derive(Default)]
pub struct Symbolizer {
    modules: HashMap<ModuleKey, Result<Module, String>>,
    folders: Vec<PathBuf>,
}

/// What makes two mappings of two snapshots the same executable.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct ModuleKey {
    file: String,
    build_id: String,
    pid: Option<u32>,
    /// Length and time of change: for a snapshot that brings no build id.
    stamp: Option<(u64, SystemTime)>,
}

/// An executable or a shared library.
struct Module {
    loader: Loader,
    segments: Vec<Segment>,
    /// What the file lacks, in words.
    lacks: Option<String>,
    names: HashMap<u64, Arc<[Arc<Frame>]>>,
}

/// A part of a file that is mapped as it is.
struct Segment {
    file_offset: u64,
    length: u64,
    address: u64,
}

impl Symbolizer {
    /// One that knows nothing yet, and looks into the folders of [`FOLDERS_VARIABLE`] too.
    #[must_use]
    pub fn new() -> Self {
        let folders = std::env::var_os(FOLDERS_VARIABLE).unwrap_or_default();
        let folders = std::env::split_paths(&folders).filter(|path| !path.as_os_str().is_empty());
        Self::with_folders(folders.collect())
    }

    /// One that looks into these folders, besides where executables and debug files usually lie:
    /// for `.build-id/xx/yyyy.debug`, `NAME.debug`, and `NAME`, the executable itself.
    #[must_use]
    pub fn with_folders(folders: Vec<PathBuf>) -> Self {
        Self { folders, ..Self::default() }
    }

    /// Names each location of a profile. Locations that bring names of their own keep them; a
    /// location without any name gets a frame with its address.
    pub fn resolve(&mut self, profile: &Profile) -> Symbols {
        let mut symbols = Symbols::default();
        let mut keys: HashMap<u32, ModuleKey> = HashMap::new();
        // Locations without a name, by the reason for it.
        let mut unnamed: BTreeMap<String, usize> = BTreeMap::new();
        for location in &profile.locations {
            if !location.frames.is_empty() {
                symbols.frames.push(location.frames.as_slice().into());
                continue;
            }
            let found = self.locate(profile, location, &mut keys);
            let frames = found.unwrap_or_else(|reason| {
                *unnamed.entry(reason).or_default() += 1;
                [Arc::new(Frame::unnamed(location.address))].into()
            });
            symbols.frames.push(frames);
        }
        for key in keys.values() {
            let Some(Ok(module)) = self.modules.get(key) else { continue };
            if Some(key.file.as_str()) != profile.exe.as_deref().map(undeleted) {
                continue;
            }
            let lacks = module.lacks.as_ref().map(|lacks| format!("`{}` {lacks}", key.file));
            let unsure = key.build_id.is_empty().then(|| {
                format!(
                    "the snapshot does not say which build of `{}` it is of: names are those of \
                     the file as it is now",
                    key.file
                )
            });
            for note in lacks.into_iter().chain(unsure) {
                if !symbols.notes.contains(&note) {
                    symbols.notes.push(note);
                }
            }
        }
        for (reason, count) in unnamed.into_iter().filter(|(reason, _)| !reason.is_empty()) {
            symbols.notes.push(format!("{count} addresses have no name: {reason}"));
        }
        symbols
    }

    /// The frames at a location, or why there are none (empty when that is not worth a word).
    fn locate(
        &mut self,
        profile: &Profile,
        location: &Location,
        keys: &mut HashMap<u32, ModuleKey>,
    ) -> Result<Arc<[Arc<Frame>]>, String> {
        let index = location.mapping.ok_or_else(String::new)?;
        let mapping = profile.mappings.get(index as usize).ok_or_else(String::new)?;
        if !mapping.file.starts_with('/') {
            return Err(String::new());
        }
        let key = keys.entry(index).or_insert_with(|| key(mapping, profile));
        if !self.modules.contains_key(key) {
            if self.modules.len() >= MODULES_MAX {
                self.modules.clear();
            }
            let is_exe = profile.exe.as_deref().map(undeleted) == Some(key.file.as_str());
            self.modules.insert(key.clone(), open(key, is_exe, &self.folders));
        }
        let module = match self.modules.get_mut(key) {
            Some(Ok(module)) => module,
            Some(Err(reason)) => return Err(reason.clone()),
            None => return Err(String::new()),
        };
        let offset = location.address.checked_sub(mapping.start).ok_or_else(String::new)?;
        let offset = offset.checked_add(mapping.file_offset).ok_or_else(String::new)?;
        let frames = module.frames(offset);
        frames.ok_or_else(|| match &module.lacks {
            // The system's libraries are stripped on most machines, and no site is in them.
            Some(lacks) if !SYSTEM.iter().any(|folder| key.file.starts_with(folder)) => {
                format!("`{}` {lacks}", key.file)
            }
            _ => String::new(),
        })
    }
}

/// Folders of the system's own libraries.
const SYSTEM: [&str; 4] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"];

fn key(mapping: &Mapping, profile: &Profile) -> ModuleKey {
    let file = undeleted(&mapping.file).to_owned();
    // Without a build id nothing else tells the process from one that has its number now.
    let exe = profile.exe.as_deref().unwrap_or_default();
    let pid = profile.pid.filter(|pid| !mapping.build_id.is_empty() || runs(*pid, exe));
    let stamp = mapping
        .build_id
        .is_empty()
        .then(|| std::fs::metadata(&file).ok())
        .flatten()
        .and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
    ModuleKey { file, build_id: mapping.build_id.clone(), pid, stamp }
}

/// The process runs this program.
fn runs(pid: u32, exe: &str) -> bool {
    let path = std::fs::read_link(format!("/proc/{pid}/exe"));
    path.is_ok_and(|path| path.to_str().is_some_and(|path| undeleted(path) == undeleted(exe)))
}

fn undeleted(file: &str) -> &str {
    file.strip_suffix(DELETED).unwrap_or(file)
}

/// Opens the file that a mapping was made of, wherever it still is.
fn open(key: &ModuleKey, is_exe: bool, folders: &[PathBuf]) -> Result<Module, String> {
    let file = Path::new(&key.file);
    let mut roots = vec![PathBuf::from("/")];
    let mut candidates = vec![file.to_owned()];
    if let Some(pid) = key.pid {
        // The process may live in another file system, and its file may be gone from the folder.
        candidates.push(PathBuf::from(format!("/proc/{pid}/root{}", key.file)));
        if is_exe {
            candidates.push(PathBuf::from(format!("/proc/{pid}/exe")));
        }
        roots.push(PathBuf::from(format!("/proc/{pid}/root")));
    }
    candidates.extend(
        file.file_name()
            .into_iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name))),
    );
    let mut other_build = None;
    let mut failed = None;
    // A snapshot may name a pipe, which would be waited for without end.
    for path in candidates.iter().filter(|path| path.is_file()) {
        let Ok(opened) = File::open(path) else { continue };
        match read_head(opened) {
            // What was split off has the segments' addresses, and none of their bytes.
            Ok(head) if head.is_debug_file => {}
            Ok(head) if key.build_id.is_empty() || head.build_id == key.build_id => {
                let places = Places { exe: [file, path], roots: &roots, folders };
                match module(head, path, &places) {
                    Ok(module) => return Ok(module),
                    Err(reason) => failed = Some(reason),
                }
            }
            Ok(head) => other_build = Some(head.build_id),
            Err(reason) => failed = Some(reason),
        }
    }
    let file = &key.file;
    Err(match (other_build, failed) {
        (Some(_), _) => format!(
            "`{file}` was built anew since the process started (its build id differs); restart \
             the process, or put the old file back or into a folder named by `{FOLDERS_VARIABLE}`"
        ),
        (None, Some(reason)) => format!("`{file}` cannot be read as an executable: {reason}"),
        (None, None) => format!(
            "`{file}` is not there; put the executable back at this path, or into a folder named \
             by `{FOLDERS_VARIABLE}`"
        ),
    })
}

/// The names of an executable, from itself or from its debug file.
fn module(head: Head, path: &Path, places: &Places<'_>) -> Result<Module, String> {
    let own = || Loader::new(path).map_err(|error| error.to_string());
    if head.has_lines {
        return Ok(Module::new(own()?, head.segments, None));
    }
    let found = debug_file::find(&head, places);
    if let Some(file) = found.file
        && let Ok(loader) = Loader::new(&file)
    {
        return Ok(Module::new(loader, head.segments, None));
    }
    Ok(Module::new(own()?, head.segments, found.strange))
}

/// What the beginning of an executable says.
struct Head {
    build_id: String,
    segments: Vec<Segment>,
    has_lines: bool,
    /// It holds names and no code.
    is_debug_file: bool,
    link: Option<Link>,
}

/// Reads headers and notes, not the whole file.
fn read_head(file: File) -> Result<Head, String> {
    let cache = ReadCache::new(file);
    let object = object::File::parse(&cache).map_err(|error| error.to_string())?;
    let build_id = object.build_id().ok().flatten().unwrap_or_default();
    let text = object.section_by_name(".text");
    let bytes = text.as_ref().and_then(ObjectSection::file_range).map_or(0, |(_, bytes)| bytes);
    let segments = object.segments().map(|segment| {
        let (file_offset, length) = segment.file_range();
        Segment { file_offset, length, address: segment.address() }
    });
    Ok(Head {
        build_id: build_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        segments: segments.collect(),
        has_lines: object.section_by_name(".debug_line").is_some(),
        is_debug_file: text.is_some() && bytes == 0,
        link: Link::of(&object),
    })
}

impl Module {
    /// `strange` is a debug file of another build, which was not used.
    fn new(loader: Loader, segments: Vec<Segment>, strange: Option<PathBuf>) -> Self {
        let has = |section: &str| loader.get_section_range(section.as_bytes()).is_some();
        let lacks = match (has(".debug_line"), has(".symtab")) {
            (true, _) => None,
            (false, true) => Some(
                "has no line tables: sites have a function and no line; build with `debug = 1` \
                 in the profile",
            ),
            (false, false) => Some(
                "is stripped: its functions have no names; build with `debug = 1` and without \
                 `strip` in the profile, or put its debug file beside it as `NAME.debug`",
            ),
        };
        let lacks = lacks.map(|lacks| match strange {
            Some(path) => format!("{lacks} (`{}` is of another build)", path.display()),
            None => lacks.to_owned(),
        });
        Self { loader, segments, lacks, names: HashMap::new() }
    }

    /// Frames at an offset in the file.
    fn frames(&mut self, offset: u64) -> Option<Arc<[Arc<Frame>]>> {
        // File offset and address differ by what the segment says, not by a constant.
        let segment = self
            .segments
            .iter()
            .find(|s| offset >= s.file_offset && offset - s.file_offset < s.length)?;
        let address = (offset - segment.file_offset).checked_add(segment.address)?;
        if let Some(frames) = self.names.get(&address) {
            return (!frames.is_empty()).then(|| Arc::clone(frames));
        }
        let frames: Arc<[Arc<Frame>]> = look_up(&self.loader, address).into();
        if self.names.len() >= ADDRESSES_MAX {
            self.names.clear();
        }
        self.names.insert(address, Arc::clone(&frames));
        (!frames.is_empty()).then_some(frames)
    }
}

/// Frames at an address, the innermost first; empty when there is no name.
fn look_up(loader: &Loader, address: u64) -> Vec<Arc<Frame>> {
    let mut frames: Vec<Frame> = Vec::new();
    if let Ok(mut found) = loader.find_frames(address) {
        // Broken debug information ends the walk; what was found until then is right.
        while let Ok(Some(frame)) = found.next() {
            let name = frame.function.as_ref().and_then(|function| function.demangle().ok());
            let place = frame.location;
            let file = place.as_ref().and_then(|place| place.file).unwrap_or_default();
            let line = place.as_ref().and_then(|place| place.line).unwrap_or(0);
            frames.push(Frame::named(&name.unwrap_or_default(), file, line));
        }
    }
    let symbol = || {
        let symbol = loader.find_symbol(address)?;
        Some(addr2line::demangle_auto(symbol.into(), None).into_owned())
    };
    match frames.last_mut() {
        // Line tables alone name a function without its path; the symbol table has it whole.
        Some(outer) if !outer.function.contains("::") => {
            if let Some(name) = symbol() {
                *outer = Frame::named(&name, &outer.file, outer.line);
            }
        }
        Some(_) => {}
        None => frames.extend(
            symbol().map(|name| Frame { function: short_with_crate(&name), ..Frame::default() }),
        ),
    }
    frames.retain(|frame| !frame.function.is_empty());
    frames.into_iter().map(Arc::new).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn can_be_moved_to_another_thread() {
        fn moves<T: Send>(_: T) {}
        moves(super::Symbolizer::new());
    }
}
