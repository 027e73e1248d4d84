//! Folding: a profile of thousands of stacks becomes a list of sites, the places in the user's
//! own code that keep memory alive. In: a profile, the names of its locations, rules of what is
//! own. Out: [`Folded`]. Comparing two of them is left to `diff`. Pure.
//!
//! The site of a stack is its innermost own frame; without one, the innermost frame outside the
//! allocator and the language's library. Closures count as the function they were written in.

use crate::frame::{Frame, Symbols, enclosing_function, short_file};
use crate::hash::{self, Quick};
use crate::kind::{Asked, Evidence, KindTable};
use crate::own::{Ownership, Role};
use crate::place::{Places, Seen, Spot};
use crate::profile::{Aged, Cell, Form, Profile, StackSample};
use ebbtide_record::Kind;
use ebbtide_record::verdict::FrameLine;
use std::collections::HashMap;

/// Stacks of a site, the largest first, that are asked for its kind.
const STACKS_ASKED: usize = 4;

/// The share of the largest's bytes that a stack must hold to be asked: what a site hardly holds
/// says nothing of the rest, however plain its name.
const STACKS_SHARE: f64 = 0.1;

/// Frames of a stack that are kept for showing.
pub const STACK_SHOWN: usize = 64;

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
    /// The form of file it was read from, where it came from one.
    pub form: Option<Form>,
    /// Mean bytes between two samples; 1.0 means that each allocation is counted.
    pub interval_bytes: f64,
    /// Live bytes of all sites.
    pub live_bytes: f64,
    /// Live objects of all sites, where the snapshot counts them.
    pub live_objects: Option<f64>,
    /// Sites, the one with most live bytes first.
    pub sites: Vec<FoldedSite>,
    /// Upper ends of the brackets of ages, seconds, as in [`crate::profile::Ages`]; empty where
    /// the snapshot tells none.
    pub age_bounds_s: Vec<f64>,
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
    /// It is the user's own code. False where no own frame is on the stack.
    pub own: bool,
    /// One cell per full stack.
    pub cells: Vec<FoldedCell>,
    /// For each cell, the first stack of the profile that went into it.
    pub origins: Vec<u32>,
    /// What is live by cell and age, where the snapshot tells ages.
    pub ages: Vec<Aged>,
    /// The stack of the largest cell, the allocating end first, without the allocator's own
    /// frames, at most [`STACK_SHOWN`].
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

/// Folds a profile into sites.
#[must_use]
pub fn fold(profile: &Profile, symbols: &Symbols, rules: &SiteRules) -> Folded {
    let mut folding = Folding::new(profile, symbols, rules);
    // Which cell each stack went into, where anybody will ask.
    let mut taken_of = Vec::new();
    for (index, stack) in profile.stacks.iter().enumerate() {
        let taken = folding.take(index, stack);
        if profile.ages.is_some() {
            taken_of.push(taken);
        }
    }
    let mut kinds = KindTable::default();
    let ages = folding.aged(&taken_of);
    let mut built = folding.gather();
    for (site, row) in ages {
        built[site].ages.push(row);
    }
    let mut sites: Vec<FoldedSite> =
        built.into_iter().map(|building| folding.finish(building, &mut kinds)).collect();
    let bytes: HashMap<String, f64, Quick> =
        sites.iter().map(|site| (site.id.clone(), site.total().live_bytes)).collect();
    sites.sort_by(|a, b| bytes[&b.id].total_cmp(&bytes[&a.id]).then_with(|| a.id.cmp(&b.id)));
    let notes = profile.notes.iter().chain(&symbols.notes).cloned().collect();
    Folded {
        form: profile.form,
        interval_bytes: profile.interval_bytes,
        live_bytes: profile.live_bytes(),
        live_objects: profile.live_objects(),
        sites,
        age_bounds_s: profile.ages.as_ref().map(|ages| ages.bounds_s.clone()).unwrap_or_default(),
        notes,
    }
}

/// A site while stacks are taken in.
struct Building {
    function: String,
    file: String,
    own: bool,
    /// Cells that it will have.
    count: usize,
    cells: Vec<FoldedCell>,
    /// For each cell, the first stack that went into it, and where in it the site is.
    origins: Vec<Origin>,
    /// What is of which cell and age.
    ages: Vec<Aged>,
}

/// A cell on its way to its site.
struct Taken {
    site: usize,
    cell: FoldedCell,
    origin: Origin,
}

