//! A Node process as it is, seen by its inspector. In: a pid or a URL. Out: the sampled heap of
//! survivors, a census from inside, and whole heaps on demand. The inspector is opened at the
//! first question and closed again by `release`; what was changed inside is put back.
//!
//! Sampling covers objects made after it began. Each profile forces a full collection, so it
//! shows what survived. Reading profiles is left to `parse`, whole heaps to `v8`.

mod door;
mod lease;
mod questions;
mod whole;
mod wire;

pub use door::is_node;
pub use whole::{HEAP_SIZE_MAX, WholeHeap};

use super::{Fetched, Memory, SourceError, process, process_memory};
use door::{Door, Sockets};
use ebbtide_record::snapshot::{AllocatorTotals, SCHEMA, Sampling};
use ebbtide_record::{Census, Kind, Sidecar};
use questions::{Counted, FunctionPlace, Group, Scripts, UnderWay};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};
use wire::Wire;

/// Bytes between two samples unless finer is asked for: this cannot be told from none by its cost,
/// a quarter of it takes a sixth of the CPU.
pub const INTERVAL: u64 = 16_384;

/// Time for a short answer. The main thread may be in the middle of something.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Time for what goes through the whole heap: a collection, a profile, a count of instances.
const HEAP_WITHIN: Duration = Duration::from_secs(60);

/// Time for an inspector to open that was asked to, when nobody waits for it any more.
const LATE_WITHIN: Duration = Duration::from_secs(5);

/// Pause between two looks for it.
const LATE_PAUSE: Duration = Duration::from_millis(50);

/// Groups of listeners and timers whose function is looked for, the largest first: each costs two
/// questions, and a leak is soon the largest.
const PLACES_MAX: usize = 32;

/// So many timers are worth a look at what they call.
const TIMERS_MIN: u64 = 24;

/// Objects that a session holds in the target while it counts, under one name.
const GROUP: &str = "ebb";

/// An inspector that is opened at the first question.
#[derive(Clone)]
pub(crate) struct Inspector {
    at: At,
    /// Mean bytes between two samples.
    interval: u64,
    session: Arc<OnceCell<Session>>,
    /// The name of its lease.
    token: String,
    /// Survives a question that failed or was given up: what it began has to be undone.
    traces: Arc<Mutex<Traces>>,
}

/// What was done to the target so far.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// On what it listened when its inspector was asked to open. Absent where it was open.
    before: Option<Sockets>,
    /// Where its inspector is, once something may have been changed by it.
    door: Option<Door>,
}

/// Where the inspector is.
#[derive(Clone, Debug)]
enum At {
    Process(u32),
    Url(String),
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Inspector {
    /// That of a process.
    pub(crate) fn of_process(pid: u32) -> Self {
        Self::at(At::Process(pid))
    }

    /// That at a URL: `ws://host:port`, with or without a path.
    pub(crate) fn at_url(url: &str) -> Self {
        Self::at(At::Url(url.to_owned()))
    }

    fn at(at: At) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let token = format!("{}-{count}-{}", std::process::id(), unix_ms());
        Self { at, interval: INTERVAL, session: Arc::default(), token, traces: Arc::default() }
    }

    /// The same, sampling once in so many bytes where that is finer than usual.
    pub(crate) fn sampling(mut self, interval: u64) -> Self {
        self.interval = interval.clamp(1, INTERVAL);
        self
    }

    /// The target in words.
    pub(crate) fn words(&self) -> String {
        match &self.at {
            At::Process(pid) => format!("process {pid}"),
            At::Url(url) => format!("`{url}`"),
        }
    }

