//! How much one client may ask for: connections at one time, requests and events over time.
//! In: addresses and accounts. Out: yes, or how long to wait.
//! Leaves to others: what a refusal looks like (`server`, `session`), sizes, time-outs (`config`).

mod address;
mod bucket;
mod place;
mod table;

pub use address::Network;
pub(crate) use address::Whence;
pub use bucket::Rate;
pub(crate) use bucket::Wait;
pub(crate) use place::Place;

use crate::metrics::Metrics;
use address::Key;
use place::Places;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use table::Table;

/// Where passwords are tried.
const LOGIN_PATHS: &str = "/api/v1/auth/";

/// What a supervisor asks, again and again and from one address.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// What it decides by: see `Limits` of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    pub(crate) connects: Rate,
    pub(crate) requests: Rate,
    pub(crate) logins: Rate,
    pub(crate) events: Rate,
    pub(crate) buckets: usize,
    pub(crate) loopback_is_exempt: bool,
}

/// Decides who has asked for too much.
#[derive(Debug)]
pub(crate) struct Gate {
    started: Instant,
    loopback_is_exempt: bool,
    places: Places,
    connects: Table,
    requests: Table,
    logins: Table,
    events: Table,
    metrics: Arc<Metrics>,
}

impl Gate {
    pub(crate) fn new(limits: Measure, metrics: &Arc<Metrics>) -> Self {
        Self {
            started: Instant::now(),
            loopback_is_exempt: limits.loopback_is_exempt,
            places: Places::new(limits.connections, limits.connections_per_address, metrics),
            connects: Table::new(limits.connects, limits.buckets),
            requests: Table::new(limits.requests, limits.buckets),
            logins: Table::new(limits.logins, limits.buckets),
            events: Table::new(limits.events, limits.buckets),
            metrics: metrics.clone(),
        }
    }

    fn is_exempt(&self, from: Whence) -> bool {
        self.loopback_is_exempt && from.is_local
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A place for a connection, unless there is none.
    pub(crate) fn admit(&self, peer: IpAddr, is_proxy: bool) -> Option<Place> {
        let is_exempt = self.loopback_is_exempt && peer.to_canonical().is_loopback();
        let key = (!is_proxy && !is_exempt).then(|| Key::of(peer));
        if key.is_some_and(|key| self.connects.take(key, self.now()).is_err()) {
            self.metrics.refused("rate");
            return None;
        }
        self.places.take(key)
    }

    /// Whether somebody may ask for `path` now.
    pub(crate) fn request(&self, from: Whence, path: &str) -> Result<(), Wait> {
        if self.is_exempt(from) || PROBES.contains(&path) {
            return Ok(());
        }
        let (key, now) = (Key::of(from.address()), self.now());
        if path.starts_with(LOGIN_PATHS) {
            self.logins.take(key, now)?;
        }
        self.requests.take(key, now)
    }

    /// Whether an account may ask for something now, wherever it comes from.
    pub(crate) fn request_of(&self, user: i64, from: Whence) -> Result<(), Wait> {
        if self.is_exempt(from) {
            return Ok(());
        }
        self.requests.take(Key::User(user), self.now())
    }

    /// Whether another password may be tried on an account now, from wherever: who has many
    /// addresses shall not have as many tries.
    pub(crate) fn login_of(&self, user: i64, from: Whence) -> Result<(), Wait> {
        if self.is_exempt(from) {
            return Ok(());
        }
        self.logins.take(Key::User(user), self.now())
    }

    /// Whether an event of a WebSocket may be taken now, by its address and its account.
    pub(crate) fn event(
        &self,
        from: Whence,
        user: impl FnOnce() -> Option<i64>,
    ) -> Result<(), Wait> {
        if self.is_exempt(from) {
            return Ok(());
        }
        let now = self.now();
        if let Some(user) = user() {
            self.events.take(Key::User(user), now)?;
        }
        self.events.take(Key::of(from.address()), now)
    }

    /// Buckets that are remembered.
    pub(crate) fn buckets(&self) -> usize {
        [&self.connects, &self.requests, &self.logins, &self.events].map(Table::len).iter().sum()
    }
}
