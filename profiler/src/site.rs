//! Folding: a profile of thousands of stacks becomes a list of sites, the places in the user's
//! own code that keep memory alive. In: a profile, the names of its locations, rules of what is
//! own. Out: [`Folded`]. Comparing two of them is left to `diff`. Pure.
//!
//! The site of a stack is its innermost own frame; without one, the innermost frame outside the
//! allocator and the language's library. Closures count as the function they were written in.

use crate::frame::{Frame, Symbols, enclosing_function, short_file};
use crate::hash::{self, Finder, Quick};
use crate::kind::{Asked, Evidence, KindTable};
use crate::own::{Ownership, Role};
use crate::place::{Places, Seen, Spot, Spots};
use crate::profile::{Aged, Cell, Form, Profile, StackSample};
use ebbtide_record::Kind;
use ebbtide_record::verdict::FrameLine;
use std::collections::HashMap;
use std::sync::Arc;

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
    pub stack: Vec<Arc<FrameLine>>,
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
        let taken = folding.take(index as u32, stack);
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
    let mut sites: Vec<(f64, FoldedSite)> =
        built.into_iter().map(|building| folding.finish(building, &mut kinds)).collect();
    sites.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let notes = profile.notes.iter().chain(&symbols.notes).cloned().collect();
    Folded {
        form: profile.form,
        interval_bytes: profile.interval_bytes,
        live_bytes: profile.live_bytes(),
        live_objects: profile.live_objects(),
        sites: sites.into_iter().map(|(_, site)| site).collect(),
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
    stack: u64,
    site: u32,
    origin: Origin,
}

#[derive(Clone, Copy)]
struct Origin {
    /// Index into the profile's stacks.
    stack: u32,
    /// Index into the locations of the stack.
    location: u32,
    /// Index into the frames of the location.
    frame: u32,
    /// Its line.
    line: u32,
}

struct Folding<'a> {
    profile: &'a Profile,
    symbols: &'a Symbols,
    rules: &'a SiteRules,
    places: Places,
    /// Frames as they are shown, by place: made once for all stacks that show them.
    lines: Vec<Option<Arc<FrameLine>>>,
    sites: Vec<Building>,
    /// By place: the site there, or [`UNSEEN`].
    site_at: Vec<u32>,
    /// By function and file.
    site_named: HashMap<(String, String), u32, Quick>,
    /// Cells in the order in which their stacks came; handed to the sites when all are there.
    taken: Vec<Taken>,
    /// Stacks that were there before: the index into `taken`, and that of the stack.
    again: Vec<(u32, u32)>,
    /// By hash of the stack.
    cell_of: Finder,
    /// Go wrote it, with a row for each stack and size.
    of_go: bool,
}

/// No stack has had its site here.
const UNSEEN: u32 = u32::MAX;

impl<'a> Folding<'a> {
    fn new(profile: &'a Profile, symbols: &'a Symbols, rules: &'a SiteRules) -> Self {
        let frames = symbols.frames.iter().flat_map(|frames| frames.iter().map(AsRef::as_ref));
        let ownership = Ownership::new(&rules.own, frames);
        let places = Places::of(profile, symbols, &ownership);
        Self {
            profile,
            symbols,
            rules,
            lines: vec![None; places.len()],
            site_at: vec![UNSEEN; places.len()],
            places,
            sites: Vec::new(),
            site_named: HashMap::default(),
            taken: Vec::with_capacity(profile.stacks.len()),
            again: Vec::new(),
            cell_of: Finder::with_room(profile.stacks.len()),
            of_go: is_of_go(profile, symbols),
        }
    }

