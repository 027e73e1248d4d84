//! `cargo xtask truth`: programs whose truth is known, run again and again, and the tables of what
//! was said about them.
//!
//! Comes in: tables of scenarios (`cell`), the runs made so far (`ledger`). Goes out: a line for
//! each run as it ends, and the tables in `docs/truth.md` (`paper`). What is right is told by
//! `expect`, a run is made by `drive`, and `lanes` makes several at a time.

mod cell;
mod drive;
mod expect;
mod lanes;
mod ledger;
mod paper;

use crate::{paths, process};
use anyhow::{Context, Result, bail};
use cell::{CI, Cell, TABLES};
use drive::Workshop;
use ledger::{Line, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// More runs at a time would measure each other more than their targets.
const JOBS_MAX: usize = 2;

/// What the command is told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Settings {
    tables: Vec<String>,
    runs: Option<u32>,
    jobs: Option<usize>,
    only: Option<String>,
    resume: bool,
    any_revision: bool,
    list: bool,
    render: bool,
    ci: bool,
    no_build: bool,
    trial: bool,
    whole: bool,
}

impl Settings {
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("`{word}` wants a value"));
            match *word {
                "--resume" => settings.resume = true,
                "--any-revision" => (settings.resume, settings.any_revision) = (true, true),
                "--list" => settings.list = true,
                "--render" => settings.render = true,
                "--ci" => settings.ci = true,
                "--no-build" => settings.no_build = true,
                "--trial" => settings.trial = true,
                "--runs" => settings.runs = Some(value()?.parse().context("`--runs`")?),
                "--jobs" => settings.jobs = Some(value()?.parse().context("`--jobs`")?),
                "--only" => settings.only = Some((*value()?).to_owned()),
                table if TABLES.iter().any(|(name, _)| *name == table) => {
                    settings.tables.push(table.to_owned());
                }
                other => bail!(
                    "`{other}`: a table ({}), --resume, --any-revision, --runs N, --jobs N, \
                     --only CELL, --list, --render, --trial, --no-build or --ci",
                    TABLES.map(|(name, _)| name).join(", ")
                ),
            }
        }
        if settings.ci {
            settings.tables = vec![CI.to_owned()];
        }
        Ok(settings)
    }

    /// All tables but that of build machines, unless some are named.
    fn wants(&self, table: &str) -> bool {
        let named = |name: &String| name == table;
        if self.tables.is_empty() { table != CI } else { self.tables.iter().any(named) }
    }
}

/// One run that is to be made.
#[derive(Clone, Debug)]
struct Job {
    cell: Cell,
    run: u32,
}

/// Makes the runs that are wanted, and renders the tables.
///
/// # Errors
/// When settings or scenarios are faulty, something cannot be built, or, with `--ci`, a run was
/// not right.
pub(crate) fn truth(words: &[&str]) -> Result<()> {
    make(&Settings::read(words)?)
}

/// The runs of a build machine. `whole`: nothing is kept for a next build.
///
/// # Errors
/// When a run was not right, too.
pub(crate) fn ci(whole: bool) -> Result<()> {
    make(&Settings { whole, ..Settings::read(&["--ci"])? })
}

fn make(settings: &Settings) -> Result<()> {
    let root = paths::root();
    let mut cells = Vec::new();
    for (name, folder) in TABLES.into_iter().filter(|(name, _)| settings.wants(name)) {
        cells.extend(cell::table(&root, name, folder)?);
    }
    if let Some(only) = &settings.only {
        cells.retain(|cell| cell.name.contains(only.as_str()));
    }
    let revision = ledger::revision(&root)?;
    let records = match settings.trial {
        true => paths::build_folder().join("truth").join("trial"),
        false => root.join("docs"),
    };
    if settings.list {
        return list(&records, &cells);
    }
    if !settings.render {
        let jobs = jobs(&records, &cells, settings, &revision)?;
        let shop = workshop(&cells, settings, revision)?;
        let lines = lanes::make(&shop, &jobs, |line| match settings.ci {
            true => Ok(()),
            false => ledger::append(&ledger::path(&records, &line.table), line),
        })?;
        if settings.ci {
            return verdict_of_ci(&lines);
        }
    }
    paper::write(&root, &records)
}

/// The runs that are still to be made, cell after cell, so that a table grows evenly.
fn jobs(records: &Path, cells: &[Cell], settings: &Settings, revision: &str) -> Result<Vec<Job>> {
    let mut done = BTreeSet::new();
    if settings.resume {
        for table in cells.iter().map(|cell| &cell.table).collect::<BTreeSet<_>>() {
            for line in ledger::read(&ledger::path(records, table))? {
                let known = settings.any_revision || line.revision == revision;
                if known && line.outcome != Outcome::Failed {
                    done.insert((line.table, line.cell, line.run));
                }
            }
        }
    }
    let mut jobs = Vec::new();
    for (table, _) in TABLES {
        let of_table: Vec<&Cell> = cells.iter().filter(|cell| cell.table == table).collect();
        let runs = |cell: &Cell| settings.runs.unwrap_or(cell.runs);
        let most = of_table.iter().map(|cell| runs(cell)).max().unwrap_or(0);
        for run in 1..=most {
            for cell in of_table.iter().filter(|cell| run <= runs(cell)) {
                if !done.contains(&(cell.table.clone(), cell.name.clone(), run)) {
                    jobs.push(Job { cell: (*cell).clone(), run });
                }
            }
        }
    }
    Ok(jobs)
}

