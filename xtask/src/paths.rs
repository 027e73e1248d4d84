//! Where things are: the workspace's root, its build folder, programs on the PATH.
//!
//! Comes in: the environment. Goes out: paths. Nothing is created or changed here.

use std::path::{Path, PathBuf};

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or_else(|| manifest.to_path_buf(), Path::to_path_buf)
}

/// The folder cargo builds into: `CARGO_TARGET_DIR` when set, else `target/`.
pub(crate) fn build_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where cargo tools are installed when the machine has none of its own, so that a run leaves
/// nothing outside the checkout.
pub(crate) fn tools_folder() -> PathBuf {
    build_folder().join("tools")
}

/// Finds a program on the PATH, or among the tools installed by `setup`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([tools_folder().join("bin")])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
