//! A series from files: what is no file, no heap profile or of another form than the rest is told
//! in one line, and nothing is waited for.
//!
//! In: small files in a temporary folder, with names that say nothing true. Out: verdicts of
//! `cargo test`. The forms themselves are the profiler's to test.

#![allow(clippy::unwrap_used)]

use ebbtide_rounds::archive::{Terms, judge_files};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const COLLAPSED: &str = "main;serve;keep 4096\nmain 1\n";

const DHAT: &str = r#"{"dhatFileVersion":2,"mode":"heap","verb":"Allocated",
    "pps":[{"tb":100,"tbk":1,"eb":100,"ebk":1,"fs":[1]}],"ftbl":["[root]","0x1: keep (a.c:3)"]}"#;

const HEAP_V2: &str = "heap_v2/4096\n  t*: 1: 64 [0: 0]\n@ 0x401235\n  t*: 1: 64 [0: 0]\n\n\
    MAPPED_LIBRARIES:\n00400000-00410000 r-xp 00001000 fe:00 17 /srv/app\n";

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// What is said of a series of the file with itself and another one.
fn complaint(good: &Path, bad: &Path) -> String {
    let paths = [good, good, bad].map(Path::to_owned);
    let error = judge_files(&paths, &Terms::default()).unwrap_err().to_string();
    assert!(!error.contains('\n') && !error.ends_with('.'), "{error}");
    error
}

#[test]
fn what_does_not_belong_to_a_series_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = write(folder, "1.pb.gz", DHAT.as_bytes());
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Larger than any memory, as core dumps are; nothing of it but its begin is read.
    let core = folder.join("core.pb.gz");
    let mut file = std::fs::File::create(&core).unwrap();
    file.write_all(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0").unwrap();
    file.set_len(1 << 40).unwrap();
    let cases = [
        (write(folder, "2.pb.gz", COLLAPSED.as_bytes()), "is collapsed stacks and"),
        (write(folder, "3.pb.gz", HEAP_V2.as_bytes()), "is heap_v2 and"),
        (write(folder, "4.pb.gz", b"<!DOCTYPE html><p>404"), "an HTML page"),
        (write(folder, "5.pb.gz", b"{\"error\":\"not found\"}"), "reports an error"),
        (write(folder, "6.heapsnapshot", b""), "empty"),
        (folder.to_owned(), "is a folder"),
        (pipe, "no regular file"),
        (core, "a core dump"),
        (folder.join("none.pb.gz"), "No such file"),
    ];
    for (path, words) in cases {
        let error = complaint(&good, &path);
        assert!(error.contains(words), "{}: {error}", path.display());
    }
}

#[test]
fn a_series_of_one_form_is_judged_whatever_its_files_are_called() {
    let folder = tempfile::tempdir().unwrap();
    for (content, name) in [(DHAT, "a.txt"), (COLLAPSED, "b.pb"), (HEAP_V2, "c.json")] {
        let path = write(folder.path(), name, content.as_bytes());
        let paths = vec![path; 4];
        assert_eq!(judge_files(&paths, &Terms::default()).unwrap().rounds.len(), 4, "{name}");
    }
}
