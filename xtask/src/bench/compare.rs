//! One comparison: `ebb` and a peer in turn, the order within each pair drawn by a coin.
//!
//! Comes in: a peer and the settings. Goes out: for each pair the CPU time per request of the
//! generator's process (all threads, by `wait4`) and the requests per second, as the target
//! counted them: no generator's own word is taken. One discarded run of each comes first.

use super::numbers::Coin;
use super::peers::{self, CONNECTIONS, Load, Peer};
use super::{Scratch, Settings};
use crate::{paths, process};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The core of the target; the generator has the next one.
const TARGET_CORE: usize = 0;
pub(super) const GENERATOR_CORE: usize = 1;

/// What one run of one generator cost and did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// CPU time of the generator per request, microseconds.
    pub(super) cpu_us: f64,
    /// Requests answered per second between the first and the last.
    pub(super) rate: f64,
}

/// All pairs against one peer.
pub(super) struct Comparison {
    /// Who of ours is compared.
    pub(super) ours: Peer,
    /// Whom it is compared with.
    pub(super) peer: Peer,
    pub(super) peer_version: String,
    pub(super) ebb_version: String,
    /// One request of the peer, and how ours compares to it.
    pub(super) request: String,
    pub(super) likeness: &'static str,
    /// (ebb, peer), in the order in which the pairs were run.
    pub(super) pairs: Vec<(Measured, Measured)>,
}

impl Comparison {
    /// The ratios ebb / peer of one figure, one for each pair.
    pub(super) fn ratios(&self, figure: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.pairs.iter().map(|(ebb, peer)| figure(ebb) / figure(peer)).collect()
    }
}

/// Runs all pairs against one peer.
///
/// # Errors
/// When a generator or the target fails, or answers nothing.
pub(super) fn run((ours, peer): (Peer, Peer), settings: &Settings) -> Result<Comparison> {
    let theirs = peers::request_of(peer, &[], GENERATOR_CORE)?;
    let headers = theirs.headers();
    let request = peers::request_of(ours, &headers, GENERATOR_CORE)?;
    let mut target = Target::start(&["target"])?;
    let names = (ours.name(), peer.name());
    let pairs = alternate((settings.pairs, settings.seed), names, |name| {
        let generator = if name == ours.name() { ours } else { peer };
        let headers = if generator.is_ours() { headers.as_slice() } else { &[] };
        target.measure(generator, settings.seconds, headers)
    })?;
    Ok(Comparison {
        ours,
        peer,
        peer_version: peer.version()?,
        ebb_version: ours.version()?,
        likeness: request.likeness(&theirs),
        request: theirs.text,
        pairs,
    })
}

/// Measures ours and theirs in pairs, the order within each drawn by a coin.
///
/// # Errors
/// When a measurement fails.
pub(super) fn alternate(
    (count, seed): (u32, u64),
    (ours, theirs): (&str, &str),
    mut measure: impl FnMut(&str) -> Result<Measured>,
) -> Result<Vec<(Measured, Measured)>> {
    let mut coin = Coin::new(seed);
    let mut pairs = Vec::new();
    for pair in 0..=count {
        let (ebb, other) = if coin.heads() {
            let ebb = measure(ours)?;
            (ebb, measure(theirs)?)
        } else {
            let other = measure(theirs)?;
            (measure(ours)?, other)
        };
        // The first pair finds cold caches and a fresh target.
        if pair > 0 {
            println!(
                "pair {pair:>2}  {ours} {:.2} us {:.0}/s  {theirs} {:.2} us {:.0}/s",
                ebb.cpu_us, ebb.rate, other.cpu_us, other.rate
            );
            pairs.push((ebb, other));
        }
    }
    Ok(pairs)
}

/// The trivial target in a process of its own, pinned; killed when dropped.
pub(super) struct Target {
    child: Child,
    asks: ChildStdin,
    tells: BufReader<ChildStdout>,
    url: String,
}

impl Target {
    /// Starts it on its core and waits for the line that says where it listens.
    pub(super) fn start(words: &[&str]) -> Result<Target> {
        let program = paths::build_folder().join("release").join("xtask");
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        Target::start_program(program.as_os_str(), &words)
    }

    /// The same with a program that behaves like it; one that says but a port is on 127.0.0.1.
    pub(super) fn start_program(program: &OsStr, words: &[&OsStr]) -> Result<Target> {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(TARGET_CORE.to_string()).arg(program).args(words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the target could not be started")?;
        let asks = child.stdin.take().context("the target's stdin")?;
        let mut tells = BufReader::new(child.stdout.take().context("the target's stdout")?);
        let mut line = String::new();
        tells.read_line(&mut line).context("the target's first line")?;
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            bail!("the target said `{}`", line.trim());
        };
        let host = if address.contains(':') { "" } else { "127.0.0.1:" };
        let url = format!("http://{host}{address}/");
        Ok(Target { child, asks, tells, url })
    }

    /// Runs a generator to its end against the target.
    fn measure(&mut self, generator: Peer, seconds: u64, headers: &[String]) -> Result<Measured> {
        let scratch = Scratch::new(generator.name())?;
        let out = scratch.path.join("run");
        let url = self.url.clone();
        let load = Load { url: &url, seconds, connections: CONNECTIONS, headers, out: &out };
        self.measure_command(&mut generator.command(&load, GENERATOR_CORE)?, generator.name())
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Runs a generator's command to its end.
    pub(super) fn measure_command(
        &mut self,
        command: &mut Command,
        name: &str,
    ) -> Result<Measured> {
        self.count()?;
        let cpu = process::cpu_time(command)?;
        let (requests, took) = self.count()?;
        if requests < 1.0 || took <= 0.0 {
            bail!("`{name}` sent nothing to the target");
        }
        Ok(Measured { cpu_us: cpu.as_secs_f64() * 1e6 / requests, rate: requests / took })
    }

    /// Requests since the last call, and the seconds from the first to the last of them.
    fn count(&mut self) -> Result<(f64, f64)> {
        self.asks.write_all(b"\n").context("the target is gone")?;
        let mut line = String::new();
        self.tells.read_line(&mut line).context("the target is gone")?;
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(requests), Some(nanoseconds)) => Ok((requests, nanoseconds / 1e9)),
            _ => bail!("the target said `{}`", line.trim()),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for, so that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
