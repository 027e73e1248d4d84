//! `cargo xtask bench rest`: a list of 50 messages with their authors from SQLite, by `ebb serve`
//! and by Express with better-sqlite3, over the same file, one core for the server and one for
//! the generator, in alternating pairs of random order.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. What a server used is read from
//! the kernel's clock of its threads; what was answered is the generator's word. The peer is
//! `xtask/npm/rest/`.

use super::compare::GENERATOR_CORE;
use super::numbers::{Coin, median};
use super::paper::{circumstances, ratio};
use super::probe::SERVER_CORE;
use super::{Scratch, write_down};
use crate::{paths, process};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Enough to keep one core busy.
const CONNECTIONS: &str = "16";

/// The page that is asked for, from the middle of the room.
const LIST: &str = "/api/v1/rooms/lobby/messages?limit=50&before=50000";

/// Requests per CPU second, as a multiple of the peer's.
const GOAL: f64 = 4.0;

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
    /// From the words after `bench rest`: pairs of a name and a value.
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings { pairs: 9, seconds: 3, seed: 1, ebb: None };
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

/// What one run did.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Requests answered per second of the server's CPU time.
    per_cpu_second: f64,
    /// Requests answered per second.
    rate: f64,
}

/// Runs the comparison, prints its table and writes it down.
///
/// # Errors
/// When npm's packages cannot be installed, the machine has fewer than two cores, or a server or
/// the generator fails.
pub(crate) fn rest(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words)?;
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("two cores are needed: one for the generator, one for the server");
    }
    install()?;
    let ebb = match &settings.ebb {
        Some(ebb) => ebb.clone(),
        None => super::probe::built()?,
    };
    let scratch = Scratch::new("rest")?;
    let file = scratch.path.join("chat.db");
    // Makes the tables; filled while it is not running.
    drop(Server::ours(&ebb, &file)?);
    process::run(Command::new("node").arg(folder().join("list-fill.mjs")).arg(&file))?;
    let ours = Server::ours(&ebb, &file)?;
    let theirs = Server::theirs(&file)?;
    alike(&ours, &theirs)?;
    let mut coin = Coin::new(settings.seed);
    let mut pairs = Vec::new();
    for pair in 0..=settings.pairs {
        let measured = if coin.heads() {
            let ours = ours.load(&ebb, settings.seconds)?;
            (ours, theirs.load(&ebb, settings.seconds)?)
        } else {
            let theirs = theirs.load(&ebb, settings.seconds)?;
            (ours.load(&ebb, settings.seconds)?, theirs)
        };
        // The first fills caches and compiles.
        if pair > 0 {
            let (ours, theirs) = measured;
            println!(
                "pair {pair:>2}  {:.0} requests per CPU second, {:.0}/s  beside {:.0}, {:.0}/s",
                ours.per_cpu_second, ours.rate, theirs.per_cpu_second, theirs.rate
            );
            pairs.push(measured);
        }
    }
    write_down(&section(&settings, &pairs)?)
}

fn folder() -> PathBuf {
    paths::root().join("xtask").join("npm").join("rest")
}

/// The peer's packages, for this bench alone: better-sqlite3 may have to be compiled.
fn install() -> Result<()> {
    let folder = folder();
    if folder.join("node_modules").join("better-sqlite3").join("build").exists() {
        return Ok(());
    }
    println!("installing express and better-sqlite3 into xtask/npm/rest (may take minutes)");
    let words = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
    process::run(Command::new("npm").args(words).current_dir(&folder))
}

/// A server in a process of its own, pinned; killed when dropped.
struct Server {
    child: Child,
    url: String,
    /// Open as long as the server lives, so that it can go on speaking.
    _says: Box<dyn Read>,
}

impl Server {
    fn ours(ebb: &Path, file: &Path) -> Result<Server> {
        let mut command = pinned(SERVER_CORE, ebb);
        command.args(["serve", "--no-probe", "--port", "0", "--database"]).arg(file);
        command.env("RUST_LOG", "error").env("_RJEM_MALLOC_CONF", "prof:false");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let says = child.stderr.take().context("the server's stderr")?;
        Server::hear(child, Box::new(says))
    }

    fn theirs(file: &Path) -> Result<Server> {
        let mut command = pinned(SERVER_CORE, Path::new("node"));
        command.arg(folder().join("list-server.mjs")).arg(file).arg("0");
        command.env("NODE_ENV", "production");
        let mut child = command.stdout(Stdio::piped()).spawn().context("`node`")?;
        let says = child.stdout.take().context("the server's stdout")?;
        Server::hear(child, Box::new(says))
    }

