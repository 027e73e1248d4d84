//! WebSocket steps: sockets opened, messages sent and awaited, pings and closes. Pure.
//!
//! In: the fields of a step. Out: its [`Verb`], with all faults noted in the reader. Which sockets
//! are open when is left to `verify.rs`.

use super::super::reader::{Fields, Node};
use super::super::realtime::{Expected, Payload, Reconnect};
use super::super::{AwaitStep, ConnectStep, Expectation, SendStep, Template, Verb};
use super::capture::captures;
use super::http::{headers, pointers, url};
use super::{TIMEOUT_DEFAULT, limit};
use crate::base64;
use crate::check::Source;
use crate::template::Escape;

/// Messages in one `burst` at most: more does not fit a socket's buffers.
const BURST_MAX: u64 = 10_000;

/// Bytes of the reason of a close frame at most (RFC 6455, section 5.5).
const REASON_MAX: usize = 123;

pub(super) fn on(fields: &Fields<'_, '_>) -> Option<String> {
    fields.opt("on").and_then(|node| node.text()).map(str::to_owned)
}

pub(super) fn connect(fields: &Fields<'_, '_>, per_iteration: bool) -> Option<Verb> {
    let node = fields.opt("connect")?;
    let url = url(&node);
    let socket = fields.opt("as").and_then(|node| node.text()).map(str::to_owned);
    let own = fields.opt("per_iteration").and_then(|node| node.flag());
    let step = ConnectStep {
        socket: socket.or_else(|| node.text().map(str::to_owned))?,
        headers: headers(fields),
        protocols: protocols(fields),
        timeout: limit(fields, "timeout"),
        per_iteration: own.unwrap_or(per_iteration),
        reconnect: fields.opt("reconnect").and_then(|node| reconnect(&node)),
        url: url?,
    };
    Some(Verb::Connect(Box::new(step)))
}

fn protocols(fields: &Fields<'_, '_>) -> Vec<String> {
    let Some(node) = fields.opt("protocols") else { return Vec::new() };
    let protocols = node.texts().unwrap_or_default();
    for name in &protocols {
        // A subprotocol is a token, as a header's name is.
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            node.fault(format!("`{name}` is not a subprotocol (letters, digits, `-` and `.`)"));
        }
    }
    protocols
}

/// `true` for the defaults, or a table.
pub(super) fn reconnect(node: &Node<'_, '_>) -> Option<Reconnect> {
    if let Some(wanted) = node.value.as_bool() {
        return wanted.then(Reconnect::default);
    }
    let fields = node.fields()?;
    let default = Reconnect::default();
    let time = |key| fields.opt(key).and_then(|node| node.duration());
    let delay = time("delay").unwrap_or(default.delay);
    let max = time("max");
    if let Some(short) = max.filter(|max| *max < delay) {
        node.fault(format!("`max` ({short:?}) is below `delay` ({delay:?}) (raise it)"));
    }
    let jitter = fields.opt("jitter").and_then(|node| {
        let jitter = node.number()?;
        if jitter > 1.0 {
            node.fault(format!("`{jitter}` is not a share of the delay (write 0 to 1)"));
        }
        Some(jitter.min(1.0))
    });
    let attempts = fields.opt("attempts").and_then(|node| node.count(0));
    fields.finish();
    Some(Reconnect {
        delay,
        max: max.unwrap_or(default.max).max(delay),
        jitter: jitter.unwrap_or(default.jitter),
        attempts: attempts.unwrap_or(default.attempts),
    })
}

/// A message: a string as it is, a table `{ base64 = ".." }` as bytes, anything else as JSON.
fn payload(fields: &Fields<'_, '_>, node: &Node<'_, '_>) -> Option<Payload> {
    let binary = fields.opt("binary").and_then(|node| node.flag()).unwrap_or(false);
    if let Some(bytes) = bytes(node) {
        return Some(Payload::Bytes(bytes));
    }
    let text = if node.value.is_str() { node.template(Escape::None) } else { node.json() }?;
    Some(if binary { Payload::Binary(text) } else { Payload::Text(text) })
}

