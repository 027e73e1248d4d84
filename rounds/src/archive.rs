//! The archive: a verdict over snapshots that lie in files, from a run's folder or from anywhere.
//! In: paths, and the terms to judge by. Out: a series and its verdict: by the terms of the run,
//! the same as the run itself would give. Fetching snapshots is left to the session and the watch.

use crate::attach::site_rules;
use crate::classes;
use crate::folder::{self, FolderError};
use crate::heap::{HeapError, HeapReader};
use crate::pile::{self, FILES_MAX};
use ebbtide_loadgen::Scenario;
use ebbtide_loadgen::scenario::MemoryWatch;
use ebbtide_profiler::profile::Form;
use ebbtide_profiler::series::{OBSERVATIONS_MAX, Observation, Series};
use ebbtide_profiler::verdict::{Rules, judge};
use ebbtide_profiler::{Folded, SiteRules};
use ebbtide_record::event::{RoundKind, SnapshotTaken};
use ebbtide_record::{MemoryVerdict, Sidecar, State, Verdict};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What growth is counted per when nobody counted operations and snapshots have no time.
const PER_SNAPSHOT: &str = "snapshot";
/// What growth is counted per when nobody counted operations.
pub const PER_SECOND: &str = "second";

/// Endings of snapshots that have a sidecar.
const ENDINGS: [&str; 4] = [".pb.gz", ".pb", ".heapprofile", ".rss"];
/// Fewer snapshots give no growth with an interval.
pub const SNAPSHOTS_MIN: usize = 3;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The folder is no run's.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A snapshot cannot be used.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// The snapshots are not of one form.
    #[error(
        "`{}` is {form} and `{}` is {known}: a series needs snapshots of one form",
        path.display(),
        before.display()
    )]
    Mixed {
        /// Which.
        path: PathBuf,
        /// Its form.
        form: &'static str,
        /// The first one.
        before: PathBuf,
        /// The form of that.
        known: &'static str,
    },
    /// A folder that is no run's, and holds too little.
    #[error(
        "`{}` is no run's folder and holds {found} snapshots, which say nothing of growth: \
         {SNAPSHOTS_MIN} or more are needed", folder.display()
    )]
    TooFew {
        /// Which.
        folder: PathBuf,
        /// How many.
        found: usize,
    },
    /// More snapshots than a series takes.
    #[error(
        "{found} snapshots are more than the {OBSERVATIONS_MAX} that a series takes: name those \
         that matter, or each second one"
    )]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A folder of so much that not all of it is looked at.
    #[error(
        "`{}` holds more than {FILES_MAX} files, which are not looked through: name the snapshots, \
         or move them to a folder of their own", folder.display()
    )]
    Crowded {
        /// Which.
        folder: PathBuf,
    },
    /// The run has no snapshots.
    #[error(
        "`{}` has no snapshots of rounds: only runs with a `[memory]` table have",
        path.display()
    )]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// Counts of operations that do not fit the files.
    #[error("{given} counts of operations for {between} gaps between files: give one, or one each")]
    Work {
        /// Counts there are.
        given: usize,
        /// Counts there should be.
        between: usize,
    },
}

/// What a series is judged by, beside what its run says itself.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Path prefixes of own code; in place of the run's, where there are any.
    pub own: Vec<String>,
    /// Growth of no interest, bytes per operation, by operation; before the run's.
    pub limits: BTreeMap<String, f64>,
    /// Sites known to be bounded, with their bound in bytes; before the run's.
    pub bounded: BTreeMap<String, u64>,
    /// Work done between files, where somebody knows.
    pub work: Option<Work>,
}

/// Operations done between snapshots that lie in files.
#[derive(Clone, Debug)]
pub struct Work {
    /// What an operation is called.
    pub name: String,
    /// Operations between each two snapshots; one number stands for all.
    pub counts: Vec<u64>,
}

impl Terms {
    fn site_rules(&self, of_run: SiteRules) -> SiteRules {
        if self.own.is_empty() { of_run } else { SiteRules { own: self.own.clone(), ..of_run } }
    }

    fn rules(&self, watch: Option<&MemoryWatch>, known_load: bool) -> Rules {
        let watch = watch.cloned().unwrap_or_default();
        let mut rules = Rules { limits: watch.limit, bounded: watch.bounded, known_load };
        rules.limits.extend(self.limits.clone());
        // What is asked for comes first, and its names need not be those of the run.
        rules.bounded.retain(|name, _| !self.bounded.keys().any(|asked| name.contains(asked)));
        rules.bounded.extend(self.bounded.clone());
        rules
    }
}

