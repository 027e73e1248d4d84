//! V8's sampled heap profile (`.heapprofile`): what `HeapProfiler.getSamplingProfile`,
//! `node --heap-prof` and Chrome's DevTools write. In: the bytes of a JSON document. Out: a
//! [`Profile`] of live bytes by stack, with the number of samples behind them and no numbers of
//! objects, but for objects so large that each of them is a sample of its own.
//!
//! Sizes are scaled already: a sample of an object of Z bytes stands for Z times the rounded
//! 1/(1 - exp(-Z/R)). Lines are those of a function's definition. Source: V8
//! `src/profiler/sampling-heap-profiler.cc` and `src/inspector/v8-heap-profiler-agent-impl.cc`.

use super::{FRAMES_MAX, ParseError, STACKS_MAX};
use crate::frame::Frame;
use crate::profile::{Cell, Location, Profile, StackSample};
use crate::v8::scan::{ScanError, Scanner};
use std::collections::HashMap;
use std::sync::Arc;

/// Name of the format in errors.
const FORMAT: &str = "heapprofile";

/// What V8 takes between two samples unless told otherwise, bytes.
const INTERVAL_DEFAULT: f64 = 32_768.0;

/// A sample of more than so many intervals is one object of that size: above 1.1 intervals an
/// object stands for itself alone, and two of the largest that stand for two make 2.2.
const ALONE: f64 = 2.2;

/// Frames of one stack: V8's own limit is 128 unless a program raises it.
const DEPTH_MAX: usize = 4_096;

/// Beginning of the names of scripts that a reader of ours ran in the target: what they allocate
/// is the measurement's own.
pub const OWN_SCRIPTS: &str = "ebb:";

/// How far behind the white space at the begin the first key is looked for.
const LOOKED_AT: usize = 64;

/// Whether these are the first bytes of such a profile.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    let begin = bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).take(LOOKED_AT);
    let begin: Vec<u8> = begin.copied().collect();
    [&b"{\"head\":"[..], b"{\"samplingInterval\":", b"{\"samples\":[{\"size\""]
        .iter()
        .any(|start| begin.starts_with(start))
}

/// Reads such a profile.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Profile, ParseError> {
    let mut reading = Reading::new(bytes);
    reading.document().map_err(|Stop(error)| error)?;
    reading.finish()
}

/// A node of the tree: a function, called by those above it.
struct Node {
    parent: Option<u32>,
    frame: u32,
    id: u64,
    self_size: f64,
    depth: usize,
    /// It, or one that called it, is a script of ours.
    ours: bool,
}

/// Where a function is defined, as V8 says.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct CallFrame {
    function: String,
    url: String,
    line: i64,
    column: i64,
}

/// One sample.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    node: u64,
    /// What it stands for.
    bytes: f64,
    /// Rises with the time it was taken; absent in old files.
    ordinal: Option<u64>,
}

/// What the samples of one node amount to.
#[derive(Clone, Debug, Default)]
struct Sampled {
    ordinals: Vec<u64>,
    large_ordinals: Vec<u64>,
    count: f64,
    bytes: f64,
    large_count: f64,
    large_bytes: f64,
}

struct Reading<'a> {
    scanner: Scanner<&'a [u8]>,
    nodes: Vec<Node>,
    frames: Vec<CallFrame>,
    frame_at: HashMap<CallFrame, u32>,
    samples: Vec<Sample>,
    interval: Option<f64>,
    text: Vec<u8>,
}

/// Why reading stops.
struct Stop(ParseError);

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self(ParseError::Broken { format: FORMAT, reason: error.to_string() })
    }
}

