//! V8's allocation timeline (`.heaptimeline`): a heap snapshot recorded with the stack of each
//! allocation. In: the bytes of the JSON document. Out: a [`Profile`] that is exact: live bytes
//! and objects by stack, what was ever allocated there while it was recorded, and ages. Strings
//! that name no function are not kept. Places of fields come from `snapshot.meta`. What the same
//! objects are, and who keeps them, is left to `v8`.
//!
//! Source: V8 `src/profiler/heap-snapshot-generator.cc` and `allocation-tracker.cc`.

use super::{FRAMES_MAX, NAMES_MAX, Names, ParseError, STACKS_MAX};
use crate::frame::{FILE_MAX, Frame, cut};
use crate::profile::{Aged, Ages, Cell, Location, Profile, StackSample};
use crate::v8::scan::{ScanError, Scanner};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

/// Name of the format in errors.
const FORMAT: &str = "heaptimeline";

/// The key that every file has first.
const BEGIN: &[u8] = b"{\"snapshot\":";

/// Bytes of `snapshot`: some kilobytes of names of fields.
const HEAD_MAX: usize = 1 << 20;

/// Fields of a row at most; V8 writes up to 8.
const FIELDS_MAX: usize = 64;

/// Frames of one stack: V8 records 64.
const DEPTH_MAX: usize = 1_024;

/// Times at which V8 noted the newest object: 20 a second in DevTools, so a day and more.
const SAMPLES_MAX: usize = 2_000_000;

/// Objects with a known stack, 16 bytes each while they are read.
const OBJECTS_MAX: usize = 200_000_000;

/// Upper ends of the ages that are told apart, seconds; what is older comes last.
pub const AGES_S: [f64; 5] = [1.0, 10.0, 60.0, 600.0, 3_600.0];

/// The site of all that has no stack: made before the recording, or by V8 itself.
const UNRECORDED: &str = "(not recorded)";

/// Whether these are the first bytes of a document of V8's heap; whether it has stacks shows
/// only further on.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    super::begins_with(bytes, BEGIN)
}

/// Reads the document.
///
/// # Errors
/// One line that says what is wrong with the file, and where; [`ParseError::NotHeap`] for a
/// snapshot without stacks.
pub fn read(bytes: &[u8]) -> Result<Profile, ParseError> {
    stream(bytes)
}

/// The same as it comes, of any size.
///
/// # Errors
/// As for [`read`], and when the reader fails.
pub fn stream(source: impl Read) -> Result<Profile, ParseError> {
    let mut reader = Reader {
        scanner: Scanner::new(source),
        head: Head::default(),
        nodes: Vec::new(),
        by_node: HashMap::new(),
        objects: Vec::new(),
        functions: Vec::new(),
        samples: Vec::new(),
        names: HashMap::new(),
    };
    match reader.document() {
        Ok(true) => reader.finish(),
        Ok(false) => Err(ParseError::NotHeap {
            has: "every object of a V8 heap, without the stacks that allocated them".to_owned(),
            cure: "compare two such snapshots by class with `ebb diff`, or record with \
                   allocation stacks (`.heaptimeline`)",
        }),
        Err(error) => Err(broken(error.to_string())),
    }
}

fn broken(reason: String) -> ParseError {
    ParseError::Broken { format: FORMAT, reason }
}

#[derive(Default, Deserialize)]
struct Head {
    meta: Meta,
    #[serde(default)]
    trace_function_count: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    node_fields: Vec<String>,
    trace_function_info_fields: Vec<String>,
    trace_node_fields: Vec<String>,
    sample_fields: Vec<String>,
}

/// What is live of one node of the tree of stacks.
#[derive(Clone, Copy, Default)]
struct Live {
    bytes: f64,
    objects: f64,
}

/// A node of the tree of stacks.
#[derive(Clone, Copy, Default)]
struct TraceNode {
    /// Place of the caller's; its own place for the root.
    parent: u32,
    depth: u32,
    id: u64,
    function: u64,
    count: u64,
    size: u64,
}

/// A function: places of its names among the strings, and where it is defined.
#[derive(Clone, Copy, Default)]
struct Function {
    name: u64,
    script: u64,
    line: u64,
}

/// An object with a stack.
struct Object {
    id: u64,
    node: u32,
    bytes: u32,
}

