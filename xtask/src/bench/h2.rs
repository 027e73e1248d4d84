//! `cargo xtask bench h2`: `ebb load --http2` beside h2load and oha, one core for the generator and
//! one for a trivial target, in alternating pairs of random order.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. The target is a process of its
//! own (`target`); the pairs are run by `compare`.

pub(crate) mod target;

use super::compare::{GENERATOR_CORE, Measured, Target, alternate};
use super::numbers::median;
use super::paper::{circumstances, ratio};
use super::write_down;
use crate::{paths, process, setup};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::process::{Command, Stdio};

/// Connections, and requests in flight on each.
const CONNECTIONS: &str = "10";
const STREAMS: &str = "10";

/// The CPU time per request that `ebb` may take, as a part of the peer's.
const GOALS: [(&str, Option<f64>); 2] = [("h2load", Some(1.6)), ("oha", None)];

/// What the bench is told by its user.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Settings {
    pairs: u32,
    seconds: u64,
    seed: u64,
    only: Option<String>,
}

impl Settings {
    /// From the words after `bench h2`: pairs of a name and a value.
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings { pairs: 9, seconds: 4, seed: 1, only: None };
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair[0]) };
            let number = || value.parse::<u64>().with_context(|| format!("`{name} {value}`"));
            match *name {
                "--pairs" => settings.pairs = u32::try_from(number()?.max(1)).unwrap_or(u32::MAX),
                "--seconds" => settings.seconds = number()?.max(1),
                "--seed" => settings.seed = number()?,
                "--only" if GOALS.iter().any(|(peer, _)| peer == value) => {
                    settings.only = Some((*value).to_owned());
                }
                "--only" => bail!("`--only {value}`: h2load or oha"),
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
pub(crate) fn h2(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words)?;
    setup::install(setup::Purpose::Bench)?;
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("two cores are needed: one for the generator, one for the target");
    }
    println!("building ebb and the target, optimized");
    let words = ["build", "--release", "--quiet", "--package", "ebbtide", "--package", "xtask"];
    process::run(Command::new("cargo").args(words).current_dir(paths::root()))?;
    let mut rows = Vec::new();
    for (peer, goal) in GOALS {
        if settings.only.as_ref().is_some_and(|only| only != peer) {
            continue;
        }
        let mut target = Target::start(&["target", "h2"])?;
        let headers = headers_of(peer)?;
        let pairs = alternate((settings.pairs, settings.seed), ("ebb", peer), |name| {
            let mut command = command(name, &target.url(), settings.seconds)?;
            if name == "ebb" {
                command.args(headers.iter().flat_map(|header| ["-H", header.as_str()]));
            }
            target.measure_command(&mut command, name)
        })?;
        rows.push(row((peer, goal), &pairs)?);
    }
    let section = section(&settings, &rows)?;
    if settings.only.is_some() {
        // A part of the table does not take the place of the whole.
        println!("{section}");
        return Ok(());
    }
    write_down(&section)
}

