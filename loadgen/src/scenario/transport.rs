//! How bytes reach the target, as the user wrote it: TLS, unix socket, proxy, other addresses,
//! name resolution, source addresses. Pure.
//!
//! In: keys of `[target]`, or the same words as flags. Out: a [`Transport`], or what is wrong with
//! a word and how to write it. Files are read, names resolved and sockets opened by the engine.

use super::document::word;
use super::reader::{Fields, Node};
use super::units;
use serde::{Serialize, Serializer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// Source addresses at most: more connections than 65,536 sources can carry no machine has files
/// for.
const LOCAL_IPS_MAX: u128 = 65_536;

/// A name is resolved again after so long: k6's default.
const DNS_TTL_DEFAULT: Duration = Duration::from_secs(300);

/// Shortest life of a resolved name: names are looked up beside the load, not for a connection.
const DNS_TTL_MIN: Duration = Duration::from_secs(1);

/// How bytes reach the target.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Transport {
    /// How a TLS server is met.
    pub tls: Tls,
    /// Path of a unix socket that is connected to instead of host and port.
    pub unix_socket: Option<PathBuf>,
    /// A forward proxy.
    pub proxy: Option<Proxy>,
    /// Addresses to connect to instead of others; the first that fits counts.
    pub connect_to: Vec<ConnectTo>,
    /// How names become addresses.
    pub dns: Dns,
    /// Source addresses, taken in turn; none for the system's choice.
    pub local_ips: Vec<IpRange>,
    /// Time limit of a connection, handshakes included; the request's own limit holds as well.
    pub connect_timeout: Option<Duration>,
}

/// How a TLS server is met.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Tls {
    /// Whatever certificate it shows is taken.
    pub insecure: bool,
    /// PEM file of the only issuers that are trusted; none for those of the system.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate, its chain after it.
    pub cert: Option<PathBuf>,
    /// PEM file of its key; none when the certificate's file holds it too.
    pub key: Option<PathBuf>,
    /// The name asked for and checked, instead of the URL's host.
    pub server_name: Option<String>,
    /// Sessions are resumed.
    pub resumption: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            insecure: false,
            ca: None,
            cert: None,
            key: None,
            server_name: None,
            resumption: true,
        }
    }
}

/// A forward proxy, met by plain HTTP.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Proxy {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User and password; the plan is written to files, and they are not.
    #[serde(skip)]
    pub login: Option<(String, String)>,
}

/// An address to connect to instead of another, as curl's `--connect-to`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ConnectTo {
    /// The host it is for; none for every one.
    pub host: Option<String>,
    /// The port it is for; none for every one.
    pub port: Option<u16>,
    /// The host instead; none for the same.
    pub to_host: Option<String>,
    /// The port instead; none for the same.
    pub to_port: Option<u16>,
}

/// How names become addresses, in k6's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// How long an answer is used; none for the whole run.
    pub ttl: Option<Duration>,
    /// Which address of a name is connected to.
    pub select: DnsSelect,
    /// Which addresses count.
    pub policy: DnsPolicy,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            ttl: Some(DNS_TTL_DEFAULT),
            select: DnsSelect::default(),
            policy: DnsPolicy::default(),
        }
    }
}

/// Which address of a name is connected to. The others follow when it cannot be reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DnsSelect {
    /// The first.
    #[default]
    First,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
}

/// Which addresses of a name count, and in which order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DnsPolicy {
    /// Those of version 4 first.
    #[default]
    PreferIpv4,
    /// Those of version 6 first.
    PreferIpv6,
    /// Those of version 4 alone.
    OnlyIpv4,
    /// Those of version 6 alone.
    OnlyIpv6,
    /// As the resolver gave them.
    Any,
}

/// The words of [`DnsSelect`].
pub const DNS_SELECTS: [(&str, DnsSelect); 4] = [
    ("first", DnsSelect::First),
    ("roundRobin", DnsSelect::RoundRobin),
    ("round_robin", DnsSelect::RoundRobin),
    ("random", DnsSelect::Random),
];

/// The words of [`DnsPolicy`].
pub const DNS_POLICIES: [(&str, DnsPolicy); 5] = [
    ("preferIPv4", DnsPolicy::PreferIpv4),
    ("preferIPv6", DnsPolicy::PreferIpv6),
    ("onlyIPv4", DnsPolicy::OnlyIpv4),
    ("onlyIPv6", DnsPolicy::OnlyIpv6),
    ("any", DnsPolicy::Any),
];

