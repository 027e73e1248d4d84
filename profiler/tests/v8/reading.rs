//! The reader: whatever the cut of the windows, whatever is broken.
//!
//! In: a small drawing, whole and maimed. Out: its classes and ways, or an error with its place.
//! Size and speed are left to the example `heap`.

use super::draw::Drawing;
use ebbtide_profiler::v8::{Classes, Dominators, Heap, Paths, by_class};
use std::io::Read;
use std::path::Path;

fn chat() -> Drawing {
    Drawing {
        nodes: vec![
            (4, "", 0),
            (1, "Server", 100),
            (1, "Session", 40),
            (1, "Session", 40),
            (2, "a \"quoted\" line\n\u{1F980}", 24),
            (3, "onMessage", 64),
            (0, "system / Map", 80),
        ],
        edges: vec![
            (0, 1, 0, "server"),
            (1, 2, 0, "first"),
            (2, 3, 0, "next"),
            (2, 4, 0, "name"),
            (3, 4, 0, "name"),
            (1, 5, 1, "handler"),
            (5, 6, 3, "map"),
        ],
    }
}

/// A reader that gives one byte at a time.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
        out[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

#[test]
fn classes_retained_sizes_and_ways_are_told() {
    let text = chat().text();
    for heap in [Heap::read(text.as_bytes()).unwrap(), Heap::read(Drip(text.as_bytes())).unwrap()] {
        let classes = Classes::of(&heap, &Dominators::of(&heap));
        let row = |name: &str| {
            let row = classes.rows.iter().find(|row| row.name == name);
            row.map(|row| (row.count, row.size, row.retained))
        };
        assert_eq!(row("Server"), Some((1, 100, 268)));
        // The second session hangs on the first: what it keeps is not counted twice.
        assert_eq!(row("Session"), Some((2, 80, 104)));
        assert_eq!(row("(string)"), Some((1, 24, 24)));
        assert_eq!(row("(closure) onMessage"), Some((1, 64, 64)));
        // A weak edge keeps nothing.
        assert_eq!(row("(system)"), None);
        let way: Vec<String> =
            Paths::of(&heap).to(&heap, 4).iter().map(ToString::to_string).collect();
        assert_eq!(way, [".server", "Server.first", "Session.name"]);
        assert_eq!(heap.strings.text(heap.names[4]), "a \"quoted\" line\n\u{1F980}");
    }
}

#[test]
fn what_is_broken_is_told_with_its_place() {
    let whole = chat().text();
    let with = |from: &str, to: &str| whole.replacen(from, to, 1);
    for (text, expected) in [
        (String::new(), "byte 0: the file ends here"),
        ("[1]".to_owned(), "byte 0: `{` was expected and `[` is there"),
        ("{\"nodes\":[]}".to_owned(), "its nodes come before their description"),
        (with("\"self_size\"", "\"size\""), "has no field `self_size`"),
        (with("\"type\",\"self_size\"", "\"kind\",\"self_size\""), "has no field `type`"),
        (with("\"nodes\":[1,", "\"nodes\":[-1,"), "a whole number was expected"),
        (with("\"nodes\":[1,", "\"nodes\":[99999999999999999999,"), "more than 64 bits"),
        (with("\"nodes\":[1,", "\"nodes\":[5000000000,"), "where V8 writes 32 bits"),
        (with("\"edges\":[6,", "\"edges\":[7,"), "into the middle of a node"),
        (with("\"edges\":[6,", "\"edges\":[600,"), "an edge leads to node 100 of 7"),
        (with("\"edges\":[6,0,", "\"edges\":[6,9,"), "a type that its description does not name"),
        (with("\"nodes\":[1,", "\"nodes\":[1,1,"), "the last node is not whole"),
        (with("\"edges\":[", "\"edges\":[6,0,1,"), "do not have the 8 edges that are there"),
        (with("\"edges\":", "\"nodes\":[],\"edges\":"), "`nodes` is there twice"),
        (with("\"strings\"", "\"words\""), "no `nodes`, `edges` or `strings`"),
        (whole[..whole.len() - 30].to_owned(), "the file ends here"),
        (with("\"samples\":[]", &format!("\"samples\":{}", "[".repeat(200_000))), "deep"),
        (with("\\n", "\\q"), "an unknown escape"),
    ] {
        let error = Heap::read(text.as_bytes()).expect_err(expected).to_string();
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
        assert!(error.ends_with("take it again"), "{error}");
    }
}

/// Leaves the drawing for `cargo xtask fuzz`.
fn keep_as_seed(text: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz/heapsnapshot");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("from-tests"), text).unwrap();
}

#[test]
fn no_cut_of_a_file_is_taken_for_a_whole_one() {
    let whole = chat().text();
    keep_as_seed(&whole);
    let end = whole.trim_end().len();
    for cut in 0..end {
        assert!(Heap::read(&whole.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
    assert!(Heap::read(&whole.as_bytes()[..end]).is_ok());
}

#[test]
fn surrogates_are_joined_and_halves_replaced() {
    for (escaped, expected) in [
        ("\\ud83e\\udd80", "\u{1F980}"),
        ("\\ud83e", "\u{FFFD}"),
        ("\\udd80x", "\u{FFFD}x"),
        ("\\ud83e\\u0041", "\u{FFFD}"),
        ("\\u00e9\\/\\b", "\u{e9}/\u{8}"),
    ] {
        let text = chat().text().replacen("\"<dummy>\"", &format!("\"{escaped}\""), 1);
        let heap = Heap::read(text.as_bytes()).unwrap();
        assert_eq!(heap.strings.text(0), expected, "{escaped}");
    }
}

#[test]
fn classes_of_one_name_are_one_site() {
    // V8's own strings, and a class that somebody named so.
    let drawing = Drawing {
        nodes: vec![(4, "", 0), (1, "(string)", 100), (2, "text", 24), (1, "Server", 50)],
        edges: vec![(0, 1, 0, "a"), (0, 2, 0, "b"), (0, 3, 0, "c")],
    };
    let folded = by_class(&Heap::read(drawing.text().as_bytes()).unwrap());
    let rows = folded.sites.iter().map(|site| {
        assert_eq!(site.cells.len(), 1);
        let cell = site.cells[0].cell;
        (site.function.as_str(), cell.live_bytes, cell.live_objects)
    });
    let rows: Vec<_> = rows.collect();
    let all = [("(string)", 124.0, Some(2.0)), ("Server", 50.0, Some(1.0))];
    assert_eq!(rows[..2], all, "{rows:?}");
}
