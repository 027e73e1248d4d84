//! Places that belong to one machine: the folder of a checkout, a home, a package registry.
//!
//! Comes in: all text files, and where this checkout stands. Goes out: a finding for each line
//! that names such a place. What is true on one machine alone has no business in the tree.

use super::Finding;
use super::tree::Tree;
use std::path::Path;

/// Folders every machine has: a checkout that stands in one of them says nothing.
const EVERYWHERE: [&str; 8] =
    ["/", "/home", "/mnt", "/opt", "/srv", "/tmp", "/usr/src", "/var/tmp"];

/// Settings that bind a build to one registry: (how the path ends, what it may not say).
const REGISTRY_SETTINGS: [(&str, &str); 5] = [
    ("package-lock.json", "\"resolved\""),
    (".npmrc", "registry="),
    (".npmrc", "//"),
    (".cargo/config.toml", "[source"),
    (".cargo/config.toml", "[registr"),
];

/// The places of this machine that no file may name: the checkout, the folder it stands in, the
/// home of who works on it.
pub(super) fn of_this_machine() -> Vec<String> {
    let root = crate::paths::root();
    let home = std::env::var_os("HOME").unwrap_or_default();
    places(&root, Path::new(&home))
}

/// Those of the three that are not on every machine.
fn places(root: &Path, home: &Path) -> Vec<String> {
    let own =
        |path: &&Path| path.is_absolute() && !EVERYWHERE.iter().any(|e| Path::new(e) == *path);
    let mut places: Vec<String> = [Some(root), root.parent(), Some(home)]
        .into_iter()
        .flatten()
        .filter(own)
        .map(|path| format!("{}/", path.display()))
        .collect();
    places.sort();
    places.dedup();
    places
}

/// Checks every text file for the places given and for settings of a registry.
pub(super) fn check(tree: &Tree, machine: &[String], findings: &mut Vec<Finding>) {
    for (path, text) in tree.files() {
        for (index, line) in text.lines().enumerate() {
            if let Some(place) = machine.iter().find(|place| names(line, place)) {
                let what = format!("names `{place}` of this machine");
                findings.push(Finding::new(
                    path,
                    index + 1,
                    what,
                    "write it relative, or invent one",
                ));
            }
            let set = REGISTRY_SETTINGS
                .iter()
                .find(|(end, word)| path.ends_with(end) && line.contains(word));
            if let Some((_, word)) = set {
                let what = format!("`{word}` binds to one registry");
                findings.push(Finding::new(
                    path,
                    index + 1,
                    what,
                    "leave the registry to the machine",
                ));
            }
        }
    }
}

/// Whether the path begins in the line, rather than being the middle of another.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-~}".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_is_a_place_and_a_common_folder_is_none() {
        for (root, home, expected) in [
            ("/data/me/ebbtide", "/home/me", vec!["/data/me/", "/data/me/ebbtide/", "/home/me/"]),
            ("/tmp/ebbtide", "/", vec!["/tmp/ebbtide/"]),
        ] {
            assert_eq!(places(Path::new(root), Path::new(home)), expected);
        }
    }

    #[test]
    fn places_and_registries_are_found() {
        let machine = ["/data/me/".to_owned()];
        for (path, text, expected) in [
            ("docs/a.md", "see /data/me/ebbtide/x\nand /data/you", 1),
            ("docs/a.md", "see /home/you/data/me/x and ~/data/me/x", 0),
            ("x/package-lock.json", "\"resolved\": \"https://r.example/a.tgz\"", 1),
            ("x/.npmrc", "registry=https://r.example", 2),
            ("x/.npmrc", "omit-lockfile-registry-resolved=true", 0),
            (".cargo/config.toml", "[source.crates-io]", 1),
            ("Cargo.lock", "source = \"registry+https://example.org/index\"", 0),
        ] {
            let mut findings = Vec::new();
            check(&Tree::of(&[(path, text)]), &machine, &mut findings);
            assert!(findings.len().min(1) == expected.min(1), "{path}: {findings:?}");
        }
    }
}
