//! Folding: a profile of thousands of stacks becomes a list of sites, the places in the user's
//! own code that keep memory alive. In: a profile, the names of its locations, rules of what is
//! own. Out: [`Folded`]. Comparing two of them is left to `diff`. Pure.

use crate::profile::Cell;
use ebbtide_record::Kind;
use ebbtide_record::verdict::FrameLine;

/// What counts as the user's own code, and which kinds the user has named.
#[derive(Clone, Debug, Default)]
pub struct SiteRules {
    /// Path prefixes (or folders inside a path) of own code. When given, nothing else is own.
    pub own: Vec<String>,
    /// A frame whose function or file contains the text makes the site of that kind. Asked
    /// before the built-in rules.
    pub kinds: Vec<(String, Kind)>,
}

/// A snapshot by site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    /// Mean bytes between two samples; 1.0 means that each allocation is counted.
    pub interval_bytes: f64,
    /// Live bytes of all sites.
    pub live_bytes: f64,
    /// Live objects of all sites.
    pub live_objects: f64,
    /// Sites, the one with most live bytes first.
    pub sites: Vec<FoldedSite>,
    /// What stands against trust in it, in words: missing symbols and the like.
    pub notes: Vec<String>,
}

/// One place in the user's own code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoldedSite {
    /// Hash of `function|file`, 16 hexadecimal digits. Lines are no part of it.
    pub id: String,
    /// The function, closures folded into it.
    pub function: String,
    /// Its file, from the folder of its crate or package on; empty when unknown.
    pub file: String,
    /// The line of it that holds most bytes; 0 when unknown.
    pub line: u32,
    /// What it holds, by the names of its frames.
    pub kind: Kind,
    /// One cell per full stack.
    pub cells: Vec<FoldedCell>,
    /// The stack of the largest cell, the allocating end first.
    pub stack: Vec<FrameLine>,
}

impl FoldedSite {
    /// The sum of its cells.
    #[must_use]
    pub fn total(&self) -> Cell {
        Cell::sum(self.cells.iter().map(|cell| &cell.cell)).unwrap_or_default()
    }
}

/// What one full stack of a site holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FoldedCell {
    /// Hash of the full stack by function, file and line: the same in each snapshot of a program.
    pub stack: u64,
    /// What it holds.
    pub cell: Cell,
}
