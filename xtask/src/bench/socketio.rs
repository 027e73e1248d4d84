//! `cargo xtask bench socketio`: acknowledged events by `ebb load --socketio` beside npm's
//! `socket.io-client`, one core for the generator and one for npm's server, in alternating pairs of
//! random order.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. The server is
//! `xtask/npm/sio-server.mjs`, which counts; the pairs are run by `compare`.

use super::compare::{GENERATOR_CORE, Measured, Target, alternate};
use super::numbers::median;
use super::paper::{circumstances, ratio};
use super::{Settings, write_down};
use crate::{paths, process, setup};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Connections, of which each waits for an acknowledgement before its next event.
const CONNECTIONS: [&str; 2] = ["64", "8"];

/// The argument of each event.
const ARGUMENT: &str = r#"{"text":"hello"}"#;

/// The CPU time per event that `ebb` may take, as a part of the peer's.
const GOAL: f64 = 1.0 / 3.0;

/// The peer.
const PEER: &str = "socket.io-client";

/// Runs the comparison, prints its table and writes it down.
///
/// # Errors
/// When npm's packages are missing and cannot be installed, the machine has fewer than two cores,
/// or a generator fails.
pub(crate) fn socketio(words: &[&str]) -> Result<()> {
    if words.contains(&"--only") {
        bail!("there is one peer: no `--only`");
    }
    let settings = Settings::read(words)?;
    setup::install(setup::Purpose::Test)?;
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("two cores are needed: one for the generator, one for the server");
    }
    println!("building ebb, optimized");
    let words = ["build", "--release", "--quiet", "--package", "ebbtide"];
    process::run(Command::new("cargo").args(words).current_dir(paths::root()))?;
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let server = npm().join("sio-server.mjs");
        let mut target =
            Target::start_program("node".as_ref(), &[server.as_os_str(), "0".as_ref()])?;
        let load = Load { url: target.url(), seconds: settings.seconds, connections };
        let pairs = alternate((settings.pairs, settings.seed), ("ebb", PEER), |name| {
            target.measure_command(&mut load.command(name), name)
        })?;
        rows.push(row(connections, &pairs)?);
    }
    write_down(&section(&settings, &rows)?)
}

/// What both generators are told.
struct Load {
    url: String,
    seconds: u64,
    connections: &'static str,
}

impl Load {
    /// The command of a generator on one core, its output away.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(GENERATOR_CORE.to_string());
        let Load { url, seconds, connections } = self;
        if name == "ebb" {
            let event = format!("[\"echo\",{ARGUMENT}]");
            command.arg(ebb()).args(["load", "--socketio", url, "--transports", "websocket"]);
            command.args(["-c", connections, "-d", &format!("{seconds}s"), "-w", "1"]);
            command.args(["-b", &event, "--ack", "--json"]);
        } else {
            command.arg("node").arg(npm().join("sio-echo.mjs"));
            command.args([url, *connections, &seconds.to_string(), ARGUMENT]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

fn npm() -> PathBuf {
    paths::root().join("xtask").join("npm")
}

fn ebb() -> PathBuf {
    paths::build_folder().join("release").join("ebb")
}

/// A line of the table: medians of both, and the ratios with the goal.
fn row(connections: &str, pairs: &[(Measured, Measured)]) -> Result<String> {
    let cpu = |measured: &Measured| measured.cpu_us;
    let rate = |measured: &Measured| measured.rate;
    let middle = |figures: Vec<f64>| median(&figures).context("no pair was measured");
    let ours = |figure: fn(&Measured) -> f64| pairs.iter().map(|pair| figure(&pair.0)).collect();
    let theirs = |figure: fn(&Measured) -> f64| pairs.iter().map(|pair| figure(&pair.1)).collect();
    let ratios = |figure: fn(&Measured) -> f64| -> Vec<f64> {
        pairs.iter().map(|pair| figure(&pair.0) / figure(&pair.1)).collect()
    };
    Ok(format!(
        "| {connections} | {:.2} us | {:.2} us | {} | <= {GOAL:.2} | {:.0} | {:.0} | {} |\n",
        middle(ours(cpu))?,
        middle(theirs(cpu))?,
        ratio(&ratios(cpu))?,
        middle(ours(rate))?,
        middle(theirs(rate))?,
        ratio(&ratios(rate))?,
    ))
}

fn section(settings: &Settings, rows: &[String]) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "## Socket.IO: `ebb load --socketio` beside npm's client\n\n\
         Written by `cargo xtask bench socketio`. npm's `socket.io` server on one core, the \
         generator on another, over WebSocket from the start, {} s a run. Each connection emits \
         `[\"echo\",{ARGUMENT}]` and waits for its acknowledgement before the next. {} pairs for \
         each line after one that is thrown away, the order within a pair drawn by a coin (seed \
         {}). CPU is user and system time of the generator's process, all threads, its start \
         included, \
         for each event that the server acknowledged; the rate is the server's count, too. Ratios \
         are ebb / peer within a pair: their median, its 95 % interval (sign test; below six pairs \
         the extremes), and the goal.\n\n\
         | connections | CPU per event, ebb | {PEER} | ratio | goal | events/s, ebb | {PEER} \
         | ratio |\n|---|---|---|---|---|---|---|---|\n",
        settings.seconds, settings.pairs, settings.seed
    )?;
    rows.iter().for_each(|row| text.push_str(row));
    text.push_str("\nMeasured with:\n\n");
    let versions = [
        process::version_line(&ebb().to_string_lossy(), "--version"),
        format!("socket.io {}", version_of("socket.io")?),
        format!("{PEER} {}", version_of(PEER)?),
        format!("Node {}", process::version_line("node", "--version")),
    ];
    for line in circumstances(versions) {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

/// The version of an npm package as it is installed.
pub(super) fn version_of(package: &str) -> Result<String> {
    let file = npm().join("node_modules").join(package).join("package.json");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("npm's {package} is missing; `cargo xtask setup`"))?;
    let version = text.lines().find_map(|line| line.trim().strip_prefix("\"version\": \""));
    Ok(version.map_or("unknown", |rest| rest.trim_end_matches(['"', ','])).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_medians_and_ratios() {
        let measured = |cpu_us, rate| Measured { cpu_us, rate };
        let pairs = [(measured(5.0, 300.0), measured(20.0, 150.0))];
        assert_eq!(
            row("64", &pairs).expect("a row"),
            "| 64 | 5.00 us | 20.00 us | **0.25** (0.25 to 0.25) | <= 0.33 | 300 | 150 | \
             **2.00** (2.00 to 2.00) |\n"
        );
    }

    #[test]
    fn both_generators_emit_the_same() {
        let load = Load { url: "http://a/".to_owned(), seconds: 2, connections: "8" };
        for name in ["ebb", PEER] {
            let command = load.command(name);
            let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
            assert!(words.iter().any(|word| word.contains(ARGUMENT)), "{words:?}");
            assert!(words.iter().any(|word| word == "8"), "{words:?}");
        }
    }
}
