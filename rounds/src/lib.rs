//! The hall where load and memory meet on one clock: a target is started, driven in rounds of a
//! [`design`], left to settle, and its heap taken after each; what happens is written to the
//! run's [`folder`] and judged until it is decided.
//!
//! In: a scenario. Out: events as they happen, a folder that survives a kill, and an exit code.
//! How load is made, how a heap is read and what a series means are left to `loadgen` and
//! `profiler`; how it is shown is left to reports and screens.

pub mod control;
pub mod design;
pub mod exit;
pub mod folder;
pub mod forecast;
pub mod heap;

pub mod sampling;

pub mod capture;
pub mod classes;
pub mod journal;
pub mod listening;
pub mod observer;
pub mod target;

pub mod request;

pub mod served;

pub mod attach;

pub mod pile;

pub mod archive;
pub mod join;
pub mod session;
pub mod silence;
pub mod watch;

pub use control::Control;
pub use request::{Outcome, RunError, RunRequest};
pub use session::run;
