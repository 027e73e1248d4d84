//! Which TCP ports a process and what it started listen on, and which of them it is that listens
//! on one. In: a process id. Out: socket addresses, the oldest socket first; a process. Reading
//! the kernel's tables is left to the profiler's `source`, starting the process and choosing a
//! port to `target`.

use ebbtide_profiler::source::sockets;
use ebbtide_profiler::source::together::{family, kin};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

/// Addresses that a process, its descendants and its process group listen on.
#[must_use]
pub fn of(pid: u32) -> Vec<SocketAddr> {
    let mut listening: BTreeMap<u64, SocketAddr> = BTreeMap::new();
    for member in family(pid) {
        listening.extend(sockets::listening(member));
    }
    listening.into_values().collect()
}

/// Who listens on a port: the process, or one that it started, as `go run`, `npm start` and shells
/// start the true server. The first, where several share the socket. `None` when nobody does.
#[must_use]
pub fn owner(pid: u32, port: u16) -> Option<u32> {
    let listens =
        |member: &u32| sockets::listening(*member).values().any(|found| found.port() == port);
    // A worker gets its socket from who started it, so the first that has it began with it.
    family(pid).into_iter().find(listens)
}

/// The variable by which Node's `cluster` tells a process that it is a worker.
const WORKER: &[u8] = b"NODE_UNIQUE_ID=";

/// Processes that Node's `cluster` has started from this one, the first first.
#[must_use]
pub fn workers(pid: u32) -> Vec<u32> {
    let others = family(pid).into_iter().filter(|other| *other != pid);
    others.filter(|other| parent_of_worker(*other) == Some(pid)).collect()
}

/// The process that a worker of a cluster belongs to; `None` for all that are none.
#[must_use]
pub fn parent_of_worker(pid: u32) -> Option<u32> {
    let variables = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let is_worker = variables.split(|byte| *byte == 0).any(|one| one.starts_with(WORKER));
    kin(pid).filter(|_| is_worker).map(|(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn listening_sockets_of_a_process_are_found_with_their_owner() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0").ok();
        let own = std::process::id();
        let found = of(own);
        assert!(found.contains(&four.local_addr().unwrap()), "{found:?}");
        assert_eq!(owner(own, four.local_addr().unwrap().port()), Some(own));
        if let Some(six) = six {
            assert!(found.contains(&six.local_addr().unwrap()), "{found:?}");
        }
    }

    #[test]
    fn a_listener_of_another_process_is_not_ours() {
        let _own = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = of(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn workers_of_a_cluster_are_told_from_other_children() {
        let start = |variable: &str| {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").env(variable, "1").spawn().unwrap()
        };
        let mut both = [start("NODE_UNIQUE_ID"), start("NODE_OTHER_ID")];
        let (own, worker) = (std::process::id(), both[0].id());
        let found = (workers(own).contains(&worker), parent_of_worker(worker));
        let other = (workers(own).contains(&both[1].id()), parent_of_worker(both[1].id()));
        for child in &mut both {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(found, (true, Some(own)));
        assert_eq!(other, (false, None));
    }
}
