//! jemalloc's own text, `heap_v2`. In: the text. Out: a [`Profile`] with each cell unbiased
//! (raw columns cannot be summed or compared) and each return address moved into the call.
//! Names are left to `symbol`.
//!
//! Source: jemalloc `src/prof_data.c` (form) and `bin/jeprof` `AdjustSamples` (unbiasing).

use super::{FRAMES_MAX, MAPPINGS_MAX, ParseError, STACKS_MAX, unbias_factor};
use crate::profile::{Cell, Location, Mapping, Profile, StackSample};
use std::collections::HashMap;

const MAGIC: &str = "heap_v2/";
const MAPS: &str = "MAPPED_LIBRARIES:";

/// The text begins like this format.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC.as_bytes())
}

/// Reads the text.
///
/// # Errors
/// One line with the number of the line that is wrong.
pub fn read(bytes: &[u8]) -> Result<Profile, ParseError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| broken(0, &format!("no text from byte {} on", error.valid_up_to())))?;
    let mut reader = Reader::default();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let (_, head) = lines.next().ok_or(ParseError::Empty)?;
    reader.profile.interval_bytes = head
        .strip_prefix(MAGIC)
        .and_then(|interval| interval.trim().parse::<u64>().ok())
        .filter(|interval| *interval > 0)
        .ok_or_else(|| broken(1, "the sampling interval is no positive number"))?
        as f64;
    let mut in_maps = false;
    for (number, line) in lines {
        if in_maps {
            reader.mapping(line)?;
        } else if line.starts_with(MAPS) {
            in_maps = true;
        } else {
            reader.line(number, line)?;
        }
    }
    reader.finish(in_maps)
}

fn broken(line: usize, reason: &str) -> ParseError {
    ParseError::Broken { format: "heap_v2", reason: format!("line {line}: {reason}") }
}

/// Counts as they stand in the text.
#[derive(Clone, Copy, Default)]
struct Counts {
    live_objects: u64,
    live_bytes: u64,
    alloc_objects: u64,
    alloc_bytes: u64,
}

