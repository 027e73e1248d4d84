//! `ebb run SCENARIO`: load by a scenario, with rounds and snapshots where it asks for them. In:
//! a file. Out: a run's folder, the summary on standard output, an exit code.
//! Driving load and taking snapshots is left to `rounds`, showing it to `follow`.

use super::{VERSION, command_line, on_runtime};
use crate::failure::Failure;
use crate::flags::{Environment, Making, Permission};
use crate::follow::{self, Follow};
use crate::form::Reporting;
use crate::outlook::Outlook;
use crate::output::{self, Output};
use crate::push::Pushing;
use crate::transport::Way;
use crate::tui::Purpose;
use crate::{folder_name, interrupt, permission, picture, reach};
use clap::Args;
use ebbtide_loadgen::scenario::units;
use ebbtide_loadgen::{Plan, Scenario, Segment};
use ebbtide_rounds::{Control, Outcome, RunRequest, exit, folder};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The arguments of `ebb run`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb run chat.toml                       rounds of load, a heap snapshot after each, a verdict
  ebb run chat.toml --dry-run             what it would do, what growth it could see, how long
  ebb run chat.toml --dry-run --detect 4  how many operations 4 bytes per operation need
  ebb run chat.toml -e TOKEN=abc --report junit=results.xml
A leak is explained by `ebb leaks RUN --explain 1`.

Exit codes: 0 fine, 1 tool or target failed, 2 bad scenario, 95 invalid measurement,
96 inconclusive (with --strict), 98 leak found, 99 threshold failed, 130 interrupted.")]
pub(crate) struct Run {
    /// The scenario, a TOML file
    scenario: PathBuf,
    /// Seed of everything random, instead of the scenario's
    #[arg(long)]
    seed: Option<u64>,
    /// Threads of the load generator [default: one per core]
    #[arg(short = 'w', long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Load at the start that is not measured, instead of the scenario's
    #[arg(long, value_parser = units::duration)]
    warmup: Option<Duration>,
    /// Drive one part of the load: 0/3, 1/3 and 2/3 on three machines, joined by `report merge`
    #[arg(long, value_name = "I/N", default_value = "0/1", hide_default_value = true)]
    segment: Segment,
    /// Exit with 96 when nothing could be told
    #[arg(long)]
    strict: bool,
    /// Say what would be done, what growth it could see and how long it takes; start and send
    /// nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: growth to see, bytes per operation, in place of the limits
    #[arg(long, value_name = "BYTES", requires = "dry_run", value_parser = growth)]
    detect: Option<f64>,
    #[command(flatten)]
    environment: Environment,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    making: Making,
    #[command(flatten)]
    reporting: Reporting,
    #[command(flatten)]
    pushing: Pushing,
    #[command(flatten)]
    permission: Permission,
}

impl Run {
    /// Runs the scenario and prints its summary.
    ///
    /// # Errors
    ///
    /// When the run could not begin or not be written down.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        self.reporting.check()?;
        let (mut scenario, text) = read_scenario(&self.scenario, &self.environment)?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        self.way.over(&mut scenario.target.transport)?;
        scenario.warmup = self.warmup.unwrap_or(scenario.warmup);
        if scenario.memory.is_some() {
            no_rounds_in_parts(self.segment, self.warmup)?;
        }
        if self.dry_run {
            return self.foretell(&scenario, output);
        }
        if let Some(base) = &scenario.target.base {
            // A port that is still to be found stands for any.
            let plan = Plan::resolve(&scenario, &base.replace("${port}", "1"))?;
            permission::to_load(&plan, &self.permission.allow_host)?;
            if scenario.target.command.is_empty() {
                reach::target(&plan)?;
            }
        }
        let out = self.making.out.unwrap_or_else(|| folder_name::fresh(&scenario.name));
        let request = RunRequest {
            scenario_text: text,
            scenario,
            out,
            command: command_line(),
            ebb: ebb()?,
            threads: self.threads,
            segment: self.segment,
            strict: self.strict,
            version: VERSION.to_owned(),
        };
        let screen = output.has_screen() && !self.making.no_tui && !output.is_quiet();
        let outcome = on_runtime(1, async {
            let control = Control::default();
            interrupt::obey(control.clone(), output)?;
            drive(request, control, output, screen, &self.pushing).await
        })?;
        self.reporting.deliver(&outcome.state, output, Some(&outcome.folder))?;
        Ok(outcome.exit_code)
    }

    /// Says what the run would be, and leaves it at that.
    fn foretell(&self, scenario: &Scenario, output: Output) -> Result<i32, Failure> {
        let base = scenario.target.base.as_deref().unwrap_or(SOMEWHERE);
        let plan = Plan::resolve(scenario, &base.replace("${port}", "1"))?;
        let outlook = Outlook::of(scenario, &plan, self.detect);
        if self.reporting.json {
            output.result(&format!("{:#}\n", outlook.json()))?;
        } else {
            output.result(&outlook.text())?;
        }
        Ok(exit::FINE)
    }
}

