//! What a site holds, told by the names of the functions on its stack. In: frames and the rules
//! of the user. Out: one of the seven words of `record`, with how good the evidence is. The
//! census of a process, where there is one, knows better and is asked by others. Pure.
//!
//! The evidence, best first: the user's rules; what the library call at the leaf makes (an
//! interval is a timer, whoever asked for it); the words of the function that asked; those of
//! its type, module and file; what a general library call suggests; the words of its callers.

use crate::frame::{Frame, enclosing_function, short_file};
use crate::hash::Quick;
use ebbtide_record::Kind;
use std::collections::HashMap;
use std::sync::LazyLock;

/// How far up the own callers of a site are asked for words.
const CALLERS_ASKED: usize = 3;

/// How good the evidence is: the smaller, the better.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Evidence {
    /// The user said so.
    User,
    /// A library call that makes nothing else.
    Call,
    /// A word in the function's name.
    Function,
    /// A word in the name of its type, module or file.
    Place,
    /// A library call that suggests it.
    Hint,
    /// A word in the name of a caller.
    Caller,
    /// None.
    Nothing,
}

/// Library calls that make one kind of thing, as parts of a function's name or of a path.
/// In this order.
const CALLS: &[(Kind, &str)] = &[
    (
        Kind::Timer,
        "tokio::time::, /src/time/interval.rs, /src/time/sleep.rs, /src/time/timeout.rs, \
         /src/runtime/time/, tokio_util::time::, futures_timer::, async_io::Timer, \
         gloo_timers::, time.NewTicker, time.NewTimer, time.AfterFunc, time.After, \
         time.Tick, time.newTimer, setInterval, setTimeout, node:internal/timers, \
         node:timers, new Timeout",
    ),
    (
        Kind::Listener,
        "broadcast::Sender<T>::subscribe, broadcast::Sender::subscribe, \
         broadcast::new_receiver, watch::Sender<T>::subscribe, watch::Sender::subscribe, \
         Receiver<T>::resubscribe, event_listener::, EventEmitter.addListener, \
         EventEmitter.on, EventEmitter.once, EventEmitter.prependListener, _addListener, \
         addEventListener, EventTarget., addListener, _onceWrap, signal.Notify",
    ),
    (
        Kind::Connection,
        "tungstenite::, /tungstenite-, tokio_tungstenite, hyper::upgrade, \
         axum::extract::ws, engineioxide, socketioxide, actix_ws, fastwebsockets, \
         tokio::net::, TcpListener>::accept, TcpListener::accept, rustls::conn, \
         net.(*TCPListener), net.(*netFD), net/http.(*Server).newConn, \
         net/http.newBufio, net/http.(*conn).readRequest, net/http.(*persistConn), \
         net/http.(*Transport).dialConn, net.(*Dialer), database/sql.(*DB).conn, \
         gorilla/websocket, \
         nhooyr.io/websocket, Builder::serve_connection, h1::io::Buffered<T,B>::new, \
         node:net, node:tls, onconnection, new Socket, new WebSocket",
    ),
    (
        Kind::Context,
        "context.With, context.withCancel, context.propagateCancel, context.(*cancelCtx), \
         hyper::proto::h1::role, \
         http::header::map::",
    ),
];

/// Library calls that only suggest a kind. In this order.
const HINTS: &[(Kind, &str)] = &[
    (
        Kind::Task,
        "tokio::task::spawn, tokio::spawn, /src/runtime/task/, tokio::runtime::task, \
         JoinSet, std::thread::, spawn_unchecked, async_std::task::, smol::spawn, \
         rayon_core::spawn, runtime.newproc, runtime.malg, new Worker, \
         /src/task/spawn.rs, library/std/src/thread/",
    ),
    (
        Kind::Context,
        "http::request::, http::header::, hyper::proto::h1::role, http_body, \
         axum::extract, axum::body, Incoming, tower::, net/http.readRequest, \
         net/textproto, net/http.(*Request), io.ReadAll, IncomingMessage, \
         node:_http_incoming, node:_http_server, node:_http_common",
    ),
    (
        Kind::Listener,
        "sync::mpsc::, /src/sync/mpsc/, sync::broadcast, /src/sync/broadcast, \
         sync::watch, /src/sync/watch, futures_channel::mpsc, async_channel::, flume::, \
         crossbeam_channel::, runtime.makechan",
    ),
    (
        Kind::Cache,
        "hashbrown::, /hashbrown-, HashMap, BTreeMap, /collections/btree/, \
         /collections/hash/, VecDeque, /collections/vec_deque/, indexmap::, dashmap::, \
         moka::, lru::, ::push, ::insert, ::extend, ::grow_one, ::grow_amortized, \
         runtime.mapassign, runtime.growslice, runtime.makemap, \
         runtime.hashGrow, internal/runtime/maps, sync.(*Map), sync.newEntry, \
         internal/sync.(*HashTrieMap), sync.(*Pool), container/list.(*List)",
    ),
];

