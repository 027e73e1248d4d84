//! Which TCP sockets a process listens on, as the kernel's tables under `/proc` have it. In: a
//! pid. Out: addresses by inode, the oldest socket first, or who listens on a port. That a port
//! is a process's own is told by the inode alone: a port has no name on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// State of a listening socket in `/proc/net/tcp` (`TCP_LISTEN` of the kernel).
const LISTEN: &str = "0A";

/// What a process itself listens on, by inode. Empty where its descriptors cannot be read.
#[must_use]
pub fn listening(pid: u32) -> BTreeMap<u64, SocketAddr> {
    let owned: BTreeSet<u64> = sockets(pid).into_iter().collect();
    let mut found = in_network_of(pid);
    found.retain(|inode, _| owned.contains(inode));
    found
}

/// Processes of this machine, in our network, that listen on a port, as far as their descriptors
/// may be read. Several may share one socket.
#[must_use]
pub fn owners(port: u16) -> Vec<u32> {
    let mut wanted = in_network_of(std::process::id());
    wanted.retain(|_, address| address.port() == port);
    owners_in(&wanted)
}

/// Processes that listen on any of some addresses of the network that a process lives in.
pub(crate) fn owners_of(pid: u32, addresses: &BTreeSet<SocketAddr>) -> BTreeSet<u32> {
    let mut wanted = in_network_of(pid);
    wanted.retain(|_, address| addresses.contains(address));
    owners_in(&wanted).into_iter().collect()
}

/// Who has any of some sockets open.
fn owners_in(wanted: &BTreeMap<u64, SocketAddr>) -> Vec<u32> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| sockets(*pid).iter().any(|inode| wanted.contains_key(inode))).collect()
}

/// All listening sockets of the network that a process lives in, which may be one of its own.
pub(crate) fn in_network_of(pid: u32) -> BTreeMap<u64, SocketAddr> {
    let mut found = BTreeMap::new();
    for name in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        found.extend(table.lines().skip(1).filter_map(listener));
    }
    found
}

/// Inodes of the sockets that a process has open.
fn sockets(pid: u32) -> Vec<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// A line of the table: the inode and the address of a listening socket.
fn listener(line: &str) -> Option<(u64, SocketAddr)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != LISTEN {
        return None;
    }
    let (ip, port) = address.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((inode.parse().ok()?, SocketAddr::new(ip_of(ip)?, port)))
}

/// Words of 32 bits, each in the byte order of the machine.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..hex.len() / 8)
        .map(|place| u32::from_str_radix(hex.get(place * 8..place * 8 + 8)?, 16).ok())
        .map(|word| word.map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match words.as_slice() {
        [word] => Some(Ipv4Addr::from(*word).into()),
        [..] if words.len() == 4 => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn sockets_of_a_process_are_found_by_their_inode_and_their_owner_by_the_port() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().map(|a| a.port());
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let found: Vec<SocketAddr> = listening(std::process::id()).into_values().collect();
        assert!(found.contains(&address), "{found:?}");
        assert!(!found.iter().any(|other| Some(other.port()) == four.as_ref().ok().copied()));
        assert!(owners(address.port()).contains(&std::process::id()));
    }

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    0 0 4711 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listener(line), Some((4_711, "127.0.0.1:8080".parse().unwrap())));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listener("nonsense"), None);
        assert_eq!(ip_of("00000000000000000000000001000000"), "::1".parse().ok());
    }
}
