//! Places: what each location of a profile is, looked at once, since a profile has some thousands
//! of locations and a hundred times as many frames on its stacks. In: the names of the locations,
//! and whose code is whose. Out: roles, hashes and short files by index. Pure.

use crate::frame::{Frame, Symbols, short_file};
use crate::hash::{self, Quick};
use crate::own::{self, FileRole, Ownership, Role};
use crate::profile::Profile;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Where in a location's frames the site of a stack is, if it is in this location.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    /// Index of the frame.
    pub(crate) frame: u32,
    /// Its line.
    pub(crate) line: u32,
}

/// A frame of a location.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    /// Whose code it is.
    pub(crate) role: Role,
    /// Index into [`Places::names`].
    pub(crate) name: u32,
}

/// Where the frames of one role are: whether there is one, and where.
#[derive(Default)]
pub(crate) struct Spots {
    /// Of each location, a byte each: a stack asks this list for most of its locations.
    there: Vec<bool>,
    spots: Vec<Spot>,
}

impl Spots {
    fn push(&mut self, spot: Option<Spot>) {
        self.there.push(spot.is_some());
        self.spots.push(spot.unwrap_or(Spot { frame: 0, line: 0 }));
    }

    /// The spot of a location, if it has one.
    pub(crate) fn of(&self, location: u32) -> Option<Spot> {
        let at = location as usize;
        self.there.get(at).is_some_and(|there| *there).then(|| self.spots[at])
    }

    /// The first of some locations that has a spot: its index, and the spot.
    pub(crate) fn first(&self, locations: &[u32]) -> Option<(usize, Spot)> {
        let there = |at: &u32| self.there.get(*at as usize).is_some_and(|there| *there);
        let index = locations.iter().position(there)?;
        Some((index, self.spots[locations[index] as usize]))
    }
}

/// A function in a file.
pub(crate) struct Name {
    /// The file as [`short_file`] has it.
    pub(crate) file: Arc<str>,
    /// Of function and short file.
    hash: u64,
    role: Role,
    is_door: bool,
}

/// All locations of a profile.
pub(crate) struct Places {
    /// Frames of all locations, one location behind the other.
    seen: Vec<Seen>,
    /// Where each location's frames begin in `seen`; one more than there are locations.
    begins: Vec<u32>,
    /// The innermost own frame of each location. This and the next two are lists of their own,
    /// small enough for the processor's cache: each frame of each stack asks them.
    pub(crate) own: Spots,
    /// The innermost library's frame of each location.
    pub(crate) library: Spots,
    /// Of each location by function, file and line.
    hashes: Vec<u64>,
    /// Each function in its file, once.
    pub(crate) names: Vec<Name>,
}

impl Places {
    /// Looks at all locations.
    pub(crate) fn of(profile: &Profile, symbols: &Symbols, ownership: &Ownership<'_>) -> Self {
        let count = symbols.frames.len();
        let mut places = Self {
            seen: Vec::with_capacity(count),
            begins: Vec::with_capacity(count + 1),
            own: Spots::default(),
            library: Spots::default(),
            hashes: Vec::with_capacity(count),
            names: Vec::new(),
        };
        let mut known = Known::default();
        places.begins.push(0);
        for (at, frames) in symbols.frames.iter().enumerate() {
            let is_shared = is_shared(profile, at);
            let begin = places.seen.len();
            let mut whole = frames.len() as u64;
            for frame in frames.iter() {
                let name = known.index(frame, &mut places.names, ownership);
                let Name { hash, role, is_door, .. } = places.names[name as usize];
                whole = hash::join(hash::join(whole, hash), u64::from(frame.line));
                let role = if is_shared && role == Role::Own { Role::Library } else { role };
                places.seen.push(Seen { role, name });
                if is_door {
                    // What the language's door calls is the allocator, whoever has written it.
                    places.seen[begin..].iter_mut().for_each(|it| it.role = Role::Allocator);
                }
            }
            let innermost = |role: Role| {
                let frame = places.seen[begin..].iter().position(|seen| seen.role == role)?;
                Some(Spot { frame: frame as u32, line: frames[frame].line })
            };
            let (own, library) = (innermost(Role::Own), innermost(Role::Library));
            places.own.push(own);
            places.library.push(library);
            places.begins.push(places.seen.len() as u32);
            places.hashes.push(whole);
        }
        places
    }

    /// Frames of all locations.
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// The frames of a location, as places for [`Self::seen`].
    pub(crate) fn range(&self, location: u32) -> Range<usize> {
        let at = location as usize;
        match self.begins.get(at..at.saturating_add(2)) {
            Some([begin, end]) => *begin as usize..*end as usize,
            _ => 0..0,
        }
    }

    /// A frame of a location.
    pub(crate) fn seen(&self, place: usize) -> Seen {
        self.seen[place]
    }

    /// The hash of a stack of locations. Those of the locations are spread over all bits
    /// already, so that one step for each is enough.
    pub(crate) fn hash(&self, stack: &[u32]) -> u64 {
        let places = stack.iter().filter_map(|location| self.hashes.get(*location as usize));
        hash::join(places.fold(stack.len() as u64, |hash, place| hash::chain(hash, *place)), 0)
    }
}

/// Names seen so far.
#[derive(Default)]
struct Known<'a> {
    names: HashMap<(&'a str, &'a str), u32, Quick>,
    files: HashMap<&'a str, (Arc<str>, u64, FileRole), Quick>,
}

impl<'a> Known<'a> {
    fn index(&mut self, frame: &'a Frame, names: &mut Vec<Name>, ownership: &Ownership<'_>) -> u32 {
        let files = &mut self.files;
        *self.names.entry((&frame.function, &frame.file)).or_insert_with(|| {
            let (file, file_hash, file_role) = files.entry(&frame.file).or_insert_with(|| {
                let short = short_file(&frame.file);
                let hash = hash::of(short.as_bytes());
                (short.into(), hash, ownership.of_file(&frame.file))
            });
            names.push(Name {
                file: Arc::clone(file),
                hash: hash::join(hash::of(frame.function.as_bytes()), *file_hash),
                role: Ownership::of_function(&frame.function, *file_role),
                is_door: own::is_door(&frame.function),
            });
            (names.len() - 1) as u32
        })
    }
}

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
