//! What every request and every session of one server shares.
//! In: the configuration. Out: [`App`], behind one `Arc`.
//! Leaves to others: what is done with it.

use crate::config::{Config, Limits};
use crate::disturbance::Disturbance;
use crate::fault::Faults;
use crate::hub::{Bounds, Hub};
use crate::metrics::{Gauges, Metrics};
use crate::registry::Registry;
use crate::request_log::RequestLog;
use crate::rooms::Rooms;
use crate::store::Memory;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What every request and every session of one server shares.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) limits: Limits,
    /// The room a client enters unasked.
    pub(crate) first_room: String,
    pub(crate) faults: Arc<Faults>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) log: RequestLog,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) disturbance: Disturbance,
    started: Instant,
    draining: AtomicBool,
}

impl App {
    pub(crate) fn new(config: &Config, first_room: String) -> Arc<Self> {
        let limits = config.limits.clone();
        let faults = config.faults.clone();
        let metrics = Arc::new(Metrics::default());
        let bounds = Bounds {
            queue_bytes: limits.queue_bytes,
            rooms_per_client: limits.rooms_per_client,
            rooms: limits.rooms,
        };
        let store = Box::new(Memory::new(limits.history));
        let rooms = Rooms::new(&config.rooms);
        Arc::new(Self {
            first_room,
            hub: Hub::new(rooms, store, bounds, faults.clone(), metrics.clone()),
            registry: Registry::new(faults.clone()),
            log: RequestLog::new(limits.log_entries, faults.clone()),
            disturbance: Disturbance::new(faults.clone()),
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

/// Unix time in milliseconds; 0 on a machine whose clock stands before 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
