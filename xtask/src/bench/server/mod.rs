//! `cargo xtask bench server`: fan-out to 1,000 clients by `ebb serve` beside npm's `socket.io` and
//! socketioxide, each on one core, all in one run.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. The clients are `crowd`, on
//! another core; what is compared is the CPU time of the server's process for a delivery, which no
//! client that is slower than the server can spoil.

pub(crate) mod crowd;

use super::compare::GENERATOR_CORE;
use super::numbers::median;
use super::paper::circumstances;
use super::write_down;
use crate::{paths, process, setup};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The core of the servers.
const SERVER_CORE: usize = 0;

/// Messages in flight, and the least ratio of deliveries per CPU second to npm's `socket.io`.
const FLIGHTS: [(u32, f64); 3] = [(1, 1.3), (8, 3.0), (32, 10.0)];

/// What the bench is told by its user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Settings {
    rounds: usize,
    clients: u32,
    seconds: u32,
}

impl Settings {
    /// From the words after `bench server`: pairs of a name and a value.
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings { rounds: 3, clients: 1_000, seconds: 3 };
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair[0]) };
            let number: u32 = value.parse().with_context(|| format!("`{name} {value}`"))?;
            match *name {
                "--rounds" => settings.rounds = usize::try_from(number.max(1))?,
                "--clients" => settings.clients = number.max(1),
                "--seconds" => settings.seconds = number.max(1),
                _ => bail!("unknown setting `{name}`; --rounds, --clients, --seconds"),
            }
        }
        Ok(settings)
    }
}

/// Who serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Peer {
    Ebb,
    Npm,
    Oxide,
}

const PEERS: [Peer; 3] = [Peer::Ebb, Peer::Npm, Peer::Oxide];

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Ebb => "ebb serve",
            Peer::Npm => "npm socket.io",
            Peer::Oxide => "socketioxide",
        }
    }

    fn command(self) -> Command {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(SERVER_CORE.to_string());
        match self {
            Peer::Ebb => {
                let ebb = paths::build_folder().join("release").join("ebb");
                command.arg(ebb).args(["serve", "--port", "0", "--no-probe"]);
            }
            Peer::Npm => {
                let script = paths::root().join("xtask/npm/fanout-server.mjs");
                command.arg("node").arg(script);
            }
            Peer::Oxide => {
                command.arg(peers_folder().join("release").join("socketioxide-peer"));
            }
        }
        command
    }
}

/// Where the peer that is a Rust program is built: it is none of ours.
fn peers_folder() -> std::path::PathBuf {
    paths::build_folder().join("tools-build").join("peers")
}

/// What one server did with so many messages in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) in_flight: u32,
    /// Deliveries for each second of the server's CPU time.
    pub(crate) per_cpu_second: f64,
    /// Deliveries a second.
    pub(crate) rate: f64,
    /// Deliveries that never came.
    pub(crate) lost: u64,
}

/// Runs the comparison, prints its table and writes it down.
///
/// # Errors
/// When a peer cannot be built or started, the machine has fewer than two cores, or `ebb` loses a
/// message.
pub(crate) fn server(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words)?;
    setup::install(setup::Purpose::Test)?;
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("two cores are needed: one for the server, one for its clients");
    }
    println!("building ebb and socketioxide's peer, optimized");
    let words = ["build", "--release", "--quiet", "--package", "ebbtide", "--package", "xtask"];
    process::run(Command::new("cargo").args(words).current_dir(paths::root()))?;
    let peer = paths::root().join("xtask/peers/socketioxide");
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--quiet"]).current_dir(peer);
    process::run(build.env("CARGO_TARGET_DIR", peers_folder()))?;
    let mut measured = Vec::new();
    for round in 1..=settings.rounds {
        for peer in PEERS {
            for figure in measure(peer, settings)? {
                println!(
                    "round {round}  {:<14} {:>2} in flight  {:>9.0} per CPU second  {:>9.0}/s  \
                     {} lost",
                    peer.name(),
                    figure.in_flight,
                    figure.per_cpu_second,
                    figure.rate,
                    figure.lost
                );
                measured.push((peer, figure));
            }
        }
    }
    write_down(&section(settings, &measured)?)
}

/// Starts a server, lets the crowd loose on it, and ends it.
fn measure(peer: Peer, settings: Settings) -> Result<Vec<Measured>> {
    let mut server = Serving::start(peer)?;
    let flights: Vec<String> = FLIGHTS.iter().map(|(count, _)| count.to_string()).collect();
    let mut command = Command::new("taskset");
    command.arg("-c").arg(GENERATOR_CORE.to_string());
    command.arg(paths::build_folder().join("release").join("xtask")).arg("crowd");
    command.args([server.port.to_string(), server.child.id().to_string()]);
    command.args([settings.clients.to_string(), settings.seconds.to_string()]).args(flights);
    let output = command.stderr(Stdio::inherit()).output().context("the crowd")?;
    if !output.status.success() {
        bail!("the crowd at {} failed", peer.name());
    }
    server.end();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures: Vec<Measured> = text.lines().filter_map(crowd::read_line).collect();
    if figures.len() != FLIGHTS.len() {
        bail!("the crowd at {} said `{}`", peer.name(), text.trim());
    }
    Ok(figures)
}

/// A server that runs; killed when dropped.
struct Serving {
    child: Child,
    port: u16,
}

