//! Which column of a `profile.proto` is what. In: the names and units of the columns, as Go, the
//! probe, jemalloc_pprof, Node, .NET, tcmalloc and CPU profilers write them. Out: the places of
//! live and allocated bytes and objects, told by name and unit and never by position, or one line
//! that says what kind of profile it is instead. Reading the values is left to `pprof`. Pure.

use super::ParseError;

/// Names for live bytes, best first. Node's and tcmalloc's files call the column `space`.
const LIVE_BYTES: &[&str] =
    &["inuse_space", "inuse_size", "space", "live_bytes", "live_size", "heap_inuse", "live_heap"];
/// Names for live objects.
const LIVE_OBJECTS: &[&str] = &["inuse_objects", "objects", "live_objects", "allocations"];
/// Names for bytes ever allocated.
const ALLOC_BYTES: &[&str] = &["alloc_space", "alloc_size", "alloc_bytes"];
/// Names for objects ever allocated.
const ALLOC_OBJECTS: &[&str] = &["alloc_objects", "alloc_count"];

/// Units of memory by their size in bytes, as pprof knows them.
const UNITS: &[(&str, f64)] = &[
    ("bytes", 1.0),
    ("byte", 1.0),
    ("b", 1.0),
    ("kilobytes", 1_024.0),
    ("kilobyte", 1_024.0),
    ("kb", 1_024.0),
    ("kib", 1_024.0),
    ("megabytes", 1_048_576.0),
    ("megabyte", 1_048_576.0),
    ("mb", 1_048_576.0),
    ("mib", 1_048_576.0),
    ("gigabytes", 1_073_741_824.0),
    ("gigabyte", 1_073_741_824.0),
    ("gb", 1_073_741_824.0),
    ("gib", 1_073_741_824.0),
];

/// What a profile without live bytes is, by its columns, and what to fetch instead.
const OTHERS: &[(&[&str], &str)] = &[
    (
        &["cpu", "wall", "samples", "sample", "cpu_time", "wall_time"],
        "it is a CPU profile: fetch the heap profile, such as /debug/pprof/heap",
    ),
    (
        &["goroutine", "goroutines", "threadcreate"],
        "it counts goroutines or threads: fetch the heap profile, such as /debug/pprof/heap",
    ),
    (
        &["contentions", "delay", "mutex", "block", "lock_count", "lock_time"],
        "it is a profile of waiting: fetch the heap profile, such as /debug/pprof/heap",
    ),
    (
        &["alloc_space", "alloc_size", "alloc_objects", "alloc_samples", "alloc_bytes"],
        "it tells what was ever allocated: let the profiler track what is live as well",
    ),
];

/// A column of bytes: its place, and the bytes of its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bytes {
    pub(super) place: usize,
    pub(super) unit: f64,
}

/// The places of the columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Places {
    pub(super) live_bytes: Bytes,
    pub(super) live_objects: Option<usize>,
    pub(super) alloc_bytes: Option<Bytes>,
    pub(super) alloc_objects: Option<usize>,
    /// The column was taken by its unit alone, its name says nothing.
    pub(super) guessed: bool,
}

/// Tells columns by their names and units.
///
/// # Errors
/// [`ParseError::NotHeap`] when none is live bytes.
pub(super) fn tell(columns: &[(&str, &str)]) -> Result<Places, ParseError> {
    let names: Vec<String> =
        columns.iter().map(|(name, _)| name.to_ascii_lowercase().replace('-', "_")).collect();
    let units: Vec<Option<f64>> = columns.iter().map(|(_, unit)| bytes_of(unit)).collect();
    let bytes = |wanted: &[&str]| {
        wanted.iter().find_map(|name| {
            // Some writers leave the unit out; a name alone says enough then.
            let unit = |at: usize| units[at].or(columns[at].1.is_empty().then_some(1.0));
            let is = |at: &usize| names[*at] == *name && unit(*at).is_some();
            let place = (0..names.len()).find(is)?;
            Some(Bytes { place, unit: unit(place)? })
        })
    };
    let count = |wanted: &[&str]| {
        let is = |at: &usize, name: &str| names[*at] == name && units[*at].is_none();
        wanted.iter().find_map(|name| (0..names.len()).find(|at| is(at, name)))
    };
    let alloc_bytes = bytes(ALLOC_BYTES);
    let named = bytes(LIVE_BYTES);
    let live_bytes = named.or_else(|| the_only_bytes(&units).filter(|_| alloc_bytes.is_none()));
    let Some(live_bytes) = live_bytes else { return Err(not_heap(columns, &names)) };
    Ok(Places {
        live_bytes,
        live_objects: count(LIVE_OBJECTS),
        alloc_bytes,
        alloc_objects: count(ALLOC_OBJECTS),
        guessed: named.is_none(),
    })
}

/// Bytes of a unit; `None` for one that is no memory.
fn bytes_of(unit: &str) -> Option<f64> {
    let unit = unit.to_ascii_lowercase();
    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes)
}

fn the_only_bytes(units: &[Option<f64>]) -> Option<Bytes> {
    let mut memory =
        units.iter().enumerate().filter_map(|(place, unit)| Some(Bytes { place, unit: (*unit)? }));
    memory.next().filter(|_| memory.next().is_none())
}

fn not_heap(columns: &[(&str, &str)], names: &[String]) -> ParseError {
    let shown: Vec<String> = columns.iter().map(|(name, unit)| format!("{name}/{unit}")).collect();
    let has = if shown.is_empty() {
        "no columns".to_owned()
    } else {
        format!("the columns `{}`", super::repeated(&shown.join("`, `")))
    };
    let known = OTHERS
        .iter()
        .find(|(telling, _)| names.iter().any(|name| telling.contains(&name.as_str())));
    let cure = known.map_or("fetch the heap profile, such as /debug/pprof/heap", |(_, cure)| cure);
    ParseError::NotHeap { has, cure }
}
