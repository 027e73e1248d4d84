//! Writes a heap profile as gzip'd `profile.proto`, the format of
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>.
//! In: an unbiased [`Dump`], the mappings, and words about the process. Out: bytes.
//! Four values per stack in the order alloc_objects, alloc_space, inuse_objects, inuse_space;
//! labels `bytes` (mean size of an object), `inuse_samples` and `alloc_samples` (raw counts), and
//! `age` (at least so many seconds) where ages are known: one sample for each age of a stack then.
//! Leaves to others: symbols; locations carry addresses alone.

use crate::dump::{Cell, Columns, Dump, Stack};
use crate::mapping::Mapping;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::Write;

/// gzip's fastest level: profiles shrink tenfold with any.
const LEVEL: Compression = Compression::fast();

/// What the file says about the process besides its heap.
#[derive(Debug)]
pub(crate) struct About {
    /// When the dump was taken, Unix milliseconds.
    pub(crate) at_unix_ms: u64,
    /// Time since sampling began, milliseconds: what the cumulative columns cover.
    pub(crate) sampled_ms: u64,
    /// Lines for people: `exe=...`.
    pub(crate) comments: Vec<String>,
}

/// Encodes and packs.
///
/// # Errors
///
/// None that memory does not give: the error of writing to a vector.
pub(crate) fn encode(
    dump: &Dump<'_>,
    mappings: &[Mapping],
    about: &About,
) -> std::io::Result<Vec<u8>> {
    let message = profile(dump, mappings, about).encode_to_vec();
    let mut packed = GzEncoder::new(Vec::new(), LEVEL);
    packed.write_all(&message)?;
    packed.finish()
}

fn profile(dump: &Dump<'_>, mappings: &[Mapping], about: &About) -> Profile {
    let mut strings = Strings::new();
    let mut locations = Locations { mappings, ids: HashMap::new(), list: Vec::new() };
    let bytes = strings.id("bytes");
    let mut value =
        |kind: &str, unit: &str| ValueType { kind: strings.id(kind), unit: strings.id(unit) };
    let sample_type = vec![
        value("alloc_objects", "count"),
        value("alloc_space", "bytes"),
        value("inuse_objects", "count"),
        value("inuse_space", "bytes"),
    ];
    let period_type = value("space", "bytes");
    let names = LabelNames {
        bytes,
        inuse: strings.id("inuse_samples"),
        alloc: strings.id("alloc_samples"),
    };
    let aged = dump.stacks.iter().any(|stack| !stack.ages.is_empty());
    let (age, seconds) = if aged { (strings.id("age"), strings.id("seconds")) } else { (0, 0) };
    let mut sample = Vec::with_capacity(dump.stacks.len());
    for stack in &dump.stacks {
        let location_id: Vec<u64> =
            stack.addresses.iter().map(|&address| locations.id(address)).collect();
        for (age_s, columns) in parts(stack) {
            let mut label = names.labels(&columns, stack);
            let number = |age_s: u32| Label { key: age, num: age_s.into(), num_unit: seconds };
            label.extend(age_s.map(number));
            let location_id = location_id.clone();
            sample.push(Sample { location_id, value: values(&columns), label });
        }
    }
    let mapping = (1..)
        .zip(mappings)
        .map(|(id, map)| ProtoMapping {
            id,
            memory_start: map.start,
            memory_limit: map.end,
            file_offset: map.offset,
            filename: strings.id(&map.path),
            build_id: strings.id(&map.build_id),
        })
        .collect();
    let comment = about.comments.iter().map(|line| strings.id(line)).collect();
    let default_sample_type = strings.id("inuse_space");
    Profile {
        sample_type,
        sample,
        mapping,
        location: locations.list,
        time_nanos: nanos(about.at_unix_ms),
        duration_nanos: nanos(about.sampled_ms),
        period_type: Some(period_type),
        period: i64::try_from(dump.interval_bytes).unwrap_or(i64::MAX),
        comment,
        default_sample_type,
        string_table: strings.list,
    }
}