impl Serving {
    fn start(peer: Peer) -> Result<Serving> {
        let mut command = peer.command();
        // `ebb` tells its address on stderr, as a program does that is not asked for a result.
        let (out, error) = match peer {
            Peer::Ebb => (Stdio::null(), Stdio::piped()),
            Peer::Npm | Peer::Oxide => (Stdio::piped(), Stdio::inherit()),
        };
        let child = command.stdin(Stdio::null()).stdout(out).stderr(error).spawn();
        let mut serving = Serving { child: child.context(peer.name())?, port: 0 };
        let mut line = String::new();
        match (serving.child.stdout.take(), serving.child.stderr.take()) {
            (Some(out), _) => BufReader::new(out).read_line(&mut line)?,
            (None, Some(error)) => {
                let mut error = BufReader::new(error);
                let read = error.read_line(&mut line)?;
                // What it says later is read, so that it does not die of a closed pipe.
                std::thread::spawn(move || std::io::copy(&mut error, &mut std::io::sink()));
                read
            }
            (None, None) => 0,
        };
        let digits = line.trim().rsplit([':', ' ']).next().unwrap_or_default();
        serving.port =
            digits.parse().with_context(|| format!("{} said `{}`", peer.name(), line.trim()))?;
        Ok(serving)
    }

    fn end(&mut self) {
        // It may have ended by itself; either way it is waited for, so that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

/// The median of a peer's figures with so many messages in flight.
fn middle(
    measured: &[(Peer, Measured)],
    (peer, in_flight): (Peer, u32),
    figure: impl Fn(&Measured) -> f64,
) -> Result<f64> {
    let own = measured.iter().filter(|(who, one)| *who == peer && one.in_flight == in_flight);
    let figures: Vec<f64> = own.map(|(_, one)| figure(one)).collect();
    median(&figures).with_context(|| format!("{} was not measured", peer.name()))
}

fn section(settings: Settings, measured: &[(Peer, Measured)]) -> Result<String> {
    let mut text = String::new();
    let Settings { rounds, clients, seconds } = settings;
    write!(
        text,
        "## Fan-out: `ebb serve` beside npm's `socket.io` and socketioxide\n\n\
         Written by `cargo xtask bench server`. {clients} clients of Socket.IO in one room over \
         WebSocket; one of them keeps messages of 64 bytes in flight, which everyone gets. \
         The server is on one core, its clients on another; {seconds} s a line, the medians \
         of {rounds} rounds in which the servers take turns. Compared is what a server delivers in \
         each second of its own CPU time (user and system), however quick its \
         clients are; the rate is what came of it here. `ebb serve` keeps each message, numbers \
         it, and remembers it for clients that come back; socketioxide has room for 1,024 packets \
         for each client, since it loses messages with its own 128.\n\n\
         | in flight | `ebb serve`, per CPU second | npm | socketioxide | ebb / npm | goal \
         | ebb / socketioxide | rate of ebb | of npm | of socketioxide | lost |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n"
    )?;
    for (in_flight, goal) in FLIGHTS {
        let per_cpu = |peer| middle(measured, (peer, in_flight), |one| one.per_cpu_second);
        let rate = |peer| middle(measured, (peer, in_flight), |one| one.rate);
        let (ebb, npm, oxide) = (per_cpu(Peer::Ebb)?, per_cpu(Peer::Npm)?, per_cpu(Peer::Oxide)?);
        let lost: Vec<String> = PEERS.iter().map(|peer| lost(measured, *peer, in_flight)).collect();
        writeln!(
            text,
            "| {in_flight} | {ebb:.0} | {npm:.0} | {oxide:.0} | **{:.2}** | >= {goal:.1} | \
             **{:.2}** | {:.0} | {:.0} | {:.0} | {} |",
            ebb / npm,
            ebb / oxide,
            rate(Peer::Ebb)?,
            rate(Peer::Npm)?,
            rate(Peer::Oxide)?,
            lost.join(", "),
        )?;
    }
    text.push_str("\nMeasured with:\n\n");
    let ebb = paths::build_folder().join("release").join("ebb");
    let versions = [
        process::version_line(&ebb.to_string_lossy(), "--version"),
        format!("npm socket.io {}", super::socketio::version_of("socket.io")?),
        "socketioxide 0.18.9".to_owned(),
        format!("Node {}", process::version_line("node", "--version")),
    ];
    for line in circumstances(versions) {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

/// How many deliveries a peer lost in all.
fn lost(measured: &[(Peer, Measured)], peer: Peer, in_flight: u32) -> String {
    let own = measured.iter().filter(|(who, one)| *who == peer && one.in_flight == in_flight);
    own.map(|(_, one)| one.lost).sum::<u64>().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        let settings = Settings { rounds: 1, clients: 9, seconds: 2 };
        let words = ["--rounds", "1", "--clients", "9", "--seconds", "2"];
        assert_eq!(Settings::read(&words).expect("settings"), settings);
        assert!(Settings::read(&["--rounds"]).is_err());
        assert!(Settings::read(&["--peers", "1"]).is_err());
    }

    #[test]
    fn a_middle_is_taken_of_one_peer_and_one_flight() {
        let one =
            |in_flight, per_cpu_second| Measured { in_flight, per_cpu_second, rate: 1.0, lost: 2 };
        let measured = [
            (Peer::Ebb, one(1, 5.0)),
            (Peer::Ebb, one(1, 7.0)),
            (Peer::Ebb, one(8, 90.0)),
            (Peer::Npm, one(1, 90.0)),
            (Peer::Ebb, one(1, 6.0)),
        ];
        let found = middle(&measured, (Peer::Ebb, 1), |one| one.per_cpu_second);
        assert_eq!(found.expect("measured"), 6.0);
        assert!(middle(&measured, (Peer::Oxide, 1), |one| one.rate).is_err());
        assert_eq!(lost(&measured, Peer::Ebb, 1), "6");
    }
}
