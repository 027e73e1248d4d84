//! The plan of `ebb load URL`: one flow named `load` with one step, or two. Pure.
//!
//! In: a [`Quick`] order. Out: a [`Plan`], by way of the scenario that says the same.

mod socketio;

pub use socketio::Talk;

use super::{Address, Plan};
use crate::fault::{Fault, Faults};
use crate::scenario::RATE_MAX;
use crate::scenario::protocol::Protocol;
use crate::scenario::realtime::Payload;
use crate::scenario::transport::Transport;
use crate::scenario::{
    Arrivals, BodyPiece, ConnectStep, Executor, Expectation, Flow, HttpStep, Inherited, Scenario,
    SendStep, Span, Step, Target, Verb, VuPool,
};
use crate::template::Template;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Time limit of a quick load that counts requests: a day, so that the count decides.
const COUNTED_MAX: Duration = Duration::from_secs(86_400);

/// Arrivals that may wait for a free connection.
const QUEUE: u32 = 10_000;

/// What `ebb load URL` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Quick {
    /// `http://host:port/path` or `ws://host:port/path`, or the same with `https` or `wss`.
    pub url: String,
    /// Connections.
    pub connections: u32,
    /// What is spoken on them, and how many exchanges each has at a time.
    pub protocol: Protocol,
    /// How long.
    pub duration: Duration,
    /// So many requests instead of a duration.
    pub requests: Option<u64>,
    /// Requests per second in the open model; none for the closed model.
    pub rate: Option<f64>,
    /// HTTP method.
    pub method: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body, or for `ws://` the message; without one, connections are held for the duration, or
    /// opened and closed when there is a rate or a count.
    pub body: Vec<u8>,
    /// Time limit of one exchange.
    pub timeout: Duration,
    /// Seed of everything random.
    pub seed: u64,
    /// How bytes reach the URL.
    pub transport: Transport,
    /// Socket.IO is spoken at the URL; the body is an event then.
    pub socketio: Option<Talk>,
}

impl Default for Quick {
    fn default() -> Self {
        Self {
            url: String::new(),
            connections: 10,
            protocol: Protocol::default(),
            duration: Duration::from_secs(10),
            requests: None,
            rate: None,
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: crate::scenario::step::TIMEOUT_DEFAULT,
            seed: crate::scenario::SEED_DEFAULT,
            transport: Transport::default(),
            socketio: None,
        }
    }
}

impl Plan {
    /// The plan of `ebb load URL`: one flow named `load` with one step.
    ///
    /// # Errors
    /// Faults of the URL, the method, the headers, the body and the counts.
    pub fn quick(quick: &Quick) -> Result<Self, Faults> {
        let mut list = Vec::new();
        let mut fault = |path: &str, what: String| {
            let path = path.to_owned();
            list.push(Fault { file: String::new(), line: 0, column: 0, path, what });
        };
        if let Err(what) = Address::parse(&quick.url) {
            fault("url", what);
        }
        if quick.connections == 0 {
            fault("connections", "0 connections do nothing (write `--connections 10`)".to_owned());
        }
        if let Some(what) = quick.protocol.contradiction() {
            fault("in flight", what);
        }
        if http::Method::from_bytes(quick.method.as_bytes()).is_err() {
            fault("method", format!("`{}` is not an HTTP method (write `GET`)", quick.method));
        }
        if quick.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            fault("rate", "a rate must be above 0 (leave it out for the closed model)".to_owned());
        }
        if quick.rate.is_some_and(|rate| rate > RATE_MAX) {
            fault("rate", format!("more than {RATE_MAX} a second cannot be kept (lower it)"));
        }
        if quick.requests == Some(0) {
            fault("requests", "0 requests do nothing (write `--requests 100`)".to_owned());
        }
        if quick.requests.is_none() && quick.duration.is_zero() {
            fault("duration", "no time does nothing (write `--duration 10s`)".to_owned());
        }
        for (name, value) in &quick.headers {
            let good = http::HeaderName::from_bytes(name.as_bytes()).is_ok()
                && http::HeaderValue::from_str(value).is_ok();
            if !good {
                fault("header", format!("`{name}: {value}` is not a header (write `name: value`)"));
            }
        }
        let body = String::from_utf8(quick.body.clone());
        if body.is_err() && quick.url.starts_with("ws") {
            fault("body", "the message is not UTF-8 text (send text)".to_owned());
        }
        if let Some((path, what)) = socketio::fault(quick) {
            fault(path, what);
        }
        if !list.is_empty() {
            return Err(Faults { list });
        }
        let scenario = scenario(quick, &body.unwrap_or_default());
        let root = root_of(&quick.url);
        let mut plan = Self::resolve(&scenario, &root)?;
        quick.url.clone_into(&mut plan.base);
        Ok(plan)
    }
}

