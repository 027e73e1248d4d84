//! Folding: a profile of thousands of stacks becomes a list of sites, the places in the user's
//! own code that keep memory alive. In: a profile, the names of its locations, rules of what is
//! own. Out: [`Folded`]. Comparing two of them is left to `diff`. Pure.
//!
//! The site of a stack is its innermost own frame; without one, the innermost frame outside the
//! allocator and the language's library. Closures count as the function they were written in.

use crate::frame::{Frame, Symbols, enclosing_function, short_file};
use crate::hash;
use crate::kind::{Evidence, KindTable};
use crate::own::{self, Ownership, Role};
use crate::profile::{Cell, Form, Profile, StackSample};
use ebbtide_record::Kind;
use ebbtide_record::verdict::FrameLine;
use std::collections::HashMap;

/// Stacks of a site, the largest first, that are asked for its kind.
const STACKS_ASKED: usize = 4;

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
    for (index, stack) in profile.stacks.iter().enumerate() {
        folding.take(index, stack);
    }
    let mut kinds = KindTable::default();
    let mut sites: Vec<FoldedSite> =
        folding.sites.iter().map(|building| folding.finish(building, &mut kinds)).collect();
    let bytes: HashMap<String, f64> =
        sites.iter().map(|site| (site.id.clone(), site.total().live_bytes)).collect();
    sites.sort_by(|a, b| bytes[&b.id].total_cmp(&bytes[&a.id]).then_with(|| a.id.cmp(&b.id)));
    let notes = profile.notes.iter().chain(&symbols.notes).cloned().collect();
    Folded {
        form: profile.form,
        interval_bytes: profile.interval_bytes,
        live_bytes: profile.live_bytes(),
        live_objects: profile.live_objects(),
        sites,
        notes,
    }
}

/// What a location is, once its frames are looked at.
struct Place {
    hash: u64,
    /// Index of the innermost own frame among the location's.
    own: Option<usize>,
    /// Index of the innermost library's frame among the location's.
    library: Option<usize>,
    /// Of each frame of the location.
    roles: Vec<Role>,
}

/// A site while stacks are taken in.
struct Building {
    function: String,
    file: String,
    own: bool,
    cells: Vec<FoldedCell>,
    /// For each cell, the first stack that went into it, and where in it the site is.
    origins: Vec<Origin>,
}

#[derive(Clone, Copy)]
struct Origin {
    /// Index into the profile's stacks.
    stack: usize,
    /// Index into the locations of the stack.
    location: usize,
    /// Index into the frames of the location.
    frame: usize,
}

struct Folding<'a> {
    profile: &'a Profile,
    symbols: &'a Symbols,
    rules: &'a SiteRules,
    places: Vec<Place>,
    sites: Vec<Building>,
    /// By location and frame.
    site_at: HashMap<(u32, usize), usize>,
    /// By function and file.
    site_named: HashMap<(String, String), usize>,
    /// By hash of the stack: site and cell.
    cell_of: HashMap<u64, (usize, usize)>,
}

impl<'a> Folding<'a> {
    fn new(profile: &'a Profile, symbols: &'a Symbols, rules: &'a SiteRules) -> Self {
        let frames = symbols.frames.iter().flat_map(|frames| frames.iter().map(AsRef::as_ref));
        let ownership = Ownership::new(&rules.own, frames);
        let mut known = HashMap::new();
        let places = symbols
            .frames
            .iter()
            .enumerate()
            .map(|(at, frames)| place(frames, &ownership, &mut known, is_shared(profile, at)))
            .collect();
        Self {
            profile,
            symbols,
            rules,
            places,
            sites: Vec::new(),
            site_at: HashMap::new(),
            site_named: HashMap::new(),
            cell_of: HashMap::with_capacity(profile.stacks.len()),
        }
    }

    fn take(&mut self, index: usize, stack: &StackSample) {
        let hash = stack.frames.iter().fold(stack.frames.len() as u64, |hash, location| {
            self.places.get(*location as usize).map_or(hash, |place| hash::join(hash, place.hash))
        });
        if let Some((site, cell)) = self.cell_of.get(&hash) {
            self.sites[*site].cells[*cell].cell.add(&stack.cell);
            return;
        }
        let origin = self.origin(index, stack);
        let site = self.site(stack, origin);
        let building = &mut self.sites[site];
        self.cell_of.insert(hash, (site, building.cells.len()));
        building.cells.push(FoldedCell { stack: hash, cell: stack.cell });
        building.origins.push(origin);
    }

    /// Where in a stack its site is.
    fn origin(&self, index: usize, stack: &StackSample) -> Origin {
        let innermost = |pick: fn(&Place) -> Option<usize>| {
            stack.frames.iter().enumerate().find_map(|(at, location)| {
                let frame = pick(self.places.get(*location as usize)?)?;
                Some(Origin { stack: index, location: at, frame })
            })
        };
        innermost(|place| place.own).or_else(|| innermost(|place| place.library)).unwrap_or(
            Origin { stack: index, location: stack.frames.len().saturating_sub(1), frame: 0 },
        )
    }

