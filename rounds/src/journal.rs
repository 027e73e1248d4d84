//! The journal of a run: each thing that happens is appended to the log, folded into the state
//! and handed to whoever watches, in that order and by one owner, so that all three agree.
//! In: what happened. Out: stamped events. What they mean is left to the record's state.

use crate::folder::{EventLog, FolderError};
use ebbtide_record::State;
use ebbtide_record::event::{Body, Event, Missed, VERSION, Warning};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::Sender;

/// The journal of a run.
#[derive(Debug)]
pub struct Journal {
    log: Option<EventLog>,
    state: State,
    watcher: Sender<Event>,
    began: Instant,
}

impl Journal {
    /// A journal that writes to `log`, when there is one, and tells `watcher`.
    #[must_use]
    pub fn new(log: Option<EventLog>, watcher: Sender<Event>) -> Self {
        Self { log, state: State::default(), watcher, began: Instant::now() }
    }

    /// What has happened so far.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Ends the journal.
    #[must_use]
    pub fn into_state(self) -> State {
        self.state
    }

    /// Writes down what happened.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unwritable`], for example when the disk is full. The state has it all the
    /// same, so that the end of the run can still be told.
    pub async fn note(&mut self, body: Body) -> Result<(), FolderError> {
        let (event, outcome) = match &mut self.log {
            Some(log) => match log.append(body.clone()) {
                Ok(event) => (event, Ok(())),
                Err(error) => (self.unlogged(body), Err(error)),
            },
            None => (self.unlogged(body), Ok(())),
        };
        self.state.apply(&event);
        // Nobody has to watch.
        let _ = self.watcher.send(event).await;
        outcome
    }

    /// Writes down that something could not be observed.
    ///
    /// # Errors
    ///
    /// As [`Journal::note`].
    pub async fn missed(&mut self, what: &str, reason: String) -> Result<(), FolderError> {
        self.note(Body::Missed(Missed { what: what.to_owned(), reason })).await
    }

    /// Writes down a doubt, unless it stands there in the same words.
    ///
    /// # Errors
    ///
    /// As [`Journal::note`].
    pub async fn warn(&mut self, warning: Warning) -> Result<(), FolderError> {
        if self.state.warnings.contains(&warning) {
            return Ok(());
        }
        self.note(Body::Warning(warning)).await
    }

    fn unlogged(&self, body: Body) -> Event {
        let t_ms = self.began.elapsed().as_millis() as u64;
        Event { v: VERSION, seq: self.state.events, t_ms, body }
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_millis() as u64)
}