    /// Takes a stack in; returns which of the cells on their way it went into.
    fn take(&mut self, index: u32, stack: &StackSample) -> u32 {
        let hash = self.hash(stack);
        let next = self.taken.len() as u32;
        let at = self.cell_of.find_or(hash, next, |at| self.taken[at as usize].stack);
        if at != next {
            self.again.push((at, index));
            return at;
        }
        let origin = self.origin(index, stack);
        let site = self.site(stack, origin);
        self.sites[site as usize].count += 1;
        self.taken.push(Taken { stack: hash, site, origin });
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
                let count = &mut counts[taken.site as usize];
                *count += 1;
                *count - 1
            })
            .collect();
        let of = |row: &Aged| {
            let taken = *taken_of.get(row.at as usize)? as usize;
            Some((self.taken[taken].site as usize, Aged { at: place_of[taken], ..*row }))
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
        let stacks = &self.profile.stacks;
        // Where in its site each cell went that more is to be added to.
        let mut again = std::mem::take(&mut self.again);
        again.sort_by_key(|(at, _)| *at);
        let mut again = again.into_iter().peekable();
        for (at, taken) in self.taken.drain(..).enumerate() {
            let mut cell = stacks[taken.origin.stack as usize].cell;
            while let Some((_, more)) = again.next_if(|(to, _)| *to as usize == at) {
                cell.add(&stacks[more as usize].cell);
            }
            let site = &mut sites[taken.site as usize];
            site.cells.push(FoldedCell { stack: taken.stack, cell });
            site.origins.push(taken.origin);
        }
        sites
    }

    /// Where in a stack its site is.
    fn origin(&self, index: u32, stack: &StackSample) -> Origin {
        let innermost = |spots: &Spots| spots.first(&stack.frames);
        let found = innermost(&self.places.own)
            .or_else(|| innermost(&self.places.library))
            .or_else(|| self.nameless(stack));
        if let Some((location, Spot { frame, line })) = found {
            return Origin { stack: index, location: location as u32, frame, line };
        }
        let location = stack.frames.len().saturating_sub(1);
        let frames =
            stack.frames.get(location).and_then(|at| self.symbols.frames.get(*at as usize));
        let line = frames.and_then(|frames| frames.first()).map_or(0, |frame| frame.line);
        Origin { stack: index, location: location as u32, frame: 0, line }
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

    fn site(&mut self, stack: &StackSample, origin: Origin) -> u32 {
        let location = stack.frames.get(origin.location as usize).copied().unwrap_or(u32::MAX);
        let place = self.places.range(location).nth(origin.frame as usize);
        let known = place.map_or(UNSEEN, |place| self.site_at[place]);
        if known != UNSEEN {
            return known;
        }
        let (function, file) = self.name(location, origin.frame as usize);
        let own = self.places.own.of(location).is_some();
        let next = self.sites.len() as u32;
        let site = *self.site_named.entry((function.clone(), file.clone())).or_insert(next);
        if site == next {
            let (cells, origins) = (Vec::new(), Vec::new());
            let ages = Vec::new();
            self.sites.push(Building { function, file, own, count: 0, cells, origins, ages });
        }
        if let Some(place) = place {
            self.site_at[place] = site;
        }
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

    /// The frames of a stack, the allocating end first, each with its place.
    fn frames(&self, stack: u32) -> impl Iterator<Item = (&'a Frame, usize)> + Clone {
        let symbols = self.symbols;
        self.profile.stacks[stack as usize].frames.iter().flat_map(move |location| {
            let frames = symbols.frames.get(*location as usize).map_or(&[][..], |frames| frames);
            frames.iter().map(AsRef::as_ref).zip(self.places.range(*location))
        })
    }

    /// The site, and its live bytes.
    fn finish(&mut self, building: Building, kinds: &mut KindTable) -> (f64, FoldedSite) {
        let largest = largest(&building.cells);
        let kind = self.kind(&building, &largest, kinds);
        let stack = self.shown(building.origins[largest[0]].stack);
        let site = FoldedSite {
            id: id(&building.function, &building.file),
            line: main_line(&building),
            kind,
            own: building.own,
            origins: building.origins.iter().map(|origin| origin.stack).collect(),
            stack,
            function: building.function,
            file: building.file,
            cells: building.cells,
            ages: building.ages,
        };
        (site.cells.iter().map(|cell| cell.cell.live_bytes).sum(), site)
    }

    /// A stack as it is shown.
    fn shown(&mut self, stack: u32) -> Vec<Arc<FrameLine>> {
        let mut lines = std::mem::take(&mut self.lines);
        let shown = self
            .frames(stack)
            .skip_while(|(_, place)| self.places.seen(*place).role == Role::Allocator)
            .take(STACK_SHOWN)
            .map(|(frame, place)| {
                let line = &mut lines[place];
                Arc::clone(line.get_or_insert_with(|| self.line(frame, place)))
            });
        let shown = shown.collect();
        self.lines = lines;
        shown
    }

    fn line(&self, frame: &Frame, place: usize) -> Arc<FrameLine> {
        let seen = self.places.seen(place);
        Arc::new(FrameLine {
            function: frame.function.clone(),
            file: self.places.names[seen.name as usize].file.as_ref().to_owned(),
            line: frame.line,
            own: seen.role == Role::Own,
        })
    }

    /// The kind with the best evidence among the largest stacks; of equal evidence, the one with
    /// most bytes.
    fn kind(&self, building: &Building, largest: &[usize], kinds: &mut KindTable) -> Kind {
        let mut bytes: Vec<((Evidence, Kind), f64)> = Vec::with_capacity(largest.len());
        let live = |at: &usize| building.cells[*at].cell.live_bytes;
        let least = largest.first().map_or(0.0, live) * STACKS_SHARE;
        for at in largest.iter().filter(|at| live(at) >= least) {
            let origin = building.origins[*at];
            let locations = &self.profile.stacks[origin.stack as usize].frames;
            let inner = locations.iter().take(origin.location as usize);
            let before: usize = inner.map(|location| self.places.range(*location).len()).sum();
            let stack = self.frames(origin.stack).map(|(frame, place)| {
                let Seen { role, name } = self.places.seen(place);
                Asked { frame, own: role == Role::Own, name: name as usize }
            });
            let found = kinds.of_asked(stack, before + origin.frame as usize, &self.rules.kinds);
            let more = building.cells[*at].cell.live_bytes;
            match bytes.iter_mut().find(|(known, _)| *known == found) {
                Some((_, sum)) => *sum += more,
                None => bytes.push((found, more)),
            }
        }
        let best = bytes.iter().min_by(|a, b| {
            let evidence = a.0.0.cmp(&b.0.0);
            evidence.then_with(|| b.1.total_cmp(&a.1)).then_with(|| a.0.1.cmp(&b.0.1))
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
    let bytes = |at: usize| cells[at].cell.live_bytes;
    let mut largest: Vec<usize> = Vec::with_capacity(STACKS_ASKED + 1);
    for at in 0..cells.len() {
        let behind = |other: &usize| bytes(at).total_cmp(&bytes(*other)).is_gt();
        if largest.len() == STACKS_ASKED && !largest.last().is_some_and(behind) {
            continue;
        }
        let place = largest.iter().position(behind).unwrap_or(largest.len());
        largest.insert(place, at);
        largest.truncate(STACKS_ASKED);
    }
    largest
}

/// The identifier of a site: lines are no part of it, so that it survives an edit nearby.
#[must_use]
pub fn id(function: &str, file: &str) -> String {
    format!("{:016x}", hash::of(format!("{function}|{file}").as_bytes()))
}