/// Stands for the address of a target that would be started.
const SOMEWHERE: &str = "http://127.0.0.1:1";

/// Growth that is asked for.
fn growth(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(bytes) if bytes > 0.0 && f64::is_finite(bytes) => Ok(bytes),
        _ => Err(format!("`{text}` is no number of bytes above 0")),
    }
}

/// Rounds measure the heap of one target after one load, and warm up by themselves.
fn no_rounds_in_parts(segment: Segment, warmup: Option<Duration>) -> Result<(), Failure> {
    if !segment.is_whole() {
        return Err(Failure::usage(
            "a scenario with `[memory]` cannot be driven in parts: leave `--segment` out, or take \
             `[memory]` out of the scenario",
        ));
    }
    if warmup.is_some() {
        return Err(Failure::usage(
            "rounds warm up by themselves: leave `--warmup` out, and set `memory.warmup_rounds`",
        ));
    }
    Ok(())
}

/// Reads and checks a scenario.
///
/// # Errors
///
/// When it cannot be read, or all its faults.
pub(crate) fn read_scenario(
    path: &Path,
    environment: &Environment,
) -> Result<(Scenario, String), Failure> {
    let given = path.display().to_string();
    let name = if given == "-" { "stdin".to_owned() } else { given.clone() };
    let text = crate::text::of(&given)
        .map_err(|why| Failure::usage(format!("scenario `{name}`: {why}")))?;
    let mut scenario = Scenario::parse(&text, &name)
        .map_err(|faults| Failure::usage(picture::of(&faults, &text)))?;
    ebbtide_loadgen::files::read(&mut scenario)?;
    scenario.env.extend(environment.env.iter().cloned());
    Ok((scenario, text))
}

/// Runs a request while it is followed, and writes the report into its folder.
///
/// # Errors
///
/// As [`ebbtide_rounds::run`], or when the report cannot be written.
pub(crate) async fn drive(
    request: RunRequest,
    control: Control,
    output: Output,
    screen: bool,
    pushing: &Pushing,
) -> Result<Outcome, Failure> {
    let (sender, events) = follow::channel();
    let (events, pushers) = pushing.on_the_way(events, output);
    let snapshots = request.scenario.memory.is_some();
    let purpose = Purpose { snapshots, owns_run: true };
    let follow = Follow { output, screen, purpose };
    let run = ebbtide_rounds::run(request, control.clone(), sender);
    let (outcome, followed) = tokio::join!(run, follow.until_end(events, control));
    pushers.finish(output).await;
    let mut outcome = outcome?;
    if let Err(failure) = followed {
        output.say(&format!("the screen was lost: {failure}"));
    }
    let written = match outcome.unwritten.take() {
        None => write_report(&outcome.folder, &outcome.state),
        Some(error) => Err(error.into()),
    };
    // What was measured is told all the same.
    if let Err(failure) = written {
        output.say(&format!("ebb: {failure}"));
        outcome.exit_code = exit::winner(&[outcome.exit_code, exit::FAILED]);
    }
    output.say(&format!("the run is kept in {}", output::shown(&outcome.folder)));
    Ok(outcome)
}

/// Writes `report.html` of a run into its folder: under another name, then renamed.
///
/// # Errors
///
/// When the folder cannot be written.
pub(crate) fn write_report(run: &Path, state: &ebbtide_record::State) -> Result<(), Failure> {
    let path = run.join(folder::REPORT);
    let partial = run.join(format!(".{}.partial", folder::REPORT));
    std::fs::write(&partial, ebbtide_reports::html::render(state))
        .and_then(|()| std::fs::rename(&partial, &path))
        .map_err(|error| Failure::failed(format!("`{}`: {error}: is there room?", path.display())))
}

/// This program, which is what `ebb` stands for in a scenario's command.
///
/// # Errors
///
/// When the system does not say where it is.
pub(crate) fn ebb() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::failed(format!("this program cannot find itself: {error}")))
}