#[derive(Clone, Copy)]
struct Origin {
    /// Index into the profile's stacks.
    stack: usize,
    /// Index into the locations of the stack.
    location: usize,
    /// Index into the frames of the location.
    frame: usize,
    /// Its line.
    line: u32,
}

struct Folding<'a> {
    profile: &'a Profile,
    symbols: &'a Symbols,
    rules: &'a SiteRules,
    places: Places,
    sites: Vec<Building>,
    /// By location and frame.
    site_at: HashMap<(u32, usize), usize, Quick>,
    /// By function and file.
    site_named: HashMap<(String, String), usize, Quick>,
    /// Cells in the order in which their stacks came; handed to the sites when all are there.
    taken: Vec<Taken>,
    /// By hash of the stack.
    cell_of: HashMap<u64, u32, Quick>,
    /// Go wrote it, with a row for each stack and size.
    of_go: bool,
}

impl<'a> Folding<'a> {
    fn new(profile: &'a Profile, symbols: &'a Symbols, rules: &'a SiteRules) -> Self {
        let frames = symbols.frames.iter().flat_map(|frames| frames.iter().map(AsRef::as_ref));
        let ownership = Ownership::new(&rules.own, frames);
        Self {
            profile,
            symbols,
            rules,
            places: Places::of(profile, symbols, &ownership),
            sites: Vec::new(),
            site_at: HashMap::default(),
            site_named: HashMap::default(),
            taken: Vec::with_capacity(profile.stacks.len()),
            cell_of: HashMap::with_capacity_and_hasher(profile.stacks.len(), Quick::default()),
            of_go: is_of_go(profile, symbols),
        }
    }

    /// Takes a stack in; returns which of the cells on their way it went into.
    fn take(&mut self, index: usize, stack: &StackSample) -> u32 {
        let hash = self.hash(stack);
        if let Some(at) = self.cell_of.get(&hash) {
            self.taken[*at as usize].cell.cell.add(&stack.cell);
            return *at;
        }
        let origin = self.origin(index, stack);
        let site = self.site(stack, origin);
        let at = self.taken.len() as u32;
        self.cell_of.insert(hash, at);
        self.sites[site].count += 1;
        let cell = FoldedCell { stack: hash, cell: stack.cell };
        self.taken.push(Taken { site, cell, origin });
        at
    }

    /// The ages of each site's cells: the site, and a row whose index is that of the cell in it.
    fn aged(&self, taken_of: &[u32]) -> Vec<(usize, Aged)> {
        let Some(ages) = &self.profile.ages else { return Vec::new() };
        let mut counts = vec![0; self.sites.len()];
        let place_of: Vec<u32> = self
            .taken
            .iter()
            .map(|taken| {
                counts[taken.site] += 1;
                counts[taken.site] - 1
            })
            .collect();
        let of = |row: &Aged| {
            let taken = *taken_of.get(row.at as usize)? as usize;
            Some((self.taken[taken].site, Aged { at: place_of[taken], ..*row }))
        };
        ages.rows.iter().filter_map(of).collect()
    }

    /// The hash of a stack. Go's compiler makes tables and what is in them on the same line, so
    /// there the size of the objects is part of it, roughly: a table that doubles is one object
    /// of another size each time.
    fn hash(&self, stack: &StackSample) -> u64 {
        let hash = self.places.hash(&stack.frames);
        if self.of_go { hash::join(hash, magnitude(stack)) } else { hash }
    }

    /// Hands each cell to its site.
    fn gather(&mut self) -> Vec<Building> {
        let mut sites = std::mem::take(&mut self.sites);
        for site in &mut sites {
            site.cells.reserve_exact(site.count);
            site.origins.reserve_exact(site.count);
        }
        for Taken { site, cell, origin } in self.taken.drain(..) {
            sites[site].cells.push(cell);
            sites[site].origins.push(origin);
        }
        sites
    }

    /// Where in a stack its site is.
    fn origin(&self, index: usize, stack: &StackSample) -> Origin {
        let innermost = |spots: &[Option<Spot>]| {
            let mut locations = stack.frames.iter().enumerate();
            locations.find_map(|(at, location)| Some((at, (*spots.get(*location as usize)?)?)))
        };
        let found = innermost(&self.places.own)
            .or_else(|| innermost(&self.places.library))
            .or_else(|| self.nameless(stack));
        if let Some((location, Spot { frame, line })) = found {
            return Origin { stack: index, location, frame: frame as usize, line };
        }
        let location = stack.frames.len().saturating_sub(1);
        let frames =
            stack.frames.get(location).and_then(|at| self.symbols.frames.get(*at as usize));
        let line = frames.and_then(|frames| frames.first()).map_or(0, |frame| frame.line);
        Origin { stack: index, location, frame: 0, line }
    }

