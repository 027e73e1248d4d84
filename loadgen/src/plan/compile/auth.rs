//! Credentials into `Authorization` headers: basic, with what a URL holds before its host, and
//! bearer. Pure.
//!
//! In: what a step, its URL, its flow and the target's URL say. Out: a line of the head.

use super::Compiler;
use crate::scenario::Auth;
use crate::template::Template;

impl Compiler<'_, '_> {
    /// Adds the line that says who the user is, if anything says so: the step, its URL, the flow,
    /// the base URL, in this order. A header of that name counts before all.
    pub(super) fn authorize(
        &mut self,
        head: &mut Template,
        (own, url): (Option<&Auth>, &Template),
        headers: &[(String, Template)],
        line: usize,
    ) {
        if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            return;
        }
        let of_url = url.first_text().and_then(credentials);
        let found = own.cloned().or(of_url).or_else(|| self.inherited.auth.clone());
        match found.or_else(|| self.credentials.clone()) {
            Some(Auth::Basic(user, password)) => {
                let mut pair = self.bind(&user, line);
                pair.push_text(":");
                pair.push(self.bind(&password, line));
                head.push_text("Authorization: Basic ");
                head.push_base64(pair);
                head.push_text("\r\n");
            }
            Some(Auth::Bearer(token)) => {
                head.push_text("Authorization: Bearer ");
                let token = self.bind(&token, line);
                head.push(token);
                head.push_text("\r\n");
            }
            Some(Auth::None) | None => {}
        }
    }
}

/// What stands before the `@` of an authority, and the rest.
pub(crate) fn split_credentials(rest: &str) -> (Option<&str>, &str) {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    }
}

/// Name and password of a URL such as `http://ann:secret@host/`.
pub(super) fn credentials(url: &str) -> Option<Auth> {
    let (_, rest) = url.split_once("://")?;
    let (found, _) = split_credentials(rest);
    let (user, password) = match found?.split_once(':') {
        Some((user, password)) => (user, password),
        None => (found?, ""),
    };
    Some(Auth::Basic(Template::literal(&decoded(user)), Template::literal(&decoded(password))))
}

/// Text with its `%20`s decoded.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = (*byte == b'%').then(|| after.get(..2)).flatten();
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
