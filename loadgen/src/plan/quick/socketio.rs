//! Quick loads of Socket.IO servers: one client for each user that connects, and holds or emits.
//! Pure.
//!
//! In: a [`Quick`] order with [`Talk`]. Out: its steps, or what is wrong with the event. How a URL
//! is read is socket.io-client's way: its path is the namespace, its query goes with each request.

use super::{Quick, hold};
use crate::scenario::socketio::{AckStep, EmitStep, SioConnectStep, SioStep, Transports};
use crate::scenario::step::fault_of_event;
use crate::scenario::{Step, Verb};
use crate::template::Template;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use url::Url;

/// Where servers listen unless they are told otherwise.
const PATH: &str = "/socket.io/";

/// How a cure begins.
const EXAMPLE: &str = "write `[\"event\", {\"a\": 1}]`";

/// What is particular to Socket.IO.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Talk {
    /// Each event is acknowledged before the next one is emitted.
    pub ack: bool,
    /// The ways a session goes.
    pub transports: Transports,
}

/// An event and its arguments, as JSON without the brackets of their array.
struct Event {
    name: String,
    args: String,
}

impl Event {
    /// From `["name", argument, ...]`; the arguments stay as they are written.
    fn parse(body: &[u8]) -> Result<Self, String> {
        let items: Vec<&RawValue> = serde_json::from_slice(body)
            .map_err(|cause| format!("it is not a JSON array: {cause} ({EXAMPLE})"))?;
        let Some((first, args)) = items.split_first() else {
            return Err(format!("it has no event ({EXAMPLE})"));
        };
        let name: String = serde_json::from_str(first.get())
            .map_err(|_| format!("`{first}` is not the name of an event ({EXAMPLE})"))?;
        let args: Vec<&str> = args.iter().map(|arg| arg.get()).collect();
        match fault_of_event(&name) {
            Some(what) => Err(what),
            None => Ok(Self { name, args: args.join(",") }),
        }
    }
}

/// Where something is wrong, and what.
pub(super) fn fault(quick: &Quick) -> Option<(&'static str, String)> {
    let talk = quick.socketio?;
    if quick.body.is_empty() {
        let what = "without an event nothing is acknowledged (give one by `--body`)";
        return talk.ack.then(|| ("ack", what.to_owned()));
    }
    if let Err(what) = Event::parse(&quick.body) {
        return Some(("body", what));
    }
    // Events that nothing paces would only fill buffers, here and in the server.
    (!talk.ack && quick.rate.is_none()).then(|| {
        let what = "nothing paces these events (add `--ack`, or `--rate 100`)";
        ("rate", what.to_owned())
    })
}

/// The steps: connect, then emit, or hold where connections are not counted.
pub(super) fn steps(quick: &Quick, talk: Talk) -> Vec<Step> {
    let url = Url::parse(&quick.url).ok();
    let counted = quick.rate.is_some() || quick.requests.is_some();
    let step =
        |sio| Step { verb: Verb::Sio(Box::new(sio)), name: None, tags: BTreeMap::new(), line: 0 };
    let literal = |(name, value): (&str, &str)| (name.to_owned(), Template::literal(value));
    let connect = step(SioStep::Connect(SioConnectStep {
        path: Template::literal(PATH),
        client: "load".to_owned(),
        namespace: url.as_ref().map_or("/", Url::path).to_owned(),
        auth: None,
        transports: talk.transports,
        headers: quick.headers.iter().map(|(name, value)| literal((name, value))).collect(),
        query: url.iter().flat_map(Url::query_pairs).map(|(n, v)| literal((&n, &v))).collect(),
        timeout: quick.timeout,
        // Without an event it is connections that are counted, or held.
        per_iteration: quick.body.is_empty() && counted,
        reconnect: None,
    }));
    // Faults have been found before.
    let Ok(event) = Event::parse(&quick.body) else {
        return [connect].into_iter().chain((!counted).then(|| hold(quick))).collect();
    };
    let ack = AckStep { within: quick.timeout, json: Vec::new(), captures: Vec::new() };
    let emit = step(SioStep::Emit(EmitStep {
        on: None,
        event: event.name,
        args: Template::literal(&event.args),
        attachments: Vec::new(),
        stamp: false,
        expect: None,
        ack: talk.ack.then_some(ack),
    }));
    vec![connect, emit]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;

    #[test]
    fn faults_name_their_cure() {
        let order = |body: &str, ack, rate| Quick {
            url: "http://127.0.0.1:3000".to_owned(),
            body: body.as_bytes().to_vec(),
            rate,
            socketio: Some(Talk { ack, ..Talk::default() }),
            ..Quick::default()
        };
        for (body, ack, rate, fault) in [
            ("", true, None, "`ack`: without an event nothing is acknowledged"),
            ("hello", true, None, "`body`: it is not a JSON array"),
            ("[]", true, None, "`body`: it has no event"),
            ("[{}]", true, None, "`body`: `{}` is not the name of an event"),
            (r#"["disconnect"]"#, true, None, "`body`: `disconnect` is a name"),
            (r#"["say"]"#, false, None, "`rate`: nothing paces these events"),
        ] {
            let faults = Plan::quick(&order(body, ack, rate)).expect_err(body).to_string();
            assert!(faults.contains(fault), "{body}: {faults}");
        }
        for (body, ack, rate) in
            [("", false, None), (r#"["say"]"#, true, None), (r#"["say"]"#, false, Some(5.0))]
        {
            assert!(Plan::quick(&order(body, ack, rate)).is_ok(), "{body}");
        }
    }

    #[test]
    fn arguments_stay_as_they_are_written() {
        let event = Event::parse(br#"["say", 1.0, {"b":1, "a":"${vu}"}]"#).expect("an event");
        assert_eq!(
            (event.name.as_str(), event.args.as_str()),
            ("say", r#"1.0,{"b":1, "a":"${vu}"}"#)
        );
    }

    #[test]
    fn a_url_is_read_as_the_client_of_socket_io_does() {
        for (url, namespace, query) in [
            ("http://127.0.0.1:3000", "/", &[][..]),
            ("http://127.0.0.1:3000/chat", "/chat", &[]),
            ("http://127.0.0.1:3000/a/b?who=x%20y", "/a/b", &[("who", "x y")]),
        ] {
            let quick = Quick { url: url.to_owned(), ..Quick::default() };
            let steps = steps(&quick, Talk::default());
            let Verb::Sio(sio) = &steps[0].verb else { panic!("{:?}", steps[0]) };
            let SioStep::Connect(connect) = sio.as_ref() else { panic!("{sio:?}") };
            assert_eq!(connect.namespace, namespace);
            let read: Vec<_> =
                connect.query.iter().map(|(n, v)| (n.as_str(), v.as_static().unwrap())).collect();
            assert_eq!(read, query, "{url}");
        }
    }
}
