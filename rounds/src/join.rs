//! Runs joined: the parts of one load, driven by several processes at the same time, as one run.
//! In: folders of runs with the same plan. Out: a folder of the whole: histograms added up without
//! loss, seconds laid over each other by the clock, thresholds judged anew, and an exit code.
//! Starting the parts is left to whoever starts processes.

use crate::exit::Ending;
use crate::folder::{self, FolderError, RunFolder, read_events};
use ebbtide_loadgen::hlog::{self, HlogError, HlogWriter, Log};
use ebbtide_loadgen::recorder::Recorder;
use ebbtide_loadgen::totals::{IntervalHistograms, LEDGER_SCHEMA, Ledger};
use ebbtide_loadgen::{Totals, threshold};
use ebbtide_record::event::{
    Body, Event, Interval, Phase, PhaseStart, RoundKind, RunEnded, RunStarted, Warning,
};
use ebbtide_record::{MemoryVerdict, State};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Parts joined at most: each is held in memory with a second of histograms at a time.
pub const PARTS_MAX: usize = 1_000;

pub use ebbtide_record::summary::SEGMENTS_MISSING;

/// Why runs cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A folder cannot be read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file of a run cannot be read.
    #[error("`{}`: {cause}: only runs that came to their end can be joined", path.display())]
    Part {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// An interval log is broken.
    #[error("`{}`: {source}", path.display())]
    Histograms {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: HlogError,
    },
    /// Two runs are not of one load.
    #[error(
        "`{}` has another plan than `{}`: join runs of the same scenario, seed and target, made by \
         the same version",
        other.display(),
        first.display()
    )]
    Plan {
        /// The first run.
        first: PathBuf,
        /// The one that differs.
        other: PathBuf,
    },
    /// A part is there twice.
    #[error(
        "segment {segment} is there twice: in `{}` and in `{}`",
        first.display(),
        other.display()
    )]
    Twice {
        /// Which one.
        segment: String,
        /// Where it was met first.
        first: PathBuf,
        /// Where again.
        other: PathBuf,
    },
    /// Parts of different cuts.
    #[error(
        "`{}` is a part of {other_count}, `{}` one of {count}: join the parts of one cut",
        other.display(),
        first.display()
    )]
    Cut {
        /// The first run.
        first: PathBuf,
        /// Parts there.
        count: u64,
        /// The one that differs.
        other: PathBuf,
        /// Parts there.
        other_count: u64,
    },
    /// Too few or too many.
    #[error("{0} runs cannot be joined: name 1 to {PARTS_MAX}")]
    Count(usize),
}

/// One run, as read.
struct Part {
    path: PathBuf,
    ledger: Ledger,
    log: Log,
    started: RunStarted,
    /// Seconds of load, with the Unix milliseconds at which they began.
    intervals: Vec<(f64, Interval)>,
    warnings: Vec<Warning>,
    ended: RunEnded,
}

/// Joins runs into a new folder.
///
/// # Errors
///
/// When they cannot be read, do not belong together, or the folder cannot be written.
pub fn join(runs: &[PathBuf], out: &Path, command: Vec<String>) -> Result<(i32, State), JoinError> {
    if runs.is_empty() || runs.len() > PARTS_MAX {
        return Err(JoinError::Count(runs.len()));
    }
    let parts = runs.iter().map(|run| Part::read(run)).collect::<Result<Vec<Part>, _>>()?;
    let missing = belong_together(&parts)?;
    let folder = RunFolder::create(out)?;
    for name in [folder::SCENARIO, folder::PLAN] {
        // A quick load has no scenario.
        if let Ok(content) = fs::read(parts[0].path.join(name)) {
            folder.write(name, &content)?;
        }
    }
    let seconds = seconds_of(&parts);
    write_histograms(&folder, &parts[0], &seconds)?;
    let totals = totals_of(&parts);
    let mut ledger = parts[0].ledger.clone();
    let (index, count) = if missing.is_none() { (0, 1) } else { (0, ledger.segment_count) };
    (ledger.segment_index, ledger.segment_count) = (index, count);
    folder.write_totals(&totals.amended(ledger))?;
    let mut started = parts[0].started.clone();
    started.at_unix_ms = parts.iter().map(|part| part.started.at_unix_ms).min().unwrap_or(0);
    started.command = command;
    started.host.insert("parts".to_owned(), parts.len().to_string());
    Story { folder: &folder, started, seconds, parts: &parts, missing }.write(&totals)
}

