//! Heaps that a target serves itself: the pprof endpoint that a scenario names, or the one that a
//! Go program has without being asked. In: a target. Out: a source, with the process behind it,
//! which may be one that the command started. What is served there is left to `profiler`.

use crate::listening;
use crate::target::RunningTarget;
use ebbtide_profiler::source::{SourceError, Target as Source, is_go};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The variable by which Go's runtime is told.
pub const GO_DEBUG: &str = "GODEBUG";

/// Its word for the mean bytes between two samples of the heap.
const GO_RATE: &str = "memprofilerate=";

/// Ports of one target that are asked: few servers have more than three.
const PORTS_MAX: usize = 8;

/// The endpoint at a URL of the scenario, where `${port}` stands for the port of the command.
///
/// # Errors
///
/// When the URL cannot be used.
pub fn at(url: &str, target: &RunningTarget) -> Result<Source, SourceError> {
    let url = target.on_port(url);
    let source = Source::at_url(&url)?;
    let Some(pid) = target.pid else { return Ok(source) };
    let served_by = source.port().and_then(|port| listening::owner(pid, port));
    Ok(source.with_pid(served_by.unwrap_or(pid)))
}

/// The endpoint of a Go program among the ports that a process, or one it started, listens on.
/// Other programs are sent nothing.
pub async fn find(pid: u32) -> Option<Source> {
    for address in listening::of(pid).into_iter().take(PORTS_MAX) {
        let Some(owner) = listening::owner(pid, address.port()).filter(|pid| is_go(*pid)) else {
            continue;
        };
        let source = Source::at_url(&format!("http://{}", reachable(address))).ok()?;
        if source.has_index().await {
            return Some(source.with_pid(owner));
        }
    }
    None
}

/// What Go's runtime is told, so that it samples as often as the scenario asks: added to what it is
/// told already, unless that has a word on it.
#[must_use]
pub fn go_debug(already: Option<&str>, interval_bytes: u64) -> String {
    match already.map(str::trim).filter(|text| !text.is_empty()) {
        Some(said) if said.contains(GO_RATE) => said.to_owned(),
        Some(said) => format!("{said},{GO_RATE}{interval_bytes}"),
        None => format!("{GO_RATE}{interval_bytes}"),
    }
}

/// From here, a socket that listens everywhere is reached on the loopback of its family.
fn reachable(address: SocketAddr) -> SocketAddr {
    let here = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        // Go listens on both families by one socket of the newer.
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(here, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_is_told_is_added_to() {
        for (already, told) in [
            (None, "memprofilerate=65536"),
            (Some(" "), "memprofilerate=65536"),
            (Some("gctrace=1"), "gctrace=1,memprofilerate=65536"),
            (Some("memprofilerate=1"), "memprofilerate=1"),
        ] {
            assert_eq!(go_debug(already, 65_536), told);
        }
    }

    #[test]
    fn sockets_that_listen_everywhere_are_reached_here() {
        for (listens, here) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), here);
        }
    }
}
