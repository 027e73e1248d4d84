//! What a file may ask of its reader: small files that would be large once read. In: files that
//! name one thing again and again. Out: names that are cut, things counted once, or an error.
//! Broken files are left to `reading` and `hostile`.

use super::hostile::complaint;
use super::writing::{Proto, bytes, number};
use ebbtide_profiler::frame::{FILE_MAX, Frame};
use ebbtide_profiler::parse::{self, COMMENTS_MAX, INLINED_MAX, MAPPINGS_MAX, STACK_MAX};

/// A profile with one sample of one location.
fn simple() -> Proto {
    let mut proto = Proto::heap(512);
    proto.location(1, 0x1000, &[("keep", "/srv/app/src/keep.rs", 7)]);
    proto
}

#[test]
fn texts_are_cut_where_they_are_made() {
    // Two bytes for each character, one of which lies across the limit.
    let long = format!("x{}", "é".repeat(100_000));
    let mut proto = simple();
    proto.mapping(1, (0x1000, 0x9000), 0, (&long, &long));
    proto.location(2, 0x2000, &[(&long, &long, 7)]);
    proto.comment(&format!("exe={long}"));
    let profile = parse::read(&proto.bytes()).unwrap();
    let (mapping, frame) = (&profile.mappings[0], &profile.locations[1].frames[0]);
    let exe = profile.exe.as_ref().unwrap();
    for text in [&mapping.file, &mapping.build_id, &frame.file, &profile.comments[0], exe] {
        assert!((FILE_MAX - 8..=FILE_MAX).contains(&text.len()), "{}", text.len());
    }
    assert!(frame.function.len() < 1_000);
    assert_eq!(Frame::named("f", &long, 1).file.len(), FILE_MAX - 1);
    assert_eq!(Frame::named(&long, "f", 1).function, frame.function);
}

#[test]
fn texts_named_again_and_again_are_refused() {
    let long = "x".repeat(FILE_MAX);
    let mut proto = simple();
    for id in 1..MAPPINGS_MAX as u64 {
        proto.mapping(id, (0x1000, 0x9000), 0, (&long, &long));
    }
    let error = complaint("mappings", &proto.bytes());
    assert!(error.contains("bytes of all names"), "{error}");
}

#[test]
fn lists_have_their_limits() {
    let lines = |count: usize| vec![("keep", "keep.rs", 7); count];
    let with = |make: &dyn Fn(&mut Proto)| {
        let mut proto = simple();
        make(&mut proto);
        proto.bytes()
    };
    let cases = [
        (
            "comments",
            with(&|proto| (0..=COMMENTS_MAX).for_each(|_| proto.comment("seen"))),
            "comments: more than",
        ),
        (
            "inlined functions",
            with(&|proto| proto.location(2, 0x2000, &lines(INLINED_MAX + 1))),
            "inlined functions of an address: more than",
        ),
        (
            "a deep stack",
            with(&|proto| proto.sample(&vec![1; STACK_MAX + 1], &[0; 4], &[])),
            "frames",
        ),
        (
            "a stack that is deep by what is inlined",
            with(&|proto| {
                proto.location(2, 0x2000, &lines(INLINED_MAX));
                proto.sample(&vec![2; STACK_MAX / INLINED_MAX + 1], &[0; 4], &[]);
            }),
            "frames of a stack: more than",
        ),
        ("values", with(&|proto| proto.sample(&[1], &[0; 10_000], &[])), "more than 64 values"),
        (
            "labels",
            with(&|proto| proto.sample(&[1], &[0; 4], &[("k", 1); 2_000])),
            "more than 1024 labels",
        ),
        (
            "collapsed",
            format!("main;keep 1\n{} 1\n", vec!["a"; STACK_MAX + 1].join(";")).into_bytes(),
            "frames of a stack: more than",
        ),
    ];
    for (what, bytes, words) in cases {
        let error = complaint(what, &bytes);
        assert!(error.contains(words), "{what}: {error}");
    }
}

#[test]
fn a_location_is_read_in_any_order_of_its_fields() {
    let mut proto = Proto::heap(512);
    let (mut entry, mut message) = (Vec::new(), Vec::new());
    number(2, 9, &mut entry);
    number(1, 1, &mut entry);
    bytes(4, &entry, &mut message);
    // Whether it is folded, and a field from the future.
    number(5, 1, &mut message);
    bytes(9, b"new", &mut message);
    number(3, 0x2000, &mut message);
    number(1, 7, &mut message);
    let mut field = Vec::new();
    bytes(4, &message, &mut field);
    proto.raw(&field);
    proto.location(1, 0x1000, &[("keep", "keep.rs", 7)]);
    proto.sample(&[7], &[1, 2, 1, 2], &[]);
    let profile = parse::read(&proto.bytes()).unwrap();
    assert_eq!(profile.locations[0].address, 0x2000);
    assert_eq!(profile.locations[0].frames[0].line, 9);
    // Cut, and with a number where a message belongs.
    for field in [&[34, 2, 34, 9][..], &[34, 2, 32, 1]] {
        let mut proto = simple();
        proto.raw(field);
        complaint("a location", &proto.bytes());
    }
}

/// A sampled profile of V8 with these nodes below the root.
fn sampled(nodes: &[String]) -> Vec<u8> {
    let root = r#""callFrame":{"functionName":"(root)","url":"","lineNumber":-1}"#;
    let samples =
        r#"[{"size":65536,"nodeId":2,"ordinal":1},{"size":65536,"nodeId":2,"ordinal":9}]"#;
    let children = nodes.join(",");
    format!(
        r#"{{"head":{{{root},"selfSize":0,"id":1,"children":[{children}]}},"samples":{samples}}}"#
    )
    .into_bytes()
}

fn node(function: &str, id: u64, line: i64) -> String {
    format!(
        r#"{{"callFrame":{{"functionName":"{function}","url":"file:///srv/app.js",
        "lineNumber":{line},"columnNumber":{line}}},"selfSize":131072,"id":{id},"children":[]}}"#
    )
}

#[test]
fn samples_of_a_node_are_counted_once() {
    let nodes: Vec<String> = (0..100).map(|_| node("keep", 2, 6)).collect();
    let profile = parse::read(&sampled(&nodes)).unwrap();
    assert_eq!(profile.live_bytes(), 131_072.0);
    assert_eq!((profile.stacks.len(), profile.ordinals.len()), (1, 2));
}

#[test]
fn a_line_beyond_all_lines_is_none() {
    let profile = parse::read(&sampled(&[node("", 2, i64::MAX), node("f", 3, 6)])).unwrap();
    assert_eq!(profile.locations[1].frames[0].line, 0);
    let profile = parse::read(&sampled(&[node("f", 2, i64::MAX)])).unwrap();
    assert_eq!(profile.locations[1].frames[0].line, 0);
}

#[test]
fn a_long_first_line_is_read_as_it_comes() {
    let stack: Vec<String> = (0..1_000).map(|at| format!("app::module::function_{at}")).collect();
    let text = format!("{} 512\n{}", stack.join(";"), "main;keep 8\n".repeat(10_000));
    let profile = parse::read_from(text.as_bytes()).unwrap();
    assert_eq!(profile.live_bytes(), 512.0 + 80_000.0);
}
