//! What every request and every session of one server shares.
//! In: the configuration. Out: [`App`], behind one `Arc`.
//! Leaves to others: what is done with it.

pub(crate) use crate::clock::unix_ms;
use crate::config::{Config, Limits};
use crate::disturbance::Disturbance;
use crate::fault::Faults;
use crate::hub::{Bounds, Hub};
use crate::metrics::{Gauges, Metrics};
use crate::recent::Memory;
use crate::registry::Registry;
use crate::request_log::RequestLog;
use crate::rooms::Rooms;
use crate::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// What every request and every session of one server shares.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) limits: Limits,
    /// The room a client enters unasked.
    pub(crate) first_room: String,
    pub(crate) faults: Arc<Faults>,
    #[allow(dead_code, reason = "the REST paths that use it follow")]
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) log: RequestLog,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) disturbance: Disturbance,
    started: Instant,
    draining: AtomicBool,
}

impl App {
    pub(crate) fn new(config: &Config, first_room: String, store: Store) -> Arc<Self> {
        let limits = config.limits.clone();
        let faults = config.faults.clone();
        let metrics = Arc::new(Metrics::default());
        let bounds = Bounds {
            queue_bytes: limits.queue_bytes,
            rooms_per_client: limits.rooms_per_client,
            rooms: limits.rooms,
        };
        let recent = Box::new(Memory::new(limits.history));
        let rooms = Rooms::new(&config.rooms);
        Arc::new(Self {
            first_room,
            hub: Hub::new(rooms, recent, bounds, faults.clone(), metrics.clone()),
            registry: Registry::new(faults.clone()),
            log: RequestLog::new(limits.log_entries, faults.clone()),
            disturbance: Disturbance::new(faults.clone()),
            store,
            limits,
            faults,
            metrics,
            started: Instant::now(),
            draining: AtomicBool::new(false),
        })
    }

    /// From now on the server is not ready for new clients.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Whether the server is stopping.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// The numbers that are looked up when they are asked for.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            sessions: self.registry.len(),
            rooms: self.hub.with_rooms(Rooms::len),
            uptime: self.started.elapsed(),
        }
    }
}
