//! `ebb`: load testing and leak diagnostics for long-lived servers. In: arguments, or none for a
//! short help. Out: the result on standard output, all else on standard error, and an exit code.
//!
//! Here stand the allocator, the runtime's start and the one place where errors are printed.
//! What the commands do is left to the other crates; each command has one file.

mod cli;
mod commands;
mod events;
mod failure;
mod flags;
mod folder_name;
mod follow;
mod form;
mod heap;
mod interrupt;
mod outline;
mod outlook;
mod output;
mod permission;
mod picture;
mod progress;
mod protocol;
mod push;
mod reach;
mod secret;
mod settings;
mod text;
mod transport;
mod tui;
mod web;

use clap::Parser;
use clap::error::ErrorKind;
use failure::Failure;
use std::io::Write;

/// Inactive, and as quick as plain jemalloc, until `serve` starts the probe.
#[global_allocator]
static ALLOCATOR: ebbtide_probe::Allocator = ebbtide_probe::Allocator;

fn main() {
    let code = match cli::Cli::try_parse() {
        Ok(cli) => cli.run().unwrap_or_else(|failure| told(&failure)),
        Err(error) => refused(&error),
    };
    std::process::exit(code);
}

/// Prints a failure, once.
fn told(failure: &Failure) -> i32 {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "ebb: {failure}");
    failure.exit_code()
}

/// Help and version are results; bad arguments are failures in clap's words.
fn refused(error: &clap::Error) -> i32 {
    // Nobody reads it when the stream is closed.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ebbtide_rounds::exit::FINE,
        _ => ebbtide_rounds::exit::USAGE,
    }
}
