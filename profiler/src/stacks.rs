//! Full stacks with their names, of one snapshot or of two side by side. In: snapshots as they
//! were read. Out: each stack once, with what it held before and holds after. Rows of a table
//! are made of them by `group`, files for other tools by `export`. Pure.

use crate::frame::{Frame, Symbols};
use crate::own::{Ownership, Role};
use crate::profile::{Cell, Profile};
use crate::site::{self, Folded, STACK_SHOWN};
use ebbtide_record::verdict::FrameLine;
use std::collections::{HashMap, HashSet};

/// Frames of a stack that are kept, from the allocating end: more than the samplers write.
pub const DEPTH_MAX: usize = 512;

/// A snapshot as it was read, with its names and by site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// What was in the file.
    pub profile: Profile,
    /// The names of its locations.
    pub symbols: Symbols,
    /// The same by site.
    pub folded: Folded,
}

/// Stacks of two snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stacks {
    /// The frames that the rows point at, each once.
    pub frames: Vec<FrameLine>,
    /// The file of each as the compiler was given it: whose code it is stands in its folders.
    pub paths: Vec<String>,
    /// One row each, in the order in which they were met.
    pub rows: Vec<StackRow>,
}

/// One stack in both snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StackRow {
    /// Hash of the full stack, the same as of [`crate::FoldedCell`].
    pub id: u64,
    /// Indices into [`Stacks::frames`], the allocating end first, without the allocator's own,
    /// at most [`DEPTH_MAX`].
    pub frames: Vec<u32>,
    /// What it held before; `None` where it was not there.
    pub before: Option<Cell>,
    /// What it holds after; `None` where it is not there any more.
    pub after: Option<Cell>,
}

impl StackRow {
    /// Live bytes before and after.
    #[must_use]
    pub fn bytes(&self) -> (f64, f64) {
        let bytes = |cell: Option<Cell>| cell.map_or(0.0, |cell| cell.live_bytes.max(0.0));
        (bytes(self.before), bytes(self.after))
    }
}

impl Stacks {
    /// The stacks of two snapshots, of which the earlier one may be missing. `own` are the path
    /// prefixes of own code, as in [`crate::SiteRules`].
    #[must_use]
    pub fn of(before: Option<&Reading>, after: &Reading, own: &[String]) -> Self {
        let mut building = Building::default();
        if let Some(before) = before {
            building.take(before, own, |row, cell| row.before = Some(cell));
        }
        building.take(after, own, |row, cell| row.after = Some(cell));
        building.stacks
    }

    /// Only the stacks of the given hashes.
    pub fn retain(&mut self, wanted: &HashSet<u64>) {
        self.rows.retain(|row| wanted.contains(&row.id));
    }

    /// The frames of a row for showing, at most [`STACK_SHOWN`].
    #[must_use]
    pub fn lines(&self, row: &StackRow) -> Vec<FrameLine> {
        let frames = row.frames.iter().take(STACK_SHOWN);
        frames.map(|frame| self.frames[*frame as usize].clone()).collect()
    }
}

#[derive(Default)]
struct Building {
    stacks: Stacks,
    /// By hash of the stack.
    row_of: HashMap<u64, usize>,
    /// By function, file and line.
    frame_of: HashMap<(String, String, u32), u32>,
}

impl Building {
    fn take(&mut self, reading: &Reading, own: &[String], put: fn(&mut StackRow, Cell)) {
        let named = reading.symbols.frames.iter().flat_map(|frames| frames.iter());
        let ownership = Ownership::new(own, named.map(AsRef::as_ref));
        // Frames of each location, once it is met: an index and whether the allocator's.
        let mut known: HashMap<u32, Vec<(u32, bool)>> = HashMap::new();
        for site in &reading.folded.sites {
            for (cell, origin) in site.cells.iter().zip(&site.origins) {
                let place = match self.row_of.get(&cell.stack) {
                    Some(place) => *place,
                    None => {
                        let locations =
                            reading.profile.stacks.get(*origin as usize).map(|s| &*s.frames);
                        let frames = self.frames(
                            locations.unwrap_or_default(),
                            (reading, &ownership),
                            &mut known,
                        );
                        self.row_of.insert(cell.stack, self.stacks.rows.len());
                        let row = StackRow { id: cell.stack, frames, ..StackRow::default() };
                        self.stacks.rows.push(row);
                        self.stacks.rows.len() - 1
                    }
                };
                put(&mut self.stacks.rows[place], cell.cell);
            }
        }
    }

    fn frames(
        &mut self,
        locations: &[u32],
        (reading, ownership): (&Reading, &Ownership<'_>),
        known: &mut HashMap<u32, Vec<(u32, bool)>>,
    ) -> Vec<u32> {
        let mut frames = Vec::new();
        for location in locations {
            if frames.len() >= DEPTH_MAX {
                break;
            }
            let of_location = known.entry(*location).or_insert_with(|| {
                let named = reading.symbols.frames.get(*location as usize);
                named.map_or_else(Vec::new, |named| {
                    let each = named.iter().map(|frame| {
                        let role = ownership.role(frame);
                        (self.intern(frame, role), role == Role::Allocator)
                    });
                    each.collect()
                })
            });
            let started = !frames.is_empty();
            let shown = of_location.iter().skip_while(|(_, allocator)| *allocator && !started);
            frames.extend(shown.map(|(frame, _)| *frame));
        }
        frames.truncate(DEPTH_MAX);
        frames
    }

    fn intern(&mut self, frame: &Frame, role: Role) -> u32 {
        let line = site::line(frame, role);
        let key = (line.function.clone(), line.file.clone(), line.line);
        let next = self.stacks.frames.len() as u32;
        let place = *self.frame_of.entry(key).or_insert(next);
        if place == next {
            self.stacks.frames.push(line);
            self.stacks.paths.push(frame.file.clone());
        }
        place
    }
}
