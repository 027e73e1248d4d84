//! Files that are no heap profile, told by their content, so that one line can say what they
//! are and what to do. In: the first bytes of a file. Out: words and a cure, or nothing when it
//! is nothing that is known. Names of files say nothing here: `.pb.gz` may be an error page. Pure.

/// What a file is instead, and the cure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stranger {
    /// What it is, to stand behind "this is".
    pub is: &'static str,
    /// What to do, or to give instead.
    pub cure: &'static str,
}

/// Bytes that are looked at: an error page and a JSON document show themselves early.
const LOOKED_AT: usize = 4_096;

const fn stranger(is: &'static str, cure: &'static str) -> Stranger {
    Stranger { is, cure }
}

const FETCH: &str = "open the address in a browser: it answers with a page, not with a profile";
const CPU: &str = "give a heap profile instead (`--heap-prof`, `.heapprofile`)";
const COMPRESSED: &str = "unpack it first: gzip and plain files are read";

/// Signatures of binary files, at their first byte.
const BINARY: &[(&[u8], Stranger)] = &[
    (b"PK\x03\x04", stranger("a zip archive", COMPRESSED)),
    (b"\x28\xb5\x2f\xfd", stranger("compressed with zstd", COMPRESSED)),
    (b"\xfd7zXZ\0", stranger("compressed with xz", COMPRESSED)),
    (b"BZh", stranger("compressed with bzip2", COMPRESSED)),
    (b"\x04\x22\x4d\x18", stranger("compressed with lz4", COMPRESSED)),
    (b"JAVA PROFILE ", stranger("a heap dump of a Java program", "use a Java tool")),
    (b"PERFILE2", stranger("recorded by `perf`", "it holds no heap; give a heap profile")),
    (b"\x89PNG", stranger("a picture", "give the profile it was drawn from")),
    (b"SQLite format 3\0", stranger("an SQLite database", "give a heap profile")),
    (b"go 1.", stranger("an execution trace of Go", "fetch /debug/pprof/heap instead")),
];

/// Texts by how they begin, white space aside.
const TEXTS: &[(&str, Stranger)] = &[
    ("<!doctype html", stranger("an HTML page", FETCH)),
    ("<html", stranger("an HTML page", FETCH)),
    ("<?xml", stranger("XML", FETCH)),
    ("<svg", stranger("a picture", "give the profile it was drawn from")),
    (
        "heap profile:",
        stranger("Go's or tcmalloc's text form", "fetch it without `debug=1`, as profile.proto"),
    ),
    (
        "goroutine profile:",
        stranger("a list of goroutines as text", "fetch /debug/pprof/heap instead"),
    ),
    ("desc: ", stranger("a file of valgrind's massif", "run `valgrind --tool=dhat` instead")),
    ("heap_v2", stranger("a heap_v2 text without its interval", "take the snapshot again")),
];

/// Keys that tell a JSON document, the most telling first.
const DOCUMENTS: &[(&str, Stranger)] = &[
    ("\"traceEvents\"", stranger("a trace of Chrome", CPU)),
    ("\"timeDeltas\"", stranger("a CPU profile of V8", CPU)),
    ("\"hitCount\"", stranger("a CPU profile of V8", CPU)),
    ("speedscope.app", stranger("a speedscope file", "give the profile it was made from")),
    ("ebbtide/snapshot/", stranger("the sidecar of a snapshot", "give the `.pb.gz` beside it")),
    ("ebbtide/summary/", stranger("the summary of a run", "give the run's folder or snapshots")),
    ("\"error\"", stranger("an answer that reports an error", "read it, and fetch again")),
];

/// What a file is, if it is something known.
#[must_use]
pub fn of(bytes: &[u8]) -> Option<Stranger> {
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    if head.starts_with(b"\x7fELF") {
        return Some(elf(head));
    }
    let found = BINARY.iter().find(|(start, _)| head.starts_with(start));
    found.map(|(_, stranger)| *stranger).or_else(|| text(head))
}

/// Byte 16 on is the type of the file: 4 is a core.
fn elf(head: &[u8]) -> Stranger {
    if head.get(16..18).is_some_and(|kind| kind == [4, 0] || kind == [0, 4]) {
        return stranger("a core dump", "it has no record of allocations; give a heap profile");
    }
    stranger("a program", "start it, and take a heap profile of the process")
}

fn text(head: &[u8]) -> Option<Stranger> {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begin: String = text.chars().take(64).collect::<String>().to_ascii_lowercase();
    if let Some((_, stranger)) = TEXTS.iter().find(|(start, _)| begin.starts_with(start)) {
        return Some(*stranger);
    }
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let known = DOCUMENTS.iter().find(|(key, _)| text.contains(key));
    let other = stranger("JSON of no form that is read", "give a heap profile");
    Some(known.map_or(other, |(_, stranger)| *stranger))
}
