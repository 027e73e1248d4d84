//! `ebb validate SCENARIO`: all faults of a scenario at once, without starting anything. In: a
//! file. Out: one line that says what it would do, or every fault with its place.
//! What is a fault is left to `loadgen`.

use super::run::read_scenario;
use crate::failure::Failure;
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
    /// Scenarios, TOML files
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
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
            let checked = read_scenario(path).and_then(|(scenario, _)| {
                let base = scenario.target.base.as_deref().unwrap_or(SOMEWHERE);
                Plan::resolve(&scenario, base)?;
                Ok(scenario)
            });
            match checked {
                Ok(scenario) => {
                    let flows: Vec<&str> = scenario.flows.keys().map(String::as_str).collect();
                    let memory = scenario.memory.as_ref().map_or_else(String::new, |watch| {
                        format!(", {} rounds of memory watch", watch.rounds)
                    });
                    output.result(&format!(
                        "{}: fine: `{}` with {}{memory}\n",
                        path.display(),
                        scenario.name,
                        flows.join(", ")
                    ))?;
                }
                Err(failure) => faults.push(failure.to_string()),
            }
        }
        if faults.is_empty() { Ok(exit::FINE) } else { Err(Failure::usage(faults.join("\n"))) }
    }
}
