//! Where snapshots are made: one owner of all that taking one needs, on the probe's thread.
//! In: a trigger. Out: a file and its sidecar in the folder, or the bytes of a profile.
//! raw dump -> cells unbiased -> mappings -> profile.proto -> file -> sidecar.
//! Leaves to others: when to take one (`watch`) and answering requests (`admin`).

use crate::allocator::Mode;
use crate::census::{self, Census};
use crate::clock::unix_ms;
use crate::dump::Dump;
use crate::error::SnapshotError;
use crate::folder::{self, Shelf};
use crate::jemalloc::{self, Totals};
use crate::mapping::BuildIds;
use crate::pprof::{self, About};
use crate::process::ProcessMemory;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Snapshots of the process so far, whichever probe of its life took them.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// What made the probe take a snapshot.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trigger {
    Signal,
    Http,
    Timer,
    Rss,
    Exit,
    /// The program itself, by `Probe::snapshot`.
    Program,
}

/// What can be said about the heap of this process.
#[derive(Clone, Debug)]
pub(crate) struct Heap {
    /// Why there is no profile, if there is none.
    pub(crate) off: Option<String>,
    /// Whether cumulative columns are kept.
    pub(crate) accumulates: bool,
    /// log2 of the sampling interval.
    pub(crate) lg_sample: u32,
}

impl Heap {
    /// Mean bytes between two samples.
    pub(crate) fn interval_bytes(&self) -> u64 {
        1 << self.lg_sample
    }
}

/// Who this process is, as files and comments name it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    pub(crate) exe: String,
    pub(crate) command: String,
    pub(crate) started_unix_ms: u64,
}

/// All that taking a snapshot needs.
#[derive(Debug)]
pub(crate) struct Desk {
    identity: Identity,
    heap: Heap,
    shelf: Shelf,
    build_ids: BuildIds,
    tally: Tally,
}

/// Snapshots taken so far, for those who ask how the probe fares.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tally {
    taken: u64,
    /// Deleted to keep the caps.
    deleted: u64,
    failed: u64,
    /// Why the latest that failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// A snapshot on disk.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) path: PathBuf,
    /// The sidecar's text.
    pub(crate) sidecar: Vec<u8>,
}

/// The sidecar, form `ebbtide/snapshot/1`.
#[derive(Debug, Serialize)]
struct Sidecar<'a> {
    schema: &'static str,
    pid: u32,
    exe: &'a str,
    build_id: String,
    sequence: u64,
    at_unix_ms: u64,
    trigger: Trigger,
    merged: u64,
    /// Older snapshots of the process that the caps have cost so far.
    deleted: u64,
    accumulated: bool,
    sampling: Sampling,
    profile: &'a str,
    process: ProcessMemory,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocator: Option<Totals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    census: Option<Census>,
}

/// How the heap is sampled.
#[derive(Debug, Serialize)]
struct Sampling {
    mean_bytes: u64,
}

/// The body of `/debug/memory`, form `ebbtide/memory/1`.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    schema: &'static str,
    pid: u32,
    at_unix_ms: u64,
    in_flight: u64,
    /// Absent where nothing is sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling: Option<Sampling>,
    process: ProcessMemory,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocator: Option<Totals>,
    snapshots: Tally,
}

impl Desk {
    pub(crate) fn new(identity: Identity, heap: Heap, shelf: Shelf) -> Self {
        let build_ids = BuildIds::default();
        Self { identity, heap, shelf, build_ids, tally: Tally::default() }
    }

    /// Takes a snapshot into the folder; `merged` signals came with it and get none of their own.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; it is counted and remembered for `/debug/memory` too.
    pub(crate) fn take(&mut self, trigger: Trigger, merged: u64) -> Result<Taken, SnapshotError> {
        let taken = self.try_take(trigger, merged);
        match &taken {
            Ok(_) => self.tally.taken += 1,
            Err(error) => {
                self.tally.failed += 1;
                self.tally.last_error = Some(error.to_string());
            }
        }
        taken
    }

