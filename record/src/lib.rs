//! The types of a run, and nothing else: what happened ([`event`]), what it looked like when it
//! was over ([`summary`]), what a target told about itself ([`snapshot`], [`census`]), and the
//! one pure function that folds events into what screens and reports are drawn from ([`state`]).
//!
//! Comes in: nothing but values. Goes out: nothing but values. Files, clocks and sockets are
//! left to others. The written forms are described in `docs/formats.md`.

pub mod census;
pub mod evidence;
pub mod kind;
pub mod metric;
pub mod round;
pub mod verdict;

pub mod event;
pub mod generator;
pub mod snapshot;

pub mod state;
pub mod summary;

pub use census::{Census, CensusCount, CensusSite};
pub use event::{Body, Event, Phase, RoundKind};
pub use evidence::Evidence;
pub use kind::Kind;
pub use metric::{Metric, MetricType, Metrics, Values};
pub use snapshot::Sidecar;
pub use state::State;
pub use summary::Summary;
pub use verdict::{Estimate, MemoryVerdict, Verdict};
