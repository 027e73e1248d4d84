//! One connection, or one exchange, before any load: a target that is not there, or that is met in
//! the wrong way, is told in one line at once.
//!
//! In: a plan, whose way to the target is taken as it is: socket, proxy, TLS. Out: nothing or a
//! status, or why not. It blocks; whom to tell is left to the caller.

use super::EngineError;
use crate::http::client::{HttpClient, Wanted};
use crate::plan::{Heads, Plan};
use crate::recorder::Recorder;
use crate::sample::Failure;
use crate::wire::lane::Lane;
use crate::wire::route::Route;
use crate::wire::watch::Watch;
use crate::wire::{Dial, HTTP1, HTTP2, Wire};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the time limit is looked at.
const SWEEP_NS: u64 = 10_000_000;

/// What a connection that nothing is said on is good for: whatever the target speaks.
const ANY: Dial = Dial { buffer: 1024, protocols: &[HTTP2, HTTP1], tunnel: false };

/// Why the target was not reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// There is no way to it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The way did not lead there.
    #[error("{0}")]
    Failed(Failure),
}

/// Makes one connection to the target of a plan, handshakes included, and gives it up.
///
/// # Errors
/// When nobody takes it within the time.
pub fn reach(plan: &Plan, within: Duration) -> Result<(), ReachError> {
    once(plan, within, async |lane, watch| Wire::connect(lane, watch, ANY).await.map(|_| ()))
}

/// Asks the target of a plan for a path, and gives the status of its reply.
///
/// # Errors
/// When no reply comes within the time.
pub fn ask(plan: &Plan, path: &str, within: Duration) -> Result<u16, ReachError> {
    let (prefix, authority) = (&plan.address.prefix, &plan.address.authority);
    let request =
        format!("GET {prefix}{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    once(plan, within, async move |lane, watch| {
        let mut client = HttpClient::default();
        client.open(lane, watch).await?;
        let wanted = Wanted { head: false, body: false, heads: Heads::Never };
        let reply = client.exchange(request.as_bytes(), wanted, (lane, watch)).await?;
        Ok(reply.status)
    })
}

/// Runs a task on a reactor of its own.
fn once<T: Copy + 'static>(
    plan: &Plan,
    within: Duration,
    task: impl AsyncFnOnce(&Lane, &Watch) -> Result<T, Failure> + 'static,
) -> Result<T, ReachError> {
    let route = Arc::new(Route::new(plan).map_err(EngineError::from)?);
    let recorder = Recorder::new(0, 0);
    let lane = Lane::new((Instant::now(), 0), route, recorder).map_err(EngineError::from)?;
    let lane = Rc::new(lane);
    let result = Rc::new(Cell::new(Err(Failure::TimedOut)));
    let (own, out) = (Rc::clone(&lane), Rc::clone(&result));
    lane.reactor.spawn(async move {
        let watch = own.watch(0);
        watch.set(own.now() + within.as_nanos() as u64);
        out.set(task(&own, &watch).await);
    });
    let ran = lane.reactor.run(|now| {
        lane.sweep(now);
        now + SWEEP_NS
    });
    ran.map_err(EngineError::from)?;
    result.get().map_err(ReachError::Failed)
}
