//! WebSocket steps: sockets opened, messages sent and awaited, pings and closes. Pure.
//!
//! In: the fields of a step. Out: its [`Verb`], with all faults noted in the reader. Which sockets
//! are open when is left to `verify.rs`.

use super::super::reader::{Fields, Node};
use super::super::{AwaitStep, ConnectStep, Expectation, SendStep, Template, Verb};
use super::capture::captures;
use super::http::{headers, pointers, url};
use super::{TIMEOUT_DEFAULT, limit};
use crate::check::Source;
use crate::template::Escape;

fn on(fields: &Fields<'_, '_>) -> Option<String> {
    fields.opt("on").and_then(|node| node.text()).map(str::to_owned)
}

pub(super) fn connect(fields: &Fields<'_, '_>, per_iteration: bool) -> Option<Verb> {
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

pub(super) fn send(fields: &Fields<'_, '_>) -> Option<Verb> {
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

pub(super) fn awaiting(fields: &Fields<'_, '_>) -> Option<Verb> {
    let expectation = fields.opt("await").and_then(|node| expectation(&node));
    let step = AwaitStep { on: on(fields), captures: captures(fields), expectation: expectation? };
    for capture in &step.captures {
        if capture.source.needs_head() || capture.source == Source::Status {
            let what = capture.source.written();
            fields.fault(format!("a message has no {what} (capture from its body)"));
        }
    }
    Some(Verb::Await(step))
}

pub(super) fn listen(fields: &Fields<'_, '_>) -> Option<Verb> {
    let length = fields.opt("listen").and_then(|node| node.span_of_time());
    let on = on(fields);
    length.map(|length| Verb::Listen { on, length })
}

pub(super) fn ping(fields: &Fields<'_, '_>) -> Option<Verb> {
    // `ping = "room"` names the socket; `ping = true` takes the only one.
    let on = fields.opt("ping").and_then(|node| node.value.as_str().map(str::to_owned));
    Some(Verb::Ping { on, within: limit(fields, "within") })
}

pub(super) fn close(fields: &Fields<'_, '_>) -> Option<Verb> {
    let on = fields.opt("close").and_then(|node| node.value.as_str().map(str::to_owned));
    let code = fields.opt("code").and_then(|node| node.whole(1_000, 4_999));
    Some(Verb::Close { on, code: code.unwrap_or(1_000) as u16 })
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
