//! `cargo xtask bench ws`: WebSocket echoes by `ebb load` beside npm's `ws` and tsung, one core for
//! the generator and one for a trivial target, in alternating pairs of random order.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. The target is a process of its
//! own (`target`); the pairs are run by `compare`.

pub(crate) mod target;

use super::compare::{GENERATOR_CORE, Measured, Target, alternate};
use super::numbers::median;
use super::paper::{circumstances, ratio};
use super::{Scratch, write_down};
use crate::{paths, process, setup};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Connections, and what each sends.
const CONNECTIONS: &str = "64";
const MESSAGE: &str = "hello";

/// Peers, messages in flight on each connection, and the CPU time per message that `ebb` may take
/// as a part of theirs. tsung has one message in flight, whatever it is told.
const MATCHES: [(&str, &str, f64); 3] =
    [("ws", "16", 1.0 / 3.0), ("ws", "1", 1.0 / 3.0), ("tsung", "1", 1.0 / 1.5)];

/// What the bench is told by its user.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Settings {
    pairs: u32,
    seconds: u64,
    seed: u64,
}

impl Settings {
    /// From the words after `bench ws`: pairs of a name and a value.
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings { pairs: 7, seconds: 4, seed: 1 };
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair[0]) };
            let number = || value.parse::<u64>().with_context(|| format!("`{name} {value}`"));
            match *name {
                "--pairs" => settings.pairs = u32::try_from(number()?.max(1)).unwrap_or(u32::MAX),
                "--seconds" => settings.seconds = number()?.max(1),
                "--seed" => settings.seed = number()?,
                _ => bail!("unknown setting `{name}`; --pairs, --seconds, --seed"),
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
pub(crate) fn ws(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words)?;
    setup::install(setup::Purpose::Bench)?;
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("two cores are needed: one for the generator, one for the target");
    }
    println!("building ebb and the target, optimized");
    let words = ["build", "--release", "--quiet", "--package", "ebbtide", "--package", "xtask"];
    process::run(Command::new("cargo").args(words).current_dir(paths::root()))?;
    let mut rows = Vec::new();
    for (peer, flight, goal) in MATCHES {
        let mut target = Target::start(&["target", "ws"])?;
        let url = target.url().replace("http:", "ws:");
        let pairs = alternate((settings.pairs, settings.seed), ("ebb", peer), |name| {
            let scratch = Scratch::new(name)?;
            let load = Load { url: &url, seconds: settings.seconds, flight };
            target.measure_command(&mut load.command(name, &scratch.path)?, name)
        })?;
        rows.push(row((peer, flight, goal), &pairs)?);
    }
    write_down(&section(&settings, &rows)?)
}

/// What every generator is told.
struct Load<'a> {
    url: &'a str,
    seconds: u64,
    flight: &'a str,
}

