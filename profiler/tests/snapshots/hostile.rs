//! Good files made bad, some thousand ways: the reader tells it in one line or reads what is
//! left, and does not panic. In: a file of a real tool. Out: a panic when a promise is broken.
//! Longer runs with a mind of their own are `cargo xtask fuzz`, which begins with these files.

use crate::writing::Dice;
use ebbtide_profiler::{Profile, SiteRules, Symbolizer, parse, site};
use std::path::Path;

/// Mutants of each file: some seconds for all forms together.
const MUTANTS: usize = 4_000;

/// Bytes of a mutant: large files are cut to a begin and an end, so that each change matters.
const MUTANT_MAX: usize = 24 << 10;

/// Bytes of the files that fuzzing begins with.
const SEED_MAX: usize = 16 << 10;

/// Words that readers look for, and numbers at the ends of their ranges.
const WORDS: &[&[u8]] = &[
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b";",
    b"\n",
    b" 0",
    b"-1",
    b"1e9",
    b"4294967295",
    b"4294967296",
    b"18446744073709551615",
    b"99999999999999999999",
    b"null",
    b"\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x10",
];

/// One clear line: no second one, no final dot, and nothing that drives a terminal.
pub(crate) fn complaint(what: &str, bytes: &[u8]) -> String {
    let error = parse::read(bytes).err().unwrap_or_else(|| panic!("{what} was read"));
    let text = error.to_string();
    check_line(what, &text);
    text
}

fn check_line(what: &str, text: &str) {
    assert!(!text.contains(char::is_control) && !text.ends_with('.'), "{what}: {text:?}");
    assert!(text.chars().count() < 300, "{what}: {text}");
}

/// Reads thousands of mutants of a file, and leaves the file for `cargo xtask fuzz`.
pub(crate) fn survives(form: &str, bytes: &[u8]) {
    keep_as_seed(form, bytes);
    let whole = if bytes.len() <= MUTANT_MAX {
        bytes.to_vec()
    } else {
        [&bytes[..MUTANT_MAX / 2], &bytes[bytes.len() - MUTANT_MAX / 2..]].concat()
    };
    for cut in 0..64 {
        read(form, &whole[..whole.len() * cut / 64]);
    }
    let mut dice = Dice(whole.len() as u64);
    for _ in 0..MUTANTS {
        read(form, &mutant(&whole, &mut dice));
    }
}

fn read(form: &str, bytes: &[u8]) {
    match parse::read(bytes) {
        Ok(profile) => fold(&profile),
        Err(error) => check_line(form, &error.to_string()),
    }
}

fn fold(profile: &Profile) {
    // Names that a mutant brings are looked up nowhere.
    let mut named = profile.clone();
    named.mappings.clear();
    named.locations.iter_mut().for_each(|location| location.mapping = None);
    let symbols = Symbolizer::new().resolve(&named);
    let folded = site::fold(&named, &symbols, &SiteRules::default());
    let cells: usize = folded.sites.iter().map(|site| site.cells.len()).sum();
    assert!(cells <= named.stacks.len());
}

fn mutant(whole: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=dice.next() % 4 {
        let at = dice.next() as usize % bytes.len().max(1);
        let length = (dice.next() as usize % 64).min(bytes.len() - at);
        let word = WORDS[dice.next() as usize % WORDS.len()];
        match dice.next() % 5 {
            0 => drop(bytes.drain(at..at + length)),
            1 => drop(bytes.splice(at..at, word.iter().copied())),
            2 => drop(bytes.splice(at..(at + word.len()).min(bytes.len()), word.iter().copied())),
            3 => {
                let copied = bytes[at..at + length].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = dice.next() as u8),
        }
    }
    bytes
}

fn keep_as_seed(form: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(form);
    std::fs::create_dir_all(&folder).unwrap();
    // A fuzzer learns more from a small file; what is cut off it makes up.
    let seed = &bytes[..bytes.len().min(SEED_MAX)];
    std::fs::write(folder.join(format!("from-tests-{}", seed.len())), seed).unwrap();
}