/// A run as it was judged again.
#[derive(Debug)]
pub struct Judged {
    /// What happened in it.
    pub state: State,
    /// What is found in its snapshots.
    pub verdict: MemoryVerdict,
    /// Words that fail it, as its scenario has them.
    pub fail_on: Vec<Verdict>,
}

/// Judges a run again from its folder, by what is in its snapshots. One that cannot be read is an
/// observation missed, as it would have been in the run: a reason says so.
///
/// # Errors
///
/// [`ArchiveError`], when the run has no snapshot that can be read.
pub fn judge_run(path: &Path, terms: &Terms) -> Result<Judged, ArchiveError> {
    let state = folder::read_state(path)?;
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let scenario = scenario_of(folder);
    let watch = scenario.as_ref().ok().and_then(|scenario| scenario.memory.as_ref());
    let of_run = scenario.as_ref().map(site_rules).unwrap_or_default();
    let reader = HeapReader::new(terms.site_rules(of_run));
    let mut series = Series::default();
    let mut before = BTreeMap::new();
    let (mut missed, mut left_out) = (Vec::new(), 0_usize);
    for at in state.snapshots.iter().filter(|at| at.value.round.is_some()) {
        let taken = &at.value;
        let operations = difference(&before, &taken.operations);
        match observation(folder, taken, operations, &reader) {
            Ok(mut observation) => {
                observation.at_s = Some(at.t_ms as f64 / 1e3);
                before.clone_from(&taken.operations);
                left_out += usize::from(!series.push(observation));
            }
            Err(error) => missed.push(error),
        }
    }
    if series.observations().next().is_none() {
        return Err(match missed.into_iter().next() {
            Some(error) => error.into(),
            None => ArchiveError::Empty { path: path.to_owned() },
        });
    }
    let mut verdict = judge(&series, &terms.rules(watch, true));
    // Whole heaps add to what is known of sites; without them the verdict stands.
    verdict.classes =
        classes::compare_here(&folder.join(folder::SNAPSHOTS), &verdict).unwrap_or_default();
    verdict.reasons.extend(missed.iter().map(|error| format!("a snapshot is missing: {error}")));
    verdict.reasons.extend(scenario.as_ref().err().cloned());
    // As in the run itself, which went on without judging more.
    if left_out > 0 {
        verdict.reasons.push(format!(
            "only the first {OBSERVATIONS_MAX} snapshots are judged, the last {left_out} are not"
        ));
    }
    let fail_on = watch.cloned().unwrap_or_default().fail_on;
    Ok(Judged { state, verdict, fail_on })
}

/// The scenario that a run was made by, or why it does not help: snapshots can be judged without.
fn scenario_of(folder: &Path) -> Result<Scenario, String> {
    let told = |why: String| format!("its scenario is of no use, so the usual rules hold: {why}");
    let text = fs::read_to_string(folder.join(folder::SCENARIO))
        .map_err(|error| told(format!("`{}`: {error}", folder::SCENARIO)))?;
    Scenario::parse(&text, folder::SCENARIO)
        .map_err(|faults| told(faults.to_string().lines().next().unwrap_or_default().to_owned()))
}

fn observation(
    run: &Path,
    taken: &SnapshotTaken,
    operations: BTreeMap<String, u64>,
    reader: &HeapReader,
) -> Result<Observation, HeapError> {
    let path = run.join(&taken.file);
    let census = sidecar(&path).map(|sidecar| sidecar.census).unwrap_or_default();
    Ok(Observation {
        round: taken.round.unwrap_or_default(),
        kind: taken.kind,
        operations,
        folded: reader.fold_file(&path)?,
        census,
        rss_bytes: taken.rss_bytes,
        busy_bytes: taken.busy_bytes,
        settled_ms: taken.settled_ms,
        unsettled: taken.unsettled,
        snapshot: taken.file.clone(),
        at_s: None,
    })
}

