//! Checks: predicates on replies, with names that can be read and that thresholds can use. Pure.
//!
//! In: the table `check` of a step. Out: [`Check`]s, with all faults noted in the reader.

use super::super::reader::{Fields, Node};
use crate::check::{Check, Matcher, Pattern, Predicate, Query};
use crate::template::Escape;

/// `not` in `not` at most, and names in names.
const DEPTH_MAX: usize = 4;

/// Keys that mean something by themselves; a table under any other is a check with that name.
const WORDS: [&str; 6] = ["status", "header", "body", "json", "time", "not"];

/// The checks of a step.
pub(super) fn checks(node: &Node<'_, '_>) -> Vec<Check> {
    checks_at(node, 0)
}

fn checks_at(node: &Node<'_, '_>, depth: usize) -> Vec<Check> {
    let Some(fields) = node.fields() else { return Vec::new() };
    if depth > DEPTH_MAX {
        node.fault(format!("checks are nested more than {DEPTH_MAX} deep (flatten them)"));
        return Vec::new();
    }
    let mut checks = Vec::new();
    checks.extend(fields.opt("status").map(|node| status(&node)));
    for (name, node) in fields.opt("header").map(|node| entries(&node)).unwrap_or_default() {
        let predicate = |matcher| Predicate::Header(name.to_owned(), matcher);
        if let Some(there) = node.value.as_bool() {
            checks.push(existence(format!("header {name}"), predicate(Matcher::Exists), there));
        } else {
            checks.extend(matched(&node, &format!("header {name}"), "is", predicate));
        }
    }
    if let Some(node) = fields.opt("body") {
        checks.extend(matched(&node, "body", "contains", Predicate::Body));
    }
    for (text, node) in fields.opt("json").map(|node| entries(&node)).unwrap_or_default() {
        match Query::parse(text) {
            Ok(query) => {
                let name = query.written().to_owned();
                let predicate = |matcher| Predicate::Json(query.clone(), matcher);
                checks.extend(matched(&node, &name, "is", predicate));
            }
            Err(what) => node.fault(what),
        }
    }
    if let Some(limit) = fields.opt("time").and_then(|node| node.duration()) {
        let name = format!("time < {} ms", limit.as_secs_f64() * 1e3);
        checks.push(Check { name, predicate: Predicate::Time(limit) });
    }
    if let Some(node) = fields.opt("not") {
        checks.extend(checks_at(&node, depth + 1).into_iter().map(|check| Check {
            name: format!("not {}", check.name),
            predicate: Predicate::Not(Box::new(check.predicate)),
        }));
    }
    checks.extend(named(fields, depth));
    checks
}

/// Checks that the user gave a name: all predicates of the table hold.
fn named(fields: Fields<'_, '_>, depth: usize) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    for (name, node) in fields.entries() {
        if WORDS.contains(&name) || !node.value.is_table() {
            continue;
        }
        known.push(name);
        let inner = checks_at(&node, depth + 1);
        let predicate = Predicate::All(inner.into_iter().map(|check| check.predicate).collect());
        checks.push(Check { name: name.to_owned(), predicate });
    }
    fields.finish_but(&known);
    checks
}

fn entries<'a, 't>(node: &Node<'a, 't>) -> Vec<(&'a str, Node<'a, 't>)> {
    node.fields().map(|fields| fields.entries()).unwrap_or_default()
}

fn existence(subject: String, predicate: Predicate, there: bool) -> Check {
    if there {
        return Check { name: format!("{subject} exists"), predicate };
    }
    Check { name: format!("{subject} is absent"), predicate: Predicate::Not(Box::new(predicate)) }
}

/// A check for each word of a matcher; `default` is what a plain value means.
fn matched(
    node: &Node<'_, '_>,
    subject: &str,
    default: &str,
    predicate: impl Fn(Matcher) -> Predicate,
) -> Vec<Check> {
    let check = |(words, matcher): (String, Matcher)| Check {
        name: format!("{subject} {words}"),
        predicate: predicate(matcher),
    };
    if !node.value.is_table() {
        let template = node.template(Escape::None);
        let matcher = template.map(|template| {
            let words = format!("{default} {}", template.written());
            let contains = default == "contains";
            (words, if contains { Matcher::Contains(template) } else { Matcher::Is(template) })
        });
        return matcher.into_iter().map(check).collect();
    }
    let Some(fields) = node.fields() else { return Vec::new() };
    let mut checks: Vec<Check> = matchers(&fields).into_iter().map(check).collect();
    if let Some(there) = fields.opt("exists").and_then(|node| node.flag()) {
        checks.push(existence(subject.to_owned(), predicate(Matcher::Exists), there));
    }
    fields.finish();
    if checks.is_empty() {
        node.fault("it is not said what must hold (write `{ exists = true }` or `{ is = 7 }`)");
    }
    checks
}

fn matchers(fields: &Fields<'_, '_>) -> Vec<(String, Matcher)> {
    let text = |key| fields.opt(key).and_then(|node: Node<'_, '_>| node.template(Escape::None));
    let bound = |key| fields.opt(key).and_then(|node: Node<'_, '_>| node.signed());
    let mut found = Vec::new();
    found.extend(text("is").map(|value| (format!("is {}", value.written()), Matcher::Is(value))));
    found.extend(
        text("contains")
            .map(|value| (format!("contains {}", value.written()), Matcher::Contains(value))),
    );
    if let Some(node) = fields.opt("matches")
        && let Some(text) = node.text()
    {
        match Pattern::compile(text) {
            Ok(pattern) => found.push((format!("matches {text}"), Matcher::Matches(pattern))),
            Err(what) => node.fault(what),
        }
    }
    found.extend(bound("above").map(|bound| (format!("> {bound}"), Matcher::Above(bound))));
    found.extend(bound("below").map(|bound| (format!("< {bound}"), Matcher::Below(bound))));
    found.extend(bound("at_least").map(|bound| (format!(">= {bound}"), Matcher::AtLeast(bound))));
    found.extend(bound("at_most").map(|bound| (format!("<= {bound}"), Matcher::AtMost(bound))));
    found.extend(fields.opt("length").and_then(|node| length(&node)));
    found
}

fn length(node: &Node<'_, '_>) -> Option<(String, Matcher)> {
    if !node.value.is_table() {
        let length = node.whole(0, u64::MAX)?;
        return Some((format!("length is {length}"), Matcher::Length(length, length)));
    }
    let fields = node.fields()?;
    let bound = |key| fields.opt(key).and_then(|node: Node<'_, '_>| node.whole(0, u64::MAX));
    let (low, high) = (bound("at_least"), bound("at_most"));
    fields.finish();
    let words = match (low, high) {
        (Some(low), Some(high)) => format!("length {low} to {high}"),
        (Some(low), None) => format!("length >= {low}"),
        (None, Some(high)) => format!("length <= {high}"),
        (None, None) => {
            node.fault("`length` has no bound (write `length = 5` or `{ at_least = 1 }`)");
            return None;
        }
    };
    Some((words, Matcher::Length(low.unwrap_or(0), high.unwrap_or(u64::MAX))))
}

fn status(node: &Node<'_, '_>) -> Check {
    let items = if node.value.is_array() { node.items() } else { Some(vec![node.clone()]) };
    let ranges: Vec<(u16, u16)> =
        items.unwrap_or_default().iter().filter_map(status_range).collect();
    let words: Vec<String> = ranges.iter().map(range_words).collect();
    let name = format!("status is {}", words.join(" or "));
    Check { name, predicate: Predicate::Status(ranges) }
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