/// A stack by the ages of what is live: first what has none, with all that was ever allocated.
fn parts(stack: &Stack) -> Vec<(Option<u32>, Columns)> {
    let live = stack.columns.live;
    let known: u64 = stack.ages.iter().map(|(_, samples)| samples).sum();
    // A moment lies between the dump and the ages: what came in it is left out in proportion.
    let all = known.max(live.samples);
    let share =
        |of: f64, samples: u64| if all == 0 { 0.0 } else { of * samples as f64 / all as f64 };
    // From ends that are rounded, so that the parts add up to the whole.
    let upto = |samples: u64| Cell {
        samples: share(live.samples as f64, samples).round() as u64,
        objects: share(live.objects, samples).round(),
        bytes: share(live.bytes, samples).round(),
    };
    let between = |before: Cell, after: Cell| Cell {
        samples: after.samples - before.samples,
        objects: after.objects - before.objects,
        bytes: after.bytes - before.bytes,
    };
    if known == 0 || live.samples == 0 {
        return vec![(None, stack.columns)];
    }
    let mut done = all - known;
    let mut parts = vec![(None, Columns { live: upto(done), ever: stack.columns.ever })];
    for (age_s, samples) in &stack.ages {
        let live = between(upto(done), upto(done + samples));
        done += samples;
        if live != Cell::default() {
            parts.push((Some(*age_s), Columns { live, ever: Cell::default() }));
        }
    }
    parts
}

fn values(columns: &Columns) -> Vec<i64> {
    [columns.ever.objects, columns.ever.bytes, columns.live.objects, columns.live.bytes]
        .map(whole)
        .to_vec()
}

/// The nearest whole number; a cast of an `f64` keeps to the range by itself.
fn whole(value: f64) -> i64 {
    value.round() as i64
}

fn nanos(ms: u64) -> i64 {
    i64::try_from(ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

/// String ids of the labels.
struct LabelNames {
    bytes: i64,
    inuse: i64,
    alloc: i64,
}

impl LabelNames {
    /// Labels of a stack, or of what is of one age of it.
    fn labels(&self, columns: &Columns, stack: &Stack) -> Vec<Label> {
        let whole_stack = &stack.columns;
        let mean = whole_stack.live.mean_bytes().or(whole_stack.ever.mean_bytes()).unwrap_or(0.0);
        let count = |samples: u64| i64::try_from(samples).unwrap_or(i64::MAX);
        vec![
            Label { key: self.bytes, num: whole(mean), num_unit: self.bytes },
            Label { key: self.inuse, num: count(columns.live.samples), num_unit: 0 },
            Label { key: self.alloc, num: count(columns.ever.samples), num_unit: 0 },
        ]
    }
}

/// The string table; entry 0 is empty.
struct Strings {
    ids: HashMap<String, i64>,
    list: Vec<String>,
}

impl Strings {
    fn new() -> Self {
        Self { ids: HashMap::from([(String::new(), 0)]), list: vec![String::new()] }
    }

    fn id(&mut self, text: &str) -> i64 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.list.len() as i64;
        self.ids.insert(text.to_owned(), id);
        self.list.push(text.to_owned());
        id
    }
}

/// Locations by address, numbered from 1.
struct Locations<'a> {
    mappings: &'a [Mapping],
    ids: HashMap<u64, u64>,
    list: Vec<Location>,
}

impl Locations<'_> {
    /// The location of a return address: that of the call, one byte before.
    fn id(&mut self, return_address: u64) -> u64 {
        let address = return_address.saturating_sub(1);
        *self.ids.entry(address).or_insert_with(|| {
            let after = self.mappings.partition_point(|map| map.start <= address);
            let within = after > 0 && address < self.mappings[after - 1].end;
            let id = self.list.len() as u64 + 1;
            let mapping_id = if within { after as u64 } else { 0 };
            self.list.push(Location { id, mapping_id, address });
            id
        })
    }
}

/// The messages of profile.proto, as far as a heap profile needs them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<ProtoMapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

/// A column: its name and unit, as ids of strings.
#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

/// A stack and its values.
#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

/// A number beside a stack.
#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "3")]
    num: i64,
    #[prost(int64, tag = "4")]
    num_unit: i64,
}

/// A file in memory.
#[derive(Clone, PartialEq, Message)]
struct ProtoMapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(uint64, tag = "4")]
    file_offset: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
}

