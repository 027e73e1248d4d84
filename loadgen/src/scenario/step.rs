//! A step: one verb with its modifiers, and what all steps of a flow must agree on. Pure.
//!
//! In: the array `steps`. Out: [`Step`]s, with all faults noted in the reader. Bytes and places
//! of captures are left to the plan.

use super::reader::{Fields, Node};
use super::{
    AwaitStep, Check, ConnectStep, Expectation, HttpStep, Predicate, SendStep, Step, Template, Verb,
};
use crate::fault::did_you_mean;
use crate::template::Escape;
use std::collections::BTreeMap;
use std::time::Duration;

/// Time limit of an exchange that names none: k6's is a minute, autocannon's ten seconds.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Repetitions at most: more is a flow of its own.
const REPEAT_MAX: u64 = 1_000_000;

/// Nested `repeat` at most.
const DEPTH_MAX: usize = 8;

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

const VERBS: [&str; 15] = [
    "get", "post", "put", "patch", "delete", "head", "options", "connect", "send", "await",
    "listen", "ping", "close", "think", "repeat",
];

/// Verbs of the form that this version does not know yet.
const VERBS_LATER: [&str; 9] = [
    "request",
    "sio_connect",
    "emit",
    "await_event",
    "sio_close",
    "one_of",
    "parallel",
    "if",
    "group",
];

/// Reads all steps of an array.
pub(crate) fn read_all(node: &Node<'_, '_>, per_iteration: bool) -> Vec<Step> {
    let items = node.items().unwrap_or_default();
    items.iter().filter_map(|item| read(item, per_iteration, 0)).collect()
}

pub(crate) fn tags(fields: &Fields<'_, '_>) -> BTreeMap<String, String> {
    let Some(tags) = fields.opt("tags").and_then(|node| node.fields()) else {
        return BTreeMap::new();
    };
    let entries = tags.entries();
    entries
        .into_iter()
        .filter_map(|(name, node)| Some((name.to_owned(), node.text()?.to_owned())))
        .collect()
}

fn read(node: &Node<'_, '_>, per_iteration: bool, depth: usize) -> Option<Step> {
    let fields = node.fields()?;
    let name = fields.opt("name").and_then(|node| node.text()).map(str::to_owned);
    let tags = tags(&fields);
    let verb = find_verb(&fields)?;
    let line = node.line();
    let verb = match verb {
        "connect" => connect(&fields, per_iteration),
        "send" => send(&fields),
        "await" => awaiting(&fields),
        "listen" => {
            let length = fields.opt("listen").and_then(|node| node.span_of_time());
            let on = on(&fields);
            length.map(|length| Verb::Listen { on, length })
        }
        "ping" => {
            // `ping = "room"` names the socket; `ping = true` takes the only one.
            let on = fields.opt("ping").and_then(|node| node.value.as_str().map(str::to_owned));
            Some(Verb::Ping { on, within: limit(&fields, "within") })
        }
        "close" => {
            let on = fields.opt("close").and_then(|node| node.value.as_str().map(str::to_owned));
            let code = fields.opt("code").and_then(|node| node.whole(1_000, 4_999));
            Some(Verb::Close { on, code: code.unwrap_or(1_000) as u16 })
        }
        "think" => fields.opt("think").and_then(|node| node.span_of_time()).map(Verb::Think),
        "repeat" => repeat(&fields, per_iteration, depth),
        method => http(&fields, method),
    };
    fields.finish();
    Some(Step { verb: verb?, name, tags, line })
}

/// The step's verb; the faults of a step with none or several are noted.
fn find_verb(fields: &Fields<'_, '_>) -> Option<&'static str> {
    let mut found: Vec<&'static str> =
        VERBS.iter().copied().filter(|verb| fields.has(verb)).collect();
    if found.contains(&"send") {
        // Beside `send`, `await` is a modifier.
        found.retain(|verb| *verb != "await");
    }
    if let Some(later) = VERBS_LATER.iter().find(|verb| fields.has(verb)) {
        fields.fault(format!("`{later}` is not built yet (known: {})", quoted(&VERBS)));
        return None;
    }
    match found.as_slice() {
        [verb] => Some(verb),
        [] => {
            let hint = fields
                .entries()
                .iter()
                .map(|(name, _)| did_you_mean(name, VERBS.into_iter()))
                .find(|hint| !hint.is_empty())
                .unwrap_or_else(|| format!(" (known: {})", quoted(&VERBS)));
            fields.fault(format!("the step has no verb{hint}"));
            None
        }
        several => {
            let several = quoted(several);
            fields.fault(format!("the step has several verbs: {several} (make them steps each)"));
            None
        }
    }
}

pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn on(fields: &Fields<'_, '_>) -> Option<String> {
    fields.opt("on").and_then(|node| node.text()).map(str::to_owned)
}

