//! The target's process: started on a free port and stopped again, or attached to. In: the
//! scenario's target. Out: its base URL and pid, and the word when it ends. What its memory
//! looks like is left to `observe`.
//!
//! A started target never outlives the run: it is told to end, then made to, and should the run
//! itself be killed, the kernel tells it.

mod ready;

use crate::folder::TARGET_LOG;
use crate::listening;
use ebbtide_loadgen::scenario::Target;
use ready::Probe;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

/// How long a started target has until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked.
const READY_EVERY: Duration = Duration::from_millis(20);
/// How long a started command opens no more ports before one of them is chosen.
const CALM: Duration = Duration::from_millis(200);
/// How long one question may take.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// How long it has to end once told to.
const END_WITHIN: Duration = Duration::from_secs(5);
/// What is shown of what it wrote when it fails.
const TAIL_LINES: usize = 3;
/// Bytes read from the end of its log for that.
const TAIL_BYTES: u64 = 4_096;
/// The variable with options of Node; nothing else knows it.
pub const NODE_OPTIONS: &str = "NODE_OPTIONS";
/// The placeholder for the port.
const PORT: &str = "${port}";

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The scenario names none.
    #[error("no target: give `[target]` a `base` or a `command`")]
    Missing,
    /// The command could not be started.
    #[error("target `{command}` could not be started: {source}: check `target.command`")]
    Start {
        /// The program.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("target `{command}` ended before it was ready ({status}): {tail}")]
    Ended {
        /// The program.
        command: String,
        /// How it ended.
        status: String,
        /// The last it wrote.
        tail: String,
    },
    /// It did not become ready.
    #[error(
        "target at {address} was not ready within {} s: {reason}; it wrote: {tail}",
        READY_WITHIN.as_secs()
    )]
    NotReady {
        /// Where it should listen.
        address: String,
        /// What it did instead, and the cure.
        reason: String,
        /// The last it wrote.
        tail: String,
    },
    /// It ran, and listened nowhere.
    #[error(
        "`{command}` listened on no port within {} s: it must listen on TCP by itself; the \
         variable `PORT` names a free port. It wrote: {tail}", READY_WITHIN.as_secs()
    )]
    Silent {
        /// The program.
        command: String,
        /// The last it wrote.
        tail: String,
    },
    /// No free port, or no file for its output.
    #[error("target could not be prepared: {0}")]
    Prepare(#[from] io::Error),
}

/// What a target is started with besides its own command.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// What `ebb` as the first word of a command stands for.
    pub ebb: PathBuf,
    /// Environment added to ours; the scenario's own wins over it.
    pub env: BTreeMap<String, String>,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A target that runs.
#[derive(Debug)]
pub struct RunningTarget {
    /// `http://127.0.0.1:41231`.
    pub base: String,
    /// Its process, where it is known.
    pub pid: Option<u32>,
    /// The port that it was told to listen on.
    port: Option<u16>,
    child: Option<Child>,
    /// Where its output goes, as a person is told.
    log: String,
}

