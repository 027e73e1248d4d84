//! What is asked inside a Node process, as JavaScript, and what its answers mean: live timers,
//! sockets and listeners, by kind and where they can be told by place. In: answers as JSON. Out:
//! a [`Census`]. Asking is left to `session`. Texts are constant, so that V8 compiles each once,
//! and carry a name by which the reader of profiles leaves them out.

use ebbtide_record::census::{CensusCount, CensusSite};
use ebbtide_record::{Census, Kind};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// Flags that keep V8 from charging what an inlined function allocates to its caller. Only later
/// compilations are affected. Maglev has a flag of its own since V8 12.
pub(super) const KEEP_CALLERS_APART: &str = "\
(() => { const v8 = require('v8'); \
v8.setFlagsFromString('--no-turbo-inlining'); \
if (parseInt(process.versions.v8) >= 12) v8.setFlagsFromString('--no-maglev-inlining'); \
return true; })()\n//# sourceURL=ebb:flags\n";

/// The number of the process that answers.
pub(super) const PID: &str = "process.pid\n//# sourceURL=ebb:pid\n";

/// What is under way, as cheap as it can be had; asked many times a second while it settles.
pub(super) const UNDER_WAY: &str = "\
(() => { const all = {}; \
for (const name of process.getActiveResourcesInfo?.() ?? []) all[name] = (all[name] ?? 0) + 1; \
return { all }; })()\n//# sourceURL=ebb:under-way\n";

/// Bytes of the heap, garbage included.
pub(super) const HEAP_USED: &str = "process.memoryUsage().heapUsed\n//# sourceURL=ebb:heap-used\n";

/// The prototypes whose instances are counted.
pub(super) const EMITTERS: &str = "require('events').prototype\n//# sourceURL=ebb:emitters\n";
pub(super) const TIMERS: &str = "\
(() => { const timer = setTimeout(() => {}, 1e9); const found = Object.getPrototypeOf(timer); \
clearTimeout(timer); return found; })()\n//# sourceURL=ebb:timers\n";
/// Groups listeners by emitter and text of the function, the largest groups first. Run on the
/// array of all emitters. Not by event: one that waits for `reply:17` is like that for `reply:18`.
pub(super) const GROUP_LISTENERS: &str = "function () { \
const groups = new Map(); let seen = 0; \
const named = (fn) => { let name; try { name = fn.name; } catch {} \
  return typeof name === 'string' ? name : ''; }; \
const add = (owner, event, listener) => { \
  const fn = listener?.listener ?? listener; \
  if (typeof fn !== 'function') return; \
  const text = ++seen <= 50000 ? Function.prototype.toString.call(fn) : named(fn); \
  const key = owner + '#' + text; \
  const group = groups.get(key); \
  if (group) group.count++; \
  else if (groups.size < 4096) \
    groups.set(key, { name: named(fn) || owner + '#' + String(event), count: 1, fn }); }; \
for (const emitter of this) { \
  let events; try { events = emitter._events; } catch {} \
  if (!events || typeof events !== 'object') continue; \
  let owner = 'EventEmitter'; try { const name = emitter.constructor.name; \
    if (name && typeof name === 'string') owner = name; } catch {} \
  for (const event of Reflect.ownKeys(events)) { \
    const listeners = events[event]; \
    if (typeof listeners === 'function') add(owner, event, listeners); \
    else if (Array.isArray(listeners)) for (const one of listeners) add(owner, event, one); } } \
return [...groups.values()].sort((a, b) => b.count - a.count); }\n//# sourceURL=ebb:listeners\n";

/// Groups timers that still wait by the text of what they call.
pub(super) const GROUP_TIMERS: &str = "function () { \
const groups = new Map(); let seen = 0; \
for (const timer of this) { \
  const fn = timer._onTimeout; \
  if (timer === process[Symbol.for('ebb.lease')]?.timer) continue; \
  if (timer._destroyed || typeof fn !== 'function') continue; \
  const text = ++seen <= 50000 ? Function.prototype.toString.call(fn) : ''; \
  const repeats = timer._repeat ? 'setInterval' : 'setTimeout'; \
  const key = repeats + '#' + text; \
  const group = groups.get(key); \
  if (group) group.count++; \
  else if (groups.size < 4096) groups.set(key, { name: repeats, count: 1, fn }); } \
return [...groups.values()].sort((a, b) => b.count - a.count); }\n//# sourceURL=ebb:timers\n";

/// How many of all emitters are sockets, and how many are requests.
pub(super) const COUNT: &str = "function () { let sockets = 0, requests = 0; \
for (const emitter of this) { \
  let name; try { name = emitter.constructor.name; } catch {} \
  if (name === 'Socket' || name === 'TLSSocket') sockets++; \
  else if (name === 'IncomingMessage' || name === 'Http2ServerRequest') requests++; } \
return { sockets, requests }; }\n//# sourceURL=ebb:count\n";

/// Names and counts of groups.
pub(super) const GROUPS: &str = "function () { \
return this.slice(0, 64).map(({ name, count }) => ({ name, count })); }\n\
//# sourceURL=ebb:groups\n";

/// Counts of all groups together.
pub(super) const TOTAL: &str = "function () { \
return this.reduce((sum, group) => sum + group.count, 0); }\n//# sourceURL=ebb:total\n";

/// The function of one group.
pub(super) const FUNCTION: &str =
    "function (at) { return this[at].fn; }\n//# sourceURL=ebb:function\n";

/// Answer to [`UNDER_WAY`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct UnderWay {
    all: BTreeMap<String, u64>,
}