    /// The innermost frame without a name: more of a stripped program's than what it was started
    /// by, which has one.
    fn nameless(&self, stack: &StackSample) -> Option<(usize, Spot)> {
        let frames = |at: u32| self.symbols.frames.get(at as usize).and_then(|f| f.first());
        let nameless = |at: &u32| frames(*at).is_some_and(|frame| !frame.has_name());
        stack
            .frames
            .iter()
            .position(nameless)
            .map(|location| (location, Spot { frame: 0, line: 0 }))
    }

    fn site(&mut self, stack: &StackSample, origin: Origin) -> usize {
        let location = stack.frames.get(origin.location).copied().unwrap_or(u32::MAX);
        if let Some(site) = self.site_at.get(&(location, origin.frame)) {
            return *site;
        }
        let (function, file) = self.name(location, origin.frame);
        let own = self.places.own.get(location as usize).is_some_and(Option::is_some);
        let next = self.sites.len();
        let site = *self.site_named.entry((function.clone(), file.clone())).or_insert(next);
        if site == next {
            let (cells, origins) = (Vec::new(), Vec::new());
            let ages = Vec::new();
            self.sites.push(Building { function, file, own, count: 0, cells, origins, ages });
        }
        self.site_at.insert((location, origin.frame), site);
        site
    }

    /// Function and file of a site, closures folded into the function around them.
    fn name(&self, location: u32, frame: usize) -> (String, String) {
        let frames = self.symbols.frames.get(location as usize).map_or(&[][..], |f| f);
        let Some(first) = frames.get(frame) else {
            return ("[empty stack]".to_owned(), String::new());
        };
        if !first.has_name() {
            return (self.unnamed(location), short_file(&first.file));
        }
        // Where line tables are all there is, a closure has no name but `{closure#0}`.
        let function = frames[frame..]
            .iter()
            .filter(|outer| outer.file == first.file)
            .map(|outer| enclosing_function(&outer.function))
            .find(|function| !function.is_empty())
            .unwrap_or_else(|| first.function.clone());
        (function, short_file(&first.file))
    }

    fn unnamed(&self, location: u32) -> String {
        let mapping = self
            .profile
            .locations
            .get(location as usize)
            .and_then(|location| self.profile.mappings.get(location.mapping? as usize));
        let file = mapping.map_or("unknown code", |mapping| mapping.file.as_str());
        let name = file.rsplit('/').find(|part| !part.is_empty()).unwrap_or("unknown code");
        format!("[no symbols: {name}]")
    }

    fn frames(&self, stack: usize) -> impl Iterator<Item = (&'a Frame, Seen)> + Clone {
        let symbols = self.symbols;
        self.profile.stacks[stack].frames.iter().flat_map(move |location| {
            let at = *location as usize;
            let frames = symbols.frames.get(at).map_or(&[][..], |frames| frames);
            let seen = self.places.frames.get(at).map_or(&[][..], |seen| seen);
            frames.iter().map(AsRef::as_ref).zip(seen.iter().copied())
        })
    }

    fn finish(&self, building: Building, kinds: &mut KindTable) -> FoldedSite {
        let largest = largest(&building.cells);
        let origin = building.origins[largest[0]];
        let stack = self
            .frames(origin.stack)
            .skip_while(|(_, seen)| seen.role == Role::Allocator)
            .take(STACK_SHOWN)
            .map(|(frame, seen)| self.line(frame, seen));
        FoldedSite {
            id: id(&building.function, &building.file),
            line: main_line(&building),
            kind: self.kind(&building, &largest, kinds),
            own: building.own,
            origins: building.origins.iter().map(|origin| origin.stack as u32).collect(),
            stack: stack.collect(),
            function: building.function,
            file: building.file,
            cells: building.cells,
            ages: building.ages,
        }
    }

    fn line(&self, frame: &Frame, seen: Seen) -> FrameLine {
        FrameLine {
            function: frame.function.clone(),
            file: self.places.names[seen.name as usize].file.as_ref().to_owned(),
            line: frame.line,
            own: seen.role == Role::Own,
        }
    }