#[derive(Default)]
struct Reader {
    profile: Profile,
    by_address: HashMap<u64, u32>,
    stack: Option<Vec<u32>>,
    counts: Vec<Counts>,
    frames: usize,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), ParseError> {
        if let Some(addresses) = line.strip_prefix('@') {
            return self.open_stack(number, addresses);
        }
        let Some(rest) = line.trim_start().strip_prefix("t*:") else {
            return Ok(());
        };
        let counts = counts(rest)
            .ok_or_else(|| broken(number, "counts are no `objects: bytes [objects: bytes]`"))?;
        // The totals stand before the first stack: they are the sum of what follows.
        if let Some(frames) = self.stack.take() {
            self.profile.stacks.push(StackSample {
                frames,
                cell: Cell::default(),
                object_bytes: None,
            });
            self.counts.push(counts);
        }
        Ok(())
    }

    fn open_stack(&mut self, number: usize, addresses: &str) -> Result<(), ParseError> {
        if self.profile.stacks.len() >= STACKS_MAX {
            return Err(ParseError::TooLarge { what: "stacks", limit: STACKS_MAX as u64 });
        }
        let mut frames = Vec::new();
        for word in addresses.split_ascii_whitespace() {
            let digits = word.strip_prefix("0x").unwrap_or(word);
            let address = u64::from_str_radix(digits, 16).map_err(|_| {
                broken(number, &format!("`{}` is no address", super::repeated(word)))
            })?;
            frames.push(self.location(address));
        }
        self.frames += frames.len();
        if self.frames > FRAMES_MAX {
            return Err(ParseError::TooLarge { what: "frames", limit: FRAMES_MAX as u64 });
        }
        self.stack = Some(frames);
        Ok(())
    }

    fn location(&mut self, return_address: u64) -> u32 {
        // The instruction after the call may belong to another line, or another function.
        let address = return_address.saturating_sub(1);
        let locations = &mut self.profile.locations;
        *self.by_address.entry(address).or_insert_with(|| {
            locations.push(Location { address, ..Location::default() });
            (locations.len() - 1) as u32
        })
    }

    /// A line of `/proc/<pid>/maps`: `start-end perms offset dev inode path`.
    fn mapping(&mut self, line: &str) -> Result<(), ParseError> {
        let mut words = line.split_ascii_whitespace();
        let parsed = (|| {
            let (start, end) = words.next()?.split_once('-')?;
            let permissions = words.next()?;
            let offset = words.next()?;
            let path = words.skip(2).collect::<Vec<_>>().join(" ");
            let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
            let mapping = Mapping {
                start: hex(start)?,
                end: hex(end)?,
                file_offset: hex(offset)?,
                file: path,
                build_id: String::new(),
            };
            (permissions.contains('x') && mapping.file.starts_with('/')).then_some(mapping)
        })();
        let Some(mapping) = parsed else { return Ok(()) };
        if self.profile.mappings.len() >= MAPPINGS_MAX {
            return Err(ParseError::TooLarge { what: "mappings", limit: MAPPINGS_MAX as u64 });
        }
        self.profile.mappings.push(mapping);
        Ok(())
    }

    fn finish(mut self, complete: bool) -> Result<Profile, ParseError> {
        if !complete {
            return Err(ParseError::Broken {
                format: "heap_v2",
                reason: format!("cut off: there is no `{MAPS}` at the end"),
            });
        }
        let interval = self.profile.interval_bytes;
        let accumulates = self.counts.iter().any(|counts| counts.alloc_objects > 0);
        for (stack, counts) in self.profile.stacks.iter_mut().zip(&self.counts) {
            stack.cell = unbias(counts, interval, accumulates);
        }
        let mappings = &mut self.profile.mappings;
        self.profile.exe = mappings.first().map(|mapping| mapping.file.clone());
        mappings.sort_by_key(|mapping| mapping.start);
        for location in &mut self.profile.locations {
            let behind = mappings.partition_point(|mapping| mapping.start <= location.address);
            location.mapping = behind
                .checked_sub(1)
                .filter(|index| location.address < mappings[*index].end)
                .map(|index| index as u32);
        }
        Ok(self.profile)
    }
}

/// `13: 6688 [0: 0]`
fn counts(text: &str) -> Option<Counts> {
    let (live, accumulated) = text.trim().strip_suffix(']')?.split_once('[')?;
    let pair = |text: &str| {
        let (objects, bytes) = text.split_once(':')?;
        Some((objects.trim().parse().ok()?, bytes.trim().parse().ok()?))
    };
    let (live_objects, live_bytes) = pair(live)?;
    let (alloc_objects, alloc_bytes) = pair(accumulated)?;
    Some(Counts { live_objects, live_bytes, alloc_objects, alloc_bytes })
}

fn unbias(counts: &Counts, interval: f64, accumulates: bool) -> Cell {
    // No objects, no estimate: jemalloc may show bytes without objects after rounding.
    let scaled = |objects: u64, bytes: u64| {
        if objects == 0 {
            return (0.0, 0.0);
        }
        let factor = unbias_factor(bytes as f64 / objects as f64, interval);
        (objects as f64 * factor, bytes as f64 * factor)
    };
    let (live_objects, live_bytes) = scaled(counts.live_objects, counts.live_bytes);
    let (alloc_objects, alloc_bytes) = scaled(counts.alloc_objects, counts.alloc_bytes);
    Cell {
        live_bytes,
        live_objects: Some(live_objects),
        alloc_bytes: accumulates.then_some(alloc_bytes),
        alloc_objects: accumulates.then_some(alloc_objects),
        live_samples: Some(counts.live_objects as f64),
        alloc_samples: accumulates.then_some(counts.alloc_objects as f64),
    }
}
