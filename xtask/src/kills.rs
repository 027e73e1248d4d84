//! `cargo xtask kills`: the tests that kill servers at full traffic and cut connections, run for
//! longer than every run of the tests can: 20 kills and 200 cuts, on SQLite and on PostgreSQL.
//!
//! Comes in: how many. Goes out: what the tests say, messages kept and acked among it. What is
//! killed and what is held against what stands in `server/tests/cluster.rs`.

use crate::{paths, process, setup};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// How often.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Settings {
    kills: u32,
    cuts: u32,
}

impl Settings {
    /// From the words after `kills`: pairs of a name and a value.
    fn read(words: &[&str]) -> Result<Settings> {
        let mut settings = Settings { kills: 20, cuts: 200 };
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair[0]) };
            let number = value.parse::<u32>().with_context(|| format!("`{name} {value}`"))?.max(1);
            match *name {
                "--kills" => settings.kills = number,
                "--cuts" => settings.cuts = number,
                _ => bail!("unknown setting `{name}`; --kills, --cuts"),
            }
        }
        Ok(settings)
    }
}

/// Runs the tests for longer.
///
/// # Errors
/// When a message was lost, doubled or out of order, or a program is missing.
pub(crate) fn kills(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words)?;
    setup::install(setup::Purpose::Test)?;
    let mut tests = Command::new("cargo");
    tests.args(["test", "--quiet", "--package", "ebbtide-server", "--test", "cluster", "--"]);
    tests.args(["--nocapture", "--test-threads", "1"]).current_dir(paths::root());
    tests.env("EBBTIDE_KILLS", settings.kills.to_string());
    process::run(tests.env("EBBTIDE_CUTS", settings.cuts.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        let settings = Settings::read(&["--kills", "3", "--cuts", "9"]).expect("settings");
        assert_eq!(settings, Settings { kills: 3, cuts: 9 });
        assert!(Settings::read(&["--kills"]).is_err());
        assert!(Settings::read(&["--wounds", "1"]).is_err());
    }
}
