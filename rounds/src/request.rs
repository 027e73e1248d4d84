//! What a run is asked for, how it ended, and why there was none.
//! In: nothing. Out: the forms that commands and the session share.
//! Doing it is left to the session.

use crate::folder::FolderError;
use crate::heap::HeapError;
use crate::target::TargetError;
use ebbtide_loadgen::scenario::Scenario;
use ebbtide_loadgen::{EngineError, Faults, Segment};
use ebbtide_profiler::source::SourceError;
use ebbtide_record::State;
use std::path::PathBuf;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The scenario.
    pub scenario: Scenario,
    /// Its text, which is kept with the run.
    pub scenario_text: String,
    /// The run's folder.
    pub out: PathBuf,
    /// The command line that reproduces the run.
    pub command: Vec<String>,
    /// What `ebb` as the first word of a target's command stands for.
    pub ebb: PathBuf,
    /// Threads of the generator; 0 for one per core.
    pub threads: usize,
    /// Which part of the load is driven.
    pub segment: Segment,
    /// Inconclusive is a failure too.
    pub strict: bool,
    /// Version of the tool.
    pub version: String,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code that won.
    pub exit_code: i32,
    /// All that happened.
    pub state: State,
    /// The run's folder.
    pub folder: PathBuf,
    /// Why the summary is not in it, when it could not be written.
    pub unwritten: Option<FolderError>,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A stop was asked for before there was anything to report.
    #[error("interrupted before the target was ready: nothing was measured")]
    Interrupted,
    /// The scenario is at fault.
    #[error(transparent)]
    Scenario(#[from] Faults),
    /// The run's folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Load cannot be driven.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The target's heap cannot be had.
    #[error("memory cannot be watched: {0}")]
    Source(#[from] SourceError),
    /// A snapshot cannot be used.
    #[error(transparent)]
    Heap(#[from] HeapError),
}
