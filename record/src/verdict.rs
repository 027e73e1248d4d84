//! What was found in memory: a word for the run and for each site, with the numbers behind it.
//! In: nothing. Out: the form that verdict events, summaries and screens share.
//! Reaching a verdict is left to the profiler.

pub use crate::evidence::Estimate;
use crate::evidence::Evidence;
use crate::kind::Kind;
use crate::round::RoundKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The word for a site, or for a run.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Grows with each operation, on replayed input too.
    Leaking,
    /// Grows, and a leak cannot be told from something that keeps by key.
    Growing,
    /// Cannot be told; the reasons say what to measure next.
    Inconclusive,
    /// Grew at first, and less and less.
    Warming,
    /// Growth above the limit of interest is ruled out.
    Steady,
    /// No heap was watched.
    #[default]
    NotWatched,
}

impl Verdict {
    /// The word used in files and on screens.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Leaking => "leaking",
            Self::Growing => "growing",
            Self::Inconclusive => "inconclusive",
            Self::Warming => "warming",
            Self::Steady => "steady",
            Self::NotWatched => "not_watched",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}

/// What was found in memory. Part of the summary, and of the `verdict` event.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct MemoryVerdict {
    /// The worst word of all sites.
    pub verdict: Verdict,
    /// The smallest growth that would have been seen, bytes per operation; absent when unknown.
    pub detectable_bytes_per_op: Option<f64>,
    /// The same for each operation.
    pub detectable: BTreeMap<String, f64>,
    /// Growth that is of no interest, bytes per operation, by operation; `*` for all others.
    pub limits: BTreeMap<String, f64>,
    /// How often the series was judged so far, and so the error spent.
    pub looks: u32,
    /// More rounds would help.
    pub undecided: bool,
    /// The rounds it rests on.
    pub rounds: Vec<RoundPoint>,
    /// Sites, worst and largest first, at most [`SITES_MAX`].
    pub sites: Vec<SiteVerdict>,
    /// Growth of the whole live heap, per the most frequent operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heap_growth: Option<Estimate>,
    /// Classes of which more instances are there after the measured rounds than before, where whole
    /// heaps were compared: the one that keeps most first, at most [`CLASSES_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassGrowth>,
    /// What stands against trust in the word, or what to measure next.
    pub reasons: Vec<String>,
}

/// Classes kept in a verdict: what is behind the tenth explains no leak.
pub const CLASSES_MAX: usize = 10;

/// How one class of a whole heap grew from before the measured rounds to after them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClassGrowth {
    /// Name of the constructor, or a word in brackets: `(string)`.
    pub class: String,
    /// Instances made meanwhile and still there.
    pub new: u64,
    /// Instances gone meanwhile.
    pub deleted: u64,
    /// Instances there at the end.
    pub instances: u64,
    /// Growth of their own bytes.
    pub own_bytes: i64,
    /// Growth of what is kept alive by them.
    pub kept_bytes: i64,
    /// Growth of instances per operation.
    pub per_op: f64,
    /// The operation.
    pub operation: String,
    /// Shortest way from the root to one of the newest: what holds it last.
    pub held_by: Vec<String>,
}

/// Sites kept in a verdict: enough for any screen, small enough for any file.
pub const SITES_MAX: usize = 200;

/// One round as the verdict sees it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RoundPoint {
    /// From 0, warm-up rounds included.
    pub index: u32,
    /// Warm-up, new input or replayed input.
    pub phase: RoundKind,
    /// Operations done in this round alone, by name.
    pub operations: BTreeMap<String, u64>,
    /// Live heap at its end, bytes, as the snapshot has it.
    pub live_bytes: u64,
    /// Resident set at its end, bytes; absent where it is unknown.
    pub rss_bytes: Option<u64>,
    /// Live heap at the end of its load, before the drain; absent where it is unknown.
    pub busy_bytes: Option<u64>,
    /// Time it took to settle, milliseconds.
    pub settled_ms: u64,
    /// File name of the snapshot.
    pub snapshot: String,
}

/// A frame of a stack as it is shown.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct FrameLine {
    /// Function, demangled; or `0x` and the address.
    pub function: String,
    /// Source file; empty when unknown.
    pub file: String,
    /// Line, from 1; 0 when unknown.
    pub line: u32,
    /// It is the user's own code, not a library's.
    pub own: bool,
}

/// The word for one site, with its evidence.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SiteVerdict {
    /// Hash of the folded frames as `function|file`, hexadecimal.
    pub id: String,
    /// Function of the site.
    pub function: String,
    /// Its source file; empty when unknown.
    pub file: String,
    /// The line within it that allocates most; 0 when unknown.
    pub line: u32,
    /// What it holds.
    pub kind: Kind,
    /// Where the kind comes from: `census`, `frames` or empty.
    pub kind_from: String,
    /// The word.
    pub verdict: Verdict,
    /// Live bytes per operation kept.
    pub growth_per_op: Estimate,
    /// Live objects per operation kept; absent where the snapshots do not count objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects_per_op: Option<Estimate>,
    /// Growth per operation on replayed input alone; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth_on_replay: Option<Estimate>,
    /// Live bytes at the last snapshot.
    pub live_bytes: u64,
    /// Live objects at the last snapshot, where it counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_objects: Option<u64>,
    /// Bytes in backing stores of containers (few objects that grow by doubling), which are part
    /// of `live_bytes` and not of `growth_per_op`.
    pub container_bytes: u64,
    /// Chance of such growth if there were none, after correction for the number of sites.
    pub p_value: f64,
    /// The evidence in words.
    pub reasons: Vec<String>,
    /// The evidence in numbers.
    #[serde(skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// Live bytes at each snapshot of the series.
    pub series: Vec<f64>,
    /// The largest stack of the site, the allocating end first.
    pub stack: Vec<FrameLine>,
}
