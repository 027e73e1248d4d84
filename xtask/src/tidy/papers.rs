//! The papers: what a reader meets first must be there and must be true.
//!
//! Comes in: the tree. Goes out: findings: a paper missing, a README without its two commands,
//! a code map in ARCHITECTURE.md that is not the tree (both ways), a link that leads nowhere, a
//! scenario that does not say what it is for, a crate without a description. What else the papers
//! say is left to people.

use super::Finding;
use super::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Papers and what each must say.
const PAPERS: [(&str, &[&str]); 6] = [
    ("README.md", &["cargo run --release -- demo", "cargo xtask test"]),
    ("ARCHITECTURE.md", &["## Code map", "## Invariants"]),
    ("CONTRIBUTING.md", &["cargo xtask test"]),
    ("CHANGELOG.md", &["## [Unreleased]"]),
    ("LICENSE", &["MIT", "Apache"]),
    ("deny.toml", &["[licenses]", "[bans]", "[sources]"]),
];

/// ARCHITECTURE.md is read whole, before anything else.
const ARCHITECTURE_LINES: usize = 300;

/// Checks all papers.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (paper, sayings) in PAPERS {
        let Some(text) = tree.text(paper) else {
            findings.push(Finding::new(paper, 1, "is missing", "write it"));
            continue;
        };
        for saying in sayings.iter().filter(|saying| !text.contains(**saying)) {
            findings.push(Finding::new(paper, 1, format!("does not say `{saying}`"), "say it"));
        }
    }
    if let Some(text) = tree.text("ARCHITECTURE.md") {
        check_code_map(tree, text, findings);
    }
    for (path, text) in tree.files() {
        if path.starts_with("scenarios/") && path.ends_with(".toml") {
            check_scenario(path, text, findings);
        }
        if path.ends_with(".md") {
            check_links(tree, path, text, findings);
        }
        if path.ends_with("/Cargo.toml") && path.matches('/').count() == 1 {
            check_manifest(path, text, findings);
        }
    }
}

/// Links within the tree, as `[words](docs/adr)`: the file or folder must be there.
fn check_links(tree: &Tree, path: &str, text: &str, findings: &mut Vec<Finding>) {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for (index, line) in text.lines().enumerate() {
        for rest in line.split("](").skip(1) {
            let link = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            if !tree.holds(&resolve(folder, link)) {
                let what = format!("the link to `{link}` leads nowhere");
                findings.push(Finding::new(path, index + 1, what, "mend it or take it out"));
            }
        }
    }
}

