//! Snapshots in, sites out: a heap profile of any known form is read ([`parse`]), normalised
//! ([`profile`]), given names ([`symbol`]), folded to the places in the user's own code
//! ([`site`]) with a word for what they hold ([`kind`]), and compared ([`diff`]).
//!
//! [`source`] fetches snapshots from a running process. What a series of snapshots says over
//! time is judged by the modules after `diff`; when to take them is left to the caller.

mod hash;

pub mod source;

pub mod ages;
pub mod parse;
pub mod profile;

pub mod frame;
mod own;
pub mod symbol;

pub mod kind;
mod place;
pub mod site;

pub mod goroutine;

pub mod diff;
pub mod group;
pub mod stacks;

pub mod export;

pub mod series;
pub mod trend;

pub mod filled;
pub mod growth;
pub mod tally;

pub mod power;
pub mod rules;

mod evidence;
mod generations;
mod ladder;
mod resident;
mod rest;
mod upkeep;
pub mod verdict;

pub mod v8;

pub use profile::{Cell, Profile};
pub use site::{Folded, FoldedCell, FoldedSite, SiteRules};
pub use symbol::Symbolizer;
