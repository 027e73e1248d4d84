//! `cargo xtask bench probe`: what the probe costs the server it sits in, and what a dump does to
//! requests under way. The same program twice, `ebb serve` with the probe and with `--no-probe`,
//! on one core, `ebb load` on another, in alternating pairs of random order.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. What the server used is read
//! from the kernel's clock of its threads; what was answered is the generator's word.

use super::compare::GENERATOR_CORE;
use super::numbers::{Coin, median, median_interval};
use super::paper::circumstances;
use super::{Scratch, write_down};
use crate::{paths, process};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// The core of the server.
pub(super) const SERVER_CORE: usize = 0;
/// Enough to keep one core busy.
const CONNECTIONS: &str = "16";
/// What each request brings. The server makes a task, a timer and an object of the census for it.
const BODY_BYTES: usize = 1_024;
/// The sampling interval in production: 2^19 bytes.
const SAMPLE: &str = "524288";
/// Throughput with the probe, as a part of that without.
const GOAL: f64 = 0.98;
/// Between two dumps under load.
const DUMP_EVERY: Duration = Duration::from_millis(500);

/// What the bench is told by its user.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Settings {
    pairs: u32,
    seconds: u64,
    seed: u64,
    /// An `ebb` that is built already.
    ebb: Option<PathBuf>,
}

impl Settings {
    /// From the words after `bench probe`: pairs of a name and a value.
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings { pairs: 15, seconds: 3, seed: 1, ebb: None };
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair[0]) };
            let number = || value.parse::<u64>().with_context(|| format!("`{name} {value}`"));
            match *name {
                "--pairs" => settings.pairs = u32::try_from(number()?.max(1)).unwrap_or(u32::MAX),
                "--seconds" => settings.seconds = number()?.max(1),
                "--seed" => settings.seed = number()?,
                "--ebb" => settings.ebb = Some(PathBuf::from(value)),
                _ => bail!("unknown setting `{name}`; --pairs, --seconds, --seed, --ebb"),
            }
        }
        Ok(settings)
    }
}

/// Runs both comparisons, prints their tables and writes them down.
///
/// # Errors
/// When the machine has fewer than two cores, or a server or a generator fails.
pub(crate) fn probe(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words)?;
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("two cores are needed: one for the generator, one for the server");
    }
    let ebb = match &settings.ebb {
        Some(ebb) => ebb.clone(),
        None => built()?,
    };
    let scratch = Scratch::new("probe")?;
    let with = Server::start(&ebb, true, &scratch.path)?;
    let without = Server::start(&ebb, false, &scratch.path)?;
    let mut coin = Coin::new(settings.seed);
    println!("with the probe, and without it");
    let cost = pairs(&settings, &mut coin, |first| {
        let server = if first { &with } else { &without };
        server.load(settings.seconds, Duration::MAX)
    })?;
    println!("with dumps under load, and without them");
    let dumps = pairs(&settings, &mut coin, |first| {
        with.load(settings.seconds, if first { DUMP_EVERY } else { Duration::MAX })
    })?;
    let taken = std::fs::read_dir(&scratch.path)?.flatten();
    let taken = taken.filter(|entry| entry.path().extension().is_some_and(|end| end == "gz"));
    write_down(&section(&settings, &ebb, &cost, (&dumps, taken.count()))?)
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    /// CPU time of the server per request, microseconds.
    cpu_us: f64,
    /// Requests answered per second.
    rate: f64,
    /// Requests that failed.
    failed: f64,
    /// The longest time that a request took, milliseconds.
    longest_ms: f64,
    /// Signals sent.
    dumps: u32,
}

/// Measures both sides of each pair, the order drawn by a coin; the first pair does not count.
fn pairs(
    settings: &Settings,
    coin: &mut Coin,
    mut measure: impl FnMut(bool) -> Result<Measured>,
) -> Result<Vec<(Measured, Measured)>> {
    let mut pairs = Vec::new();
    for pair in 0..=settings.pairs {
        let (ours, plain) = if coin.heads() {
            let ours = measure(true)?;
            (ours, measure(false)?)
        } else {
            let plain = measure(false)?;
            (measure(true)?, plain)
        };
        if pair > 0 {
            println!(
                "pair {pair:>2}  {:.2} us {:.0}/s {:.1} ms  beside {:.2} us {:.0}/s {:.1} ms",
                ours.cpu_us, ours.rate, ours.longest_ms, plain.cpu_us, plain.rate, plain.longest_ms
            );
            pairs.push((ours, plain));
        }
    }
    Ok(pairs)
}

/// `ebb serve` in a process of its own, pinned; killed when dropped.
struct Server {
    child: Child,
    ebb: PathBuf,
    /// Open as long as the server lives, so that it can go on speaking.
    _says: BufReader<ChildStderr>,
    url: String,
}

