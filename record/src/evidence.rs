//! The numbers a word was chosen by: what each rung of the ladder measured at one site.
//! In: nothing. Out: the form that verdict events, summaries and explanations share; a rung that
//! had nothing to measure is absent, never 0. Measuring is left to the profiler, and saying it
//! in words to the reports.

use crate::kind::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value with its interval.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Estimate {
    /// Best guess.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Confidence of the interval, from 0 to 1.
    pub confidence: f64,
    /// The operation it is counted per; empty where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
}

/// What was measured at one site. Rates are bytes per operation of `growth_per_op`, unless an
/// estimate names another operation. All finite.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Evidence {
    /// Growth that is of no interest, bytes per operation.
    pub limit: f64,
    /// Error spent at this look: growth is sure when the site's corrected p value is below it.
    pub alpha: f64,
    /// Which look this was, from 1.
    pub look: u32,
    /// Measured rounds it rests on.
    pub rounds: u32,
    /// Net samples that came between the first and the last of them; absent where all is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_samples: Option<f64>,
    /// Samples that came and went in between, per net one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turnover: Option<f64>,
    /// Growth in the first half of the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early: Option<Estimate>,
    /// Growth in the second half, both halves fitted together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<Estimate>,
    /// Growth in the second half, judged by its own rounds alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_alone: Option<Estimate>,
    /// Growth on new input; that on replayed input stands beside `growth_per_op`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_new: Option<Estimate>,
    /// Operations with new input in the measured rounds: keys seen, where each brings its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs_seen: Option<u64>,
    /// How it slows down, where it seems to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fading: Option<Fading>,
    /// How much worse each operation explains the growth than the best, in chi squared; 0 for
    /// the best, below 6 for one that cannot be told from it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub margins: BTreeMap<String, f64>,
    /// What the process itself counts at that place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub census: Option<CensusEvidence>,
    /// What was left of what the load had raised when the target was at rest again, from 0 (all
    /// came back: a backlog) to 1. Of the whole heap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at_rest: Option<f64>,
    /// Ages of what is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ages: Option<Ages>,
    /// What happened while time passed and no operation was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
    /// A bound that the user declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

impl Evidence {
    /// Nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Growth as a warm-up that dies away beside an even rate that lasts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Fading {
    /// The rate that lasts.
    pub lasting: Estimate,
    /// It surely slows down.
    pub sure: bool,
    /// A warm-up that leaves no lasting growth explains it as well.
    pub subsides: bool,
}

/// A count by the process itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CensusEvidence {
    /// What is counted.
    pub kind: Kind,
    /// Where it is made.
    pub file: String,
    /// The line there.
    pub line: u32,
    /// Live objects per operation.
    pub per_op: Estimate,
    /// The whole number it is within 0.05 of, interval and all: strong evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<u32>,
}

/// Live objects by age. A leak keeps objects of every age; a cache turns over.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Ages {
    /// Where the ages come from: `census`, `rounds` (what is left of each round's own), or as
    /// the source says.
    pub from: String,
    /// Upper bounds, seconds, ascending.
    pub le_s: Vec<f64>,
    /// Objects at most that old and older than the bound before; one longer than `le_s`.
    pub live: Vec<f64>,
    /// What came in the first half of the measured rounds is older than this, seconds; absent
    /// where nobody looked at a clock, or the bounds are too far from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_s: Option<f64>,
    /// Share of what is live that is older than `half_s`, from 0 to 1: of its bytes, or of its
    /// objects where they are counted without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older: Option<f64>,
    /// Surely next to nothing of what came in the first half is left, though the site has grown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub turns_over: bool,
}

/// Time that passed without operations.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Rest {
    /// Its length, seconds.
    pub seconds: f64,
    /// Bytes by which the site grew meanwhile, or shrank.
    pub grown_bytes: f64,
    /// Standard error of that.
    pub error_bytes: f64,
    /// Bytes that as much time had brought while operations were done.
    pub at_work_bytes: f64,
}

/// A bound that was declared, and what was found.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Bound {
    /// The part of the site's name it was declared for.
    pub name: String,
    /// Bytes at most.
    pub bytes: u64,
    /// Bytes found.
    pub live_bytes: u64,
}
