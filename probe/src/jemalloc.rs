//! jemalloc's controls, as the probe needs them: is its profiler there, sampling on and off, a
//! raw dump, a purge, its totals.
//! In: names of the `mallctl` tree. Out: plain values, or the control's name and its answer.
//! Leaves to others: when to call what (`desk`), and reading the dump (`dump`).
#![expect(unsafe_code, reason = "mallctl takes a name and an untyped pointer")]

use crate::error::{SnapshotError, StartError};
use serde::Serialize;
use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};
use tikv_jemalloc_ctl::{epoch, raw, stats};

/// The pseudo arena that stands for all (`MALLCTL_ARENAS_ALL`), and what to do with it.
const PURGE_ALL: &std::ffi::CStr = c"arena.4096.purge";

/// A dump above this is given up: 1 GiB of text is some ten million frames.
const MAX_DUMP_BYTES: u64 = 1 << 30;

/// A single allocation of this size outruns any sample wait drawn at lg 16: it is passed over
/// with probability exp(-256).
const OUTRUN_BYTES: usize = 16 << 20;

/// What the profiler was built and started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profiler {
    /// Whether cumulative columns are kept.
    pub(crate) accumulates: bool,
}

/// Looks whether profiling can be switched on.
///
/// # Errors
///
/// [`StartError::ProfilingOff`] with the cure for the likeliest reason.
pub(crate) fn check() -> Result<Profiler, StartError> {
    if !flag(b"config.prof\0") {
        return Err(StartError::ProfilingOff {
            missing: "config.prof",
            cure: "build `tikv-jemallocator` with the feature `profiling`".to_owned(),
        });
    }
    if !flag(b"opt.prof\0") {
        return Err(StartError::ProfilingOff { missing: "prof:true", cure: cure() });
    }
    Ok(Profiler { accumulates: flag(b"opt.prof_accum\0") })
}

/// Why `prof` is off although the probe exports a configuration that switches it on.
fn cure() -> String {
    let variable = std::env::var("_RJEM_MALLOC_CONF").unwrap_or_default();
    if variable.contains("prof:false") {
        return "take `prof:false` out of `_RJEM_MALLOC_CONF`".to_owned();
    }
    let ignored = if std::env::var_os("MALLOC_CONF").is_some() {
        "`MALLOC_CONF` is not read by this build of jemalloc; "
    } else {
        ""
    };
    format!(
        "{ignored}the static `_rjem_malloc_conf` was lost at link: link with \
         `-Wl,--undefined=_rjem_malloc_conf`, or start the process with \
         `_RJEM_MALLOC_CONF=prof:true,prof_active:false,prof_accum:true`"
    )
}

/// Clears what was sampled and samples from now on, one in 2^`lg` bytes.
///
/// # Errors
///
/// [`StartError::Jemalloc`].
pub(crate) fn activate(lg: u32) -> Result<(), StartError> {
    let lg = lg as usize;
    reset(lg)?;
    switch(true)?;
    // This thread still waits for a sample drawn at the old interval; one large allocation uses
    // the wait up, so that the next is drawn at the new one. It is freed at once.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(OUTRUN_BYTES)));
    // What was sampled so far is that allocation.
    reset(lg)
}

/// Stops sampling.
pub(crate) fn deactivate() {
    // A refusal leaves sampling on, which harms nobody.
    let _ = switch(false);
}

/// Forgets what was sampled and sets the interval, which `jemalloc_pprof` cannot set.
fn reset(lg: usize) -> Result<(), StartError> {
    // SAFETY: `prof.reset` takes a size_t.
    unsafe { raw::write(b"prof.reset\0", lg) }.map_err(|error| refused("prof.reset", &error))
}

/// The program has the library too: its switch keeps the book that the program looks into.
#[cfg(feature = "jemalloc_pprof")]
fn switch(on: bool) -> Result<(), StartError> {
    let name = "prof.active";
    let held = |reason: &str| StartError::Jemalloc { name, reason: reason.to_owned() };
    let control = jemalloc_pprof::PROF_CTL.as_ref().ok_or_else(|| held("profiling is off"))?;
    // Not `blocking_lock`, which panics when `main` is async.
    let mut control = control
        .try_lock()
        .map_err(|_| held("the program holds `PROF_CTL`: start the probe before it does"))?;
    if on { control.activate() } else { control.deactivate() }
        .map_err(|error| refused(name, &error))
}

