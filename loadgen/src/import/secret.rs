//! Secrets of what is imported: each becomes an environment variable, so that a scenario can be
//! shown around. Pure.
//!
//! In: names and values of headers, fields and query parameters. Out: the text of a template in
//! their place, and which variables are to be set. What they are set to is left to the user.

use super::{Body, Request};
use serde_json::Value;
use std::collections::BTreeMap;

/// Headers whose value is a secret.
const HEADERS: [&str; 14] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-access-token",
    "x-csrf-token",
    "x-xsrf-token",
    "x-amz-security-token",
    "x-api-token",
    "x-session-token",
    "x-vault-token",
    "private-token",
];

/// Fields of forms, of JSON objects and of queries whose value is a secret, compared without
/// case, `-` and `_`.
const FIELDS: [&str; 19] = [
    "password",
    "passwd",
    "secret",
    "clientsecret",
    "apikey",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "token",
    "authtoken",
    "csrftoken",
    "otp",
    "pwd",
    "passphrase",
    "privatekey",
    "sessionid",
    "sessiontoken",
    "jwt",
    "credentials",
];

/// Whether the value of a header is a secret, by its name.
#[must_use]
pub fn is_secret_header(name: &str) -> bool {
    HEADERS.contains(&name.trim().to_ascii_lowercase().as_str())
}

/// Whether the value of a field of a form, a query or an environment is a secret, by its name.
#[must_use]
pub fn is_secret_field(name: &str) -> bool {
    FIELDS.contains(&plain(name).as_str())
}

/// A name without case and signs.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
}

/// Secrets found so far: variable by name and value.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    names: BTreeMap<(String, String), String>,
}

impl Secrets {
    /// Puts variables in the place of all secrets of a request.
    pub(super) fn hide(&mut self, request: &mut Request) {
        for (name, value) in &mut request.headers {
            if is_secret_header(name) {
                *value = self.header(&name.to_ascii_lowercase(), value);
            }
        }
        for (name, value) in &mut request.query {
            self.field(name, value);
        }
        match &mut request.body {
            Some(Body::Form(fields)) => {
                for (name, value) in fields {
                    self.field(name, value);
                }
            }
            Some(Body::Json(value)) => self.json(value),
            Some(Body::Multipart(parts)) => {
                for part in parts {
                    self.field(&part.name.clone(), &mut part.text);
                }
            }
            // What is sent as plain text may be JSON all the same: `curl -d '{...}'`.
            Some(Body::Text(text, _)) => self.text(text),
            Some(Body::File(..)) | None => {}
        }
    }

    /// Text is left as it stands unless it is JSON with a secret in it.
    fn text(&mut self, text: &mut String) {
        let Ok(written) = serde_json::from_str::<Value>(text) else { return };
        let mut hidden = written.clone();
        self.json(&mut hidden);
        if hidden != written {
            *text = hidden.to_string();
        }
    }

    /// Which variables are to be set, a note each.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        for ((what, _), variable) in &self.names {
            names.entry(variable).or_insert(what);
        }
        names.iter().map(|(variable, what)| format!("set {variable}: it was {what}")).collect()
    }

    /// `Bearer xyz` keeps its first word: it is no secret, and says what the variable is.
    fn header(&mut self, name: &str, value: &str) -> String {
        let (scheme, secret) = match value.split_once(' ') {
            Some((scheme, secret)) if name.ends_with("authorization") => (scheme, secret),
            _ => ("", value),
        };
        // Cookies change from request to request; what matters is the session that they carry.
        let kept = if name == "cookie" { "" } else { secret };
        let variable = self.variable(name, kept, &format!("the header `{name}`"));
        if scheme.is_empty() { variable } else { format!("{scheme} {variable}") }
    }

    fn field(&mut self, name: &str, value: &mut String) {
        if is_secret_field(name) && !value.is_empty() && !value.starts_with("${") {
            *value = self.variable(name, value, &format!("the field `{name}`"));
        }
    }

    fn json(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) => self.field(name, text),
                        value => self.json(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            _ => {}
        }
    }

    /// The variable of a value: the same for the same value, numbered when a name has several.
    fn variable(&mut self, name: &str, value: &str, what: &str) -> String {
        let upper: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let same = self.names.values().filter(|known| without_number(known) == upper).count();
        let fresh = if same == 0 { upper } else { format!("{upper}_{}", same + 1) };
        let key = (what.to_owned(), value.to_owned());
        format!("${{env.{}}}", self.names.entry(key).or_insert(fresh))
    }
}

fn without_number(variable: &str) -> &str {
    match variable.rsplit_once('_') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => variable,
    }
}
