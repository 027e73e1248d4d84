//! Whole heaps of a target that gives them: one before the measured rounds, one after, compared
//! by class. In: a source, the verdict so far. Out: two files in the run's folder, and the classes
//! that grew, per operation, with who keeps them. Never taken under load: the target answers
//! nothing meanwhile.

use crate::folder::SNAPSHOTS;
use ebbtide_profiler::source::{HEAP_SIZE_MAX, SourceError, Target as Source};
use ebbtide_profiler::v8::{self, Change, Heap};
use ebbtide_record::event::Warning;
use ebbtide_record::verdict::{CLASSES_MAX, ClassGrowth};
use ebbtide_record::{MemoryVerdict, RoundKind, Verdict};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The whole heap before the measured rounds.
pub const FIRST: &str = "first.heapsnapshot";
/// The whole heap after them.
pub const LAST: &str = "last.heapsnapshot";

/// Less than this share of an instance per operation is no growth worth a word.
const SHARE_MIN: f64 = 0.01;
/// Steps of a way from the root that are kept: its end is what the reader knows.
const STEPS_MAX: usize = 12;
/// Characters of a step: a name may be a text of any length.
const STEP_MAX: usize = 120;

/// Takes one of the two heaps. False where the source has none to give.
///
/// # Errors
///
/// Why it could not be had, or that the heap is too large to be stopped for unasked.
pub async fn take(source: &Source, folder: &Path, name: &str) -> Result<bool, Warning> {
    if !source.is_node() {
        return Ok(false);
    }
    match source.whole_heap(&folder.join(name), HEAP_SIZE_MAX).await {
        Ok(Some(_)) => Ok(true),
        Ok(None) => Err(Warning {
            code: "whole_heap".to_owned(),
            message: format!(
                "the heap has more than {} MiB, so it was not taken whole: classes and who keeps \
                 them are not told",
                HEAP_SIZE_MAX >> 20
            ),
            advice: "take it when the server may stand still: `ebb dump PID`, twice, then `ebb \
                     diff`"
                .to_owned(),
        }),
        Err(error) => Err(missing(&error)),
    }
}

fn missing(error: &SourceError) -> Warning {
    Warning {
        code: "whole_heap".to_owned(),
        message: format!("the whole heap could not be had: {error}"),
        advice: "sites are told all the same; classes and who keeps them are not".to_owned(),
    }
}

/// Compares the two heaps of a run's folder, off the async threads. Nothing when they are not
/// both there.
pub async fn compare(run: &Path, verdict: &MemoryVerdict) -> Result<Vec<ClassGrowth>, Warning> {
    let (folder, verdict) = (run.join(SNAPSHOTS), verdict.clone());
    let work = tokio::task::spawn_blocking(move || compare_here(&folder, &verdict));
    match work.await {
        Ok(classes) => classes,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The same on this thread, in a folder of snapshots.
///
/// # Errors
///
/// When one of them cannot be read.
pub fn compare_here(folder: &Path, verdict: &MemoryVerdict) -> Result<Vec<ClassGrowth>, Warning> {
    let (first, last) = (folder.join(FIRST), folder.join(LAST));
    if !first.exists() || !last.exists() {
        return Ok(Vec::new());
    }
    let changes = v8::compare(&read(&first)?, &read(&last)?);
    let (operation, count) = work(verdict);
    let mut classes: Vec<ClassGrowth> = changes
        .into_iter()
        .filter(|change| !change.is_engine())
        .map(|change| growth(change, &operation, count))
        .filter(|class| class.per_op >= SHARE_MIN)
        .collect();
    classes.sort_by(|a, b| {
        let rank = |class: &ClassGrowth| (!is_named(&class.class), -class.kept_bytes);
        rank(a).cmp(&rank(b))
    });
    classes.truncate(CLASSES_MAX);
    Ok(classes)
}

fn read(path: &PathBuf) -> Result<Heap, Warning> {
    let unreadable = |reason: String| Warning {
        code: "whole_heap".to_owned(),
        message: format!("`{}`: {reason}", path.display()),
        advice: "sites are told all the same; classes and who keeps them are not".to_owned(),
    };
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    Heap::read(file).map_err(|error| unreadable(error.to_string()))
}

/// Classes of a program, before those that only V8 has names for.
fn is_named(class: &str) -> bool {
    !class.starts_with('(') && !class.starts_with("system /") && class != "Object"
}

fn growth(change: Change, operation: &str, count: f64) -> ClassGrowth {
    let shortest = change
        .held_by
        .iter()
        .min_by_key(|way| (v8::is_of_engine(way), way.len()))
        .map_or(&[][..], Vec::as_slice);
    // Entries of a table have no name of their own, and the root says nothing.
    let told = shortest.iter().filter(|step| !step.holder.is_empty());
    let held_by: Vec<String> = told.map(|step| short(&step.to_string())).collect();
    let skipped = held_by.len().saturating_sub(STEPS_MAX);
    ClassGrowth {
        per_op: change.delta() as f64 / count,
        operation: operation.to_owned(),
        new: change.new,
        deleted: change.deleted,
        instances: change.count,
        own_bytes: change.size_delta,
        kept_bytes: change.retained_delta,
        held_by: held_by[skipped..].to_vec(),
        class: short(&change.name),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(STEP_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The operation that growth is told per, and how often it was done in the measured rounds: that
/// of the worst site, or the most frequent one.
fn work(verdict: &MemoryVerdict) -> (String, f64) {
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    for round in verdict.rounds.iter().filter(|round| round.phase != RoundKind::Warmup) {
        for (name, count) in &round.operations {
            *done.entry(name).or_default() += count;
        }
    }
    let grows = |word: Verdict| matches!(word, Verdict::Leaking | Verdict::Growing);
    let named = verdict.sites.first().filter(|site| grows(site.verdict));
    let named = named.map(|site| site.growth_per_op.operation.as_str()).unwrap_or_default();
    let members: Vec<u64> =
        named.split(" + ").filter_map(|name| done.get(name).copied()).filter(|n| *n > 0).collect();
    if let (Some(least), Some(most)) = (members.iter().min(), members.iter().max()) {
        // Those that always come together are one operation, all others add up.
        let together = most - least <= most / 100;
        let count = if together { *most } else { members.iter().sum() };
        return (named.to_owned(), count as f64);
    }
    let most = done.into_iter().max_by_key(|(_, count)| *count);
    most.map_or((String::new(), 1.0), |(name, count)| (name.to_owned(), count.max(1) as f64))
}
