//! Headers that every answer carries: what browsers may not do with it, and the request's id.
//! In: requests and answers. Out: the same, with headers.
//! Leaves to others: the policy of the page itself (`page`), other origins (`cors`).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The header of request ids, as most proxies have it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of an id that a proxy gave and that is kept.
const ID_BYTES: usize = 64;

/// What an answer may load that brings no policy of its own: nothing.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// A year, the least that lists of browsers take. Without subdomains, which may be others'.
const ONLY_TLS: &str = "max-age=31536000";

/// On every answer, unless it has its own.
const ALWAYS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-site"),
];

/// The id of a request: its proxy's, when that is a plain word, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    static FIRST: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("request"));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let given = headers
        .get(REQUEST_ID)
        .filter(|id| (1..=ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_plain));
    given.cloned().unwrap_or_else(|| {
        let id = format!("{:016x}", FIRST.wrapping_add(NEXT.fetch_add(1, Relaxed)));
        HeaderValue::try_from(id).expect("hexadecimal digits are a header's value")
    })
}

/// Puts on an answer what every answer carries.
pub(crate) fn protect(response: &mut Response<Body>, id: HeaderValue, is_tls: bool) {
    // What a browser has kept keeps its headers, and takes over those that come with this.
    let is_kept = response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS.into_iter().filter(|_| !is_kept) {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_tls {
        let only_tls = HeaderValue::from_static(ONLY_TLS);
        headers.insert(header::STRICT_TRANSPORT_SECURITY, only_tls);
    }
    headers.insert(REQUEST_ID, id);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_words_and_differ() {
        let of = |id: &[u8]| {
            let id = HeaderValue::from_bytes(id).unwrap();
            request_id(&HeaderMap::from_iter([(REQUEST_ID, id)]))
        };
        assert_eq!(of(b"a-1_b.C"), "a-1_b.C");
        for hostile in [&b""[..], b"a b", b"a\"b", b"\xe9", b"a;b", &[b'x'; 65]] {
            assert_eq!(of(hostile).len(), 16, "{hostile:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