struct Reader<R> {
    scanner: Scanner<R>,
    head: Head,
    nodes: Vec<TraceNode>,
    by_node: HashMap<u64, Live>,
    objects: Vec<Object>,
    functions: Vec<Function>,
    /// Microseconds since the recording began, and the newest object then.
    samples: Vec<(u64, u64)>,
    /// Strings that are wanted.
    names: HashMap<u64, Arc<str>>,
}

impl<R: Read> Reader<R> {
    /// False for a snapshot without stacks.
    fn document(&mut self) -> Result<bool, ScanError> {
        let mut key = Vec::new();
        self.scanner.expect(b'{')?;
        loop {
            key.clear();
            self.scanner.string(&mut key)?;
            self.scanner.expect(b':')?;
            match key.as_slice() {
                b"snapshot" => {
                    self.read_head()?;
                    if self.head.trace_function_count == 0 {
                        return Ok(false);
                    }
                }
                b"nodes" => self.read_objects()?,
                b"trace_function_infos" => self.read_functions()?,
                b"trace_tree" => self.read_tree()?,
                b"samples" => self.read_samples()?,
                b"strings" => self.read_strings()?,
                b"edges" | b"locations" => self.scanner.numbers(|_| Ok(()))?,
                _ => self.scanner.skip()?,
            }
            if !self.scanner.accept(b',')? {
                self.scanner.expect(b'}')?;
                return Ok(true);
            }
        }
    }

    fn read_head(&mut self) -> Result<(), ScanError> {
        let mut text = Vec::new();
        self.scanner.copy(&mut text, HEAD_MAX)?;
        let head = serde_json::from_slice(&text);
        self.head = head.map_err(|error| {
            self.scanner.error(super::repeated(&format!("`snapshot`: {error}")))
        })?;
        Ok(())
    }

    /// Places of named fields of a row, and its width.
    fn places<const N: usize>(
        &self,
        fields: &[String],
        names: [&str; N],
    ) -> Result<([usize; N], usize), ScanError> {
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(names) {
            let found = fields.iter().position(|field| field == name);
            *place = found.ok_or_else(|| {
                self.scanner.error(format!("`snapshot.meta` names no field `{name}` before it"))
            })?;
        }
        if fields.len() > FIELDS_MAX {
            return Err(self.scanner.error(format!("a row of more than {FIELDS_MAX} fields")));
        }
        Ok((places, fields.len()))
    }

    /// Calls `take` with each row of an array of whole numbers.
    fn rows(
        &mut self,
        width: usize,
        mut take: impl FnMut(&[u64]) -> Result<(), String>,
    ) -> Result<(), ScanError> {
        let mut row = vec![0_u64; width];
        let mut at = 0;
        self.scanner.numbers(|number| {
            row[at] = number;
            at += 1;
            if at == width {
                at = 0;
                return take(&row);
            }
            Ok(())
        })?;
        if at == 0 { Ok(()) } else { Err(self.scanner.error("the last row is not whole")) }
    }

    fn read_objects(&mut self) -> Result<(), ScanError> {
        let fields = std::mem::take(&mut self.head.meta.node_fields);
        let names = ["id", "self_size", "trace_node_id"];
        let ([id, size, node], width) = self.places(&fields, names)?;
        let mut by_node = std::mem::take(&mut self.by_node);
        let mut objects = std::mem::take(&mut self.objects);
        self.rows(width, |row| {
            let bytes = row[size];
            let live = by_node.entry(row[node]).or_default();
            live.bytes += bytes as f64;
            // V8 lists things without a size that are no objects of their own.
            live.objects += f64::from(u8::from(bytes > 0));
            let (Ok(node), true) = (u32::try_from(row[node]), row[node] > 0) else { return Ok(()) };
            if objects.len() >= OBJECTS_MAX {
                return Err(format!("more than {OBJECTS_MAX} objects with a stack"));
            }
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            objects.push(Object { id: row[id], node, bytes });
            Ok(())
        })?;
        (self.by_node, self.objects) = (by_node, objects);
        Ok(())
    }

