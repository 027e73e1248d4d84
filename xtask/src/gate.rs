//! `cargo xtask test`, `ci` and `bless`: every check the project has, what fails quickly first.
//!
//! Comes in: the tree. Goes out: the steps' own words as they come, a table of times, the number
//! of tests that passed, and an error at the first step that fails. The steps themselves are
//! cargo's, cargo-deny's and `tidy`'s.

use crate::{fuzz, paths, process, setup, tidy, truth};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How much a run may change by itself.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Strictness {
    /// Cargo.lock may be brought up to date.
    Local,
    /// Cargo.lock must stand as committed, and nothing is kept for a next build.
    Locked,
}

/// Packages of their own, outside the workspace: services as a user would write them.
const FOREIGN_MANIFESTS: [&str; 2] =
    ["probe/tests/foreign/Cargo.toml", "cli/tests/planted/Cargo.toml"];

/// Runs every check; stops at the first that fails.
pub(crate) fn run(strictness: Strictness) -> Result<()> {
    let mut clock = Steps::default();
    let outcome = run_steps(strictness, &mut clock);
    clock.print();
    outcome
}

/// Runs all tests and lets the golden ones write down what they saw; says what changed.
pub(crate) fn bless() -> Result<()> {
    let mut command = cargo(Strictness::Local, &["test", "--workspace"]);
    process::run(command.env("EBBTIDE_BLESS", "1"))?;
    println!("blessed; what changed, to be read before it is committed:");
    process::run(Command::new("git").args(["status", "--short"]).current_dir(paths::root()))
}

/// What needs no compiler comes first, what needs it most comes last.
fn run_steps(strictness: Strictness, steps: &mut Steps) -> Result<()> {
    steps.step("tidy", tidy::run)?;
    steps.step("format", || process::run(&mut cargo(strictness, &["fmt", "--all", "--check"])))?;
    steps.step("setup", || setup::install(setup::Purpose::Test))?;
    steps.step("deny", || deny(strictness))?;
    steps.step("clippy", || {
        let words = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        process::run(&mut cargo(strictness, &words))
    })?;
    steps.step("docs", || {
        let mut command = cargo(strictness, &["doc", "--workspace", "--no-deps", "--quiet"]);
        process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.step("foreign", || {
        FOREIGN_MANIFESTS.into_iter().try_for_each(|manifest| foreign(strictness, manifest))
    })?;
    let mut tally = Tally::default();
    let tested = steps.step("tests", || test_and_count(strictness, &mut tally));
    steps.tests = Some(tally);
    tested?;
    // Else by hand: the readers are built a second time for it. Mutants are in the tests too.
    if strictness == Strictness::Locked {
        steps.step("fuzz", fuzz::ci)?;
    }
    steps.step("truth", || truth::ci(strictness == Strictness::Locked))
}

/// Cargo at the root, with `--locked` where asked.
fn cargo(strictness: Strictness, words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(paths::root());
    let (name, rest) = words.split_first().expect("a cargo command has a name");
    command.arg(name);
    if strictness == Strictness::Locked {
        command.env("CARGO_INCREMENTAL", "0");
        if *name != "fmt" {
            command.arg("--locked");
        }
    }
    command.args(rest);
    command
}

/// Licences, bans and sources. Advisories need a database from the network and are left out.
fn deny(strictness: Strictness) -> Result<()> {
    let program = paths::find_program("cargo-deny").context("cargo-deny; `cargo xtask setup`")?;
    let mut command = Command::new(program);
    command.current_dir(paths::root()).args(["--log-level", "error"]);
    if strictness == Strictness::Locked {
        command.arg("--locked");
    }
    process::run(command.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
}

/// A foreign package is built by itself, in a build folder of its own, so that nothing of the
/// workspace's features or profiles can help it along. Tests run it from there.
fn foreign(strictness: Strictness, manifest: &str) -> Result<()> {
    let manifest = ["--manifest-path", manifest];
    process::run(cargo(strictness, &["fmt", "--check"]).args(manifest))?;
    let mut command = cargo(strictness, &["build", "--quiet"]);
    command.args(manifest).env("CARGO_TARGET_DIR", paths::build_folder().join("foreign"));
    process::run(&mut command)
}

/// All tests, their output passed on line by line, so that it can be counted on the way.
fn test_and_count(strictness: Strictness, tally: &mut Tally) -> Result<()> {
    let mut command = cargo(strictness, &["test", "--workspace", "--no-fail-fast"]);
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo test")?;
    let output = child.stdout.take().expect("stdout was asked to be piped");
    for line in BufReader::new(output).lines() {
        let line = line.context("the output of cargo test")?;
        println!("{line}");
        tally.read(&line);
    }
    let status = child.wait().context("cargo test")?;
    if !status.success() {
        bail!("`cargo test --workspace` failed ({status})");
    }
    if tally.passed == 0 {
        bail!("`cargo test --workspace` ran no test at all");
    }
    Ok(())
}

/// Sums of the lines `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Adds a line of cargo test's output, if it is one of those.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result:") else { return };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(count) = count.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

/// The steps done so far, each with its time and whether it went well.
#[derive(Default)]
struct Steps {
    done: Vec<(&'static str, Duration, bool)>,
    tests: Option<Tally>,
}

impl Steps {
    /// Runs a step under its name and keeps its time.
    fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("== {name}");
        let started = Instant::now();
        let outcome = run().with_context(|| format!("step `{name}`"));
        self.done.push((name, started.elapsed(), outcome.is_ok()));
        outcome
    }

    /// The table of times, and the tests at the end.
    fn print(&self) {
        println!();
        for (name, took, well) in &self.done {
            let word = if *well { "ok" } else { "FAILED" };
            println!("{name:<8} {:>7.1} s  {word}", took.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, took, _)| *took).sum();
        println!("{:<8} {:>7.1} s", "total", total.as_secs_f64());
        if let Some(Tally { passed, failed, ignored }) = self.tests {
            println!("tests: {passed} passed; {failed} failed; {ignored} ignored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_the_test_binaries() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out",
            "test a::b ... ok",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 7, failed: 2, ignored: 1 });
    }

    #[test]
    fn a_failed_step_is_named_and_still_timed() {
        let mut steps = Steps::default();
        let error = steps.step("deny", || bail!("no")).expect_err("the step fails");
        assert_eq!(format!("{error:#}"), "step `deny`: no");
        assert!(matches!(steps.done.as_slice(), [("deny", _, false)]));
    }
}
