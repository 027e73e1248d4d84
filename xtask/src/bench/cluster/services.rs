//! The programs of `cargo xtask bench cluster`: PostgreSQL, Redis, and several `ebb serve`.
//!
//! Comes in: a folder, how many. Goes out: ports that are listened on; all of them end with the
//! value. PostgreSQL refuses to run as root, so root hands it to `nobody`.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The user `nobody` and its group, on every Linux.
const NOBODY: u32 = 65_534;

/// What a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What access tokens would be signed with; nobody logs in.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// All programs, the last one started first to end.
pub(super) struct Services {
    /// Of the servers.
    pub(super) ports: Vec<u16>,
    _servers: Vec<Running>,
    _redis: Running,
    _postgres: Running,
}

/// A program that runs; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for, so that none is left behind.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Services {
    /// Starts all of them.
    pub(super) fn start(folder: &Path, ebb: &Path, processes: usize) -> Result<Services> {
        let (postgres, database) = start_postgres(folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut redis = Command::new("redis-server");
        redis.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        let redis = spawn(redis.arg(port.to_string()).stdout(Stdio::null()))?;
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > end {
                bail!("redis-server does not listen");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let (mut servers, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..processes {
            let url = format!("redis://127.0.0.1:{port}");
            let mut command = Command::new(ebb);
            command.args(["serve", "--port", "0", "--no-probe", "--secret", SECRET]);
            command.args(["--database", &database, "--redis", &url]).stderr(Stdio::piped());
            let mut server = spawn(&mut command)?;
            let said = server.0.stderr.take().context("it is piped")?;
            let line = first_line(said, |line| line.starts_with("serving "))?;
            let digits = line.trim().rsplit(':').next().unwrap_or_default();
            ports.push(digits.parse().with_context(|| format!("`ebb serve` said `{line}`"))?);
            servers.push(server);
        }
        Ok(Services { ports, _servers: servers, _redis: redis, _postgres: postgres })
    }
}

fn spawn(command: &mut Command) -> Result<Running> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).spawn();
    Ok(Running(child.with_context(|| format!("`{name}` (run `cargo xtask setup`)"))?))
}

/// Reads until a line is the one; the rest is read away, so that the program does not die of a
/// closed pipe.
fn first_line(
    from: impl std::io::Read + Send + 'static,
    is_it: impl Fn(&str) -> bool,
) -> Result<String> {
    let mut lines = BufReader::new(from).lines();
    let mut told = String::new();
    for line in lines.by_ref() {
        let line = line?;
        if is_it(&line) {
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(line);
        }
        told.push_str(&line);
    }
    bail!("it ended: {told}")
}

/// A cluster of its own, and the address of a database in it.
fn start_postgres(folder: &Path) -> Result<(Running, String)> {
    let is_root = rustix::process::geteuid().is_root();
    let folder = folder.join("pg");
    std::fs::create_dir(&folder)?;
    if is_root {
        chown(&folder, Some(NOBODY), Some(NOBODY))?;
    }
    let command = |name: &str| -> Result<Command> {
        let mut command = Command::new(postgres_program(name)?);
        command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ok(command)
    };
    let mut making = command("initdb")?;
    making.args(["-D", "data", "-U", "ebb", "-A", "trust", "-E", "UTF8", "--no-locale"]);
    if !making.status()?.success() {
        bail!("`initdb` failed");
    }
    let mut serving = command("postgres")?;
    serving.args(["-D", "data", "-c", "listen_addresses=", "-k"]).arg(&folder);
    let mut postgres = spawn(serving.stderr(Stdio::piped()))?;
    let said = postgres.0.stderr.take().context("it is piped")?;
    first_line(said, |line| line.contains("ready to accept connections"))?;
    let folder = folder.to_string_lossy().replace('/', "%2F");
    Ok((postgres, format!("postgres://ebb@{folder}/postgres")))
}

/// The programs are not on the PATH in Debian: each version has a folder.
fn postgres_program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let found = std::env::split_paths(&path)
        .chain(folders)
        .map(|folder| folder.join(name))
        .find(|file| Path::is_file(file));
    found.with_context(|| format!("`{name}` is missing: run `cargo xtask setup`"))
}