impl<'a> Reading<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            scanner: Scanner::new(bytes),
            nodes: Vec::new(),
            frames: Vec::new(),
            frame_at: HashMap::new(),
            samples: Vec::new(),
            interval: None,
            text: Vec::new(),
        }
    }

    fn document(&mut self) -> Result<(), Stop> {
        self.scanner.expect(b'{')?;
        while !self.scanner.accept(b'}')? {
            match self.key()?.as_str() {
                "head" if self.nodes.is_empty() => self.tree()?,
                "samples" => self.samples()?,
                "samplingInterval" => {
                    let given = self.scanner.signed()? as f64;
                    self.interval = (given >= 1.0).then_some(given);
                }
                _ => self.scanner.skip()?,
            }
            self.scanner.accept(b',')?;
        }
        Ok(())
    }

    fn key(&mut self) -> Result<String, Stop> {
        let key = self.string()?;
        self.scanner.expect(b':')?;
        Ok(key)
    }

    fn string(&mut self) -> Result<String, Stop> {
        self.text.clear();
        self.scanner.string(&mut self.text)?;
        Ok(String::from_utf8_lossy(&self.text).into_owned())
    }

    /// The tree of functions. Nodes that are open stand on a list of their own: files choose how
    /// deep they nest.
    fn tree(&mut self) -> Result<(), Stop> {
        let mut open: Vec<u32> = Vec::new();
        self.scanner.expect(b'{')?;
        self.enter(&mut open)?;
        while let Some(node) = open.last().copied() {
            if self.scanner.accept(b'}')? {
                open.pop();
                if open.is_empty() {
                    break;
                }
                if self.scanner.accept(b',')? {
                    self.scanner.expect(b'{')?;
                    self.enter(&mut open)?;
                } else {
                    self.scanner.expect(b']')?;
                    self.scanner.accept(b',')?;
                }
                continue;
            }
            let at = node as usize;
            match self.key()?.as_str() {
                "callFrame" => self.call_frame(at)?,
                "selfSize" => self.nodes[at].self_size = self.bytes()?,
                "id" => self.nodes[at].id = self.scanner.number()?,
                "children" => {
                    self.scanner.expect(b'[')?;
                    if !self.scanner.accept(b']')? {
                        self.scanner.expect(b'{')?;
                        self.enter(&mut open)?;
                        continue;
                    }
                }
                _ => self.scanner.skip()?,
            }
            self.scanner.accept(b',')?;
        }
        Ok(())
    }

    fn enter(&mut self, open: &mut Vec<u32>) -> Result<(), Stop> {
        let parent = open.last().copied();
        let above = parent.map(|parent| &self.nodes[parent as usize]);
        let (depth, ours) = above.map_or((0, false), |node| (node.depth + 1, node.ours));
        if self.nodes.len() >= STACKS_MAX {
            return Err(too_large("nodes", STACKS_MAX));
        }
        if depth > DEPTH_MAX {
            return Err(too_large("frames of a stack", DEPTH_MAX));
        }
        open.push(self.nodes.len() as u32);
        self.nodes.push(Node { parent, frame: 0, id: 0, self_size: 0.0, depth, ours });
        Ok(())
    }

    fn call_frame(&mut self, node: usize) -> Result<(), Stop> {
        let mut frame = CallFrame { line: -1, column: -1, ..CallFrame::default() };
        self.scanner.expect(b'{')?;
        while !self.scanner.accept(b'}')? {
            match self.key()?.as_str() {
                "functionName" => frame.function = self.string()?,
                "url" => frame.url = self.string()?,
                "lineNumber" => frame.line = self.scanner.signed()?,
                "columnNumber" => frame.column = self.scanner.signed()?,
                _ => self.scanner.skip()?,
            }
            self.scanner.accept(b',')?;
        }
        self.nodes[node].ours |= frame.url.starts_with(OWN_SCRIPTS);
        let next = self.frames.len() as u32;
        let index = *self.frame_at.entry(frame.clone()).or_insert(next);
        if index == next {
            self.frames.push(frame);
        }
        self.nodes[node].frame = index;
        Ok(())
    }

    /// A size, which Node writes as a number that may have a fraction.
    fn bytes(&mut self) -> Result<f64, Stop> {
        let bytes = self.scanner.signed()?;
        if bytes < 0 {
            return Err(self.scanner.error(format!("a size of {bytes} bytes")).into());
        }
        Ok(bytes as f64)
    }

    fn samples(&mut self) -> Result<(), Stop> {
        self.scanner.expect(b'[')?;
        while !self.scanner.accept(b']')? {
            let mut sample = Sample::default();
            self.scanner.expect(b'{')?;
            while !self.scanner.accept(b'}')? {
                match self.key()?.as_str() {
                    "nodeId" => sample.node = self.scanner.number()?,
                    "size" => sample.bytes = self.bytes()?,
                    "ordinal" => sample.ordinal = Some(self.scanner.number()?),
                    _ => self.scanner.skip()?,
                }
                self.scanner.accept(b',')?;
            }
            self.scanner.accept(b',')?;
            if self.samples.len() >= STACKS_MAX {
                return Err(too_large("samples", STACKS_MAX));
            }
            self.samples.push(sample);
        }
        Ok(())
    }

    fn finish(self) -> Result<Profile, ParseError> {
        if self.nodes.is_empty() {
            return Err(broken("it has no `head`, the tree of functions"));
        }
        let mut notes = Vec::new();
        let interval = self.interval.or_else(|| interval_of(&self.samples)).unwrap_or_else(|| {
            if self.nodes.iter().any(|node| node.self_size > 0.0) {
                notes.push("no single samples in it: how sure its figures are is a guess".into());
            }
            INTERVAL_DEFAULT
        });
        let mut by_node: HashMap<u64, Sampled> = HashMap::new();
        for sample in &self.samples {
            let sampled = by_node.entry(sample.node).or_default();
            if sample.bytes > ALONE * interval {
                sampled.large_count += 1.0;
                sampled.large_bytes += sample.bytes;
                sampled.large_ordinals.extend(sample.ordinal);
            } else {
                sampled.count += 1.0;
                sampled.bytes += sample.bytes;
                sampled.ordinals.extend(sample.ordinal);
            }
        }
        let mut profile = Profile {
            interval_bytes: interval,
            locations: self.frames.iter().map(location).collect(),
            notes,
            ..Profile::default()
        };
        let large = profile.locations.len() as u32;
        profile.locations.push(named("(large object)"));
        let mut frames_in_all = 0;
        for node in self.nodes.iter().filter(|node| !node.ours) {
            // Taken away: nodes that share a number share its samples, and one has them.
            let sampled = by_node.remove(&node.id);
            if sampled.is_none() && (node.self_size <= 0.0 || !self.samples.is_empty()) {
                continue;
            }
            let frames = self.stack(node);
            frames_in_all += frames.len();
            if frames_in_all > FRAMES_MAX {
                return Err(ParseError::TooLarge { what: "frames", limit: FRAMES_MAX as u64 });
            }
            add_cells(&mut profile, node, sampled.as_ref(), (frames, large));
        }
        Ok(profile)
    }

    /// The functions of a node, itself first, without the root.
    fn stack(&self, node: &Node) -> Vec<u32> {
        let mut frames = vec![node.frame];
        let mut above = node.parent;
        while let Some(at) = above {
            let node = &self.nodes[at as usize];
            above = node.parent;
            if above.is_some() {
                frames.push(node.frame);
            }
        }
        frames
    }
}

