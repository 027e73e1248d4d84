//! The words of the census: what an object is, as its maker says it.
//! In: nothing. Out: [`Kind`] and its key in files (`docs/` holds the form).
//! Leaves to others: counting (`census`), and guessing a kind from stack frames (the profiler).

/// What a tracked object is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// A client's connection or session.
    Connection,
    /// A subscription, callback or channel sender held by who publishes.
    Listener,
    /// An interval, timeout or anything else that waits for a clock.
    Timer,
    /// A request, or part of one, held past its reply.
    Context,
    /// An entry kept by key or in order, for use later.
    Cache,
    /// A spawned task or thread.
    Task,
    /// None of these.
    Other,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Connection,
        Self::Listener,
        Self::Timer,
        Self::Context,
        Self::Cache,
        Self::Task,
        Self::Other,
    ];

    /// The word used in the census JSON: `context`.
    #[must_use]
    pub const fn key(self) -> &'static str {
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
}
