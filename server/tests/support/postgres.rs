//! A PostgreSQL of a test's own, in a temporary folder, reached by a socket in it.
//! In: the programs of the Debian package. Out: the address of a fresh database, and the server's
//! end when the value is dropped. It refuses to run as root, so root hands it to `nobody`.
//! Leaves to others: what is in the database.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The user `nobody` and its group, on every Linux.
const NOBODY: u32 = 65_534;

/// A running PostgreSQL.
pub struct Postgres {
    folder: tempfile::TempDir,
    server: Child,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("ebb-pg").tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let command = |name: &str| {
            let mut command = Command::new(program(name));
            command.current_dir(folder.path()).env_clear().env("PATH", "/usr/bin:/bin");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if is_root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        let made = command("initdb")
            .args(["-D", "data", "-U", "ebb", "-A", "trust", "-E", "UTF8"])
            .args(["--no-locale", "--no-sync"])
            .status()
            .unwrap();
        assert!(made.success(), "initdb: {made}");
        let server = command("postgres")
            .args(["-D", "data", "-c", "listen_addresses=", "-k"])
            .arg(folder.path())
            .args(["-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "autovacuum=off"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut postgres = Self { folder, server };
        postgres.wait();
        postgres
    }

    /// Reads its log until it takes connections, and lets a thread read the rest away.
    fn wait(&mut self) {
        let mut log = BufReader::new(self.server.stderr.take().unwrap()).lines();
        let mut told = String::new();
        while !told.contains("ready to accept connections") {
            told = log.next().expect("postgres has ended").unwrap();
        }
        std::thread::spawn(move || log.for_each(drop));
    }

    /// The address of the database `postgres`, or another that has been made in it.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://ebb@{folder}/{database}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once and without a farewell: nothing of it is wanted.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.server),
            rustix::process::Signal::QUIT,
        );
        let _ = self.server.wait();
    }
}

/// The programs are not on the PATH in Debian: each version has a folder.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let found = std::env::split_paths(&path)
        .chain(folders)
        .map(|folder| folder.join(name))
        .find(|file| Path::is_file(file));
    found.unwrap_or_else(|| panic!("`{name}` is missing: run `cargo xtask setup`"))
}