/// Words in names of functions, types, modules and files. In this order: what stands first is
/// the more telling where a name has several (`session_timeout` is a timer).
const WORDS: &[(Kind, &str)] = &[
    (
        Kind::Timer,
        "timer timers interval intervals timeout timeouts reminder reminders heartbeat \
         heartbeats tick ticker ticks schedule scheduled scheduler cron alarm alarms \
         debounce keepalive sleep deadline periodic every",
    ),
    (
        Kind::Listener,
        "subscribe subscribed subscriber subscribers subscription subscriptions listener \
         listeners observer observers observe watcher watchers callback callbacks hook \
         hooks notify emitter topic topics pubsub channel channels",
    ),
    (
        Kind::Connection,
        "connection connections conn conns connect connected session sessions socket \
         sockets websocket websockets ws peer peers client clients upgrade accept \
         handshake login presence register registered registry",
    ),
    (
        Kind::Context,
        "context contexts ctx request requests req extract extractor payload middleware",
    ),
    // Not `task`, `job` or `worker`: a list of jobs is data. What runs is told by who spawned it.
    (Kind::Task, "spawn spawned background goroutine goroutines thread threads"),
    (
        Kind::Cache,
        "cache caches cached memo memoize memoized lru store stored insert put remember \
         lookup entry entries history recent intern interned index buffer buffered \
         append push record records log logs map pool table tail keep",
    ),
];

/// Tells kinds, and remembers what it has told of frames seen before. One per snapshot.
#[derive(Debug, Default)]
pub struct KindTable {
    /// By the number of the name: a function has one text at all of its lines.
    told: Vec<Told>,
}

/// What was told of one function in one file; `None` as long as nobody has asked.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    marks: Option<Marks>,
    name: Option<Option<(Evidence, Kind)>>,
    caller: Option<Option<Kind>>,
}

/// What a frame says as a library call.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// Place in [`CALLS`].
    call: Option<usize>,
    /// Place in [`HINTS`]: the first of the stack wins, not the innermost.
    hint: Option<usize>,
}

/// A frame of a stack whose kind is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) frame: &'a Frame,
    /// It is the user's own code.
    pub(crate) own: bool,
    /// Number of its function and file: equal for equal names, without large gaps.
    pub(crate) name: usize,
}

impl KindTable {
    /// The kind of a stack, the allocating end first, whose site is the frame at `site`, and how
    /// good the evidence is. Each frame comes with whether it is the user's own.
    pub fn of_stack(
        &mut self,
        stack: &[(&Frame, bool)],
        site: usize,
        rules: &[(String, Kind)],
    ) -> (Evidence, Kind) {
        let asked = stack.iter().enumerate();
        let asked = asked.map(|(name, (frame, own))| Asked { frame, own: *own, name });
        self.told.clear();
        self.of_asked(asked, site, rules)
    }

    /// The same of frames whose names are numbered; no more of them are taken than are needed.
    pub(crate) fn of_asked<'a>(
        &mut self,
        stack: impl Iterator<Item = Asked<'a>> + Clone,
        site: usize,
        rules: &[(String, Kind)],
    ) -> (Evidence, Kind) {
        if let Some(kind) = by_user(stack.clone().take(site + 1), rules) {
            return (Evidence::User, kind);
        }
        // The innermost call is what allocates: a socket read below a timeout is no timer.
        let mut hint: Option<usize> = None;
        let mut rest = stack;
        let callees: Vec<Asked<'_>> = rest.by_ref().take(site).collect();
        let at_site = rest.next();
        // Where Node alone is on the stack, the site itself is such a call.
        let of_node = at_site.filter(|asked| asked.frame.file.starts_with("node:"));
        for asked in callees.into_iter().chain(of_node) {
            let marks = self.marks(asked);
            if let Some(call) = marks.call {
                return (Evidence::Call, CALLS[call].0);
            }
            hint = hint.into_iter().chain(marks.hint).min();
        }
        if let Some(found) = at_site.and_then(|asked| self.name(asked)) {
            return found;
        }
        if let Some(hint) = hint {
            return (Evidence::Hint, HINTS[hint].0);
        }
        for asked in rest.filter(|asked| asked.own).take(CALLERS_ASKED) {
            if let Some(kind) = self.caller(asked) {
                return (Evidence::Caller, kind);
            }
        }
        (Evidence::Nothing, Kind::Other)
    }

    fn told(&mut self, asked: Asked<'_>) -> &mut Told {
        if self.told.len() <= asked.name {
            self.told.resize(asked.name + 1, Told::default());
        }
        &mut self.told[asked.name]
    }

    fn marks(&mut self, asked: Asked<'_>) -> Marks {
        *self.told(asked).marks.get_or_insert_with(|| PARTS.find(asked.frame))
    }

    fn name(&mut self, asked: Asked<'_>) -> Option<(Evidence, Kind)> {
        *self.told(asked).name.get_or_insert_with(|| by_name(asked.frame))
    }

    fn caller(&mut self, asked: Asked<'_>) -> Option<Kind> {
        let function = asked.frame.function.as_str();
        let tell = || by_words(split_name(&enclosing_function(function)).1);
        *self.told(asked).caller.get_or_insert_with(tell)
    }
}

