//! `ebb validate SCENARIO`: all faults of a scenario at once, without starting anything. In: a
//! file, or standard input. Out: what it would do, or every fault with its place.
//! What is a fault is left to `loadgen`.

use super::run::read_scenario;
use crate::failure::Failure;
use crate::flags::Environment;
use crate::outline;
use crate::output::Output;
use clap::Args;
use ebbtide_loadgen::Plan;
use ebbtide_rounds::exit;
use std::path::PathBuf;

/// Stands for the address of a target that is started with the run.
const SOMEWHERE: &str = "http://127.0.0.1:1";

/// The arguments of `ebb validate`.
#[derive(Args, Debug)]
pub(crate) struct Validate {
    /// Scenarios, TOML files; `-` is standard input
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    #[command(flatten)]
    environment: Environment,
}

impl Validate {
    /// Checks the scenarios.
    ///
    /// # Errors
    ///
    /// All faults of all of them.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let mut faults = Vec::new();
        for path in &self.scenarios {
            let checked = read_scenario(path, &self.environment).and_then(|(scenario, _)| {
                let base = scenario.target.base.as_deref().unwrap_or(SOMEWHERE);
                let plan = Plan::resolve(&scenario, &base.replace("${port}", "1"))?;
                Ok(outline::of(&scenario.file, &scenario, &plan))
            });
            match checked {
                Ok(outline) => output.result(&outline)?,
                Err(failure) => faults.push(failure.to_string()),
            }
        }
        if faults.is_empty() { Ok(exit::FINE) } else { Err(Failure::usage(faults.join("\n"))) }
    }
}
