//! The command line as a whole: which commands there are, and which one is asked for. In: the
//! words as typed. Out: the exit code of the command. Whether a command's values make sense
//! together, and all of its work, is left to the command.

use crate::commands::{
    demo, diff, dump, import, leaks, load, report, run, schema, serve, show, validate, watch,
};
use crate::failure::Failure;
use crate::flags::Shared;
use crate::output::Output;
use clap::{Parser, Subcommand};

/// Shown without arguments.
const EXAMPLES: &str = "\
Examples:
  ebb demo                                  find a planted leak, and see what it looks like
  ebb load http://127.0.0.1:8080/ -c 64     load a URL for ten seconds
  ebb run scenario.toml                     load by a scenario, watch memory, name leaks";

/// Load testing and leak diagnostics for long-lived servers.
#[derive(Debug, Parser)]
#[command(
    name = "ebb",
    version,
    about,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Flags of all commands.
    #[command(flatten)]
    pub(crate) shared: Shared,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole tool in a minute: load a server with a planted leak, name the leak, mend it
    Demo(demo::Demo),
    /// Run the reference server: a chat over WebSocket and REST, with leaks to switch on
    Serve(serve::Serve),
    /// Load one URL
    Load(load::Load),
    /// Load by a scenario, with the memory watch where it asks for one
    Run(run::Run),
    /// Take a heap snapshot of a process now
    Dump(dump::Dump),
    /// Show what a heap snapshot holds
    Show(show::Show),
    /// Compare two heap snapshots
    Diff(diff::Diff),
    /// Judge a series of snapshots, or a run again
    Leaks(leaks::Leaks),
    /// Show a live process, or a run's folder, on a screen
    Watch(watch::Watch),
    /// Render a run again, finished or not
    Report(report::Report),
    /// Make a scenario out of a HAR file, an OpenAPI document or a curl command
    Import(import::Import),
    /// Print the JSON Schema of a form
    Schema(schema::Schema),
    /// Check a scenario and list all its faults
    Validate(validate::Validate),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    ///
    /// What kept the command from its work.
    pub(crate) fn run(self) -> Result<i32, Failure> {
        let output = Output::new(self.shared);
        log_to_stderr(self.shared, matches!(self.command, Command::Serve(_)));
        match self.command {
            Command::Demo(demo) => demo.run(output),
            Command::Serve(serve) => serve.run(output),
            Command::Load(load) => load.run(output),
            Command::Run(run) => run.run(output),
            Command::Dump(dump) => dump.run(output),
            Command::Show(show) => show.run(output),
            Command::Diff(diff) => diff.run(output),
            Command::Leaks(leaks) => leaks.run(output),
            Command::Watch(watch) => watch.run(output),
            Command::Report(report) => report.run(output),
            Command::Import(import) => import.run(output),
            Command::Schema(schema) => schema.run(output),
            Command::Validate(validate) => validate.run(output),
        }
    }
}

/// Warnings of the libraries, and with `-v` more; what the server does, with `serve`.
fn log_to_stderr(shared: Shared, serves: bool) {
    use tracing_subscriber::filter::LevelFilter;
    let level = match (shared.quiet, shared.verbose, serves) {
        (true, ..) => LevelFilter::ERROR,
        (_, 0, true) | (_, 1, false) => LevelFilter::INFO,
        (_, 0, false) => LevelFilter::ERROR,
        (_, 1, true) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let color = Output::new(shared).color(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_target(false)
        .init();
}
