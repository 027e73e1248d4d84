//! Rounds: why each is driven, and the parts it is made of. The words that events, verdicts and
//! screens share.
//! In: nothing. Out: two closed lists of words. What happens in a round is left to the events.

use serde::{Deserialize, Serialize};

/// Why a round was driven.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RoundKind {
    /// To fill what fills once. Not judged.
    Warmup,
    /// With input not seen before.
    #[default]
    New,
    /// With the input of an earlier round, byte for byte.
    Replay,
    /// With no operations at all: time passes.
    Rest,
}

impl RoundKind {
    /// The word used in files and on screens.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Warmup => "warmup",
            Self::New => "new",
            Self::Replay => "replay",
            Self::Rest => "rest",
        }
    }
}

/// A part of a round. A run without rounds has one phase of load.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Operations are done.
    #[default]
    Load,
    /// Virtual users close what they opened.
    Drain,
    /// Waiting until the target stops moving.
    Settle,
    /// The heap is taken.
    Snapshot,
}

impl Phase {
    /// The word used in files and on screens.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Drain => "drain",
            Self::Settle => "settle",
            Self::Snapshot => "snapshot",
        }
    }
}
