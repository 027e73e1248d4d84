//! The arguments as typed. The same flag has the same name in every command. What a command
//! needs beyond them, and whether the values make sense together, is left to the command.

use crate::commands::{demo, diff, dump, leaks, load, report, run, serve, validate, watch};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

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

/// Flags of all commands.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Shared {
    /// Say nothing but the result
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more; twice for all there is to say
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Use colors: never when NO_COLOR is set, unless `always`
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// When to use colors.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Flags of commands that make a run.
#[derive(Args, Clone, Debug)]
pub(crate) struct Making {
    /// Folder for the run, which must not hold one yet [default: ./ebb-runs/<time>-<name>]
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Print the summary as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    /// Print progress as lines, even on a terminal
    #[arg(long)]
    pub(crate) no_tui: bool,
}

/// Leave to load what is not on this machine.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Permission {
    /// Load this host though it is not this machine; repeatable
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
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
    /// Compare two heap snapshots
    Diff(diff::Diff),
    /// Judge a series of snapshots, or a run again
    Leaks(leaks::Leaks),
    /// Show a live process, or a run's folder, on a screen
    Watch(watch::Watch),
    /// Render a run again, finished or not
    Report(report::Report),
    /// Check a scenario and list all its faults
    Validate(validate::Validate),
}