impl Server {
    fn start(ebb: &Path, probed: bool, folder: &Path) -> Result<Server> {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(SERVER_CORE.to_string()).arg(ebb).args(["serve", "--port", "0"]);
        if probed {
            command.env("EBBTIDE_SAMPLE", SAMPLE).env("EBBTIDE_DIR", folder);
        } else {
            // Nor may jemalloc keep ready what nobody will ask for.
            command.arg("--no-probe").env("_RJEM_MALLOC_CONF", "prof:false");
        }
        let mut child = command
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("`ebb serve` could not be started")?;
        let says = child.stderr.take().context("the server's stderr")?;
        let mut says = BufReader::new(says);
        let mut line = String::new();
        says.read_line(&mut line).context("the server's first line")?;
        let Some(url) = line.trim().strip_prefix("serving ") else {
            bail!("`ebb serve` said `{}`", line.trim());
        };
        let url = format!("{url}/api/v1/echo");
        Ok(Server { child, ebb: ebb.to_owned(), _says: says, url })
    }

    /// Loads it for so long, with a dump asked for every so often.
    fn load(&self, seconds: u64, dump_every: Duration) -> Result<Measured> {
        let before = self.cpu_ns()?;
        let mut command = Command::new("taskset");
        command.arg("-c").arg(GENERATOR_CORE.to_string()).arg(&self.ebb);
        command.args(["load", "--quiet", "--json", "-w", "1", "-c", CONNECTIONS, "-m", "POST"]);
        command.args(["-d", &format!("{seconds}s"), "-b", &"x".repeat(BODY_BYTES), &self.url]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let load = command.spawn().context("`ebb load` could not be started")?;
        let load = std::thread::spawn(move || load.wait_with_output());
        let mut dumps = 0;
        let mut last = Instant::now();
        while !load.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
            if last.elapsed() >= dump_every {
                self.signal()?;
                last = Instant::now();
                dumps += 1;
            }
        }
        let output = load.join().ok().context("`ebb load`")?.context("`ebb load`")?;
        let summary: Value = serde_json::from_slice(&output.stdout).context("`ebb load --json`")?;
        let value = |metric: &str, name: &str| {
            let value = &summary["metrics"][metric]["values"][name];
            value.as_f64().with_context(|| format!("`{metric}` has no `{name}`"))
        };
        let requests = value("http_reqs", "count")?;
        if requests < 1.0 {
            bail!("the server answered nothing");
        }
        Ok(Measured {
            cpu_us: (self.cpu_ns()? - before) / 1e3 / requests,
            rate: value("http_reqs", "rate")?,
            failed: value("http_req_failed", "passes")?,
            longest_ms: value("http_req_duration", "max")?,
            dumps,
        })
    }

