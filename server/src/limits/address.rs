//! Whose limit it is: addresses as keys, and the client behind a proxy.
//! In: addresses and the `x-forwarded-for` header. Out: keys, and whom a request
//! counts for.
//! Leaves to others: the counting (`table`, `place`).

use axum::http::HeaderMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The header in which proxies say whom they speak for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies in a row that are looked through.
const HOPS: usize = 16;

/// What is counted by: an IPv4 address, a network of IPv6 or an account.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Key {
    V4(u32),
    /// The first 64 bits: one customer has at least so many addresses.
    V6(u64),
    User(i64),
}

impl Key {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64;
                Self::V6(u64::try_from(network).unwrap_or(u64::MAX))
            }
        }
    }
}

/// A network, such as `10.0.0.0/8`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: Ipv6Addr,
    prefix: u32,
}

/// Addresses of IPv4 are looked at as what they are mapped to in IPv6.
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

impl Network {
    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = mapped(address).to_bits() ^ self.address.to_bits();
        differing.leading_zeros() >= self.prefix
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no network (such as `10.0.0.0/8` or `::1`)");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (bits, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix = prefix.map_or(Ok(bits), str::parse::<u32>).map_err(|_| wrong())?;
        if prefix > bits {
            return Err(wrong());
        }
        Ok(Self { address: mapped(address), prefix: before + prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.to_ipv4_mapped() {
            Some(address) if self.prefix >= 96 => write!(f, "{address}/{}", self.prefix - 96),
            _ => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

/// Whom a request counts for, as it travels with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whence {
    /// The address that counts, with the port of who connects.
    pub(crate) client: SocketAddr,
    /// It is a program of this machine that speaks for itself.
    pub(crate) is_local: bool,
}

impl Whence {
    /// Who connects, or, when that is a proxy of ours, the nearest address that is none. What
    /// stands further left in the header is hearsay, and may be no text at all: it is read from the
    /// right, as bytes, for a proxy adds to whatever it was given.
    pub(crate) fn of(peer: SocketAddr, headers: &HeaderMap, proxies: &[Network]) -> Self {
        let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
        if !is_proxy(peer.ip()) {
            // A proxy that nobody has named speaks for others.
            let is_alone = !headers.contains_key(FORWARDED_FOR);
            let is_local = peer.ip().to_canonical().is_loopback() && is_alone;
            return Self { client: peer, is_local };
        }
        let values = headers.get_all(FORWARDED_FOR).into_iter().rev();
        let names = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        let mut client = peer.ip();
        for name in names.take(HOPS) {
            let Some(address) = named(name) else { break };
            client = address;
            if !is_proxy(address) {
                break;
            }
        }
        Self { client: SocketAddr::new(client, peer.port()), is_local: false }
    }

    /// The address that counts.
    pub(crate) fn address(self) -> IpAddr {
        self.client.ip()
    }
}

/// An address; some proxies name the port as well.
fn named(name: &[u8]) -> Option<IpAddr> {
    let name = std::str::from_utf8(name).ok()?.trim();
    let with_port = || name.parse::<SocketAddr>().ok().map(|address| address.ip());
    name.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "9.9.9.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "2001:db8::1", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/x", "localhost"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        assert_eq!("10.0.0.0/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("::/0".parse::<Network>().unwrap().to_string(), "::/0");
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        for (peer, header, expected) in [
            ("9.9.9.9:1", Some("1.1.1.1"), "9.9.9.9"),
            ("10.0.0.1:1", None, "10.0.0.1"),
            ("10.0.0.1:1", Some("1.1.1.1"), "1.1.1.1"),
            // What the client itself has put there does not count.
            ("10.0.0.1:1", Some("127.0.0.1, 1.1.1.1"), "1.1.1.1"),
            ("10.0.0.1:1", Some("2.2.2.2, 1.1.1.1, 10.0.0.7"), "1.1.1.1"),
            ("10.0.0.1:1", Some("2.2.2.2, nonsense, 10.0.0.7"), "10.0.0.7"),
            ("10.0.0.1:1", Some("nonsense"), "10.0.0.1"),
            ("10.0.0.1:1", Some("\u{ff}, 1.1.1.1"), "1.1.1.1"),
            ("10.0.0.1:1", Some("1.1.1.1:5678"), "1.1.1.1"),
            ("10.0.0.1:1", Some("[2001:db8::1]:5678"), "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert(FORWARDED_FOR, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let from = Whence::of(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(from.address().to_string(), expected, "{peer} {header:?}");
        }
    }

    #[test]
    fn only_who_connects_from_here_and_speaks_for_itself_is_local() {
        for (peer, header, proxy, expected) in [
            ("127.0.0.1:1", None, "10.0.0.0/8", true),
            ("[::ffff:127.0.0.1]:1", None, "10.0.0.0/8", true),
            ("127.0.0.1:1", Some("1.1.1.1"), "10.0.0.0/8", false),
            ("127.0.0.1:1", None, "127.0.0.1", false),
            ("127.0.0.1:1", Some("nonsense"), "127.0.0.1", false),
            ("10.0.0.1:1", Some("127.0.0.1"), "10.0.0.0/8", false),
            ("9.9.9.9:1", None, "10.0.0.0/8", false),
        ] {
            let headers = header.map(|value| (FORWARDED_FOR, value));
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            let headers: HeaderMap = headers.collect();
            let from = Whence::of(peer.parse().unwrap(), &headers, &[proxy.parse().unwrap()]);
            assert_eq!(from.is_local, expected, "{peer} {header:?} {proxy}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let key = |text: &str| Key::of(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:1.2.3.4"), key("1.2.3.4"));
    }
}