    fn site(&mut self, stack: &StackSample, origin: Origin) -> usize {
        let location = stack.frames.get(origin.location).copied().unwrap_or(u32::MAX);
        if let Some(site) = self.site_at.get(&(location, origin.frame)) {
            return *site;
        }
        let (function, file) = self.name(location, origin.frame);
        let own = self.places.get(location as usize).is_some_and(|place| place.own.is_some());
        let next = self.sites.len();
        let site = *self.site_named.entry((function.clone(), file.clone())).or_insert(next);
        if site == next {
            let (cells, origins) = (Vec::new(), Vec::new());
            self.sites.push(Building { function, file, own, cells, origins });
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

    fn frames(&self, stack: usize) -> impl Iterator<Item = (&'a Frame, Role)> {
        let symbols = self.symbols;
        self.profile.stacks[stack].frames.iter().flat_map(move |location| {
            let at = *location as usize;
            let frames = symbols.frames.get(at).map_or(&[][..], |frames| frames);
            let roles = self.places.get(at).map_or(&[][..], |place| &place.roles);
            frames.iter().map(AsRef::as_ref).zip(roles.iter().copied())
        })
    }

    fn finish(&self, building: &Building, kinds: &mut KindTable) -> FoldedSite {
        let mut by_size: Vec<usize> = (0..building.cells.len()).collect();
        by_size.sort_by(|a, b| {
            let bytes = |at: &usize| building.cells[*at].cell.live_bytes;
            bytes(b).total_cmp(&bytes(a))
        });
        let largest = building.origins[by_size[0]];
        let stack = self
            .frames(largest.stack)
            .skip_while(|(_, role)| *role == Role::Allocator)
            .take(STACK_SHOWN)
            .map(|(frame, role)| line(frame, role));
        FoldedSite {
            id: id(&building.function, &building.file),
            function: building.function.clone(),
            file: building.file.clone(),
            line: self.main_line(building),
            kind: self.kind(building, &by_size, kinds),
            own: building.own,
            cells: building.cells.clone(),
            origins: building.origins.iter().map(|origin| origin.stack as u32).collect(),
            stack: stack.collect(),
        }
    }

    /// The line that holds most bytes.
    fn main_line(&self, building: &Building) -> u32 {
        let mut bytes: HashMap<u32, f64> = HashMap::new();
        for (cell, origin) in building.cells.iter().zip(&building.origins) {
            let location = self.profile.stacks[origin.stack].frames.get(origin.location);
            let frame = location
                .and_then(|location| self.symbols.frames.get(*location as usize))
                .and_then(|frames| frames.get(origin.frame));
            let line = frame.map_or(0, |frame| frame.line);
            *bytes.entry(line).or_default() += cell.cell.live_bytes;
        }
        let largest = bytes.iter().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(a.0)));
        largest.map_or(0, |(line, _)| *line)
    }

    /// The kind with the best evidence among the largest stacks; of equal evidence, the one with
    /// most bytes.
    fn kind(&self, building: &Building, by_size: &[usize], kinds: &mut KindTable) -> Kind {
        let mut bytes: HashMap<(Evidence, Kind), f64> = HashMap::new();
        for at in by_size.iter().take(STACKS_ASKED) {
            let origin = building.origins[*at];
            let stack: Vec<(&Frame, bool)> =
                self.frames(origin.stack).map(|(frame, role)| (frame, role == Role::Own)).collect();
            let locations = &self.profile.stacks[origin.stack].frames;
            let before: usize = locations
                .iter()
                .take(origin.location)
                .map(|location| self.symbols.frames.get(*location as usize).map_or(0, |f| f.len()))
                .sum();
            let found = kinds.of_stack(&stack, before + origin.frame, &self.rules.kinds);
            *bytes.entry(found).or_default() += building.cells[*at].cell.live_bytes;
        }
        let best = bytes.iter().min_by(|a, b| {
            let evidence = a.0.0.cmp(&b.0.0);
            evidence.then_with(|| b.1.total_cmp(a.1)).then_with(|| a.0.1.cmp(&b.0.1))
        });
        best.map_or(Kind::Other, |((_, kind), _)| *kind)
    }
}

pub(crate) fn line(frame: &Frame, role: Role) -> FrameLine {
    FrameLine {
        function: frame.function.clone(),
        file: short_file(&frame.file),
        line: frame.line,
        own: role == Role::Own,
    }
}

/// The identifier of a site: lines are no part of it, so that it survives an edit nearby.
#[must_use]
pub fn id(function: &str, file: &str) -> String {
    format!("{:016x}", hash::of(format!("{function}|{file}").as_bytes()))
}

type Known<'a> = HashMap<(&'a str, &'a str), (u64, Role)>;

/// The location lies in a shared library: another package's, whatever its paths say. Not so where
/// the snapshot brings names, since interpreters map no file for what they run.
fn is_shared(profile: &Profile, location: usize) -> bool {
    let Some(location) = profile.locations.get(location) else { return false };
    let mapping = location.mapping.and_then(|mapping| profile.mappings.get(mapping as usize));
    let file = mapping.map_or("", |mapping| mapping.file.as_str());
    location.frames.is_empty()
        && !file.is_empty()
        && profile.exe.as_deref().is_some_and(|exe| exe != file)
}

fn place<'a>(
    frames: &'a [std::sync::Arc<Frame>],
    ownership: &Ownership<'_>,
    known: &mut Known<'a>,
    is_shared: bool,
) -> Place {
    let mut place =
        Place { hash: frames.len() as u64, own: None, library: None, roles: Vec::new() };
    for frame in frames {
        let (name, role) = *known.entry((&frame.function, &frame.file)).or_insert_with(|| {
            let name = hash::join(
                hash::of(frame.function.as_bytes()),
                hash::of(short_file(&frame.file).as_bytes()),
            );
            (name, ownership.role(frame))
        });
        place.hash = hash::join(hash::join(place.hash, name), u64::from(frame.line));
        place.roles.push(if is_shared && role == Role::Own { Role::Library } else { role });
        if own::is_door(&frame.function) {
            // What the language's door calls is the allocator, whoever has written it.
            place.roles.fill(Role::Allocator);
        }
    }
    place.own = place.roles.iter().position(|role| *role == Role::Own);
    place.library = place.roles.iter().position(|role| *role == Role::Library);
    place
}
