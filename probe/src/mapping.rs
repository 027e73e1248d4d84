//! The executable mappings of a process with the build-id of each file, so that a reader can find
//! symbols for addresses without the process.
//! In: the text of `/proc/self/maps`; headers and notes of the files it names, never whole files.
//! Out: [`Mapping`]s in the order of their addresses. Build-ids are kept between snapshots.
//! Not the crate `mappings`: its list is of the first call, without what is loaded later, and
//! names the executable as it was called (docs/adr/0004); the tests hold ours against it.
//! Leaves to others: symbols, which are read outside.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Program headers looked at; an executable has a dozen.
const MAX_HEADERS: u16 = 256;

/// Bytes of one note segment read.
const MAX_NOTE_BYTES: u64 = 64 * 1_024;

/// Files whose build-id is remembered; programs that load more are read again.
const MAX_FILES: usize = 4_096;

/// Type of a program header that holds notes (`PT_NOTE`).
const PT_NOTE: u32 = 4;

/// Type of the note with the build-id (`NT_GNU_BUILD_ID`), under the name `GNU`.
const NT_GNU_BUILD_ID: u32 = 3;

/// One executable mapping.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Offset of `start` in the file.
    pub(crate) offset: u64,
    /// The file, or a name of the kernel's such as `[vdso]`.
    pub(crate) path: String,
    /// Hexadecimal; empty when the file has none or cannot be read.
    pub(crate) build_id: String,
}

/// Build-ids by path, as far as they were read.
#[derive(Debug, Default)]
pub(crate) struct BuildIds {
    known: BTreeMap<String, String>,
}

impl BuildIds {
    /// Reads the executable mappings out of the text of a memory map.
    pub(crate) fn mappings(&mut self, maps: &str) -> Vec<Mapping> {
        let mut mappings: Vec<Mapping> = maps.lines().filter_map(executable).collect();
        for mapping in &mut mappings {
            mapping.build_id = self.of(&mapping.path);
            mapping.path = shown(&mapping.path).to_owned();
        }
        mappings.sort_by_key(|mapping| mapping.start);
        mappings
    }

    /// The build-id of the running executable.
    pub(crate) fn of_exe(&mut self) -> String {
        self.of("/proc/self/exe")
    }

    fn of(&mut self, path: &str) -> String {
        if !path.starts_with('/') {
            return String::new();
        }
        if let Some(known) = self.known.get(path) {
            return known.clone();
        }
        let deleted = shown(path) != path;
        // A replaced executable is still there behind this link, and only there.
        let readable = if deleted { "/proc/self/exe" } else { path };
        let same = !deleted || std::fs::read_link(readable).is_ok_and(|exe| exe == Path::new(path));
        let id =
            if same { build_id(Path::new(readable)).unwrap_or_default() } else { String::new() };
        if self.known.len() < MAX_FILES {
            self.known.insert(path.to_owned(), id.clone());
        }
        id
    }
}

/// A path without the kernel's mark for removed files.
pub(crate) fn shown(path: &str) -> &str {
    path.strip_suffix(" (deleted)").unwrap_or(path)
}

/// Reads one line of `/proc/<pid>/maps` if the mapping is executable and has a name.
fn executable(line: &str) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let (field, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(field)
    };
    let (start, end) = field()?.split_once('-')?;
    let executable = field()?.as_bytes().get(2) == Some(&b'x');
    let offset = u64::from_str_radix(field()?, 16).ok()?;
    let (_device, _inode) = (field()?, field()?);
    let path = rest.trim_start();
    (executable && !path.is_empty()).then_some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        offset,
        path: path.to_owned(),
        build_id: String::new(),
    })
}

/// The GNU build-id of an ELF file of 64 bits in this machine's byte order.
fn build_id(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).ok()?;
    let class_64 = header.starts_with(b"\x7fELF\x02");
    let ours = header[5] == if cfg!(target_endian = "little") { 1 } else { 2 };
    if !class_64 || !ours {
        return None;
    }
    let (table, size) = (u64_at(&header, 32)?, u64::from(u16_at(&header, 54)?));
    for index in 0..u16_at(&header, 56)?.min(MAX_HEADERS) {
        let mut entry = [0; 56];
        let at = table.checked_add(u64::from(index) * size)?;
        file.read_exact_at(&mut entry, at).ok()?;
        if u32_at(&entry, 0)? == PT_NOTE {
            let length = u64_at(&entry, 32)?.min(MAX_NOTE_BYTES);
            let mut notes = vec![0; usize::try_from(length).ok()?];
            file.read_exact_at(&mut notes, u64_at(&entry, 8)?).ok()?;
            if let Some(id) = gnu_build_id(&notes) {
                return Some(id.iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
    }
    None
}

/// Finds the build-id among notes: name size, size, type, name and bytes padded to 4.
fn gnu_build_id(mut notes: &[u8]) -> Option<&[u8]> {
    while notes.len() >= 12 {
        let name_size = usize::try_from(u32_at(notes, 0)?).ok()?;
        let size = usize::try_from(u32_at(notes, 4)?).ok()?;
        let kind = u32_at(notes, 8)?;
        let name_end = 12usize.checked_add(name_size)?;
        let body = name_end.checked_next_multiple_of(4)?;
        let end = body.checked_add(size)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..name_end) == Some(b"GNU\0") {
            return notes.get(body..end);
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_memory_map() {
        let line = "55d0-55e0 r-xp 00001000 08:01 1234   /opt/a program";
        let mapping = executable(line).unwrap();
        assert_eq!((mapping.start, mapping.end, mapping.offset), (0x55d0, 0x55e0, 0x1000));
        assert_eq!(mapping.path, "/opt/a program");
        for other in ["55d0-55e0 r--p 0 08:01 1 /opt/a", "55d0-55e0 r-xp 0 00:00 0 ", "", "x y z"] {
            assert_eq!(executable(other), None, "{other}");
        }
        assert_eq!(shown("/opt/a (deleted)"), "/opt/a");
    }

    #[test]
    fn notes_are_searched_and_cut_ones_end_the_search() {
        let note = |kind: u32, name: &[u8], body: &[u8]| {
            let mut bytes = Vec::new();
            for number in [name.len() as u32, body.len() as u32, kind] {
                bytes.extend(number.to_ne_bytes());
            }
            for part in [name, body] {
                bytes.extend(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let abi = note(1, b"GNU\0", &[0; 16]);
        let id = note(3, b"GNU\0", &[0xab; 20]);
        assert_eq!(gnu_build_id(&[abi.clone(), id.clone()].concat()), Some(&[0xab; 20][..]));
        assert_eq!(gnu_build_id(&id[..20]), None);
        assert_eq!(gnu_build_id(&abi), None);
        assert_eq!(gnu_build_id(&note(3, b"Go\0\0", &[1; 4])), None);
    }

    #[test]
    fn this_program_maps_itself() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let exe = std::env::current_exe().unwrap();
        let here = this_program_maps_itself as fn() as usize as u64;
        let mappings = BuildIds::default().mappings(&maps);
        let found = mappings.iter().find(|map| (map.start..map.end).contains(&here)).unwrap();
        assert_eq!(Path::new(&found.path), exe);
    }
}
