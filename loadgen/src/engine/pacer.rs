//! Waiting for intended starts with sub-millisecond precision: a timerfd of the thread's own,
//! since tokio's timers tick once a millisecond.
//!
//! In: a moment. Out: being woken at it. Which moments is left to the schedule.

use super::local::{Local, Watch};
use crate::sample::Failure;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Poll;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer of nanoseconds.
pub(crate) struct Pacer {
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    #[allow(unsafe_code)]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an `OwnedFd` gives the same open descriptor for as long as it lives, and it lives
        // in the `AsyncFd`, which nobody takes it out of.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE)? };
        Ok(Self { timer })
    }

    /// Waits until `due`, nanoseconds since the engine began, or until the watch ends it.
    pub(crate) async fn wait_until(
        &self,
        local: &Local,
        due: u64,
        watch: &Watch,
    ) -> Result<(), Failure> {
        loop {
            let now = local.now();
            if now >= due {
                return Ok(());
            }
            let left = due - now;
            let value = Timespec {
                tv_sec: (left / 1_000_000_000) as i64,
                tv_nsec: (left % 1_000_000_000) as i64,
            };
            let once =
                Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)
                .map_err(|error| Failure::of(&error.into()))?;
            // The timer is never read: setting it anew resets its count, and each expiry is an
            // edge of its own.
            poll_fn(|context| match self.timer.poll_read_ready(context) {
                Poll::Ready(Ok(mut ready)) => {
                    ready.clear_ready();
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(Failure::of(&error))),
                Poll::Pending => watch.poll_end(context).map(Err),
            })
            .await?;
            if local.shared.is_over() {
                return Err(Failure::Interrupted);
            }
        }
    }
}
