//! `cargo xtask bench cluster`: how long a message takes from a client of one `ebb serve` to all
//! clients of several, joined by Redis over one PostgreSQL; at growing rates, until it takes too
//! long.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. The programs are `services`,
//! the clients `audience`. Redis keeps nothing; PostgreSQL syncs each commit, as it does unless
//! told otherwise.

mod audience;
mod services;

use super::numbers::median;
use super::paper::circumstances;
use super::{Scratch, write_down};
use crate::{process, setup};
use anyhow::{Context, Result, bail};
use audience::{Audience, Heard};
use services::Services;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What 99 of 100 deliveries may take.
const LIMIT: Duration = Duration::from_millis(10);

/// The rate at which that is asked, in messages a second.
const ASKED: u32 = 200;

/// What the bench is told by its user.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Settings {
    processes: usize,
    /// At each process.
    clients: u32,
    seconds: u32,
    rounds: u32,
    /// An `ebb` that is built already.
    ebb: Option<PathBuf>,
}

impl Settings {
    /// From the words after `bench cluster`: pairs of a name and a value.
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings { processes: 3, clients: 20, seconds: 5, rounds: 3, ebb: None };
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair[0]) };
            let number = || value.parse::<u32>().with_context(|| format!("`{name} {value}`"));
            match *name {
                "--processes" => settings.processes = usize::try_from(number()?.clamp(1, 16))?,
                "--clients" => settings.clients = number()?.clamp(1, 1_000),
                "--seconds" => settings.seconds = number()?.max(1),
                "--rounds" => settings.rounds = number()?.max(1),
                "--ebb" => settings.ebb = Some(PathBuf::from(value)),
                _ => bail!(
                    "unknown setting `{name}`; --processes, --clients, --seconds, --rounds, --ebb"
                ),
            }
        }
        Ok(settings)
    }
}

/// What one rate came to, over all rounds.
#[derive(Clone, Debug)]
struct Line {
    rate: u32,
    rounds: Vec<Heard>,
}

impl Line {
    fn middle(&self, figure: impl Fn(&Heard) -> f64) -> Result<f64> {
        median(&self.rounds.iter().map(figure).collect::<Vec<_>>()).context("nothing was measured")
    }

    fn lost(&self) -> u64 {
        self.rounds.iter().map(|heard| heard.lost).sum()
    }

    /// Whether it took too long, by the median of the rounds, or something was lost.
    fn breaks(&self) -> Result<bool> {
        Ok(self.lost() > 0 || self.middle(|heard| heard.p99)? > LIMIT.as_secs_f64() * 1e3)
    }
}

/// Measures, prints the table and writes it down.
///
/// # Errors
/// When a program is missing or fails, or a message is lost at the rate that is asked for.
pub(crate) fn cluster(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words)?;
    setup::install(setup::Purpose::Test)?;
    let ebb = match &settings.ebb {
        Some(ebb) => ebb.clone(),
        None => super::probe::built()?,
    };
    let scratch = Scratch::new("cluster")?;
    let services = Services::start(&scratch.path, &ebb, settings.processes)?;
    let mut audience = Audience::gather(&services.ports, settings.clients)?;
    // Connections to the database are made, statements prepared.
    audience.speak(ASKED, Duration::from_secs(1))?;
    let mut lines = Vec::new();
    for rate in (0..6).map(|step| ASKED << step) {
        let mut line = Line { rate, rounds: Vec::new() };
        for round in 1..=settings.rounds {
            let heard = audience.speak(rate, Duration::from_secs(settings.seconds.into()))?;
            println!("{rate:>5}/s  round {round}  {heard}");
            line.rounds.push(heard);
        }
        let breaks = line.breaks()?;
        lines.push(line);
        if breaks {
            break;
        }
    }
    write_down(&section(&settings, &ebb, &lines)?)
}

fn section(settings: &Settings, ebb: &std::path::Path, lines: &[Line]) -> Result<String> {
    let mut text = String::new();
    let Settings { processes, clients, seconds, rounds, .. } = settings;
    write!(
        text,
        "## Several processes: from one client to all\n\n\
         Written by `cargo xtask bench cluster`. {processes} processes of `ebb serve`, joined by \
         Redis over one PostgreSQL that syncs each commit, {clients} clients of Socket.IO over \
         WebSocket at each, all in one room, all on this machine. The messages are sent at a \
         fixed rate by one client after the other, each time at another process; a delivery takes \
         from the moment its message was due until a client has read it. Every message is kept \
         and numbered before anyone hears it. {rounds} rounds of {seconds} s a rate; medians over \
         the rounds, in milliseconds. The goal is a 99th percentile of {} ms at {ASKED} messages \
         a second.\n\n\
         | messages a second | deliveries a second | p50 | p99 | greatest | lost |\n\
         |---|---|---|---|---|---|\n",
        LIMIT.as_millis(),
    )?;
    for line in lines {
        writeln!(
            text,
            "| {} | {:.0} | {:.2} | **{:.2}** | {:.1} | {} |",
            line.rate,
            line.middle(|heard| heard.rate)?,
            line.middle(|heard| heard.p50)?,
            line.middle(|heard| heard.p99)?,
            line.middle(|heard| heard.max)?,
            line.lost(),
        )?;
    }
    text.push_str("\nMeasured with:\n\n");
    let versions = [
        process::version_line(&ebb.to_string_lossy(), "--version"),
        process::version_line("redis-server", "--version"),
        format!("PostgreSQL {}", process::package_version("postgresql")),
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
        let words = ["--processes", "2", "--clients", "9", "--rounds", "1", "--ebb", "x"];
        let expected = Settings {
            processes: 2,
            clients: 9,
            seconds: 5,
            rounds: 1,
            ebb: Some(PathBuf::from("x")),
        };
        assert_eq!(Settings::read(&words).expect("settings"), expected);
        assert!(Settings::read(&["--rounds"]).is_err());
        assert!(Settings::read(&["--peers", "1"]).is_err());
    }

    #[test]
    fn a_rate_breaks_by_its_median_or_by_a_loss() {
        let heard = |p99, lost| Heard { p50: 1.0, p99, max: 50.0, rate: 1.0, lost };
        let breaks = |rounds: &[Heard]| Line { rate: 1, rounds: rounds.to_vec() }.breaks();
        for (rounds, expected) in [
            (vec![heard(3.0, 0), heard(30.0, 0), heard(4.0, 0)], false),
            (vec![heard(11.0, 0), heard(30.0, 0), heard(4.0, 0)], true),
            (vec![heard(1.0, 0), heard(1.0, 1), heard(1.0, 0)], true),
        ] {
            assert_eq!(breaks(&rounds).expect("measured"), expected, "{rounds:?}");
        }
    }
}