fn limit(fields: &Fields<'_, '_>, key: &'static str) -> Duration {
    let Some(node) = fields.opt(key) else { return TIMEOUT_DEFAULT };
    match node.duration() {
        Some(limit) if limit.is_zero() => {
            node.fault(format!("`{key}` is 0, so nothing could ever succeed (raise it)"));
            TIMEOUT_DEFAULT
        }
        Some(limit) => limit,
        None => TIMEOUT_DEFAULT,
    }
}

fn pairs(fields: &Fields<'_, '_>, key: &'static str, escape: Escape) -> Vec<(String, Template)> {
    fields.opt(key).map(|node| node.templates(escape)).unwrap_or_default()
}

fn headers(fields: &Fields<'_, '_>) -> Vec<(String, Template)> {
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

fn http(fields: &Fields<'_, '_>, verb: &'static str) -> Option<Verb> {
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

fn url(node: &Node<'_, '_>) -> Option<Template> {
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

fn captures(fields: &Fields<'_, '_>) -> Vec<(String, String)> {
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
fn pointers(node: &Node<'_, '_>) -> Vec<(String, Template)> {
    let pairs = node.templates(Escape::None);
    pairs
        .into_iter()
        .map(|(name, value)| {
            let pointer = if name.starts_with('/') { name } else { format!("/{name}") };
            (pointer, value)
        })
        .collect()
}

fn connect(fields: &Fields<'_, '_>, per_iteration: bool) -> Option<Verb> {
    let node = fields.opt("connect")?;
    let url = url(&node);
    let socket = fields.opt("as").and_then(|node| node.text()).map(str::to_owned);
    let protocols = fields.opt("protocols").and_then(|node| node.texts()).unwrap_or_default();
    let own = fields.opt("per_iteration").and_then(|node| node.flag());
    let step = ConnectStep {
        socket: socket.or_else(|| node.text().map(str::to_owned))?,
        headers: headers(fields),
        protocols,
        timeout: limit(fields, "timeout"),
        per_iteration: own.unwrap_or(per_iteration),
        url: url?,
    };
    Some(Verb::Connect(Box::new(step)))
}

/// A message: a string as it is, anything else as JSON.
fn message(node: &Node<'_, '_>) -> Option<Template> {
    if node.value.is_str() { node.template(Escape::None) } else { node.json() }
}

fn send(fields: &Fields<'_, '_>) -> Option<Verb> {
    let node = fields.opt("send")?;
    let mut message = message(&node);
    let stamp = fields.opt("stamp").and_then(|node| node.flag()).unwrap_or(false);
    if stamp
        && let Some(message) = &mut message
        && let Err(what) = crate::stamp::mark(message)
    {
        node.fault(what);
    }
    let stamp = message.as_ref().is_some_and(Template::has_stamp);
    let step = SendStep {
        on: on(fields),
        stamp,
        expect: fields
            .opt("expect")
            .and_then(|node| node.whole(1, u64::from(u32::MAX)))
            .unwrap_or(0),
        reply: fields.opt("await").and_then(|node| expectation(&node)),
        message: message?,
    };
    if step.expect > 0 && !stamp {
        fields.fault("`expect` counts stamped messages (add `stamp = true`)");
    }
    Some(Verb::Send(Box::new(step)))
}

fn awaiting(fields: &Fields<'_, '_>) -> Option<Verb> {
    let expectation = fields.opt("await").and_then(|node| expectation(&node));
    let step = AwaitStep { on: on(fields), captures: captures(fields), expectation: expectation? };
    Some(Verb::Await(step))
}

fn expectation(node: &Node<'_, '_>) -> Option<Expectation> {
    if node.value.is_str() {
        let contains = node.template(Escape::None);
        return Some(Expectation { contains, json: Vec::new(), within: TIMEOUT_DEFAULT });
    }
    let fields = node.fields()?;
    let contains = fields.opt("contains").and_then(|node| node.template(Escape::None));
    let json = fields.opt("json").map(|node| pointers(&node)).unwrap_or_default();
    let within = limit(&fields, "within");
    fields.finish();
    Some(Expectation { contains, json, within })
}

fn repeat(fields: &Fields<'_, '_>, per_iteration: bool, depth: usize) -> Option<Verb> {
    let count = fields.opt("repeat").and_then(|node| node.whole(1, REPEAT_MAX));
    let node = fields.need("steps", "steps = [{ get = \"/\" }]")?;
    if depth >= DEPTH_MAX {
        node.fault(format!("`repeat` is nested more than {DEPTH_MAX} deep (flatten it)"));
        return None;
    }
    let items = node.items().unwrap_or_default();
    let steps = items.iter().filter_map(|item| read(item, per_iteration, depth + 1)).collect();
    Some(Verb::Repeat { count: count? as u32, steps })
}
