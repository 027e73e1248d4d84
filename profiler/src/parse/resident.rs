//! Resident memory of a process at one moment, as a snapshot: what there is of a program that
//! offers no heap. In: the bytes of a small JSON document, `ebbtide/resident/1`. Out: a
//! [`Profile`] of one place, the whole process. Asking the kernel is left to `source`.

use super::ParseError;
use crate::frame::Frame;
use crate::profile::{Cell, Location, Profile, StackSample};
use ebbtide_record::snapshot::ProcessMemory;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name and version of the form.
const SCHEMA: &str = "ebbtide/resident/1";
/// Name of the format in errors.
const FORMAT: &str = "resident memory";
/// What stands in the place of a function.
pub const PLACE: &str = "resident memory of the process";
/// Bytes of such a document at most; one has some two hundred.
const BYTES_MAX: usize = 4_096;

/// The document.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Resident {
    schema: String,
    pid: u32,
    process: ProcessMemory,
}

/// The document of a process.
#[must_use]
pub fn write(pid: u32, process: ProcessMemory) -> Vec<u8> {
    serde_json::to_vec(&Resident { schema: SCHEMA.to_owned(), pid, process }).unwrap_or_default()
}

/// Whether the bytes are such a document.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    let begin = bytes.trim_ascii_start();
    let key = begin.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let rest = key.and_then(|key| key.strip_prefix(b"\"schema\"")).map(<[u8]>::trim_ascii_start);
    let value = rest.and_then(|rest| rest.strip_prefix(b":")).map(<[u8]>::trim_ascii_start);
    value.and_then(|value| value.strip_prefix(b"\"")).is_some_and(|value| {
        value.starts_with(SCHEMA.as_bytes()) && value.get(SCHEMA.len()) == Some(&b'"')
    })
}

/// Reads the document.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Profile, ParseError> {
    if bytes.len() > BYTES_MAX {
        let limit = BYTES_MAX as u64;
        return Err(ParseError::TooLarge { what: "bytes of a note on resident memory", limit });
    }
    let broken = |reason: String| ParseError::Broken { format: FORMAT, reason };
    let resident: Resident =
        serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
    if resident.process.rss_bytes == 0 {
        return Err(broken("`process.rss_bytes` is missing or 0".to_owned()));
    }
    // Pages of files come with what is read of them, and go without being freed.
    let bytes = resident.process.anonymous_bytes.unwrap_or(resident.process.rss_bytes);
    let cell = Cell { live_bytes: bytes as f64, ..Cell::default() };
    let place = Arc::new(Frame::named(PLACE, "", 0));
    Ok(Profile {
        interval_bytes: 1.0,
        stacks: vec![StackSample { frames: vec![0], cell, object_bytes: None }],
        locations: vec![Location { frames: vec![place], ..Location::default() }],
        pid: Some(resident.pid),
        ..Profile::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use crate::profile::Form;
    use crate::{SiteRules, Symbolizer, site};

    #[test]
    fn what_is_written_is_read_as_one_place() {
        let memory = ProcessMemory { rss_bytes: 5 << 20, threads: 2, ..ProcessMemory::default() };
        let profile = parse::read(&write(7, memory)).unwrap();
        assert_eq!((profile.form, profile.pid), (Some(Form::Resident), Some(7)));
        let symbols = Symbolizer::new().resolve(&profile);
        let folded = site::fold(&profile, &symbols, &SiteRules::default());
        assert_eq!(folded.sites.len(), 1);
        let site = &folded.sites[0];
        let told = (site.function.as_str(), site.file.as_str(), site.total().live_bytes);
        assert_eq!(told, (PLACE, "", 5_242_880.0));
        assert_eq!(site.total().live_objects, None);
        assert!(folded.notes.is_empty(), "{:?}", folded.notes);
    }

    #[test]
    fn pages_of_files_do_not_count_where_they_are_told_apart() {
        let memory = ProcessMemory {
            rss_bytes: 5 << 20,
            anonymous_bytes: Some(2 << 20),
            ..ProcessMemory::default()
        };
        let profile = parse::read(&write(7, memory)).unwrap();
        assert_eq!(profile.stacks[0].cell.live_bytes, 2_097_152.0);
    }

    #[test]
    fn other_documents_are_not_taken_for_it() {
        for text in ["{\"schema\":\"ebbtide/snapshot/1\"}", "{\"schema\":\"ebbtide/resident/10\"}"]
        {
            assert!(!recognises(text.as_bytes()), "{text}");
        }
        for text in ["{\"schema\":\"ebbtide/resident/1\"}", "{\"schema\":\"ebbtide/resident/1\","] {
            assert!(recognises(text.as_bytes()));
            let error = parse::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("resident memory: "), "{error}");
        }
    }
}
