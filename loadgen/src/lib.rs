//! The load engine: a scenario in, measured load out.
//!
//! The modules in the order in which the data passes them: a [`scenario`] is resolved into a
//! [`plan`], the [`engine`] drives it and gives [`totals`], and [`threshold`]s judge those.
//! Reports, files and the memory of the target are left to others.

pub mod engine;
pub mod fault;
pub mod hlog;
pub mod plan;
pub mod scenario;
pub mod stamp;
pub mod template;
pub mod threshold;
pub mod totals;

pub use engine::{Engine, EngineError, Pass, Stopper};
pub use fault::{Fault, Faults};
pub use plan::{Plan, Quick};
pub use scenario::Scenario;
pub use totals::Totals;
