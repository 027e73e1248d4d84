//! The text of an imported scenario: TOML 1.0, a table for each step, so that steps can be moved
//! and edited line by line. Pure.
//!
//! In: an [`Imported`]. Out: the text. Whether it says what was meant is left to the reader of
//! scenarios, which the tests ask.

use super::{Body, Draft, Imported, Part, Request};
use crate::scenario::SCHEMA;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

/// Verbs that a step has for a method.
const VERBS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

impl Imported {
    /// The text of the scenario. `origin` says in a comment what it was made out of.
    #[must_use]
    pub fn to_toml(&self, origin: &str) -> String {
        let mut out = format!("# Imported from {}.\n", one_line(origin));
        for note in &self.notes {
            let _ = writeln!(out, "# - {}", one_line(note));
        }
        let _ = write!(
            out,
            "\nschema = {SCHEMA}\nname = {}\n\n[target]\nbase = {}\n\n[flow.main]\n\
             executor = \"constant-vus\"\nvus = 10\nduration = \"30s\"\n",
            quoted(&self.name),
            quoted(&self.base),
        );
        for step in &self.steps {
            out.push_str("\n[[flow.main.steps]]\n");
            match step {
                Draft::Think(length) => {
                    let _ = writeln!(out, "think = {}", quoted(&milliseconds(*length)));
                }
                Draft::Request(request) => push(&mut out, request),
            }
        }
        out.push_str("\n[thresholds]\nchecks = [\"rate > 0.99\"]\n");
        out
    }
}

fn push(out: &mut String, request: &Request) {
    let verb = request.method.to_ascii_lowercase();
    if VERBS.contains(&verb.as_str()) {
        let _ = writeln!(out, "{verb} = {}", quoted(&request.path));
    } else {
        let (method, url) = (quoted(&request.method), quoted(&request.path));
        let _ = writeln!(out, "request = {{ method = {method}, url = {url} }}");
    }
    if let Some(name) = &request.name {
        let _ = writeln!(out, "name = {}", quoted(name));
    }
    let mut headers = request.headers.clone();
    let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let body = request.body.as_ref().map(body);
    if let Some((_, Some(content_type))) = &body
        && !typed
    {
        headers.push(("content-type".to_owned(), content_type.clone()));
    }
    if matches!(request.body, Some(Body::Multipart(_))) {
        // The boundary is the step's own.
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    }
    for (key, pairs) in [("query", &request.query), ("headers", &headers)] {
        if !pairs.is_empty() {
            let _ = writeln!(out, "{key} = {}", table(pairs));
        }
    }
    if let Some((line, _)) = body {
        let _ = writeln!(out, "{line}");
    }
    if let Some(timeout) = request.timeout {
        let _ = writeln!(out, "timeout = {}", quoted(&milliseconds(timeout)));
    }
    if let Some(status) = &request.status {
        let status = status.parse::<u16>().map_or_else(|_| quoted(status), |code| code.to_string());
        let _ = writeln!(out, "check = {{ status = {status} }}");
    }
}

/// The line of a body, and the content type that it does not say itself.
fn body(body: &Body) -> (String, Option<String>) {
    match body {
        Body::Json(value) => match inline(value) {
            Some(text) => (format!("json = {text}"), None),
            // TOML has no word for null, and not for every number.
            None => {
                (format!("text = {}", quoted(&value.to_string())), Some("application/json".into()))
            }
        },
        Body::Text(text, content_type) => {
            let content_type = (!content_type.is_empty()).then(|| content_type.clone());
            (format!("text = {}", quoted(text)), content_type)
        }
        Body::Form(fields) => (format!("form = {}", table(fields)), None),
        Body::File(path, content_type) => {
            let content_type = (!content_type.is_empty()).then(|| content_type.clone());
            (format!("file = {}", quoted(path)), content_type)
        }
        Body::Multipart(parts) => {
            let parts: Vec<String> = parts.iter().map(part).collect();
            (format!("multipart = {{ {} }}", parts.join(", ")), None)
        }
    }
}

fn part(part: &Part) -> String {
    let name = quoted(&part.name);
    let content = match &part.file {
        Some(path) => format!("file = {}", quoted(path)),
        None if part.file_name.is_none() && part.content_type.is_none() => {
            return format!("{name} = {}", quoted(&part.text));
        }
        None => format!("text = {}", quoted(&part.text)),
    };
    let mut said = vec![content];
    said.extend(part.file_name.as_ref().map(|name| format!("name = {}", quoted(name))));
    said.extend(part.content_type.as_ref().map(|word| format!("type = {}", quoted(word))));
    format!("{name} = {{ {} }}", said.join(", "))
}

/// Pairs as an inline table. A name that is there twice is told once, with its last value: a
/// table has each key once.
fn table(pairs: &[(String, String)]) -> String {
    let last = |place: usize| pairs[place + 1..].iter().all(|(name, _)| *name != pairs[place].0);
    let told: Vec<String> = pairs
        .iter()
        .enumerate()
        .filter(|(place, _)| last(*place))
        .map(|(_, (name, value))| format!("{} = {}", key(name), quoted(value)))
        .collect();
    format!("{{ {} }}", told.join(", "))
}

/// JSON as an inline value; none when TOML cannot say it.
fn inline(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) if number.is_f64() => {
            let text = number.to_string();
            // TOML wants a digit on both sides of the point.
            if text.contains('.') || text.contains('e') { text } else { format!("{text}.0") }
        }
        Value::Number(number) => number.as_i64()?.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect::<Option<_>>()?;
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| Some(format!("{} = {}", key(name), inline(value)?)))
                .collect::<Option<_>>()?;
            format!("{{ {} }}", fields.join(", "))
        }
    })
}

fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn milliseconds(length: Duration) -> String {
    format!("{}ms", length.as_millis())
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
