//! The census: live objects by kind and creation site, told by the process itself. Schema
//! `ebbtide/census/1`, served at `/debug/census` and kept in each snapshot's sidecar.
//! In: nothing. Out: the form as it is read and written. Counting is left to the probe.

use crate::kind::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name and version of the form.
pub const SCHEMA: &str = "ebbtide/census/1";

/// Live objects of one process at one moment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Census {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it was counted, Unix milliseconds.
    pub at_unix_ms: u64,
    /// Totals by kind.
    pub kinds: BTreeMap<Kind, CensusCount>,
    /// The same by place of creation.
    pub sites: Vec<CensusSite>,
    /// Requests that have begun and not ended, as the process counts them.
    pub in_flight: u64,
    /// Objects that found no free place in the table and are in `kinds` alone.
    pub overflow: u64,
}

/// Counts of one kind, or of one site.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct CensusCount {
    /// Created and not yet dropped.
    pub live: u64,
    /// Ever created.
    pub created: u64,
    /// Ever dropped.
    pub dropped: u64,
}

/// Objects of one kind made at one line of code.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CensusSite {
    /// What is counted.
    pub kind: Kind,
    /// The function, where it is known; often empty, since a location has no function.
    pub function: String,
    /// Source file as the compiler was given it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// The counts.
    #[serde(flatten)]
    pub count: CensusCount,
    /// Ages of the live ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<AgeHistogram>,
}

/// How old the live objects are. `count` is one longer than `le`: the last has no upper bound.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct AgeHistogram {
    /// Upper bounds, seconds, ascending.
    pub le: Vec<u64>,
    /// Objects at most that old and older than the bound before.
    pub count: Vec<u64>,
}
