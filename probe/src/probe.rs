//! Starts the probe and stops it: folders, profiler, listener, handler, thread, announcement, in
//! this order, and back in the other.
//! In: [`Options`]. Out: [`Probe`], which a program keeps in `main`.
//! Leaves to others: each of the parts it starts.

use crate::allocator::Mode;
use crate::announce::{self, Announced, Announcement};
use crate::census;
use crate::clock::unix_ms;
use crate::desk::{Desk, Heap, Identity};
use crate::error::{SnapshotError, StartError};
use crate::folder::{self, Shelf};
use crate::handle::{Handle, MAX_ORDERS, Order};
use crate::jemalloc;
use crate::listener;
use crate::mapping::shown;
use crate::options::Options;
use crate::signal::{self, Installed};
use crate::watch::{self, Triggers, Watch};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Relaxed};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Characters of a command line that are kept; an argument can be as long as memory.
const MAX_COMMAND: usize = 4_096;

/// Whether a probe runs in this process.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// The running probe. Keep it in `main` as long as the process shall be observed; dropping it
/// stops the thread, gives the signal back and removes the announcement.
#[must_use = "dropping the probe stops it"]
#[derive(Debug)]
pub struct Probe {
    admin: Option<SocketAddr>,
    dir: PathBuf,
    orders: mpsc::Sender<Order>,
    handle: Handle,
    _parts: Parts,
}

/// What must be undone, in the order in which it is.
#[derive(Debug, Default)]
struct Parts {
    announced: Option<Announced>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    signal: Option<Installed>,
    sampling: bool,
    dhat: Option<dhat::Profiler>,
    claim: Option<Claim>,
}

/// The right to be the one probe of the process.
#[derive(Debug)]
struct Claim(());

/// Starts the probe as the environment says. Best called first in `main`, before a runtime is
/// built: threads that run already may miss their first 64 KiB of allocations.
///
/// # Errors
///
/// [`StartError`], each with its cure; nothing stays behind.
pub fn start() -> Result<Probe, StartError> {
    Options::from_env()?.start()
}

impl Options {
    /// Starts the probe: from here on the heap is sampled and snapshots can be asked for. Where
    /// the process has no heap profile (another allocator, dhat, musl) it runs without one, and
    /// says so in its announcement and to whoever asks.
    ///
    /// # Errors
    ///
    /// [`StartError`], each with its cure; nothing stays behind.
    pub fn start(self) -> Result<Probe, StartError> {
        let mut parts = Parts::default();
        parts.claim = Some(Claim::take()?);
        let (dir, folders) = self.folders()?;
        let heap = self.heap()?;
        let listener =
            self.admin.map(|address| listener::bind(address, self.token.as_deref())).transpose()?;
        let admin = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        parts.signal = self.signal.then(signal::install).transpose()?;

        let identity = Identity::of_this_process();
        let shelf = Shelf::new(dir.clone(), identity.pid, self.max_files, self.max_bytes);
        let announcement = self.announcement(&identity, &heap, &dir, admin);
        let token: Option<Arc<str>> = self.token.as_deref().map(Arc::from);
        let guarded = token.is_some();
        let (orders, receiver) = mpsc::channel(MAX_ORDERS);
        let handle = Handle::new(orders.clone(), token);
        let (stop, stopped) = oneshot::channel();
        parts.stop = Some(stop);
        census::enable(self.census);
        if heap.off.is_none() {
            #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
            crate::backtrace::install();
            jemalloc::activate(heap.lg_sample)?;
            parts.sampling = true;
            #[cfg(feature = "ages")]
            crate::generations::install();
        }
        parts.thread = Some(watch::spawn(Watch {
            desk: Desk::new(identity, heap, shelf),
            routes: self.routes,
            orders: receiver,
            stop: stopped,
            listener: listener.map(|listener| (listener, handle.clone(), guarded)),
            signals: self.signal,
            triggers: Triggers {
                every: self.every,
                rss_step: self.rss_step,
                at_exit: self.at_exit,
            },
        })?);
        if Mode::current() == Mode::Dhat {
            let file = dir.join(format!("dhat-heap-{}.json", announcement.pid));
            parts.dhat = Some(dhat::Profiler::builder().file_name(file).build());
        }
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        parts.announced = Some(Announced::write(&announcement, &folders)?);
        Ok(Probe { admin, dir, orders, handle, _parts: parts })
    }