    /// The kind with the best evidence among the largest stacks; of equal evidence, the one with
    /// most bytes.
    fn kind(&self, building: &Building, largest: &[usize], kinds: &mut KindTable) -> Kind {
        let mut bytes: HashMap<(Evidence, Kind), f64> = HashMap::new();
        let live = |at: &usize| building.cells[*at].cell.live_bytes;
        let least = largest.first().map_or(0.0, live) * STACKS_SHARE;
        for at in largest.iter().filter(|at| live(at) >= least) {
            let origin = building.origins[*at];
            let locations = &self.profile.stacks[origin.stack].frames;
            let before: usize = locations
                .iter()
                .take(origin.location)
                .map(|location| self.symbols.frames.get(*location as usize).map_or(0, |f| f.len()))
                .sum();
            let stack = self.frames(origin.stack).map(|(frame, seen)| Asked {
                frame,
                own: seen.role == Role::Own,
                name: seen.name as usize,
            });
            let found = kinds.of_asked(stack, before + origin.frame, &self.rules.kinds);
            *bytes.entry(found).or_default() += building.cells[*at].cell.live_bytes;
        }
        let best = bytes.iter().min_by(|a, b| {
            let evidence = a.0.0.cmp(&b.0.0);
            evidence.then_with(|| b.1.total_cmp(a.1)).then_with(|| a.0.1.cmp(&b.0.1))
        });
        best.map_or(Kind::Other, |((_, kind), _)| *kind)
    }
}

/// Go's compiler alone names sources so.
fn is_of_go(profile: &Profile, symbols: &Symbols) -> bool {
    let mut frames = symbols.frames.iter().flat_map(|frames| frames.iter());
    profile.form == Some(Form::Pprof) && frames.any(|frame| frame.file.ends_with(".go"))
}

/// How large the objects of a row are, as a power of two: as Go says it, or else by all that were
/// ever made, where they are counted, since those do not all go. That ratio is rounded by Go, and
/// changes while there are few.
fn magnitude(stack: &StackSample) -> u64 {
    let cell = &stack.cell;
    let all = cell.alloc_bytes.zip(cell.alloc_objects);
    let live = (Some(cell.live_bytes)).zip(cell.live_objects);
    let mut sizes = all.into_iter().chain(live).filter(|(_, objects)| *objects > 0.0);
    let size = match stack.object_bytes {
        Some(bytes) => Some(bytes as f64),
        None => sizes.next().map(|(bytes, objects)| bytes / objects),
    };
    // Half a step aside: most sizes are powers of two.
    size.map_or(0, |size| size.log2().round().max(0.0) as u64)
}

pub(crate) fn line(frame: &Frame, role: Role) -> FrameLine {
    FrameLine {
        function: frame.function.clone(),
        file: short_file(&frame.file),
        line: frame.line,
        own: role == Role::Own,
    }
}

/// The line that holds most bytes; of equal ones the first.
fn main_line(building: &Building) -> u32 {
    let cells = building.cells.iter().zip(&building.origins);
    let mut lines: Vec<(u32, f64)> =
        cells.map(|(cell, origin)| (origin.line, cell.cell.live_bytes)).collect();
    lines.sort_by_key(|(line, _)| *line);
    let sums = lines
        .chunk_by(|a, b| a.0 == b.0)
        .map(|same| (same[0].0, same.iter().map(|(_, bytes)| bytes).sum::<f64>()));
    let largest = sums.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    largest.map_or(0, |(line, _)| line)
}

/// Indices of the largest cells, the largest first, of equal ones the first.
fn largest(cells: &[FoldedCell]) -> Vec<usize> {
    let by_size = |a: &usize, b: &usize| {
        let bytes = |at: &usize| cells[*at].cell.live_bytes;
        bytes(b).total_cmp(&bytes(a)).then(a.cmp(b))
    };
    let mut indices: Vec<usize> = (0..cells.len()).collect();
    if indices.len() > STACKS_ASKED {
        indices.select_nth_unstable_by(STACKS_ASKED - 1, by_size);
        indices.truncate(STACKS_ASKED);
    }
    indices.sort_by(by_size);
    indices
}

/// The identifier of a site: lines are no part of it, so that it survives an edit nearby.
#[must_use]
pub fn id(function: &str, file: &str) -> String {
    format!("{:016x}", hash::of(format!("{function}|{file}").as_bytes()))
}
