//! What every target asks of a reader. In: a reader and hostile bytes. Out: a panic when the
//! reader, or what comes behind it, keeps less than it promises. Making the bytes is left to
//! libFuzzer, and a panic of the reader itself is one as well.

use ebbtide_profiler::frame::{Frame, Symbols};
use ebbtide_profiler::parse::ParseError;
use ebbtide_profiler::{Profile, SiteRules, site};
use std::sync::Arc;

/// Characters of an error: it is one line of a terminal, or two.
const ERROR_MAX: usize = 400;

/// Reads, checks what comes out, and folds it as `ebb leaks` would.
///
/// # Panics
///
/// When the profile does not hold together, or the error is no line.
pub fn exercise(read: impl Fn(&[u8]) -> Result<Profile, ParseError>, bytes: &[u8]) {
    match read(bytes) {
        Ok(profile) => check(&profile),
        Err(error) => check_line(&error.to_string()),
    }
}

/// An error is one line that drives no terminal.
///
/// # Panics
///
/// When it is not.
pub fn check_line(error: &str) {
    assert!(!error.chars().any(char::is_control), "a control character: {error:?}");
    assert!(error.chars().count() <= ERROR_MAX, "an error of {} bytes: {error}", error.len());
}

fn check(profile: &Profile) {
    for stack in &profile.stacks {
        let known = |at: &u32| (*at as usize) < profile.locations.len();
        assert!(stack.frames.iter().all(known), "a frame that is not there");
        let cell = &stack.cell;
        let numbers = [Some(cell.live_bytes), cell.live_objects, cell.alloc_bytes];
        let counts = numbers.into_iter().chain([cell.alloc_objects, cell.live_samples]).flatten();
        for number in counts {
            assert!(number.is_finite() && number >= 0.0, "{cell:?}");
        }
    }
    for location in &profile.locations {
        let known = location.mapping.is_none_or(|at| (at as usize) < profile.mappings.len());
        assert!(known, "a mapping that is not there");
    }
    if let Some(ages) = &profile.ages {
        for row in &ages.rows {
            assert!((row.at as usize) < profile.stacks.len(), "an age of no stack");
            assert!(row.bracket as usize <= ages.bounds_s.len(), "a bracket that is not there");
        }
    }
    let names = |location: &ebbtide_profiler::profile::Location| match location.frames.as_slice() {
        [] => [Arc::new(Frame::unnamed(location.address))].into(),
        frames => frames.into(),
    };
    let symbols =
        Symbols { frames: profile.locations.iter().map(names).collect(), notes: Vec::new() };
    let folded = site::fold(profile, &symbols, &SiteRules::default());
    let cells: usize = folded.sites.iter().map(|site| site.cells.len()).sum();
    assert!(cells <= profile.stacks.len(), "sites from nowhere");
}