/// Addresses that follow each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpRange {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl Transport {
    /// The host and port that are to be reached instead of these.
    #[must_use]
    pub fn instead_of<'a>(&'a self, host: &'a str, port: u16) -> (&'a str, u16) {
        let fits = |rule: &&ConnectTo| {
            rule.host.as_ref().is_none_or(|known| known.eq_ignore_ascii_case(host))
                && rule.port.is_none_or(|known| known == port)
        };
        match self.connect_to.iter().find(fits) {
            None => (host, port),
            Some(rule) => (rule.to_host.as_deref().unwrap_or(host), rule.to_port.unwrap_or(port)),
        }
    }

    /// The hosts that load on `host` and `port` arrives at: none for a unix socket, else the
    /// proxy and the target.
    #[must_use]
    pub fn hosts<'a>(&'a self, host: &'a str, port: u16) -> Vec<&'a str> {
        if self.unix_socket.is_some() {
            return Vec::new();
        }
        let proxy = self.proxy.iter().map(|proxy| proxy.host.as_str());
        proxy.chain([self.instead_of(host, port).0]).collect()
    }

    /// What in it contradicts itself: a path of a key, and why.
    #[must_use]
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let direct = self.unix_socket.is_some();
        if direct && self.proxy.is_some() {
            return Some(("proxy", "a unix socket is not behind a proxy (remove one of them)"));
        }
        if direct && !self.connect_to.is_empty() {
            return Some(("connect_to", "a unix socket has no host (remove one of them)"));
        }
        if self.tls.cert.is_none() && self.tls.key.is_some() {
            return Some(("tls.key", "a key without its certificate (give `cert` as well)"));
        }
        None
    }
}

impl Proxy {
    /// Parses `http://user:password@host:port`.
    ///
    /// # Errors
    /// What is wrong with it, and how to write it. The password is not repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("not a proxy: {why} (write `http://127.0.0.1:3128`)");
        let url = Url::parse(text).map_err(|cause| bad(&cause.to_string()))?;
        if url.scheme() != "http" {
            return Err(bad(&format!("scheme `{}` is not known", url.scheme())));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("it has no host"))?;
        let decoded = |text: &str| {
            let pairs = format!("k={}", text.replace('+', "%2B"));
            let decoded = url::form_urlencoded::parse(pairs.as_bytes()).next();
            decoded.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let login = (!url.username().is_empty())
            .then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())));
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            login,
        })
    }
}

impl ConnectTo {
    /// Parses `HOST:PORT:TO-HOST:TO-PORT`, of which each part may be empty.
    ///
    /// # Errors
    /// What is wrong with it, and how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` does not say what to connect to (write \
                 `example.org:443:127.0.0.1:8443`)"
            )
        };
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let end = match rest.strip_prefix('[') {
                Some(inner) => inner.find(']').ok_or_else(bad)? + 2,
                None => rest.find(':').unwrap_or(rest.len()),
            };
            parts.push(rest[..end].trim_matches(['[', ']']));
            match rest[end..].strip_prefix(':') {
                Some(next) => rest = next,
                None if end == rest.len() => break,
                None => return Err(bad()),
            }
        }
        let [host, port, to_host, to_port] = parts.as_slice() else { return Err(bad()) };
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let number = |text: &str| match text {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| bad()),
        };
        Ok(Self {
            host: name(host),
            port: number(port)?,
            to_host: name(to_host),
            to_port: number(to_port)?,
        })
    }
}

impl Dns {
    /// Parses a life: a duration, `0` for the shortest there is, `inf` for ever.
    ///
    /// # Errors
    /// What is wrong with it, and how to write it.
    pub fn parse_ttl(text: &str) -> Result<Option<Duration>, String> {
        match text.trim() {
            "inf" => Ok(None),
            "0" => Ok(Some(DNS_TTL_MIN)),
            text => Ok(Some(units::duration(text)?.max(DNS_TTL_MIN))),
        }
    }
}

