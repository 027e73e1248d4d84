//! Snapshots from a running process. In: a pid or a URL. Out: the bytes of a heap profile with
//! what was known when it was taken, the census, the memory. The process is asked, never
//! changed, and never sent a signal it would die of. Reading the bytes is left to `parse`.
//!
//! To add a source: a file here, and a variant of the private `Way` in this one.

mod http;
mod inspector;
mod pprof;
mod probe_file;
mod process;
mod signal;
pub mod sockets;
pub mod together;
mod written;

pub use inspector::{HEAP_SIZE_MAX, INTERVAL as NODE_INTERVAL, WholeHeap, is_node};
pub use probe_file::{ProbeFile, find as find_probe};
pub use process::{is_go, memory as process_memory};

use ebbtide_record::snapshot::{AllocatorTotals, ProcessMemory, Sampling};
use ebbtide_record::{Census, Sidecar};
use http::{ANSWER_TIMEOUT, Endpoint, SNAPSHOT_TIMEOUT};
use hyper::Method;
use inspector::Inspector;
use pprof::{HEAP_PATH, Served};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pause between two looks for a probe that is about to start.
const READY_PAUSE: Duration = Duration::from_millis(20);

/// Why a snapshot, a census or a figure could not be had. One line each, with the cure.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The process is gone, or never was.
    #[error("no process {pid}: it has ended, or the number is wrong")]
    NoProcess {
        /// The process.
        pid: u32,
    },
    /// It runs without a probe.
    #[error(
        "process {pid} (`{name}`) has no probe: looked for `probe-{pid}.json` in {looked}; add \
         the probe to the program, or give the URL of its pprof endpoint"
    )]
    NoProbe {
        /// The process.
        pid: u32,
        /// Its name.
        name: String,
        /// Folders, as one text.
        looked: String,
    },
    /// The signal would end it.
    #[error(
        "process {pid} (`{name}`) does not handle SIGUSR2 and would die of it, so it was not \
         sent; add the probe to the program, or give the URL of its pprof endpoint"
    )]
    NotCaught {
        /// The process.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// The kernel refused the signal.
    #[error("process {pid} cannot be signalled: {reason}; run as the user it belongs to")]
    Signal {
        /// The process.
        pid: u32,
        /// What the kernel says.
        reason: String,
    },
    /// The inspector of a Node process cannot be had.
    #[error("process {pid} (`{name}`): {reason}")]
    Inspector {
        /// The process.
        pid: u32,
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A URL that cannot be used.
    #[error("`{url}`: {reason}")]
    Address {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers.
    #[error("`{url}`: {reason}; is it running, and is this the right port?")]
    Unreachable {
        /// The URL.
        url: String,
        /// What the network says.
        reason: String,
    },
    /// Someone answers, and does not want to.
    #[error("`{url}`: refused with status {status} `{says}`; check the path and the token")]
    Refused {
        /// The URL.
        url: String,
        /// Status of the answer.
        status: u16,
        /// First line of its body.
        says: String,
    },
    /// The answer is something else.
    #[error("`{url}`: the answer is not what was asked for: {reason}")]
    Answer {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It took too long.
    #[error("no answer within {after_s} s: {what}; the target may be stalled")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long, seconds.
        after_s: u64,
    },
    /// A file or folder of snapshots cannot be read.
    #[error("`{path}`: {reason}")]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This target does not tell.
    #[error("{target} does not offer {what}")]
    NotOffered {
        /// The target, in words.
        target: String,
        /// What was asked for.
        what: &'static str,
    },
}

/// A snapshot as it came, unread.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// A heap profile, in a form that `parse::read` knows.
    pub bytes: Vec<u8>,
    /// Where it lies, when the target wrote it to a folder of this machine.
    pub path: Option<PathBuf>,
    /// What was known when it was taken; absent where the target does not say.
    pub sidecar: Option<Sidecar>,
}

impl Fetched {
    /// The ending that a file of these bytes has.
    #[must_use]
    pub fn extension(&self) -> &'static str {
        if crate::parse::resident::recognises(&self.bytes) {
            return "rss";
        }
        if crate::parse::heapprofile::recognises(&self.bytes) { "heapprofile" } else { "pb.gz" }
    }
}

