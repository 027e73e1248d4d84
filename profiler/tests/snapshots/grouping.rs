//! Rows other than sites: names of modules in the languages that are met, and columns that a
//! snapshot may lack. In: names and folded snapshots. Out: rows. What is shown of them is held
//! by the tests of the program.

use ebbtide_profiler::group::{Grouping, cumulative, module, regroup};
use ebbtide_profiler::profile::Cell;
use ebbtide_profiler::site::{Folded, FoldedCell, FoldedSite, id};
use ebbtide_profiler::stacks::Stacks;

#[test]
fn a_module_is_what_its_language_calls_one() {
    for (function, file, expected) in [
        ("chat::hub::Hub::subscribe", "chat/src/hub.rs", "chat::hub"),
        ("chat::hub::publish<Vec<u8>>", "chat/src/hub.rs", "chat::hub"),
        ("chat::hub::Room<T>::join", "chat/src/hub.rs", "chat::hub"),
        ("chat::session::run::{{closure}}", "chat/src/session.rs", "chat::session"),
        ("<Hub as Drop>::drop", "chat/src/hub.rs", "chat/src/hub.rs"),
        ("main.(*Hub).Run", "/srv/chat/main.go", "main"),
        ("main.main.func1", "/srv/chat/main.go", "main"),
        ("net/http.(*Server).Serve", "net/http/server.go", "net/http"),
        ("example.com/chat/hub.New", "example.com/chat/hub/hub.go", "example.com/chat/hub"),
        ("onMessage", "app/server.js", "app/server.js"),
        ("[no symbols: libc.so.6]", "", "[no symbols: libc.so.6]"),
    ] {
        assert_eq!(module(function, file), expected, "{function}");
    }
}

fn folded(alloc_objects: Option<f64>, alloc_bytes: Option<f64>) -> Folded {
    let cell = Cell {
        live_bytes: 10.0,
        live_objects: Some(1.0),
        alloc_objects,
        alloc_bytes,
        ..Cell::default()
    };
    let site = |name: &str, file: &str, stack| FoldedSite {
        id: id(name, file),
        function: name.to_owned(),
        file: file.to_owned(),
        cells: vec![FoldedCell { stack, cell }],
        origins: vec![0],
        ..FoldedSite::default()
    };
    let sites = vec![site("a::f", "a.rs", 1), site("a::f", "b.rs", 2), site("a::g", "a.rs", 3)];
    Folded { interval_bytes: 1.0, live_bytes: 30.0, sites, ..Folded::default() }
}

#[test]
fn rows_put_together_hold_what_their_sites_held() {
    let folded = folded(None, None);
    for (by, expected) in [
        (Grouping::Site, &[("a::f", 10.0), ("a::f", 10.0), ("a::g", 10.0)][..]),
        (Grouping::Function, &[("a::f", 20.0), ("a::g", 10.0)]),
        (Grouping::Module, &[("a", 30.0)]),
        (Grouping::Kind, &[("other", 30.0)]),
        (Grouping::Stack, &[("a::f", 10.0), ("a::f", 10.0), ("a::g", 10.0)]),
    ] {
        let grouped = regroup(&folded, by, &Stacks::default());
        let rows: Vec<(&str, f64)> = grouped
            .sites
            .iter()
            .map(|site| (site.function.as_str(), site.total().live_bytes))
            .collect();
        assert_eq!(rows, expected, "{by:?}");
    }
}

#[test]
fn what_was_ever_allocated_is_there_or_is_not() {
    assert!(cumulative(&folded(Some(5.0), None)).is_none());
    let ever = cumulative(&folded(Some(5.0), Some(50.0))).unwrap();
    assert_eq!((ever.live_bytes, ever.live_objects), (150.0, Some(15.0)));
    let uncounted = cumulative(&folded(None, Some(50.0))).unwrap();
    assert_eq!((uncounted.live_bytes, uncounted.live_objects), (150.0, None));
}