    fn read_functions(&mut self) -> Result<(), ScanError> {
        let fields = std::mem::take(&mut self.head.meta.trace_function_info_fields);
        let names = ["name", "script_name", "line"];
        let ([name, script, line], width) = self.places(&fields, names)?;
        let mut functions = Vec::new();
        self.rows(width, |row| {
            if functions.len() >= NAMES_MAX {
                return Err(format!("more than {NAMES_MAX} functions"));
            }
            functions.push(Function { name: row[name], script: row[script], line: row[line] });
            Ok(())
        })?;
        self.functions = functions;
        Ok(())
    }

    fn read_samples(&mut self) -> Result<(), ScanError> {
        let fields = std::mem::take(&mut self.head.meta.sample_fields);
        let ([time, newest], width) = self.places(&fields, ["timestamp_us", "last_assigned_id"])?;
        let mut samples = Vec::new();
        self.rows(width, |row| {
            if samples.len() >= SAMPLES_MAX {
                return Err(format!("more than {SAMPLES_MAX} samples"));
            }
            samples.push((row[time], row[newest]));
            Ok(())
        })?;
        self.samples = samples;
        Ok(())
    }

    /// The tree nests arrays as deep as stacks: those that are open stand on a list of their own.
    fn read_tree(&mut self) -> Result<(), ScanError> {
        let fields = std::mem::take(&mut self.head.meta.trace_node_fields);
        let names = ["id", "function_info_index", "count", "size", "children"];
        let ([id, function, count, size, children], width) = self.places(&fields, names)?;
        if children + 1 != width {
            return Err(self.scanner.error("`children` is not the last field of `trace_tree`"));
        }
        let mut open: Vec<u32> = Vec::new();
        let mut row = [0_u64; FIELDS_MAX];
        self.scanner.expect(b'[')?;
        if self.scanner.accept(b']')? {
            return Ok(());
        }
        loop {
            for field in &mut row[..children] {
                *field = self.scanner.number()?;
                self.scanner.expect(b',')?;
            }
            let place = self.nodes.len() as u32;
            if self.nodes.len() >= STACKS_MAX || open.len() >= DEPTH_MAX {
                let reason = format!("more than {STACKS_MAX} stacks or {DEPTH_MAX} frames of one");
                return Err(self.scanner.error(reason));
            }
            self.nodes.push(TraceNode {
                parent: open.last().copied().unwrap_or(place),
                depth: open.len() as u32,
                id: row[id],
                function: row[function],
                count: row[count],
                size: row[size],
            });
            self.scanner.expect(b'[')?;
            if !self.scanner.accept(b']')? {
                open.push(place);
                continue;
            }
            while !self.scanner.accept(b',')? {
                self.scanner.expect(b']')?;
                if open.pop().is_none() {
                    return Ok(());
                }
            }
            if open.is_empty() {
                return Err(self.scanner.error("`trace_tree` has more than one root"));
            }
        }
    }

    /// Keeps the strings that name a function or its script.
    fn read_strings(&mut self) -> Result<(), ScanError> {
        let wanted = self.functions.iter().flat_map(|function| [function.name, function.script]);
        let mut wanted: Vec<u64> = wanted.collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut wanted = wanted.into_iter().peekable();
        let mut text = Vec::new();
        let mut place = 0_u64;
        self.scanner.expect(b'[')?;
        if self.scanner.accept(b']')? {
            return Ok(());
        }
        loop {
            text.clear();
            self.scanner.string(&mut text)?;
            if wanted.next_if_eq(&place).is_some() {
                let text = String::from_utf8_lossy(&text);
                self.names.insert(place, cut(&text, FILE_MAX).into());
            }
            place += 1;
            if !self.scanner.accept(b',')? {
                return self.scanner.expect(b']');
            }
        }
    }

