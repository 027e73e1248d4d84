//! HTTP steps: method, URL, headers and body of a request, checks and captures of its reply. Pure.
//!
//! In: the fields of a step. Out: a [`Verb::Http`], with all faults noted in the reader. Bytes on
//! the wire are left to the plan.

use super::super::reader::{Fields, Node};
use super::super::{Check, HttpStep, Predicate, Template, Verb};
use super::{limit, quoted};
use crate::template::Escape;

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

fn pairs(fields: &Fields<'_, '_>, key: &'static str, escape: Escape) -> Vec<(String, Template)> {
    fields.opt(key).map(|node| node.templates(escape)).unwrap_or_default()
}

pub(super) fn headers(fields: &Fields<'_, '_>) -> Vec<(String, Template)> {
    let Some(node) = fields.opt("headers") else { return Vec::new() };
    let headers = node.templates(Escape::None);
    for (name, value) in &headers {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            node.fault(format!("`{name}` is not a header name (letters, digits and `-`)"));
        }
        if value.as_static().is_some_and(|value| value.contains(['\r', '\n'])) {
            node.fault(format!("header `{name}` has a line break in its value (remove it)"));
        }
    }
    headers
}

pub(super) fn http(fields: &Fields<'_, '_>, verb: &'static str) -> Option<Verb> {
    let method = METHODS.iter().find(|method| **method == verb)?;
    let node = fields.opt(method)?;
    let url = url(&node);
    let (body, content_type) = body(fields);
    let step = HttpStep {
        method: method.to_uppercase(),
        query: pairs(fields, "query", Escape::Query),
        headers: headers(fields),
        body,
        content_type,
        timeout: limit(fields, "timeout"),
        checks: fields.opt("check").map(|node| checks(&node)).unwrap_or_default(),
        captures: captures(fields),
        url: url?,
    };
    Some(Verb::Http(Box::new(step)))
}

pub(super) fn url(node: &Node<'_, '_>) -> Option<Template> {
    let text = node.text()?;
    if !text.starts_with('/') && !text.contains("://") {
        node.fault(format!("`{text}` is not a path (write `/{text}`)"));
        return None;
    }
    if text.contains([' ', '\r', '\n']) {
        node.fault(format!("`{text}` has a space in it (write `%20`)"));
        return None;
    }
    node.template(Escape::None)
}

fn body(fields: &Fields<'_, '_>) -> (Option<Template>, Option<&'static str>) {
    let given: Vec<&str> =
        ["json", "text", "body", "form"].into_iter().filter(|key| fields.has(key)).collect();
    if given.len() > 1 {
        fields.fault(format!("several bodies: {} (keep one)", quoted(&given)));
    }
    for later in ["multipart", "file"] {
        if let Some(node) = fields.opt(later) {
            node.fault(format!("`{later}` is not built yet (use `json`, `text` or `form`)"));
        }
    }
    let json = fields.opt("json").map(|node| (node.json(), "application/json"));
    let text =
        fields.opt("text").map(|node| (node.template(Escape::None), "text/plain; charset=utf-8"));
    let raw =
        fields.opt("body").map(|node| (node.template(Escape::None), "application/octet-stream"));
    let form = fields.opt("form").map(|node| {
        let mut out = Template::default();
        for (index, (name, value)) in node.templates(Escape::Query).into_iter().enumerate() {
            out.push_text(if index == 0 { "" } else { "&" });
            out.push_text(&format!("{name}="));
            out.push(encoded(value));
        }
        (Some(out), "application/x-www-form-urlencoded")
    });
    match json.or(text).or(raw).or(form) {
        Some((body, content_type)) => (body, Some(content_type)),
        None => (None, None),
    }
}

/// Static text of a query or form value, percent-encoded.
pub(crate) fn encoded(value: Template) -> Template {
    let Some(text) = value.as_static() else { return value };
    let mut out = Vec::new();
    crate::template::write_escaped(&mut out, text, Escape::Query);
    Template::literal(&String::from_utf8_lossy(&out))
}

pub(super) fn captures(fields: &Fields<'_, '_>) -> Vec<(String, String)> {
    let Some(captures) = fields.opt("capture").and_then(|node| node.fields()) else {
        return Vec::new();
    };
    let entries = captures.entries();
    entries
        .into_iter()
        .filter_map(|(name, node)| {
            let pointer = node.text()?;
            if !pointer.is_empty() && !pointer.starts_with('/') {
                node.fault(format!("`{pointer}` is not a JSON pointer (write `/{pointer}`)"));
                return None;
            }
            Some((name.to_owned(), pointer.to_owned()))
        })
        .collect()
}

fn checks(node: &Node<'_, '_>) -> Vec<Check> {
    let Some(fields) = node.fields() else { return Vec::new() };
    let mut checks = Vec::new();
    if let Some(node) = fields.opt("status") {
        let items = if node.value.is_array() { node.items() } else { Some(vec![node.clone()]) };
        let ranges: Vec<(u16, u16)> =
            items.unwrap_or_default().iter().filter_map(status_range).collect();
        let words: Vec<String> = ranges.iter().map(range_words).collect();
        let name = format!("status is {}", words.join(" or "));
        checks.push(Check { name, predicate: Predicate::Status(ranges) });
    }
    if let Some(text) = fields.opt("body").and_then(|node| node.template(Escape::None)) {
        let name = format!("body contains {}", text.written());
        checks.push(Check { name, predicate: Predicate::Body(text) });
    }
    if let Some(node) = fields.opt("json") {
        for (pointer, value) in pointers(&node) {
            let name = format!("{pointer} is {}", value.written());
            checks.push(Check { name, predicate: Predicate::Json(pointer, value) });
        }
    }
    if let Some(limit) = fields.opt("time").and_then(|node| node.duration()) {
        let name = format!("time < {} ms", limit.as_secs_f64() * 1e3);
        checks.push(Check { name, predicate: Predicate::Time(limit) });
    }
    fields.finish();
    checks
}

fn status_range(node: &Node<'_, '_>) -> Option<(u16, u16)> {
    if let Some(text) = node.value.as_str() {
        let class = text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
        if let Some(class @ 1..=5) = class {
            return Some((class * 100, class * 100 + 99));
        }
        node.fault(format!("`{text}` is not a status (write `200` or `\"2xx\"`)"));
        return None;
    }
    let status = node.whole(100, 599)? as u16;
    Some((status, status))
}

fn range_words(range: &(u16, u16)) -> String {
    if range.0 == range.1 { range.0.to_string() } else { format!("{}xx", range.0 / 100) }
}

/// JSON pointers with their values; a plain name stands for a field of the top object.
pub(super) fn pointers(node: &Node<'_, '_>) -> Vec<(String, Template)> {
    let pairs = node.templates(Escape::None);
    pairs
        .into_iter()
        .map(|(name, value)| {
            let pointer = if name.starts_with('/') { name } else { format!("/{name}") };
            (pointer, value)
        })
        .collect()
}
