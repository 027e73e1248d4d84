//! A snapshot, parsed and normalised: what is live (and what was ever allocated) by stack of
//! addresses. In: what a reader of `parse` found. Out: plain values, already unbiased, addresses
//! already inside the calling instruction. Names, files and lines are left to `symbol` unless
//! the snapshot brings them itself. Pure.

use crate::frame::Frame;
use std::sync::Arc;

/// What is live, and what was ever allocated, at one stack. Estimates when sampled: fractions
/// are meant. A column that the snapshot does not have is `None`, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// Bytes allocated and not freed.
    pub live_bytes: f64,
    /// Objects allocated and not freed.
    pub live_objects: Option<f64>,
    /// Bytes ever allocated since the profiler was switched on.
    pub alloc_bytes: Option<f64>,
    /// Objects ever allocated since the profiler was switched on.
    pub alloc_objects: Option<f64>,
    /// Samples (not objects) that are live.
    pub live_samples: Option<f64>,
    /// Samples (not objects) ever taken.
    pub alloc_samples: Option<f64>,
}

impl Cell {
    /// Adds another cell of the same place. A column that either lacks is lacking in the sum.
    pub fn add(&mut self, other: &Self) {
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        self.live_bytes += other.live_bytes;
        self.live_objects = sum(self.live_objects, other.live_objects);
        self.alloc_bytes = sum(self.alloc_bytes, other.alloc_bytes);
        self.alloc_objects = sum(self.alloc_objects, other.alloc_objects);
        self.live_samples = sum(self.live_samples, other.live_samples);
        self.alloc_samples = sum(self.alloc_samples, other.alloc_samples);
    }

    /// The sum of some cells; `None` of none.
    pub fn sum<'a>(cells: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut cells = cells.into_iter();
        let mut total = *cells.next()?;
        cells.for_each(|cell| total.add(cell));
        Some(total)
    }

    /// Mean bytes of an object: of those live, or else of those ever allocated. `None` when
    /// there is neither.
    #[must_use]
    pub fn object_bytes(&self) -> Option<f64> {
        let mean = |bytes: f64, objects: f64| (objects > 0.0).then(|| bytes / objects);
        self.live_objects
            .and_then(|objects| mean(self.live_bytes, objects))
            .or_else(|| mean(self.alloc_bytes?, self.alloc_objects?))
            .filter(|size| size.is_finite() && *size > 0.0)
    }
}

/// The form of file that a snapshot was read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// jemalloc's own text.
    HeapV2,
    /// V8's sampled heap profile.
    HeapProfile,
    /// `profile.proto`, of whatever writer.
    Pprof,
    /// DHAT's JSON.
    Dhat,
    /// V8's allocation timeline.
    HeapTimeline,
    /// V8's whole heap, without stacks: folded by class.
    HeapSnapshot,
    /// Collapsed stacks.
    Collapsed,
    /// Resident memory alone, without any heap.
    Resident,
}

impl Form {
    /// What it is called among people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HeapV2 => "heap_v2",
            Self::HeapProfile => "heapprofile",
            Self::Pprof => "pprof",
            Self::Dhat => "dhat",
            Self::HeapTimeline => "heaptimeline",
            Self::HeapSnapshot => "heapsnapshot",
            Self::Collapsed => "collapsed stacks",
            Self::Resident => "resident memory",
        }
    }

    /// Two snapshots of one program in these forms show the same places under the same names,
    /// and values of the same meaning.
    #[must_use]
    pub fn goes_with(self, other: Self) -> bool {
        let of_an_allocator = |form| matches!(form, Self::HeapV2 | Self::Pprof);
        self == other || (of_an_allocator(self) && of_an_allocator(other))
    }
}

/// How long ago what is live was allocated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ages {
    /// Upper ends of the brackets, seconds, rising; one more bracket holds all that is older.
    pub bounds_s: Vec<f64>,
    /// What is of one stack and one bracket; no two rows need differ in these.
    pub rows: Vec<Aged>,
}

/// What is live at one stack and of one bracket of ages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Aged {
    /// Index into [`Profile::stacks`], or into [`crate::FoldedSite::cells`].
    pub at: u32,
    /// Index into the upper ends of the brackets, or their number for the oldest.
    pub bracket: u32,
    /// Live bytes.
    pub bytes: f64,
    /// Live samples; objects where each is counted.
    pub samples: f64,
}

/// A snapshot, parsed and normalised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The form it was read from; `None` for one that was put together otherwise.
    pub form: Option<Form>,
    /// Mean bytes between two samples; 1.0 means that each allocation is counted.
    pub interval_bytes: f64,
    /// One entry per stack (a reader may leave the same stack twice, with different sizes).
    pub stacks: Vec<StackSample>,
    /// The places that `stacks` points at.
    pub locations: Vec<Location>,
    /// Samples that are live, where each has a number that rises with the time it was taken: an
    /// index into `stacks`, and that number.
    pub ordinals: Vec<(u32, u64)>,
    /// Files mapped into the process.
    pub mappings: Vec<Mapping>,
    /// Free text that came with the snapshot.
    pub comments: Vec<String>,
    /// The executable, where the snapshot names it.
    pub exe: Option<String>,
    /// The process, where the snapshot names it.
    pub pid: Option<u32>,
    /// What stands against trust in it, in words.
    pub notes: Vec<String>,
    /// Ages of what is live, where the form tells them.
    pub ages: Option<Ages>,
}

impl Profile {
    /// Live bytes of all stacks.
    #[must_use]
    pub fn live_bytes(&self) -> f64 {
        self.stacks.iter().map(|stack| stack.cell.live_bytes).sum()
    }

    /// Live objects of all stacks; `None` when any of them does not say.
    #[must_use]
    pub fn live_objects(&self) -> Option<f64> {
        self.stacks.iter().map(|stack| stack.cell.live_objects).sum()
    }
}

/// One stack with what it allocated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StackSample {
    /// Indices into [`Profile::locations`], the allocating end first.
    pub frames: Vec<u32>,
    /// What it allocated.
    pub cell: Cell,
    /// Bytes of each of its objects, where all are of one size and the snapshot says so.
    pub object_bytes: Option<u64>,
}

/// A place in code: an address, and its names where the snapshot has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location {
    /// Address inside the calling instruction, as the process saw it; 0 when unknown.
    pub address: u64,
    /// Index into [`Profile::mappings`].
    pub mapping: Option<u32>,
    /// Functions at this address, the innermost inlined one first; empty when the snapshot has
    /// no names of its own.
    pub frames: Vec<Arc<Frame>>,
}

/// A file mapped into the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Offset in the file of `start`.
    pub file_offset: u64,
    /// Path of the file, as the process saw it.
    pub file: String,
    /// GNU build id, lower-case hexadecimal; empty when unknown.
    pub build_id: String,
}
