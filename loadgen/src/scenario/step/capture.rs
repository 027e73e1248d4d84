//! Captures: variables taken from replies and messages. Pure.
//!
//! In: the table `capture` of a step. Out: [`Capture`]s, with all faults noted in the reader.

use super::super::reader::{Fields, Node};
use super::quoted;
use crate::check::{Capture, Pattern, Query, Source};
use crate::template::Escape;

/// Keys that say where a value comes from.
const SOURCES: [&str; 7] = ["json", "jsonpath", "regex", "header", "cookie", "status", "body"];

/// What a capture without a source is told.
const EXAMPLE: &str = "write `{ token = \"/access\" }` or `{ etag = { header = \"etag\" } }`";

/// The captures of a step.
pub(super) fn captures(fields: &Fields<'_, '_>) -> Vec<Capture> {
    let Some(captures) = fields.opt("capture").and_then(|node| node.fields()) else {
        return Vec::new();
    };
    let entries = captures.entries();
    entries.into_iter().filter_map(|(name, node)| capture(name, &node)).collect()
}

fn capture(name: &str, node: &Node<'_, '_>) -> Option<Capture> {
    let name = name.to_owned();
    if !node.value.is_table() {
        return Some(Capture { name, source: Source::Json(query(node)?), default: None });
    }
    let fields = node.fields()?;
    let default = fields.opt("default").and_then(|node| node.template(Escape::None));
    let source = source(&fields);
    fields.finish();
    Some(Capture { name, source: source?, default })
}

fn source(fields: &Fields<'_, '_>) -> Option<Source> {
    let given: Vec<&'static str> = SOURCES.into_iter().filter(|key| fields.has(key)).collect();
    let [key] = given.as_slice() else {
        // Asked for, so that they are not unknown keys besides.
        SOURCES.iter().chain(&["group"]).for_each(|key| drop(fields.opt(key)));
        fields.fault(if given.is_empty() {
            format!("the capture has no source (known: {}; {EXAMPLE})", quoted(&SOURCES))
        } else {
            format!("the capture has several sources: {} (keep one)", quoted(&given))
        });
        return None;
    };
    let node = fields.opt(key)?;
    if *key == "regex" {
        return regex(&node, fields.opt("group"));
    }
    let text = |node: &Node<'_, '_>| node.text().map(str::to_owned);
    match *key {
        "json" | "jsonpath" => query(&node).map(Source::Json),
        "header" => text(&node).map(Source::Header),
        "cookie" => text(&node).map(Source::Cookie),
        "status" => node.flag().map(|_| Source::Status),
        _ => node.flag().map(|_| Source::Body),
    }
}

fn query(node: &Node<'_, '_>) -> Option<Query> {
    let text = node.text()?;
    if !text.is_empty() && !text.starts_with(['/', '$']) {
        node.fault(format!("`{text}` is not a JSON pointer (write `/{text}`)"));
        return None;
    }
    Query::parse(text).map_err(|what| node.fault(what)).ok()
}

fn regex(node: &Node<'_, '_>, group: Option<Node<'_, '_>>) -> Option<Source> {
    let pattern = Pattern::compile(node.text()?).map_err(|what| node.fault(what)).ok()?;
    let place = match &group {
        Some(group) if group.value.is_str() => {
            let place = pattern.place_of(group.text());
            if place.is_none() {
                let name = group.text().unwrap_or_default();
                group.fault(format!("there is no group `{name}` (write `(?<{name}>...)`)"));
            }
            place
        }
        Some(group) => group.whole(0, pattern.groups() as u64).map(|place| place as usize),
        None => pattern.place_of(None),
    };
    Some(Source::Regex(pattern, place?))
}