/// What a target's memory is at one moment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Memory {
    /// The process; 0 where it does not say.
    pub pid: u32,
    /// When, Unix milliseconds; 0 where the target does not say.
    pub at_unix_ms: u64,
    /// Requests that have begun and not ended; absent where nobody counts them.
    pub in_flight: Option<u64>,
    /// How the heap is sampled; absent where it is not.
    pub sampling: Option<Sampling>,
    /// The process as the kernel sees it.
    pub process: ProcessMemory,
    /// The allocator's own totals; absent where it has none.
    pub allocator: Option<AllocatorTotals>,
}

/// How a target is asked for its heap.
#[derive(Clone, Debug)]
enum Way {
    /// The probe's own listener.
    Admin(Endpoint),
    /// A signal, and a look at the folder.
    Signal(PathBuf),
    /// Anyone who serves profile.proto.
    Pprof(Served),
    /// A signal, on which Node writes a whole heap.
    Written(written::Writer),
    /// The inspector of Node.
    Inspector(Inspector),
    /// It cannot be asked: its memory alone is seen from outside.
    Outside,
    /// It is not to be asked: its memory seen from outside is its snapshot, with that of those
    /// that held its port with it.
    Resident(BTreeSet<u32>),
}

/// A process that is watched.
#[derive(Clone, Debug)]
pub struct Target {
    pid: Option<u32>,
    probe: Option<ProbeFile>,
    way: Way,
}

impl Target {
    /// Attaches to a process of this machine: by its probe where there is one, by its inspector
    /// where it runs Node, from outside otherwise.
    ///
    /// # Errors
    /// [`SourceError::NoProcess`], or a probe's file that cannot be read.
    pub fn attach(pid: u32) -> Result<Self, SourceError> {
        process::Status::of(pid)?;
        let probe = find_probe(pid)?;
        let way = match &probe {
            Some(ProbeFile { admin: Some(address), .. }) => {
                Way::Admin(Endpoint { authority: address.to_string(), token: None })
            }
            Some(probe) => Way::Signal(probe.dir.clone()),
            None => match written::find(pid) {
                Some(writer) => Way::Written(writer),
                None if is_node(pid) => Way::Inspector(Inspector::of_process(pid)),
                None => Way::Outside,
            },
        };
        Ok(Self { pid: Some(pid), probe, way })
    }

    /// The same target, seen by the inspector of Node, whatever its executable is called.
    #[must_use]
    pub fn by_inspector(mut self) -> Self {
        if let (Some(pid), false) = (self.pid, self.is_node()) {
            self.way = Way::Inspector(Inspector::of_process(pid));
        }
        self
    }

    /// The same target without the inspector of Node, of which the process would have to be
    /// changed: its memory alone is seen.
    #[must_use]
    pub fn from_outside(mut self) -> Self {
        if self.is_node() {
            self.way = Way::Outside;
        }
        self
    }

    /// Attaches to a process of this machine of which resident memory alone is looked at: whatever
    /// it runs, nothing is asked of it and nothing changed. Those that hold its port with it, and
    /// all that these start, count with it.
    ///
    /// # Errors
    /// [`SourceError::NoProcess`].
    pub fn resident(pid: u32, port: Option<u16>) -> Result<Self, SourceError> {
        process::Status::of(pid)?;
        let holders = port.map(|port| together::holders(pid, port)).unwrap_or_default();
        Ok(Self { pid: Some(pid), probe: None, way: Way::Resident(holders) })
    }

    /// Processes whose resident memory is looked at together; `None` for all other ways.
    #[must_use]
    pub fn together(&self) -> Option<usize> {
        match (&self.way, self.pid) {
            (Way::Resident(holders), Some(pid)) => Some(together::members(pid, holders).len()),
            _ => None,
        }
    }

