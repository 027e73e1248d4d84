//! One run of one cell: the program is started and loaded by `ebb run`, as a user would do it.
//!
//! Comes in: a cell, the number of the run, what was built. Goes out: the run's line, whatever its
//! end. The folder of a run that was not right is kept; who makes which run is left to `lanes`.

use super::cell::Cell;
use super::expect::{sites, text};
use super::ledger::{Growth, Line, Outcome, SCHEMA};
use crate::paths;
use anyhow::{Context, Result};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A run that takes longer hangs: the longest plan of the tables takes three minutes.
const RUN_WITHIN: Duration = Duration::from_secs(600);
/// How often a run is asked whether it has ended.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Exit codes of `ebb run` that are a verdict: clean, undecided, leak found.
const VERDICTS: [i64; 3] = [0, 96, 98];
/// What `ebb run` ends with when it was interrupted.
const INTERRUPTED: i64 = 130;

/// What all runs have in common.
#[derive(Clone, Debug)]
pub(super) struct Workshop {
    /// The program under test.
    pub(super) ebb: PathBuf,
    /// Where the programs of Cargo packages are.
    pub(super) bin: PathBuf,
    /// Where other commands put what they build.
    pub(super) built: PathBuf,
    /// Where runs are made, and kept when they are not right.
    pub(super) runs: PathBuf,
    /// The sources.
    pub(super) revision: String,
    /// Runs beside this one.
    pub(super) loaded: u32,
}

impl Workshop {
    /// A text with the places of what was built filled in.
    pub(super) fn filled(&self, text: &str) -> String {
        text.replace("${bin}", &self.bin.display().to_string())
            .replace("${built}", &self.built.display().to_string())
    }
}

/// Makes a run, on these cores alone where they are given. `None` when it was interrupted.
///
/// # Errors
/// When there is no room for the run; what fails in the run itself is its outcome.
pub(super) fn run(
    shop: &Workshop,
    cell: &Cell,
    run: u32,
    cores: Option<&str>,
) -> Result<Option<Line>> {
    let seed = seed_of(cell, run);
    let folder = shop.runs.join(&cell.table).join(format!("{}-{run}", cell.name));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let scenario = folder.join("cell.toml");
    let text = shop.filled(&cell.text).replace("${seed}", &seed.to_string());
    std::fs::write(&scenario, text).with_context(|| scenario.display().to_string())?;
    let mut line = Line {
        schema: SCHEMA.to_owned(),
        table: cell.table.clone(),
        cell: cell.name.clone(),
        run,
        seed,
        revision: shop.revision.clone(),
        at_unix_ms: unix_ms(),
        truth: cell.expect.bytes,
        interval: cell.interval(),
        loaded: shop.loaded,
        ..Line::default()
    };
    let started = Instant::now();
    let status = command(shop, cell, &folder, &scenario, (seed, cores))
        .and_then(|mut command| ended(&mut command));
    line.seconds = (started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    match status {
        Ok(Some(status)) => line.exit = Some(status.code().map_or(-1, i64::from)),
        Ok(None) => line.why = format!("no end within {} s", RUN_WITHIN.as_secs()),
        Err(error) => line.why = format!("{error:#}"),
    }
    if line.exit == Some(INTERRUPTED) {
        return Ok(None);
    }
    if let Some(exit) = line.exit {
        judge(&mut line, cell, &folder, exit);
    }
    if line.outcome == Outcome::Right {
        // What cannot be removed is in the way of nobody.
        drop(std::fs::remove_dir_all(&folder));
    }
    Ok(Some(line))
}

/// Another number for each run, the same on every machine (FNV-1a).
fn seed_of(cell: &Cell, run: u32) -> u64 {
    let name = format!("{}/{}/{run}", cell.table, cell.name);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // JSON's readers keep 53 bits.
    hash >> 12
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn command(
    shop: &Workshop,
    cell: &Cell,
    folder: &Path,
    scenario: &Path,
    (seed, cores): (u64, Option<&str>),
) -> Result<Command> {
    // Should this command be killed, the run is interrupted, and stops its target.
    let mut words = Vec::new();
    if paths::find_program("setpriv").is_some() {
        words.extend(["setpriv", "--pdeathsig", "INT"]);
    }
    if let Some(cores) = cores {
        words.extend(["taskset", "--cpu-list", cores]);
    }
    let ebb = shop.ebb.as_os_str();
    let mut words = words.into_iter().map(OsStr::new).chain([ebb]);
    let mut command = Command::new(words.next().unwrap_or(ebb));
    command.args(words);
    let open = |name: &str| File::create(folder.join(name)).with_context(|| name.to_owned());
    command
        .args(["run", "--json", "--no-tui", "--threads", "1", "--seed"])
        .arg(seed.to_string())
        .arg("--out")
        .arg(folder.join("run"))
        .arg(scenario)
        .current_dir(&cell.folder)
        .stdin(Stdio::null())
        .stdout(open("summary.json")?)
        .stderr(open("said.txt")?);
    Ok(command)
}

/// Waits for the end; `None` when it was not in time.
fn ended(command: &mut Command) -> Result<Option<ExitStatus>> {
    let mut child = command.spawn().context("`ebb run` could not be started")?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("`ebb run`")? {
            return Ok(Some(status));
        }
        if started.elapsed() > RUN_WITHIN {
            child.kill().context("`ebb run`")?;
            child.wait().context("`ebb run`")?;
            return Ok(None);
        }
        thread::sleep(ASK_EVERY);
    }
}

/// Reads what the run left, and holds it against the truth.
fn judge(line: &mut Line, cell: &Cell, folder: &Path, exit: i64) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let summary: Value = serde_json::from_str(&read("summary.json")).unwrap_or_default();
    let memory = &summary["ebbtide"]["memory"];
    line.word = text(memory, "verdict").to_owned();
    if !VERDICTS.contains(&exit) || line.word.is_empty() {
        let said = read("said.txt");
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        line.why = format!("exit code {exit}: {last}");
        return;
    }
    if let Some(site) = sites(memory).next() {
        describe(line, site);
    }
    line.strays = cell.expect.strays(memory);
    let names = cell.operation().map_or_else(|| line.operation.clone(), str::to_owned);
    line.rounds = measured(memory).count() as u64;
    line.operations = operations(memory, &names);
    line.first = first(&read("run/events.ndjson"), &line.word, &names);
    let misfit = cell.expect.misfit(memory, exit, line.seconds);
    line.outcome = if misfit.is_none() { Outcome::Right } else { Outcome::Wrong };
    line.why = misfit.unwrap_or_default();
}

