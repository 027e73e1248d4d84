//! A forward proxy from the client's side (RFC 9110, section 9.3.6; RFC 9112, section 3.2.2): asked
//! for a tunnel, or for a whole URL.
//!
//! In: a proxy and the target behind it; bytes of a request, or of the proxy's reply. Out: bytes
//! for the proxy. Pure; sending them is left to the wire and the client.

use crate::sample::Failure;
use crate::scenario::transport::Proxy;

/// Headers of a proxy's reply at most.
const HEADERS_MAX: usize = 64;

/// A proxy's reply at most, bytes.
const REPLY_MAX: usize = 16 * 1024;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a proxy is told.
#[derive(Debug)]
pub(crate) struct Forward {
    /// The request for a tunnel.
    connect: Vec<u8>,
    /// What makes a path a URL.
    base: String,
    /// The header that says who asks, with its line end; empty when nobody does.
    login: String,
}

impl Forward {
    /// For the target at `(host, port)`, which calls itself `authority`.
    pub(crate) fn new(proxy: &Proxy, (host, port): (&str, u16), authority: &str) -> Self {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let login = proxy.login.as_ref().map_or(String::new(), |(user, password)| {
            let text = base64(format!("{user}:{password}").as_bytes());
            format!("Proxy-Authorization: Basic {text}\r\n")
        });
        let connect =
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n");
        Self { connect: connect.into_bytes(), base: format!("http://{authority}"), login }
    }

    /// The request for a tunnel.
    pub(crate) fn connect(&self) -> &[u8] {
        &self.connect
    }

    /// A request as a proxy is asked for it, appended to `out`.
    pub(crate) fn rewrite(&self, request: &[u8], out: &mut Vec<u8>) {
        let path = request.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        let line = request.iter().position(|byte| *byte == b'\n').map_or(path, |end| end + 1);
        out.extend_from_slice(&request[..path]);
        out.extend_from_slice(self.base.as_bytes());
        out.extend_from_slice(&request[path..line.max(path)]);
        out.extend_from_slice(self.login.as_bytes());
        out.extend_from_slice(&request[line.max(path)..]);
    }
}

/// The length of a proxy's reply to the request for a tunnel, once it is whole.
///
/// # Errors
/// When it refuses, or says something that is not HTTP.
pub(crate) fn opened(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut reply = httparse::Response::new(&mut headers);
    match reply.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < REPLY_MAX => Ok(None),
        Ok(httparse::Status::Complete(length)) => match reply.code {
            Some(200..=299) => Ok(Some(length)),
            Some(status) => Err(Failure::Proxy(status)),
            None => Err(Failure::Protocol),
        },
        _ => Err(Failure::Protocol),
    }
}

/// Bytes in base64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        let value = value << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = BASE64[(value >> (18 - 6 * place)) as usize & 63] as char;
            out.push(if place <= group.len() { letter } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(login: Option<(&str, &str)>) -> Forward {
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let proxy = Proxy { host: "p".to_owned(), port: 1, login };
        Forward::new(&proxy, ("::1", 8443), "example.org:8443")
    }

    #[test]
    fn a_proxy_is_asked_for_tunnels_and_urls() {
        let forward = forward(Some(("aladdin", "opensesame")));
        let login = "Proxy-Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l\r\n";
        assert_eq!(
            String::from_utf8_lossy(forward.connect()),
            format!("CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n{login}\r\n")
        );
        let mut out = Vec::new();
        forward.rewrite(b"POST /a?b HTTP/1.1\r\nHost: h\r\n\r\nbody\n", &mut out);
        let expected =
            format!("POST http://example.org:8443/a?b HTTP/1.1\r\n{login}Host: h\r\n\r\nbody\n");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn a_proxys_reply_is_read() {
        for (reply, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Ok(Some(39))),
            ("HTTP/1.1 200 OK\r\nVia: x\r\n\r\nmore", Ok(Some(27))),
            ("HTTP/1.1 200 OK\r\nVia", Ok(None)),
            ("", Ok(None)),
            ("HTTP/1.1 407 No\r\n\r\n", Err(Failure::Proxy(407))),
            ("SSH-2.0-x\r\n", Err(Failure::Protocol)),
        ] {
            assert_eq!(opened(reply.as_bytes()), expected, "{reply}");
        }
        assert_eq!(opened(&[b'a'; 20_000]), Err(Failure::Protocol));
    }

    #[test]
    fn base64_has_its_padding() {
        for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
