//! The load engine: a scenario in, measured load out.
//!
//! The modules in the order in which the data passes them: a [`scenario`] with its [`template`]s
//! is resolved into a [`plan`], whose [`schedule`] the [`engine`] keeps, over [`http`], [`http2`]
//! and [`websocket`] connections; every [`sample`] goes to a [`recorder`], their sums are
//! [`totals`], [`threshold`]s judge those, and [`hlog`] writes them down. Reports, files and the
//! memory of the target are left to others.

pub mod base64;
pub mod check;
pub mod cookie;
pub mod fault;
pub mod feeder;
pub mod files;
pub mod scenario;
pub mod template;

pub mod import;

pub mod plan;

pub mod redirect;
pub mod segment;

pub mod schedule;

pub mod disconnect;
pub mod fanout;
pub mod sample;
pub mod stamp;

mod flight;
pub mod http2;

mod wire;

pub mod http;
pub mod websocket;

pub mod recorder;

pub mod engine;

pub mod totals;

pub mod threshold;

pub mod guard;

pub mod hlog;

pub use engine::{Engine, EngineError, Pass, Stopper};
pub use fault::{Fault, Faults};
pub use plan::{Plan, Quick, Talk};
pub use scenario::Scenario;
pub use segment::Segment;
pub use totals::Totals;
