//! What most programs count, wrapped so that the census sees it without a guard of one's own:
//! tasks, timers and subscriptions.
//! In: the future, period or receiver. Out: the same, counted at the caller's line until it is
//! dropped or done.
//! Leaves to others: counting (`census`) and time (tokio).

use crate::Kind;
use crate::census::{Guard, track_at};
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Interval;

/// Something counted as long as it lives; used as if it were the thing itself.
#[derive(Debug)]
pub struct Tracked<T> {
    inner: T,
    _guard: Guard,
}

impl<T> Tracked<T> {
    /// Counts `inner` as one `kind`.
    #[track_caller]
    pub fn new(kind: Kind, inner: T) -> Self {
        Self { inner, _guard: track_at(kind, Location::caller()) }
    }

    /// Gives it back, no longer counted.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Tracked<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<F: Future + Unpin> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.inner).poll(context)
    }
}

/// `tokio::spawn`, counted as a task until the future ends or is dropped.
///
/// # Panics
///
/// Outside a tokio runtime, as `tokio::spawn` does.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let guard = track_at(Kind::Task, Location::caller());
    tokio::spawn(async move {
        let _guard = guard;
        future.await
    })
}

/// `tokio::time::interval`, counted as a timer.
///
/// # Panics
///
/// When `period` is zero, or outside a tokio runtime.
#[track_caller]
pub fn interval(period: Duration) -> Tracked<Interval> {
    Tracked::new(Kind::Timer, tokio::time::interval(period))
}

/// `tokio::time::sleep`, counted as a timer until it is over or given up.
///
/// # Panics
///
/// Outside a tokio runtime with a clock.
#[track_caller]
pub fn sleep(duration: Duration) -> Tracked<Pin<Box<tokio::time::Sleep>>> {
    Tracked::new(Kind::Timer, Box::pin(tokio::time::sleep(duration)))
}

/// Counts a subscription (a receiver, a callback, a sender kept by a publisher) as a listener.
#[track_caller]
pub fn subscription<T>(inner: T) -> Tracked<T> {
    Tracked::new(Kind::Listener, inner)
}