/// Judges snapshots in the order given. Where nobody says what was done between them, growth is
/// counted per second if the snapshots say when they were taken, and per snapshot otherwise.
///
/// # Errors
///
/// [`ArchiveError`].
pub fn judge_files(paths: &[PathBuf], terms: &Terms) -> Result<MemoryVerdict, ArchiveError> {
    if let Some(work) = &terms.work {
        work.fits(paths.len())?;
    }
    if paths.len() > OBSERVATIONS_MAX {
        return Err(ArchiveError::TooMany { found: paths.len() });
    }
    let reader = HeapReader::new(terms.site_rules(SiteRules::default()));
    let mut series = Series::default();
    let mut last_ms: Option<u64> = None;
    let mut first: Option<(&Path, Form)> = None;
    for (index, path) in paths.iter().enumerate() {
        let folded = reader.fold_file(path)?;
        same_form(&mut first, path, &folded)?;
        let sidecar = sidecar(path);
        let at_ms = taken_ms(path, sidecar.as_ref());
        let seconds = match (last_ms, at_ms) {
            (Some(last), Some(at)) if at > last => Some(((at - last) / 1_000).max(1)),
            _ => None,
        };
        let (name, count) = match &terms.work {
            Some(work) => (work.name.as_str(), work.before(index)),
            None => seconds.map_or((PER_SNAPSHOT, 1), |count| (PER_SECOND, count)),
        };
        last_ms = at_ms.or(last_ms);
        series.push(Observation {
            round: index as u32,
            kind: if index == 0 { RoundKind::Warmup } else { RoundKind::New },
            operations: BTreeMap::from([(name.to_owned(), count)]),
            folded,
            rss_bytes: sidecar.as_ref().map(|s| s.process.rss_bytes).filter(|rss| *rss > 0),
            census: sidecar.map(|s| s.census).unwrap_or_default(),
            snapshot: path.display().to_string(),
            ..Observation::default()
        });
    }
    Ok(judge(&series, &terms.rules(None, terms.work.is_some())))
}

/// When a snapshot was taken, Unix milliseconds: by its sidecar, or by the name that Node gave it.
fn taken_ms(path: &Path, sidecar: Option<&Sidecar>) -> Option<u64> {
    let told = sidecar.map(|sidecar| sidecar.at_unix_ms).filter(|at| *at > 0);
    told.or_else(|| pile::named_ms(path.file_name()?.to_str()?))
}

/// Judges the snapshots that lie in a folder, in the order of time. What else lies there comes back
/// as lines for people.
///
/// # Errors
///
/// [`ArchiveError`].
pub fn judge_pile(
    folder: &Path,
    terms: &Terms,
) -> Result<(MemoryVerdict, Vec<String>), ArchiveError> {
    let failed = |source| HeapError::File { path: folder.to_owned(), source };
    let pile = pile::of(folder, |path| taken_ms(path, sidecar(path).as_ref())).map_err(failed)?;
    if pile.is_cut {
        return Err(ArchiveError::Crowded { folder: folder.to_owned() });
    }
    if pile.snapshots.len() < SNAPSHOTS_MIN {
        return Err(ArchiveError::TooFew {
            folder: folder.to_owned(),
            found: pile.snapshots.len(),
        });
    }
    let mut verdict = judge_files(&pile.snapshots, terms)?;
    // As in a run, whose snapshots are named from its folder too.
    for round in &mut verdict.rounds {
        if let Ok(within) = Path::new(&round.snapshot).strip_prefix(folder) {
            round.snapshot = within.display().to_string();
        }
    }
    Ok((verdict, pile.skipped))
}

impl Work {
    /// Operations before the file at `index`; none before the first.
    fn before(&self, index: usize) -> u64 {
        let counts = &self.counts;
        let single = counts.first().copied().filter(|_| counts.len() == 1);
        let at = || index.checked_sub(1).and_then(|at| counts.get(at)).copied();
        if index == 0 { 0 } else { single.or_else(at).unwrap_or_default() }
    }

    fn fits(&self, files: usize) -> Result<(), ArchiveError> {
        let (given, between) = (self.counts.len(), files.saturating_sub(1));
        if given == 1 || given == between {
            Ok(())
        } else {
            Err(ArchiveError::Work { given, between })
        }
    }
}

/// The sidecar beside a snapshot, if there is one.
#[must_use]
pub fn sidecar(snapshot: &Path) -> Option<Sidecar> {
    let name = snapshot.file_name()?.to_str()?;
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending))?;
    let text = fs::read(snapshot.with_file_name(format!("{stem}.json"))).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Forms that name and count differently make no series: what one calls growth the other does
/// not know.
fn same_form<'a>(
    first: &mut Option<(&'a Path, Form)>,
    path: &'a Path,
    folded: &Folded,
) -> Result<(), ArchiveError> {
    let Some(form) = folded.form else { return Ok(()) };
    let (before, known) = *first.get_or_insert((path, form));
    if form.goes_with(known) {
        return Ok(());
    }
    Err(ArchiveError::Mixed {
        path: path.to_owned(),
        form: form.name(),
        before: before.to_owned(),
        known: known.name(),
    })
}

fn difference(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let done = |name: &String| before.get(name).copied().unwrap_or(0);
    after.iter().map(|(name, count)| (name.clone(), count.saturating_sub(done(name)))).collect()
}
