//! `cargo xtask setup`: from a bare Debian 12 with Rust and Node to a machine that can run every
//! test (and, for `setup bench`, every bench).
//!
//! Comes in: what is there. Goes out: what was missing, installed: Debian packages by apt-get,
//! npm packages into `xtask/npm/node_modules`, cargo tools into `target/tools`. Quick and silent
//! when nothing is missing; asks the network for nothing then.

use crate::{paths, process};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// What the machine is prepared for.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// Running `cargo xtask test`.
    Test,
    /// Running `cargo xtask bench`, and the tests.
    Bench,
}

/// A program of a Debian package, and why we want it.
struct Package {
    program: &'static str,
    package: &'static str,
    purpose: Purpose,
}

const PACKAGES: [Package; 15] = [
    // jemalloc is built by configure and make.
    Package { program: "make", package: "make", purpose: Purpose::Test },
    // The screens are tested in a real terminal.
    Package { program: "tmux", package: "tmux", purpose: Purpose::Test },
    // The HTML report is opened by a real browser.
    Package { program: "chromium", package: "chromium", purpose: Purpose::Test },
    // Examples in Go are read by its own tools.
    Package { program: "gofmt", package: "golang-go", purpose: Purpose::Test },
    // Its DHAT writes heap profiles of programs that the tests compile.
    Package { program: "valgrind", package: "valgrind", purpose: Purpose::Test },
    Package { program: "gcc", package: "gcc", purpose: Purpose::Test },
    // The server's data is kept in it too. Its programs are not on the PATH; this one comes along.
    Package { program: "pg_ctlcluster", package: "postgresql", purpose: Purpose::Test },
    // Joins several processes of the server.
    Package { program: "redis-server", package: "redis-server", purpose: Purpose::Test },
    // A server in it that forks its workers.
    Package { program: "python3", package: "python3", purpose: Purpose::Test },
    // libFuzzer is C++.
    Package { program: "g++", package: "g++", purpose: Purpose::Test },
    // The peer that every load generator is measured against.
    Package { program: "wrk", package: "wrk", purpose: Purpose::Bench },
    // Two more that are in many hands.
    Package { program: "tsung", package: "tsung", purpose: Purpose::Bench },
    Package { program: "hey", package: "hey", purpose: Purpose::Bench },
    Package { program: "h2load", package: "nghttp2-client", purpose: Purpose::Bench },
    Package { program: "ab", package: "apache2-utils", purpose: Purpose::Bench },
];

/// A cargo tool: built once into `target/tools`, unless the machine has it on the PATH.
struct Tool {
    program: &'static str,
    version: &'static str,
    purpose: Purpose,
    /// Built without optimization: it works on little input, and its build is what takes long.
    debug: bool,
}

const TOOLS: [Tool; 2] = [
    Tool { program: "cargo-deny", version: "0.20.2", purpose: Purpose::Test, debug: true },
    Tool { program: "oha", version: "1.16.0", purpose: Purpose::Bench, debug: false },
];

/// Installs what is missing for the purpose. Idempotent.
///
/// # Errors
/// When a package manager is missing or fails; the message says what to install by hand.
pub(crate) fn install(purpose: Purpose) -> Result<()> {
    let wanted = |of: Purpose| of == Purpose::Test || purpose == Purpose::Bench;
    install_packages(PACKAGES.iter().filter(|package| wanted(package.purpose)))?;
    install_node_modules()?;
    for tool in TOOLS.iter().filter(|tool| wanted(tool.purpose)) {
        install_tool(tool)?;
    }
    Ok(())
}

/// Debian packages whose program is not on the PATH.
fn install_packages<'a>(packages: impl Iterator<Item = &'a Package>) -> Result<()> {
    let missing: Vec<&str> = packages
        .filter(|package| paths::find_program(package.program).is_none())
        .map(|package| package.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if paths::find_program("apt-get").is_none() {
        bail!("missing: {list}; this machine has no apt-get, so install them in its own way");
    }
    println!("setup: installing {list} by apt-get");
    let update = ["update", "-qq"];
    let install = ["install", "--yes", "-qq", "--no-install-recommends"];
    process::run(as_root("apt-get").args(update))
        .and_then(|()| process::run(as_root("apt-get").args(install).args(&missing)))
        .with_context(|| format!("install them by hand: {list}"))
}

/// The command as it stands for root, behind sudo for everyone else.
fn as_root(program: &str) -> Command {
    let is_root = rustix::process::geteuid().is_root();
    // `env` on both sides of sudo, which hands no variables on by itself.
    let words = ["sudo", "env", "DEBIAN_FRONTEND=noninteractive", program];
    let words = if is_root { &words[1..] } else { &words[..] };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// `npm ci` when the installed tree is not the one the lock file asks for. A copy of the lock
/// file, left behind after a full install, tells.
fn install_node_modules() -> Result<()> {
    let folder = paths::root().join("xtask").join("npm");
    let lock = std::fs::read(folder.join("package-lock.json"))
        .with_context(|| format!("{}: package-lock.json", folder.display()))?;
    let stamp = folder.join("node_modules").join(".installed-lock.json");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    if paths::find_program("npm").is_none() {
        bail!("`npm` is missing; install Node 20 or later (Debian: apt-get install nodejs npm)");
    }
    println!("setup: installing npm packages into xtask/npm");
    process::run(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&folder),
    )?;
    std::fs::write(&stamp, lock).with_context(|| stamp.display().to_string())
}

/// A cargo tool that is neither on the PATH nor in `target/tools`.
fn install_tool(tool: &Tool) -> Result<()> {
    if paths::find_program(tool.program).is_some() {
        return Ok(());
    }
    let Tool { program, version, debug, .. } = tool;
    println!("setup: building {program} {version}, once, into target/tools (some minutes)");
    let mut command = Command::new("cargo");
    command.args(["install", program, "--version", version, "--locked", "--quiet", "--root"]);
    command.arg(paths::tools_folder());
    if *debug {
        command.arg("--debug").env("CARGO_PROFILE_DEV_DEBUG", "0");
    }
    // A build folder that stays makes a build that was cut off go on where it stopped.
    command.env("CARGO_TARGET_DIR", paths::build_folder().join("tools-build"));
    process::run(&mut command)
}
