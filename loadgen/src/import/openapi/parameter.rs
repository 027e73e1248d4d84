//! Parameters and credentials of an operation, put where they belong: path, query, headers. Pure.
//!
//! In: the operation and what surrounds it. Out: a request with them in it.

use super::example::Examples;
use super::{Request, plain};
use serde_json::Value;
use std::collections::BTreeMap;

/// Puts the parameters of a path item and of its operation into the request; the operation's win.
pub(super) fn place(request: &mut Request, examples: &Examples<'_>, around: [&Value; 2]) {
    let mut parameters: BTreeMap<(String, String), &Value> = BTreeMap::new();
    for level in around {
        let listed = level.get("parameters").and_then(Value::as_array);
        for parameter in listed.into_iter().flatten() {
            let parameter = examples.resolved(parameter);
            let text = |key| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
            parameters.insert((text("in").to_owned(), text("name").to_owned()), parameter);
        }
    }
    for ((place, name), parameter) in parameters {
        let required = parameter.get("required").and_then(Value::as_bool).unwrap_or(false);
        let told = parameter.get("example").is_some() || parameter.get("examples").is_some();
        if !required && !told && place != "path" {
            continue;
        }
        let value = examples.of(parameter).unwrap_or_else(|| Value::from("1"));
        match place.as_str() {
            "path" => {
                let text = in_path(&plain(&value));
                request.path = request.path.replace(&format!("{{{name}}}"), &text);
            }
            "query" => query(request, &name, &value),
            "header" => request.headers.push((name.to_ascii_lowercase(), plain(&value))),
            "cookie" => {
                request.headers.push(("cookie".to_owned(), format!("{name}={}", plain(&value))))
            }
            _ => {}
        }
    }
}

fn query(request: &mut Request, name: &str, value: &Value) {
    match value {
        // `deepObject` and exploded objects alike: a parameter for each field.
        Value::Object(fields) => {
            for (field, value) in fields {
                request.query.push((format!("{name}[{field}]"), plain(value)));
            }
        }
        value => request.query.push((name.to_owned(), plain(value))),
    }
}

/// A value as it may stand in a path: percent-encoded, but for what a template means.
fn in_path(text: &str) -> String {
    if text.starts_with("${") {
        return text.to_owned();
    }
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Adds what the first way to be authorised asks for. The values are variables from the start.
pub(super) fn authorize(request: &mut Request, examples: &Examples<'_>, operation: &Value) {
    let document = examples.document();
    let ways = operation.get("security").or_else(|| document.get("security"));
    let Some(first) = ways.and_then(|ways| ways.get(0)).and_then(Value::as_object) else { return };
    for name in first.keys() {
        let scheme = document
            .pointer("/components/securitySchemes")
            .and_then(|schemes| schemes.get(name))
            .map(|scheme| examples.resolved(scheme));
        let Some(scheme) = scheme else { continue };
        let text = |key| scheme.get(key).and_then(Value::as_str).unwrap_or_default();
        match (text("type"), text("in")) {
            ("http", _) if text("scheme").eq_ignore_ascii_case("basic") => {
                request.headers.push(("authorization".to_owned(), "Basic -".to_owned()));
            }
            ("http" | "oauth2" | "openIdConnect", _) => {
                request.headers.push(("authorization".to_owned(), "Bearer -".to_owned()));
            }
            ("apiKey", "header") => {
                let variable = variable(text("name"));
                request.headers.push((text("name").to_ascii_lowercase(), variable));
            }
            ("apiKey", "query") => {
                request.query.push((text("name").to_owned(), variable(text("name"))));
            }
            _ => {}
        }
    }
}

fn variable(name: &str) -> String {
    let upper: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("${{env.{upper}}}")
}
