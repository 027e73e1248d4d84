//! Which TCP ports a process and what it started listen on, and which of them has a port, as the
//! kernel's tables under `/proc` have it. In: a process id. Out: socket addresses, the oldest
//! socket first; a process. Starting the process and choosing a port are left to `target`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// State of a listening socket in `/proc/net/tcp` (`TCP_LISTEN` of the kernel).
const LISTEN: &str = "0A";

/// Addresses that a process, its descendants and its process group listen on.
#[must_use]
pub fn of(pid: u32) -> Vec<SocketAddr> {
    let family = family(pid);
    let mut owned: BTreeSet<u64> = BTreeSet::new();
    for member in &family {
        owned.extend(sockets(*member));
    }
    let mut listening = listeners(pid);
    listening.retain(|inode, _| owned.contains(inode));
    listening.into_values().collect()
}

/// Who listens on a port: the process, or one that it started, as `go run`, `npm start` and shells
/// start the true server. The first, where several share the socket. `None` when nobody does.
#[must_use]
pub fn owner(pid: u32, port: u16) -> Option<u32> {
    let mut inodes = listeners(pid);
    inodes.retain(|_, address| address.port() == port);
    let listens = |member: &u32| sockets(*member).iter().any(|inode| inodes.contains_key(inode));
    // A worker gets its socket from who started it, so the first that has it began with it.
    family(pid).into_iter().find(listens)
}

/// Listening sockets by inode, as a process sees them: a network of its own is possible.
fn listeners(pid: u32) -> BTreeMap<u64, SocketAddr> {
    let mut listening: BTreeMap<u64, SocketAddr> = BTreeMap::new();
    for name in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        listening.extend(table.lines().skip(1).filter_map(listener));
    }
    listening
}

/// The process, all that descend from it, and all of its process group.
fn family(pid: u32) -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let others: Vec<(u32, u32, u32)> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|other| kin(other).map(|(parent, group)| (other, parent, group)))
        .collect();
    let mut family = BTreeSet::from([pid]);
    loop {
        let before = family.len();
        for (other, parent, group) in &others {
            if *group == pid || family.contains(parent) {
                family.insert(*other);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

/// Parent and process group of a process.
fn kin(pid: u32) -> Option<(u32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; what follows the last bracket is fixed.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
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
        .map(|place| u32::from_str_radix(&hex[place * 8..place * 8 + 8], 16).map(u32::to_ne_bytes))
        .collect::<Result<_, _>>()
        .ok()?;
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
    fn listening_sockets_of_a_process_are_found_by_their_inode() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0").ok();
        let found = of(std::process::id());
        assert!(found.contains(&four.local_addr().unwrap()), "{found:?}");
        let port = four.local_addr().unwrap().port();
        assert_eq!(owner(std::process::id(), port), Some(std::process::id()));
        drop(four);
        assert_eq!(owner(std::process::id(), port), None);
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
    fn lines_of_the_kernel_are_read() {
        let line = "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    0 0 4711 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listener(line), Some((4_711, "127.0.0.1:8080".parse().unwrap())));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listener("nonsense"), None);
        assert_eq!(ip_of("00000000000000000000000001000000"), "::1".parse().ok());
    }
}
