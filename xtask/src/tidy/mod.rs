//! `cargo xtask tidy`: the rules of the house, checked over every file of the tree.
//!
//! Comes in: the files that git knows or would take. Goes out: findings, each with its place, what
//! is wrong and the cure; none is success. The order below is the path of the data: the tree is
//! read, Rust files become tokens, each rule looks at what it needs and knows of no other rule.
//! Layout and lints are left to rustfmt and clippy.

mod tree;

mod source;

mod edges;
mod habits;
mod papers;
mod places;
mod purity;
mod shape;
mod strangers;
mod words;

use anyhow::{Result, bail};
use source::Source;
use std::fmt;
use tree::Tree;

/// One broken rule at one place.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Finding {
    /// Path from the root.
    file: String,
    /// Line, counted from 1.
    line: usize,
    /// What is wrong.
    what: String,
    /// What to do about it.
    cure: &'static str,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>, cure: &'static str) -> Finding {
        Finding { file: file.to_owned(), line, what: what.into(), cure }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, what, cure } = self;
        write!(out, "{file}:{line}: {what} ({cure})")
    }
}

/// Checks the whole tree and prints what it finds.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(&crate::paths::root())?;
    let findings = check(&tree, &places::of_this_machine());
    for finding in &findings {
        println!("{finding}");
    }
    println!("{}", shape::measure(tree.files().filter(|(path, _)| path.ends_with(".rs"))));
    match findings.len() {
        0 => Ok(()),
        1 => bail!("tidy: 1 finding"),
        count => bail!("tidy: {count} findings"),
    }
}

/// All findings, sorted by place. Pure: `machine` are the places no file may name.
fn check(tree: &Tree, machine: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = Source::parse_all(tree, &mut findings);
    for source in &sources {
        shape::check(source, &mut findings);
        words::check(source, &mut findings);
        habits::check(source, &mut findings);
        purity::check(source, &mut findings);
    }
    edges::check_manifests(tree, &mut findings);
    edges::check_sources(&sources, &mut findings);
    strangers::check(&sources, &mut findings);
    papers::check(tree, &mut findings);
    places::check(tree, machine, &mut findings);
    findings.sort();
    findings.dedup();
    findings
}

/// Runs one rule's check in a test: the findings for files given as (path, text).
#[cfg(test)]
fn findings_of(files: &[(&str, &str)], rule: impl Fn(&[Source], &mut Vec<Finding>)) -> Vec<String> {
    let mut findings = Vec::new();
    let sources = Source::parse_all(&Tree::of(files), &mut findings);
    rule(&sources, &mut findings);
    findings.iter().map(ToString::to_string).collect()
}
