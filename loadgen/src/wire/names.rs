//! Addresses of a name, looked up again when they are old, on a thread beside the load.
//!
//! In: a host and how it is to be resolved. Out: the addresses to try, in order. A host that is
//! an address costs no thread. Connecting is left to `dial`.

use crate::scenario::transport::{Dns, DnsPolicy, DnsSelect};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};

/// A host and its addresses. The thread that keeps them fresh ends with it.
pub(crate) struct Names {
    shared: Arc<Shared>,
    select: DnsSelect,
    turn: AtomicU64,
    /// Dropped with it, which the thread notices.
    _keeper: Option<mpsc::Sender<()>>,
}

struct Shared {
    found: Mutex<Arc<Found>>,
    /// Grows when other addresses were found.
    edition: AtomicU64,
}

/// Addresses in the order of preference.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Found {
    addresses: Vec<SocketAddr>,
    /// So many at the begin are equally good.
    best: usize,
}

impl Names {
    /// Looks a host up, which blocks for as long as the resolver takes when it is a name.
    ///
    /// # Errors
    /// What the resolver said, or that no address suits.
    pub(crate) fn new(host: &str, port: u16, dns: Dns) -> Result<Self, String> {
        let found = look_up(host, port, dns.policy).map_err(|error| error.to_string())?;
        if found.addresses.is_empty() {
            return Err("it has no address that suits".to_owned());
        }
        let edition = AtomicU64::new(0);
        let shared = Arc::new(Shared { found: Mutex::new(Arc::new(found)), edition });
        let keeper = match dns.ttl {
            Some(ttl) if host.parse::<IpAddr>().is_err() => {
                let (keeper, ended) = mpsc::channel();
                let (host, policy, shared) = (host.to_owned(), dns.policy, Arc::clone(&shared));
                let keep = move || {
                    while ended.recv_timeout(ttl) == Err(RecvTimeoutError::Timeout) {
                        shared.renew(look_up(&host, port, policy));
                    }
                };
                let thread = std::thread::Builder::new().name("ebb-names".to_owned());
                thread.spawn(keep).map_err(|error| error.to_string())?;
                Some(keeper)
            }
            _ => None,
        };
        Ok(Self { shared, select: dns.select, turn: AtomicU64::new(0), _keeper: keeper })
    }

    /// How often the addresses have changed.
    pub(crate) fn edition(&self) -> u64 {
        self.shared.edition.load(Ordering::Acquire)
    }