/// A relative link as a path from the root.
fn resolve(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(link.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The head of a scenario: comment lines that say its purpose and the verdict to expect.
fn check_scenario(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
    let head = head.join(" ").to_lowercase();
    if !["verdict", "expect", "steady", "leaking"].iter().any(|word| head.contains(word)) {
        let what = "no header comment that says the purpose and what to expect";
        findings.push(Finding::new(path, 1, what, "open the file with it"));
    }
}

/// A crate says in its manifest what it is.
fn check_manifest(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let described = text.lines().any(|line| {
        line.strip_prefix("description = \"").is_some_and(|rest| rest.trim_end() != "\"")
    });
    if !described {
        findings.push(Finding::new(path, 1, "no description", "say what the crate is in a line"));
    }
}

/// Folders and modules, in the map and in the tree: each must be in both.
fn check_code_map(tree: &Tree, text: &str, findings: &mut Vec<Finding>) {
    let mut find = |line: usize, what: String, cure: &'static str| {
        findings.push(Finding::new("ARCHITECTURE.md", line, what, cure));
    };
    let lines = text.lines().count();
    if lines > ARCHITECTURE_LINES {
        find(1, format!("{lines} lines"), "say less, below 300");
    }
    let map = CodeMap::read(text);
    for folder in tree.top_folders() {
        let Some(named) = map.folders.get(folder) else {
            find(map.line, format!("the code map does not name `{folder}/`"), "add it");
            continue;
        };
        let modules = tree.modules(folder);
        for module in modules.iter().filter(|module| !named.contains_key(**module)) {
            find(
                map.line,
                format!("the code map has no module `{module}` in `{folder}/`"),
                "add it",
            );
        }
        for (module, line) in named.iter().filter(|(module, _)| !modules.contains(module.as_str()))
        {
            find(*line, format!("`{folder}/` has no module `{module}`"), "take it out");
        }
    }
    let folders: BTreeSet<&str> = tree.top_folders();
    for folder in map.folders.keys().filter(|folder| !folders.contains(folder.as_str())) {
        find(map.line, format!("the tree has no folder `{folder}/`"), "take it out");
    }
}

/// The section `## Code map`: a folder is a heading or a list item whose name ends in `/`; below
/// a folder's heading, list items name its modules, before the colon.
#[derive(Default)]
struct CodeMap {
    line: usize,
    folders: BTreeMap<String, BTreeMap<String, usize>>,
}

impl CodeMap {
    fn read(text: &str) -> CodeMap {
        let mut map = CodeMap { line: 1, ..CodeMap::default() };
        let mut inside = false;
        let mut current = String::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with("## ") {
                inside = line == "## Code map";
                map.line = if inside { index + 1 } else { map.line };
            }
            let item = line.strip_prefix("### ").or_else(|| line.strip_prefix("- "));
            let (true, Some(item)) = (inside, item) else { continue };
            let names = item.split(':').next().unwrap_or_default().split('`').skip(1).step_by(2);
            for name in names {
                if let Some(folder) = name.strip_suffix('/') {
                    folder.clone_into(&mut current);
                    map.folders.entry(current.clone()).or_default();
                } else if let Some(modules) = map.folders.get_mut(&current) {
                    modules.insert(name.to_owned(), index + 1);
                }
            }
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "# A\n## Code map\n\
                       ### `a/`\nWords on `it`.\n- `one`, `two`: what they `do`.\n\
                       ### The rest\n- `docs/`: words.\n## Invariants\n- `three`: no.\n";

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Vec::new();
        check(&Tree::of(files), &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    fn house<'a>(files: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut all = vec![
            ("README.md", "`cargo run --release -- demo` and `cargo xtask test`"),
            ("ARCHITECTURE.md", MAP),
            ("CONTRIBUTING.md", "cargo xtask test"),
            ("CHANGELOG.md", "## [Unreleased]"),
            ("LICENSE", "MIT OR Apache-2.0"),
            ("deny.toml", "[licenses]\n[bans]\n[sources]"),
            ("a/Cargo.toml", "description = \"An a.\""),
            ("a/src/lib.rs", ""),
            ("a/src/one.rs", ""),
            ("a/src/two/mod.rs", ""),
            ("docs/b.md", ""),
        ];
        for (path, text) in files {
            all.retain(|(own, _)| own != path);
            all.push((path, text));
        }
        all
    }

    #[test]
    fn a_house_in_order_has_no_finding() {
        assert_eq!(findings(&house(&[])), Vec::<String>::new());
        for (path, text) in [
            ("scenarios/x.toml", "# Proves that it is steady.\nschema = 1\n"),
            ("docs/b.md", "[a](../README.md#two) [b](../a/src) [c](https://example.org/d)"),
        ] {
            let map = MAP.replace("- `docs/`", "- `docs/`, `scenarios/`");
            let mut files = house(&[(path, text)]);
            if path.starts_with("scenarios/") {
                files.retain(|(path, _)| *path != "ARCHITECTURE.md");
                files.push(("ARCHITECTURE.md", &map));
            }
            assert_eq!(findings(&files), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn what_is_missing_or_untrue_is_found() {
        for (path, text, expected) in [
            ("README.md", "cargo xtask test", "README.md:1: does not say `cargo run --release"),
            (
                "docs/b.md",
                "a\n[c](../a/src/four.rs)",
                "docs/b.md:2: the link to `../a/src/four.rs`",
            ),
            ("CHANGELOG.md", "", "does not say `## [Unreleased]`"),
            ("a/src/three.rs", "", "ARCHITECTURE.md:2: the code map has no module `three` in `a/`"),
            ("b/src/lib.rs", "", "the code map does not name `b/`"),
            (
                "ARCHITECTURE.md",
                "## Code map\n- `a/`, `docs/`, `c/`: x\n## Invariants",
                "no folder `c/`",
            ),
            (
                "ARCHITECTURE.md",
                "## Code map\n- `docs/`:\n### `a/`\n- `four`:\n## Invariants",
                "ARCHITECTURE.md:4: `a/` has no module `four`",
            ),
            ("scenarios/x.toml", "schema = 1", "scenarios/x.toml:1: no header comment"),
            ("a/Cargo.toml", "description = \"\"", "no description"),
        ] {
            let found = findings(&house(&[(path, text)]));
            assert!(
                found.iter().any(|finding| finding.contains(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn a_missing_paper_is_found() {
        let without: Vec<_> =
            house(&[]).into_iter().filter(|(path, _)| *path != "LICENSE").collect();
        assert_eq!(findings(&without), ["LICENSE:1: is missing (write it)"]);
    }
}
