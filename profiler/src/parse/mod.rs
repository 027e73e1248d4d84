//! Reading snapshots, one file per format. In: the bytes of a file, never trusted: each count is
//! checked against a limit and against what is there. Out: a [`Profile`], or one line that says
//! what is wrong with the file. Fetching bytes is left to `source`, names to `symbol`. Pure.
//!
//! To add a format: a file with `pub fn read(bytes) -> Result<Profile, ParseError>` and
//! `pub fn recognises(bytes) -> bool`, and a line in `FORMATS`. A form is told by its content
//! alone, never by the name of its file.

mod aged;
pub mod collapsed;
mod columns;
pub mod dhat;
pub mod heap_v2;
pub mod heapprofile;
pub mod heaptimeline;
pub mod pprof;
pub mod resident;
mod sample;
pub mod stranger;

use self::stranger::Stranger;
use crate::frame::{FILE_MAX, cut};
use crate::profile::{Form, Profile};
pub(crate) use crate::v8::scan::repeated;
use std::io::Read;

/// Bytes of a snapshot after decompression. Heap profiles of large services have some 20 MB; the
/// limit keeps a hostile file from taking the reader's memory.
pub const RAW_MAX: u64 = 128 << 20;

/// Stacks of one snapshot: a hundred times what a large service shows.
pub const STACKS_MAX: usize = 2_000_000;

/// Frames of all stacks of one snapshot together (4 bytes each once read).
pub const FRAMES_MAX: usize = 50_000_000;

/// Frames of one stack, with those that were inlined: recursion that samplers still write down.
pub const STACK_MAX: usize = 65_536;

/// Functions inlined at one address: compilers stop long before.
pub const INLINED_MAX: usize = 1_024;

/// Remarks of one snapshot: writers leave a handful.
pub const COMMENTS_MAX: usize = 4_096;

/// Bytes of all names of one snapshot together: a file may name one long text again and again.
pub const NAMES_BYTES_MAX: usize = 256 << 20;

/// Names of one snapshot, of functions or places: all fewer than the stacks they serve.
pub const NAMES_MAX: usize = 4_000_000;

/// Files mapped into a process: the kernel's own limit is 65,530 mappings.
pub const MAPPINGS_MAX: usize = 65_536;

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How many times its packed length a deflated stream reserves beforehand; heap profiles shrink
/// three to ten times.
const DEFLATE_MAX: usize = 16;

/// What is wrong with a snapshot. One line each.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// There is nothing to read.
    #[error("the snapshot is empty: was the process stopped while it was written?")]
    Empty,
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// None of the formats that are read.
    #[error(
        "unknown format, the snapshot begins with {0}: expected a heap profile as pprof \
         (profile.proto), heap_v2, dhat, heapprofile, heaptimeline or collapsed stacks, gzipped \
         or plain"
    )]
    UnknownFormat(String),
    /// Something else that is known.
    #[error("this is {is}, no heap profile; {cure}", is = .0.is, cure = .0.cure)]
    Stranger(Stranger),
    /// The compressed stream is broken.
    #[error("broken gzip stream after {read} bytes: {reason}; take the snapshot again")]
    Gzip {
        /// Bytes that could be read.
        read: usize,
        /// What the decoder says.
        reason: String,
    },
    /// The format is right, the content is not.
    #[error("{format}: {reason}; take the snapshot again")]
    Broken {
        /// Name of the format.
        format: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// More than is read.
    #[error("{what}: more than the limit of {limit}; is this a heap profile?")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A profile, but of something else.
    #[error("not a heap profile: it has {has}, and no live bytes; {cure}")]
    NotHeap {
        /// The columns it has.
        has: String,
        /// What to fetch instead.
        cure: &'static str,
    },
}

/// A format by its name: how it is told, and how it is read.
struct Format {
    form: Form,
    recognises: fn(&[u8]) -> bool,
    read: fn(&[u8]) -> Result<Profile, ParseError>,
}

/// Asked in this order; the loosest test is last.
const FORMATS: &[Format] = &[
    Format { form: Form::HeapV2, recognises: heap_v2::recognises, read: heap_v2::read },
    Format {
        form: Form::HeapProfile,
        recognises: heapprofile::recognises,
        read: heapprofile::read,
    },
    Format { form: Form::Resident, recognises: resident::recognises, read: resident::read },
    Format { form: Form::Dhat, recognises: dhat::recognises, read: dhat::read },
    Format {
        form: Form::HeapTimeline,
        recognises: heaptimeline::recognises,
        read: heaptimeline::read,
    },
    Format { form: Form::Collapsed, recognises: collapsed::recognises, read: collapsed::read },
    Format { form: Form::Pprof, recognises: pprof::recognises, read: pprof::read },
];

/// Bytes by which a file is told to be something else, before the rest is read: as many as the
/// form with the longest first line needs.
const HEAD: u64 = collapsed::LOOKED_AT as u64;

/// The names of a snapshot while it is read: cut, and counted together.
#[derive(Debug, Default)]
struct Names {
    bytes: usize,
}