    /// Reads the address it says first.
    fn hear(child: Child, says: Box<dyn Read>) -> Result<Server> {
        let mut says = BufReader::new(says);
        let mut line = String::new();
        says.read_line(&mut line).context("the server's first line")?;
        let url = line.trim().strip_prefix("serving ").context("the server did not start")?;
        Ok(Server { child, url: format!("{url}{LIST}"), _says: Box::new(says) })
    }

    fn load(&self, ebb: &Path, seconds: u64) -> Result<Measured> {
        let before = self.cpu_seconds()?;
        let mut command = pinned(GENERATOR_CORE, ebb);
        command.args(["load", "--quiet", "--json", "-w", "1", "-c", CONNECTIONS]);
        command.args(["-d", &format!("{seconds}s"), &self.url]).stderr(Stdio::null());
        let output = command.output().context("`ebb load`")?;
        let summary: Value = serde_json::from_slice(&output.stdout).context("`ebb load --json`")?;
        let value = |metric: &str, name: &str| {
            let value = &summary["metrics"][metric]["values"][name];
            value.as_f64().with_context(|| format!("`{metric}` has no `{name}`"))
        };
        let requests = value("http_reqs", "count")?;
        if requests < 1.0 || value("http_req_failed", "passes")? > 0.0 {
            bail!("{}: not all requests were answered", self.url);
        }
        let per_cpu_second = requests / (self.cpu_seconds()? - before);
        Ok(Measured { per_cpu_second, rate: value("http_reqs", "rate")? })
    }

    /// CPU time of its threads so far.
    fn cpu_seconds(&self) -> Result<f64> {
        let mut sum = 0.0;
        let tasks = format!("/proc/{}/task", self.child.id());
        for task in std::fs::read_dir(&tasks).with_context(|| tasks.clone())? {
            // A thread that has ended since is missing in both sums.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let run = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
            sum += run.context("`schedstat` is no number")?;
        }
        Ok(sum / 1e9)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for, so that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program).stdin(Stdio::null());
    command
}

/// Both must answer the same, or the comparison says nothing.
fn alike(ours: &Server, theirs: &Server) -> Result<()> {
    let fetch = |server: &Server| -> Result<Value> {
        let output = Command::new("curl").args(["-sf", &server.url]).output().context("`curl`")?;
        serde_json::from_slice(&output.stdout).with_context(|| server.url.clone())
    };
    let (ours, theirs) = (fetch(ours)?, fetch(theirs)?);
    if ours != theirs || ours["messages"].as_array().map_or(0, Vec::len) != 50 {
        bail!("the two do not answer alike: {ours} and {theirs}");
    }
    Ok(())
}

fn section(settings: &Settings, pairs: &[(Measured, Measured)]) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "## REST: a list of messages from SQLite\n\n\
         Written by `cargo xtask bench rest`. A page of 50 messages with their authors from the \
         middle of a room of 100,000, by `ebb serve` and by Express 5 with better-sqlite3, over \
         the same file, with the same two queries and the same answer; the server on one core, \
         `ebb load` with {CONNECTIONS} connections on another. {} pairs of {} s after one that is \
         thrown away, the order within a pair drawn by a coin (seed {}). CPU is what the kernel \
         has counted for the server's threads. Ratios are ebb / Express within a pair: their \
         median and its 95 % interval.\n\n\
         | | ebb serve | Express | ratio | goal |\n|---|---|---|---|---|\n",
        settings.pairs, settings.seconds, settings.seed
    )?;
    let row = |name: &str, goal: &str, figure: fn(&Measured) -> f64| -> Result<String> {
        let side = |of: fn(&(Measured, Measured)) -> &Measured| {
            let values: Vec<f64> = pairs.iter().map(|pair| figure(of(pair))).collect();
            median(&values).context("no pair was measured")
        };
        let ratios: Vec<f64> = pairs.iter().map(|(a, b)| figure(a) / figure(b)).collect();
        let (ours, theirs) = (side(|pair| &pair.0)?, side(|pair| &pair.1)?);
        Ok(format!("| {name} | {ours:.0} | {theirs:.0} | {} | {goal} |\n", ratio(&ratios)?))
    };
    let per_cpu = row("requests per CPU second", &format!(">= {GOAL:.0}"), |m| m.per_cpu_second)?;
    text.push_str(&per_cpu);
    text.push_str(&row("requests/s", "", |m| m.rate)?);
    text.push('\n');
    for line in circumstances([process::version_line("node", "--version")]) {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        let read = Settings::read(&["--pairs", "3", "--ebb", "/x/ebb"]).unwrap();
        assert_eq!((read.pairs, read.seconds, read.ebb), (3, 3, Some("/x/ebb".into())));
        for words in [&["--pairs"][..], &["--only", "x"], &["--seconds", "x"]] {
            assert!(Settings::read(words).is_err(), "{words:?}");
        }
    }
}
