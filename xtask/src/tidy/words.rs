//! The words of the house: names that say nothing, and names that say it in another language.
//!
//! Comes in: one source. Goes out: findings on the names that it defines: types, modules,
//! functions. Names that come from elsewhere are free, and so are words in text.

use super::Finding;
use super::source::Source;

/// Words in a type's name that tell nothing about it, or that the glossary replaces.
const TYPE_WORDS: [(&str, &str); 16] = [
    ("Manager", "say what it does, as a noun"),
    ("Handler", "say what it does, as a noun"),
    ("Helper", "say what it does, as a noun"),
    ("Data", "say what it is"),
    ("Info", "say what it is"),
    ("Util", "say what it does"),
    ("Utils", "say what it does"),
    ("Script", "say scenario"),
    ("Attack", "say scenario"),
    ("Runner", "say executor"),
    ("Qps", "say arrival rate"),
    ("Assertion", "say check or threshold"),
    ("Sla", "say threshold"),
    ("Callsite", "say site"),
    ("Category", "say kind"),
    ("Delta", "say diff or growth"),
];

/// Modules that things are put into because nobody knew where they belong.
const MODULE_WORDS: [&str; 8] =
    ["common", "core", "util", "utils", "helper", "helpers", "types", "misc"];

/// Checks the names of modules, types and functions.
pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let stem = source.path.trim_end_matches(".rs");
    for part in stem.split('/') {
        check_module(&source.path, 1, part, findings);
    }
    for three in source.tokens.windows(3) {
        let (Some(keyword), Some(name)) = (three[0].word(), three[1].word()) else { continue };
        let line = three[1].line;
        match keyword {
            "mod" => check_module(&source.path, line, name, findings),
            // The name of an associated type is the trait's choice, which is seldom ours.
            "type" if three[0].depth > 0 => {}
            "struct" | "enum" | "trait" | "type" | "union" => {
                check_type(&source.path, line, name, findings);
            }
            "fn" if name.starts_with("get_") => {
                let what = format!("function `{name}`");
                findings.push(Finding::new(&source.path, line, what, "leave `get_` away"));
            }
            _ => {}
        }
    }
}

fn check_module(path: &str, line: usize, name: &str, findings: &mut Vec<Finding>) {
    if MODULE_WORDS.contains(&name) {
        let what = format!("module `{name}`");
        findings.push(Finding::new(path, line, what, "name it after what it is for"));
    }
}

fn check_type(path: &str, line: usize, name: &str, findings: &mut Vec<Finding>) {
    for (word, cure) in TYPE_WORDS {
        if parts_of(name).any(|part| part == word) {
            let what = format!("type `{name}` has `{word}` in it");
            findings.push(Finding::new(path, line, what, cure));
        }
    }
}

/// `HeapData` as `Heap`, `Data`.
fn parts_of(name: &str) -> impl Iterator<Item = &str> {
    let mut starts: Vec<usize> =
        name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(at, _)| at).collect();
    starts.push(name.len());
    (0..starts.len() - 1).map(move |index| &name[starts[index]..starts[index + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings_of;

    fn count(path: &str, text: &str) -> usize {
        findings_of(&[(path, text)], |sources, out| check(&sources[0], out)).len()
    }

    #[test]
    fn empty_and_foreign_words_are_found() {
        for (path, text) in [
            ("a/src/utils.rs", ""),
            ("a/src/common/b.rs", ""),
            ("a/src/b.rs", "mod helpers { }"),
            ("a/src/b.rs", "pub struct SessionManager;"),
            ("a/src/b.rs", "enum RequestInfo {}"),
            ("a/src/b.rs", "trait EventHandler {}"),
            ("a/src/b.rs", "type HeapDelta = i64;"),
            ("a/src/b.rs", "struct Runner { a: u8 }"),
            ("a/src/b.rs", "fn get_site() {}"),
        ] {
            assert_eq!(count(path, text), 1, "{path}: {text}");
        }
    }

    #[test]
    fn what_only_looks_like_them_is_left_alone() {
        for text in [
            "struct Database; struct Information; struct Scripted;",
            "fn get() {} fn target_of() {} fn widget_a() {}",
            "use tokio::runtime::Handle; use x::EventData;",
            "impl Body for A { type Data = Bytes; }",
            "fn a() { let helpers = map.get_mut(\"SessionManager\"); }",
        ] {
            assert_eq!(count("a/src/b.rs", text), 0, "{text}");
        }
    }
}
