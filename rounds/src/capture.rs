//! Capture: a snapshot is fetched, laid into the run's folder unless it lies there already, and
//! folded. In: a source. Out: what the session writes down and judges.
//! What it shows is left to the series.

use crate::folder::{RunFolder, SNAPSHOTS};
use crate::heap::{HeapError, HeapReader};
use crate::journal::unix_ms;
use crate::sampling::SamplingWatch;
use ebbtide_profiler::Folded;
use ebbtide_profiler::source::{Fetched, Target as Source};
use ebbtide_record::Sidecar;
use ebbtide_record::event::{SITES_IN_SNAPSHOT_MAX, SiteLive, Warning};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// Rights of a file of a heap: what a server keeps in memory is as secret as the server.
const OWNER_ONLY: u32 = 0o600;

/// Takes the snapshots of one run.
#[derive(Debug)]
pub struct Capture {
    folder: PathBuf,
    heap: HeapReader,
    sampling: SamplingWatch,
    taken: u32,
}

/// A snapshot in the run's folder.
#[derive(Debug)]
pub struct Captured {
    /// Counts the snapshots of the run, from 0.
    pub index: u32,
    /// Its path, relative to the run's folder.
    pub file: String,
    /// What was known when it was taken.
    pub sidecar: Option<Sidecar>,
    /// The heap by site.
    pub folded: Folded,
    /// What stands against trust in it, or against comparing it with those before.
    pub warnings: Vec<Warning>,
}

impl Capture {
    /// Captures into a run's folder heaps that should be sampled as `sampling` says.
    #[must_use]
    pub fn new(folder: &RunFolder, heap: HeapReader, sampling: SamplingWatch) -> Self {
        Self { folder: folder.snapshots(), heap, sampling, taken: 0 }
    }

    /// Takes a snapshot; with `purge` the allocator first gives back what it holds unused.
    ///
    /// # Errors
    ///
    /// Why it could not be had, kept or read.
    pub async fn take(&mut self, source: &Source, purge: bool) -> Result<Captured, HeapError> {
        let fetched = source.snapshot(purge).await?;
        let name = self.keep(&fetched).await?;
        let path = self.folder.join(&name);
        let folded = self.heap.fold(fetched.bytes, &path).await?;
        let mut warnings = self.sampling.see(&folded, source.is_go());
        warnings.extend(folded.notes.iter().map(|note| doubt(note)));
        let index = self.taken;
        self.taken += 1;
        let file = format!("{SNAPSHOTS}/{name}");
        Ok(Captured { index, file, sidecar: fetched.sidecar, folded, warnings })
    }

    async fn keep(&self, fetched: &Fetched) -> Result<String, HeapError> {
        let there = fetched.path.as_deref().filter(|path| path.parent() == Some(&self.folder));
        if let Some(name) = there.and_then(Path::file_name) {
            return Ok(name.to_string_lossy().into_owned());
        }
        let stem = format!("heapdump-{}-{}", self.taken, unix_ms());
        let ending = fetched.path.as_deref().and_then(Path::extension);
        let whole = ending.is_some_and(|ending| ending == "heapsnapshot");
        let ending = if whole { "heapsnapshot" } else { fetched.extension() };
        let name = format!("{stem}.{ending}");
        self.write(&name, &fetched.bytes).await?;
        if let Some(sidecar) = &fetched.sidecar {
            let beside = Sidecar { profile: name.clone(), ..sidecar.clone() };
            let text = serde_json::to_vec_pretty(&beside).unwrap_or_default();
            self.write(&format!("{stem}.json"), &text).await?;
        }
        Ok(name)
    }

    async fn write(&self, name: &str, content: &[u8]) -> Result<(), HeapError> {
        let path = self.folder.join(name);
        let writing = async {
            let mut options = tokio::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(OWNER_ONLY);
            let mut file = options.open(&path).await?;
            file.write_all(content).await?;
            file.flush().await
        };
        writing.await.map_err(|source| HeapError::File { path, source })
    }
}

/// The largest sites of a snapshot, as the log keeps them.
#[must_use]
pub fn live_sites(folded: &Folded) -> Vec<SiteLive> {
    let largest = folded.sites.iter().take(SITES_IN_SNAPSHOT_MAX);
    largest
        .map(|site| {
            let total = site.total();
            SiteLive {
                id: site.id.clone(),
                function: site.function.clone(),
                file: site.file.clone(),
                line: site.line,
                kind: site.kind,
                live_bytes: total.live_bytes,
                live_objects: total.live_objects,
            }
        })
        .collect()
}

/// A note on a snapshot as a warning of the run.
#[must_use]
pub fn doubt(note: &str) -> Warning {
    Warning {
        code: "snapshot".to_owned(),
        message: note.to_owned(),
        advice: "sites without names cannot be told apart: build the target with `debug = 1` and \
                 do not strip it"
            .to_owned(),
    }
}