    /// The addresses as they are now.
    pub(crate) fn found(&self) -> Arc<Found> {
        Arc::clone(&self.shared.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number that says which address comes first this time.
    pub(crate) fn turn(&self) -> u64 {
        match self.select {
            DnsSelect::First => 0,
            DnsSelect::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed),
            DnsSelect::Random => mixed(self.turn.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

impl Shared {
    /// Takes a fresh answer. No answer leaves what is known.
    fn renew(&self, found: io::Result<Found>) {
        let Ok(found) = found else { return };
        let mut known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if !found.addresses.is_empty() && **known != found {
            *known = Arc::new(found);
            self.edition.fetch_add(1, Ordering::Release);
        }
    }
}

impl Found {
    fn new(addresses: impl Iterator<Item = SocketAddr>, policy: DnsPolicy) -> Self {
        let mut addresses: Vec<SocketAddr> = addresses
            .filter(|address| match policy {
                DnsPolicy::OnlyIpv4 => address.is_ipv4(),
                DnsPolicy::OnlyIpv6 => address.is_ipv6(),
                DnsPolicy::PreferIpv4 | DnsPolicy::PreferIpv6 | DnsPolicy::Any => true,
            })
            .collect();
        match policy {
            DnsPolicy::PreferIpv4 => addresses.sort_by_key(SocketAddr::is_ipv6),
            DnsPolicy::PreferIpv6 => addresses.sort_by_key(SocketAddr::is_ipv4),
            _ => {}
        }
        let first = addresses.first().map(SocketAddr::is_ipv4);
        let best = match policy {
            DnsPolicy::Any => addresses.len(),
            _ => addresses.iter().take_while(|it| Some(it.is_ipv4()) == first).count(),
        };
        Self { addresses, best }
    }

    /// All addresses, beginning with the one whose turn it is.
    pub(crate) fn from(&self, turn: u64) -> impl Iterator<Item = SocketAddr> {
        let start = (turn % self.best.max(1) as u64) as usize;
        let (before, rest) = self.addresses.split_at(start);
        let (best, others) = rest.split_at(self.best - start);
        best.iter().chain(before).chain(others).copied()
    }
}

fn look_up(host: &str, port: u16, policy: DnsPolicy) -> io::Result<Found> {
    Ok(Found::new((host, port).to_socket_addrs()?, policy))
}

/// Bits that look random, of a count (`SplitMix64`).
fn mixed(count: u64) -> u64 {
    let mut bits = count.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(policy: DnsPolicy) -> Found {
        let addresses = ["[::1]:80", "10.0.0.1:80", "10.0.0.2:80", "[::2]:80"];
        Found::new(addresses.iter().map(|text| text.parse().expect("an address")), policy)
    }

    fn order(found: &Found, turn: u64) -> Vec<String> {
        found.from(turn).map(|address| address.ip().to_string()).collect()
    }

    #[test]
    fn policy_decides_the_order_and_the_turn_who_comes_first() {
        use DnsPolicy::{Any, OnlyIpv4, OnlyIpv6, PreferIpv4, PreferIpv6};
        for (policy, turn, expected) in [
            (PreferIpv4, 0, vec!["10.0.0.1", "10.0.0.2", "::1", "::2"]),
            (PreferIpv4, 3, vec!["10.0.0.2", "10.0.0.1", "::1", "::2"]),
            (PreferIpv6, 0, vec!["::1", "::2", "10.0.0.1", "10.0.0.2"]),
            (PreferIpv6, 1, vec!["::2", "::1", "10.0.0.1", "10.0.0.2"]),
            (OnlyIpv4, 1, vec!["10.0.0.2", "10.0.0.1"]),
            (OnlyIpv6, 0, vec!["::1", "::2"]),
            (Any, 2, vec!["10.0.0.2", "::2", "::1", "10.0.0.1"]),
        ] {
            assert_eq!(order(&found(policy), turn), expected, "{policy:?} {turn}");
        }
    }

    #[test]
    fn an_answer_that_fails_leaves_what_is_known() {
        let names = Names::new("127.0.0.1", 80, Dns::default()).expect("an address");
        assert!(names._keeper.is_none());
        names.shared.renew(Err(io::ErrorKind::TimedOut.into()));
        names.shared.renew(Ok(Found::default()));
        assert_eq!((names.edition(), order(&names.found(), 0)), (0, vec!["127.0.0.1".to_owned()]));
        names.shared.renew(Ok(found(DnsPolicy::OnlyIpv4)));
        assert_eq!((names.edition(), names.found().addresses.len()), (1, 2));
        names.shared.renew(Ok(found(DnsPolicy::OnlyIpv4)));
        assert_eq!(names.edition(), 1);
    }

    #[test]
    fn each_address_has_its_turn() {
        let dns = |select| Dns { select, ..Dns::default() };
        let round = Names::new("127.0.0.1", 80, dns(DnsSelect::RoundRobin)).expect("an address");
        assert_eq!((round.turn(), round.turn(), round.turn()), (0, 1, 2));
        let random = Names::new("127.0.0.1", 80, dns(DnsSelect::Random)).expect("an address");
        let odd = (0..10_000).filter(|_| random.turn() % 2 == 1).count();
        assert!((4_700..5_300).contains(&odd), "{odd}");
    }
}
