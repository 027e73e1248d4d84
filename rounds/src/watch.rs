//! Watching: a live process without load of ours. In: a source and the reins. Out: the same
//! events as a run's, a memory point a second, a snapshot at the start, at each interval and on
//! wish, and growth per second as far as it can be told. Nothing is written to disk but what the
//! target itself writes.

use crate::archive::PER_SECOND;
use crate::capture::live_sites;
use crate::control::Control;
use crate::heap::HeapReader;
use crate::journal::Journal;
use crate::journal::unix_ms;
use crate::observer::Observer;
use crate::request::RunError;
use ebbtide_profiler::series::{OBSERVATIONS_MAX, Observation, Series};
use ebbtide_profiler::source::Target as Source;
use ebbtide_profiler::verdict::{Rules, judge};
use ebbtide_record::State;
use ebbtide_record::event::{Body, Event, RoundKind, RunEnded, RunStarted, SnapshotTaken};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the wish for a snapshot is looked at, so that a key answers at once to the eye.
const WISH_EVERY: Duration = Duration::from_millis(50);

/// What is watched.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// The process.
    pub source: Source,
    /// What it is called on the screen.
    pub name: String,
    /// Time between two snapshots; `None` takes them on wish alone.
    pub every: Option<Duration>,
    /// What counts as own code.
    pub heap: HeapReader,
    /// Version of the tool.
    pub version: String,
}

/// Watches until the reins are pulled or the process ends.
///
/// # Errors
///
/// None for what cannot be observed, which is an event; only the journal's own.
pub async fn watch(
    request: WatchRequest,
    control: Control,
    events: Sender<Event>,
) -> Result<State, RunError> {
    let mut journal = Journal::new(None, events);
    journal
        .note(Body::RunStarted(Box::new(RunStarted {
            version: request.version.clone(),
            name: request.name.clone(),
            at_unix_ms: unix_ms(),
            target_pid: request.source.pid(),
            ..RunStarted::default()
        })))
        .await?;
    let mut observer = Observer::start(Some(request.source.clone()));
    let mut ticks = interval(request.every.unwrap_or(Duration::MAX / 4));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watched =
        Watched { series: Series::default(), last: Instant::now(), seconds: 0, taken: 0 };
    let mut reason = String::new();
    while !control.is_stopped() {
        let due = tokio::select! {
            () = control.stopped() => false,
            point = observer.next() => {
                journal.note(Body::Memory(Box::new(point))).await?;
                false
            }
            _ = ticks.tick() => request.source.has_heap(),
            () = sleep(WISH_EVERY) => false,
        };
        if !request.source.is_alive() {
            reason = "the process has ended".to_owned();
            break;
        }
        if due || control.take_snapshot_wish() {
            tokio::select! {
                taken = watched.take(&request, &mut journal) => taken?,
                () = control.stopped() => {}
            }
        }
    }
    journal.note(Body::RunEnded(RunEnded { reason, ..RunEnded::default() })).await?;
    Ok(journal.into_state())
}

struct Watched {
    series: Series,
    last: Instant,
    seconds: u64,
    taken: u32,
}

impl Watched {
    async fn take(
        &mut self,
        request: &WatchRequest,
        journal: &mut Journal,
    ) -> Result<(), RunError> {
        let path = Path::new(&request.name);
        let fetched = match request.source.snapshot(false).await {
            Ok(fetched) => fetched,
            Err(error) => return Ok(journal.missed("snapshot", error.to_string()).await?),
        };
        let folded = match request.heap.fold(fetched.bytes, path).await {
            Ok(folded) => folded,
            Err(error) => return Ok(journal.missed("snapshot", error.to_string()).await?),
        };
        let passed = self.last.elapsed().as_secs().max(1);
        self.last = Instant::now();
        self.seconds += passed;
        let index = self.taken;
        self.taken += 1;
        let sidecar = fetched.sidecar.unwrap_or_default();
        let rss = Some(sidecar.process.rss_bytes).filter(|bytes| *bytes > 0);
        journal
            .note(Body::Snapshot(Box::new(SnapshotTaken {
                index,
                file: fetched.path.map(|path| path.display().to_string()).unwrap_or_default(),
                operations: BTreeMap::from([(PER_SECOND.to_owned(), self.seconds)]),
                live_bytes: folded.live_bytes.max(0.0) as u64,
                live_objects: folded.live_objects.map(|objects| objects.max(0.0) as u64),
                rss_bytes: rss,
                sample_interval_bytes: folded.interval_bytes as u64,
                census: sidecar.census.kinds.clone(),
                sites: live_sites(&folded),
                ..SnapshotTaken::default()
            })))
            .await?;
        if self.series.observations().count() >= OBSERVATIONS_MAX {
            self.series.thin();
        }
        self.series.push(Observation {
            round: index,
            kind: if index == 0 { RoundKind::Warmup } else { RoundKind::New },
            operations: BTreeMap::from([(PER_SECOND.to_owned(), passed)]),
            folded,
            census: sidecar.census,
            rss_bytes: rss,
            ..Observation::default()
        });
        let verdict = judge(&self.series, &Rules::default());
        journal.note(Body::Verdict(Box::new(verdict))).await?;
        Ok(())
    }
}
