//! Processes that serve together: a server that forks its workers, or starts several on one port.
//! In: a process and the port that it serves. Out: who belongs to it, and their memory as one.
//! Reading one process is left to `process`, one's sockets to `sockets`; nothing is changed.

use super::{SourceError, process, sockets};
use ebbtide_record::snapshot::ProcessMemory;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

/// Parent and process group of a process.
#[must_use]
pub fn kin(pid: u32) -> Option<(u32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; what follows the last bracket is fixed.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The process, all that descend from it, and all of its process group.
#[must_use]
pub fn family(pid: u32) -> BTreeSet<u32> {
    let all = everybody();
    let group = all.iter().filter(|(_, (_, group))| *group == pid).map(|(other, _)| *other);
    descendants(group.chain([pid]).collect(), &all)
}

/// Who has the sockets open that a process, or one of its family, listens on at a port, and those
/// beside them on the very same address (`SO_REUSEPORT`). Empty where that cannot be read.
#[must_use]
pub fn holders(pid: u32, port: u16) -> BTreeSet<u32> {
    let own = family(pid).into_iter().flat_map(sockets::listening);
    let addresses: BTreeSet<SocketAddr> =
        own.map(|(_, address)| address).filter(|address| address.port() == port).collect();
    sockets::owners_of(pid, &addresses)
}

/// The process, those that hold its port with it, and all that these have started since.
pub(crate) fn members(pid: u32, holders: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut all = everybody();
    // A manager of services that holds the socket as well has started us too, and is no server.
    let ours = ancestors(std::process::id(), &all);
    // Nor are we, where the first process of a container is watched that has started us.
    all.remove(&std::process::id());
    let roots = holders.iter().filter(|holder| !ours.contains(holder)).copied();
    descendants(roots.chain([pid]).collect(), &all)
}

/// The memory of such processes as that of one.
///
/// # Errors
/// [`SourceError::NoProcess`] when the first of them is gone; others come and go.
pub(crate) fn memory(pid: u32, holders: &BTreeSet<u32>) -> Result<ProcessMemory, SourceError> {
    let mut sum = process::memory(pid)?;
    let mut processes = 1;
    for other in members(pid, holders).into_iter().filter(|other| *other != pid) {
        let Ok(its) = process::memory(other) else { continue };
        let both = sum.pss_bytes.zip(its.pss_bytes);
        let anonymous = |one: &ProcessMemory| one.anonymous_bytes.unwrap_or(one.rss_bytes);
        sum = ProcessMemory {
            anonymous_bytes: Some(anonymous(&sum) + anonymous(&its)),
            rss_bytes: sum.rss_bytes + its.rss_bytes,
            pss_bytes: both.map(|(one, other)| one + other),
            threads: sum.threads + its.threads,
            open_files: sum.open_files + its.open_files,
            processes: None,
        };
        processes += 1;
    }
    sum.processes = (processes > 1).then_some(processes);
    Ok(sum)
}

/// All processes of this machine that can be seen, with their kin.
fn everybody() -> BTreeMap<u32, (u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, kin(pid)?))).collect()
}

/// The processes and all that descend from any of them.
fn descendants(mut found: BTreeSet<u32>, all: &BTreeMap<u32, (u32, u32)>) -> BTreeSet<u32> {
    loop {
        let before = found.len();
        let children = all.iter().filter(|(_, (parent, _))| found.contains(parent));
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        if found.len() == before {
            return found;
        }
    }
}

/// Who has started a process, directly or not.
fn ancestors(pid: u32, all: &BTreeMap<u32, (u32, u32)>) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut at = pid;
    while let Some((parent, _)) = all.get(&at) {
        if !found.insert(*parent) {
            break;
        }
        at = *parent;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead as _;
    use std::process::{Child, Command, Stdio};

    /// A server that forks two workers before it serves, as many servers do. The workers hold
    /// 64 MiB each. It says its port and the workers' numbers.
    const PREFORK: &str = "\
import os, socket, time
held = socket.create_server(('127.0.0.1', 0))
workers = []
for each in range(2):
    pid = os.fork()
    if pid == 0:
        kept = bytearray(b'x') * (64 << 20)
        os.write(1, b'ready\\n')
        time.sleep(600)
    workers.append(pid)
os.write(1, ('%d %d %d\\n' % (held.getsockname()[1], *workers)).encode())
time.sleep(600)
";

    /// Ends with its workers when dropped.
    struct Server(Child, Vec<u32>);

    impl Drop for Server {
        fn drop(&mut self) {
            for pid in &self.1 {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn workers_that_were_forked_are_seen_with_who_forked_them() {
        let mut child = Command::new("python3")
            .args(["-c", PREFORK])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is missing (Debian: apt-get install python3)");
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Vec<String> = (0..3).map(|_| lines.next().unwrap().unwrap()).collect();
        let numbers = said.iter().find(|line| *line != "ready").unwrap();
        let numbers: Vec<u32> = numbers.split(' ').map(|word| word.parse().unwrap()).collect();
        let server = Server(child, numbers[1..].to_vec());
        let (parent, workers, port) = (server.0.id(), &server.1, numbers[0] as u16);
        let all: BTreeSet<u32> = workers.iter().copied().chain([parent]).collect();
        assert_eq!(kin(workers[0]).map(|(from, _)| from), Some(parent));
        // From any of them, and nobody beside them.
        for from in [parent, workers[1]] {
            let holders = holders(from, port);
            assert_eq!(holders, all, "{from}");
            assert_eq!(members(from, &holders), all);
        }
        assert!(holders(parent, port ^ 1).is_empty());
        let sum = memory(parent, &holders(parent, port)).unwrap();
        let alone = process::memory(parent).unwrap();
        assert_eq!((sum.processes, alone.processes), (Some(3), None));
        let grown = sum.anonymous_bytes.unwrap() - alone.anonymous_bytes.unwrap();
        assert!(grown >= 128 << 20, "{sum:?} {alone:?}");
    }

    #[test]
    fn who_started_us_is_no_server() {
        let (parent, _) = kin(std::process::id()).unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let found = members(pid, &BTreeSet::from([pid, parent]));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, BTreeSet::from([pid]));
    }
}