/// Classes of JavaScript itself, whose names say nothing of what a program keeps in them.
const BUILTIN: &str = "Object Array Map Set WeakMap WeakSet Promise Function Buffer String";

/// The kind of the instances of a class, by the words of its name.
#[must_use]
pub fn of_class(name: &str) -> Kind {
    let of_engine = name.starts_with(['(', '{']) || name.starts_with("system / ");
    if of_engine || BUILTIN.split(' ').any(|builtin| builtin == name) {
        return Kind::Other;
    }
    by_words(name).unwrap_or(Kind::Other)
}

static PARTS: LazyLock<Parts> = LazyLock::new(Parts::new);

/// The parts of both tables by their first two bytes, so that a name is gone through once.
struct Parts {
    by_start: HashMap<[u8; 2], Vec<Part>, Quick>,
    /// Which pairs of bytes begin a part at all, one bit each.
    starts: Box<[u64; 1024]>,
}

/// A part, and which entry of the tables it leads to.
struct Part {
    text: &'static str,
    leads_to: Marks,
}

impl Marks {
    /// The first entry of each table.
    fn first(self, other: Self) -> Self {
        let first = |a: Option<usize>, b: Option<usize>| a.into_iter().chain(b).min();
        Self { call: first(self.call, other.call), hint: first(self.hint, other.hint) }
    }
}

impl Parts {
    fn new() -> Self {
        let mut parts = Self { by_start: HashMap::default(), starts: Box::new([0; 1024]) };
        for (at, (_, list)) in CALLS.iter().enumerate() {
            parts.add(list, Marks { call: Some(at), hint: None });
        }
        for (at, (_, list)) in HINTS.iter().enumerate() {
            parts.add(list, Marks { call: None, hint: Some(at) });
        }
        parts
    }

    fn add(&mut self, list: &'static str, leads_to: Marks) {
        for text in list.split(", ") {
            let [first, second, ..] = text.as_bytes() else { continue };
            let pair = [*first, *second];
            let bit = usize::from(u16::from_be_bytes(pair));
            self.starts[bit / 64] |= 1 << (bit % 64);
            self.by_start.entry(pair).or_default().push(Part { text, leads_to });
        }
    }

    /// The first entries that have a part in the frame's function or file.
    fn find(&self, frame: &Frame) -> Marks {
        let marks = self.inside(&frame.function).first(self.inside(&frame.file));
        if frame.function.contains("::") {
            return marks;
        }
        // Line tables name an inlined function without its path: `push<T>` for `::push`.
        let list = self.by_start.get(b"::").map_or(&[][..], |list| list);
        let bare = list.iter().filter(|part| frame.function.starts_with(&part.text[2..]));
        bare.fold(marks, |marks, part| marks.first(part.leads_to))
    }

    fn inside(&self, text: &str) -> Marks {
        let bytes = text.as_bytes();
        let mut marks = Marks::default();
        for (at, pair) in bytes.windows(2).enumerate() {
            let pair = [pair[0], pair[1]];
            let bit = usize::from(u16::from_be_bytes(pair));
            if self.starts[bit / 64] & (1 << (bit % 64)) == 0 {
                continue;
            }
            let list = self.by_start.get(&pair).map_or(&[][..], |list| list);
            let here = list.iter().filter(|part| bytes[at..].starts_with(part.text.as_bytes()));
            marks = here.fold(marks, |marks, part| marks.first(part.leads_to));
        }
        marks
    }
}

