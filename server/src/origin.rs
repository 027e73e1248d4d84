//! Which pages may talk to this server: the Origin check of WebSocket handshakes and of polling.
//! In: the headers of a request, the address it comes from, the origins allowed by configuration.
//! Out: yes or no. Who sends no Origin is no page, and is let in.
//! Leaves to others: accounts; a page that is let in has no rights by that.

use axum::http::{HeaderMap, Uri, header};
use std::net::{IpAddr, SocketAddr};

/// An origin that stands for all.
const ANY: &str = "*";

/// Whether a request may come from the page that it names: of this server itself, of another port
/// of the same machine, or one that is allowed.
pub(crate) fn is_allowed(headers: &HeaderMap, peer: SocketAddr, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if allowed.iter().any(|one| one == ANY || one.eq_ignore_ascii_case(origin)) {
        return true;
    }
    // Such as `null`, which any page can have.
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| is_same(scheme, authority.as_str(), host)) {
        return true;
    }
    peer.ip().to_canonical().is_loopback() && is_loopback(authority.host())
}

/// Whether two names with ports are the same; the port of the scheme goes without saying.
fn is_same(scheme: &str, authority: &str, host: &str) -> bool {
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    bare(authority) == bare(host)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn pages_of_this_machine_and_this_server_are_let_in() {
        let allowed = ["https://chat.example".to_owned()];
        for (origin, host, peer, expected) in [
            (None, "a.example", "9.9.9.9:1", true),
            (Some("https://a.example"), "a.example", "9.9.9.9:1", true),
            (Some("https://A.example:443"), "a.example", "9.9.9.9:1", true),
            (Some("http://a.example"), "a.example:80", "9.9.9.9:1", true),
            (Some("https://a.example:8443"), "a.example", "9.9.9.9:1", false),
            (Some("https://a.example.evil"), "a.example", "9.9.9.9:1", false),
            (Some("https://chat.example"), "a.example", "9.9.9.9:1", true),
            (Some("null"), "a.example", "127.0.0.1:1", false),
            (Some("http://localhost:3000"), "127.0.0.1:8080", "127.0.0.1:1", true),
            (Some("http://[::1]:3000"), "localhost:8080", "[::1]:1", true),
            (Some("http://127.0.0.2"), "localhost:8080", "[::ffff:127.0.0.1]:1", true),
            // A page of the visitor's machine is not one of the server's.
            (Some("http://localhost:3000"), "a.example", "9.9.9.9:1", false),
            (Some("http://localhost.evil"), "localhost:8080", "127.0.0.1:1", false),
            (Some("http://evil.example"), "localhost:8080", "127.0.0.1:1", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let is = is_allowed(&headers, peer.parse().unwrap(), &allowed);
            assert_eq!(is, expected, "{origin:?} {host} {peer}");
        }
        let any = [ANY.to_owned()];
        let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static("null"))]);
        assert!(is_allowed(&headers, "9.9.9.9:1".parse().unwrap(), &any));
    }
}
