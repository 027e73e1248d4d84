//! SIGUSR2 as a counter that can be waited for: the handler adds to an eventfd and does nothing
//! else, so signals that arrive during a dump are counted, not lost.
//! In: the signal. Out: [`Signals::next`], how many came since the last call.
//! Not `tokio::signal`: that tells that signals came, not how many, and shares one table with the
//! host program. Leaves to others: what a signal asks for.
#![expect(unsafe_code, reason = "signal handlers and descriptors are the system's")]

use crate::error::StartError;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The eventfd. Never closed: a handler on another thread might be about to write to it.
static EVENTS: OnceLock<OwnedFd> = OnceLock::new();

/// The same, readable in a handler.
static EVENTS_FD: AtomicI32 = AtomicI32::new(-1);

/// The installed handler; dropping it puts the former one back.
pub(crate) struct Installed {
    former: libc::sigaction,
}

impl std::fmt::Debug for Installed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Installed").finish_non_exhaustive()
    }
}

/// Counts SIGUSR2 from now on.
///
/// # Errors
///
/// [`StartError::SignalTaken`] when the program has a handler, [`StartError::System`] otherwise.
pub(crate) fn install() -> Result<Installed, StartError> {
    let system = |what| StartError::System { what, source: io::Error::last_os_error() };
    if EVENTS.get().is_none() {
        // SAFETY: takes two numbers; the descriptor is checked before it gets an owner.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(system("eventfd"));
        }
        // SAFETY: the descriptor is new and nobody else's. Only one probe starts at a time, so
        // the cell is empty; were it not, this one would be closed again.
        let _ = EVENTS.set(unsafe { OwnedFd::from_raw_fd(fd) });
        EVENTS_FD.store(fd, Relaxed);
    }
    let mut former = MaybeUninit::uninit();
    // SAFETY: asks for the present action into memory of its type.
    if unsafe { libc::sigaction(libc::SIGUSR2, std::ptr::null(), former.as_mut_ptr()) } != 0 {
        return Err(system("sigaction"));
    }
    // SAFETY: the call above succeeded and filled it in.
    let former = unsafe { former.assume_init() };
    if former.sa_sigaction != libc::SIG_DFL && former.sa_sigaction != libc::SIG_IGN {
        return Err(StartError::SignalTaken);
    }
    // SAFETY: all zeros is a valid `sigaction`; the fields that matter are set below.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_signal as *const () as usize;
    // Calls of the program that the signal interrupts go on by themselves.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler only writes to a descriptor, which is safe in a handler.
    if unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(system("sigaction"));
    }
    Ok(Installed { former })
}

impl Drop for Installed {
    fn drop(&mut self) {
        // SAFETY: puts back what `sigaction` gave. It cannot fail for a valid signal.
        unsafe { libc::sigaction(libc::SIGUSR2, &raw const self.former, std::ptr::null_mut()) };
    }
}

extern "C" fn on_signal(_signal: libc::c_int) {
    let one: u64 = 1;
    // SAFETY: writes eight bytes of a local; errno is put back for the code interrupted. The
    // descriptor is never closed, and a full counter (2^64 - 2 signals) just refuses.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        libc::write(EVENTS_FD.load(Relaxed), (&raw const one).cast(), size_of::<u64>());
        *errno = saved;
    }
}

/// The counter, as a runtime waits for it.
#[derive(Debug)]
pub(crate) struct Signals {
    events: AsyncFd<OwnedFd>,
}

impl Signals {
    /// Registers the counter with the runtime of the caller.
    ///
    /// # Errors
    ///
    /// The system's, when the runtime cannot watch another descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        let events = EVENTS.get().ok_or(io::ErrorKind::NotConnected)?.try_clone()?;
        // SAFETY: the descriptor is owned, and closed only after its registration has gone.
        let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }?;
        Ok(Self { events })
    }

    /// Waits for signals and says how many came since the last call; at least 1.
    pub(crate) async fn next(&self) -> u64 {
        loop {
            let read = self.events.async_io(Interest::READABLE, |events| {
                let (fd, mut count) = (events.as_raw_fd(), 0u64);
                // SAFETY: reads at most eight bytes into a local of that size.
                let got = unsafe { libc::read(fd, (&raw mut count).cast(), size_of::<u64>()) };
                if got < 0 { Err(io::Error::last_os_error()) } else { Ok(count) }
            });
            match read.await {
                Ok(count) if count > 0 => return count,
                // Neither happens with an eventfd; yielding keeps the thread alive if it does.
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}