/// Where things are, once what the cells need is built.
fn workshop(cells: &[Cell], settings: &Settings, revision: String) -> Result<Workshop> {
    let profile = if settings.ci { "debug" } else { "release" };
    let target = paths::build_folder();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = settings.jobs.unwrap_or(1).clamp(1, JOBS_MAX.min(cores));
    let shop = Workshop {
        ebb: target.join(profile).join("ebb"),
        bin: target.join("foreign").join(profile),
        built: target.join("truth").join("built"),
        runs: target.join("truth").join("runs"),
        revision,
        loaded: u32::try_from(jobs - 1).unwrap_or(0),
    };
    std::fs::create_dir_all(&shop.built).with_context(|| shop.built.display().to_string())?;
    if settings.no_build {
        return Ok(shop);
    }
    println!("building ebb and the planted programs ({profile})");
    build(cells, &shop, settings)?;
    Ok(shop)
}

/// Builds `ebb`, the packages and whatever else the cells ask for.
fn build(cells: &[Cell], shop: &Workshop, settings: &Settings) -> Result<()> {
    let target = paths::build_folder();
    let cargo = |words: &[&str]| {
        let mut command = Command::new("cargo");
        command.arg("build").args(words).args(["--quiet", "--locked"]);
        if !settings.ci {
            command.arg("--release");
        }
        if settings.whole {
            command.env("CARGO_INCREMENTAL", "0");
        }
        command.current_dir(paths::root());
        command
    };
    process::run(&mut cargo(&["--package", "ebbtide"]))?;
    let packages: BTreeSet<PathBuf> = cells
        .iter()
        .flat_map(|cell| cell.packages.iter())
        .map(|folder| folder.canonicalize().with_context(|| folder.display().to_string()))
        .collect::<Result<_>>()?;
    for package in packages {
        let mut command = cargo(&[]);
        command.arg("--manifest-path").arg(package.join("Cargo.toml"));
        // Apart from the workspace, and with other foreign programs, which need the same crates.
        process::run(command.env("CARGO_TARGET_DIR", target.join("foreign")))?;
    }
    let builds: BTreeSet<(&PathBuf, &String)> = cells
        .iter()
        .flat_map(|cell| cell.builds.iter().map(move |words| (&cell.folder, words)))
        .collect();
    for (folder, words) in builds {
        let words = shop.filled(words);
        let mut words = words.split_whitespace();
        let program = words.next().context("`# build:` says nothing")?;
        process::run(Command::new(program).args(words).current_dir(folder))?;
    }
    Ok(())
}

/// What there is: tables, cells, runs wanted, and runs made.
fn list(records: &Path, cells: &[Cell]) -> Result<()> {
    let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (table, _) in TABLES {
        for line in ledger::read(&ledger::path(records, table))? {
            *made.entry((line.table, line.cell)).or_default() += 1;
        }
    }
    println!("{:<8} {:<28} {:<8} {:>5} {:>5}", "table", "cell", "truth", "runs", "made");
    for cell in cells {
        let made = made.get(&(cell.table.clone(), cell.name.clone())).copied().unwrap_or(0);
        let word = format!("{:?}", cell.expect.word).to_lowercase();
        println!("{:<8} {:<28} {word:<8} {:>5} {made:>5}", cell.table, cell.name, cell.runs);
    }
    Ok(())
}

/// A build machine wants every run right.
fn verdict_of_ci(lines: &[Line]) -> Result<()> {
    let not_right: Vec<String> = lines
        .iter()
        .filter(|line| line.outcome != Outcome::Right)
        .map(|line| format!("{} #{}: {}", line.cell, line.run, line.why))
        .collect();
    if lines.is_empty() {
        bail!("no run was made");
    }
    if !not_right.is_empty() {
        bail!(
            "{} of {} runs were not right: {}",
            not_right.len(),
            lines.len(),
            not_right.join("; ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        let settings = Settings::read(&["mix", "--resume", "--runs", "3"]).expect("settings");
        assert!(settings.resume && settings.wants("mix") && !settings.wants("go"));
        assert_eq!(settings.runs, Some(3));
        let all = Settings::read(&[]).expect("settings");
        assert!(all.wants("mix") && !all.wants(CI));
        for (words, fault) in [
            (&["mixed"][..], "a table (fifty"),
            (&["--runs"], "wants a value"),
            (&["--jobs", "x"], "--jobs"),
        ] {
            let error = format!("{:#}", Settings::read(words).expect_err("a fault"));
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn what_was_run_with_the_same_sources_is_left_out_unless_it_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let cells = root.join("cells");
        std::fs::create_dir_all(&cells).expect("a folder");
        std::fs::write(cells.join("a.toml"), "# expect: clean\n# runs: 4\n").expect("a cell");
        let cells = cell::table(root, "mix", "cells").expect("cells");
        for (run, revision, outcome) in
            [(1, "new", Outcome::Right), (2, "new", Outcome::Failed), (3, "old", Outcome::Wrong)]
        {
            let (table, cell, revision) = ("mix".to_owned(), "a".to_owned(), revision.to_owned());
            let line = Line { table, cell, run, revision, outcome, ..Line::default() };
            ledger::append(&ledger::path(root, "mix"), &line).expect("a line");
        }
        for (words, expected) in [
            (&[][..], vec![1, 2, 3, 4]),
            (&["--resume"], vec![2, 3, 4]),
            (&["--any-revision"], vec![2, 4]),
            (&["--any-revision", "--runs", "2"], vec![2]),
        ] {
            let settings = Settings::read(words).expect("settings");
            let jobs = jobs(root, &cells, &settings, "new").expect("jobs");
            assert_eq!(jobs.iter().map(|job| job.run).collect::<Vec<_>>(), expected, "{words:?}");
        }
    }
}
