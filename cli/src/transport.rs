//! The flags that say how bytes reach the target: TLS, proxy, unix socket, other addresses. In:
//! words as typed, through clap. Out: a [`Transport`], what a scenario says with them laid over it.
//! Whether whoever they lead to may be loaded is left to `permission`.

use crate::failure::Failure;
use clap::Args;
use ebbtide_loadgen::scenario::transport::{
    ConnectTo, DNS_POLICIES, DNS_SELECTS, Dns, IpRange, Proxy, Transport,
};
use ebbtide_loadgen::scenario::units;
use std::path::PathBuf;
use std::time::Duration;

/// How bytes reach the target.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Transport")]
pub(crate) struct Way {
    /// Take whatever certificate the server shows
    #[arg(short = 'k', long)]
    insecure: bool,
    /// PEM file of the issuers to trust, instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// PEM file of a client certificate, its chain and maybe its key
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// PEM file of the client certificate's key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Name to ask a TLS server for and to find in its certificate, instead of the URL's host
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Shake hands in full for every TLS connection
    #[arg(long)]
    no_tls_resumption: bool,
    /// Connect to a unix socket; the URL says what is asked for there
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,
    /// Go through a forward proxy, such as http://user:password@127.0.0.1:3128
    #[arg(long, value_name = "URL", value_parser = Proxy::parse)]
    proxy: Option<Proxy>,
    /// Connect to another host and port instead of one; repeatable, each part may be empty
    #[arg(long, value_name = "HOST:PORT:TO:TO-PORT", value_parser = ConnectTo::parse)]
    connect_to: Vec<ConnectTo>,
    /// How a name becomes an address: `ttl=5m,select=roundRobin,policy=preferIPv4`
    #[arg(long, value_name = "WORDS", value_parser = dns)]
    dns: Option<Dns>,
    /// Source addresses, taken in turn, such as 127.0.0.1-127.0.0.20 or 10.0.0.0/28
    #[arg(long, value_name = "ADDRESSES", value_parser = sources)]
    local_ips: Option<Sources>,
    /// Time limit of a connection, TLS included
    #[arg(long, value_parser = units::duration)]
    connect_timeout: Option<Duration>,
}

/// Source addresses as typed: clap takes a list of values for a flag given again and again.
#[derive(Clone, Debug)]
struct Sources(Vec<IpRange>);

fn sources(text: &str) -> Result<Sources, String> {
    IpRange::parse_list(text).map(Sources)
}

/// Lifetime, choice and order of addresses, in k6's words.
fn dns(text: &str) -> Result<Dns, String> {
    let mut dns = Dns::default();
    for part in text.split(',') {
        let bad = || {
            format!(
                "`{part}` does not say how names are resolved (write `ttl=5m`, \
                 `select=roundRobin` or `policy=preferIPv4`)"
            )
        };
        let (key, value) = part.split_once('=').ok_or_else(bad)?;
        match key.trim() {
            "ttl" => dns.ttl = Dns::parse_ttl(value)?,
            "select" => dns.select = word(&DNS_SELECTS, value).ok_or_else(bad)?,
            "policy" => dns.policy = word(&DNS_POLICIES, value).ok_or_else(bad)?,
            _ => return Err(bad()),
        }
    }
    Ok(dns)
}

fn word<T: Copy>(words: &[(&str, T)], text: &str) -> Option<T> {
    words.iter().find(|(word, _)| *word == text.trim()).map(|(_, value)| *value)
}

impl Way {
    /// Lays what was typed over what a scenario says.
    ///
    /// # Errors
    ///
    /// When the two, or the flags among themselves, contradict each other.
    pub(crate) fn over(&self, transport: &mut Transport) -> Result<(), Failure> {
        let tls = &mut transport.tls;
        tls.insecure = self.insecure || tls.insecure && self.ca.is_none();
        replace(&mut tls.ca, &self.ca);
        if self.cert.is_some() {
            tls.cert.clone_from(&self.cert);
            tls.key.clone_from(&self.key);
        }
        replace(&mut tls.server_name, &self.server_name);
        tls.resumption &= !self.no_tls_resumption;
        replace(&mut transport.unix_socket, &self.unix_socket);
        replace(&mut transport.proxy, &self.proxy);
        if !self.connect_to.is_empty() {
            transport.connect_to.clone_from(&self.connect_to);
        }
        transport.dns = self.dns.unwrap_or(transport.dns);
        if let Some(Sources(ranges)) = &self.local_ips {
            transport.local_ips.clone_from(ranges);
        }
        transport.connect_timeout = self.connect_timeout.or(transport.connect_timeout);
        match transport.contradiction() {
            Some((key, why)) => Err(Failure::usage(format!("`{key}`: {why}"))),
            None => Ok(()),
        }
    }

    /// What was typed by itself.
    ///
    /// # Errors
    ///
    /// When it contradicts itself.
    pub(crate) fn transport(&self) -> Result<Transport, Failure> {
        let mut transport = Transport::default();
        self.over(&mut transport)?;
        Ok(transport)
    }
}

fn replace<T: Clone>(known: &mut Option<T>, typed: &Option<T>) {
    if typed.is_some() {
        known.clone_from(typed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        way: Way,
    }

    fn way(line: &str) -> Result<Way, clap::Error> {
        Line::try_parse_from(std::iter::once("x").chain(line.split(' '))).map(|line| line.way)
    }

    #[test]
    fn flags_are_laid_over_a_scenario() {
        let mut transport = Transport::default();
        transport.tls.ca = Some("a.pem".into());
        transport.tls.insecure = true;
        let line = "--ca b.pem --cert c.pem --proxy http://p:1 --dns ttl=inf,select=random \
                    --local-ips 127.0.0.1-127.0.0.3,::1 --connect-to ::h:1 --connect-to a:1::2";
        way(line).expect("flags").over(&mut transport).expect("no contradiction");
        assert_eq!(transport.tls.ca, Some("b.pem".into()));
        assert!(!transport.tls.insecure, "whoever names issuers wants them asked");
        assert_eq!(transport.proxy.as_ref().map(|proxy| proxy.port), Some(1));
        assert_eq!((transport.dns.ttl, transport.local_ips.len()), (None, 2));
        assert_eq!(transport.instead_of("any", 9), ("h", 1));
        assert_eq!(transport.hosts("any", 9), ["p", "h"]);
    }

    #[test]
    fn flags_that_make_no_sense_are_refused() {
        for (line, words) in [
            ("--key k.pem", "--cert"),
            ("--ca a.pem --insecure", "--insecure"),
            ("--proxy socks5://p:1", "scheme `socks5` is not known"),
            ("--connect-to a:b", "does not say what to connect to"),
            ("--local-ips 10.0.0.9-10.0.0.1", "names no addresses"),
            ("--local-ips 10.0.0.0/8", "is more than 65536 addresses"),
            ("--dns select=last", "does not say how names are resolved"),
        ] {
            let error = way(line).expect_err(line).to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
        let both = way("--unix-socket s --proxy http://p:1").expect("flags");
        let error = both.transport().expect_err("a contradiction");
        assert!(error.to_string().contains("not behind a proxy"), "{error}");
    }
}
