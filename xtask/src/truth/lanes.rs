//! Several runs at a time, each lane on cores of its own.
//!
//! Comes in: the runs to make, in order. Goes out: their lines, each handed on as it ends, and a
//! line of progress. The first that cannot be written down, or an interrupt, ends all lanes after
//! the runs that are under way.

use super::Job;
use super::drive::{self, Workshop};
use super::ledger::{Line, Outcome};
use anyhow::Result;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the lanes share.
struct Ledger<'a> {
    waiting: VecDeque<&'a Job>,
    lines: Vec<Line>,
    error: Option<anyhow::Error>,
}

/// Makes all runs; `keep` gets each line as its run ends.
///
/// # Errors
/// When there is no room for a run, or `keep` fails.
pub(super) fn make(
    shop: &Workshop,
    jobs: &[Job],
    keep: impl Fn(&Line) -> Result<()> + Sync,
) -> Result<Vec<Line>> {
    let waiting = jobs.iter().collect();
    let ledger = Mutex::new(Ledger { waiting, lines: Vec::new(), error: None });
    let lanes = shop.loaded as usize + 1;
    let started = Instant::now();
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (ledger, keep) = (&ledger, &keep);
            let cores = cores(lane, lanes);
            scope.spawn(move || {
                while let Some(job) = next(ledger) {
                    let made = drive::run(shop, &job.cell, job.run, cores.as_deref());
                    let mut ledger = locked(ledger);
                    let kept = match made {
                        Ok(Some(line)) => keep(&line).map(|()| ledger.lines.push(line)),
                        Ok(None) => Err(anyhow::anyhow!("interrupted; `--resume` goes on")),
                        Err(error) => Err(error),
                    };
                    match kept {
                        Ok(()) => report(&ledger.lines, jobs.len(), started),
                        Err(error) => {
                            ledger.error.get_or_insert(error);
                            ledger.waiting.clear();
                        }
                    }
                }
            });
        }
    });
    let ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
    ledger.error.map_or(Ok(ledger.lines), Err)
}

fn locked<'a, 'b>(ledger: &'b Mutex<Ledger<'a>>) -> MutexGuard<'b, Ledger<'a>> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next<'a>(ledger: &Mutex<Ledger<'a>>) -> Option<&'a Job> {
    locked(ledger).waiting.pop_front()
}

/// The share of the cores that a lane has, as `taskset` reads it; none for a single lane.
fn cores(lane: usize, lanes: usize) -> Option<String> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let share = all / lanes;
    if lanes == 1 || share == 0 || crate::paths::find_program("taskset").is_none() {
        return None;
    }
    Some(format!("{}-{}", lane * share, (lane + 1) * share - 1))
}

/// Says how the last run ended, and how long the others will take.
fn report(lines: &[Line], total: usize, started: Instant) {
    let Some(line) = lines.last() else { return };
    let outcome = match line.outcome {
        Outcome::Right => "right",
        Outcome::Wrong => "WRONG",
        Outcome::Failed => "failed",
    };
    let left = started.elapsed().as_secs_f64() / lines.len() as f64 * (total - lines.len()) as f64;
    let why = if line.why.is_empty() { String::new() } else { format!(": {}", line.why) };
    println!(
        "[{:>3}/{total}] {} {} #{}: {outcome}, {} after {} rounds, {:.0} s{why} ({:.0} min left)",
        lines.len(),
        line.table,
        line.cell,
        line.run,
        line.word,
        line.rounds,
        line.seconds,
        left / 60.0
    );
}
