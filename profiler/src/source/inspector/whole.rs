//! A whole heap of a Node process as a `.heapsnapshot`, streamed to disk piece by piece. In: a
//! session and a path. Out: a file that is complete or not there. The target answers nothing
//! meanwhile, for seconds on large heaps: when to do it is left to the caller.

use super::super::SourceError;
use super::wire::PIECES_MAX;
use super::{Session, questions};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Heaps larger than this, in bytes, are only taken on demand: 106 MB kept a server silent for 10
/// to 15 s.
pub const HEAP_SIZE_MAX: u64 = 96 << 20;

/// Bytes of a file: V8 cannot keep heaps of which the text has more.
const FILE_MAX: u64 = 8 << 30;

/// Rights of a file of a heap, which has all secrets in it.
const OWNER_ONLY: u32 = 0o600;

/// Time for a whole heap: some MB a second on a slow machine.
const WHOLE_WITHIN: Duration = Duration::from_secs(600);

/// A whole heap on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeHeap {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

impl Session {
    /// Bytes of the heap, garbage included.
    pub(crate) async fn heap_used(&self) -> Result<u64, SourceError> {
        Ok(self.evaluate::<f64>(questions::HEAP_USED).await?.max(0.0) as u64)
    }

    /// Writes the whole heap to a path.
    pub(crate) async fn whole_heap(&self, path: &Path) -> Result<WholeHeap, SourceError> {
        self.collect().await?;
        let failed = |reason| SourceError::Folder { path: path.to_owned(), reason };
        let (partial, file) = Partial::beside(path).map_err(|error| failed(error.to_string()))?;
        let (sink, pieces) = mpsc::channel(PIECES_MAX);
        self.wire.pieces_to(Some(sink)).await;
        let writing = tokio::task::spawn_blocking(move || write(pieces, file));
        let params = json!({ "reportProgress": false });
        let taken = self.ask("HeapProfiler.takeHeapSnapshot", params, WHOLE_WITHIN).await;
        self.wire.pieces_to(None).await;
        let written = writing.await.unwrap_or_else(|error| Err(error.to_string()));
        let bytes = written.map_err(failed)?;
        taken?;
        std::fs::rename(&partial.0, path).map_err(|error| failed(error.to_string()))?;
        Ok(WholeHeap { path: path.to_owned(), bytes })
    }
}

/// A file that is not whole yet, and goes when it is dropped before it has its name.
struct Partial(PathBuf);

impl Partial {
    /// Begins a file for its owner alone: what a server keeps in memory is as secret as the server.
    fn beside(path: &Path) -> std::io::Result<(Self, File)> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = Self(path.with_file_name(format!(".{name}.partial")));
        let mut options = File::options();
        // One that was left behind may be readable for others.
        let _ = std::fs::remove_file(&partial.0);
        let file = options.write(true).create_new(true).mode(OWNER_ONLY).open(&partial.0)?;
        Ok((partial, file))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is not there when it has its name.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes pieces until there are no more, then syncs. Gives the bytes.
fn write(mut pieces: mpsc::Receiver<String>, mut file: File) -> Result<u64, String> {
    let in_words = |error: std::io::Error| error.to_string();
    let mut bytes = 0;
    while let Some(piece) = pieces.blocking_recv() {
        bytes += piece.len() as u64;
        if bytes > FILE_MAX {
            return Err(format!("the heap has more than {FILE_MAX} bytes of text"));
        }
        file.write_all(piece.as_bytes()).map_err(in_words)?;
    }
    file.sync_all().map_err(in_words)?;
    Ok(bytes)
}
