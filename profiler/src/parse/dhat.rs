//! DHAT's JSON, version 2, as valgrind's tool and the `dhat` crate write it. In: the text. Out: a
//! [`Profile`] that is exact: what was ever allocated at a stack, and what was live when the
//! program ended. Frames come with their names; C's file names often without a folder.
//!
//! Source: valgrind `dhat/dh_main.c` (form), `dhat/dh_view.js` (meaning), crate `dhat` 0.3.

use super::{FRAMES_MAX, MAPPINGS_MAX, NAMES_MAX, ParseError, STACKS_MAX};
use crate::frame::Frame;
use crate::profile::{Cell, Location, Mapping, Profile, StackSample};
use crate::v8::scan::{ScanError, Scanner};
use std::collections::HashMap;
use std::sync::Arc;

/// Name of the format in errors.
const FORMAT: &str = "dhat";

/// The key that every file has first.
const BEGIN: &[u8] = b"{\"dhatFileVersion\":";

/// The mode in which the `dhat` crate counts a heap.
const RUST: &str = "rust-heap";

/// The `dhat` crate cuts paths to their last three parts. Folders below `src/` of Rust's own
/// library that few programs have, and that stand between an allocation and who asked for it.
const LIBRARY_FOLDERS: &str = "vec raw_vec boxed ops iter slice str ptr mem fmt num alloc sys";

/// The version that is read.
const VERSION: u64 = 2;

/// Whether these are the first bytes of such a file.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    super::begins_with(bytes, BEGIN)
}

/// Reads the text.
///
/// # Errors
/// One line that says what is wrong with the file, and where.
pub fn read(bytes: &[u8]) -> Result<Profile, ParseError> {
    let mut reader = Reader {
        scanner: Scanner::new(bytes),
        mode: String::new(),
        profile: Profile { interval_bytes: 1.0, ..Profile::default() },
        table: Vec::new(),
        frames: 0,
        unfollowed: false,
        text: Vec::new(),
    };
    reader.document().map_err(|error| broken(error.to_string()))?;
    reader.finish()
}

fn broken(reason: String) -> ParseError {
    ParseError::Broken { format: FORMAT, reason }
}

struct Reader<'a> {
    scanner: Scanner<&'a [u8]>,
    mode: String,
    profile: Profile,
    table: Vec<String>,
    /// Of all stacks.
    frames: usize,
    /// Some stack does not say what was live at the end.
    unfollowed: bool,
    /// Used again for each key.
    text: Vec<u8>,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), ScanError> {
        self.scanner.expect(b'{')?;
        loop {
            match self.key()?.as_str() {
                "dhatFileVersion" => {
                    let version = self.scanner.number()?;
                    if version != VERSION {
                        let reason = format!("version {version} is not read, only {VERSION} is");
                        return Err(self.scanner.error(reason));
                    }
                }
                "mode" => self.mode = self.string()?,
                "cmd" => {
                    let command = self.string()?;
                    self.profile.comments.push(format!("command={command}"));
                }
                "pid" => self.profile.pid = u32::try_from(self.scanner.number()?).ok(),
                "pps" => self.list(Self::point)?,
                "ftbl" => self.list(Self::name)?,
                _ => self.scanner.skip()?,
            }
            if !self.scanner.accept(b',')? {
                return self.scanner.expect(b'}');
            }
        }
    }

    /// An array, each of whose elements `take` takes.
    fn list(&mut self, take: impl Fn(&mut Self) -> Result<(), ScanError>) -> Result<(), ScanError> {
        self.scanner.expect(b'[')?;
        if self.scanner.accept(b']')? {
            return Ok(());
        }
        loop {
            take(self)?;
            if !self.scanner.accept(b',')? {
                return self.scanner.expect(b']');
            }
        }
    }

    fn key(&mut self) -> Result<String, ScanError> {
        let key = self.string()?;
        self.scanner.expect(b':')?;
        Ok(key)
    }

    fn string(&mut self) -> Result<String, ScanError> {
        self.text.clear();
        self.scanner.string(&mut self.text)?;
        Ok(String::from_utf8_lossy(&self.text).into_owned())
    }

    /// One stack with its counts ("program point").
    fn point(&mut self) -> Result<(), ScanError> {
        if self.profile.stacks.len() >= STACKS_MAX {
            return Err(self.scanner.error(format!("more than {STACKS_MAX} stacks")));
        }
        let (mut total, mut end) = ((0, 0), (None, None));
        let mut frames = Vec::new();
        self.scanner.expect(b'{')?;
        loop {
            match self.key()?.as_str() {
                "tb" => total.0 = self.scanner.number()?,
                "tbk" => total.1 = self.scanner.number()?,
                "eb" => end.0 = Some(self.scanner.number()?),
                "ebk" => end.1 = Some(self.scanner.number()?),
                "fs" => self.scanner.numbers(|index| {
                    frames.push(u32::try_from(index).map_err(|_| "an index beyond 32 bits")?);
                    Ok(())
                })?,
                _ => self.scanner.skip()?,
            }
            if !self.scanner.accept(b',')? {
                break;
            }
        }
        self.scanner.expect(b'}')?;
        self.frames += frames.len();
        if self.frames > FRAMES_MAX {
            return Err(self.scanner.error(format!("more than {FRAMES_MAX} frames")));
        }
        self.unfollowed |= end.0.is_none() || end.1.is_none();
        let cell = Cell {
            live_bytes: end.0.unwrap_or(0) as f64,
            live_objects: end.1.map(|blocks| blocks as f64),
            alloc_bytes: Some(total.0 as f64),
            alloc_objects: Some(total.1 as f64),
            ..Cell::default()
        };
        self.profile.stacks.push(StackSample { frames, cell, object_bytes: None });
        Ok(())
    }

    fn name(&mut self) -> Result<(), ScanError> {
        if self.table.len() >= NAMES_MAX {
            return Err(self.scanner.error(format!("more than {NAMES_MAX} frames in the table")));
        }
        let name = self.string()?;
        self.table.push(name);
        Ok(())
    }

    fn finish(mut self) -> Result<Profile, ParseError> {
        if !matches!(self.mode.as_str(), "heap" | RUST) || self.unfollowed {
            return Err(ParseError::NotHeap {
                has: format!("what DHAT counts in its mode `{}`", super::repeated(&self.mode)),
                cure: "run it in its mode `heap`",
            });
        }
        let count = self.table.len();
        let stray = self.profile.stacks.iter().flat_map(|stack| &stack.frames);
        if let Some(index) = stray.copied().find(|index| *index as usize >= count) {
            return Err(broken(format!("frame {index} of {count} is named")));
        }
        let mut files: HashMap<String, u32> = HashMap::new();
        for text in &self.table {
            let (mut location, file) = location(text, self.mode == RUST);
            location.mapping = file.and_then(|file| {
                let known = files.get(file).copied();
                known.or_else(|| {
                    let index = self.profile.mappings.len();
                    (index < MAPPINGS_MAX).then(|| {
                        self.profile
                            .mappings
                            .push(Mapping { file: file.to_owned(), ..Mapping::default() });
                        files.insert(file.to_owned(), index as u32);
                        index as u32
                    })
                })
            });
            self.profile.locations.push(location);
        }
        Ok(self.profile)
    }
}

