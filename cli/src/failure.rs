//! Why a command could not do its work: one text with the cure, and the exit code that goes with
//! it. In: the errors of the other crates. Out: what `main` prints once. A leak or a failed
//! threshold is no failure of the command: it is its result.

use ebbtide_loadgen::engine::RouteError;
use ebbtide_loadgen::{EngineError, Faults};
use ebbtide_profiler::source::SourceError;
use ebbtide_rounds::RunError;
use ebbtide_rounds::archive::ArchiveError;
use ebbtide_rounds::exit::{FAILED, INTERRUPTED, USAGE};
use ebbtide_rounds::folder::FolderError;
use ebbtide_rounds::heap::HeapError;
use ebbtide_rounds::join::JoinError;
use std::fmt;
use std::io;

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    exit_code: i32,
    text: String,
}

impl Failure {
    /// The arguments or the scenario are at fault.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self { exit_code: USAGE, text: text.to_string() }
    }

    /// The tool or the target failed.
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self { exit_code: FAILED, text: text.to_string() }
    }

    /// The user wanted it to end.
    pub(crate) fn interrupted(text: impl fmt::Display) -> Self {
        Self { exit_code: INTERRUPTED, text: text.to_string() }
    }

    /// The code to exit with.
    pub(crate) fn exit_code(&self) -> i32 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::usage(faults)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Scenario(faults) => faults.into(),
            RunError::Folder(error) => error.into(),
            RunError::Interrupted => Self { exit_code: INTERRUPTED, text: error.to_string() },
            error => Self::failed(error),
        }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        match error {
            // The folder was named, and another one is the cure.
            FolderError::Taken { .. } => Self::usage(error),
            error => Self::failed(error),
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Folder(error) => error.into(),
            JoinError::Plan { .. }
            | JoinError::Twice { .. }
            | JoinError::Cut { .. }
            | JoinError::Count(_) => Self::usage(error),
            error => Self::failed(error),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Route(RouteError::Resolve { .. }) => Self::failed(error),
            // A file, a path or an address that was named and is of no use.
            EngineError::Route(_) => Self::usage(error),
            error => Self::failed(error),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::failed(error)
    }
}

impl From<HeapError> for Failure {
    fn from(error: HeapError) -> Self {
        Self::failed(error)
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Work { .. } => Self::usage(error),
            error => Self::failed(error),
        }
    }
}

/// Of the terminal or of standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(format!("{error} (while writing to the terminal or to standard output)"))
    }
}
