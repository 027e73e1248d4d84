//! The archive: a verdict over snapshots that lie in files, from a run's folder or from anywhere.
//! In: paths. Out: a series and its verdict, the same as the run itself would give.
//! Fetching snapshots is left to the session and to the watch.

use crate::folder::{self, FolderError};
use crate::heap::{HeapError, HeapReader};
use ebbtide_profiler::series::{Observation, Series};
use ebbtide_profiler::verdict::{Rules, judge};
use ebbtide_record::event::{RoundKind, SnapshotTaken};
use ebbtide_record::{MemoryVerdict, Sidecar, State};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What growth is counted per when nobody counted operations and snapshots have no time.
const PER_SNAPSHOT: &str = "snapshot";
/// What growth is counted per when nobody counted operations.
pub const PER_SECOND: &str = "second";

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The folder is no run's.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A snapshot cannot be used.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// The run has no snapshots.
    #[error(
        "`{}` has no snapshots of rounds: only runs with a `[memory]` table have",
        path.display()
    )]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

/// Judges a run again from its folder, by what is in its snapshots.
///
/// # Errors
///
/// [`ArchiveError`].
pub fn judge_run(path: &Path, reader: &HeapReader) -> Result<(State, MemoryVerdict), ArchiveError> {
    let state = folder::read_state(path)?;
    let mut series = Series::default();
    let mut before = BTreeMap::new();
    for taken in state.snapshots.iter().map(|at| &at.value).filter(|taken| taken.round.is_some()) {
        let operations = difference(&before, &taken.operations);
        before.clone_from(&taken.operations);
        series.push(observation(path, taken, operations, reader)?);
    }
    if series.observations().next().is_none() {
        return Err(ArchiveError::Empty { path: path.to_owned() });
    }
    let rules = Rules { limits: state.memory.limits.clone(), known_load: true, ..Rules::default() };
    let verdict = judge(&series, &rules);
    Ok((state, verdict))
}

fn observation(
    run: &Path,
    taken: &SnapshotTaken,
    operations: BTreeMap<String, u64>,
    reader: &HeapReader,
) -> Result<Observation, ArchiveError> {
    let path = run.join(&taken.file);
    let bytes = read(&path)?;
    let census = sidecar(&path).map(|sidecar| sidecar.census).unwrap_or_default();
    Ok(Observation {
        round: taken.round.unwrap_or_default(),
        kind: taken.kind,
        operations,
        folded: reader.fold_here(&bytes, &path)?,
        census,
        rss_bytes: taken.rss_bytes,
        busy_bytes: taken.busy_bytes,
        settled_ms: taken.settled_ms,
        unsettled: taken.unsettled,
        snapshot: taken.file.clone(),
    })
}

/// Judges snapshots in the order given. Nobody counted operations, so growth is counted per
/// second where the snapshots say when they were taken, and per snapshot otherwise.
///
/// # Errors
///
/// [`ArchiveError`].
pub fn judge_files(paths: &[PathBuf], reader: &HeapReader) -> Result<MemoryVerdict, ArchiveError> {
    let mut series = Series::default();
    let mut last_ms: Option<u64> = None;
    for (index, path) in paths.iter().enumerate() {
        let bytes = read(path)?;
        let sidecar = sidecar(path);
        let at_ms = sidecar.as_ref().map(|s| s.at_unix_ms).filter(|at| *at > 0);
        let seconds = match (last_ms, at_ms) {
            (Some(last), Some(at)) if at > last => Some(((at - last) / 1_000).max(1)),
            _ => None,
        };
        let (name, count) = seconds.map_or((PER_SNAPSHOT, 1), |count| (PER_SECOND, count));
        last_ms = at_ms.or(last_ms);
        series.push(Observation {
            round: index as u32,
            kind: if index == 0 { RoundKind::Warmup } else { RoundKind::New },
            operations: BTreeMap::from([(name.to_owned(), count)]),
            folded: reader.fold_here(&bytes, path)?,
            rss_bytes: sidecar.as_ref().map(|s| s.process.rss_bytes),
            census: sidecar.map(|s| s.census).unwrap_or_default(),
            snapshot: path.display().to_string(),
            ..Observation::default()
        });
    }
    Ok(judge(&series, &Rules::default()))
}

/// The sidecar beside a snapshot, if there is one.
#[must_use]
pub fn sidecar(snapshot: &Path) -> Option<Sidecar> {
    let name = snapshot.file_name()?.to_str()?;
    let stem = name.strip_suffix(".pb.gz").or_else(|| name.strip_suffix(".pb"))?;
    let text = fs::read(snapshot.with_file_name(format!("{stem}.json"))).ok()?;
    serde_json::from_slice(&text).ok()
}

fn read(path: &Path) -> Result<Vec<u8>, HeapError> {
    fs::read(path).map_err(|source| HeapError::File { path: path.to_owned(), source })
}

fn difference(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let done = |name: &String| before.get(name).copied().unwrap_or(0);
    after.iter().map(|(name, count)| (name.clone(), count.saturating_sub(done(name)))).collect()
}