#[derive(Debug)]
struct Child {
    pidfd: OwnedFd,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl RunningTarget {
    /// Starts the scenario's target, or takes the one that runs already.
    ///
    /// # Errors
    ///
    /// [`TargetError`]; a target that was started is ended again.
    pub async fn start(target: &Target, around: &Surroundings) -> Result<Self, TargetError> {
        if target.command.is_empty() {
            let base = target.base.clone().ok_or(TargetError::Missing)?;
            let (pid, port, child) = (target.pid, None, None);
            return Ok(Self { base, pid, port, child, log: String::new() });
        }
        let port = free_port()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let argv: Vec<OsString> = target
            .command
            .iter()
            .enumerate()
            .map(|(index, word)| match word.as_str() {
                "ebb" if index == 0 => around.ebb.clone().into_os_string(),
                word => word.replace(PORT, &port.to_string()).into(),
            })
            .collect();
        let name = target.command.join(" ");
        let child = spawn(&argv, target, around, port)
            .await
            .map_err(|source| TargetError::Start { command: name.clone(), source })?;
        let base = match &target.base {
            Some(base) => base.replace(PORT, &port.to_string()),
            None => format!("http://{address}"),
        };
        let (pid, child) = child;
        let log = TARGET_LOG.to_owned();
        let mut running = Self { base, pid: Some(pid), port: Some(port), child: Some(child), log };
        let ready = target.ready.as_deref().unwrap_or_default();
        let probe = Probe::new(&running.base, target, address);
        match running.until_ready(&probe, ready).await {
            Ok(()) => Ok(running),
            Err(status) => {
                let found = running.pid.map(listening::of).unwrap_or_default();
                running.stop().await;
                let tail = tail(&around.log);
                Err(match status {
                    Some(status) => {
                        TargetError::Ended { command: name, status: status.to_string(), tail }
                    }
                    None => {
                        let (address, reason) =
                            (address.to_string(), unready(address, &found, ready));
                        TargetError::NotReady { address, reason, tail }
                    }
                })
            }
        }
    }

    /// Starts a command, and finds the port that it, or what it started, listens on: the
    /// `wanted` one; else the free one that the variable `PORT` names to it; else the first that
    /// answers `path` with success, since there may be ports for debugging; else the first.
    ///
    /// # Errors
    ///
    /// [`TargetError`]; a command that was started is ended again.
    pub async fn listening(
        command: &[String],
        (wanted, path): (Option<u16>, &str),
        around: &Surroundings,
    ) -> Result<Self, TargetError> {
        let name = command.join(" ");
        let port = free_port()?;
        let argv: Vec<OsString> = match command.split_first() {
            Some((first, rest)) if first == "ebb" => {
                let ebb = around.ebb.clone().into_os_string();
                std::iter::once(ebb).chain(rest.iter().map(OsString::from)).collect()
            }
            Some(_) => command.iter().map(OsString::from).collect(),
            None => return Err(TargetError::Missing),
        };
        let (pid, child) = spawn(&argv, &Target::default(), around, port)
            .await
            .map_err(|source| TargetError::Start { command: name.clone(), source })?;
        let log = around.log.display().to_string();
        let (base, child) = (String::new(), Some(child));
        let mut running = Self { base, pid: Some(pid), port: None, child, log };
        let deadline = Instant::now() + READY_WITHIN;
        let (mut before, mut since) = (Vec::new(), Instant::now());
        while Instant::now() < deadline {
            if let Some(status) = running.ended() {
                let (status, tail) = (status.to_string(), tail(&around.log));
                return Err(TargetError::Ended { command: name, status, tail });
            }
            let found = listening::of(pid);
            if found != before {
                (before, since) = (found, Instant::now());
            }
            let named = wanted.unwrap_or(port);
            let mut chosen = before.iter().copied().find(|address| address.port() == named);
            if chosen.is_none() && wanted.is_none() && since.elapsed() >= CALM {
                chosen = answering(&before, path).await;
            }
            if let Some(address) = chosen {
                running.base = format!("http://{}", reachable(address).await);
                return Ok(running);
            }
            sleep(READY_EVERY).await;
        }
        running.stop().await;
        Err(TargetError::Silent { command: name, tail: tail(&around.log) })
    }

    /// A text of the scenario in which `${port}` stands for the port it was told.
    #[must_use]
    pub fn on_port(&self, text: &str) -> String {
        match self.port {
            Some(port) => text.replace(PORT, &port.to_string()),
            None => text.to_owned(),
        }
    }

    /// Whether it was started by us.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.child.is_some()
    }

    /// How it ended, if it was ours and did. For a target of others: `None`, ended or not.
    #[must_use]
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.as_ref().and_then(|child| *child.ended.borrow())
    }

    /// How it ended, in words.
    #[must_use]
    pub fn ending(&self) -> Option<String> {
        let status = self.ended()?;
        Some(match status.signal() {
            Some(signal) => format!("the target was killed by signal {signal}"),
            None => format!("the target ended by itself ({status}): see `{}`", self.log),
        })
    }

    /// Waits until it has ended. Never returns for a target of others.
    pub async fn gone(&self) {
        let Some(child) = &self.child else { return std::future::pending().await };
        // Fails when the thread that waits for it is gone, and then nobody can tell.
        if child.ended.clone().wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Tells it to end, then makes it. Does nothing for a target of others.
    pub async fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        for signal in [Signal::TERM, Signal::KILL] {
            if child.ended.borrow().is_some() {
                return;
            }
            // Fails only when it is gone already, which is what is wanted.
            let _ = pidfd_send_signal(&child.pidfd, signal);
            let gone = child.ended.wait_for(Option::is_some);
            if timeout(END_WITHIN, gone).await.is_ok() {
                return;
            }
        }
    }

    /// Ends it now, and what it started itself. Does nothing for a target of others.
    pub fn kill(&mut self) {
        let Some(child) = &self.child else { return };
        if child.ended.borrow().is_some() {
            return;
        }
        // Fails only when it is gone already, which is what is wanted.
        let _ = pidfd_send_signal(&child.pidfd, Signal::KILL);
        if let Some(leader) = self.pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }

    async fn until_ready(&mut self, probe: &Probe, ready: &str) -> Result<(), Option<ExitStatus>> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Err(Some(status));
            }
            if probe.is_ready(ready).await {
                return Ok(());
            }
            sleep(READY_EVERY).await;
        }
        Err(None)
    }
}

