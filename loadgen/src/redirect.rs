//! Redirects: the request that a reply of status 301, 302, 303, 307 or 308 asks for (RFC 9110,
//! section 15.4). Pure.
//!
//! In: a request as it was sent, the head of its reply, the base of the target. Out: the next
//! request, or why there is none. Counting hops and sending them is left to the virtual user.

use crate::check::headers;
use url::Url;

/// What a reply asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// It is no redirect, or leads nowhere.
    Nothing,
    /// This request, on the same host; its reply has no body when its method is HEAD.
    Request(Vec<u8>),
    /// A request to another host, which nobody gave leave to load.
    Elsewhere,
}

/// The request that follows a reply.
#[must_use]
pub fn next(request: &[u8], (status, head): (u16, &[u8]), base: &Url) -> Next {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Next::Nothing;
    }
    let location = headers(head, "location").next().and_then(|to| std::str::from_utf8(to).ok());
    let Some(location) = location else { return Next::Nothing };
    let Some(path) = path_of(request) else { return Next::Nothing };
    let Ok(target) = base.join(&path).and_then(|here| here.join(location)) else {
        return Next::Nothing;
    };
    let origin = |url: &Url| {
        (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
    };
    if origin(&target) != origin(base) {
        return Next::Elsewhere;
    }
    match rewritten(request, status, &target) {
        Some(request) => Next::Request(request),
        None => Next::Nothing,
    }
}

/// The request target of a request, as text.
fn path_of(request: &[u8]) -> Option<String> {
    let mut words = request.split(|byte| *byte == b' ');
    Some(String::from_utf8_lossy(words.nth(1)?).into_owned())
}

/// The same request to another path. 303 makes every method but HEAD a GET; 301 and 302 do so to
/// POST, as browsers, Go and k6 have it; 307 and 308 keep method and body.
fn rewritten(request: &[u8], status: u16, target: &Url) -> Option<Vec<u8>> {
    let end = memchr::memmem::find(request, b"\r\n\r\n")?;
    let line = memchr::memmem::find(request, b"\r\n")?;
    let method = request.split(|byte| *byte == b' ').next()?;
    let becomes_get = match status {
        303 => method != b"GET" && method != b"HEAD",
        301 | 302 => method == b"POST",
        _ => false,
    };
    let mut out = Vec::with_capacity(request.len() + target.as_str().len());
    out.extend_from_slice(if becomes_get { b"GET" } else { method });
    out.push(b' ');
    out.extend_from_slice(target.path().as_bytes());
    if let Some(query) = target.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if end > line {
        for header in lines(&request[line + 2..end]) {
            if !(becomes_get && is_of_body(header)) {
                out.extend_from_slice(header);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    if !becomes_get {
        out.extend_from_slice(&request[end + 4..]);
    }
    Some(out)
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Whether a header tells of a body that is not sent any more (RFC 9110, section 15.4).
fn is_of_body(header: &[u8]) -> bool {
    let name = header.split(|byte| *byte == b':').next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    name.starts_with(b"content-") || name == b"transfer-encoding" || name == b"expect"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(request: &str, status: u16, location: &str) -> Next {
        let base = Url::parse("http://host:8080").unwrap();
        let head = format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\n\r\n");
        next(request.as_bytes(), (status, head.as_bytes()), &base)
    }

    #[test]
    fn methods_and_bodies_follow_the_status() {
        let post = "POST /a/b?q HTTP/1.1\r\nHost: h\r\nContent-Type: x/y\r\nX: 1\r\n\
                    Content-Length: 2\r\n\r\nhi";
        let as_get = "GET /c HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n";
        let as_post = post.replace("/a/b?q", "/c");
        let put = post.replace("POST", "PUT");
        let table = [
            (post, 301, as_get.to_owned()),
            (post, 302, as_get.to_owned()),
            (post, 303, as_get.to_owned()),
            (post, 307, as_post.clone()),
            (post, 308, as_post.clone()),
            (put.as_str(), 303, as_get.to_owned()),
            (put.as_str(), 302, as_post.replace("POST", "PUT")),
            ("HEAD /x HTTP/1.1\r\n\r\n", 303, "HEAD /c HTTP/1.1\r\n\r\n".to_owned()),
            ("GET /x HTTP/1.1\r\nA: b\r\n\r\n", 308, "GET /c HTTP/1.1\r\nA: b\r\n\r\n".to_owned()),
        ];
        for (request, status, expected) in table {
            let found = after(request, status, "/c");
            let Next::Request(found) = found else { panic!("{status} {request}: {found:?}") };
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{status}");
        }
    }

    #[test]
    fn locations_are_taken_from_where_the_request_went() {
        let request = "GET /a/b?q=1 HTTP/1.1\r\n\r\n";
        let table = [
            ("c", Some("/a/c")),
            ("../c?d=e#f", Some("/c?d=e")),
            ("?n=2", Some("/a/b?n=2")),
            ("//host:8080/x", Some("/x")),
            ("http://HOST:8080", Some("/")),
            ("/sp ace", Some("/sp%20ace")),
            ("http://host/x", None),
            ("https://host:8080/x", None),
            ("http://other:8080/x", None),
            ("ftp://host:8080/x", None),
        ];
        for (location, expected) in table {
            let expected = match expected {
                Some(path) => Next::Request(format!("GET {path} HTTP/1.1\r\n\r\n").into_bytes()),
                None => Next::Elsewhere,
            };
            assert_eq!(after(request, 302, location), expected, "{location}");
        }
        for (status, location) in [(200, "/x"), (304, "/x"), (300, "/x"), (302, "http://[")] {
            assert_eq!(after(request, status, location), Next::Nothing, "{status} {location}");
        }
    }
}
