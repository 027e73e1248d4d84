//! `profile.proto` as its many writers fill it in: columns are told by name and unit, in any
//! order, and a profile of something else says what it is. In: files by a writer of the tests,
//! and by the library of `jemalloc_pprof`. Out: cells, or one line.

use crate::hostile;
use crate::writing::Proto;
use ebbtide_profiler::Cell;
use ebbtide_profiler::parse;

fn cell(columns: &[&str], values: &[i64]) -> Cell {
    let mut proto = Proto::new(columns, 512);
    proto.location(1, 1, &[("keep", "/srv/app/src/keep.rs", 7)]);
    proto.sample(&[1], values, &[]);
    parse::read(&proto.gzip()).unwrap_or_else(|error| panic!("{columns:?}: {error}")).stacks[0].cell
}

#[test]
fn each_writer_is_understood() {
    /// Who writes it, columns, values, and live bytes, live objects, allocated bytes and objects.
    type Flavour<'a> = (&'a str, &'a [&'a str], &'a [i64], [Option<f64>; 4]);
    let flavours: &[Flavour<'_>] = &[
        (
            "Go, the probe",
            &[
                "alloc_objects/count",
                "alloc_space/bytes",
                "inuse_objects/count",
                "inuse_space/bytes",
            ],
            &[9, 90, 4, 40],
            [Some(40.0), Some(4.0), Some(90.0), Some(9.0)],
        ),
        ("jemalloc_pprof", &["inuse_space/bytes"], &[40], [Some(40.0), None, None, None]),
        (
            "Node, npm's pprof",
            &["objects/count", "space/bytes"],
            &[4, 40],
            [Some(40.0), Some(4.0), None, None],
        ),
        (
            "tcmalloc",
            &["space/bytes", "allocations/count"],
            &[40, 4],
            [Some(40.0), Some(4.0), None, None],
        ),
        (
            ".NET, with dashes",
            &[
                "alloc-samples/count",
                "alloc-size/bytes",
                "inuse-objects/count",
                "inuse-space/bytes",
            ],
            &[2, 90, 4, 40],
            [Some(40.0), Some(4.0), Some(90.0), None],
        ),
        ("kilobytes", &["Inuse_Space/Kilobytes"], &[4], [Some(4_096.0), None, None, None]),
        ("no units", &["objects/", "space/"], &[4, 40], [Some(40.0), Some(4.0), None, None]),
        (
            "beside CPU",
            &["cpu/nanoseconds", "inuse_objects/count", "inuse_space/bytes"],
            &[7, 4, 40],
            [Some(40.0), Some(4.0), None, None],
        ),
        // A column of objects that counts bytes is none of objects.
        ("odd units", &["objects/bytes", "space/bytes"], &[9, 40], [Some(40.0), None, None, None]),
    ];
    for (writer, columns, values, expected) in flavours {
        let cell = cell(columns, values);
        let read = [Some(cell.live_bytes), cell.live_objects, cell.alloc_bytes, cell.alloc_objects];
        assert_eq!(&read, expected, "{writer}");
    }
}

#[test]
fn a_column_taken_by_its_unit_is_said_to_be() {
    let mut proto = Proto::new(&["held/count", "held/bytes"], 512);
    proto.location(1, 1, &[]);
    proto.sample(&[1], &[4, 40], &[]);
    let profile = parse::read(&proto.bytes()).unwrap();
    assert_eq!(profile.stacks[0].cell.live_bytes, 40.0);
    assert!(profile.notes.iter().any(|note| note.contains("only column of bytes")));
}

#[test]
fn a_profile_without_live_bytes_says_what_it_is() {
    let cases: &[(&[&str], &str)] = &[
        (&["samples/count", "cpu/nanoseconds"], "a CPU profile"),
        (&["sample/count", "wall/nanoseconds"], "a CPU profile"),
        (&["goroutine/count"], "goroutines"),
        (&["contentions/count", "delay/nanoseconds"], "of waiting"),
        (&["alloc_objects/count", "alloc_space/bytes"], "ever allocated"),
        (&["inuse_space/count"], "inuse_space/count"),
    ];
    for (columns, words) in cases {
        let mut proto = Proto::new(columns, 0);
        proto.comment("something");
        let error = parse::read(&proto.gzip()).unwrap_err().to_string();
        assert!(error.contains("not a heap profile") && error.contains(words), "{error}");
    }
}

/// As V8 writes it; what it means is held by the tests of Node.
const SAMPLED: &str = r#"{"head":{"callFrame":{"functionName":"(root)","scriptId":"0","url":"",
"lineNumber":-1,"columnNumber":-1},"selfSize":0,"id":1,"children":[{"callFrame":{"functionName":
"keep","scriptId":"7","url":"file:///srv/app.js","lineNumber":6,"columnNumber":4},"selfSize":131072,
"id":2,"children":[]}]},"samples":[{"size":65536,"nodeId":2,"ordinal":1},{"size":65536,"nodeId":2,
"ordinal":9}]}"#;

#[test]
fn sampled_profiles_of_v8_survive() {
    assert_eq!(parse::read(SAMPLED.as_bytes()).unwrap().live_bytes(), 131_072.0);
    hostile::survives("heapprofile", SAMPLED.as_bytes());
}

#[test]
fn profiles_of_all_writers_survive() {
    let mut proto = Proto::heap(512);
    proto.mapping(1, (0x1000, 0x9000), 0, ("/srv/app", "ab01"));
    proto.location(1, 0x1234, &[("keep", "/srv/app/src/keep.rs", 7), ("main", "main.rs", 1)]);
    proto.location(2, 0x2234, &[]);
    proto.sample(&[1, 2], &[9, 90, 4, 40], &[("bytes", 10), ("inuse_samples", 4)]);
    hostile::survives("pprof", &proto.bytes());
    hostile::survives("any", &proto.gzip());
}