/// The bytes of a table that has `base64` and nothing else.
pub(super) fn bytes(node: &Node<'_, '_>) -> Option<Vec<u8>> {
    let table = node.value.as_table().filter(|table| table.len() == 1)?;
    let text = table.get("base64")?.get_ref().as_str()?;
    let bytes = base64::decode(text);
    if bytes.is_none() {
        node.fault(format!("`{text}` is not base64 (letters, digits, `+`, `/`)"));
    }
    Some(bytes.unwrap_or_default())
}

pub(super) fn send(fields: &Fields<'_, '_>) -> Option<Verb> {
    let node = fields.opt("send")?;
    let mut payload = payload(fields, &node);
    let marked = fields.opt("stamp").and_then(|node| node.flag()).unwrap_or(false);
    match &mut payload {
        Some(Payload::Text(text) | Payload::Binary(text)) if marked => {
            if let Err(what) = crate::stamp::mark(text) {
                node.fault(what);
            }
        }
        Some(Payload::Bytes(_)) if marked => {
            node.fault("a stamp is text, and these are bytes (send text, with `binary = true`)");
        }
        _ => {}
    }
    let stamp = payload.as_ref().and_then(Payload::template).is_some_and(Template::has_stamp);
    let step = SendStep {
        on: on(fields),
        stamp,
        expect: expect(fields, stamp),
        burst: fields.opt("burst").and_then(|node| node.whole(1, BURST_MAX)).unwrap_or(1) as u32,
        reply: fields.opt("await").and_then(|node| expectation(&node)),
        payload: payload?,
    };
    Some(Verb::Send(Box::new(step)))
}

/// How many recipients a stamped message should reach.
pub(super) fn expect(fields: &Fields<'_, '_>, stamp: bool) -> Option<Expected> {
    let node = fields.opt("expect")?;
    if !stamp {
        node.fault("`expect` counts stamped messages (add `stamp = true`)");
    }
    if node.value.is_str() {
        return node.template(Escape::None).map(Expected::Text);
    }
    node.whole(1, u64::from(u32::MAX)).map(Expected::Count)
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
    let code = fields.opt("code").and_then(|node| {
        let code = node.whole(1_000, 4_999)? as u16;
        if matches!(code, 1_004..=1_006 | 1_015..=2_999) {
            node.fault(format!("close code {code} may not be sent (1000, 1001, or 3000 to 4999)"));
        }
        Some(code)
    });
    let reason = fields.opt("reason").and_then(|node| {
        let reason = node.text()?;
        if reason.len() > REASON_MAX {
            node.fault(format!("a reason has {REASON_MAX} bytes at most (shorten it)"));
        }
        Some(reason.to_owned())
    });
    Some(Verb::Close { on, code: code.unwrap_or(1_000), reason: reason.unwrap_or_default() })
}

fn expectation(node: &Node<'_, '_>) -> Option<Expectation> {
    if node.value.is_str() {
        let contains = node.template(Escape::None);
        return Some(Expectation { contains, within: TIMEOUT_DEFAULT, ..Expectation::default() });
    }
    let fields = node.fields()?;
    let expectation = Expectation {
        contains: fields.opt("contains").and_then(|node| node.template(Escape::None)),
        json: fields.opt("json").map(|node| pointers(&node)).unwrap_or_default(),
        matches: fields.opt("matches").and_then(|node| pattern(&node)),
        binary: fields.opt("binary").and_then(|node| node.flag()),
        length: fields.opt("length").and_then(|node| node.whole(0, u64::from(u32::MAX))),
        within: limit(&fields, "within"),
    };
    fields.finish();
    Some(expectation)
}

/// A regular expression as written, once it is known to be one.
fn pattern(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    match regex::bytes::Regex::new(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            node.fault(format!("`{text}` is not a regular expression: {why}"));
            None
        }
    }
}
