//! Files of the real DHAT: a small program in C says what it allocates, and the numbers read from
//! valgrind's file are the same. In: `gcc` and `valgrind` from the PATH; a machine without them
//! fails. Out: a profile, and its sites.

use crate::hostile;
use ebbtide_profiler::profile::{Cell, Form};
use ebbtide_profiler::{Folded, SiteRules, Symbolizer, parse, site};
use std::path::Path;
use std::process::Command;

/// Keeps 200 of 300 blocks of 100 bytes, and none of 50 of 4,096; one string by way of the C
/// library.
const PROGRAM: &str = r#"
#include <stdlib.h>
#include <string.h>
static void *kept[300];
static char *volatile name;
__attribute__((noinline)) void *keep(int i) { return kept[i] = malloc(100); }
__attribute__((noinline)) void churn(void) {
    volatile char *p = malloc(4096);
    p[0] = 1;
    free((void *)p);
}
__attribute__((noinline)) void label(void) { name = strdup("nineteen characters"); }
int main(void) {
    for (int i = 0; i < 300; i++) keep(i);
    for (int i = 0; i < 50; i++) churn();
    for (int i = 0; i < 100; i++) free(kept[i]);
    label();
    return 0;
}
"#;

fn run(command: &mut Command) {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("`{name}`: {error}; `cargo xtask setup`"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What DHAT writes of the program in one of its modes.
fn dhat(folder: &Path, mode: &str) -> Vec<u8> {
    let (source, program) = (folder.join("planted.c"), folder.join("planted"));
    if !program.exists() {
        std::fs::write(&source, PROGRAM).unwrap();
        run(Command::new("gcc").args(["-g", "-O1", "-o"]).arg(&program).arg(&source));
    }
    let out = folder.join(format!("{mode}.dhat"));
    let file = format!("--dhat-out-file={}", out.display());
    let words = ["--tool=dhat", &format!("--mode={mode}"), &file];
    run(Command::new("valgrind").args(words).arg(&program).current_dir(folder));
    std::fs::read(out).unwrap()
}

fn fold(bytes: &[u8]) -> Folded {
    let profile = parse::read(bytes).unwrap();
    let symbols = Symbolizer::new().resolve(&profile);
    site::fold(&profile, &symbols, &SiteRules::default())
}

#[test]
fn what_a_program_in_c_allocates_is_read_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = dhat(folder.path(), "heap");
    let profile = parse::read(&bytes).unwrap();
    assert_eq!((profile.form, profile.interval_bytes), (Some(Form::Dhat), 1.0));
    assert!(profile.pid.is_some() && profile.notes.is_empty());
    let folded = fold(&bytes);
    let expected = [
        ("keep", (20_000.0, 200.0), (30_000.0, 300.0)),
        ("label", (20.0, 1.0), (20.0, 1.0)),
        ("churn", (0.0, 0.0), (204_800.0, 50.0)),
    ];
    for (function, live, ever) in expected {
        let site = folded.sites.iter().find(|site| site.function == function);
        let site = site.unwrap_or_else(|| panic!("no site `{function}` in {folded:#?}"));
        let expected = Cell {
            live_bytes: live.0,
            live_objects: Some(live.1),
            alloc_bytes: Some(ever.0),
            alloc_objects: Some(ever.1),
            ..Cell::default()
        };
        assert_eq!(site.total(), expected, "{function}");
        assert_eq!((site.file.as_str(), site.own), ("planted.c", true));
    }
    assert_eq!((folded.live_bytes, folded.live_objects), (20_020.0, Some(201.0)));
    hostile::survives("dhat", &bytes);
}

#[test]
fn modes_that_follow_no_lifetimes_are_told_from_heaps() {
    let folder = tempfile::tempdir().unwrap();
    for mode in ["copy", "ad-hoc"] {
        let error = parse::read(&dhat(folder.path(), mode)).unwrap_err().to_string();
        assert!(
            error.contains(&format!("mode `{mode}`")) && error.contains("mode `heap`"),
            "{error}"
        );
    }
}