impl Part {
    fn read(path: &Path) -> Result<Self, JoinError> {
        let part = |name: &str, cause: String| JoinError::Part { path: path.join(name), cause };
        let text = fs::read(path.join(folder::TOTALS))
            .map_err(|error| part(folder::TOTALS, error.to_string()))?;
        let ledger: Ledger = serde_json::from_slice(&text)
            .map_err(|error| part(folder::TOTALS, error.to_string()))?;
        if ledger.schema != LEDGER_SCHEMA {
            let cause = format!("its form is `{}`, not `{LEDGER_SCHEMA}`", ledger.schema);
            return Err(part(folder::TOTALS, cause));
        }
        let text = fs::read(path.join(folder::HISTOGRAMS))
            .map_err(|error| part(folder::HISTOGRAMS, error.to_string()))?;
        let log = hlog::read(&text, &ledger.slots, ledger.checks.len()).map_err(|source| {
            JoinError::Histograms { path: path.join(folder::HISTOGRAMS), source }
        })?;
        let (mut started, mut ended) = (RunStarted::default(), RunEnded::default());
        let (mut intervals, mut warnings) = (Vec::new(), Vec::new());
        read_events(path, |event| match event.body {
            Body::RunStarted(body) => started = *body,
            Body::Interval(body) => {
                let end = started.at_unix_ms as f64 + event.t_ms as f64;
                intervals.push((end - body.duration_ms, *body));
            }
            Body::Warning(warning) => warnings.push(warning),
            Body::RunEnded(body) => ended = body,
            _ => {}
        })?;
        Ok(Self { path: path.to_owned(), ledger, log, started, intervals, warnings, ended })
    }
}

/// Checks that runs are parts of one load; says which are not there.
fn belong_together(parts: &[Part]) -> Result<Option<Warning>, JoinError> {
    let first = &parts[0];
    let mut seen: BTreeMap<u64, &Path> = BTreeMap::new();
    for part in parts {
        if part.ledger.plan != first.ledger.plan {
            let (first, other) = (first.path.clone(), part.path.clone());
            return Err(JoinError::Plan { first, other });
        }
        let (index, count) = (part.ledger.segment_index, part.ledger.segment_count);
        if count != first.ledger.segment_count {
            return Err(JoinError::Cut {
                first: first.path.clone(),
                count: first.ledger.segment_count,
                other: part.path.clone(),
                other_count: count,
            });
        }
        if let Some(first) = seen.insert(index, &part.path) {
            return Err(JoinError::Twice {
                segment: format!("{index}/{count}"),
                first: first.to_owned(),
                other: part.path.clone(),
            });
        }
    }
    let count = first.ledger.segment_count;
    let absent: Vec<String> = (0..count)
        .filter(|index| !seen.contains_key(index))
        .take(10)
        .map(|index| format!("{index}/{count}"))
        .collect();
    let missing = count - seen.len() as u64;
    Ok((missing > 0).then(|| Warning {
        code: SEGMENTS_MISSING.to_owned(),
        message: format!("{missing} of {count} segments are missing: {}", absent.join(", ")),
        advice: "counts and rates are those of the segments that are there".to_owned(),
    }))
}

/// What all parts measured, added up.
fn totals_of(parts: &[Part]) -> Totals {
    let mut totals = Totals::default();
    for part in parts {
        let ledger = &part.ledger;
        let mut recorder = Recorder::new(ledger.slots.len(), ledger.checks.len());
        for entry in &part.log.entries {
            recorder.merge(&entry.recorder);
        }
        totals.join(&Totals::restored(ledger, recorder));
    }
    totals
}

/// One second of the whole load.
#[derive(Default)]
struct Second {
    interval: Interval,
    recorder: Recorder,
    /// Milliseconds since the first part began its load.
    begin_ms: f64,
}

/// Seconds of all parts, laid over each other by the clock.
fn seconds_of(parts: &[Part]) -> Vec<Second> {
    let begins = parts.iter().flat_map(|part| part.intervals.iter().map(|(begin, _)| *begin));
    let base = begins.fold(f64::INFINITY, f64::min);
    let place = |begin: f64| ((begin - base) / 1e3).round().max(0.0) as usize;
    let mut seconds: BTreeMap<usize, Second> = BTreeMap::new();
    for part in parts {
        for (begin, interval) in &part.intervals {
            let second = seconds.entry(place(*begin)).or_insert_with(|| Second {
                begin_ms: place(*begin) as f64 * 1e3,
                ..Second::default()
            });
            second.interval = side_by_side(&second.interval, interval);
        }
        for entry in &part.log.entries {
            let begin = (part.log.began + entry.start).as_secs_f64() * 1e3;
            // The interval whose histograms these are: the one that began nearest to it.
            let nearest = part
                .intervals
                .iter()
                .map(|(begin, _)| *begin)
                .min_by(|a, b| (a - begin).abs().total_cmp(&(b - begin).abs()));
            let second = seconds.entry(place(nearest.unwrap_or(begin))).or_default();
            second.recorder.merge(&entry.recorder);
        }
    }
    let slots = Arc::new(parts[0].ledger.slots.clone());
    let mut seconds: Vec<Second> = seconds.into_values().collect();
    for second in &mut seconds {
        let length = Duration::from_secs_f64(second.interval.duration_ms / 1e3);
        let histograms =
            IntervalHistograms::new(Arc::clone(&slots), second.recorder.clone(), length);
        let (latency, corrected, delivery) = histograms.quantiles(parts[0].ledger.open_model);
        second.interval.latency = latency;
        second.interval.corrected = corrected;
        second.interval.delivery = delivery;
    }
    seconds
}