/// The URL without its path and query.
fn root_of(url: &str) -> String {
    let Ok(mut root) = Url::parse(url) else { return url.to_owned() };
    root.set_path("");
    root.set_query(None);
    root.set_fragment(None);
    root.to_string()
}

fn scenario(quick: &Quick, body: &str) -> Scenario {
    let flow = Flow {
        executor: executor(quick),
        start_time: Duration::ZERO,
        // What is in flight at the end is one exchange per connection, bounded by its time limit.
        graceful_stop: Duration::ZERO,
        tags: BTreeMap::new(),
        env: BTreeMap::new(),
        per_iteration: false,
        inherited: Inherited {
            timeout: Some(quick.timeout),
            // What is measured is the URL that was given, as with wrk and autocannon.
            redirects: Some(0),
            cookies: Some(false),
            ..Inherited::default()
        },
        steps: steps(quick, body),
        line: 0,
    };
    Scenario {
        name: quick.url.clone(),
        seed: quick.seed,
        target: Target {
            transport: quick.transport.clone(),
            protocol: quick.protocol,
            ..Target::default()
        },
        flows: BTreeMap::from([("load".to_owned(), flow)]),
        ..Scenario::default()
    }
}

impl Quick {
    /// What starts its iterations.
    #[must_use]
    pub fn executor(&self) -> Executor {
        executor(self)
    }
}

fn executor(quick: &Quick) -> Executor {
    // Messages in flight on a WebSocket are a burst of one user.
    let each = if stays_open(quick) { 1 } else { quick.protocol.in_flight };
    let vus = quick.connections.saturating_mul(each);
    match (quick.rate, quick.requests) {
        (Some(rate), requests) => Executor::ConstantArrivalRate {
            rate,
            time_unit: Duration::from_secs(1),
            duration: requests.map_or(quick.duration, |requests| {
                Duration::from_secs_f64((requests as f64 / rate).min(COUNTED_MAX.as_secs_f64()))
            }),
            pool: VuPool { pre_allocated: vus, max: vus, queue: QUEUE },
            arrivals: Arrivals::Even,
        },
        (None, Some(iterations)) => {
            Executor::SharedIterations { vus, iterations, max_duration: COUNTED_MAX }
        }
        // Connections that are held: each once, for the whole time from its own begin.
        (None, None) if stays_open(quick) && quick.body.is_empty() => {
            let max_duration = quick.duration + quick.timeout;
            Executor::PerVuIterations { vus, iterations: 1, max_duration }
        }
        (None, None) => Executor::ConstantVus { vus, duration: quick.duration },
    }
}

/// Whether connections are more than what carries a request.
fn stays_open(quick: &Quick) -> bool {
    is_websocket(quick) || quick.socketio.is_some()
}

/// The step that holds what is open for the duration.
fn hold(quick: &Quick) -> Step {
    let length = Span { low: quick.duration, high: quick.duration };
    Step { verb: Verb::Listen { on: None, length }, name: None, tags: BTreeMap::new(), line: 0 }
}

fn is_websocket(quick: &Quick) -> bool {
    quick.url.starts_with("ws:") || quick.url.starts_with("wss:")
}

fn steps(quick: &Quick, body: &str) -> Vec<Step> {
    if let Some(talk) = quick.socketio {
        return socketio::steps(quick, talk);
    }
    let url = Url::parse(&quick.url).ok();
    let path = url.as_ref().map_or("/", |url| url.path());
    let target = match url.as_ref().and_then(|url| url.query()) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let headers: Vec<(String, Template)> = quick
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Template::literal(value)))
        .collect();
    let step = |verb| Step { verb, name: None, tags: BTreeMap::new(), line: 0 };
    if !is_websocket(quick) {
        return vec![step(Verb::Http(Box::new(HttpStep {
            method: quick.method.to_uppercase(),
            url: Template::literal(&target),
            headers,
            body: (!quick.body.is_empty())
                .then(|| vec![BodyPiece::Bytes(quick.body.as_slice().into())]),
            ..HttpStep::default()
        })))];
    }
    let once = quick.rate.is_some() || quick.requests.is_some();
    let connect = ConnectStep {
        url: Template::literal(&target),
        socket: path.to_owned(),
        headers,
        protocols: Vec::new(),
        timeout: quick.timeout,
        // Without a message it is connections that are counted, or held.
        per_iteration: body.is_empty() && once,
        reconnect: None,
    };
    let connect = step(Verb::Connect(Box::new(connect)));
    if body.is_empty() {
        return [connect].into_iter().chain((!once).then(|| hold(quick))).collect();
    }
    let send = SendStep {
        on: None,
        payload: Payload::Text(Template::literal(body)),
        stamp: false,
        expect: None,
        burst: quick.protocol.in_flight,
        reply: Some(Expectation { within: quick.timeout, ..Expectation::default() }),
    };
    vec![connect, step(Verb::Send(Box::new(send)))]
}
