//! What a flow is given beside its steps: its part in the run, and rows of data. Pure.
//!
//! In: nothing. Out: the types that the compiler fills and the engine reads.

use crate::feeder::{Exhausted, Pick, Table};
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// What a flow is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// It is the load, or some of it.
    #[default]
    Load,
    /// It is taken once before the load.
    Setup,
    /// It is taken once after the load.
    Teardown,
}

impl Part {
    /// Its word in a scenario.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Setup => "setup",
            Self::Teardown => "teardown",
        }
    }
}

/// A table of data, with its rows.
#[derive(Clone, Debug, Serialize)]
pub struct FeederPlan {
    /// Its name.
    pub name: String,
    /// Which row an iteration gets.
    pub pick: Pick,
    /// What happens once a user has none left.
    pub when_exhausted: Exhausted,
    /// The rows.
    #[serde(serialize_with = "shown")]
    pub table: Arc<Table>,
}

fn shown<S: Serializer>(table: &Arc<Table>, serializer: S) -> Result<S::Ok, S::Error> {
    table.as_ref().serialize(serializer)
}

/// What a flow reads of a table.
#[derive(Clone, Debug, Serialize)]
pub struct FeedPlan {
    /// Place of the table among [`super::Plan::feeders`].
    pub feeder: usize,
    /// Places of variables, and the columns they are filled from.
    pub columns: Vec<(usize, usize)>,
    /// Place of this flow among those that take unique rows of the table, and how many there are.
    pub share: (u64, u64),
}
