//! Lost sockets of a virtual user, opened again at the times that their policy says, while the
//! user goes on with what it does.
//!
//! In: the loss of a socket. Out: the socket again, its handshakes counted as all are. Whatever is
//! random here is drawn aside, so that later steps send the same bytes however often it happened.

use super::Vu;
use crate::plan::Reopen;
use crate::recorder::Trend;
use crate::sample::Failure;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// No moment.
const NEVER: u64 = u64::MAX;

/// A socket that is lost and is to come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    place: usize,
    /// Attempts that failed.
    attempt: u32,
    /// When the next one is due, nanoseconds since the engine began.
    due: u64,
}

impl Vu {
    fn reopening(&self, place: usize) -> Option<&Reopen> {
        self.plan.flows[self.flow].sockets[place].reopen.as_deref()
    }

    /// Plans the first attempt, if the socket has a policy and is not waited for already.
    pub(super) fn begin_outage(&mut self, place: usize) {
        if self.reopening(place).is_some() && !self.is_out(place) {
            self.outages.push(Outage { place, attempt: 0, due: 0 });
            self.plan_attempt(self.outages.len() - 1);
        }
    }

    /// Whether the socket is lost and is to come back.
    pub(super) fn is_out(&self, place: usize) -> bool {
        self.outages.iter().any(|outage| outage.place == place)
    }

    /// The socket is open again, or not wanted any more.
    pub(super) fn end_outage(&mut self, place: usize) {
        self.outages.retain(|outage| outage.place != place);
    }

    fn plan_attempt(&mut self, index: usize) {
        let Outage { place, attempt, .. } = self.outages[index];
        let Some(policy) = self.reopening(place).map(|reopen| reopen.policy) else { return };
        if policy.attempts > 0 && attempt >= policy.attempts {
            self.outages.swap_remove(index);
            return;
        }
        let wait = policy.wait(attempt, self.scope.aside(u64::from(attempt)));
        self.outages[index].due = self.local.now() + wait.as_nanos() as u64;
    }

    /// When the next attempt is due.
    fn next_attempt(&self) -> u64 {
        self.outages.iter().map(|outage| outage.due).min().unwrap_or(NEVER)
    }

    /// Waits, taking what comes on open sockets meanwhile, and opening lost ones again.
    pub(super) async fn wait_until(&mut self, until: u64) -> Result<(), Failure> {
        loop {
            self.watch.clear();
            let due = self.next_attempt();
            self.doze(until.min(due)).await?;
            let now = self.local.now();
            if now >= until {
                return Ok(());
            }
            if let Some(index) = self.outages.iter().position(|outage| outage.due <= now) {
                Box::pin(self.attempt(index)).await?;
            }
        }
    }

    /// Waits until a moment, or until a socket is lost whose next attempt comes before it.
    async fn doze(&mut self, until: u64) -> Result<(), Failure> {
        let (local, watch) = (Rc::clone(&self.local), Rc::clone(&self.watch));
        let mut asked = false;
        poll_fn(|context| {
            if local.now() >= until {
                return Poll::Ready(Ok(()));
            }
            if !std::mem::replace(&mut asked, true) {
                local.reactor.poll_at(until);
            }
            self.service(context);
            if self.next_attempt() < until {
                return Poll::Ready(Ok(()));
            }
            watch.poll_end(context).map(Err)
        })
        .await
    }

    /// Waits for a lost socket to be open again, at most until a moment.
    pub(super) async fn reopen(&mut self, place: usize, until: u64) -> Result<(), Failure> {
        self.known = None;
        while self.sockets[place].is_none() {
            if !self.is_out(place) {
                return Err(Failure::NotOpen);
            }
            self.watch.clear();
            // Other lost sockets come back meanwhile, each at its own time.
            self.doze(self.next_attempt().min(until)).await?;
            let now = self.local.now();
            if now >= until {
                return Err(Failure::TimedOut);
            }
            if let Some(index) = self.outages.iter().position(|outage| outage.due <= now) {
                Box::pin(self.attempt(index)).await?;
            }
        }
        self.watch.set(until);
        Ok(())
    }

    /// One attempt. Only the end of the load is passed on; failures are counted and planned for.
    async fn attempt(&mut self, index: usize) -> Result<(), Failure> {
        let place = self.outages[index].place;
        let plan = Arc::clone(&self.plan);
        let Some(reopen) = &plan.flows[self.flow].sockets[place].reopen else { return Ok(()) };
        let start = self.local.now();
        let mark = self.scope.mark();
        let opened = self.shake_hands(&reopen.connect, start).await;
        self.scope.rewind(mark);
        let slot = reopen.connect.slot;
        let took = self.local.now() - start;
        match opened {
            Ok(socket) => {
                self.sockets[place] = Some(socket);
                self.end_outage(place);
                self.local.note(|recorder| {
                    recorder.counters.reconnects += 1;
                    recorder.succeed(slot);
                    recorder.record(slot, Trend::Duration, took);
                });
            }
            Err(failure) if failure.is_cut() => return Err(failure),
            Err(failure) => {
                self.local.note(|recorder| {
                    recorder.fail(slot, failure);
                    recorder.record(slot, Trend::Duration, took);
                });
                self.outages[index].attempt += 1;
                self.plan_attempt(index);
            }
        }
        Ok(())
    }
}