    /// Attaches to the inspector of Node at `ws://host:port`, with or without a path. Nothing is
    /// sent yet.
    #[must_use]
    pub fn at_inspector(url: &str) -> Self {
        Self { pid: None, probe: None, way: Way::Inspector(Inspector::at_url(url)) }
    }

    /// Its heap is seen by the inspector of Node.
    #[must_use]
    pub fn is_node(&self) -> bool {
        matches!(self.way, Way::Inspector(_))
    }

    /// Makes ready what the first snapshot would make ready anyway: opens the inspector of Node
    /// and lets it begin to sample. Nothing for all others.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn open(&mut self) -> Result<(), SourceError> {
        if let Way::Inspector(inspector) = &self.way {
            inspector.open().await?;
            self.pid = self.pid.or(inspector.pid());
        }
        Ok(())
    }

    /// Puts back what was changed in the target, and lets go of it.
    pub async fn release(&self) {
        if let Way::Inspector(inspector) = &self.way {
            inspector.release().await;
        }
    }

    /// Writes the whole heap of a Node process to a path, as a `.heapsnapshot`. It answers
    /// nothing meanwhile. `None` where its heap has more bytes than `size_max`.
    ///
    /// # Errors
    /// [`SourceError::NotOffered`] for all others, or why it could not be had.
    pub async fn whole_heap(
        &self,
        path: &Path,
        size_max: u64,
    ) -> Result<Option<WholeHeap>, SourceError> {
        let Way::Inspector(inspector) = &self.way else {
            return Err(self.not_offered("a whole heap"));
        };
        let session = inspector.open().await?;
        if session.heap_used().await? > size_max {
            return Ok(None);
        }
        session.whole_heap(path).await.map(Some)
    }

    /// Attaches to a process that was just started, as soon as its probe is ready.
    ///
    /// # Errors
    /// [`SourceError::NoProbe`] when none is ready in time, [`SourceError::NoProcess`] when the
    /// process ends before.
    pub async fn attach_when_ready(pid: u32, within: Duration) -> Result<Self, SourceError> {
        let deadline = Instant::now() + within;
        loop {
            let target = Self::attach(pid)?;
            let asks = matches!(target.way, Way::Written(_) | Way::Inspector(_));
            if target.probe.is_some() || asks {
                return Ok(target);
            }
            if Instant::now() >= deadline {
                return Err(target.no_probe(pid)?);
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
    }

    /// Attaches to whoever serves profile.proto at a URL: the probe, Go, or another. A URL
    /// without a path means `/debug/pprof/heap`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SourceError::Address`] when the URL cannot be used.
    pub fn at_url(url: &str) -> Result<Self, SourceError> {
        Ok(Self { pid: None, probe: None, way: Way::Pprof(Served::at(url)?) })
    }

    /// The same target, with path prefixes of own code, for what it tells by place itself.
    #[must_use]
    pub fn with_own(mut self, own: &[String]) -> Self {
        if let Way::Pprof(served) = &mut self.way {
            served.own = own.to_vec().into();
        }
        self
    }

    /// The same target, sampled once in so many bytes, where it is for us to say and finer than
    /// what is usual there.
    #[must_use]
    pub fn with_interval(mut self, bytes: u64) -> Self {
        self.way = match self.way {
            Way::Inspector(inspector) => Way::Inspector(inspector.sampling(bytes)),
            way => way,
        };
        self
    }

    /// The port of the URL it is asked at, where there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let (Way::Admin(endpoint) | Way::Pprof(Served { endpoint, .. })) = &self.way else {
            return None;
        };
        endpoint.authority.rsplit_once(':')?.1.parse().ok()
    }

    /// It is a Go program, as far as it was asked for anything yet.
    #[must_use]
    pub fn is_go(&self) -> bool {
        matches!(&self.way, Way::Pprof(served) if served.is_go())
    }

    /// It serves Go's index of profiles. Asks it once.
    pub async fn has_index(&self) -> bool {
        match &self.way {
            Way::Pprof(served) => served.has_index().await,
            _ => false,
        }
    }

    /// The same target, asked by SIGUSR2 even where it has a listener.
    #[must_use]
    pub fn by_signal(mut self) -> Self {
        if let Some(probe) = &self.probe {
            self.way = Way::Signal(probe.dir.clone());
        }
        self
    }

    /// The same target, with the process it is known to be, so that its memory is seen as well.
    #[must_use]
    pub fn with_pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// The same target, asked with a bearer token.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        if let Way::Admin(endpoint) | Way::Pprof(Served { endpoint, .. }) = &mut self.way {
            endpoint.token = token;
        }
        self
    }

    /// The process, where it is on this machine and known.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// What its probe says of itself.
    #[must_use]
    pub fn probe(&self) -> Option<&ProbeFile> {
        self.probe.as_ref()
    }

    /// It has a heap that can be asked for; if not, its memory alone is seen.
    #[must_use]
    pub fn has_heap(&self) -> bool {
        !matches!(self.way, Way::Outside)
    }

    /// The process still runs. True where it is not of this machine.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.pid.is_none_or(|pid| process::Status::of(pid).is_ok())
    }

    /// Takes a snapshot now. With `purge` the allocator gives back what it holds unused first,
    /// where it can be asked to.
    ///
    /// # Errors
    /// Why it could not be had. The process goes on in any case.
    pub async fn snapshot(&self, purge: bool) -> Result<Fetched, SourceError> {
        match &self.way {
            Way::Admin(endpoint) => self.by_admin(endpoint, purge).await,
            Way::Signal(folder) => {
                let pid = self.pid.ok_or_else(|| self.not_offered("a process id"))?;
                signal::snapshot(pid, folder).await
            }
            Way::Pprof(served) => served.snapshot(self.pid, purge).await,
            Way::Written(writer) => writer.snapshot().await,
            Way::Inspector(inspector) => inspector.open().await?.snapshot().await,
            Way::Resident(holders) => {
                let pid = self.pid.ok_or_else(|| self.not_offered("a process id"))?;
                resident(pid, together::memory(pid, holders)?)
            }
            Way::Outside => {
                let pid = self.pid.ok_or_else(|| self.not_offered("a heap"))?;
                let status = process::Status::of(pid)?;
                if !status.catches(process::SIGUSR2) {
                    return Err(SourceError::NotCaught { pid, name: status.name });
                }
                Err(self.no_probe(pid)?)
            }
        }
    }

    /// Objects by kind and place, as the process counts them.
    ///
    /// # Errors
    /// [`SourceError::NotOffered`] where only a snapshot's sidecar has it, or nobody.
    pub async fn census(&self) -> Result<Census, SourceError> {
        let endpoint = match &self.way {
            Way::Admin(endpoint) => endpoint,
            Way::Pprof(served) => return served.census().await,
            Way::Inspector(inspector) => return inspector.open().await?.census().await,
            _ => return Err(self.not_offered("a census between snapshots")),
        };
        ask_json(endpoint, Method::GET, "/debug/census", ANSWER_TIMEOUT).await
    }

    /// Its memory now. With `purge` the allocator gives back what it holds unused first, where
    /// it can be asked to.
    ///
    /// # Errors
    /// [`SourceError::NotOffered`] where it can neither be asked nor seen.
    pub async fn memory(&self, purge: bool) -> Result<Memory, SourceError> {
        if let Way::Admin(endpoint) = &self.way {
            let path = if purge { "/debug/memory?purge=1" } else { "/debug/memory" };
            return ask_json(endpoint, Method::GET, path, ANSWER_TIMEOUT).await;
        }
        if let Way::Pprof(served) = &self.way {
            return served.memory(self.pid).await;
        }
        if let (Way::Inspector(inspector), None) = (&self.way, self.pid) {
            return inspector.open().await?.memory();
        }
        let pid = self.pid.ok_or_else(|| self.not_offered("its memory (give its pid as well)"))?;
        let process = match &self.way {
            Way::Resident(holders) => together::memory(pid, holders)?,
            _ => process_memory(pid)?,
        };
        Ok(Memory { pid, process, ..Memory::default() })
    }

    /// By the probe's listener: written to its folder where that is ours to read, over the wire
    /// otherwise.
    async fn by_admin(&self, endpoint: &Endpoint, purge: bool) -> Result<Fetched, SourceError> {
        let path = if purge { "/debug/snapshot?purge=1" } else { "/debug/snapshot" };
        let taken = ask_json(endpoint, Method::POST, path, SNAPSHOT_TIMEOUT).await;
        let sidecar: Sidecar = match taken {
            Ok(sidecar) => sidecar,
            // Its folder may be full or forbidden: the heap itself can still be had.
            Err(SourceError::Refused { .. }) => return over_the_wire(endpoint, purge).await,
            Err(error) => return Err(error),
        };
        let folder = self.probe.as_ref().map(|probe| probe.dir.clone()).unwrap_or_default();
        let name = Path::new(&sidecar.profile).file_name().unwrap_or_default();
        let path = folder.join(name);
        match tokio::fs::read(&path).await {
            Ok(bytes) => Ok(Fetched { bytes, path: Some(path), sidecar: Some(sidecar) }),
            Err(_) => over_the_wire(endpoint, purge).await,
        }
    }

    fn no_probe(&self, pid: u32) -> Result<SourceError, SourceError> {
        let status = process::Status::of(pid)?;
        let folders = probe_file::folders(pid, status.uid);
        let looked: Vec<String> =
            folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
        Ok(SourceError::NoProbe { pid, name: status.name, looked: looked.join(" and ") })
    }

    fn not_offered(&self, what: &'static str) -> SourceError {
        let target = match (&self.way, self.pid) {
            (Way::Admin(endpoint) | Way::Pprof(Served { endpoint, .. }), _) => {
                format!("`http://{}`", endpoint.authority)
            }
            (Way::Inspector(inspector), _) => inspector.words(),
            (_, Some(pid)) => format!("process {pid}"),
            _ => "the target".to_owned(),
        };
        SourceError::NotOffered { target, what }
    }
}