    fn try_take(&mut self, trigger: Trigger, merged: u64) -> Result<Taken, SnapshotError> {
        // Counted before the dump, so that all parts show the process before the probe's work.
        let census = census::enabled().then(Census::count);
        let process = ProcessMemory::read();
        let allocator = self.totals();
        let at_unix_ms = unix_ms();
        let profile = self.profile_at(at_unix_ms)?;
        let sequence = SEQUENCE.fetch_add(1, Relaxed) + 1;
        let (name, sidecar_name) = self.shelf.names(sequence, at_unix_ms);
        let path = folder::write_whole(self.shelf.dir(), &name, &profile)?;
        let sidecar = json(&Sidecar {
            schema: "ebbtide/snapshot/1",
            pid: self.identity.pid,
            exe: &self.identity.exe,
            build_id: self.build_ids.of_exe(),
            sequence,
            at_unix_ms,
            trigger,
            merged,
            deleted: self.tally.deleted,
            accumulated: self.heap.accumulates,
            sampling: Sampling { mean_bytes: self.heap.interval_bytes() },
            profile: &name,
            process,
            allocator,
            census,
        });
        folder::write_whole(self.shelf.dir(), &sidecar_name, &sidecar)?;
        self.tally.deleted += self.shelf.prune();
        Ok(Taken { path, sidecar })
    }

    /// A profile of this moment, as it would stand in a file.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`].
    pub(crate) fn profile(&mut self) -> Result<Vec<u8>, SnapshotError> {
        self.profile_at(unix_ms())
    }

    fn profile_at(&mut self, at_unix_ms: u64) -> Result<Vec<u8>, SnapshotError> {
        if let Some(reason) = &self.heap.off {
            return Err(SnapshotError::Unavailable(reason.clone()));
        }
        let raw = jemalloc::dump()?;
        #[cfg_attr(not(feature = "ages"), expect(unused_mut, reason = "ages are put into it"))]
        let mut dump = Dump::parse(&raw)?;
        let comments = self.comments(&dump);
        #[cfg(feature = "ages")]
        let comments = [comments, vec![crate::generations::mark(&mut dump.stacks)]].concat();
        let mappings = self.build_ids.mappings(dump.maps);
        let about = About {
            at_unix_ms,
            sampled_ms: at_unix_ms.saturating_sub(self.identity.started_unix_ms),
            comments,
        };
        pprof::encode(&dump, &mappings, &about)
            .map_err(|error| SnapshotError::Dump(error.to_string()))
    }

    fn comments(&self, dump: &Dump<'_>) -> Vec<String> {
        let accumulated = if self.heap.accumulates { "yes" } else { "no, alloc columns are 0" };
        #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
        let unwinder = if crate::backtrace::distrusted() { "libgcc" } else { "frame sizes" };
        #[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")))]
        let unwinder = "libgcc";
        vec![
            format!("exe={}", self.identity.exe),
            format!("command={}", self.identity.command),
            format!("pid={}", self.identity.pid),
            "allocator=jemalloc size classes".to_owned(),
            format!("accumulated={accumulated}"),
            format!("unwinder={unwinder}"),
            // jemalloc's own sum: a reader can hold its sum over the stacks against it.
            format!("inuse_space_total={:.0}", dump.total.live.bytes),
        ]
    }

    /// The process's memory now.
    pub(crate) fn memory(&self) -> Memory {
        Memory {
            schema: "ebbtide/memory/1",
            pid: self.identity.pid,
            at_unix_ms: unix_ms(),
            in_flight: census::requests_in_flight(),
            sampling: self
                .heap
                .off
                .is_none()
                .then(|| Sampling { mean_bytes: self.heap.interval_bytes() }),
            process: ProcessMemory::read(),
            allocator: self.totals(),
            snapshots: self.tally.clone(),
        }
    }

    /// Gives free pages back first, where the allocator can.
    pub(crate) fn purge(&self) {
        if Mode::current() == Mode::Jemalloc {
            jemalloc::purge();
        }
    }

    fn totals(&self) -> Option<Totals> {
        (Mode::current() == Mode::Jemalloc).then(Totals::read).flatten()
    }
}

/// JSON text of one of the probe's own forms.
pub(crate) fn json(form: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(form).expect("the probe's forms have text keys and finite numbers")
}
