//! `profile.proto`, as written by the probe, Go, Node and many others. In: the decompressed
//! message. Out: a [`Profile`], with names where the file brings its own. Which of the columns
//! is what is told by name. Names for bare addresses are left to `symbol`.
//!
//! Source: google/pprof `proto/profile.proto`. The outer message is taken apart field by field,
//! so that each count meets its limit before anything is kept.

use super::aged::AgeLabels;
use super::columns::{self, Bytes, Places};
use super::sample::{self, COLUMNS_MAX, Ids, Sample};
use super::{
    COMMENTS_MAX, FRAMES_MAX, INLINED_MAX, MAPPINGS_MAX, NAMES_MAX, Names, ParseError, RAW_MAX,
    STACK_MAX, STACKS_MAX,
};
use crate::frame::{Frame, short_function};
use crate::hash::Quick;
use crate::profile::{Cell, Location, Mapping, Profile, StackSample};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Functions, locations and strings of one profile: all smaller than the stacks they serve.
const TABLE_MAX: usize = 4_000_000;

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

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

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

/// Taken apart by hand: its lines have a limit.
#[derive(Default)]
struct ProtoLocation {
    id: u64,
    mapping_id: u64,
    address: u64,
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// The outer message, taken apart.
#[derive(Default)]
struct Parts<'a> {
    sample_types: Vec<ValueType>,
    /// Where each begins, and its bytes: taken apart when all locations are known.
    samples: Vec<(usize, &'a [u8])>,
    mappings: Vec<ProtoMapping>,
    locations: Vec<ProtoLocation>,
    /// Of all locations together.
    lines: usize,
    functions: Vec<Function>,
    strings: Vec<Cow<'a, str>>,
    period_type: Option<ValueType>,
    period: i64,
    comments: Vec<i64>,
}

/// A protobuf message whose first field may be one of this format's.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let Ok((tag, wire)) = decode_key(&mut rest) else { return false };
    let length = decode_varint(&mut rest).unwrap_or(u64::MAX);
    // Every writer begins with a message or a string, and most with the columns.
    wire == WireType::LengthDelimited && (1..=13).contains(&tag) && length <= rest.len() as u64
}

/// Reads the message.
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn read(bytes: &[u8]) -> Result<Profile, ParseError> {
    if bytes.len() as u64 > RAW_MAX {
        return Err(ParseError::TooLarge { what: "bytes of the snapshot", limit: RAW_MAX });
    }
    let mut parts = Parts::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        parts.field(&mut rest, at).map_err(|error| error.at(at))?;
    }
    parts.profile()
}

fn broken(reason: String) -> ParseError {
    ParseError::Broken { format: "pprof", reason }
}

enum FieldError {
    Proto(prost::DecodeError),
    Cut,
    TooMany(&'static str, usize),
}

impl FieldError {
    /// As one line, of the field that begins `at` so many bytes.
    fn at(self, at: usize) -> ParseError {
        match self {
            Self::Proto(error) => broken(format!("byte {at}: {error}")),
            Self::Cut => broken(format!("byte {at}: the file ends inside a field")),
            Self::TooMany(what, limit) => ParseError::TooLarge { what, limit: limit as u64 },
        }
    }
}

impl From<prost::DecodeError> for FieldError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Proto(error)
    }
}

/// Puts one more into a table that has a limit.
fn keep<T>(list: &mut Vec<T>, item: T, what: &'static str, limit: usize) -> Result<(), FieldError> {
    if list.len() >= limit {
        return Err(FieldError::TooMany(what, limit));
    }
    list.push(item);
    Ok(())
}

