//! The files that a scenario names, read once before the load.
//!
//! In: a scenario as parsed. Out: the same with the bytes of its files, or a fault for each that
//! cannot be had. What the bytes are for is left to the plan.

use crate::fault::Faults;
use crate::scenario::Scenario;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// A file at most, bytes: it is held in memory once for the whole run.
const FILE_MAX: u64 = 64 * 1024 * 1024;

/// Reads the files that a scenario names, by their paths from the scenario's folder.
///
/// # Errors
/// A fault for each file that cannot be read or is too large.
pub fn read(scenario: &mut Scenario) -> Result<(), Faults> {
    let folder = Path::new(&scenario.file).parent().unwrap_or(Path::new("")).to_owned();
    let mut list = Vec::new();
    for (name, wanted) in &mut scenario.files {
        match bytes_of(&folder.join(name)) {
            Ok(bytes) => wanted.bytes = Some(bytes),
            Err(cause) => list.push((
                wanted.line,
                wanted.place.clone(),
                format!(
                    "file `{name}` cannot be read: {cause} (paths count from the scenario's folder)"
                ),
            )),
        }
    }
    if list.is_empty() {
        return Ok(());
    }
    let list = list.into_iter().map(|(line, place, what)| scenario.fault(line, &place, what));
    Err(Faults { list: list.collect() })
}

fn bytes_of(path: &Path) -> Result<Arc<[u8]>, String> {
    // Linux names the error by its number as well, which helps nobody.
    let words = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => cause.to_string(),
    };
    let file = File::open(path).map_err(words)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(words)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("it is larger than {} MiB", FILE_MAX / 1024 / 1024));
    }
    Ok(bytes.into())
}