impl Load<'_> {
    /// The command of a generator on one core, its output away.
    fn command(&self, name: &str, scratch: &Path) -> Result<Command> {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(GENERATOR_CORE.to_string());
        let seconds = self.seconds.to_string();
        match name {
            "ebb" => {
                command.arg(paths::build_folder().join("release").join("ebb"));
                command.args(["load", self.url, "-c", CONNECTIONS, "-p", self.flight, "-w", "1"]);
                command.args(["-d", &format!("{seconds}s"), "-b", MESSAGE, "--json"]);
            }
            "ws" => {
                command.arg("node").arg(npm().join("ws-echo.mjs"));
                command.args([self.url, CONNECTIONS, &seconds, MESSAGE, self.flight]);
            }
            _ => {
                let file = scratch.join("tsung.xml");
                std::fs::write(&file, self.tsung()?).context("tsung's file")?;
                command.arg("tsung").arg("-f").arg(file).arg("-l").arg(scratch.join("log"));
                command.args(["-n", "start"]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    /// The same as a scenario of tsung, in one Erlang machine.
    fn tsung(&self) -> Result<String> {
        let address = self.url.trim_start_matches("ws://").trim_end_matches('/');
        let (host, port) = address.split_once(':').context("an address")?;
        let seconds = self.seconds;
        Ok(format!(
            r#"<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd">
<tsung loglevel="critical" version="1.0">
  <clients><client host="localhost" use_controller_vm="true" maxusers="1000"/></clients>
  <servers><server host="{host}" port="{port}" type="tcp"/></servers>
  <load duration="{seconds}" unit="second">
    <arrivalphase phase="1" duration="{seconds}" unit="second">
      <users maxnumber="{CONNECTIONS}" arrivalrate="1000" unit="second"/>
    </arrivalphase>
  </load>
  <sessions><session name="echo" probability="100" type="ts_websocket">
    <request><websocket type="connect" path="/"/></request>
    <for from="1" to="100000000" var="i">
      <request><websocket type="message" frame="text">{MESSAGE}</websocket></request>
    </for>
    <request><websocket type="close"/></request>
  </session></sessions>
</tsung>
"#
        ))
    }
}

fn npm() -> std::path::PathBuf {
    paths::root().join("xtask").join("npm")
}

/// A line of the table: medians of both, and the ratios with the goal.
fn row((peer, flight, goal): (&str, &str, f64), pairs: &[(Measured, Measured)]) -> Result<String> {
    let cpu = |measured: &Measured| measured.cpu_us;
    let rate = |measured: &Measured| measured.rate;
    let middle = |figures: Vec<f64>| median(&figures).context("no pair was measured");
    let ours = |figure: fn(&Measured) -> f64| pairs.iter().map(|pair| figure(&pair.0)).collect();
    let theirs = |figure: fn(&Measured) -> f64| pairs.iter().map(|pair| figure(&pair.1)).collect();
    let ratios = |figure: fn(&Measured) -> f64| -> Vec<f64> {
        pairs.iter().map(|pair| figure(&pair.0) / figure(&pair.1)).collect()
    };
    Ok(format!(
        "| {peer} | {flight} | {:.2} us | {:.2} us | {} | <= {goal:.2} | {:.0} | {:.0} | {} |\n",
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
        "## WebSocket: `ebb load` beside its peers\n\n\
         Written by `cargo xtask bench ws`. An echo target (one thread) on one core, the generator \
         on another, {CONNECTIONS} connections, text of {} bytes, {} s a run. With 16 messages in \
         flight ebb sends sixteen in one write and waits for their echoes; `ws` sends the next for \
         each echo, which keeps sixteen in flight as well. With one in flight most of the time is \
         the kernel's, the same for everybody. {} pairs for each line after one that is thrown \
         away, the order within a pair drawn by a coin (seed {}). CPU is user and system time of \
         the generator's process, all threads, its start included, for each message that the \
         target echoed; the rate is the target's count, too. Ratios are ebb / peer within a pair: \
         their median, its 95 % interval (sign test; below six pairs the extremes), and the \
         goal.\n\n\
         | peer | in flight | CPU per message, ebb | peer | ratio | goal | messages/s, ebb | peer \
         | ratio |\n|---|---|---|---|---|---|---|---|---|\n",
        MESSAGE.len(),
        settings.seconds,
        settings.pairs,
        settings.seed
    )?;
    rows.iter().for_each(|row| text.push_str(row));
    text.push_str("\nMeasured with:\n\n");
    let ebb = paths::build_folder().join("release").join("ebb");
    let package = std::fs::read_to_string(npm().join("node_modules/ws/package.json"));
    let package = package.context("npm's ws is missing; `cargo xtask setup bench`")?;
    let version = package.lines().find_map(|line| line.trim().strip_prefix("\"version\": \""));
    let version = version.map_or("unknown", |rest| rest.trim_end_matches(['"', ',']));
    let versions = [
        process::version_line(&ebb.to_string_lossy(), "--version"),
        format!("ws {version}"),
        format!("Node {}", process::version_line("node", "--version")),
        process::version_line("tsung", "-v"),
    ];
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
    fn a_row_has_medians_and_ratios() {
        let measured = |cpu_us, rate| Measured { cpu_us, rate };
        let pairs = [(measured(2.0, 300.0), measured(8.0, 150.0))];
        assert_eq!(
            row(("ws", "16", 1.0 / 3.0), &pairs).expect("a row"),
            "| ws | 16 | 2.00 us | 8.00 us | **0.25** (0.25 to 0.25) | <= 0.33 | 300 | 150 | \
             **2.00** (2.00 to 2.00) |\n"
        );
    }
}
