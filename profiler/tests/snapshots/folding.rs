//! Profile and names to sites.
//! In: stacks as Rust, Node and Go have them. Out: the site each is folded to, and its id.
//! Kinds have a file of their own.

use crate::writing::Proto;
use ebbtide_profiler::frame::{enclosing_function, same_file, short_file, short_function};
use ebbtide_profiler::{Folded, SiteRules, Symbolizer, parse, site};

const OWN: &str = "/home/u/work/shop/src/hub.rs";
const REGISTRY: &str = "/home/u/.cargo/registry/src/index.crates.io-1/tokio-1.54.0/src/task.rs";
const STD: &str = "/rustc/59807616e1/library/alloc/src/vec/mod.rs";

type Line = (&'static str, &'static str, u64);

/// Folds stacks, each a list of frames (the innermost first) with its live bytes.
fn fold(stacks: &[(&[Line], i64)], own: &[&str]) -> Folded {
    let mut proto = Proto::heap(1);
    let mut next = 1;
    for (lines, live) in stacks {
        let ids: Vec<u64> = lines
            .iter()
            .map(|line| {
                proto.location(next, next, &[*line]);
                next += 1;
                next - 1
            })
            .collect();
        proto.sample(&ids, &[1, *live, 1, *live], &[]);
    }
    let profile = parse::read(&proto.bytes()).unwrap();
    let symbols = Symbolizer::new().resolve(&profile);
    let own = own.iter().map(|prefix| (*prefix).to_owned()).collect();
    site::fold(&profile, &symbols, &SiteRules { own, kinds: Vec::new() })
}

#[test]
fn the_site_is_the_innermost_own_frame() {
    let stacks: &[(&[Line], i64)] = &[
        (
            &[
                ("prof_backtrace", "/t/build/tikv-jemalloc-sys-1/out/build/src/prof.c", 1),
                (
                    "<ebbtide_probe::A as core::alloc::global::GlobalAlloc>::alloc",
                    "/x/probe/src/a.rs",
                    2,
                ),
                ("alloc::vec::Vec<T,A>::push", STD, 9),
                ("shop::hub::Hub::subscribe::{{closure}}", OWN, 40),
                ("shop::hub::Hub::subscribe", OWN, 38),
                ("tokio::task::poll", REGISTRY, 3),
                ("shop::main", "/home/u/work/shop/src/main.rs", 5),
            ],
            100,
        ),
        // The same function from another line, and deeper.
        (
            &[
                ("alloc::vec::Vec<T,A>::push", STD, 9),
                ("shop::hub::Hub::subscribe::{closure#1}::{closure#0}", OWN, 44),
                ("shop::main", "/home/u/work/shop/src/main.rs", 6),
            ],
            300,
        ),
        (&[("shop::main::h0123456789abcdef", "/home/u/work/shop/src/main.rs", 7)], 50),
    ];
    let folded = fold(stacks, &[]);
    let names: Vec<_> = folded
        .sites
        .iter()
        .map(|site| {
            (site.function.as_str(), site.file.as_str(), site.line, site.total().live_bytes)
        })
        .collect();
    let expected = [
        ("shop::hub::Hub::subscribe", "shop/src/hub.rs", 44, 400.0),
        ("shop::main", "shop/src/main.rs", 7, 50.0),
    ];
    assert_eq!(names, expected);
    assert_eq!(folded.sites[0].cells.len(), 2);
    assert!(folded.sites[0].own && folded.sites[0].stack[1].own);
    assert_eq!(folded.live_bytes, 450.0);
    // Two ways in and one site: its name is no matter of lines.
    assert_eq!(folded.sites[0].id, site::id("shop::hub::Hub::subscribe", "shop/src/hub.rs"));
}

#[test]
fn equal_stacks_are_one_cell_and_the_hash_lasts() {
    let stack: &[Line] = &[("shop::f", OWN, 3), ("shop::main", OWN, 9)];
    let other: &[Line] = &[("shop::f", OWN, 4), ("shop::main", OWN, 9)];
    let folded = fold(&[(stack, 10), (other, 5), (stack, 30)], &[]);
    let cells = &folded.sites[0].cells;
    assert_eq!((cells.len(), cells[0].cell.live_bytes), (2, 40.0));
    let again = fold(&[(other, 1), (stack, 1)], &[]);
    assert_eq!(again.sites[0].cells[1].stack, cells[0].stack);
    assert_ne!(cells[0].stack, cells[1].stack);
}