/// What one node holds: small objects, whose number is not known, and large ones, each of which
/// was sampled.
fn add_cells(
    profile: &mut Profile,
    node: &Node,
    sampled: Option<&Sampled>,
    (frames, large): (Vec<u32>, u32),
) {
    let Profile { stacks, ordinals, .. } = profile;
    let mut number = |stack: usize, taken: &[u64]| {
        ordinals.extend(taken.iter().map(|ordinal| (stack as u32, *ordinal)));
    };
    let Some(sampled) = sampled else {
        let cell = Cell { live_bytes: node.self_size, ..Cell::default() };
        stacks.push(StackSample { frames, cell, object_bytes: None });
        return;
    };
    if sampled.large_count > 0.0 {
        number(stacks.len(), &sampled.large_ordinals);
        let mut below = vec![large];
        below.extend_from_slice(&frames);
        let cell = Cell {
            live_bytes: sampled.large_bytes,
            live_objects: Some(sampled.large_count),
            live_samples: Some(sampled.large_count),
            ..Cell::default()
        };
        stacks.push(StackSample { frames: below, cell, object_bytes: None });
    }
    if sampled.count > 0.0 {
        number(stacks.len(), &sampled.ordinals);
        // V8 rounds once for the node, and once for each sample.
        let whole = node.self_size - sampled.large_bytes;
        let live_bytes = if whole > 0.0 { whole } else { sampled.bytes };
        let live_samples = Some(sampled.count);
        let cell = Cell { live_bytes, live_samples, ..Cell::default() };
        stacks.push(StackSample { frames, cell, object_bytes: None });
    }
}

/// Bytes between two samples, which the file does not say: the smallest sample stands for hardly
/// more than that, and people choose powers of two.
fn interval_of(samples: &[Sample]) -> Option<f64> {
    let least = samples.iter().map(|sample| sample.bytes).filter(|bytes| *bytes > 0.0);
    let least = least.min_by(f64::total_cmp)?;
    Some(least.log2().floor().exp2())
}

fn location(frame: &CallFrame) -> Location {
    let file = path(&frame.url);
    let line = u32::try_from(frame.line.saturating_add(1)).unwrap_or(0);
    let function = match (frame.function.as_str(), line) {
        ("", 0) => "(anonymous)".to_owned(),
        ("", line) => format!("(anonymous {line}:{})", frame.column.saturating_add(1)),
        (name, _) => name.to_owned(),
    };
    let frames = vec![Arc::new(Frame::named(&function, &file, line))];
    Location { frames, ..Location::default() }
}

fn named(function: &str) -> Location {
    let frames = vec![Arc::new(Frame::named(function, "", 0))];
    Location { frames, ..Location::default() }
}

/// The path of a `file://` URL; other URLs (`node:net`) stay.
fn path(url: &str) -> String {
    let Some(path) = url.strip_prefix("file://") else { return url.to_owned() };
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let code = code.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn too_large(what: &'static str, limit: usize) -> Stop {
    Stop(ParseError::TooLarge { what, limit: limit as u64 })
}

fn broken(reason: &str) -> ParseError {
    ParseError::Broken { format: FORMAT, reason: reason.to_owned() }
}
