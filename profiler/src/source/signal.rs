//! A snapshot by signal: SIGUSR2 to a process that handles it, then a look at its folder until
//! the new file is there. In: a pid and a folder. Out: the file with its sidecar. A process that
//! would die of the signal never gets it.

use super::{Fetched, SourceError, process};
use ebbtide_record::Sidecar;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a snapshot by signal may take: large heaps on loaded machines take seconds.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks at the folder. Small against the time a snapshot takes.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// How far a stamp may lie before the signal and still be an answer to it: clocks that are read
/// once per tick lag behind.
const CLOCK_LAG_MS: u64 = 50;

/// Asks for a snapshot and waits for it.
///
/// # Errors
/// [`SourceError::NotCaught`] when the process does not handle the signal (it is not sent then),
/// and whatever else keeps the file from coming.
pub(crate) async fn snapshot(pid: u32, folder: &Path) -> Result<Fetched, SourceError> {
    let status = process::Status::of(pid)?;
    if !status.catches(process::SIGUSR2) {
        return Err(SourceError::NotCaught { pid, name: status.name });
    }
    let before = newest(folder, pid)?.map_or(0, |found| found.sequence);
    let sent_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    send(pid)?;
    let deadline = Instant::now() + SNAPSHOT_TIMEOUT;
    loop {
        if let Some(found) = newest(folder, pid)?
            && found.sequence > before
            && found.at_unix_ms + CLOCK_LAG_MS >= sent_ms
        {
            return read(&found.sidecar).await;
        }
        process::Status::of(pid)?;
        if Instant::now() >= deadline {
            return Err(SourceError::TimedOut {
                what: format!("a snapshot in `{}` after SIGUSR2", folder.display()),
                after_s: SNAPSHOT_TIMEOUT.as_secs(),
            });
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn send(pid: u32) -> Result<(), SourceError> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let target = raw.ok_or(SourceError::NoProcess { pid })?;
    kill_process(target, Signal::USR2).map_err(|error| match error {
        rustix::io::Errno::SRCH => SourceError::NoProcess { pid },
        error => SourceError::Signal { pid, reason: error.to_string() },
    })
}

/// A complete snapshot in a folder.
struct Found {
    sequence: u64,
    at_unix_ms: u64,
    sidecar: PathBuf,
}

/// The newest snapshot of a process whose two files are both there.
fn newest(folder: &Path, pid: u32) -> Result<Option<Found>, SourceError> {
    let failed = |error: std::io::Error| SourceError::Folder {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let start = format!("heapdump-{pid}-");
    let mut newest: Option<Found> = None;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let numbers = (|| {
            let stem = name.strip_prefix(&start)?.strip_suffix(".json")?;
            let (sequence, at) = stem.split_once('-')?;
            Some((sequence.parse().ok()?, at.parse().ok()?))
        })();
        let Some((sequence, at_unix_ms)) = numbers else { continue };
        let newer = newest.as_ref().is_none_or(|found| sequence > found.sequence);
        if newer && path.with_extension("pb.gz").exists() {
            newest = Some(Found { sequence, at_unix_ms, sidecar: path });
        }
    }
    Ok(newest)
}

/// Reads a sidecar and the profile beside it.
pub(crate) async fn read(sidecar_path: &Path) -> Result<Fetched, SourceError> {
    let failed = |path: &Path, reason: String| SourceError::Folder { path: path.into(), reason };
    let text = tokio::fs::read(sidecar_path)
        .await
        .map_err(|error| failed(sidecar_path, error.to_string()))?;
    let sidecar: Sidecar = serde_json::from_slice(&text)
        .map_err(|error| failed(sidecar_path, format!("no sidecar of a snapshot: {error}")))?;
    // Only the last part of the name: a sidecar cannot lead out of its folder.
    let name = Path::new(&sidecar.profile).file_name().map(Path::new);
    let path = match name {
        Some(name) => sidecar_path.with_file_name(name),
        None => sidecar_path.with_extension("pb.gz"),
    };
    let bytes = tokio::fs::read(&path).await.map_err(|error| failed(&path, error.to_string()))?;
    Ok(Fetched { bytes, path: Some(path), sidecar: Some(sidecar) })
}
