//! A user's cookie jar: what a reply sets is sent with later requests (a subset of RFC 6265). Pure.
//!
//! In: heads of replies, times. Out: the `Cookie` line of a request. The jar is asked about one
//! host, the target, so that domains only decide what is refused. When it is emptied, and which
//! requests it goes with, is left to the virtual user.

use crate::check::{cookie_pair, headers};

/// Cookies of a jar at most (RFC 6265, section 6.1, asks for 50 a domain); the oldest goes.
const COOKIES_MAX: usize = 64;

/// A cookie at most, bytes of name, value and path together (RFC 6265, section 6.1).
const COOKIE_MAX: usize = 4096;

/// A jar of cookies, all of one host.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    cookies: Vec<Cookie>,
    /// Counts cookies, for their age.
    made: u64,
}

#[derive(Clone, Debug)]
struct Cookie {
    name: Vec<u8>,
    value: Vec<u8>,
    path: Vec<u8>,
    /// Unix seconds after which it is not sent; none for as long as the jar lasts.
    expires: Option<i64>,
    /// It is sent over TLS alone.
    secure: bool,
    made: u64,
}

/// Where and when an exchange takes place.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Name of the host, without its port.
    pub host: &'a str,
    /// Target of the request: its path, with or without a query.
    pub path: &'a [u8],
    /// Over TLS.
    pub secure: bool,
    /// Unix seconds.
    pub now: i64,
}

impl Jar {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    /// Takes what a reply sets. What is not for this host, or is too large, is refused.
    pub fn take(&mut self, head: &[u8], visit: &Visit<'_>) {
        for value in headers(head, "set-cookie") {
            if let Some(cookie) = parse(value, visit) {
                self.put(cookie, visit.now);
            }
        }
    }

    fn put(&mut self, mut cookie: Cookie, now: i64) {
        let same = |known: &Cookie| known.name == cookie.name && known.path == cookie.path;
        let old = self.cookies.iter().position(same);
        // A cookie that is replaced keeps its place (RFC 6265, section 5.3, step 11).
        let made = old.map(|place| self.cookies.remove(place).made);
        if cookie.expires.is_some_and(|expires| expires <= now) {
            return;
        }
        self.made += 1;
        cookie.made = made.unwrap_or(self.made);
        if self.cookies.len() >= COOKIES_MAX {
            let oldest = self.cookies.iter().enumerate().min_by_key(|(_, known)| known.made);
            if let Some(place) = oldest.map(|(place, _)| place) {
                self.cookies.remove(place);
            }
        }
        self.cookies.push(cookie);
        // Longer paths first, then older ones (RFC 6265, section 5.4).
        self.cookies.sort_by_key(|cookie| (usize::MAX - cookie.path.len(), cookie.made));
    }

