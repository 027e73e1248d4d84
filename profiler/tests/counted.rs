//! Files of the `dhat` crate: this program counts its own allocations by it, and the numbers read
//! from its file are what was allocated. In: nothing. Out: sites, exact to the byte.
//! It is a program of its own, since it has an allocator of its own. valgrind's files are met in
//! `snapshots`.

use ebbtide_profiler::profile::Form;
use ebbtide_profiler::{Cell, SiteRules, Symbolizer, parse, site};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// One buffer for 200 headers of vectors, and 200 blocks of 100 bytes.
#[inline(never)]
fn keep() -> Vec<Vec<u8>> {
    let mut kept = Vec::with_capacity(200);
    for _ in 0..200 {
        kept.push(black_box(vec![1; 100]));
    }
    kept
}

#[inline(never)]
fn churn() {
    for _ in 0..50 {
        drop(black_box(vec![1_u8; 4_096]));
    }
}

#[test]
fn what_a_program_in_rust_allocates_is_read_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counted.json");
    let profiler = dhat::Profiler::builder().file_name(&file).build();
    let kept = keep();
    churn();
    drop(profiler);
    assert_eq!(kept.len(), 200);
    let profile = parse::read(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((profile.form, profile.interval_bytes), (Some(Form::Dhat), 1.0));
    let symbols = Symbolizer::new().resolve(&profile);
    let folded = site::fold(&profile, &symbols, &SiteRules::default());
    for (function, live, ever) in [
        ("keep", (200.0 * 24.0 + 20_000.0, 201.0), (200.0 * 24.0 + 20_000.0, 201.0)),
        ("churn", (0.0, 0.0), (204_800.0, 50.0)),
    ] {
        // With line tables alone, functions have no path.
        let is = |name: &str| name.rsplit("::").next() == Some(function);
        let site = folded.sites.iter().find(|site| is(&site.function));
        let site = site.unwrap_or_else(|| panic!("no site `{function}` in {:#?}", folded.sites));
        let expected = Cell {
            live_bytes: live.0,
            live_objects: Some(live.1),
            alloc_bytes: Some(ever.0),
            alloc_objects: Some(ever.1),
            ..Cell::default()
        };
        assert_eq!(site.total(), expected, "{function}");
        assert!(site.own && site.file.ends_with("tests/counted.rs"), "{site:?}");
    }
}
