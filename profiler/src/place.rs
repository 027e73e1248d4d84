//! Places: what each location of a profile is, looked at once, since a profile has some thousands
//! of locations and a hundred times as many frames on its stacks. In: the names of the locations,
//! and whose code is whose. Out: roles, hashes and short files by index. Pure.

use crate::frame::{Frame, Symbols, short_file};
use crate::hash::{self, Quick};
use crate::own::{self, FileRole, Ownership, Role};
use crate::profile::Profile;
use std::collections::HashMap;
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
    /// Of each frame of each location.
    pub(crate) frames: Vec<Vec<Seen>>,
    /// The innermost own frame of each location. This and the next two are lists of their own,
    /// small enough for the processor's cache: each frame of each stack asks them.
    pub(crate) own: Vec<Option<Spot>>,
    /// The innermost library's frame of each location.
    pub(crate) library: Vec<Option<Spot>>,
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
            frames: Vec::with_capacity(count),
            own: vec![None; count],
            library: vec![None; count],
            hashes: Vec::with_capacity(count),
            names: Vec::new(),
        };
        let mut known = Known::default();
        for (at, frames) in symbols.frames.iter().enumerate() {
            let is_shared = is_shared(profile, at);
            let mut all = Vec::with_capacity(frames.len());
            let mut whole = frames.len() as u64;
            for frame in frames.iter() {
                let name = known.index(frame, &mut places.names, ownership);
                let Name { hash, role, is_door, .. } = places.names[name as usize];
                whole = hash::join(hash::join(whole, hash), u64::from(frame.line));
                let role = if is_shared && role == Role::Own { Role::Library } else { role };
                all.push(Seen { role, name });
                if is_door {
                    // What the language's door calls is the allocator, whoever has written it.
                    all.iter_mut().for_each(|inner| inner.role = Role::Allocator);
                }
            }
            let innermost = |role: Role| {
                let frame = all.iter().position(|seen| seen.role == role)?;
                Some(Spot { frame: frame as u32, line: frames[frame].line })
            };
            places.own[at] = innermost(Role::Own);
            places.library[at] = innermost(Role::Library);
            places.frames.push(all);
            places.hashes.push(whole);
        }
        places
    }

    /// The hash of a stack of locations.
    pub(crate) fn hash(&self, stack: &[u32]) -> u64 {
        stack.iter().fold(stack.len() as u64, |hash, location| {
            self.hashes.get(*location as usize).map_or(hash, |place| hash::join(hash, *place))
        })
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
