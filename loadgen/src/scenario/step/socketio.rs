//! Socket.IO steps: clients connected, events sent and awaited. Pure.
//!
//! In: the fields of a step. Out: its [`Verb`], with all faults noted in the reader. Which clients
//! there are is left to `verify.rs`.

use super::super::reader::{Fields, Node};
use super::super::socketio::{AckStep, AwaitEventStep, EmitStep, SioConnectStep, SioStep};
use super::super::{Template, Verb};
use super::capture::captures;
use super::http::{headers, pairs, url};
use super::websocket::{bytes, expect, on, reconnect};
use super::{TIMEOUT_DEFAULT, limit};
use crate::template::Escape;
use ebbtide_socketio::client::Transports;

/// Names that Socket.IO keeps for itself.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

pub(super) fn connect(fields: &Fields<'_, '_>, per_iteration: bool) -> Option<Verb> {
    let node = fields.opt("sio_connect")?;
    let client = fields.opt("as").and_then(|node| node.text()).map(str::to_owned);
    let namespace = fields.opt("namespace").and_then(|node| {
        let name = node.text()?;
        if !name.starts_with('/') || name.contains([',', '?']) {
            node.fault(format!("`{name}` is not a namespace (write `/chat`)"));
        }
        Some(name.to_owned())
    });
    let auth = fields.opt("auth").and_then(|node| {
        node.fields()?;
        node.json()
    });
    let own = fields.opt("per_iteration").and_then(|node| node.flag());
    let path = url(&node);
    let step = SioConnectStep {
        client: client.or_else(|| node.text().map(str::to_owned))?,
        namespace: namespace.unwrap_or_else(|| "/".to_owned()),
        auth,
        transports: fields.opt("transports").map(|node| transports(&node)).unwrap_or_default(),
        headers: headers(fields),
        query: pairs(fields, "query", Escape::Query),
        timeout: limit(fields, "timeout"),
        per_iteration: own.unwrap_or(per_iteration),
        reconnect: fields.opt("reconnect").and_then(|node| reconnect(&node)),
        path: path?,
    };
    Some(Verb::Sio(Box::new(SioStep::Connect(step))))
}

fn transports(node: &Node<'_, '_>) -> Transports {
    let names = node.texts().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["polling", "websocket"] => Transports::PollingThenWebSocket,
        ["websocket"] => Transports::WebSocket,
        ["polling"] => Transports::Polling,
        _ => {
            node.fault(
                "transports are `[\"polling\", \"websocket\"]`, `[\"websocket\"]` or \
                 `[\"polling\"]`",
            );
            Transports::default()
        }
    }
}

fn event(node: &Node<'_, '_>) -> Option<String> {
    let name = node.text()?;
    if let Some(what) = fault_of_event(name) {
        node.fault(what);
    }
    Some(name.to_owned())
}

/// What is wrong with the name of an event.
pub(crate) fn fault_of_event(name: &str) -> Option<String> {
    let fault = || format!("`{name}` is a name that Socket.IO keeps for itself (choose another)");
    RESERVED.contains(&name).then(fault)
}

pub(super) fn emit(fields: &Fields<'_, '_>) -> Option<Verb> {
    let event = event(&fields.opt("emit")?)?;
    let (mut args, attachments) =
        fields.opt("args").and_then(|node| arguments(&node)).unwrap_or_default();
    let marked = fields.opt("stamp").and_then(|node| node.flag()).unwrap_or(false);
    if marked && let Err(what) = crate::stamp::mark(&mut args) {
        fields.fault(what);
    }
    let stamp = args.has_stamp();
    let step = EmitStep {
        on: on(fields),
        event,
        args,
        attachments,
        stamp,
        expect: expect(fields, stamp),
        ack: fields.opt("ack").and_then(|node| ack(&node)),
    };
    Some(Verb::Sio(Box::new(SioStep::Emit(step))))
}

/// Arguments as JSON without brackets; `{ base64 = ".." }` is an attachment.
fn arguments(node: &Node<'_, '_>) -> Option<(Template, Vec<Vec<u8>>)> {
    let mut args = Template::default();
    let mut attachments = Vec::new();
    for (place, item) in node.items()?.iter().enumerate() {
        if place > 0 {
            args.push_text(",");
        }
        if let Some(bytes) = bytes(item) {
            let number = attachments.len();
            args.push_text(&format!("{{\"_placeholder\":true,\"num\":{number}}}"));
            attachments.push(bytes);
        } else {
            args.push(item.json()?);
        }
    }
    Some((args, attachments))
}

/// `true`, or a table.
fn ack(node: &Node<'_, '_>) -> Option<AckStep> {
    if let Some(wanted) = node.value.as_bool() {
        let ack = AckStep { within: TIMEOUT_DEFAULT, json: Vec::new(), captures: Vec::new() };
        return wanted.then_some(ack);
    }
    let fields = node.fields()?;
    let ack = AckStep {
        within: limit(&fields, "within"),
        json: fields.opt("json").map(|node| pointers(&node)).unwrap_or_default(),
        captures: captures(&fields),
    };
    fields.finish();
    Some(ack)
}

/// JSON pointers into the array of arguments; a plain name is a field of the first one.
fn pointers(node: &Node<'_, '_>) -> Vec<(String, Template)> {
    let pairs = node.templates(Escape::None);
    pairs
        .into_iter()
        .map(|(name, value)| {
            let pointer = if name.starts_with('/') { name } else { format!("/0/{name}") };
            (pointer, value)
        })
        .collect()
}

pub(super) fn await_event(fields: &Fields<'_, '_>) -> Option<Verb> {
    let event = event(&fields.opt("await_event")?)?;
    let step = AwaitEventStep {
        on: on(fields),
        event,
        json: fields.opt("json").map(|node| pointers(&node)).unwrap_or_default(),
        within: limit(fields, "within"),
        captures: captures(fields),
    };
    Some(Verb::Sio(Box::new(SioStep::Await(step))))
}

pub(super) fn close(fields: &Fields<'_, '_>) -> Option<Verb> {
    // `sio_close = "chat"` names the client; `sio_close = true` takes the only one.
    let on = fields.opt("sio_close").and_then(|node| node.value.as_str().map(str::to_owned));
    Some(Verb::Sio(Box::new(SioStep::Close { on })))
}