impl Names {
    /// The text as it is kept.
    fn keep(&mut self, text: &str) -> Result<String, ParseError> {
        let text = cut(text, FILE_MAX);
        self.count(text)?;
        Ok(text.to_owned())
    }

    /// Counts a text that another keeps.
    fn count(&mut self, text: &str) -> Result<(), ParseError> {
        self.bytes += text.len();
        if self.bytes > NAMES_BYTES_MAX {
            let limit = NAMES_BYTES_MAX as u64;
            return Err(ParseError::TooLarge { what: "bytes of all names", limit });
        }
        Ok(())
    }
}

/// Reads a snapshot as it comes. What is no snapshot is given up early, and a form that can be
/// read as a stream is.
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn read_from(mut source: impl Read) -> Result<Profile, ParseError> {
    let mut bytes = Vec::new();
    fill(&mut source, HEAD, &mut bytes)?;
    if heaptimeline::recognises(&bytes) {
        let profile = heaptimeline::stream(bytes.chain(source))?;
        return Ok(Profile { form: Some(Form::HeapTimeline), ..profile });
    }
    if bytes.len() as u64 == HEAD && !bytes.starts_with(&GZIP_MAGIC) {
        told(&bytes)?;
    }
    fill(&mut source, RAW_MAX + 1 - bytes.len() as u64, &mut bytes)?;
    read(&bytes)
}

fn fill(source: &mut impl Read, limit: u64, bytes: &mut Vec<u8>) -> Result<(), ParseError> {
    let read = source.take(limit).read_to_end(bytes);
    read.map(drop).map_err(|error| ParseError::Unreadable(error.to_string()))
}

/// Reads a snapshot in any known format, compressed or not.
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn read(bytes: &[u8]) -> Result<Profile, ParseError> {
    let inflated;
    let raw = if bytes.starts_with(&GZIP_MAGIC) {
        inflated = inflate(bytes)?;
        inflated.as_slice()
    } else {
        bytes
    };
    if raw.is_empty() {
        return Err(ParseError::Empty);
    }
    let format = told(raw)?;
    // What is read as it streams takes little more memory than it has taken already.
    let streams = format.form == Form::HeapTimeline;
    if raw.len() as u64 > RAW_MAX && !streams {
        return Err(ParseError::TooLarge { what: "bytes of the snapshot", limit: RAW_MAX });
    }
    let profile = (format.read)(raw)?;
    // Whoever folds a stack goes through all of it at once.
    if profile.stacks.iter().any(|stack| stack.frames.len() > STACK_MAX) {
        return Err(ParseError::TooLarge { what: "frames of a stack", limit: STACK_MAX as u64 });
    }
    Ok(Profile { form: Some(format.form), ..profile })
}

/// The format of a file by its first bytes.
fn told(raw: &[u8]) -> Result<&'static Format, ParseError> {
    let found = FORMATS.iter().find(|format| (format.recognises)(raw));
    // A page that reports an error may look like the forms that have no begin of their own.
    if found.is_none_or(|format| matches!(format.form, Form::Pprof | Form::Collapsed))
        && let Some(stranger) = stranger::of(raw)
    {
        return Err(ParseError::Stranger(stranger));
    }
    found.ok_or_else(|| ParseError::UnknownFormat(beginning(raw)))
}

/// The text begins so, white space anywhere in it left out.
fn begins_with(bytes: &[u8], start: &[u8]) -> bool {
    let begin = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    begin.take(start.len()).eq(start)
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, ParseError> {
    // The last four bytes of a gzip file say how long it was: believed within reason.
    let said = bytes.last_chunk().map_or(0, |last| u32::from_le_bytes(*last) as usize);
    let mut raw = Vec::with_capacity(said.min(bytes.len().saturating_mul(DEFLATE_MAX)));
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take(RAW_MAX + 1);
    match decoder.read_to_end(&mut raw) {
        Ok(_) if raw.len() as u64 > RAW_MAX => {
            Err(ParseError::TooLarge { what: "bytes of the snapshot", limit: RAW_MAX })
        }
        Ok(_) => Ok(raw),
        Err(error) => Err(ParseError::Gzip { read: raw.len(), reason: error.to_string() }),
    }
}

/// The first bytes as a person can read them.
fn beginning(raw: &[u8]) -> String {
    let head = &raw[..raw.len().min(16)];
    if head.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return format!("`{}`", String::from_utf8_lossy(head));
    }
    let hex: Vec<String> = head.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("the bytes {}", hex.join(" "))
}

/// Estimate of what was allocated from what was sampled, for objects of `size` bytes, each byte
/// sampled with probability 1/`interval`: the factor `1 / (1 - exp(-size / interval))`.
/// 1 when each allocation is counted. Source: `AdjustSamples` of jeprof.
#[must_use]
pub fn unbias_factor(size: f64, interval: f64) -> f64 {
    if interval <= 1.0 || size <= 0.0 || !size.is_finite() {
        return 1.0;
    }
    -1.0 / (-size / interval).exp_m1()
}
