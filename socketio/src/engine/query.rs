//! What a request says in its query: version, transport, session.
//!
//! Comes in: the text behind the `?`. Goes out: the three values that matter here. Everything else
//! in the query is the host's.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The values of a query that Engine.IO reads; none where they are missing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Query<'a> {
    /// `EIO`, the version.
    pub version: Option<&'a str>,
    /// `transport`.
    pub transport: Option<&'a str>,
    /// `sid`, unescaped.
    pub sid: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    /// Reads a query without its `?`. Of a name that comes twice the first counts.
    #[must_use]
    pub fn read(query: &'a str) -> Self {
        let mut found = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "EIO" => found.version = found.version.or(Some(value)),
                "transport" => found.transport = found.transport.or(Some(value)),
                "sid" if found.sid.is_none() => found.sid = Some(unescape(value)),
                _ => {}
            }
        }
        found
    }
}

/// A value as it may stand in a query: everything but letters, digits and `-._~` as `%XX`. A
/// server's session id cannot break out of the request with it.
#[must_use]
pub fn escape(value: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if value.bytes().all(is_plain) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        if is_plain(byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a string takes everything");
        }
    }
    Cow::Owned(escaped)
}

/// The value back; an escape that is none stays as it is, and so does what is not UTF-8.
fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let bytes = value.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits
            .filter(|two| bytes[at] == b'%' && two.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        plain.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).map_or(Cow::Borrowed(value), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read() {
        let query = Query::read("EIO=4&transport=polling&t=x&sid=a%2Fb&sid=c");
        assert_eq!((query.version, query.transport), (Some("4"), Some("polling")));
        assert_eq!(query.sid.as_deref(), Some("a/b"));
        assert_eq!(Query::read(""), Query::default());
    }

    #[test]
    fn a_value_survives_its_escape() {
        for value in ["plain-_.~", "a b\r\nHost: x", "%", "%2", "€", "100%25"] {
            assert_eq!(unescape(&escape(value)), value);
        }
        assert_eq!(escape("a\r\n"), "a%0D%0A");
        assert_eq!(unescape("%zz%ff"), "%zz%ff");
    }
}