fn describe(line: &mut Line, site: &Value) {
    line.function = text(site, "function").to_owned();
    line.file = text(site, "file").to_owned();
    line.kind = text(site, "kind").to_owned();
    line.line = site["line"].as_u64().unwrap_or(0);
    let growth = &site["growth_per_op"];
    line.operation = text(growth, "operation").to_owned();
    let number = |key: &str| growth[key].as_f64().map(|value| (value * 100.0).round() / 100.0);
    if let (Some(value), Some(low), Some(high)) = (number("value"), number("low"), number("high")) {
        line.growth = Some(Growth { value, low, high });
    }
}

/// The rounds of work of a verdict: neither warm-up nor the rest at the end.
fn measured(memory: &Value) -> impl Iterator<Item = &Value> {
    let rounds = memory["rounds"].as_array().into_iter().flatten();
    rounds.filter(|round| !["warmup", "rest"].contains(&text(round, "phase")))
}

/// Operations of these names (`a + b`; of alternatives `a|b` all) in the measured rounds.
fn operations(memory: &Value, names: &str) -> Option<u64> {
    let mut names: Vec<&str> = names.split(['|', '+']).map(str::trim).collect();
    names.sort_unstable();
    names.dedup();
    let counts: Vec<u64> = measured(memory)
        .flat_map(|round| names.iter().filter_map(|name| round["operations"][*name].as_u64()))
        .collect();
    (!counts.is_empty()).then(|| counts.iter().sum())
}

/// Operations until the run was first called by its last word, and called by it ever after.
fn first(events: &str, word: &str, names: &str) -> Option<u64> {
    let verdicts = events.lines().rev().filter(|line| line.contains("\"type\":\"verdict\""));
    let mut first = None;
    for line in verdicts {
        let event: Value = serde_json::from_str(line).ok()?;
        if text(&event, "verdict") != word {
            break;
        }
        first = operations(&event, names);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(word: &str, rounds: usize) -> Value {
        let round = |phase: &str| json!({ "phase": phase, "operations": { "a": 10, "b": 1 } });
        let work = (0..rounds).map(|_| round("new"));
        let rounds: Vec<Value> =
            std::iter::once(round("warmup")).chain(work).chain([round("rest")]).collect();
        json!({ "type": "verdict", "verdict": word, "rounds": rounds })
    }

    #[test]
    fn operations_are_those_of_measured_rounds_and_of_the_names() {
        let memory = verdict("leaking", 3);
        assert_eq!(measured(&memory).count(), 3, "neither the warm-up nor the rest");
        for (names, count) in
            [("a", Some(30)), ("a + b", Some(33)), ("b + a|a + b", Some(33)), ("c", None)]
        {
            assert_eq!(operations(&memory, names), count, "{names}");
        }
    }

    #[test]
    fn the_first_word_is_the_first_that_stayed() {
        let events: Vec<String> = [("leaking", 3), ("growing", 4), ("leaking", 5), ("leaking", 8)]
            .map(|(word, rounds)| verdict(word, rounds).to_string())
            .into();
        assert_eq!(first(&events.join("\n"), "leaking", "a"), Some(50));
        assert_eq!(first(&events.join("\n"), "steady", "a"), None);
    }
}
