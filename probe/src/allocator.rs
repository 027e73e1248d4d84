//! The global allocator: jemalloc with its heap profiler, or dhat, chosen once per process.
//! In: `EBBTIDE_ALLOCATOR` (`jemalloc` unless set, or `dhat`), read at the first allocation.
//! Out: memory, and [`Mode`], what was chosen. Profiling is compiled in and stays off until the
//! probe starts. Also here, because every program that names [`Allocator`] links this object:
//! jemalloc's static configuration.
//! Leaves to others: switching sampling on and dumping (`jemalloc`), dhat's profiler (`probe`).
#![expect(unsafe_code, reason = "a global allocator and an exported symbol are unsafe by nature")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use tikv_jemallocator::Jemalloc;

/// A C string that jemalloc reads before its first allocation.
#[repr(transparent)]
pub(crate) struct Configuration(*const std::ffi::c_char);

// SAFETY: the pointer is to a literal, which nobody writes.
unsafe impl Sync for Configuration {}

/// The variable that the prefixed build of jemalloc looks for. `prof` and `prof_accum` cannot be
/// set later; sampling itself starts inactive. On musl the profiler crashes and stays out.
// SAFETY: the name belongs to jemalloc, which declares it weak and `const char *`; no other
// crate of ours exports it, and a second definition fails the link instead of going unseen.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
pub(crate) static MALLOC_CONF: Configuration = Configuration(if cfg!(target_env = "musl") {
    c"prof:false".as_ptr()
} else {
    c"prof:true,prof_active:false,lg_prof_sample:16,prof_accum:true".as_ptr()
});

static MODE: AtomicU8 = AtomicU8::new(Mode::System as u8);

/// Which allocator serves the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Mode {
    /// [`Allocator`] is not the global allocator: nothing ever came through it.
    System = 0,
    /// jemalloc, which samples once the probe has started.
    Jemalloc = 1,
    /// dhat, which counts each allocation and writes one file at the end.
    Dhat = 2,
}

impl Mode {
    /// The mode of this process.
    #[must_use]
    pub fn current() -> Self {
        match MODE.load(Relaxed) {
            1 => Self::Jemalloc,
            2 => Self::Dhat,
            _ => Self::System,
        }
    }

    /// The word used in files.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Jemalloc => "jemalloc",
            Self::Dhat => "dhat",
        }
    }
}

/// The allocator to name with `#[global_allocator]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

/// Reads the environment without allocating and settles the mode; the first caller wins.
#[cold]
#[inline(never)]
fn choose() -> u8 {
    // SAFETY: a NUL-terminated literal; at the first allocation no other thread of Rust's runs
    // that could change the environment.
    let value = unsafe { libc::getenv(c"EBBTIDE_ALLOCATOR".as_ptr()) };
    let dhat = !value.is_null()
        // SAFETY: getenv gave a NUL-terminated string, and strcmp stops at the first NUL.
        && unsafe { libc::strcmp(value, c"dhat".as_ptr()) } == 0;
    let wanted = if dhat { Mode::Dhat } else { Mode::Jemalloc } as u8;
    // Naming the static here ties it to the allocator: a link that keeps one keeps the other.
    std::hint::black_box(&raw const MALLOC_CONF);
    match MODE.compare_exchange(Mode::System as u8, wanted, Relaxed, Relaxed) {
        Ok(_) => wanted,
        Err(winner) => winner,
    }
}

#[inline]
fn dhat() -> bool {
    let mode = MODE.load(Relaxed);
    let mode = if mode == Mode::System as u8 { choose() } else { mode };
    mode == Mode::Dhat as u8
}

// SAFETY: each method passes its arguments on unchanged, and the mode never changes once it is
// settled, so memory always goes back to the allocator it came from.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { if dhat() { dhat::Alloc.alloc(layout) } else { Jemalloc.alloc(layout) } }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe {
            if dhat() {
                dhat::Alloc.dealloc(memory, layout);
            } else {
                Jemalloc.dealloc(memory, layout);
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe {
            if dhat() { dhat::Alloc.alloc_zeroed(layout) } else { Jemalloc.alloc_zeroed(layout) }
        }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe {
            if dhat() {
                dhat::Alloc.realloc(memory, layout, size)
            } else {
                Jemalloc.realloc(memory, layout, size)
            }
        }
    }
}