impl Drop for RunningTarget {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Why a target that runs is not ready, with the cure.
fn unready(wanted: SocketAddr, found: &[SocketAddr], ready: &str) -> String {
    if found.iter().any(|address| reaches(*address, wanted)) && !ready.is_empty() {
        return format!("`{ready}` did not answer with success: check `target.ready`");
    }
    let cure = "the port to listen on is in the variable `PORT`, and stands for `${port}` in \
                `target.command` and `target.env`";
    match found {
        [] => format!("it listens on no port: {cure}"),
        found => match found.iter().find(|address| address.port() == wanted.port()) {
            Some(other) if !reaches(*other, wanted) => format!(
                "it listens on {other}, the right port of another address: let it listen on \
                 {} or 0.0.0.0",
                wanted.ip()
            ),
            Some(other) => format!("it listens on {other} and does not answer"),
            None => format!("it listens on {} instead: {cure}", found[0]),
        },
    }
}

/// Whether a socket that listens takes connections to an address.
fn reaches(listening: SocketAddr, wanted: SocketAddr) -> bool {
    // Where it listens everywhere in the newer family, it most often takes the older as well.
    let everywhere = listening.ip().is_unspecified();
    listening.port() == wanted.port() && (everywhere || listening.ip() == wanted.ip())
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Where a socket that listens everywhere can be reached from here: in the older family where it
/// takes both, since that is what people type.
async fn reachable(address: SocketAddr) -> SocketAddr {
    let old = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    if !address.ip().is_unspecified() {
        return address;
    }
    match timeout(ASK_WITHIN, TcpStream::connect(old)).await {
        Ok(Ok(_)) => old,
        _ if address.is_ipv6() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => old,
    }
}

/// The first that answers with success, else the first.
async fn answering(addresses: &[SocketAddr], path: &str) -> Option<SocketAddr> {
    if addresses.len() > 1 {
        for address in addresses {
            let there = reachable(*address).await;
            if Probe::Plain(there).is_ready(path).await {
                return Some(*address);
            }
        }
    }
    addresses.first().copied()
}

/// Starts the command on a thread of its own, which then waits for its end. The thread matters:
/// the kernel's word that the parent died is tied to the thread that started the child.
async fn spawn(
    argv: &[OsString],
    target: &Target,
    around: &Surroundings,
    port: u16,
) -> io::Result<(u32, Child)> {
    let log = File::create(&around.log)?;
    let mut command = Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .envs(&around.env)
        .env("PORT", port.to_string())
        .envs(own_variables(target, around, port))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    end_with_parent(&mut command);
    let (started, start) = oneshot::channel();
    let (end, ended) = watch::channel(None);
    std::thread::Builder::new().name("ebb-target".to_owned()).spawn(move || {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let id = child.id();
        let pid = Pid::from_child(&child);
        // Opened before anyone can reap the child, so it can mean no other process.
        let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
        let _ = started.send(handle.map(|pidfd| (id, pidfd)));
        // What it started itself ends with it. Not reaped before, so its group can mean no other.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = end.send(Some(child.wait().unwrap_or_default()));
    })?;
    let (pid, pidfd) = start.await.map_err(io::Error::other)??;
    Ok((pid, Child { pidfd, ended }))
}

/// Variables of the scenario, in which `${port}` stands for the port as it does in the command.
/// Options of Node are those of the scenario with what was added to them.
fn own_variables(target: &Target, around: &Surroundings, port: u16) -> Vec<(String, String)> {
    let own = target.env.iter().map(|(name, value)| {
        let joined = around.env.get(name).filter(|_| name == NODE_OPTIONS);
        (name.clone(), joined.unwrap_or(value).replace(PORT, &port.to_string()))
    });
    own.collect()
}

/// Lets the kernel end the child when the thread that started it is gone, and takes it out of
/// the terminal's process group, so that Ctrl-C reaches the run alone.
#[expect(unsafe_code, reason = "a hook between fork and exec is unsafe by its nature")]
fn end_with_parent(command: &mut Command) {
    command.process_group(0);
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
}

/// The last lines of a log, on one line.
fn tail(log: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return "it wrote nothing".to_owned();
    }
    lines[lines.len().saturating_sub(TAIL_LINES)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_stands_in_variables_as_in_the_command() {
        let env = [("PORT", "${port}"), ("MODE", "x")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let target = Target { env, ..Target::default() };
        let told = own_variables(&target, &Surroundings::default(), 4_711);
        let told: Vec<_> = told.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(told, [("MODE", "x"), ("PORT", "4711")]);
    }

    #[test]
    fn a_port_stands_in_options_of_node_beside_what_was_added_to_them() {
        let variable = |value: &str| [(NODE_OPTIONS.to_owned(), value.to_owned())].into();
        let target = Target { env: variable("--title=${port}"), ..Target::default() };
        let env = variable("--title=${port} --inspect-port=20008");
        let told = own_variables(&target, &Surroundings { env, ..Surroundings::default() }, 4_711);
        assert_eq!(told[0].1, "--title=4711 --inspect-port=20008");
    }

    #[test]
    fn a_target_that_is_not_ready_is_told_what_it_did_instead() {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let elsewhere = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        let everywhere = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        for (found, ready, says) in [
            (&[][..], "", "it listens on no port"),
            (&[at(3_000)], "/", "it listens on 127.0.0.1:3000 instead"),
            (&[at(4_711)], "/ready", "check `target.ready`"),
            (&[elsewhere(4_711)], "", "let it listen on 127.0.0.1 or 0.0.0.0"),
            (&[elsewhere(4_711)], "/ready", "let it listen on 127.0.0.1 or 0.0.0.0"),
            (&[everywhere(4_711)], "/ready", "check `target.ready`"),
            (&[at(3_000), elsewhere(4_711)], "", "[::1]:4711, the right port"),
        ] {
            let told = unready(at(4_711), found, ready);
            assert!(told.contains(says), "{says}: {told}");
        }
    }
}