    fn finish(mut self) -> Result<Profile, ParseError> {
        if self.nodes.is_empty() || self.by_node.is_empty() {
            return Err(broken("it has no objects, or no `trace_tree`".to_owned()));
        }
        let mut profile = Profile { interval_bytes: 1.0, ..Profile::default() };
        let mut names = Names::default();
        for function in &self.functions {
            profile.locations.push(self.location(function, &mut names)?);
        }
        let mut stack_of = HashMap::with_capacity(self.nodes.len());
        let mut frames_in_all = 0;
        for node in &self.nodes {
            let live = self.by_node.remove(&node.id).unwrap_or_default();
            if node.count == 0 && live.bytes <= 0.0 {
                continue;
            }
            frames_in_all += node.depth as usize;
            if frames_in_all > FRAMES_MAX {
                return Err(ParseError::TooLarge { what: "frames", limit: FRAMES_MAX as u64 });
            }
            stack_of.insert(node.id, profile.stacks.len() as u32);
            let cell = Cell {
                live_bytes: live.bytes,
                live_objects: Some(live.objects),
                alloc_bytes: Some(node.size as f64),
                alloc_objects: Some(node.count as f64),
                ..Cell::default()
            };
            profile.stacks.push(StackSample {
                frames: self.frames(node)?,
                cell,
                object_bytes: None,
            });
        }
        profile.ages = self.ages(&stack_of, profile.stacks.len());
        self.add_unrecorded(&mut profile);
        Ok(profile)
    }

    fn location(&self, function: &Function, names: &mut Names) -> Result<Location, ParseError> {
        let mut text = |place: u64| {
            let name = self.names.get(&place);
            let stray = || broken(format!("string {place} is named and not there"));
            let name = &**name.ok_or_else(stray)?;
            names.count(name)?;
            Ok::<_, ParseError>(name)
        };
        let name = match text(function.name)? {
            "" => "(anonymous)",
            name => name,
        };
        let line = u32::try_from(function.line).unwrap_or(0);
        let frame = Arc::new(Frame::named(name, text(function.script)?, line));
        Ok(Location { frames: vec![frame], ..Location::default() })
    }

    /// The functions of a node, the innermost first; the root only where it stands alone.
    fn frames(&self, node: &TraceNode) -> Result<Vec<u32>, ParseError> {
        let mut frames = Vec::with_capacity(node.depth as usize);
        let mut node = node;
        while node.depth > 0 || frames.is_empty() {
            let count = self.functions.len();
            let known = u32::try_from(node.function).ok().filter(|at| (*at as usize) < count);
            let stray = || broken(format!("function {} of {count} is named", node.function));
            frames.push(known.ok_or_else(stray)?);
            node = &self.nodes[node.parent as usize];
        }
        Ok(frames)
    }

    /// Live bytes of each stack by the time since they were allocated. V8 notes now and then
    /// which object was the newest; `None` when it did so less than twice.
    fn ages(&mut self, stack_of: &HashMap<u64, u32>, stacks: usize) -> Option<Ages> {
        self.samples.sort_unstable();
        let (end, _) = *self.samples.last().filter(|_| self.samples.len() > 1)?;
        let mut sums = vec![[(0.0, 0.0); AGES_S.len() + 1]; stacks];
        for object in &self.objects {
            let Some(stack) = stack_of.get(&u64::from(object.node)) else { continue };
            // Made before the first note that knows it.
            let at = self.samples.partition_point(|(_, newest)| *newest < object.id);
            let made = self.samples.get(at).map_or(end, |(time, _)| *time);
            let age = (end - made) as f64 / 1e6;
            let bracket = AGES_S.iter().position(|bound| age <= *bound).unwrap_or(AGES_S.len());
            let (bytes, objects) = &mut sums[*stack as usize][bracket];
            (*bytes, *objects) = (*bytes + f64::from(object.bytes), *objects + 1.0);
        }
        let rows = (0..).zip(&sums).flat_map(|(at, sums)| {
            let aged = (0..).zip(sums).filter(|(_, (_, objects))| *objects > 0.0);
            aged.map(move |(bracket, (bytes, samples))| Aged {
                at,
                bracket,
                bytes: *bytes,
                samples: *samples,
            })
        });
        Some(Ages { bounds_s: AGES_S.to_vec(), rows: rows.collect() })
    }

    /// What is live without a stack: one more stack, so that nothing is missing from the sum.
    fn add_unrecorded(&self, profile: &mut Profile) {
        let mut cell = Cell { live_objects: Some(0.0), ..Cell::default() };
        for live in self.by_node.values() {
            cell.live_bytes += live.bytes;
            cell.live_objects = cell.live_objects.map(|objects| objects + live.objects);
        }
        let frame = Arc::new(Frame::named(UNRECORDED, "", 0));
        let location = profile.locations.len() as u32;
        profile.locations.push(Location { frames: vec![frame], ..Location::default() });
        profile.stacks.push(StackSample { frames: vec![location], cell, object_bytes: None });
    }
}