    /// The process, once it is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        match (&self.at, self.session.get()) {
            (At::Process(pid), _) => Some(*pid),
            (At::Url(_), Some(session)) => session.pid,
            (At::Url(_), None) => None,
        }
    }

    /// The session, begun now if there is none.
    pub(crate) async fn open(&self) -> Result<&Session, SourceError> {
        self.session
            .get_or_try_init(|| async {
                let door = match &self.at {
                    At::Process(pid) => door::of_process(*pid, &self.traces).await?,
                    At::Url(url) => door::at_url(url).await?,
                };
                let mut session = Session::connect(door, &self.token).await?;
                session.interval = self.interval;
                // From here on something may have been changed.
                self.traces().door = Some(session.door.clone());
                match session.begin().await {
                    Ok(()) => Ok(session),
                    Err(error) => {
                        self.undo(Some(&session)).await;
                        Err(error)
                    }
                }
            })
            .await
    }

    /// Puts back what was changed: sampling stopped, flags as they were, the inspector closed
    /// where it was closed before. Also after an `open` that failed or was dropped half-way. The
    /// target may be gone, and then nothing is left to do.
    pub(crate) async fn release(&self) {
        self.undo(self.session.get()).await;
    }

    async fn undo(&self, session: Option<&Session>) {
        // Taken, so that whoever comes second does nothing.
        let traces = std::mem::take(&mut *self.traces());
        if let Some(session) = session
            && (traces.door.is_none() || session.end().await)
        {
            return;
        }
        let door = match (traces.door, traces.before, &self.at) {
            (Some(door), ..) => Some(door),
            (None, Some(before), At::Process(pid)) => late(*pid, &before).await,
            _ => None,
        };
        let Some(door) = door else { return };
        let closes = session.map_or(door.was_closed, |one| one.closes.load(Ordering::Relaxed));
        let inside = door.pid.filter(|_| !door.is_named).map(process::pid_inside);
        // Gone, and the port is another's.
        if inside == Some(None) {
            return;
        }
        // Another connection, where there was none or it broke. The target may be busy for long,
        // which can be why, so nobody waits for its answer.
        if let Ok(wire) = Wire::connect(&door.authority, &door.path).await {
            wire.say(lease::leave(&self.token, closes, inside.flatten())).await;
            wire.hang_up().await;
        }
    }

    fn traces(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An inspector that opens although nobody waits for it any more.
async fn late(pid: u32, before: &Sockets) -> Option<Door> {
    let opening = async {
        loop {
            if let Some(door) = door::new_one(pid, before).await {
                return Some(door);
            }
            process::Status::of(pid).ok()?;
            sleep(LATE_PAUSE).await;
        }
    };
    timeout(LATE_WITHIN, opening).await.ok().flatten()
}

/// A session with an inspector, sampling.
#[derive(Debug)]
pub(crate) struct Session {
    wire: Wire,
    door: Door,
    /// The name of its lease.
    token: String,
    /// The process, where it is certain.
    pid: Option<u32>,
    /// Mean bytes between two samples.
    interval: u64,
    sequence: AtomicU64,
    has_ended: AtomicBool,
    /// The inspector is to be closed in the end: we opened it, or one of us that was killed.
    closes: AtomicBool,
    /// Of all profiles so far: a script without a sample in this one is there all the same.
    scripts: Mutex<Scripts>,
}

#[derive(Deserialize)]
struct Evaluated {
    result: Remote,
    #[serde(rename = "exceptionDetails")]
    exception: Option<Value>,
}

/// A value in the target, or a name for it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Remote {
    value: Value,
    #[serde(rename = "objectId")]
    id: String,
}

#[derive(Deserialize)]
struct Queried {
    objects: Remote,
}

#[derive(Deserialize)]
struct Profiled<'a> {
    #[serde(borrow)]
    profile: &'a RawValue,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "internalProperties", default)]
    internal: Vec<Internal>,
}

#[derive(Deserialize)]
struct Internal {
    name: String,
    #[serde(default)]
    value: Remote,
}

impl Session {
    /// Connects, and makes certain that it is the process that was meant. Changes nothing.
    async fn connect(door: Door, token: &str) -> Result<Self, SourceError> {
        let wire = Wire::connect(&door.authority, &door.path).await?;
        let mut session = Self {
            wire,
            token: token.to_owned(),
            pid: door.pid,
            interval: INTERVAL,
            sequence: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            closes: AtomicBool::new(door.was_closed),
            door,
            scripts: Mutex::default(),
        };
        let Some(pid) = session.door.pid else { return Ok(session) };
        // Its main thread may come to this as late as to the signal.
        let inside: u32 = session.evaluate_within(questions::PID, door::OPEN_WITHIN).await?;
        if process::pid_inside(pid) == Some(inside) {
            return Ok(session);
        }
        if session.door.is_named {
            session.pid = None;
            return Ok(session);
        }
        Err(session.odd(format!("it is the inspector of another process than {pid}")))
    }

    /// Lets it sample.
    async fn begin(&self) -> Result<(), SourceError> {
        // One that ends while we are there waits for us to go, if nobody tells us. Where this is
        // not known it is not waited for either, or there is no help.
        let notice = json!({ "enabled": true });
        let _ = self.tell("NodeRuntime.notifyWhenWaitingForDisconnect", notice).await;
        self.tell("HeapProfiler.enable", json!({})).await?;
        self.make_sure_nobody_samples().await?;
        let take = lease::take(&self.token, self.door.was_closed);
        self.closes.store(self.evaluate::<bool>(&take).await?, Ordering::Relaxed);
        self.wire.renew(lease::RENEW, lease::RENEW_EVERY).await;
        self.evaluate::<bool>(questions::KEEP_CALLERS_APART).await?;
        let sampling = json!({
            "samplingInterval": self.interval,
            "includeObjectsCollectedByMajorGC": false,
            "includeObjectsCollectedByMinorGC": false,
        });
        self.tell("HeapProfiler.startSampling", sampling).await
    }