impl IpRange {
    /// Parses addresses, ranges and networks, separated by commas:
    /// `127.0.0.1-127.0.0.20,10.0.0.0/28`.
    ///
    /// # Errors
    /// What is wrong with it, and how to write it.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let ranges: Vec<Self> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(Self::parse)
            .collect::<Result<_, _>>()?;
        if ranges.iter().fold(0_u128, |sum, range| sum.saturating_add(range.len())) > LOCAL_IPS_MAX
        {
            return Err(format!("`{text}` is more than {LOCAL_IPS_MAX} addresses (give fewer)"));
        }
        Ok(ranges)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` names no addresses (write `127.0.0.2`, `127.0.0.1-127.0.0.20` or \
                 `10.0.0.0/28`)"
            )
        };
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| bad());
        if let Some((first, last)) = text.split_once('-') {
            let range = Self { first: address(first)?, last: address(last)? };
            let good = range.first.is_ipv4() == range.last.is_ipv4() && range.first <= range.last;
            return if good { Ok(range) } else { Err(bad()) };
        }
        let Some((network, bits)) = text.split_once('/') else {
            let first = address(text)?;
            return Ok(Self { first, last: first });
        };
        let (network, width) = match address(network)? {
            address @ IpAddr::V4(_) => (address, 32_u32),
            address @ IpAddr::V6(_) => (address, 128),
        };
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(bad)?;
        let hosts = match width - bits {
            128 => u128::MAX,
            free => (1_u128 << free) - 1,
        };
        let (low, v4) = (number_of(network) & !hosts, network.is_ipv4());
        Ok(Self { first: address_of(low, v4), last: address_of(low | hosts, v4) })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u128 {
        (number_of(self.last) - number_of(self.first)).saturating_add(1)
    }

    /// Whether there is none, which cannot be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The n-th of them, counted round.
    #[must_use]
    pub fn nth(&self, n: u128) -> IpAddr {
        address_of(number_of(self.first) + n % self.len(), self.first.is_ipv4())
    }
}

impl Serialize for IpRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}-{}", self.first, self.last))
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address_of(number: u128, v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::from_bits(number as u32).into() } else { Ipv6Addr::from_bits(number).into() }
}

/// Reads the keys of `[target]` that belong here; `file` is the scenario's own, which paths of
/// files are relative to.
pub(super) fn read(fields: &Fields<'_, '_>, file: &str) -> Transport {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut transport = Transport::default();
    if let Some(tls) = fields.opt("tls").and_then(|node| node.fields()) {
        transport.tls = read_tls(tls, folder);
    }
    transport.unix_socket =
        fields.opt("unix_socket").and_then(|node| node.text()).map(|path| folder.join(path));
    transport.proxy = fields.opt("proxy").and_then(|node| parsed(&node, Proxy::parse));
    if let Some(node) = fields.opt("connect_to") {
        let items = if node.value.is_str() { Some(vec![node]) } else { node.items() };
        let items = items.unwrap_or_default();
        transport.connect_to =
            items.iter().filter_map(|node| parsed(node, ConnectTo::parse)).collect();
    }
    if let Some(dns) = fields.opt("dns").and_then(|node| node.fields()) {
        transport.dns = read_dns(dns);
    }
    let local_ips = fields.opt("local_ips").and_then(|node| parsed(&node, IpRange::parse_list));
    transport.local_ips = local_ips.unwrap_or_default();
    transport.connect_timeout = fields.opt("connect_timeout").and_then(|node| node.duration());
    if let Some((key, why)) = transport.contradiction() {
        fields.fault(format!("`{key}`: {why}"));
    }
    transport
}

fn read_tls(fields: Fields<'_, '_>, folder: &Path) -> Tls {
    let path = |key| -> Option<PathBuf> {
        fields.opt(key).and_then(|node: Node<'_, '_>| node.text().map(|path| folder.join(path)))
    };
    let flag = |key| fields.opt(key).and_then(|node: Node<'_, '_>| node.flag());
    let tls = Tls {
        insecure: flag("insecure").unwrap_or(false),
        ca: path("ca"),
        cert: path("cert"),
        key: path("key"),
        server_name: fields.opt("server_name").and_then(|node| node.text().map(str::to_owned)),
        resumption: flag("resumption").unwrap_or(true),
    };
    fields.finish();
    tls
}

fn read_dns(fields: Fields<'_, '_>) -> Dns {
    let default = Dns::default();
    let ttl = fields.opt("ttl").and_then(|node| parsed(&node, Dns::parse_ttl));
    let select = fields.opt("select").and_then(|node| word(&node, &DNS_SELECTS));
    let policy = fields.opt("policy").and_then(|node| word(&node, &DNS_POLICIES));
    fields.finish();
    Dns {
        ttl: ttl.unwrap_or(default.ttl),
        select: select.unwrap_or(default.select),
        policy: policy.unwrap_or(default.policy),
    }
}

fn parsed<T>(node: &Node<'_, '_>, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    parse(node.text()?).map_err(|what| node.fault(what)).ok()
}
