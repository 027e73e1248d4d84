//! `cargo xtask bench load`: `ebb load` beside its peers, one core for the generator and one for
//! a trivial target, in alternating pairs of random order.
//!
//! Comes in: settings. Goes out: a table on stdout and in `docs/benchmarks.md`. The target is a
//! process of its own (`target`), the peers are told apart in `peers`, the pairs are run in
//! `compare`, the paper is written by `paper`.

mod peers;

pub(crate) mod target;

mod compare;
mod numbers;
mod paper;

pub(crate) mod cluster;
pub(crate) mod dump;
pub(crate) mod h2;
pub(crate) mod heap;
pub(crate) mod probe;
pub(crate) mod rest;
pub(crate) mod server;
pub(crate) mod socketio;
pub(crate) mod ws;

use crate::{paths, process, setup};
use anyhow::{Context, Result, bail};
use peers::{PEERS, Peer};
use std::path::PathBuf;
use std::process::Command;

/// What a bench is told by its user.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Settings {
    /// Pairs that count, for each peer.
    pairs: u32,
    /// Length of a run, seconds.
    seconds: u64,
    /// Of the coin that draws the order.
    seed: u64,
    /// Whom to compare with.
    peers: Vec<Peer>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { pairs: 9, seconds: 4, seed: 1, peers: PEERS.to_vec() }
    }
}

impl Settings {
    /// From the words after `bench load`: pairs of a name and a value.
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings::default();
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair[0]) };
            let number = || value.parse::<u64>().with_context(|| format!("`{name} {value}`"));
            match *name {
                "--pairs" => settings.pairs = u32::try_from(number()?.max(1)).unwrap_or(u32::MAX),
                "--seconds" => settings.seconds = number()?.max(1),
                "--seed" => settings.seed = number()?,
                "--only" => {
                    settings.peers.retain(|peer| peer.name() == *value);
                    if settings.peers.is_empty() {
                        bail!("`--only {value}`: one of {}", PEERS.map(Peer::name).join(", "));
                    }
                }
                _ => bail!("unknown setting `{name}`; --pairs, --seconds, --seed, --only"),
            }
        }
        Ok(settings)
    }
}

/// Runs the comparison, prints its table and writes it down.
///
/// # Errors
/// When a peer is missing and cannot be installed, the machine has fewer than two cores, or a
/// generator fails.
pub(crate) fn load(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words)?;
    setup::install(setup::Purpose::Bench)?;
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("two cores are needed: one for the generator, one for the target");
    }
    println!("building ebb and the target, optimized");
    let words = ["build", "--release", "--quiet", "--package", "ebbtide", "--package", "xtask"];
    process::run(Command::new("cargo").args(words).current_dir(paths::root()))?;
    let mut comparisons = Vec::new();
    for peer in &settings.peers {
        comparisons.push(compare::run((Peer::Ebb, *peer), &settings)?);
        if *peer == Peer::Wrk {
            comparisons.push(compare::run((Peer::Checked, *peer), &settings)?);
        }
    }
    let section = paper::section(&settings, &comparisons)?;
    if settings.peers.len() < PEERS.len() {
        // A part of the table does not take the place of the whole.
        println!("{section}");
        return Ok(());
    }
    write_down(&section)
}

/// Prints the section of a bench and puts it into `docs/benchmarks.md`.
fn write_down(section: &str) -> Result<()> {
    println!("{section}");
    let file = paths::root().join("docs").join("benchmarks.md");
    let paper = std::fs::read_to_string(&file).unwrap_or_default();
    std::fs::write(&file, paper::put_section(&paper, section))
        .with_context(|| file.display().to_string())?;
    println!("written to docs/benchmarks.md");
    Ok(())
}

/// A folder for what a run leaves behind; gone when dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(name: &str) -> Result<Scratch> {
        let folder = format!("ebbtide-bench-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder stays for the system to sweep.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        let words = ["--pairs", "11", "--only", "wrk", "--seed", "5"];
        let expected =
            Settings { pairs: 11, seed: 5, peers: vec![Peer::Wrk], ..Settings::default() };
        assert_eq!(Settings::read(&words).expect("settings"), expected);
        for (words, fault) in [
            (&["--pairs"][..], "`--pairs` wants a value"),
            (&["--pairs", "many"], "`--pairs many`"),
            (&["--only", "abc"], "one of wrk, oha, autocannon, hey, ab"),
            (&["--speed", "1"], "unknown setting `--speed`"),
        ] {
            let error = format!("{:#}", Settings::read(words).expect_err("a fault"));
            assert!(error.contains(fault), "{error}");
        }
    }
}
