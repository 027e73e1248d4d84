//! Names for addresses. In: a profile whose locations are bare addresses in mapped files. Out:
//! functions, files and lines for each location, inlined calls included, and a clear word for
//! what could not be named. Executables are read from disk, never in the target, and kept open
//! from one snapshot to the next. Choosing among the names is left to `site`.

use crate::frame::{Frame, Symbols};
use crate::profile::{Location, Mapping, Profile};
use addr2line::Loader;
use object::read::{Object, ObjectSegment, ReadCache};
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

/// Where distributions put debug files that were split off.
const DEBUG_FOLDER: &str = "/usr/lib/debug/.build-id";

/// The end that the kernel gives the path of a file that is no longer there.
const DELETED: &str = " (deleted)";

/// Finds names for addresses. Slow for an address seen the first time, fast after. One is kept
/// for a whole series of snapshots.
#[derive(Default)]
pub struct Symbolizer {
    modules: HashMap<ModuleKey, Result<Module, String>>,
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
    lacks: Option<&'static str>,
    names: HashMap<u64, Arc<[Arc<Frame>]>>,
}

/// A part of a file that is mapped as it is.
struct Segment {
    file_offset: u64,
    length: u64,
    address: u64,
}

impl Symbolizer {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
            if let Some(Ok(Module { lacks: Some(lacks), .. })) = self.modules.get(key)
                && Some(&key.file) == profile.exe.as_ref()
            {
                symbols.notes.push(format!("`{}` {lacks}", key.file));
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
        let key = keys.entry(index).or_insert_with(|| key(mapping, profile.pid));
        if !self.modules.contains_key(key) {
            if self.modules.len() >= MODULES_MAX {
                self.modules.clear();
            }
            let is_exe = profile.exe.as_deref() == Some(key.file.as_str());
            self.modules.insert(key.clone(), open(key, is_exe));
        }
        let module = match self.modules.get_mut(key) {
            Some(Ok(module)) => module,
            Some(Err(reason)) => return Err(reason.clone()),
            None => return Err(String::new()),
        };
        let offset = location.address.checked_sub(mapping.start).ok_or_else(String::new)?;
        let offset = offset.checked_add(mapping.file_offset).ok_or_else(String::new)?;
        let frames = module.frames(offset);
        frames.ok_or_else(|| match module.lacks {
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

fn key(mapping: &Mapping, pid: Option<u32>) -> ModuleKey {
    let file = mapping.file.strip_suffix(DELETED).unwrap_or(&mapping.file).to_owned();
    let stamp = mapping
        .build_id
        .is_empty()
        .then(|| std::fs::metadata(&file).ok())
        .flatten()
        .and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
    ModuleKey { file, build_id: mapping.build_id.clone(), pid, stamp }
}

/// Opens the file that a mapping was made of, wherever it still is.
fn open(key: &ModuleKey, is_exe: bool) -> Result<Module, String> {
    let mut candidates = vec![PathBuf::from(&key.file)];
    if let Some(pid) = key.pid {
        // The process may live in another file system, and its file may be gone from the folder.
        candidates.push(PathBuf::from(format!("/proc/{pid}/root{}", key.file)));
        if is_exe {
            candidates.push(PathBuf::from(format!("/proc/{pid}/exe")));
        }
    }
    let mut other_build = None;
    let mut failed = None;
    for path in &candidates {
        let Ok(file) = File::open(path) else { continue };
        match read_head(file) {
            Ok(head) if key.build_id.is_empty() || head.build_id == key.build_id => {
                let with_names = debug_file(&head).unwrap_or_else(|| path.clone());
                match Loader::new(&with_names) {
                    Ok(loader) => return Ok(Module::new(loader, head.segments)),
                    Err(error) => failed = Some(error.to_string()),
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
             the process, or put the old file back"
        ),
        (None, Some(reason)) => format!("`{file}` cannot be read as an executable: {reason}"),
        (None, None) => {
            format!("`{file}` is not there; put the executable back at this path")
        }
    })
}

/// What the beginning of an executable says.
struct Head {
    build_id: String,
    segments: Vec<Segment>,
    has_lines: bool,
}

/// Reads headers and notes, not the whole file.
fn read_head(file: File) -> Result<Head, String> {
    let cache = ReadCache::new(file);
    let object = object::File::parse(&cache).map_err(|error| error.to_string())?;
    let build_id = object.build_id().ok().flatten().unwrap_or_default();
    let segments = object.segments().map(|segment| {
        let (file_offset, length) = segment.file_range();
        Segment { file_offset, length, address: segment.address() }
    });
    Ok(Head {
        build_id: build_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        segments: segments.collect(),
        has_lines: object.section_by_name(".debug_line").is_some(),
    })
}

/// The debug file that was split off an executable without line tables.
fn debug_file(head: &Head) -> Option<PathBuf> {
    if head.has_lines {
        return None;
    }
    let (folder, name) = head.build_id.split_at_checked(2)?;
    let path = Path::new(DEBUG_FOLDER).join(folder).join(format!("{name}.debug"));
    path.exists().then_some(path)
}

impl Module {
    fn new(loader: Loader, segments: Vec<Segment>) -> Self {
        let has = |section: &str| loader.get_section_range(section.as_bytes()).is_some();
        let lacks = match (has(".debug_line"), has(".symtab")) {
            (true, _) => None,
            (false, true) => Some(
                "has no line tables: sites have a function and no line; build with `debug = 1` \
                 in the profile",
            ),
            (false, false) => Some(
                "is stripped: its functions have no names; build with `debug = 1` and without \
                 `strip` in the profile",
            ),
        };
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
        None => frames.extend(symbol().map(|name| Frame::named(&name, "", 0))),
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
