//! The plan: a scenario resolved against the address of its target, with requests prepared.
//!
//! In: a [`Scenario`] and a base URL, or a [`Quick`] order. Out: an immutable [`Plan`] that all
//! engine threads share. When its iterations start is left to [`crate::engine`].

use crate::fault::Faults;
use crate::scenario::{Scenario, ThresholdText};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What `ebb load URL` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Quick {
    /// `http://host:port/path` or `ws://host:port/path`.
    pub url: String,
    /// Connections, each with one exchange at a time.
    pub connections: u32,
    /// How long.
    pub duration: Duration,
    /// So many requests instead of a duration.
    pub requests: Option<u64>,
    /// Requests per second in the open model; none for the closed model.
    pub rate: Option<f64>,
    /// HTTP method.
    pub method: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body, or for `ws://` the message.
    pub body: Vec<u8>,
    /// Time limit of one exchange.
    pub timeout: Duration,
    /// Seed of everything random.
    pub seed: u64,
}

/// A scenario resolved.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// Name of the scenario.
    pub name: String,
    /// Seed of everything random.
    pub seed: u64,
    /// What is loaded.
    pub base: String,
    /// Conditions on the summary.
    pub thresholds: Vec<ThresholdText>,
}

impl Plan {
    /// Resolves a scenario against the base URL of its target.
    ///
    /// # Errors
    /// All faults found, each with its place.
    pub fn resolve(scenario: &Scenario, base: &str) -> Result<Self, Faults> {
        Ok(Self {
            name: scenario.name.clone(),
            seed: scenario.seed,
            base: base.to_owned(),
            ..Self::default()
        })
    }

    /// The plan of `ebb load URL`: one flow named `load` with one step.
    ///
    /// # Errors
    /// Faults of the URL, the method, the headers and the counts.
    pub fn quick(quick: &Quick) -> Result<Self, Faults> {
        Ok(Self { base: quick.url.clone(), ..Self::default() })
    }

    /// How often each operation happens in one iteration of a flow, by name. A connection that
    /// stays with its user counts as 0.
    #[must_use]
    pub fn operations_per_iteration(&self, _flow: &str) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }

    /// Names of the flows, in order.
    pub fn flows(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Whether any flow starts its iterations by the clock.
    #[must_use]
    pub fn is_open_model(&self) -> bool {
        false
    }

    /// Length of the load as planned, without graceful stops; none when counts decide.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        None
    }
}