#[test]
fn without_an_own_frame_the_librarys_innermost_counts() {
    let folded = fold(
        &[
            (&[("alloc::vec::Vec<T,A>::push", STD, 1), ("tokio::io::open", REGISTRY, 2)], 7),
            (&[("alloc::vec::Vec<T,A>::push", STD, 1), ("std::rt::lang_start", STD, 2)], 3),
        ],
        &[],
    );
    let names: Vec<_> =
        folded.sites.iter().map(|site| (site.function.as_str(), site.own)).collect();
    assert_eq!(names, [("tokio::io::open", false), ("std::rt::lang_start", false)]);
}

#[test]
fn own_is_what_the_user_says() {
    let stack: &[Line] = &[("tokio::task::poll", REGISTRY, 3), ("shop::main", OWN, 5)];
    for (own, expected) in [
        (&[][..], "shop::main"),
        (&["/home/u/.cargo/registry/src/index.crates.io-1/tokio-1.54.0"][..], "tokio::task::poll"),
        (&["shop/src"][..], "shop::main"),
    ] {
        assert_eq!(fold(&[(stack, 1)], own).sites[0].function, expected, "{own:?}");
    }
}

#[test]
fn closures_that_line_tables_leave_nameless_take_the_name_around_them() {
    let mut proto = Proto::heap(1);
    proto.location(1, 1, &[("{closure#0}", OWN, 3), ("subscribe", OWN, 5), ("main", OWN, 6)]);
    proto.sample(&[1], &[1, 8, 1, 8], &[]);
    let profile = parse::read(&proto.bytes()).unwrap();
    let symbols = Symbolizer::new().resolve(&profile);
    let folded = site::fold(&profile, &symbols, &SiteRules::default());
    assert_eq!((folded.sites[0].function.as_str(), folded.sites[0].line), ("subscribe", 3));
}

#[test]
fn an_allocator_of_ones_own_is_no_site() {
    // Optimized, with line tables: all inlined into one address, and without a path.
    let allocator = "/home/u/work/probe/src/allocator.rs";
    let mut proto = Proto::heap(1);
    let lines = [
        ("alloc", allocator, 104),
        ("__rust_alloc", "/home/u/work/shop/src/main.rs", 22),
        ("with_capacity_in<u8, Global>", STD, 177),
        ("shop::orders::Orders::take", OWN, 31),
    ];
    proto.location(1, 1, &[("prof_backtrace", "/t/jemalloc/src/prof.c", 1)]);
    proto.location(2, 2, &lines);
    proto.sample(&[1, 2], &[1, 8, 1, 8], &[]);
    let profile = parse::read(&proto.bytes()).unwrap();
    let symbols = Symbolizer::new().resolve(&profile);
    let site = &site::fold(&profile, &symbols, &SiteRules::default()).sites[0];
    assert_eq!((site.function.as_str(), site.line), ("shop::orders::Orders::take", 31));
    assert_eq!(site.stack[0].function, "with_capacity_in<u8, Global>");
}

#[test]
fn go_and_node_tell_own_code_by_its_place() {
    let go: &[Line] = &[
        ("runtime.mallocgc", "/usr/lib/go-1.19/src/runtime/malloc.go", 1),
        ("net/http.(*conn).serve", "/usr/lib/go-1.19/src/net/http/server.go", 2),
        ("github.com/x/y.Open", "/home/ann/go/pkg/mod/github.com/x/y@v1.2.0/y.go", 3),
        ("main.(*Hub).Subscribe.func1.2", "/srv/chat/hub.go", 4),
        ("main.main", "/srv/chat/main.go", 5),
    ];
    let trimmed: &[Line] = &[
        ("runtime.mallocgc", "runtime/malloc.go", 1),
        ("net/http.(*conn).serve", "net/http/server.go", 2),
        ("example.com/chat.Serve", "example.com/chat/serve.go", 4),
    ];
    let node: &[Line] = &[
        ("addListener", "node:events", 1),
        ("wrap", "/srv/app/node_modules/express/lib/router.js", 2),
        ("onOpen", "file:///srv/app/server.js", 3),
    ];
    for (stack, function, file) in [
        (go, "main.(*Hub).Subscribe", "srv/chat/hub.go"),
        (trimmed, "example.com/chat.Serve", "example.com/chat/serve.go"),
        (node, "onOpen", "srv/app/server.js"),
    ] {
        let folded = fold(&[(stack, 1)], &[]);
        assert_eq!(
            (folded.sites[0].function.as_str(), folded.sites[0].file.as_str()),
            (function, file)
        );
    }
}