/// A frame of the table, and the mapped file it lies in when nothing better is known:
/// `0x109155: keep (a.c:3)`, `0x4005: std::rt (library/std/src/rt.rs:206:5)`,
/// `0x48417B4: malloc (in /usr/lib/libc.so)`, `0x0: ???`, `[root]`.
fn location(text: &str, is_rust: bool) -> (Location, Option<&str>) {
    let (address, rest) = text
        .split_once(": ")
        .and_then(|(head, rest)| {
            let digits = head.strip_prefix("0x")?;
            Some((u64::from_str_radix(digits, 16).ok()?, rest))
        })
        .unwrap_or((0, text));
    let (name, place) =
        rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")).unwrap_or((rest, ""));
    let mapped = place.strip_prefix("in ");
    let (file, line) = if mapped.is_some() { ("", 0) } else { file_and_line(place) };
    let file = if is_rust { uncut(name, file) } else { file.to_owned() };
    let frame =
        if name == "???" { Frame::unnamed(address) } else { Frame::named(name, &file, line) };
    (Location { address, frames: vec![Arc::new(frame)], mapping: None }, mapped)
}

/// A path of which the `dhat` crate left three parts, with what it must have begun with where
/// that can be told: the folder of Rust's library, or that of fetched packages.
fn uncut(name: &str, file: &str) -> String {
    let parts: Vec<&str> = file.split('/').collect();
    let [first, second, _] = parts[..] else { return file.to_owned() };
    let versioned = first.rsplit_once('-').is_some_and(|(_, version)| {
        version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.')
    });
    if versioned && second == "src" {
        return format!("/registry/src/{file}");
    }
    let path = name.trim_start_matches(['<', '&']).split('<').next().unwrap_or_default();
    let krate = path.split("::").next().unwrap_or_default();
    let of_rust = |krate: &str| matches!(krate, "std" | "core" | "alloc");
    let nameless = !path.contains("::");
    let known = first == "src" && LIBRARY_FOLDERS.split(' ').any(|folder| folder == second);
    if (of_rust(krate) && !nameless) || (of_rust(first) && second == "src") || (nameless && known) {
        return format!("library/{file}");
    }
    file.to_owned()
}

/// `a.c:3` and `src/main.rs:9:5`; a file alone has line 0.
fn file_and_line(place: &str) -> (&str, u32) {
    let split = |text| {
        let (before, number): (&str, &str) = str::rsplit_once(text, ':')?;
        Some((before, number.parse::<u32>().ok()?))
    };
    let Some((before, last)) = split(place) else { return (place, 0) };
    split(before).unwrap_or((before, last))
}
