//! The heap of a target at one moment, by site. In: a snapshot as it was fetched, or a file. Out:
//! a folded profile. Names are looked up off the async threads and kept from one snapshot to the
//! next, since the program does not change.

use ebbtide_profiler::ages::Ages;
use ebbtide_profiler::source::SourceError;
use ebbtide_profiler::stacks::Reading;
use ebbtide_profiler::symbol::Symbolizer;
use ebbtide_profiler::{Folded, Profile, SiteRules, parse, site, v8};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes by which a file is told.
const HEAD: usize = 64;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeapError {
    /// It could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It could not be read.
    #[error("`{}`: {source}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: parse::ParseError,
    },
    /// It is no file.
    #[error("`{}` is {what}: give the snapshots themselves, or a run's folder", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Its file could not be read or written.
    #[error("`{}`: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Reads snapshots of one program.
#[derive(Clone, Default)]
pub struct HeapReader {
    symbolizer: Arc<Mutex<Symbolizer>>,
    ages: Arc<Mutex<Ages>>,
    rules: Arc<SiteRules>,
}

impl std::fmt::Debug for HeapReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeapReader").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl HeapReader {
    /// A reader by the given rules of what is own code.
    #[must_use]
    pub fn new(rules: SiteRules) -> Self {
        Self { rules: Arc::new(rules), ..Self::default() }
    }

    /// Folds a snapshot; `path` is what errors name.
    ///
    /// # Errors
    ///
    /// [`HeapError::Parse`].
    pub async fn fold(&self, bytes: Vec<u8>, path: &Path) -> Result<Folded, HeapError> {
        let (this, path) = (self.clone(), path.to_owned());
        let work = tokio::task::spawn_blocking(move || this.fold_here(&bytes, &path));
        match work.await {
            Ok(folded) => folded,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// The same on this thread.
    ///
    /// # Errors
    ///
    /// [`HeapError::Parse`].
    pub fn fold_here(&self, bytes: &[u8], path: &Path) -> Result<Folded, HeapError> {
        match parse::read(bytes) {
            Ok(profile) => Ok(self.named(profile).folded),
            Err(error) => by_class(bytes, error).map_err(|source| unread(path, source)),
        }
    }

    /// Folds the snapshot in a file, which is read as a stream where its form allows it.
    ///
    /// # Errors
    ///
    /// [`HeapError`].
    pub fn fold_file(&self, path: &Path) -> Result<Folded, HeapError> {
        match self.read_file(path) {
            Ok(reading) => Ok(reading.folded),
            // Once more from its begin: that it has no stacks shows behind all objects.
            Err(HeapError::Parse { path, source }) if is_v8(&path) => {
                let Ok(file) = std::fs::File::open(&path) else {
                    return Err(unread(&path, source));
                };
                by_class(file, source).map_err(|source| unread(&path, source))
            }
            Err(error) => Err(error),
        }
    }

    /// The same with all that the snapshot has: its stacks and their names.
    ///
    /// # Errors
    ///
    /// [`HeapError`].
    pub fn read_file(&self, path: &Path) -> Result<Reading, HeapError> {
        let failed = |source| HeapError::File { path: path.to_owned(), source };
        // Asked before it is opened: a pipe would make the open wait for a writer.
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_file() {
            let what = if kind.is_dir() { "a folder" } else { "no regular file" };
            return Err(HeapError::NoFile { path: path.to_owned(), what });
        }
        let file = std::fs::File::open(path).map_err(failed)?;
        Ok(self.named(parse::read_from(file).map_err(|source| unread(path, source))?))
    }

    fn named(&self, mut profile: Profile) -> Reading {
        self.ages.lock().unwrap_or_else(PoisonError::into_inner).note(&mut profile);
        let mut symbolizer = self.symbolizer.lock().unwrap_or_else(PoisonError::into_inner);
        let symbols = symbolizer.resolve(&profile);
        let folded = site::fold(&profile, &symbols, &self.rules);
        Reading { profile, symbols, folded }
    }
}

/// A file that begins as V8's heaps do.
fn is_v8(path: &Path) -> bool {
    let mut head = [0; HEAD];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut head));
    read.is_ok_and(|length| parse::heaptimeline::recognises(&head[..length]))
}

/// A whole heap of V8, which has no stacks, by class; for anything else the error it had.
fn by_class(whole: impl Read, error: parse::ParseError) -> Result<Folded, parse::ParseError> {
    if !matches!(error, parse::ParseError::NotHeap { .. }) {
        return Err(error);
    }
    v8::Heap::read(whole).map_or(Err(error), |heap| Ok(v8::by_class(&heap)))
}

fn unread(path: &Path, source: parse::ParseError) -> HeapError {
    HeapError::Parse { path: path.to_owned(), source }
}
