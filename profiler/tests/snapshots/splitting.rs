//! Names that lie apart from the program: debug files, replaced and deleted executables.
//! In: a program that the test compiles, splits with objcopy and runs. Out: its function by name,
//! or a word that says why not; never a name out of another build.
//! Needs rustc and binutils, which rustc needs as well.

use ebbtide_profiler::profile::{Location, Mapping, StackSample};
use ebbtide_profiler::{Profile, Symbolizer};
use object::read::{Object, ObjectSegment, ObjectSymbol, ReadCache};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Waits until its input ends, so that it can be looked at.
const SOURCE: &str = "\
use std::io::Read;

#[inline(never)]
fn keep_forever(list: &mut Vec<String>) {
    list.push(String::from(MARK));
}

fn main() {
    let mut list = Vec::new();
    keep_forever(&mut list);
    println!(\"{}\", list.len());
    let _ = std::io::stdin().read(&mut [0]);
}
";

/// Line of `keep_forever` in [`SOURCE`].
const LINE: u32 = 4;

fn run(command: &mut Command) {
    let name = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|error| {
        panic!("{name:?}: {error}; `cargo xtask setup` installs what is missing")
    });
    assert!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles the program; another mark makes another build.
fn compile(folder: &Path, mark: &str) -> PathBuf {
    let source = folder.join("keeper.rs");
    std::fs::write(&source, SOURCE.replace("MARK", &format!("{mark:?}"))).unwrap();
    let program = folder.join("keeper");
    run(Command::new("rustc")
        .args(["--edition", "2024", "-g", "-C", "link-arg=-Wl,--build-id", "-o"])
        .arg(&program)
        .arg(&source));
    program
}

fn split(program: &Path, debug: &Path) {
    run(Command::new("objcopy").arg("--only-keep-debug").arg(program).arg(debug));
}

fn strip(program: &Path) {
    run(Command::new("strip").arg(program));
}

/// A profile with one stack in `keep_forever`, as a process of this program would give it.
fn profile(program: &Path) -> Profile {
    let cache = ReadCache::new(File::open(program).unwrap());
    let object = object::File::parse(&cache).unwrap();
    let is_it = |name: &str| name.contains("keep_forever");
    let symbol = object.symbols().find(|symbol| symbol.name().is_ok_and(is_it)).unwrap();
    let address = symbol.address();
    let inside =
        |s: &object::Segment<'_, '_, _>| (s.address()..s.address() + s.size()).contains(&address);
    let segment = object.segments().find(inside).unwrap();
    let offset = address - segment.address() + segment.file_range().0;
    let build_id = object.build_id().unwrap().unwrap();
    let file = program.to_str().unwrap().to_owned();
    let mapping = Mapping {
        start: 0x10_0000,
        end: 0x4000_0000,
        file_offset: 0,
        file: file.clone(),
        build_id: build_id.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    Profile {
        interval_bytes: 1.0,
        stacks: vec![StackSample { frames: vec![0], ..StackSample::default() }],
        locations: vec![Location {
            address: mapping.start + offset,
            mapping: Some(0),
            frames: Vec::new(),
        }],
        exe: Some(file),
        mappings: vec![mapping],
        ..Profile::default()
    }
}

/// Function and line of the one location, and the notes.
fn named(symbolizer: &mut Symbolizer, profile: &Profile) -> (String, u32, String) {
    let symbols = symbolizer.resolve(profile);
    let frame = &symbols.frames[0][0];
    (frame.function.clone(), frame.line, symbols.notes.join("; "))
}

fn plain() -> Symbolizer {
    Symbolizer::with_folders(Vec::new())
}

#[track_caller]
fn assert_named(symbolizer: &mut Symbolizer, profile: &Profile) {
    let (function, line, notes) = named(symbolizer, profile);
    assert_eq!((function.as_str(), line, notes.as_str()), ("keeper::keep_forever", LINE, ""));
}

#[test]
fn a_debug_file_is_found_wherever_debuggers_look() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "one");
    let profile = profile(&program);
    assert_named(&mut plain(), &profile);
    let debug = folder.path().join("apart");
    split(&program, &debug);
    strip(&program);
    let (function, _, notes) = named(&mut plain(), &profile);
    assert!(function.starts_with("0x") && notes.contains("is stripped"), "{function} {notes}");

    let id = &profile.mappings[0].build_id;
    let symbols = folder.path().join("symbols");
    let by_id = format!("symbols/.build-id/{}/{}.debug", &id[..2], &id[2..]);
    let folders = vec![symbols.clone()];
    for (place, folders) in [
        ("keeper.debug", &[][..]),
        (".debug/keeper.debug", &[]),
        (&by_id, &folders),
        ("symbols/keeper.debug", &folders),
        ("symbols/keeper", &folders),
    ] {
        let path = folder.path().join(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(&debug, &path).unwrap();
        let (function, line, notes) =
            named(&mut Symbolizer::with_folders(folders.to_vec()), &profile);
        let found = (function.as_str(), line, notes.as_str());
        assert_eq!(found, ("keeper::keep_forever", LINE, ""), "{place}");
        std::fs::remove_file(&path).unwrap();
    }

    // Any name, if the program itself has it.
    let linked = folder.path().join("other-name.dbg");
    std::fs::copy(&debug, &linked).unwrap();
    let link = format!("--add-gnu-debuglink={}", linked.display());
    run(Command::new("objcopy").arg(link).arg(&program));
    assert_named(&mut plain(), &profile);
}

#[test]
fn a_debug_file_of_another_build_is_named_and_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "one, and longer");
    let debug = folder.path().join("keeper.debug");
    split(&program, &debug);
    let program = compile(folder.path(), "two");
    let profile = profile(&program);
    strip(&program);
    let (function, _, notes) = named(&mut plain(), &profile);
    assert!(function.starts_with("0x"), "{function}");
    assert!(notes.contains("keeper.debug` is of another build"), "{notes}");
}

#[test]
fn a_replaced_or_deleted_program_is_read_from_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "one");
    let mut profile = profile(&program);
    let mut command = Command::new(&program);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // It has begun when it has said so.
    process.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    std::fs::copy(&program, kept.join("keeper")).unwrap();
    std::fs::remove_file(&program).unwrap();

    let says = |profile: &Profile| named(&mut plain(), profile).2;
    assert!(says(&profile).contains("is not there"), "{}", says(&profile));
    profile.pid = Some(process.id());
    assert_named(&mut plain(), &profile);
    // Without a build id the process is asked as long as it runs a program of this path.
    let mut unsure = profile.clone();
    unsure.mappings[0].build_id.clear();
    let (function, _, notes) = named(&mut plain(), &unsure);
    assert!(
        function == "keeper::keep_forever" && notes.contains("which build"),
        "{function} {notes}"
    );
    unsure.pid = Some(std::process::id());
    assert!(says(&unsure).contains("is not there"), "{}", says(&unsure));

    compile(folder.path(), "two");
    assert_named(&mut plain(), &profile);
    // As `/proc/PID/maps` has it.
    profile.mappings[0].file += " (deleted)";
    assert_named(&mut plain(), &profile);
    process.kill().unwrap();
    process.wait().unwrap();
    let (function, _, notes) = named(&mut plain(), &profile);
    assert!(function.starts_with("0x") && notes.contains("was built anew"), "{function} {notes}");
    // The old build, kept elsewhere.
    assert_named(&mut Symbolizer::with_folders(vec![kept]), &profile);
}
