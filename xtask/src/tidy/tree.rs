//! The files of the tree: their paths from the root and their text.
//!
//! Comes in: a folder. Goes out: every text file that git tracks or would track (in a checkout
//! without git: every file outside build and package folders). Nothing here knows a rule.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Folders that hold what was made or fetched, for a tree that git does not know.
const NOT_OURS: [&str; 4] = [".git", "target", "node_modules", "ebb-runs"];

/// Text files above this are data, not something a person wrote: 1 MiB.
const LARGEST_TEXT_BYTES: usize = 1 << 20;

/// The tree as tidy sees it.
pub(super) struct Tree {
    files: BTreeMap<String, String>,
    /// Files that are no text, or too large for one: pictures and data. They are there, and
    /// nothing more is asked of them.
    others: BTreeSet<String>,
}

impl Tree {
    /// Reads the tree below `root`.
    ///
    /// # Errors
    /// When a folder cannot be listed. A file that vanished since is left out.
    pub(super) fn read(root: &Path) -> Result<Tree> {
        let paths = match listed_by_git(root) {
            Some(paths) => paths,
            None => {
                let mut paths = Vec::new();
                walk(root, "", &mut paths)?;
                paths
            }
        };
        let (mut files, mut others) = (BTreeMap::new(), BTreeSet::new());
        for path in paths {
            let Ok(bytes) = std::fs::read(root.join(&path)) else { continue };
            match String::from_utf8(bytes) {
                Ok(text) if text.len() <= LARGEST_TEXT_BYTES => {
                    files.insert(path, text);
                }
                _ => {
                    others.insert(path);
                }
            }
        }
        Ok(Tree { files, others })
    }

    /// A tree made of (path, text) pairs.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Tree {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Tree { files: files.iter().map(own).collect(), others: BTreeSet::new() }
    }

    /// All files in the order of their paths.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether there is a file or a folder of this path.
    pub(super) fn holds(&self, path: &str) -> bool {
        let below = |file: &String| file.strip_prefix(path).is_some_and(|r| r.starts_with('/'));
        let here = self.files.contains_key(path) || self.others.contains(path);
        path.is_empty() || here || self.files.keys().chain(&self.others).any(below)
    }

    /// The folders at the top, hidden ones left out.
    pub(super) fn top_folders(&self) -> BTreeSet<&str> {
        let folders = self.files.keys().filter_map(|path| path.split_once('/'));
        folders.map(|(folder, _)| folder).filter(|folder| !folder.starts_with('.')).collect()
    }

    /// The modules that stand directly below `<folder>/src`, by name.
    pub(super) fn modules(&self, folder: &str) -> BTreeSet<&str> {
        let source = format!("{folder}/src/");
        self.files
            .keys()
            .filter_map(|path| path.strip_prefix(source.as_str()))
            .filter_map(|rest| match rest.split_once('/') {
                Some((module, file)) if file.ends_with(".rs") && module != "bin" => Some(module),
                Some(_) => None,
                None => rest.strip_suffix(".rs"),
            })
            .filter(|module| !matches!(*module, "lib" | "main"))
            .collect()
    }
}

/// What git tracks and what it would take; none when this is no checkout or git is not there.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(words).current_dir(root).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// Every file below a folder, except in folders that are not ours.
fn walk(root: &Path, below: &str, paths: &mut Vec<String>) -> Result<()> {
    let folder = root.join(below);
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry.with_context(|| folder.display().to_string())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type().with_context(|| path.clone())?;
        if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            walk(root, &path, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_files_and_folders_below_src() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", ""),
            ("a/src/one.rs", ""),
            ("a/src/two/mod.rs", ""),
            ("a/src/two/deep.rs", ""),
            ("a/src/page/index.html", ""),
            ("a/tests/three.rs", ""),
            ("docs/x.md", ""),
            (".ci/run", ""),
        ]);
        assert_eq!(tree.modules("a").into_iter().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(tree.top_folders().into_iter().collect::<Vec<_>>(), ["a", "docs"]);
    }

    #[test]
    fn a_tree_without_git_is_walked() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["src/a.rs", "target/b.rs", "x/node_modules/c.js"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "text").expect("a file");
        }
        let mut paths = Vec::new();
        walk(folder.path(), "", &mut paths).expect("a walk");
        assert_eq!(paths, ["src/a.rs"]);
    }
}
