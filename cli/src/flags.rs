//! The flags that commands have in common, so that the same flag has the same name in all of them.
//! In: words as typed, through clap. Out: values. What they mean for a command is left to the
//! command, and what a colour looks like to `output` and the screen.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

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
    /// Folder for the run, which must not hold one yet [default: ./ebb-runs/TIME-NAME]
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Print progress as lines, even on a terminal
    #[arg(long)]
    pub(crate) no_tui: bool,
}

/// Environment of a scenario.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Set a variable that the scenario reads as `${env.NAME}`; repeatable
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
}

/// A variable as it is typed.
fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a variable is written `NAME=VALUE`".to_owned()),
    }
}

/// Leave to load what is not on this machine.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Permission {
    /// Load this host though it is not this machine; repeatable
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
}
