//! What the tests against others share: our example server in this process, and Node with npm's
//! packages.
//!
//! Comes in: settings, scripts. Goes out: addresses and what the scripts said. What they must say
//! is left to the tests.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder of `node_modules`, and the folder of our scripts.
pub(crate) fn npm_folders(package: &str) -> (PathBuf, PathBuf) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let npm = std::env::var_os("EBBTIDE_NPM").map_or(here.join("../xtask/npm"), PathBuf::from);
    let hint = "run `cargo xtask setup`: others' programs judge our protocol";
    let is_there = npm.join("node_modules").join(package).is_dir();
    assert!(is_there, "{hint}: no `{package}` in {}", npm.display());
    (npm, here.join("tests/npm"))
}

/// Runs a script to its end; what it printed. A failure shows all of it.
pub(crate) fn run_script(name: &str, package: &str, arguments: &[&str]) -> String {
    let (npm, scripts) = npm_folders(package);
    let run = Command::new("node").arg(scripts.join(name)).arg(npm).args(arguments).output();
    let run = run.unwrap_or_else(|error| panic!("run `cargo xtask setup`: node: {error}"));
    let printed = String::from_utf8_lossy(&run.stdout).into_owned();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name}:\n{printed}\n{errors}");
    printed
}