    /// The value of a cookie, whatever its path.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        let found = self.cookies.iter().find(|cookie| cookie.name == name.as_bytes())?;
        Some(String::from_utf8_lossy(&found.value).into_owned())
    }

    /// Appends the cookies that go with a request, as `a=b; c=d`, behind those in `out`, which
    /// count before like-named ones of the jar.
    pub fn write(&self, out: &mut Vec<u8>, visit: &Visit<'_>) {
        let own: Vec<Vec<u8>> = out
            .split(|byte| *byte == b';')
            .filter_map(|pair| pair.split(|byte| *byte == b'=').next())
            .map(|name| name.trim_ascii().to_vec())
            .collect();
        let path = visit.path.split(|byte| *byte == b'?').next().unwrap_or_default();
        for cookie in &self.cookies {
            let expired = cookie.expires.is_some_and(|expires| expires <= visit.now);
            if expired
                || cookie.secure && !visit.secure
                || !covers(&cookie.path, path)
                || own.contains(&cookie.name)
            {
                continue;
            }
            out.extend_from_slice(if out.is_empty() { b"" } else { b"; " });
            out.extend_from_slice(&cookie.name);
            out.push(b'=');
            out.extend_from_slice(&cookie.value);
        }
    }

    /// A request with the cookies that go with it: in its `Cookie` line, or in one of their own.
    #[must_use]
    pub fn dress(&self, request: &[u8], visit: &Visit<'_>) -> Option<Vec<u8>> {
        let end = memchr::memmem::find(request, b"\r\n\r\n")? + 2;
        let (head, rest) = request.split_at(end);
        let line = headers(head, "cookie").next();
        let mut cookies = line.unwrap_or_default().to_vec();
        let length = cookies.len();
        self.write(&mut cookies, visit);
        if cookies.len() == length {
            return None;
        }
        let mut out = Vec::with_capacity(request.len() + cookies.len() + 10);
        match line {
            Some(line) => {
                let at = line.as_ptr() as usize - head.as_ptr() as usize;
                out.extend_from_slice(&head[..at]);
                out.extend_from_slice(&cookies);
                out.extend_from_slice(&head[at + length..]);
            }
            None => {
                out.extend_from_slice(head);
                out.extend_from_slice(b"Cookie: ");
                out.extend_from_slice(&cookies);
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(rest);
        Some(out)
    }
}

/// Whether a cookie's path covers that of a request (RFC 6265, section 5.1.4).
fn covers(cookie: &[u8], path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(cookie) else { return false };
    rest.is_empty() || cookie.ends_with(b"/") || rest.starts_with(b"/")
}

/// A `Set-Cookie` line (RFC 6265, section 5.2); none when it is to be ignored.
fn parse(value: &[u8], visit: &Visit<'_>) -> Option<Cookie> {
    let (name, text, attributes) = cookie_pair(value)?;
    let mut cookie = Cookie {
        name: name.to_vec(),
        value: text.to_vec(),
        path: default_path(visit.path),
        expires: None,
        secure: false,
        made: 0,
    };
    let mut max_age = None;
    for attribute in attributes.split(|byte| *byte == b';') {
        let mut halves = attribute.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let value = halves.next().unwrap_or_default().trim_ascii();
        match name.as_slice() {
            b"path" if value.starts_with(b"/") => cookie.path = value.to_vec(),
            b"secure" => cookie.secure = true,
            b"max-age" => max_age = text_of(value).and_then(|text| text.parse::<i64>().ok()),
            b"expires" => cookie.expires = text_of(value).and_then(date).or(cookie.expires),
            b"domain" => {
                let domain = value.strip_prefix(b".").unwrap_or(value);
                if !domain.is_empty() && !is_within(visit.host, text_of(domain)?) {
                    return None;
                }
            }
            _ => {}
        }
    }
    if let Some(seconds) = max_age {
        cookie.expires = Some(if seconds <= 0 { 0 } else { visit.now.saturating_add(seconds) });
    }
    let size = cookie.name.len() + cookie.value.len() + cookie.path.len();
    (size <= COOKIE_MAX).then_some(cookie)
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Whether a host is of a domain (RFC 6265, section 5.1.3). An address has no domain but itself.
fn is_within(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    if host == domain {
        return true;
    }
    let address = host.parse::<std::net::IpAddr>().is_ok();
    !address && host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
}

/// The folder of a request's path (RFC 6265, section 5.1.4).
fn default_path(path: &[u8]) -> Vec<u8> {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    match memchr::memrchr(b'/', path) {
        Some(0) | None => b"/".to_vec(),
        Some(slash) => path[..slash].to_vec(),
    }
}

/// Unix seconds of a date such as `Wed, 21 Oct 2015 07:28:00 GMT`, read as leniently as RFC 6265,
/// section 5.1.1, asks for.
fn date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let separator = |letter: char| !letter.is_ascii_alphanumeric() && letter != ':';
    for token in text.split(separator).filter(|token| !token.is_empty()) {
        let lower = token.to_ascii_lowercase();
        if time.is_none() && token.contains(':') {
            let mut parts = token.split(':').map(|part| part.parse::<i64>().ok());
            let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            time = Some(hour * 3_600 + minute * 60 + second);
        } else if day.is_none() && token.len() <= 2 && token.parse::<i64>().is_ok() {
            day = token.parse::<i64>().ok().filter(|day| (1..=31).contains(day));
        } else if let (None, Some(found)) =
            (month, MONTHS.iter().position(|name| lower.starts_with(name)))
        {
            month = Some(found as i64 + 1);
        } else if year.is_none() {
            year = token.parse::<i64>().ok().map(|year| match year {
                70..=99 => year + 1_900,
                0..=69 => year + 2_000,
                _ => year,
            });
        }
    }
    let (year, month) = (year.filter(|year| (1_601..10_000).contains(year))?, month?);
    Some(days(year, month, day?) * 86_400 + time?)
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn visit(path: &str) -> Visit<'_> {
        Visit { host: "shop.example", path: path.as_bytes(), secure: false, now: NOW }
    }

    fn line(jar: &Jar, visit: &Visit<'_>) -> String {
        let mut out = Vec::new();
        jar.write(&mut out, visit);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_set_is_sent_where_it_belongs() {
        // Set at, Set-Cookie, asked at, sent.
        let table = [
            ("/a/b", "s=1", "/a/c?x", "s=1"),
            ("/a/b", "s=1", "/a", "s=1"),
            ("/a/b", "s=1", "/ab", ""),
            ("/a/b", "s=1; Path=/", "/x", "s=1"),
            ("/", "s=1; path=/a", "/a/b", "s=1"),
            ("/", "s=1; path=/a", "/ab", ""),
            ("/", "s=1; path=relative", "/x", "s=1"),
            ("/", "s=\"a b\"", "/", "s=\"a b\""),
            ("/", " s = 1 ; HttpOnly", "/", "s=1"),
            ("/", "s=", "/", "s="),
            ("/", "nothing", "/", ""),
            ("/", "=1", "/", ""),
            ("/", "s=1; Secure", "/", ""),
            ("/", "s=1; Max-Age=10", "/", "s=1"),
            ("/", "s=1; Max-Age=0", "/", ""),
            ("/", "s=1; Max-Age=-5; Expires=Fri, 01 Jan 2100 00:00:00 GMT", "/", ""),
            ("/", "s=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT", "/", ""),
            ("/", "s=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT", "/", "s=1"),
            ("/", "s=1; Expires=Friday, 01-Jan-38 00:00:00 GMT", "/", "s=1"),
            ("/", "s=1; Expires=soon", "/", "s=1"),
            ("/", "s=1; Domain=shop.example", "/", "s=1"),
            ("/", "s=1; Domain=.example", "/", "s=1"),
            ("/", "s=1; Domain=other.example", "/", ""),
            ("/", "s=1; Domain=op.example", "/", ""),
        ];
        for (at, set, asked, expected) in table {
            let mut jar = Jar::default();
            let head = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {set}\r\n\r\n");
            jar.take(head.as_bytes(), &visit(at));
            assert_eq!(line(&jar, &visit(asked)), expected, "{at} {set} {asked}");
        }
    }

    #[test]
    fn cookies_are_replaced_deleted_expired_and_ordered() {
        let mut jar = Jar::default();
        let head = b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSET-COOKIE: b=2; Path=/deep\r\n\
                     Set-Cookie: c=3\r\nSet-Cookie: a=4\r\nSet-Cookie: d=5; Max-Age=9\r\n\r\n";
        jar.take(head, &visit("/"));
        assert_eq!(line(&jar, &visit("/deep/er")), "b=2; a=4; c=3; d=5");
        assert_eq!(line(&jar, &Visit { now: NOW + 9, ..visit("/") }), "a=4; c=3");
        jar.take(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=; Max-Age=0\r\n\r\n", &visit("/"));
        assert_eq!(line(&jar, &visit("/")), "c=3; d=5");
        assert_eq!(jar.value("b").as_deref(), Some("2"));
        let mut own = b"c=own".to_vec();
        jar.write(&mut own, &visit("/"));
        assert_eq!(own, b"c=own; d=5");
    }

    #[test]
    fn an_address_has_no_domain_but_itself_and_tls_sends_all() {
        let mut jar = Jar::default();
        let there = Visit { host: "10.0.0.1", path: b"/", secure: true, now: NOW };
        let head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Domain=0.0.1\r\nSet-Cookie: b=2; \
                     Domain=10.0.0.1; Secure\r\n\r\n";
        jar.take(head, &there);
        assert_eq!(line(&jar, &there), "b=2");
    }

    #[test]
    fn a_jar_is_bounded() {
        let mut jar = Jar::default();
        for number in 0..1_000 {
            let head = format!("HTTP/1.1 200 OK\r\nSet-Cookie: c{number}=1\r\n\r\n");
            jar.take(head.as_bytes(), &visit("/"));
        }
        assert_eq!(jar.cookies.len(), COOKIES_MAX);
        assert!(jar.value("c999").is_some() && jar.value("c0").is_none());
        let large = format!("HTTP/1.1 200 OK\r\nSet-Cookie: l={}\r\n\r\n", "x".repeat(COOKIE_MAX));
        jar.take(large.as_bytes(), &visit("/"));
        assert_eq!(jar.value("l"), None);
    }

    #[test]
    fn requests_are_dressed_in_one_line() {
        let mut jar = Jar::default();
        jar.take(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\n\r\n", &visit("/"));
        let table = [
            (
                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\n\r\n",
            ),
            (
                "POST / HTTP/1.1\r\ncookie: b=2\r\nHost: x\r\n\r\nbody",
                "POST / HTTP/1.1\r\ncookie: b=2; a=1\r\nHost: x\r\n\r\nbody",
            ),
        ];
        for (request, expected) in table {
            let dressed = jar.dress(request.as_bytes(), &visit("/")).unwrap();
            assert_eq!(String::from_utf8(dressed).unwrap(), expected);
        }
        assert_eq!(jar.dress(b"GET / HTTP/1.1\r\nCookie: a=9\r\n\r\n", &visit("/")), None);
    }
}
