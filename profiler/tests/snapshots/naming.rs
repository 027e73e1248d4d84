//! Addresses to names, tried on the program that runs the tests.
//! In: addresses of functions of this very program. Out: function, file and line.
//! What is own code is left to `folding`.

use ebbtide_profiler::frame::Frame;
use ebbtide_profiler::profile::{Location, Mapping, StackSample};
use ebbtide_profiler::{Profile, SiteRules, Symbolizer, site};
use std::path::Path;
use std::sync::Arc;

#[inline(always)]
fn inlined(out: &mut Vec<Vec<u8>>, length: usize) {
    out.push(Vec::with_capacity(length));
}

/// Allocates, by a function that is inlined into it.
#[inline(never)]
fn allocating(out: &mut Vec<Vec<u8>>, length: usize) {
    inlined(out, length);
}
/// The line of its first word.
const FUNCTION_LINE: u32 = line!() - 4;

/// Bytes of the function that are tried: every call in it lies within.
const TRIED: u64 = 256;

/// A profile of this process: every address of a function's beginning, as if a stack each.
fn own_profile(build_id: &str, file: Option<&Path>) -> Profile {
    allocating(&mut Vec::new(), std::hint::black_box(1));
    let start = allocating as fn(&mut Vec<Vec<u8>>, usize) as usize as u64;
    let exe = std::env::current_exe().unwrap();
    let mappings: Vec<Mapping> = std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (from, to) = words[0].split_once('-')?;
            let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
            let path = Path::new(words.get(5)?);
            (path == exe).then_some(Mapping {
                start: hex(from)?,
                end: hex(to)?,
                file_offset: hex(words[2])?,
                file: file.unwrap_or(path).to_str()?.to_owned(),
                build_id: build_id.to_owned(),
            })
        })
        .collect();
    let mapping = mappings.iter().position(|m| (m.start..m.end).contains(&start)).unwrap();
    let addresses = start..start + TRIED;
    Profile {
        interval_bytes: 1.0,
        stacks: (0..TRIED as u32)
            .map(|at| StackSample { frames: vec![at], ..StackSample::default() })
            .collect(),
        locations: addresses
            .map(|address| Location { address, mapping: Some(mapping as u32), frames: Vec::new() })
            .collect(),
        exe: mappings.first().map(|mapping| mapping.file.clone()),
        mappings,
        ..Profile::default()
    }
}

fn is_named(frame: &Frame, name: &str) -> bool {
    frame.function.rsplit("::").next() == Some(name) && frame.file.ends_with("/naming.rs")
}

#[test]
fn a_function_of_this_program_has_its_name_file_and_lines() {
    let profile = own_profile("", None);
    let mut symbolizer = Symbolizer::new();
    let symbols = symbolizer.resolve(&profile);
    let first = &symbols.frames[0][0];
    assert!(is_named(first, "allocating"), "{first:?}");
    assert_eq!(first.line, FUNCTION_LINE);
    // Somewhere in it the inlined call: the inner function first, the outer one after.
    let both = symbols.frames.iter().find(|frames| {
        frames.iter().any(|f| is_named(f, "inlined") && f.line < FUNCTION_LINE)
            && frames.iter().any(|f| is_named(f, "allocating") && f.line == FUNCTION_LINE + 1)
    });
    let both = both.expect("the inlined call is found");
    let place = |name| both.iter().position(|frame| is_named(frame, name)).unwrap();
    assert!(place("inlined") < place("allocating"));
    // Asked again, the same objects come from the cache.
    let again = symbolizer.resolve(&profile);
    assert!(Arc::ptr_eq(&symbols.frames[0], &again.frames[0]));
    // Without a build id nothing says that this is the file that ran.
    assert_eq!(symbols.notes.len(), 1, "{:?}", symbols.notes);
    assert!(symbols.notes[0].contains("does not say which build"), "{:?}", symbols.notes);
    let folded = site::fold(&profile, &symbols, &SiteRules::default());
    let own = folded.sites.iter().find(|site| site.function.ends_with("inlined"));
    assert_eq!(own.map(|site| site.own), Some(true));
}

#[test]
fn the_build_id_is_held_against_the_file() {
    use object::read::Object;
    let exe = std::env::current_exe().unwrap();
    let cache = object::read::ReadCache::new(std::fs::File::open(&exe).unwrap());
    let id = object::File::parse(&cache).unwrap().build_id().unwrap();
    if let Some(id) = id {
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let symbols = Symbolizer::new().resolve(&own_profile(&id, None));
        assert!(is_named(&symbols.frames[0][0], "allocating"));
    }
    let symbols = Symbolizer::new().resolve(&own_profile("00ff", None));
    assert!(symbols.frames[0][0].function.starts_with("0x"));
    assert_eq!(symbols.notes.len(), 1);
    assert!(symbols.notes[0].contains("built anew"), "{:?}", symbols.notes);
}

#[test]
fn a_missing_file_is_said() {
    let gone = Path::new("/nowhere/at/all");
    let mut profile = own_profile("", Some(gone));
    let symbols = Symbolizer::new().resolve(&profile);
    assert!(symbols.notes[0].contains("`/nowhere/at/all` is not there"), "{:?}", symbols.notes);
    // A process that runs another program now is not asked: nothing tells that it is the one.
    profile.pid = Some(std::process::id());
    let symbols = Symbolizer::new().resolve(&profile);
    assert!(symbols.frames[0][0].function.starts_with("0x"), "{:?}", symbols.frames[0][0]);
    assert!(symbols.notes[0].contains("`/nowhere/at/all` is not there"), "{:?}", symbols.notes);
}

/// A pipe without a writer would be waited for without end.
#[test]
fn what_is_no_file_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        said.send(Symbolizer::new().resolve(&own_profile("", Some(&pipe)))).unwrap();
    });
    let symbols = heard.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    assert!(symbols.notes[0].contains("is not there"), "{:?}", symbols.notes);
}

#[test]
fn a_stripped_program_is_called_so() {
    // Without its table of sections the file runs as before, and has no names to show.
    let exe = std::env::current_exe().unwrap();
    let mut bytes = std::fs::read(&exe).unwrap();
    for range in [0x28..0x30, 0x3c..0x40] {
        bytes[range].fill(0);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stripped");
    std::fs::write(&path, bytes).unwrap();
    let symbols = Symbolizer::new().resolve(&own_profile("", Some(&path)));
    assert!(symbols.notes.iter().any(|note| note.contains("is stripped")), "{:?}", symbols.notes);
    // And what is no program at all.
    std::fs::write(&path, "#!/bin/sh\n").unwrap();
    let symbols = Symbolizer::new().resolve(&own_profile("", Some(&path)));
    assert!(symbols.notes[0].contains("cannot be read as an executable"), "{:?}", symbols.notes);
}