/// Resident memory as a snapshot.
fn resident(pid: u32, process: ProcessMemory) -> Result<Fetched, SourceError> {
    let sidecar = Sidecar {
        schema: ebbtide_record::snapshot::SCHEMA.to_owned(),
        pid,
        at_unix_ms: inspector::unix_ms(),
        trigger: "outside".to_owned(),
        process,
        ..Sidecar::default()
    };
    let bytes = crate::parse::resident::write(pid, process);
    Ok(Fetched { bytes, path: None, sidecar: Some(sidecar) })
}

async fn over_the_wire(endpoint: &Endpoint, purge: bool) -> Result<Fetched, SourceError> {
    let path = if purge { "/debug/pprof/heap?purge=1" } else { HEAP_PATH };
    let bytes = endpoint.ask(Method::GET, path, SNAPSHOT_TIMEOUT).await?;
    let memory: Memory = ask_json(endpoint, Method::GET, "/debug/memory", ANSWER_TIMEOUT).await?;
    let census = ask_json(endpoint, Method::GET, "/debug/census", ANSWER_TIMEOUT).await?;
    let sidecar = Sidecar {
        schema: ebbtide_record::snapshot::SCHEMA.to_owned(),
        pid: memory.pid,
        at_unix_ms: memory.at_unix_ms,
        trigger: "http".to_owned(),
        sampling: memory.sampling.unwrap_or_default(),
        process: memory.process,
        allocator: memory.allocator.unwrap_or_default(),
        census,
        ..Sidecar::default()
    };
    Ok(Fetched { bytes, path: None, sidecar: Some(sidecar) })
}

async fn ask_json<T: serde::de::DeserializeOwned>(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    within: Duration,
) -> Result<T, SourceError> {
    let body = endpoint.ask(method, path, within).await?;
    serde_json::from_slice(&body).map_err(|error| SourceError::Answer {
        url: format!("http://{}{path}", endpoint.authority),
        reason: error.to_string(),
    })
}
