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

/// Which of some processes holds the other end of a connection of this machine, by the address
/// that the connection has at our end. `None` as long as nobody has accepted it.
#[must_use]
pub fn peer_of(client: SocketAddr, pids: &[u32]) -> Option<u32> {
    let inode = ["tcp", "tcp6"].into_iter().find_map(|name| {
        let table = fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let remote = address(fields.get(2)?)?;
            let is_other =
                remote.ip().to_canonical() == client.ip() && remote.port() == client.port();
            fields.get(9)?.parse::<u64>().ok().filter(|inode| is_other && *inode != 0)
        })
    })?;
    pids.iter().copied().find(|pid| sockets(*pid).contains(&inode))
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
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != LISTEN {
        return None;
    }
    Some((inode.parse().ok()?, address(local)?))
}

/// An address as the tables write it.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    Some(SocketAddr::new(ip_of(ip)?, u16::from_str_radix(port, 16).ok()?))
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
    fn the_other_end_of_a_connection_is_found_once_it_is_accepted() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(held.local_addr().unwrap()).unwrap();
        let (address, own) = (client.local_addr().unwrap(), [std::process::id()]);
        assert_eq!(peer_of(address, &own), None);
        let _accepted = held.accept().unwrap();
        assert_eq!(peer_of(address, &own), Some(own[0]));
        assert_eq!(peer_of(address, &[1]), None);
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
