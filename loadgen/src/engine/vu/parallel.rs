//! HTTP steps side by side, as a browser loads the parts of a page: several connections of one
//! user, each with one exchange at a time.
//!
//! In: an instruction of the plan. Out: a sample for each exchange; checks and captures in the
//! order of the steps, once all are done. The bytes of an exchange are left to the HTTP client.

use super::Vu;
use super::exchange::connected;
use crate::engine::local::Local;
use crate::http::client::{HttpClient, Kept, Opened, Reply, Wanted};
use crate::plan::{HttpOp, Prepared};
use crate::sample::Failure;
use crate::wire::watch::Watch;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// Connections of one user at most: what browsers open to a host, and k6's `batchPerHost`.
const SIDE_BY_SIDE: usize = 6;

/// A connection besides the user's first.
pub(super) struct Mate {
    client: HttpClient,
    watch: Rc<Watch>,
}

/// How an exchange went, until the user looks at it.
struct Outcome {
    result: Result<Reply, Failure>,
    kept: Kept,
    start: u64,
    /// When it failed.
    end: u64,
}

/// A request, and the same with the user's cookies if there are any for it.
struct Outgoing<'o> {
    plain: Cow<'o, [u8]>,
    dressed: Option<Vec<u8>>,
}

impl Outgoing<'_> {
    fn bytes(&self) -> &[u8] {
        self.dressed.as_deref().unwrap_or(&self.plain)
    }
}

/// The exchanges of one step, which its connections share.
struct Batch<'a> {
    local: &'a Local,
    ops: &'a [HttpOp],
    requests: &'a [Outgoing<'a>],
    next: Cell<usize>,
    outcomes: RefCell<Vec<Option<Outcome>>>,
}

impl Vu {
    /// All exchanges of a step. When one fails, the others are finished all the same.
    pub(super) async fn parallel(&mut self, ops: &[HttpOp]) -> Result<(), Failure> {
        self.known = None;
        let requests: Vec<Outgoing<'_>> = ops.iter().map(|op| self.request(op)).collect();
        let wanted = ops.len().clamp(1, SIDE_BY_SIDE) - 1;
        while self.mates.len() < wanted {
            let client = self.local.client(self.flow);
            self.mates.push(Mate { client, watch: self.local.watch(self.flow) });
        }
        // What cuts the user, the end of a turn, cuts its other connections too.
        for mate in self.mates.iter().filter(|_| !self.watch.is_cut()) {
            mate.watch.mend();
            mate.watch.set_limit(self.watch.limit());
        }
        let local = Rc::clone(&self.local);
        let batch = Batch {
            local: &local,
            ops,
            requests: &requests,
            next: Cell::new(0),
            outcomes: RefCell::new(ops.iter().map(|_| None).collect()),
        };
        let mut lanes: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> =
            vec![Box::pin(batch.work(&mut self.http, &self.watch))];
        for mate in self.mates.iter_mut().take(wanted) {
            lanes.push(Box::pin(batch.work(&mut mate.client, &mate.watch)));
        }
        poll_fn(|context| {
            lanes.retain_mut(|lane| lane.as_mut().poll(context).is_pending());
            if lanes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(lanes);
        let outcomes = batch.outcomes.into_inner();
        let mut result = Ok(());
        for ((op, request), outcome) in ops.iter().zip(requests).zip(outcomes) {
            let Some(outcome) = outcome else { continue };
            let done = self.take_in(op, request, outcome).await;
            result = result.and(done);
        }
        result
    }

    fn request<'o>(&mut self, op: &'o HttpOp) -> Outgoing<'o> {
        let plain = match &op.request {
            Prepared::Static(bytes) => Cow::Borrowed(bytes.as_slice()),
            Prepared::Dynamic { head, body } => Cow::Owned(self.render(head, body.as_deref())),
        };
        let dressed = self.dressed(&plain);
        Outgoing { plain, dressed }
    }

    /// What one exchange left: its sample, its cookies, where it leads, checks and captures.
    async fn take_in(
        &mut self,
        op: &HttpOp,
        request: Outgoing<'_>,
        outcome: Outcome,
    ) -> Result<(), Failure> {
        let Outcome { result, kept, start, end } = outcome;
        match result {
            Ok(reply) => {
                self.answered(op, &reply, (start, request.bytes().len()));
                self.http.kept = kept;
                let (mut reply, mut start) = (reply, start);
                if reply.notable {
                    self.watch.set(self.local.now() + op.timeout.as_nanos() as u64);
                    let request = request.plain.into_owned();
                    (reply, start) = Box::pin(self.follow(op, request, (reply, start))).await?;
                }
                self.look_at(op, &reply, start);
                Ok(())
            }
            Err(failure) => self.failed_at(op.slot, failure, (start, end)),
        }
    }
}

impl Batch<'_> {
    /// Takes exchanges on one connection until there are no more.
    async fn work(&self, client: &mut HttpClient, watch: &Watch) {
        loop {
            let place = self.next.get();
            let Some(op) = self.ops.get(place) else { break };
            self.next.set(place + 1);
            let mut start = self.local.now();
            watch.set(start + op.timeout.as_nanos() as u64);
            let result = self.exchange(place, (client, watch), &mut start).await;
            let outcome = Outcome {
                result,
                kept: std::mem::take(&mut client.kept),
                start,
                end: self.local.now(),
            };
            self.outcomes.borrow_mut()[place] = Some(outcome);
        }
        watch.clear();
    }

    async fn exchange(
        &self,
        place: usize,
        (client, watch): (&mut HttpClient, &Watch),
        start: &mut u64,
    ) -> Result<Reply, Failure> {
        let op = &self.ops[place];
        if !client.is_open() {
            let opened = client.open(self.local, watch).await?;
            connected(self.local, op.slot, &Opened { begin: *start, ..opened });
            *start = opened.end;
            watch.set(opened.end + op.timeout.as_nanos() as u64);
        }
        let wanted = Wanted { head: op.head, body: op.needs_body, heads: op.heads };
        let bytes = self.requests[place].bytes();
        let result = client.exchange(bytes, wanted, (self.local, watch)).await;
        if let Some(opened) = client.reopened.take() {
            connected(self.local, op.slot, &opened);
            *start = opened.end;
        }
        result
    }
}