/// Two intervals of the same time: counts add up, of what each generator says of itself the worse
/// holds. Percentiles are left to the histograms.
fn side_by_side(one: &Interval, other: &Interval) -> Interval {
    let mut errors = one.errors.clone();
    for (reason, count) in &other.errors {
        *errors.entry(reason.clone()).or_default() += count;
    }
    Interval {
        duration_ms: one.duration_ms.max(other.duration_ms),
        offered: match (one.offered, other.offered) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        },
        iterations: one.iterations + other.iterations,
        requests: one.requests + other.requests,
        errors,
        dropped: one.dropped + other.dropped,
        vus: one.vus + other.vus,
        messages_sent: one.messages_sent + other.messages_sent,
        messages_received: one.messages_received + other.messages_received,
        bytes_sent: one.bytes_sent + other.bytes_sent,
        bytes_received: one.bytes_received + other.bytes_received,
        generator_cpu: one.generator_cpu.max(other.generator_cpu),
        late_start_p99_ms: one.late_start_p99_ms.max(other.late_start_p99_ms),
        ..Interval::default()
    }
}

fn write_histograms(folder: &RunFolder, first: &Part, seconds: &[Second]) -> Result<(), JoinError> {
    let path = folder.path().join(folder::HISTOGRAMS);
    let unwritable = |source| FolderError::Unwritable { path: path.clone(), source };
    let slots = Arc::new(first.ledger.slots.clone());
    let mut out = File::create(&path)
        .and_then(|file| HlogWriter::begin(file, first.started.at_unix_ms))
        .map_err(unwritable)?;
    for second in seconds {
        let length = Duration::from_secs_f64(second.interval.duration_ms / 1e3);
        let histograms =
            IntervalHistograms::new(Arc::clone(&slots), second.recorder.clone(), length);
        let start = Duration::from_secs_f64(second.begin_ms / 1e3);
        out.write(&histograms, start).map_err(unwritable)?;
    }
    Ok(())
}

/// The joined run as it is told: its events, its state.
struct Story<'a> {
    folder: &'a RunFolder,
    started: RunStarted,
    seconds: Vec<Second>,
    parts: &'a [Part],
    missing: Option<Warning>,
}

impl Story<'_> {
    fn write(self, totals: &Totals) -> Result<(i32, State), JoinError> {
        let mut log = self.folder.log()?;
        let mut state = State::default();
        let mut note = |t_ms: u64, body: Body| -> Result<(), FolderError> {
            let event: Event = log.append_at(t_ms, body)?;
            state.apply(&event);
            Ok(())
        };
        note(0, Body::RunStarted(Box::new(self.started)))?;
        let load = PhaseStart { round: 0, kind: RoundKind::New, phase: Phase::Load };
        note(0, Body::Phase(load))?;
        let mut end = 0;
        for second in self.seconds {
            end = (second.begin_ms + second.interval.duration_ms) as u64;
            note(end, Body::Interval(Box::new(second.interval)))?;
        }
        let mut so_far = totals.so_far();
        let thresholds = &self.parts[0].ledger.thresholds;
        let failed = threshold::judge(thresholds, &mut so_far.metrics);
        note(end, Body::Metrics(so_far))?;
        let told = self.parts.iter().flat_map(|part| part.warnings.iter().cloned());
        let mut warnings: Vec<Warning> =
            self.missing.into_iter().chain(totals.warnings()).collect();
        let codes: BTreeSet<String> = warnings.iter().map(|warning| warning.code.clone()).collect();
        warnings.extend(told.filter(|warning| !codes.contains(&warning.code)));
        for warning in &warnings {
            note(end, Body::Warning(warning.clone()))?;
        }
        let reasons = self.parts.iter().filter(|part| !part.ended.reason.is_empty());
        let gone = warnings.iter().filter(|warning| warning.code == SEGMENTS_MISSING);
        let reasons: Vec<String> = reasons
            .map(|part| format!("{}: {}", part.path.display(), part.ended.reason))
            .chain(gone.map(|warning| warning.message.clone()))
            .collect();
        let ending = Ending {
            interrupted: self
                .parts
                .iter()
                .any(|part| part.ended.exit_codes.contains(&crate::exit::INTERRUPTED)),
            failed: self
                .parts
                .iter()
                .any(|part| part.ended.exit_codes.contains(&crate::exit::FAILED)),
            thresholds_failed: !failed.is_empty(),
            latency_claimed: thresholds.iter().any(|text| text.speaks_of_latency()),
            warnings: &warnings,
            memory: None::<&MemoryVerdict>,
            ..Ending::default()
        };
        let codes = ending.codes();
        let ended = RunEnded {
            exit_code: codes[0],
            partial: self.parts.iter().any(|part| part.ended.partial)
                || warnings.iter().any(|warning| warning.code == SEGMENTS_MISSING),
            exit_codes: codes.clone(),
            reason: reasons.join("; "),
        };
        note(end, Body::RunEnded(ended))?;
        folder::write_summary(self.folder.path(), &state)?;
        Ok((codes[0], state))
    }
}