impl<'a> Parts<'a> {
    fn field(&mut self, rest: &mut &'a [u8], at: usize) -> Result<(), FieldError> {
        let (tag, wire) = decode_key(rest)?;
        match wire {
            WireType::Varint => {
                let value = decode_varint(rest)?;
                match tag {
                    12 => self.period = value.cast_signed(),
                    13 => {
                        keep(&mut self.comments, value.cast_signed(), "comments", COMMENTS_MAX)?;
                    }
                    _ => {}
                }
                Ok(())
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(rest)?).unwrap_or(usize::MAX);
                let (field, behind) = rest.split_at_checked(length).ok_or(FieldError::Cut)?;
                *rest = behind;
                self.message(tag, field, at)
            }
            _ => Ok(skip_field(wire, tag, rest, DecodeContext::default())?),
        }
    }

    fn message(&mut self, tag: u32, field: &'a [u8], at: usize) -> Result<(), FieldError> {
        match tag {
            1 => keep(&mut self.sample_types, Message::decode(field)?, "columns", COLUMNS_MAX),
            2 => keep(&mut self.samples, (at, field), "stacks", STACKS_MAX),
            3 => keep(&mut self.mappings, Message::decode(field)?, "mappings", MAPPINGS_MAX),
            4 => {
                let location = self.location(field)?;
                keep(&mut self.locations, location, "locations", TABLE_MAX)
            }
            5 => keep(&mut self.functions, Message::decode(field)?, "functions", TABLE_MAX),
            6 => {
                let text = String::from_utf8_lossy(field);
                keep(&mut self.strings, text, "strings", TABLE_MAX)
            }
            11 => {
                self.period_type = Some(Message::decode(field)?);
                Ok(())
            }
            13 => {
                let mut packed = field;
                while !packed.is_empty() {
                    let comment = decode_varint(&mut packed)?.cast_signed();
                    keep(&mut self.comments, comment, "comments", COMMENTS_MAX)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn location(&mut self, mut rest: &[u8]) -> Result<ProtoLocation, FieldError> {
        let mut location = ProtoLocation::default();
        while !rest.is_empty() {
            let (tag, wire) = decode_key(&mut rest)?;
            match (tag, wire) {
                (1, WireType::Varint) => location.id = decode_varint(&mut rest)?,
                (2, WireType::Varint) => location.mapping_id = decode_varint(&mut rest)?,
                (3, WireType::Varint) => location.address = decode_varint(&mut rest)?,
                (4, WireType::LengthDelimited) => {
                    let line = Message::decode(sample::bytes(&mut rest)?)?;
                    let what = "inlined functions of an address";
                    keep(&mut location.line, line, what, INLINED_MAX)?;
                }
                (1..=4, _) => {
                    let text = format!("field {tag} of a location is {wire:?}");
                    return Err(sample::wrong(&text).into());
                }
                _ => skip_field(wire, tag, &mut rest, DecodeContext::default())?,
            }
        }
        self.lines += location.line.len();
        if self.lines > NAMES_MAX {
            return Err(FieldError::TooMany("inlined functions", NAMES_MAX));
        }
        Ok(location)
    }

    fn text(&self, index: i64) -> Result<&str, ParseError> {
        usize::try_from(index).ok().and_then(|index| self.strings.get(index)).map_or_else(
            || Err(broken(format!("string {index} of {} is named", self.strings.len()))),
            |text| Ok(&**text),
        )
    }

    fn profile(&self) -> Result<Profile, ParseError> {
        let columns = Columns::of(self)?;
        let mut profile = Profile::default();
        self.interval(&mut profile)?;
        if columns.places.live_objects.is_none() {
            profile.notes.push("the snapshot counts bytes and no objects".to_owned());
        }
        if columns.places.guessed {
            profile.notes.push("its only column of bytes is taken as what is live".to_owned());
        }
        let mut names = Names::default();
        let mut mapping_index = HashMap::with_capacity(self.mappings.len());
        for mapping in &self.mappings {
            mapping_index.insert(mapping.id, profile.mappings.len() as u32);
            profile.mappings.push(Mapping {
                start: mapping.memory_start,
                end: mapping.memory_limit,
                file_offset: mapping.file_offset,
                file: names.keep(self.text(mapping.filename)?)?,
                build_id: names.keep(self.text(mapping.build_id)?)?.to_ascii_lowercase(),
            });
        }
        let location_index = self.locations(&mut profile, &mapping_index, &mut names)?;
        let mut ages = AgeLabels::find(self.strings.iter().map(AsRef::as_ref));
        profile.stacks = self.stacks(&location_index, &columns, &mut ages)?;
        profile.ages = ages.finish();
        for comment in &self.comments {
            profile.comments.push(names.keep(self.text(*comment)?)?);
        }
        let said = |key: &str| {
            profile.comments.iter().find_map(|comment| comment.strip_prefix(key)?.strip_prefix('='))
        };
        profile.pid = said("pid").and_then(|pid| pid.trim().parse().ok());
        profile.exe = said("exe")
            .map(str::to_owned)
            .or_else(|| profile.mappings.first().map(|mapping| mapping.file.clone()))
            .filter(|exe| !exe.is_empty());
        Ok(profile)
    }

    fn stacks(
        &self,
        locations: &Ids,
        columns: &Columns,
        ages: &mut AgeLabels,
    ) -> Result<Vec<StackSample>, ParseError> {
        let depths = self.depths();
        let mut sample = Sample::default();
        let mut all_frames = 0;
        let mut stacks = Vec::with_capacity(self.samples.len());
        for (number, (at, field)) in self.samples.iter().enumerate() {
            sample.read(field, locations).map_err(|error| FieldError::from(error).at(*at))?;
            if sample.strange {
                return Err(broken(format!("sample {number}: names an unknown location")));
            }
            let frames = &sample.locations;
            let depth = if depths.is_empty() {
                frames.len()
            } else {
                frames.iter().map(|at| usize::from(depths[*at as usize])).sum()
            };
            all_frames += depth;
            for (count, what, limit) in
                [(depth, "frames of a stack", STACK_MAX), (all_frames, "frames", FRAMES_MAX)]
            {
                if count > limit {
                    return Err(FieldError::TooMany(what, limit).at(*at));
                }
            }
            let frames = frames.clone();
            let cell = columns.cell(&sample, number)?;
            ages.note(number, &sample, &cell);
            stacks.push(StackSample { frames, cell, object_bytes: columns.size(&sample) });
        }
        Ok(stacks)
    }

    /// Frames of each location, with those that were inlined; empty when each has one. A list of
    /// its own, small enough for the processor's cache: each frame of each stack asks it.
    fn depths(&self) -> Vec<u16> {
        const { assert!(INLINED_MAX <= u16::MAX as usize) };
        if self.locations.iter().all(|location| location.line.len() <= 1) {
            return Vec::new();
        }
        self.locations.iter().map(|location| location.line.len().max(1) as u16).collect()
    }

    fn interval(&self, profile: &mut Profile) -> Result<(), ParseError> {
        let by_space = match &self.period_type {
            Some(period) => {
                self.text(period.kind)? == "space" || self.text(period.unit)? == "bytes"
            }
            None => false,
        };
        profile.interval_bytes = if by_space && self.period > 0 { self.period as f64 } else { 1.0 };
        if !by_space || self.period <= 0 {
            profile
                .notes
                .push("the snapshot does not say how it was sampled: taken as exact".to_owned());
        }
        Ok(())
    }

    fn locations(
        &self,
        profile: &mut Profile,
        mapping_index: &HashMap<u64, u32>,
        names: &mut Names,
    ) -> Result<Ids, ParseError> {
        let functions = Ids::of(self.functions.iter().map(|function| function.id));
        let mut frames: HashMap<(u64, i64), Arc<Frame>, Quick> = HashMap::default();
        // By the place of the text: many functions may have one.
        let mut short: HashMap<i64, String, Quick> = HashMap::default();
        profile.locations.reserve(self.locations.len());
        for location in &self.locations {
            let mut lines = Vec::with_capacity(location.line.len());
            for line in &location.line {
                let key = (line.function_id, line.line);
                if let Some(frame) = frames.get(&key) {
                    lines.push(Arc::clone(frame));
                    continue;
                }
                let index = functions.find(line.function_id).ok_or_else(|| {
                    broken(format!("location {}: names an unknown function", location.id))
                })? as usize;
                let function = &self.functions[index];
                let name = self.text(function.name)?;
                let short = short.entry(function.name).or_insert_with(|| short_function(name));
                names.count(short)?;
                let frame = Arc::new(Frame {
                    function: short.clone(),
                    file: names.keep(self.text(function.filename)?)?,
                    line: u32::try_from(line.line).unwrap_or(0),
                });
                frames.insert(key, Arc::clone(&frame));
                lines.push(frame);
            }
            profile.locations.push(Location {
                address: location.address,
                mapping: mapping_index.get(&location.mapping_id).copied(),
                frames: lines,
            });
        }
        Ok(Ids::of(self.locations.iter().map(|location| location.id)))
    }
}

/// Which value is what, and which label.
struct Columns {
    places: Places,
    live_samples: Option<i64>,
    alloc_samples: Option<i64>,
    object_bytes: Option<i64>,
}

impl Columns {
    fn of(parts: &Parts) -> Result<Self, ParseError> {
        let mut named = Vec::with_capacity(parts.sample_types.len());
        for column in &parts.sample_types {
            named.push((parts.text(column.kind)?, parts.text(column.unit)?));
        }
        let label = |name: &str| {
            parts.strings.iter().position(|text| text == name).map(|index| index as i64)
        };
        Ok(Self {
            places: columns::tell(&named)?,
            live_samples: label("inuse_samples"),
            alloc_samples: label("alloc_samples"),
            object_bytes: label("bytes"),
        })
    }

    /// How large each object of a row is, as Go's runtime says it in a label.
    fn size(&self, sample: &Sample) -> Option<u64> {
        let key = self.object_bytes?;
        let (_, size) = sample.labels.iter().find(|(name, _)| *name == key)?;
        u64::try_from(*size).ok().filter(|size| *size > 0)
    }

    fn cell(&self, sample: &Sample, number: usize) -> Result<Cell, ParseError> {
        let value = |column: usize| match sample.values.get(column) {
            Some(value) if *value >= 0 => Ok(*value as f64),
            Some(value) => Err(broken(format!(
                "sample {number}: the value {value} is below 0 (is it a difference of profiles?)"
            ))),
            None => Err(broken(format!(
                "sample {number}: has {} values, and column {column} is missing",
                sample.values.len()
            ))),
        };
        // A writer that counts samples may leave the label out where there are none.
        let label = |key: Option<i64>, bytes: Option<f64>| {
            let key = key?;
            match sample.labels.iter().find(|(name, _)| *name == key) {
                Some((_, count)) => (*count >= 0).then_some(*count as f64),
                None => (bytes? == 0.0).then_some(0.0),
            }
        };
        let bytes = |column: Bytes| Ok(value(column.place)? * column.unit);
        let live_bytes = bytes(self.places.live_bytes)?;
        let alloc_bytes = self.places.alloc_bytes.map(bytes).transpose()?;
        Ok(Cell {
            live_bytes,
            live_objects: self.places.live_objects.map(value).transpose()?,
            alloc_bytes,
            alloc_objects: self.places.alloc_objects.map(value).transpose()?,
            live_samples: label(self.live_samples, Some(live_bytes)),
            alloc_samples: label(self.alloc_samples, alloc_bytes),
        })
    }
}
