//! `cargo xtask fuzz`: hostile bytes for the readers of heap profiles, for some seconds each.
//!
//! Comes in: the targets of `fuzz/`, and files of real tools that the profiler's tests left as
//! seeds. Goes out: what libFuzzer saw, executions by target, and an error at the first input
//! that makes a reader panic, hang or take much memory. What a reader promises stands in
//! `fuzz/src/lib.rs`.
//!
//! libFuzzer needs LLVM's counters alone, which stable Rust can put in: no cargo-fuzz, no nightly.

use crate::{paths, process};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How long each target runs unless told otherwise, seconds.
const SECONDS: u64 = 60;

/// The same in `cargo xtask ci`: about a minute for all targets.
pub(crate) const SECONDS_CI: u64 = 8;

/// Memory that a target may take, MB: it reads files of some kilobytes.
const MEMORY_MB: u32 = 1_024;

/// Bytes of an input at most: forms repeat themselves long before.
const INPUT_MAX: u32 = 16 << 10;

/// Seconds for one input: readers take milliseconds.
const HANG: u32 = 20;

/// What LLVM adds so that libFuzzer sees where an input leads.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
     -Cllvm-args=-simplifycfg-branch-fold-threshold=0 --cfg fuzzing -Ccodegen-units=4";

/// Reads the words behind `cargo xtask fuzz`, and runs what they ask for.
///
/// # Errors
/// For words that are not understood, and as [`run`].
pub(crate) fn command(words: &[&str]) -> Result<()> {
    let (mut seconds, mut wanted) = (SECONDS, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                let value = words.next().context("--seconds needs a number")?;
                seconds = value.parse().with_context(|| format!("--seconds {value}"))?;
            }
            flag if flag.starts_with('-') => bail!("`{flag}` is unknown; `--seconds N` is not"),
            target => wanted.push(target.to_owned()),
        }
    }
    let all = targets()?;
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("no target `{unknown}`; there are {}", all.join(", "));
    }
    run(if wanted.is_empty() { &all } else { &wanted }, seconds, &[])
}

/// Runs all targets, the lock of the dependencies as it was committed.
///
/// # Errors
/// As [`run`].
pub(crate) fn ci() -> Result<()> {
    run(&targets()?, SECONDS_CI, &["--locked"])
}

/// Runs some targets, one after the other; `flags` are cargo's.
///
/// # Errors
/// When they cannot be built, or an input breaks a promise.
fn run(targets: &[String], seconds: u64, flags: &[&str]) -> Result<()> {
    let folder = paths::build_folder().join("fuzz");
    let programs = build(&folder, flags)?;
    seed()?;
    for target in targets {
        run_one(&programs.join(target), target, &folder, seconds)?;
    }
    Ok(())
}

/// The targets by the names of their files.
fn targets() -> Result<Vec<String>> {
    let folder = paths::root().join("fuzz").join("fuzz_targets");
    let files = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut names: Vec<String> = files
        .filter_map(|file| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds all targets; returns the folder of the programs.
fn build(folder: &Path, flags: &[&str]) -> Result<PathBuf> {
    // With a target named, build scripts and macros are left without counters.
    let host = host()?;
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--release", "--target", &host]).args(flags);
    command.arg("--manifest-path").arg(paths::root().join("fuzz").join("Cargo.toml"));
    command.arg("--target-dir").arg(folder).env("RUSTFLAGS", RUSTFLAGS);
    process::run(command.env("CARGO_INCREMENTAL", "0"))?;
    Ok(folder.join(host).join("release"))
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").stdin(Stdio::null()).output();
    let output = output.context("`rustc -vV`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Where the profiler's tests leave files for fuzzing.
fn seeds() -> PathBuf {
    paths::build_folder().join("tmp").join("fuzz")
}

/// Lets the tests make the seeds, unless they have.
fn seed() -> Result<()> {
    if seeds().is_dir() {
        return Ok(());
    }
    let words = ["test", "--quiet", "-p", "ebbtide-profiler", "--test", "snapshots"];
    process::run(Command::new("cargo").args(words).current_dir(paths::root()))
}

fn run_one(program: &Path, target: &str, folder: &Path, seconds: u64) -> Result<()> {
    println!("fuzz: {target} for {seconds} s");
    let corpus = folder.join("corpus").join(target);
    let found = folder.join("found").join(target);
    let logs = folder.join("logs");
    for folder in [&corpus, &found, &logs] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let log = logs.join(format!("{target}.log"));
    let mut command = Command::new(program);
    command.arg(&corpus);
    command.args([seeds().join(target)].iter().filter(|folder| folder.is_dir()));
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={INPUT_MAX}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MB}"));
    command.args([&format!("-timeout={HANG}"), "-print_final_stats=1"]);
    let file = std::fs::File::create(&log).with_context(|| log.display().to_string())?;
    let status = command.stderr(file).stdout(Stdio::null()).status();
    let status = status.with_context(|| program.display().to_string())?;
    let text = std::fs::read(&log).with_context(|| log.display().to_string())?;
    let text = String::from_utf8_lossy(&text);
    for line in text.lines().filter_map(|line| line.strip_prefix("stat::")) {
        println!("  {line}");
    }
    if !status.success() {
        bail!(
            "`{target}` breaks ({status}): the input lies in `{}`, the words in `{}`",
            found.display(),
            log.display()
        );
    }
    Ok(())
}
