//! The admin listener: HTTP/1.1 on a loopback port, or on another with a token.
//! In: connections, bounded in number and patience. Out: what [`Handle`] answers.
//! A page in a browser on the same machine must not get a heap profile: requests that carry an
//! `Origin`, or a `Host` that is a name other than `localhost` (DNS rebinding), are refused unless
//! a token guards the listener.
//! Leaves to others: the answers (`admin`).

use crate::error::StartError;
use crate::handle::{Handle, response};
use crate::route::Reply;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::Service;

/// Connections served at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 32;

/// A peer that has not sent its whole head after this is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after `accept` failed, which it does when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the socket. Away from loopback a token is needed.
///
/// # Errors
///
/// [`StartError::Admin`] with the cure.
pub(crate) fn bind(address: SocketAddr, token: Option<&str>) -> Result<TcpListener, StartError> {
    let refused = |reason: String| StartError::Admin { address, reason };
    if token == Some("") {
        return Err(refused("the token is empty".to_owned()));
    }
    if !address.ip().is_loopback() && token.is_none() {
        let cure = "a heap profile is private: set `EBBTIDE_ADMIN_TOKEN`, or listen on `127.0.0.1`";
        return Err(refused(cure.to_owned()));
    }
    let listener = TcpListener::bind(address).map_err(|error| refused(error.to_string()))?;
    listener.set_nonblocking(true).map_err(|error| refused(error.to_string()))?;
    Ok(listener)
}

/// Serves connections until the task is dropped.
pub(crate) async fn serve(listener: tokio::net::TcpListener, handle: Handle, guarded: bool) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let handle = handle.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(handle.clone(), guarded, request));
            // A connection that breaks off is its peer's affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(place);
        });
    }
}

async fn answer(
    mut handle: Handle,
    guarded: bool,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    if !guarded && from_a_page(request.headers()) {
        let text = "not for web pages: ask without `Origin`, by address or `localhost`\n";
        return Ok(response(Reply::text(403, text)));
    }
    handle.call(request).await
}

/// Whether a browser may have been made to send this.
fn from_a_page(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    headers.contains_key(ORIGIN) || !(host.is_empty() || is_local(host))
}

/// Whether a `Host` is an address or `localhost`, with or without a port.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_a_page_could_not_have_chosen() {
        let cases = [
            ("127.0.0.1:4000", true),
            ("127.0.0.1", true),
            ("[::1]:80", true),
            ("LocalHost:1", true),
            ("evil.example:4000", false),
            ("localhost.evil.example", false),
        ];
        for (host, expected) in cases {
            assert_eq!(is_local(host), expected, "{host}");
        }
    }

    #[test]
    fn open_addresses_need_a_token() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let text = bind(everywhere, None).unwrap_err().to_string();
        assert!(text.contains("EBBTIDE_ADMIN_TOKEN"), "{text}");
        assert!(bind(everywhere, Some("")).is_err());
        assert!(bind(everywhere, Some("secret")).is_ok());
        assert!(bind(SocketAddr::from(([127, 0, 0, 1], 0)), None).is_ok());
    }
}