    /// The folder for snapshots, and those for the announcement.
    fn folders(&self) -> Result<(PathBuf, Vec<PathBuf>), StartError> {
        let common = folder::open_common().inspect(|common| announce::sweep(common));
        let Some(dir) = &self.dir else {
            let common = common?;
            return Ok((common.clone(), vec![common]));
        };
        folder::open(dir)?;
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        // Where `/tmp` cannot be written, the folder that was asked for must do.
        let mut folders: Vec<PathBuf> = common.into_iter().collect();
        if folders.first() != Some(&dir) {
            folders.push(dir.clone());
        }
        Ok((dir, folders))
    }

    /// What the heap profiler of this process can give.
    fn heap(&self) -> Result<Heap, StartError> {
        let lg_sample = self.lg_sample();
        let off =
            |reason: &str| Ok(Heap { off: Some(reason.to_owned()), accumulates: false, lg_sample });
        match Mode::current() {
            Mode::System => off("the process does not allocate through the probe: add \
                 `#[global_allocator] static ALLOCATOR: ebbtide_probe::Allocator = \
                 ebbtide_probe::Allocator;` to its main file"),
            Mode::Dhat => {
                off("the allocator is dhat, which writes one file when the process ends: unset \
                 `EBBTIDE_ALLOCATOR`, and set `EBBTIDE_SAMPLE=1` for exact snapshots")
            }
            Mode::Jemalloc if cfg!(target_env = "musl") => {
                off("jemalloc's profiler crashes on musl: build for a glibc target")
            }
            Mode::Jemalloc => {
                let profiler = jemalloc::check()?;
                Ok(Heap { off: None, accumulates: profiler.accumulates, lg_sample })
            }
        }
    }

    fn announcement(
        &self,
        identity: &Identity,
        heap: &Heap,
        dir: &Path,
        admin: Option<SocketAddr>,
    ) -> Announcement {
        Announcement {
            schema: announce::SCHEMA,
            pid: identity.pid,
            exe: identity.exe.clone(),
            admin: admin.map(|address| address.to_string()),
            dir: dir.display().to_string(),
            allocator: Mode::current().key(),
            profiling: heap.off.is_none(),
            profiling_off: heap.off.clone(),
            accumulated: heap.accumulates,
            sample_interval_bytes: heap.interval_bytes(),
            census: self.census,
            signal: self.signal.then_some("SIGUSR2"),
            started_unix_ms: identity.started_unix_ms,
        }
    }
}

impl Probe {
    /// Where the admin listener stands, if one was asked for.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The folder for snapshots.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes a snapshot and says where it is. Blocks the calling thread until it is written,
    /// some milliseconds; in async code ask the [`Handle`] instead.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`].
    pub fn snapshot(&self) -> Result<PathBuf, SnapshotError> {
        let (sender, taken) = std::sync::mpsc::sync_channel(1);
        self.orders.try_send(Order::Take(sender)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SnapshotError::Busy,
            mpsc::error::TrySendError::Closed(_) => SnapshotError::Stopped,
        })?;
        taken.recv().unwrap_or(Err(SnapshotError::Stopped))
    }

    /// Answers admin requests for a server of the program's own.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // Nobody shall find the probe, or signal it, from here on.
        self.announced.take();
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been reported by the panic hook.
            let _ = thread.join();
        }
        self.signal.take();
        if self.sampling {
            jemalloc::deactivate();
            #[cfg(feature = "ages")]
            crate::generations::remove();
        }
        self.dhat.take();
        self.claim.take();
    }
}

impl Claim {
    fn take() -> Result<Self, StartError> {
        RUNNING
            .compare_exchange(false, true, AcqRel, Relaxed)
            .map(|_| Self(()))
            .map_err(|_| StartError::Running)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        RUNNING.store(false, Relaxed);
    }
}

impl Identity {
    fn of_this_process() -> Self {
        let exe = std::env::current_exe().unwrap_or_default();
        let command = std::env::args_os()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ");
        Self {
            pid: std::process::id(),
            exe: shown(&exe.to_string_lossy()).to_owned(),
            command: command.chars().take(MAX_COMMAND).collect(),
            started_unix_ms: unix_ms(),
        }
    }
}