    /// There is one sampler in a process: ours would be another's, and its end the other's end.
    async fn make_sure_nobody_samples(&self) -> Result<(), SourceError> {
        match self.ask("HeapProfiler.getSamplingProfile", json!({}), HEAP_WITHIN).await {
            // V8 refuses where nobody has begun.
            Err(SourceError::Answer { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(self.odd(
                "its heap is sampled already, by itself (a profiler that it loads) or by another \
                 `ebb`; switch that off or wait for its end"
                    .to_owned(),
            )),
        }
    }

    /// The sampled heap of what survives a collection, with a census taken before it.
    pub(crate) async fn snapshot(&self) -> Result<Fetched, SourceError> {
        // Counting holds objects for a moment; the collection after it takes them away.
        let mut census = self.census().await?;
        let timers = census.kinds.get(&Kind::Timer).map_or(0, |count| count.live);
        let counted = self.count(timers).await?;
        let answer = self.ask("HeapProfiler.getSamplingProfile", json!({}), HEAP_WITHIN).await?;
        let profile: Profiled<'_> = self.read(answer.get())?;
        let text = profile.profile.get();
        let scripts = {
            let mut known = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
            known.learn(text);
            known.clone()
        };
        counted.add_to(&mut census, &scripts);
        // The interval is not in what V8 says, and all figures rest on it.
        let rest = text.trim_start().strip_prefix('{').unwrap_or_default();
        let bytes = format!("{{\"samplingInterval\":{},{rest}", self.interval).into_bytes();
        let used = self.evaluate::<f64>(questions::HEAP_USED).await?;
        let sidecar = Sidecar {
            schema: SCHEMA.to_owned(),
            pid: self.pid.unwrap_or_default(),
            exe: self.exe(),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            at_unix_ms: unix_ms(),
            trigger: "inspector".to_owned(),
            sampling: Sampling { mean_bytes: self.interval },
            process: self.pid.and_then(|pid| process_memory(pid).ok()).unwrap_or_default(),
            allocator: AllocatorTotals {
                allocated_bytes: used.max(0.0) as u64,
                ..AllocatorTotals::default()
            },
            census,
            ..Sidecar::default()
        };
        Ok(Fetched { bytes, path: None, sidecar: Some(sidecar) })
    }

    fn exe(&self) -> String {
        let exe = self.pid.and_then(process::exe);
        exe.map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// What is under way: timers, connections, work in flight. Cheap.
    pub(crate) async fn census(&self) -> Result<Census, SourceError> {
        let under_way: UnderWay = self.evaluate(questions::UNDER_WAY).await?;
        let mut census = under_way.census();
        ebbtide_record::census::SCHEMA.clone_into(&mut census.schema);
        census.at_unix_ms = unix_ms();
        Ok(census)
    }

    /// Its memory as the kernel sees it. What V8 says of its heap in between has garbage in it.
    pub(crate) fn memory(&self) -> Result<Memory, SourceError> {
        let pid = self.pid.ok_or_else(|| SourceError::NotOffered {
            target: format!("`{}`", self.wire.url()),
            what: "its memory (give its pid as well)",
        })?;
        Ok(Memory { pid, process: process_memory(pid)?, ..Memory::default() })
    }

    /// A full collection.
    async fn collect(&self) -> Result<(), SourceError> {
        self.ask("HeapProfiler.collectGarbage", json!({}), HEAP_WITHIN).await.map(drop)
    }

    /// Listeners, timers and sockets that are there, destroyed or not. Going through the heap for
    /// one prototype takes a second: emitters are gone through once, timers only when many wait.
    async fn count(&self, timers: u64) -> Result<Counted, SourceError> {
        let counted = async {
            let mut counted = Counted::default();
            let emitters = self.instances(questions::EMITTERS).await?;
            counted.listeners = self.groups(&emitters, questions::GROUP_LISTENERS).await?;
            let kinds = self.apply(&emitters, questions::COUNT, None, true).await?;
            counted.emitters = self.value(kinds)?;
            if timers >= TIMERS_MIN {
                let timers = self.instances(questions::TIMERS).await?;
                counted.timers = Some(self.groups(&timers, questions::GROUP_TIMERS).await?);
            }
            Ok(counted)
        };
        let counted = counted.await;
        self.tell("Runtime.releaseObjectGroup", json!({ "objectGroup": GROUP })).await?;
        counted
    }

    /// The objects whose prototype is what the text gives, as one array.
    async fn instances(&self, prototype: &str) -> Result<Remote, SourceError> {
        let params = json!({
            "expression": prototype, "includeCommandLineAPI": true, "objectGroup": GROUP,
            "silent": true,
        });
        let answer = self.ask("Runtime.evaluate", params, ANSWER_WITHIN).await?;
        let prototype = self.sound(self.read(answer.get())?)?;
        let params = json!({ "prototypeObjectId": prototype.id, "objectGroup": GROUP });
        let answer = self.ask("Runtime.queryObjects", params, HEAP_WITHIN).await?;
        Ok(self.read::<Queried>(answer.get())?.objects)
    }

    /// How many there are in all, and the largest groups with their places.
    async fn groups(&self, of: &Remote, how: &str) -> Result<(u64, Vec<Group>), SourceError> {
        let grouped = self.apply(of, how, None, false).await?;
        let total = self.apply(&grouped, questions::TOTAL, None, true).await?;
        let listed = self.apply(&grouped, questions::GROUPS, None, true).await?;
        let mut groups: Vec<Group> = self.value(listed)?;
        for (at, group) in groups.iter_mut().take(PLACES_MAX).enumerate() {
            let function = self.apply(&grouped, questions::FUNCTION, Some(at), false).await?;
            group.place = self.place(&function).await?;
        }
        Ok((self.value(total)?, groups))
    }

    /// Where a function begins.
    async fn place(&self, function: &Remote) -> Result<Option<FunctionPlace>, SourceError> {
        let params = json!({ "objectId": function.id, "ownProperties": true });
        let answer = self.ask("Runtime.getProperties", params, ANSWER_WITHIN).await?;
        let found: Properties = self.read(answer.get())?;
        let place = found.internal.into_iter().find(|one| one.name == "[[FunctionLocation]]");
        Ok(place.and_then(|place| serde_json::from_value(place.value.value).ok()))
    }

    /// Calls a function on an object in the target.
    async fn apply(
        &self,
        on: &Remote,
        function: &str,
        argument: Option<usize>,
        by_value: bool,
    ) -> Result<Remote, SourceError> {
        let arguments: Vec<Value> =
            argument.iter().map(|value| json!({ "value": value })).collect();
        let params = json!({
            "objectId": on.id, "functionDeclaration": function, "arguments": arguments,
            "returnByValue": by_value, "objectGroup": GROUP, "silent": true,
        });
        let answer = self.ask("Runtime.callFunctionOn", params, HEAP_WITHIN).await?;
        self.sound(self.read(answer.get())?)
    }

    /// Evaluates a text in the target and reads its value.
    async fn evaluate<T: DeserializeOwned>(&self, expression: &str) -> Result<T, SourceError> {
        self.evaluate_within(expression, ANSWER_WITHIN).await
    }

    async fn evaluate_within<T: DeserializeOwned>(
        &self,
        expression: &str,
        within: Duration,
    ) -> Result<T, SourceError> {
        let params = json!({
            "expression": expression, "includeCommandLineAPI": true, "returnByValue": true,
            "silent": true,
        });
        let answer = self.ask("Runtime.evaluate", params, within).await?;
        self.value(self.sound(self.read(answer.get())?)?)
    }

    /// What was misread is an error: as nothing it would pass for a count of none.
    fn value<T: DeserializeOwned>(&self, of: Remote) -> Result<T, SourceError> {
        serde_json::from_value(of.value).map_err(|error| self.odd(error.to_string()))
    }

    fn sound(&self, evaluated: Evaluated) -> Result<Remote, SourceError> {
        match evaluated.exception {
            None => Ok(evaluated.result),
            Some(details) => {
                let says = &details["exception"]["description"];
                let says = says.as_str().unwrap_or("an exception").lines().next();
                Err(self.odd(format!("it threw: {}", says.unwrap_or_default())))
            }
        }
    }

    async fn tell(&self, method: &'static str, params: Value) -> Result<(), SourceError> {
        self.ask(method, params, ANSWER_WITHIN).await.map(drop)
    }

    async fn ask(
        &self,
        method: &'static str,
        params: Value,
        within: Duration,
    ) -> Result<Box<RawValue>, SourceError> {
        self.wire.call(method, params, within).await
    }

    fn read<'a, T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, SourceError> {
        serde_json::from_str(text).map_err(|error| self.odd(error.to_string()))
    }

    fn odd(&self, reason: String) -> SourceError {
        SourceError::Answer { url: self.wire.url().to_owned(), reason }
    }

    /// Puts everything back, and tells whether the target was told to: it may be busy for long,
    /// and do it later. Sampling ends with the connection.
    async fn end(&self) -> bool {
        if self.has_ended.swap(true, Ordering::Relaxed) {
            return true;
        }
        self.wire.pieces_to(None).await;
        let leave = lease::leave(&self.token, self.closes.load(Ordering::Relaxed), None);
        let left = self.evaluate::<bool>(&leave).await;
        // Closing waits for sessions that are open.
        self.wire.hang_up().await;
        !matches!(left, Err(SourceError::Unreachable { .. }))
    }
}

pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