/// By the words of a function's own name, then of its type, module and file.
fn by_name(frame: &Frame) -> Option<(Evidence, Kind)> {
    let function = enclosing_function(&frame.function);
    let (place, name) = split_name(&function);
    let file = module_file(&frame.file);
    let types = if frame.file.ends_with(".go") { go_place(&function) } else { place };
    let placed = types.rsplit("::").find_map(by_words).or_else(|| by_words(&file));
    match (by_words(name), placed) {
        // `Sessions::insert`: to keep is what all of them do, the type says what is kept.
        (Some(Kind::Cache), Some(kind @ (Kind::Timer | Kind::Listener | Kind::Connection))) => {
            Some((Evidence::Function, kind))
        }
        (Some(kind), _) => Some((Evidence::Function, kind)),
        (None, Some(kind)) => Some((Evidence::Place, kind)),
        (None, None) => None,
    }
}

/// What a name alone suggests: of a class, which has no stack.
pub(crate) fn of_name(name: &str) -> Kind {
    by_words(name).unwrap_or_default()
}

fn by_user<'a>(
    stack: impl Iterator<Item = Asked<'a>> + Clone,
    rules: &[(String, Kind)],
) -> Option<Kind> {
    rules.iter().find_map(|(text, kind)| {
        let text = text.as_str();
        let holds = |asked: Asked<'_>| {
            asked.frame.function.contains(text) || asked.frame.file.contains(text)
        };
        (!text.is_empty() && stack.clone().any(holds)).then_some(*kind)
    })
}

/// The place in [`WORDS`] of each of its words.
static RANKS: LazyLock<HashMap<&'static str, usize, Quick>> = LazyLock::new(|| {
    let mut ranks = HashMap::default();
    for (rank, (_, list)) in WORDS.iter().enumerate() {
        for word in list.split(' ') {
            ranks.entry(word).or_insert(rank);
        }
    }
    ranks
});

fn by_words(name: &str) -> Option<Kind> {
    let (mut first_is_on, mut count, mut rank) = (false, 0, None);
    for_words(name, |word| {
        first_is_on |= count == 0 && word == "on";
        count += 1;
        rank = rank.into_iter().chain(RANKS.get(word).copied()).min();
    });
    match rank.map(|rank| WORDS[rank].0) {
        // `on_message`, `onData`: what is called back. `on_timer` and the like are told above.
        found if first_is_on && count > 1 && found != Some(Kind::Timer) => Some(Kind::Listener),
        found => found,
    }
}

/// Go: of `example.com/app/hub.(*Room[...]).Join` what stands before the last name, without the
/// folders; nothing of `main.serve`, which says no more than that it is a program.
fn go_place(function: &str) -> &str {
    let path = split_go(function).0;
    let package = path.rsplit_once('/').map_or(path, |(_, package)| package);
    package.strip_prefix("main").map_or(package, |inside| inside.trim_start_matches('.'))
}

/// The path and the own name of a Go function, without its type parameters, in which Go writes
/// dots and nothing else.
fn split_go(function: &str) -> (&str, &str) {
    let plain = function.strip_suffix("[...]").unwrap_or(function);
    plain.rsplit_once('.').unwrap_or(("", plain))
}

/// The path before the function's own name, and that name, both without generics.
fn split_name(function: &str) -> (&str, &str) {
    if let Some(plain) = function.strip_suffix("[...]") {
        return ("", split_go(plain).1);
    }
    let plain = function.find('<').filter(|at| *at > 0).map_or(function, |at| &function[..at]);
    let (path, name) = function
        .rsplit_once("::")
        .or_else(|| function.rsplit_once('.'))
        .map_or(("", plain), |(path, name)| (path, name.split('<').next().unwrap_or(name)));
    // The crate's own name says what the program is, not what the site holds.
    (path.split_once("::").map_or("", |(_, inside)| inside), name)
}

/// The folders and the name of a file inside its package, without the ending.
fn module_file(file: &str) -> String {
    let short = short_file(file);
    let inside = short.split_once('/').map_or(short.as_str(), |(_, inside)| inside);
    inside.rsplit_once('.').map_or(inside, |(stem, _)| stem).to_owned()
}

/// The words of a name, in lower case: cut at anything but letters and at capitals.
fn for_words(name: &str, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    let mut lower_before = false;
    for c in name.chars() {
        let starts = c.is_uppercase() && lower_before;
        if (starts || !c.is_alphabetic()) && !word.is_empty() {
            take(&word);
            word.clear();
        }
        if c.is_alphabetic() {
            word.extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    if !word.is_empty() {
        take(&word);
    }
}
