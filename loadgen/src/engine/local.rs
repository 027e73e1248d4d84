//! What the tasks of one engine thread share: its lane, the plan, the pass, and its place among
//! the threads.
//!
//! In: a plan and a pass. Out: shared state for one thread. The clock, the recorder and the
//! watches are left to the lane.

use super::tempo::Pulse;
use super::{Pass, Shared};
use crate::http::client::HttpClient;
use crate::http::link::Speech;
use crate::http::pool::Pool;
use crate::plan::{FlowPlan, Op, Plan, Prepared};
use crate::recorder::Recorder;
use crate::scenario::protocol::{Connections, HttpVersion};
use crate::segment::Segment;
use crate::wire::lane::Lane;
use crate::wire::route::Route;
use crate::wire::watch::Watch;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Why a rest ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    /// The moment has come.
    Due,
    /// The pace changed, or a pause began or ended.
    Changed,
    /// The load is over.
    Over,
}

/// What the tasks of one thread share.
pub(crate) struct Local {
    lane: Rc<Lane>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) pass: Pass,
    pub(crate) shared: Arc<Shared>,
    /// This thread's place, and how many there are.
    pub(crate) place: usize,
    pub(crate) threads: usize,
    /// What of the load is this thread's.
    pub(crate) segment: Segment,
    pub(crate) pulse: Pulse,
    /// Users of this thread that exist, and those that were made ready.
    pub(crate) vus: Cell<u64>,
    pub(crate) vus_max: Cell<u64>,
    /// Users of each flow that have been started, where they follow the clock.
    pub(crate) begun: RefCell<Vec<u32>>,
    /// Who shares connections, by flow; empty when nobody does.
    pools: Vec<Rc<Pool>>,
}

impl Local {
    pub(crate) fn new(
        (plan, pass, shared): (Arc<Plan>, Pass, Arc<Shared>),
        route: Arc<Route>,
        (place, threads): (usize, usize),
    ) -> io::Result<Rc<Self>> {
        let recorder = Recorder::new(plan.slots.len(), plan.checks.len());
        Ok(Rc::new(Self {
            segment: pass.segment.split(place as u64, threads as u64),
            begun: RefCell::new(vec![0; plan.flows.len()]),
            pulse: Pulse::default(),
            pools: pools(&plan),
            lane: Rc::new(Lane::new((shared.epoch, shared.clock_base), route, recorder)?),
            plan,
            pass,
            shared,
            place,
            threads,
            vus: Cell::new(0),
            vus_max: Cell::new(0),
        }))
    }

    /// Users that were made ready.
    pub(crate) fn plan_vus(&self, count: u64) {
        self.vus_max.set(self.vus_max.get() + count);
    }

    /// Rests until a moment, or without one until something changes. Whenever the task is polled
    /// meanwhile, so is `service`.
    pub(crate) async fn rest(
        &self,
        due: Option<u64>,
        watch: &Watch,
        mut service: impl FnMut(&mut Context<'_>),
    ) -> Rest {
        let seen = self.pulse.seen();
        let mut asked = false;
        poll_fn(|context| {
            if self.shared.is_over() {
                return Poll::Ready(Rest::Over);
            }
            if self.pulse.seen() != seen {
                return Poll::Ready(Rest::Changed);
            }
            if let Some(due) = due {
                if self.now() >= due {
                    return Poll::Ready(Rest::Due);
                }
                if !std::mem::replace(&mut asked, true) {
                    self.reactor.poll_at(due);
                }
            }
            service(context);
            watch.poll_end(context).map(|_| Rest::Over)
        })
        .await
    }

    /// The HTTP client of a user of a flow.
    pub(crate) fn client(&self, flow: usize) -> HttpClient {
        let seat = self.pools.get(flow).map(|pool| pool.seat(Rc::clone(&self.lane)));
        let once = self.plan.protocol.connections == Connections::None;
        HttpClient::new(seat, once)
    }

    /// Planned nanoseconds at which a flow's own time begins.
    pub(crate) fn flow_start(&self, flow: usize) -> u64 {
        self.plan.flows[flow].start_time.as_nanos() as u64
    }
}

/// Connections with one request at a time over HTTP/1.1 belong to their users.
fn pools(plan: &Plan) -> Vec<Rc<Pool>> {
    let secure = plan.address.tls;
    let speech = match plan.protocol.http {
        HttpVersion::Two => Speech::Streams,
        HttpVersion::Auto if secure => Speech::Agreed,
        HttpVersion::One | HttpVersion::Auto => Speech::Ordered,
    };
    let size = plan.protocol.in_flight as usize;
    if speech == Speech::Ordered && size == 1 {
        return Vec::new();
    }
    let pool = |(place, flow): (usize, &FlowPlan)| {
        let requests = flow.ops.iter().filter_map(|op| match op {
            Op::Http(http) => match &http.request {
                Prepared::Static(bytes) => Some(bytes.as_slice()),
                Prepared::Dynamic { .. } => None,
            },
            _ => None,
        });
        Pool::new(place, (size, speech, secure), requests)
    };
    plan.flows.iter().enumerate().map(pool).collect()
}

impl Deref for Local {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.lane
    }
}