impl UnderWay {
    /// As a census: what waits for a clock, what is connected, what is being done. Pipes are
    /// where its standard output goes.
    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        let (mut timers, mut connections) = (0, 0);
        for (name, count) in &self.all {
            match name.as_str() {
                "Timeout" => timers += count,
                "TCPSocketWrap" | "TLSWrap" | "Http2Session" | "QuicSession" => {
                    connections += count
                }
                name if is_request(name) => census.in_flight += count,
                _ => {}
            }
        }
        for (kind, live) in [(Kind::Timer, timers), (Kind::Connection, connections)] {
            census.kinds.insert(kind, CensusCount { live, ..CensusCount::default() });
        }
        census
    }
}

/// Work that ends by itself: a file that is read, a name that is looked up, bytes on their way.
fn is_request(name: &str) -> bool {
    ["ReqWrap", "ReqCallback", "ConnectWrap", "WriteWrap", "ShutdownWrap"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// A group of listeners or timers that call one function.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Group {
    /// The function that is called, or what it waits for: `Hub#update`, `setInterval`.
    pub(super) name: String,
    /// How many.
    pub(super) count: u64,
    /// Where the function is, once it is known.
    #[serde(skip)]
    pub(super) place: Option<FunctionPlace>,
}

/// Where a function begins: a script by its number, and a line from 0.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct FunctionPlace {
    #[serde(rename = "scriptId")]
    pub(super) script: String,
    #[serde(rename = "lineNumber")]
    pub(super) line: u32,
}

/// What was counted inside, before places have names.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) listeners: (u64, Vec<Group>),
    /// Absent when they were too few to be asked for one by one.
    pub(super) timers: Option<(u64, Vec<Group>)>,
    pub(super) emitters: Emitters,
}

/// Answer to [`COUNT`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Emitters {
    sockets: u64,
    requests: u64,
}

impl Counted {
    /// Adds what was counted to a census. Places are told in scripts that the profile names;
    /// those of Node itself say nothing to a reader.
    pub(super) fn add_to(&self, census: &mut Census, scripts: &Scripts) {
        let grouped =
            [(Kind::Listener, Some(&self.listeners)), (Kind::Timer, self.timers.as_ref())];
        for (kind, counted) in grouped {
            let Some((total, groups)) = counted else { continue };
            let live = *total;
            let placed: u64 = groups.iter().filter(|g| g.place.is_some()).map(|g| g.count).sum();
            census.overflow += live.saturating_sub(placed);
            census.kinds.insert(kind, CensusCount { live, ..CensusCount::default() });
            for group in groups {
                let Some(place) = &group.place else { continue };
                let Some(file) = scripts.files.get(&place.script) else { continue };
                if file.starts_with("node:") || file.starts_with("ebb:") {
                    continue;
                }
                let (line, function) = (place.line + 1, group.name.clone());
                census.sites.push(site(kind, (function, file.clone(), line), group.count));
            }
        }
        for (kind, class, made, live) in [
            (Kind::Connection, "Socket", &scripts.sockets, self.emitters.sockets),
            (Kind::Context, "IncomingMessage", &scripts.requests, self.emitters.requests),
        ] {
            if let Some((file, line)) = made {
                census.sites.push(site(kind, (class.to_owned(), file.clone(), *line), live));
            }
        }
        let count = CensusCount { live: self.emitters.requests, ..CensusCount::default() };
        census.kinds.insert(Kind::Context, count);
    }
}

fn site(kind: Kind, (function, file, line): (String, String, u32), live: u64) -> CensusSite {
    let count = CensusCount { live, ..CensusCount::default() };
    CensusSite { kind, function, file, line, count, age_s: None }
}

/// Which script has which number, as a profile tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Scripts {
    /// Path by number.
    files: HashMap<String, String>,
    /// Where Node makes the sockets of those who connect.
    sockets: Option<(String, u32)>,
    /// Where it makes their requests.
    requests: Option<(String, u32)>,
}

/// A function in a profile.
#[derive(Deserialize)]
struct CallFrame<'a> {
    #[serde(rename = "functionName", borrow)]
    function: std::borrow::Cow<'a, str>,
    #[serde(rename = "scriptId", borrow)]
    script: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    url: std::borrow::Cow<'a, str>,
    #[serde(rename = "lineNumber")]
    line: i64,
}

impl Scripts {
    /// Adds the numbers in a profile, read without its tree: a stack of calls is nested deeper
    /// than a reader of values goes.
    pub(super) fn learn(&mut self, profile: &str) {
        const KEY: &str = "\"callFrame\":";
        let scripts = self;
        for (at, _) in profile.match_indices(KEY) {
            let text = &profile[at + KEY.len()..];
            let mut one = serde_json::Deserializer::from_str(text).into_iter::<CallFrame<'_>>();
            let Some(Ok(frame)) = one.next() else { continue };
            let made = match (&*frame.function, &*frame.url) {
                ("onconnection", "node:net") => Some(&mut scripts.sockets),
                ("parserOnHeadersComplete", "node:_http_common") => Some(&mut scripts.requests),
                _ => None,
            };
            if let Some(made) = made {
                let line = u32::try_from(frame.line + 1).unwrap_or(0);
                *made = Some((frame.url.to_string(), line));
            }
            if !frame.url.is_empty() && !scripts.files.contains_key(&*frame.script) {
                let path = frame.url.strip_prefix("file://").unwrap_or(&frame.url).to_owned();
                scripts.files.insert(frame.script.into_owned(), path);
            }
        }
    }
}