/// Without the library, which no program shall get by the probe: see docs/adr/0004.
#[cfg(not(feature = "jemalloc_pprof"))]
fn switch(on: bool) -> Result<(), StartError> {
    // SAFETY: `prof.active` takes a bool.
    unsafe { raw::write(b"prof.active\0", on) }.map_err(|error| refused("prof.active", &error))
}

/// Keeps what the calling thread allocates out of the profile.
pub(crate) fn hide_this_thread() {
    // SAFETY: `thread.prof.active` takes a bool. A refusal leaves the probe's own few
    // allocations in the profile.
    let _ = unsafe { raw::write(b"thread.prof.active\0", false) };
}

/// The heap as jemalloc writes it, text of the form `heap_v2`. Goes through a file in memory:
/// the only interface is a path, and nothing may stay behind when the process is killed. Not
/// `jemalloc_pprof`'s dump, which fails where there is no writable `TMPDIR`.
///
/// # Errors
///
/// [`SnapshotError::Dump`].
pub(crate) fn dump() -> Result<Vec<u8>, SnapshotError> {
    let failed = |error: &dyn std::fmt::Display| SnapshotError::Dump(error.to_string());
    // SAFETY: a literal name; the descriptor is checked before it gets an owner.
    let fd = unsafe { libc::memfd_create(c"ebbtide-heap".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(failed(&std::io::Error::last_os_error()));
    }
    // SAFETY: the descriptor is new and nobody else's.
    let mut file = unsafe { File::from_raw_fd(fd) };
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .expect("a path made of letters and digits holds no NUL");
    let pointer: *const c_char = path.as_ptr();
    // SAFETY: `prof.dump` takes a C string, which lives until the call is over.
    unsafe { raw::write(b"prof.dump\0", pointer) }.map_err(|error| failed(&error))?;
    let length = file.metadata().map_err(|error| failed(&error))?.len();
    if length > MAX_DUMP_BYTES {
        return Err(failed(&format_args!("{length} bytes are more than {MAX_DUMP_BYTES}")));
    }
    let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.rewind().and_then(|()| file.read_to_end(&mut text)).map_err(|error| failed(&error))?;
    Ok(text)
}

/// Gives the free pages of all arenas back to the system.
pub(crate) fn purge() {
    // SAFETY: `arena.<i>.purge` neither reads nor writes through its pointers.
    unsafe {
        tikv_jemalloc_sys::mallctl(
            PURGE_ALL.as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        );
    }
}

/// jemalloc's totals, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    /// Handed out and not freed, in size classes.
    pub allocated_bytes: u64,
    /// Pages that hold any of it.
    pub active_bytes: u64,
    /// Pages resident in memory.
    pub resident_bytes: u64,
    /// Address space kept for later.
    pub retained_bytes: u64,
}

impl Totals {
    /// The totals now; `None` when jemalloc keeps no statistics.
    #[must_use]
    pub fn read() -> Option<Self> {
        epoch::advance().ok()?;
        Some(Self {
            allocated_bytes: stats::allocated::read().ok()? as u64,
            active_bytes: stats::active::read().ok()? as u64,
            resident_bytes: stats::resident::read().ok()? as u64,
            retained_bytes: stats::retained::read().ok()? as u64,
        })
    }
}

fn flag(name: &[u8]) -> bool {
    // SAFETY: the names passed here are NUL-terminated literals of boolean controls.
    unsafe { raw::read::<bool>(name) }.unwrap_or(false)
}

/// A control that jemalloc refused, as the error of a start.
pub(crate) fn refused(name: &'static str, error: &tikv_jemalloc_ctl::Error) -> StartError {
    StartError::Jemalloc { name, reason: error.to_string() }
}