/// The command that loads `url` with one thread on one core, its output away.
fn command(name: &str, url: &str, seconds: u64) -> Result<Command> {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(GENERATOR_CORE.to_string());
    let seconds = seconds.to_string();
    let with_unit = format!("{seconds}s");
    match name {
        "ebb" => {
            command.arg(paths::build_folder().join("release").join("ebb"));
            command.args(["load", "--http2", "-c", CONNECTIONS, "-p", STREAMS, "-w", "1"]);
            command.args(["-d", &with_unit, "--json", url]);
        }
        "h2load" => {
            command.arg(program(name)?).args(["-t", "1", "-c", CONNECTIONS, "-m", STREAMS]);
            command.args(["-D", &seconds, url]);
        }
        _ => {
            command.arg(program(name)?).args(["--no-tui", "--http2", "-c", CONNECTIONS]);
            command.args(["-p", STREAMS, "-z", &with_unit, url]);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// What a peer sends besides method, scheme, path and authority, so that ebb sends it too.
fn headers_of(peer: &str) -> Result<Vec<String>> {
    let version = process::version_line(&program(peer)?.to_string_lossy(), "--version");
    Ok(match peer {
        "h2load" => vec![format!("user-agent: {version}")],
        _ => vec![
            "accept: */*".to_owned(),
            "accept-encoding: gzip, compress, deflate, br".to_owned(),
            format!("user-agent: {}", version.replace(' ', "/")),
        ],
    })
}

fn program(name: &str) -> Result<std::path::PathBuf> {
    paths::find_program(name)
        .with_context(|| format!("`{name}` is missing; `cargo xtask setup bench`"))
}

/// A line of the table: medians of both, and the ratios with the goal.
fn row((peer, goal): (&str, Option<f64>), pairs: &[(Measured, Measured)]) -> Result<String> {
    let cpu = |measured: &Measured| measured.cpu_us;
    let rate = |measured: &Measured| measured.rate;
    let middle = |figures: Vec<f64>| median(&figures).context("no pair was measured");
    let ours = |figure: fn(&Measured) -> f64| pairs.iter().map(|pair| figure(&pair.0)).collect();
    let theirs = |figure: fn(&Measured) -> f64| pairs.iter().map(|pair| figure(&pair.1)).collect();
    let ratios = |figure: fn(&Measured) -> f64| -> Vec<f64> {
        pairs.iter().map(|pair| figure(&pair.0) / figure(&pair.1)).collect()
    };
    Ok(format!(
        "| {peer} | {:.2} us | {:.2} us | {} | {} | {:.0} | {:.0} | {} |\n",
        middle(ours(cpu))?,
        middle(theirs(cpu))?,
        ratio(&ratios(cpu))?,
        goal.map_or("-".to_owned(), |most| format!("<= {most}")),
        middle(ours(rate))?,
        middle(theirs(rate))?,
        ratio(&ratios(rate))?,
    ))
}

fn section(settings: &Settings, rows: &[String]) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "## HTTP/2: `ebb load --http2` beside its peers\n\n\
         Written by `cargo xtask bench h2`. A trivial target (one thread, HTTP/2 with prior \
         knowledge, one fixed reply of 14 bytes) on one core, the generator on another, \
         {CONNECTIONS} connections with {STREAMS} requests in flight on each, {} s a run. `ebb` \
         sends the fields that the peer sends, in full each time; the peers put them into the \
         target's table once. {} pairs for each peer after one that is thrown away, the order \
         within a pair drawn by a coin (seed {}). CPU is user and system time of the generator's \
         process, all threads, for each request that the target answered; the rate is the target's \
         count, too. Ratios are ebb / peer within a pair: their median, its 95 % interval (sign \
         test; below six pairs the extremes), and the goal.\n\n\
         | peer | CPU per request, ebb | peer | ratio | goal | requests/s, ebb | peer | ratio |\n\
         |---|---|---|---|---|---|---|---|\n",
        settings.seconds, settings.pairs, settings.seed
    )?;
    rows.iter().for_each(|row| text.push_str(row));
    text.push_str("\nMeasured with:\n\n");
    let ebb = paths::build_folder().join("release").join("ebb");
    let mut versions = vec![process::version_line(&ebb.to_string_lossy(), "--version")];
    for (peer, _) in GOALS {
        versions.push(process::version_line(&program(peer)?.to_string_lossy(), "--version"));
    }
    for line in circumstances(versions) {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        let settings = Settings::read(&["--pairs", "3", "--only", "oha"]).expect("settings");
        assert_eq!((settings.pairs, settings.only.as_deref()), (3, Some("oha")));
        for (words, fault) in [
            (&["--only", "wrk"][..], "h2load or oha"),
            (&["--pairs"], "`--pairs` wants a value"),
            (&["--speed", "1"], "unknown setting `--speed`"),
        ] {
            let error = format!("{:#}", Settings::read(words).expect_err("a fault"));
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn a_row_has_medians_and_ratios() {
        let measured = |cpu_us, rate| Measured { cpu_us, rate };
        let pairs = [(measured(2.0, 300.0), measured(4.0, 150.0))];
        assert_eq!(
            row(("h2load", Some(1.6)), &pairs).expect("a row"),
            "| h2load | 2.00 us | 4.00 us | **0.50** (0.50 to 0.50) | <= 1.6 | 300 | 150 | \
             **2.00** (2.00 to 2.00) |\n"
        );
    }
}