/// An address.
#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;
    use std::path::Path;

    /// The file that the profiler's tests read too: what both sides agree on, byte for byte.
    #[test]
    fn the_golden_dump_gives_the_golden_profile() {
        let profile = golden("snapshot.pb.gz", &[]);
        assert_eq!(profile.sample.len(), 3);
        let first = &profile.location[0];
        assert_eq!((first.address, first.mapping_id), (0x55d0_0000_2345, 1));
        let unmapped = profile.location.iter().find(|place| place.address == 0x65fff).unwrap();
        assert_eq!(unmapped.mapping_id, 0);
        assert_eq!(profile.sample[2].value[2..], [0, 0]);
    }

    #[test]
    fn the_golden_dump_with_ages_gives_the_golden_profile() {
        let profile = golden("aged.pb.gz", &[(0, 3), (64, 5)]);
        assert_eq!(profile.sample.len(), 5);
        let ages = |sample: &Sample| sample.label.get(3).map(|label| label.num);
        let ages: Vec<_> = profile.sample.iter().map(ages).collect();
        assert_eq!(ages, [None, Some(0), Some(64), None, None]);
    }

    /// Writes the golden dump, its first stack with ages, and compares it with the golden file.
    fn golden(name: &str, ages: &[(u32, u64)]) -> Profile {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let text = std::fs::read(folder.join("heap_v2.txt")).unwrap();
        let mut dump = Dump::parse(&text).unwrap();
        dump.stacks[0].ages = ages.to_vec();
        let mut mappings = crate::mapping::BuildIds::default().mappings(dump.maps);
        for mapping in &mut mappings {
            mapping.build_id = format!("{:040x}", mapping.offset);
        }
        let about = About {
            at_unix_ms: 1_767_225_600_000,
            sampled_ms: 60_000,
            comments: ["exe=/opt/tide/server", "pid=7", "ages_lost=0"]
                .into_iter()
                .take(if ages.is_empty() { 2 } else { 3 })
                .map(str::to_owned)
                .collect(),
        };
        let unpacked = |packed: &[u8]| {
            let mut bytes = Vec::new();
            GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
            bytes
        };
        let packed = encode(&dump, &mappings, &about).unwrap();
        let golden = folder.join(name);
        if std::env::var_os("EBBTIDE_BLESS").is_some() {
            std::fs::write(&golden, &packed).unwrap();
        }
        let expected = std::fs::read(&golden).expect("`cargo xtask bless` writes the golden file");
        assert_eq!(unpacked(&packed), unpacked(&expected));

        Profile::decode(&*unpacked(&packed)).unwrap()
    }

    #[test]
    fn ages_part_a_stack_and_nothing_is_lost() {
        let cell = |samples, objects, bytes| Cell { samples, objects, bytes };
        let stack = |live, ages: &[(u32, u64)]| Stack {
            addresses: vec![7],
            columns: Columns { live, ever: cell(9, 14.2, 900.4) },
            ages: ages.to_vec(),
        };
        let ten = cell(10, 15.8, 1_000.4);
        let cases = [
            (stack(ten, &[]), vec![None]),
            (stack(ten, &[(0, 4), (64, 3)]), vec![None, Some(0), Some(64)]),
            // More of them, or fewer, than the dump saw a moment before.
            (stack(ten, &[(0, 7), (2, 6)]), vec![None, Some(0), Some(2)]),
            (stack(cell(0, 0.0, 0.0), &[(0, 7)]), vec![None]),
            (stack(cell(1, 1.6, 100.0), &[(0, 1), (2, 1)]), vec![None, Some(0), Some(2)]),
        ];
        for (stack, ages) in cases {
            let parts = parts(&stack);
            assert_eq!(parts.iter().map(|(age_s, _)| *age_s).collect::<Vec<_>>(), ages);
            let sum = |of: fn(&Cell) -> f64| {
                let ends = [|part: &Columns| part.live, |part: &Columns| part.ever];
                ends.map(|end| parts.iter().map(|(_, part)| of(&end(part))).sum::<f64>().round())
            };
            let Columns { live, ever } = stack.columns;
            let whole = |of: fn(&Cell) -> f64| [of(&live), of(&ever)].map(f64::round);
            let values: [fn(&Cell) -> f64; 3] =
                [|cell| cell.samples as f64, |cell| cell.objects, |cell| cell.bytes];
            for of in values {
                assert_eq!(sum(of), whole(of), "{stack:?}");
            }
        }
        let [_, young, old] = &parts(&stack(ten, &[(0, 4), (64, 3)]))[..] else { panic!() };
        assert_eq!((young.1.live.samples, old.1.live.samples), (4, 3));
    }

    /// A crate that switches prost's limit off does so for the whole program and for `ebb`, and
    /// then a file or a request of some kilobytes overflows the stack: none may come in by us.
    #[cfg(not(feature = "jemalloc_pprof"))]
    #[test]
    fn the_probe_leaves_the_recursion_limit_of_prost_alone() {
        // Groups of the unknown field 20, each within the last.
        let nested = |depth: usize| [[0xa3, 0x01].repeat(depth), [0xa4, 0x01].repeat(depth)];
        assert!(Profile::decode(&*nested(10).concat()).is_ok());
        assert!(Profile::decode(&*nested(1_000).concat()).is_err());
    }
}