    /// CPU time of its threads so far, nanoseconds.
    fn cpu_ns(&self) -> Result<f64> {
        let mut sum = 0.0;
        let tasks = format!("/proc/{}/task", self.child.id());
        for task in std::fs::read_dir(&tasks).with_context(|| tasks.clone())? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"));
            let text = text.context("the server's threads come and go")?;
            let run = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
            sum += run.context("`schedstat` is no number")?;
        }
        Ok(sum)
    }

    fn signal(&self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("process id")?;
        let pid = rustix::process::Pid::from_raw(pid).context("process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::USR2).context("SIGUSR2")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for, so that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `ebb`, built.
pub(super) fn built() -> Result<PathBuf> {
    println!("building ebb, optimized");
    let words = ["build", "--release", "--quiet", "--package", "ebbtide"];
    process::run(Command::new("cargo").args(words).current_dir(paths::root()))?;
    Ok(paths::build_folder().join("release").join("ebb"))
}

/// The median of one figure of one side.
fn middle(pairs: &[(Measured, Measured)], figure: impl Fn(&(Measured, Measured)) -> f64) -> f64 {
    median(&pairs.iter().map(figure).collect::<Vec<_>>()).unwrap_or(f64::NAN)
}

/// A median ratio with its interval, to a tenth of a percent.
fn ratio(pairs: &[(Measured, Measured)], figure: fn(&Measured) -> f64) -> Result<String> {
    let ratios: Vec<f64> = pairs.iter().map(|(a, b)| figure(a) / figure(b)).collect();
    let middle = median(&ratios).context("no pair was measured")?;
    let (low, high) = median_interval(&ratios).context("no pair was measured")?;
    Ok(format!("**{middle:.3}** ({low:.3} to {high:.3})"))
}

/// The two tables.
fn tables(
    cost: &[(Measured, Measured)],
    (dumps, files): (&[(Measured, Measured)], usize),
) -> Result<String> {
    let cpu = |measured: &Measured| measured.cpu_us;
    let rate = |measured: &Measured| measured.rate;
    let longest = |measured: &Measured| measured.longest_ms;
    let failed = |pairs: &[(Measured, Measured)], side: fn(&(Measured, Measured)) -> Measured| {
        pairs.iter().map(|pair| side(pair).failed).sum::<f64>()
    };
    let mut text = String::from("| | with | without | ratio | goal |\n|---|---|---|---|---|\n");
    writeln!(
        text,
        "| requests/s | {:.0} | {:.0} | {} | >= {GOAL} |",
        middle(cost, |pair| rate(&pair.0)),
        middle(cost, |pair| rate(&pair.1)),
        ratio(cost, rate)?
    )?;
    writeln!(
        text,
        "| CPU of the server per request | {:.2} us | {:.2} us | {} | <= {:.3} |",
        middle(cost, |pair| cpu(&pair.0)),
        middle(cost, |pair| cpu(&pair.1)),
        ratio(cost, cpu)?,
        1.0 / GOAL
    )?;
    let asked: u32 = dumps.iter().map(|pair| pair.0.dumps).sum();
    writeln!(
        text,
        "\nDumps: {asked} asked for under load, {files} files written or kept.\n\n\
         | | with dumps | without | difference |\n|---|---|---|---|\n\
         | requests that failed, all runs | {:.0} | {:.0} | {:+.0} |",
        failed(dumps, |pair| pair.0),
        failed(dumps, |pair| pair.1),
        failed(dumps, |pair| pair.0) - failed(dumps, |pair| pair.1)
    )?;
    writeln!(
        text,
        "| longest request of a run, median | {:.2} ms | {:.2} ms | {:+.2} ms |",
        middle(dumps, |pair| longest(&pair.0)),
        middle(dumps, |pair| longest(&pair.1)),
        middle(dumps, |pair| longest(&pair.0) - longest(&pair.1))
    )?;
    writeln!(
        text,
        "| requests/s | {:.0} | {:.0} | {} |",
        middle(dumps, |pair| rate(&pair.0)),
        middle(dumps, |pair| rate(&pair.1)),
        ratio(dumps, rate)?
    )?;
    Ok(text)
}

fn section(
    settings: &Settings,
    ebb: &Path,
    cost: &[(Measured, Measured)],
    dumps: (&[(Measured, Measured)], usize),
) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "## The probe: what it costs a server\n\n\
         Written by `cargo xtask bench probe`. The reference server on one core, `ebb load` on \
         another, {CONNECTIONS} connections, POST of {BODY_BYTES} bytes; for each request the \
         server makes a task, a timer and an object of the census. With: the probe sampling one \
         in 2^19 bytes, census on. Without: the same program with `--no-probe` and jemalloc's \
         profiler off. {} pairs of {} s after one that is thrown away, the order within a pair \
         drawn by a coin (seed {}). CPU is what the kernel has counted for the server's threads. \
         Ratios are with / without within a pair: their median, its 95 % interval (sign test; \
         below six pairs the extremes), and the goal. Then the probed server alone, with SIGUSR2 \
         every {} ms and without.\n\n",
        settings.pairs,
        settings.seconds,
        settings.seed,
        DUMP_EVERY.as_millis()
    )?;
    text.push_str(&tables(cost, dumps)?);
    text.push_str("\nMeasured with:\n\n");
    for line in circumstances([process::version_line(&ebb.to_string_lossy(), "--version")]) {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        assert_eq!(Settings::read(&["--pairs", "3"]).expect("settings").pairs, 3);
        for (words, fault) in [
            (&["--pairs"][..], "`--pairs` wants a value"),
            (&["--speed", "1"], "unknown setting `--speed`"),
        ] {
            let error = format!("{:#}", Settings::read(words).expect_err("a fault"));
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn the_tables_have_medians_ratios_and_failures() {
        let measured = |cpu_us, rate, failed, longest_ms| Measured {
            cpu_us,
            rate,
            failed,
            longest_ms,
            dumps: 2,
        };
        let pairs = [(measured(10.1, 990.0, 1.0, 4.0), measured(10.0, 1_000.0, 0.0, 3.0))];
        let text = tables(&pairs, (&pairs, 2)).expect("tables");
        for line in [
            "| requests/s | 990 | 1000 | **0.990** (0.990 to 0.990) | >= 0.98 |",
            "| CPU of the server per request | 10.10 us | 10.00 us | **1.010** (1.010 to 1.010) |",
            "Dumps: 2 asked for under load, 2 files written or kept.",
            "| requests that failed, all runs | 1 | 0 | +1 |",
            "| longest request of a run, median | 4.00 ms | 3.00 ms | +1.00 ms |",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
