//! Collapsed stacks (`outer;inner;innermost 123`), as flame graph tools write and read them. In:
//! the text. Out: a [`Profile`] of live bytes alone: nobody says what the numbers count, so that
//! stands in its notes. A frame `name (file:line)` keeps its place.
//!
//! Source: Brendan Gregg's `FlameGraph/stackcollapse*.pl` and `flamegraph.pl`.

use super::{FRAMES_MAX, NAMES_MAX, ParseError, STACKS_MAX};
use crate::frame::Frame;
use crate::profile::{Cell, Location, Profile, StackSample};
use std::collections::HashMap;
use std::sync::Arc;

/// Name of the format in errors.
const FORMAT: &str = "collapsed stacks";

/// Bytes looked at to tell the format: a line of a deep stack with long names fits.
pub(super) const LOOKED_AT: usize = 64 << 10;

/// What a number is taken for where a file says nothing of it.
const NOTE: &str = "collapsed stacks do not say what they count: taken as live bytes, each counted";

/// Whether the text begins with a line of this form.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    let line = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|l| !l.is_empty());
    let Some(line) = line else { return false };
    // Other formats are binary, or their first line is a brace or a tag.
    let is_text = !line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    let plain = line.contains(&b';') || !matches!(line.first(), Some(b'{' | b'<'));
    let parts = std::str::from_utf8(line).ok().and_then(parts);
    is_text && plain && parts.is_some()
}

/// Reads the text.
///
/// # Errors
/// One line with the number of the line that is wrong.
pub fn read(bytes: &[u8]) -> Result<Profile, ParseError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| broken(0, &format!("no text from byte {} on", error.valid_up_to())))?;
    let mut profile =
        Profile { interval_bytes: 1.0, notes: vec![NOTE.to_owned()], ..Profile::default() };
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut frames_in_all = 0;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        if profile.stacks.len() >= STACKS_MAX {
            return Err(ParseError::TooLarge { what: "stacks", limit: STACKS_MAX as u64 });
        }
        let (stack, value) =
            parts(line).ok_or_else(|| broken(number, "it is no `frame;frame number`"))?;
        let mut frames = Vec::new();
        // The outermost stands first.
        for name in stack.rsplit(';').filter(|name| !name.is_empty()) {
            let next = profile.locations.len() as u32;
            let at = *known.entry(name).or_insert(next);
            if at == next {
                if profile.locations.len() >= NAMES_MAX {
                    return Err(ParseError::TooLarge { what: "names", limit: NAMES_MAX as u64 });
                }
                profile.locations.push(location(name));
            }
            frames.push(at);
        }
        frames_in_all += frames.len();
        if frames_in_all > FRAMES_MAX {
            return Err(ParseError::TooLarge { what: "frames", limit: FRAMES_MAX as u64 });
        }
        let cell = Cell { live_bytes: value, ..Cell::default() };
        profile.stacks.push(StackSample { frames, cell, object_bytes: None });
    }
    Ok(profile)
}

fn broken(line: usize, reason: &str) -> ParseError {
    ParseError::Broken { format: FORMAT, reason: format!("line {line}: {reason}") }
}

/// A line as its stack and its number.
fn parts(line: &str) -> Option<(&str, f64)> {
    let (stack, number) = line.trim().rsplit_once([' ', '\t'])?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f64 = number.parse().ok().filter(|value: &f64| plain && value.is_finite())?;
    Some((stack.trim_end(), value))
}

fn location(name: &str) -> Location {
    let placed = name.strip_suffix(')').and_then(|name| name.rsplit_once(" ("));
    let placed = placed.and_then(|(function, place)| {
        let (file, line) = place.rsplit_once(':')?;
        Some(Frame::named(function, file, line.parse().ok()?))
    });
    let frame = placed.unwrap_or_else(|| Frame::named(name, "", 0));
    Location { frames: vec![Arc::new(frame)], ..Location::default() }
}
