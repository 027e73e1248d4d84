//! What the tasks of one engine thread share: its lane, the plan, the pass, and its place among
//! the threads.
//!
//! In: a plan and a pass. Out: shared state for one thread. The clock, the recorder and the
//! watches are left to the lane.

use super::{Pass, Shared};
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::wire::lane::Lane;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// What the tasks of one thread share.
pub(crate) struct Local {
    lane: Lane,
    pub(crate) plan: Arc<Plan>,
    pub(crate) pass: Pass,
    pub(crate) shared: Arc<Shared>,
    /// This thread's place, and how many there are.
    pub(crate) place: usize,
    pub(crate) threads: usize,
    /// Users of this thread that exist.
    pub(crate) vus: Cell<u64>,
    pub(crate) vus_max: Cell<u64>,
}

impl Local {
    pub(crate) fn new(
        (plan, pass, shared): (Arc<Plan>, Pass, Arc<Shared>),
        addresses: Vec<SocketAddr>,
        (place, threads): (usize, usize),
    ) -> io::Result<Rc<Self>> {
        let recorder = Recorder::new(plan.slots.len(), plan.checks.len());
        Ok(Rc::new(Self {
            lane: Lane::new(shared.epoch, addresses, recorder)?,
            plan,
            pass,
            shared,
            place,
            threads,
            vus: Cell::new(0),
            vus_max: Cell::new(0),
        }))
    }

    /// Nanoseconds at which a flow's own time begins.
    pub(crate) fn flow_start(&self, flow: usize) -> u64 {
        self.plan.flows[flow].start_time.as_nanos() as u64
    }
}

impl Deref for Local {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.lane
    }
}
