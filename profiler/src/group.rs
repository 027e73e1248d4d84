//! Sites put together to other rows: by function, module or kind, or taken apart to stacks. In:
//! a snapshot by site. Out: the same in the same form, so that `diff` compares either. What is
//! shown of the rows, and in which order, is left to the caller. Pure.

use crate::hash;
use crate::profile::Cell;
use crate::site::{Folded, FoldedSite};
use crate::stacks::Stacks;
use std::collections::HashMap;
use std::sync::Arc;

/// What a row of a comparison stands for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Grouping {
    /// A function in a file: the place in the user's own code.
    #[default]
    Site,
    /// A function wherever it stands: for snapshots that name files differently.
    Function,
    /// A full stack.
    Stack,
    /// The module, package or file that the site's function belongs to.
    Module,
    /// What sites hold.
    Kind,
}

/// A snapshot by other rows; `stacks` has those of the snapshot, and is asked by
/// [`Grouping::Stack`] alone.
#[must_use]
pub fn regroup(folded: &Folded, by: Grouping, stacks: &Stacks) -> Folded {
    let sites = match by {
        Grouping::Site => folded.sites.clone(),
        Grouping::Stack => by_stack(folded, stacks),
        Grouping::Function => joined(folded, |site| site.function.clone()),
        Grouping::Module => joined(folded, |site| module(&site.function, &site.file)),
        Grouping::Kind => joined(folded, |site| site.kind.key().to_owned()),
    };
    let mut grouped = Folded { sites, ..folded.clone() };
    for site in &mut grouped.sites {
        match by {
            Grouping::Site | Grouping::Stack => {}
            // Two files may have a function of that name: neither is named as the only one.
            Grouping::Function | Grouping::Module | Grouping::Kind => {
                (site.file, site.line) = (String::new(), 0);
            }
        }
    }
    grouped
}

/// The same of what was ever allocated in place of what is live. `None` when the snapshot does
/// not count that.
#[must_use]
pub fn cumulative(folded: &Folded) -> Option<Folded> {
    let mut ever = folded.clone();
    let (mut bytes, mut objects) = (0.0, Some(0.0));
    for cell in ever.sites.iter_mut().flat_map(|site| &mut site.cells) {
        cell.cell = Cell {
            live_bytes: cell.cell.alloc_bytes?,
            live_objects: cell.cell.alloc_objects,
            live_samples: cell.cell.alloc_samples,
            // Nothing goes from what was ever allocated: all that came is new.
            ..cell.cell
        };
        bytes += cell.cell.live_bytes;
        objects = objects.zip(cell.cell.live_objects).map(|(sum, more)| sum + more);
    }
    (ever.live_bytes, ever.live_objects) = (bytes, objects);
    Some(ever)
}

fn joined(folded: &Folded, name: impl Fn(&FoldedSite) -> String) -> Vec<FoldedSite> {
    let mut rows: Vec<FoldedSite> = Vec::new();
    let mut row_of: HashMap<String, usize> = HashMap::new();
    // Sites come with the largest first, so that a row's line, kind and stack are its largest's.
    for site in &folded.sites {
        let name = name(site);
        let next = rows.len();
        let place = *row_of.entry(name.clone()).or_insert(next);
        if place == next {
            let id = format!("{:016x}", hash::of(name.as_bytes()));
            rows.push(FoldedSite { id, function: name, ages: Vec::new(), ..site.clone() });
        } else {
            rows[place].own |= site.own;
            rows[place].cells.extend_from_slice(&site.cells);
            rows[place].origins.extend_from_slice(&site.origins);
        }
    }
    rows
}

fn by_stack(folded: &Folded, stacks: &Stacks) -> Vec<FoldedSite> {
    let rows: HashMap<u64, usize> =
        stacks.rows.iter().enumerate().map(|(place, row)| (row.id, place)).collect();
    let mut apart = Vec::new();
    for site in &folded.sites {
        for (cell, origin) in site.cells.iter().zip(&site.origins) {
            let row = rows.get(&cell.stack).map(|place| &stacks.rows[*place]);
            let stack = row.map_or_else(
                || site.stack.clone(),
                |row| stacks.lines(row).into_iter().map(Arc::new).collect(),
            );
            let at_site = stack.iter().find(|line| {
                line.file == site.file && line.function.starts_with(site.function.as_str())
            });
            apart.push(FoldedSite {
                id: format!("{:016x}", cell.stack),
                function: site.function.clone(),
                file: site.file.clone(),
                line: at_site.map_or(site.line, |line| line.line),
                kind: site.kind,
                own: site.own,
                cells: vec![*cell],
                ages: Vec::new(),
                origins: vec![*origin],
                stack,
            });
        }
    }
    apart
}

/// The module of a function, as its language says it: `chat::hub` of `chat::hub::Hub::join`,
/// `net/http` of `net/http.(*Server).Serve`; the file where names have no path.
#[must_use]
pub fn module(function: &str, file: &str) -> String {
    let place =
        if file.ends_with(".go") { go_package(function).to_owned() } else { path_before(function) };
    match (place.is_empty(), file.is_empty()) {
        (false, _) => place,
        (true, false) => file.to_owned(),
        (true, true) => function.to_owned(),
    }
}

/// Up to the first dot behind the last slash: dots before it are of a host's name.
fn go_package(function: &str) -> &str {
    let name = function.rfind('/').map_or(0, |slash| slash + 1);
    function[name..].find('.').map_or(function, |dot| &function[..name + dot])
}

/// The words of a path before its function, and before the type that has the function.
fn path_before(function: &str) -> String {
    // A path inside `<...>` names an implementor, and begins none.
    let plain = function.find(['<', '(']).map_or(function, |at| &function[..at]);
    let mut words: Vec<&str> = plain.split("::").collect();
    while words.last().is_some_and(|word| word.starts_with('{')) {
        words.pop();
    }
    // The last word is the function, or where generics began.
    words.pop();
    while words.last().is_some_and(|word| word.starts_with(char::is_uppercase)) {
        words.pop();
    }
    words.join("::")
}
