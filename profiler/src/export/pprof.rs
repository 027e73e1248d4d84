//! `profile.proto`, gzip'd. A comparison is written as pprof's own `-diff_base` writes it: the
//! earlier snapshot below 0 and marked `pprof::base`, so that shares are of the earlier one. In:
//! stacks. Out: bytes that `go tool pprof` and its kin read.
//!
//! Source: google/pprof `proto/profile.proto`; `internal/driver/fetch.go`, `pprof::base`.

use super::Title;
use crate::stacks::Stacks;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::Write;

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    text: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Proto {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

/// The strings of a profile, each once; the first one is empty.
struct Table {
    texts: Vec<String>,
    places: HashMap<String, i64>,
}

impl Table {
    fn place(&mut self, text: &str) -> i64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.texts.len() as i64;
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

/// The profile. Columns are `inuse_objects` and `inuse_space` (`alloc_...` for all that was ever
/// allocated); the first is left out where a snapshot has no objects.
#[must_use]
pub fn write(stacks: &Stacks, title: &Title<'_>) -> Vec<u8> {
    let mut table = Table { texts: vec![String::new()], places: HashMap::new() };
    table.places.insert(String::new(), 0);
    let mut proto = Proto::default();
    let cells = || stacks.rows.iter().flat_map(|row| [row.before, row.after]).flatten();
    let with_objects = cells().all(|cell| cell.live_objects.is_some());
    let prefix = if title.cumulative { "alloc" } else { "inuse" };
    let space = format!("{prefix}_space");
    let columns = [(format!("{prefix}_objects"), "count"), (space.clone(), "bytes")];
    for (name, unit) in columns.iter().skip(usize::from(!with_objects)) {
        let value = ValueType { kind: table.place(name), unit: table.place(unit) };
        proto.sample_type.push(value);
    }
    proto.default_sample_type = table.place(&space);
    proto.comment = vec![table.place(title.name), table.place(title.tool)];
    places(stacks, &mut table, &mut proto);
    let base = Label { key: table.place("pprof::base"), text: table.place("true") };
    for row in &stacks.rows {
        let location_id: Vec<u64> = row.frames.iter().map(|frame| u64::from(*frame) + 1).collect();
        for (cell, sign, label) in [(row.before, -1, Some(&base)), (row.after, 1, None)] {
            let Some(cell) = cell else { continue };
            let number = |value: f64| sign * value.round() as i64;
            let mut value = vec![number(cell.live_bytes)];
            if with_objects {
                value.insert(0, number(cell.live_objects.unwrap_or_default()));
            }
            if value.iter().any(|number| *number != 0) {
                let label = label.into_iter().cloned().collect();
                proto.sample.push(Sample { location_id: location_id.clone(), value, label });
            }
        }
    }
    proto.string_table = table.texts;
    compressed(&proto.encode_to_vec())
}

/// A location for each frame, and a function for each name in a file.
fn places(stacks: &Stacks, table: &mut Table, proto: &mut Proto) {
    let mut functions: HashMap<(i64, i64), u64> = HashMap::new();
    for (place, (frame, path)) in stacks.frames.iter().zip(&stacks.paths).enumerate() {
        let (name, filename) = (table.place(&frame.function), table.place(path));
        let next = functions.len() as u64 + 1;
        let function_id = *functions.entry((name, filename)).or_insert(next);
        if function_id == next {
            let function = Function { id: next, name, system_name: name, filename };
            proto.function.push(function);
        }
        let line = Line { function_id, line: i64::from(frame.line) };
        proto.location.push(Location { id: place as u64 + 1, line: vec![line] });
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("a `Vec` takes every byte that it is given")
}
