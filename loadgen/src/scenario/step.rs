//! A step: one verb with its modifiers. Pure.
//!
//! In: the array `steps`. Out: [`Step`]s, with all faults noted in the reader. What a verb may be
//! told is left to the files of this folder, one for each family; bytes and places of captures to
//! the plan.

mod body;
mod capture;
mod check;
mod control;
mod http;
mod socketio;
mod websocket;

pub(crate) use control::unusable;
pub(crate) use http::{encoded, inherited};
pub(crate) use socketio::fault_of_event;

use super::Step;
use super::reader::{Fields, Node};
use crate::fault::did_you_mean;
use std::collections::BTreeMap;
use std::time::Duration;

/// Time limit of an exchange that names none: k6's is a minute, autocannon's ten seconds.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

const VERBS: [&str; 28] = [
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "head",
    "options",
    "connect",
    "send",
    "await",
    "listen",
    "ping",
    "close",
    "think",
    "repeat",
    "one_of",
    "if",
    "group",
    "set",
    "fail",
    "stop",
    "use",
    "request",
    "parallel",
    "sio_connect",
    "emit",
    "await_event",
    "sio_close",
];

/// Lists of steps that flows may use, by name.
pub(crate) type Lists<'a, 't> = BTreeMap<&'a str, Node<'a, 't>>;

/// What surrounds a list of steps.
pub(crate) struct Around<'r, 'a, 't> {
    /// Sockets are closed at the end of each iteration, unless they say otherwise.
    pub(crate) per_iteration: bool,
    /// Lists that may be used.
    pub(crate) lists: &'r Lists<'a, 't>,
    depth: usize,
    /// The named lists that it is in, outermost first.
    using: Vec<&'r str>,
}

impl<'r, 'a, 't> Around<'r, 'a, 't> {
    pub(crate) fn new(per_iteration: bool, lists: &'r Lists<'a, 't>) -> Self {
        Self { per_iteration, lists, depth: 0, using: Vec::new() }
    }

    /// The same, one level deeper.
    fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, using: self.using.clone(), ..*self }
    }

    /// The same, inside a named list.
    pub(crate) fn within(&self, list: &'r str) -> Self {
        let mut deeper = self.deeper();
        deeper.using.push(list);
        deeper
    }

    fn is_in(&self, list: &str) -> bool {
        self.using.contains(&list)
    }

    /// The lists from this one back to it, for a fault.
    fn circle(&self, list: &'r str) -> String {
        let mut circle: Vec<&str> =
            self.using.iter().copied().skip_while(|using| *using != list).collect();
        circle.push(list);
        quoted(&circle)
    }
}

/// Reads all steps of an array.
pub(crate) fn read_list(node: &Node<'_, '_>, around: &Around<'_, '_, '_>) -> Vec<Step> {
    let items = node.items().unwrap_or_default();
    items.iter().filter_map(|item| read(item, around)).collect()
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

fn read(node: &Node<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Step> {
    let fields = node.fields()?;
    let name = fields.opt("name").and_then(|node| node.text()).map(str::to_owned);
    let tags = tags(&fields);
    let verb = find_verb(&fields)?;
    let line = node.line();
    let verb = match verb {
        "connect" => websocket::connect(&fields, around.per_iteration),
        "send" => websocket::send(&fields),
        "await" => websocket::awaiting(&fields),
        "listen" => websocket::listen(&fields),
        "ping" => websocket::ping(&fields),
        "close" => websocket::close(&fields),
        "sio_connect" => socketio::connect(&fields, around.per_iteration),
        "emit" => socketio::emit(&fields),
        "await_event" => socketio::await_event(&fields),
        "sio_close" => socketio::close(&fields),
        "think" => control::think(&fields),
        "repeat" => control::repeat(&fields, around),
        "one_of" => control::one_of(&fields, around),
        "if" => control::branch(&fields, around),
        "group" => control::group(&fields, around),
        "set" => control::set(&fields),
        "fail" => control::fail(&fields),
        "stop" => control::stop(&fields),
        "use" => control::use_list(&fields, around),
        "parallel" => http::parallel(&fields, around),
        method => http::http(&fields, method),
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

/// A time limit, if one is given.
fn timeout(fields: &Fields<'_, '_>, key: &'static str) -> Option<Duration> {
    let node = fields.opt(key)?;
    let limit = node.duration()?;
    if limit.is_zero() {
        node.fault(format!("`{key}` is 0, so nothing could ever succeed (raise it)"));
        return None;
    }
    Some(limit)
}

fn limit(fields: &Fields<'_, '_>, key: &'static str) -> Duration {
    timeout(fields, key).unwrap_or(TIMEOUT_DEFAULT)
}
