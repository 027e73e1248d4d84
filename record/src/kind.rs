//! What a site holds. The same seven words in the census, the verdict and every report.
//! In: nothing. Out: the words, for files and for people. Choosing one is left to the profiler
//! and to the process itself.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a site keeps alive.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A client's connection or session.
    Connection,
    /// A subscription, callback or channel sender held by who publishes.
    Listener,
    /// An interval, timeout or anything else that waits for a clock.
    Timer,
    /// A request, or part of one, held past its reply.
    Context,
    /// Entries kept by key or in order, for use later.
    Cache,
    /// A spawned task or thread that does not end.
    Task,
    /// None of these could be told.
    #[default]
    #[serde(other)]
    Other,
}

impl Kind {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Connection,
        Self::Listener,
        Self::Timer,
        Self::Context,
        Self::Cache,
        Self::Task,
        Self::Other,
    ];

    /// The word used in files: `context`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Listener => "listener",
            Self::Timer => "timer",
            Self::Context => "context",
            Self::Cache => "cache",
            Self::Task => "task",
            Self::Other => "other",
        }
    }

    /// The words said to a person: `request context`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Context => "request context",
            kind => kind.key(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}
