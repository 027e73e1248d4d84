//! What every request and every session of one server shares.
//! In: the configuration. Out: [`App`], behind one `Arc`.
//! Leaves to others: what is done with it.

use crate::auth::{self, Passwords, Tokens};
pub(crate) use crate::clock::unix_ms;
use crate::cluster::Cluster;
use crate::config::{Config, Database, Limits};
use crate::disturbance::Disturbance;
use crate::fault::Faults;
use crate::hub::{Bounds, Hub};
use crate::limits::{Gate, Network, Whence};
use crate::message::Refusal;
use crate::metrics::{Gauges, Metrics};
use crate::recent::Recent;
use crate::registry::Registry;
use crate::request_log::RequestLog;
use crate::rooms::Rooms;
use crate::sessions::Host;
use crate::store::{Room, Store};
use crate::subscriber::Subscriber;
use crate::uploads::Uploads;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// What every request and every session of one server shares.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) limits: Limits,
    /// The room a client enters unasked.
    pub(crate) first_room: String,
    /// Rooms that are there as long as the server.
    rooms: Vec<String>,
    /// Origins of pages that may connect, besides this server's and this machine's.
    pub(crate) origins: Vec<String>,
    /// Whose `x-forwarded-for` is believed.
    pub(crate) proxies: Vec<Network>,
    /// Who may ask, and how often.
    pub(crate) gate: Gate,
    pub(crate) faults: Arc<Faults>,
    pub(crate) store: Store,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) tokens: Tokens,
    pub(crate) passwords: Passwords,
    /// Guests may come.
    pub(crate) open: bool,
    pub(crate) hub: Arc<Hub>,
    pub(crate) registry: Arc<Registry>,
    /// The sessions of Socket.IO.
    pub(crate) sio: Host,
    pub(crate) log: RequestLog,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) disturbance: Disturbance,
    started: Instant,
    draining: AtomicBool,
}

impl App {
    pub(crate) fn new(
        config: &Config,
        kept: &[Room],
        (store, cluster): (Store, Option<Arc<Cluster>>),
    ) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let secret = secret(config);
        let limits = config.limits.clone();
        let faults = config.faults.clone();
        let metrics = Arc::new(Metrics::default());
        let bounds = Bounds {
            queue_bytes: limits.queue_bytes,
            rooms_per_client: limits.rooms_per_client,
            rooms: limits.rooms,
            open: config.open,
        };
        let recent = Recent::new(limits.history);
        let rooms = Rooms::new(kept);
        let first_room = config.rooms.first().cloned().unwrap_or_default();
        Arc::new(Self {
            first_room,
            rooms: config.rooms.clone(),
            tokens: Tokens::new(&secret),
            passwords: Passwords::new(cores),
            open: config.open,
            origins: config.origins.clone(),
            uploads: Arc::new(Uploads::new(config)),
            sio: Host::new(&limits),
            proxies: config.proxies.clone(),
            gate: Gate::new(limits.measure(), &metrics),
            hub: Hub::new(
                rooms,
                (store.clone(), recent, cluster),
                bounds,
                faults.clone(),
                metrics.clone(),
            ),
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

    /// Whether a room is one of those the server was started with.
    pub(crate) fn stays(&self, room: &str) -> bool {
        self.rooms.iter().any(|name| name == room)
    }

    /// Whether a client may have another event taken now, by its address and its account.
    pub(crate) fn may_speak(&self, from: Whence, client: &Subscriber) -> Result<(), Refusal> {
        self.gate.event(from, || client.user().map(|user| user.0)).map_err(|wait| {
            self.metrics.limited("event");
            Refusal::TooFast(wait.seconds())
        })
    }

    /// Whether there are as many sessions as there may be. Those by polling hold no connection,
    /// so that they are counted here.
    pub(crate) fn is_full(&self) -> bool {
        self.registry.len() >= self.limits.connections
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
            queued: self.hub.queued(),
            queries: self.store.queries(),
            pool: self.store.pool(),
            buckets: self.gate.buckets(),
            is_draining: self.is_draining(),
            notices: self.hub.notices.counts(),
            jobs: self.uploads.jobs.counts(),
            uptime: self.started.elapsed(),
        }
    }
}

/// What access tokens are signed with: as told, or made up for as long as the process lives.
fn secret(config: &Config) -> Vec<u8> {
    if let Some(secret) = &config.secret {
        return secret.clone().into_bytes();
    }
    if config.database != Database::Memory {
        tracing::warn!("no secret is set: access tokens end with this process");
    }
    // Without randomness nobody could log in anyway: no token is ever made.
    auth::random_secret().unwrap_or_default().into_bytes()
}