#[test]
fn bare_addresses_fold_to_their_module() {
    let mut proto = Proto::heap(1);
    proto.mapping(1, (0x1000, 0x9000), 0, ("/nowhere/app", ""));
    proto.location(1, 0x1234, &[]);
    proto.location(2, 0x1334, &[]);
    proto.sample(&[1, 2], &[1, 8, 1, 8], &[]);
    proto.sample(&[2, 1], &[1, 8, 1, 8], &[]);
    // A stripped program is not what starts its threads, which has a name.
    proto.location(3, 0x2000, &[("clone3", "../sysdeps/unix/sysv/linux/x86_64/clone3.S", 81)]);
    proto.sample(&[1, 2, 3], &[1, 8, 1, 8], &[]);
    let profile = parse::read(&proto.bytes()).unwrap();
    let symbols = Symbolizer::new().resolve(&profile);
    let folded = site::fold(&profile, &symbols, &SiteRules::default());
    assert_eq!(folded.sites.len(), 1, "{:?}", folded.sites);
    assert_eq!(folded.sites[0].function, "[no symbols: app]");
    assert!(folded.notes.iter().any(|note| note.contains("`/nowhere/app` is not there")));
}

#[test]
fn function_names_are_made_short() {
    let cases = [
        ("shop::hub::Hub::subscribe::h0123456789abcdef", "shop::hub::Hub::subscribe"),
        ("<shop::hub::Hub>::subscribe", "shop::hub::Hub::subscribe"),
        ("<shop::Hub<shop::kept::Entry>>::open", "shop::Hub<Entry>::open"),
        ("<shop::Hub as core::ops::drop::Drop>::drop", "<Hub as Drop>::drop"),
        ("alloc::vec::Vec<T,A>::push", "alloc::vec::Vec<T,A>::push"),
        (
            "core::ptr::drop_in_place::<alloc::vec::Vec<core::option::Option<a::b::C>>>",
            "core::ptr::drop_in_place::<Vec<Option<..>>>",
        ),
        ("<fn(a::B) -> c::D as e::F<g::H>>::call", "<fn(B) -> D as F<H>>::call"),
        ("main.(*Hub).Subscribe", "main.(*Hub).Subscribe"),
        ("", ""),
        ("a<b<c", "a<b<c"),
        (">>>", ">>>"),
    ];
    for (raw, short) in cases {
        assert_eq!(short_function(raw), short, "{raw}");
    }
    assert!(short_function(&"x".repeat(10_000)).chars().count() <= 201);
}

#[test]
fn closures_are_folded_into_their_function() {
    let cases = [
        ("shop::serve::{{closure}}::{{closure}}", "shop::serve"),
        ("shop::serve::{async_fn#0}", "shop::serve"),
        ("<Hub as Drop>::drop::{closure#0}", "<Hub as Drop>::drop"),
        ("main.serve.func1.2", "main.serve"),
        ("main.(*Hub).Run.gowrap1", "main.(*Hub).Run"),
        ("main.(*Hub).Run-fm", "main.(*Hub).Run"),
        ("{closure#0}", ""),
    ];
    for (function, around) in cases {
        assert_eq!(enclosing_function(function), around, "{function}");
    }
}

#[test]
fn paths_are_shown_from_their_package_on() {
    let cases = [
        ("/home/u/work/shop/src/hub.rs", "shop/src/hub.rs"),
        ("/home/u/src/shop/src/bin/x.rs", "shop/src/bin/x.rs"),
        ("/home/u/shop/tests/a/b.rs", "shop/tests/a/b.rs"),
        (REGISTRY, "tokio-1.54.0/src/task.rs"),
        (STD, "alloc/src/vec/mod.rs"),
        ("src/main.rs", "src/main.rs"),
        ("/tmp/t.rs", "t.rs"),
        ("/srv/chat/hub.go", "srv/chat/hub.go"),
        ("/a/b/c/d/e.js", "c/d/e.js"),
        ("node:events", "node:events"),
        ("", ""),
    ];
    for (path, short) in cases {
        assert_eq!(short_file(path), short, "{path}");
    }
    assert!(
        same_file("src/hub.rs", "shop/src/hub.rs") && same_file("/x/shop/src/hub.rs", "src/hub.rs")
    );
    assert!(!same_file("b.rs", "shop/src/hub.rs") && !same_file("", "a.rs"));
}
