//! Where a Node process's inspector is, opened by SIGUSR1 where it is closed. In: a pid or a URL.
//! Out: an address that is certainly that process's own. A process that does not handle the
//! signal never gets it, and a port is never taken for the process's unless the kernel says that
//! the socket is: the list that an inspector serves does not name its process, and with its port
//! taken Node opens nothing.

use super::super::http::Endpoint;
use super::super::{SourceError, process, sockets};
use super::Traces;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a process may take to open its inspector: its main thread has to come to it, and on a
/// machine with ten times more to do than it can, that was seen to take 12 s.
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// Nothing new after this, and what it listened on before is asked as well.
const OLD_AFTER: Duration = Duration::from_secs(3);

/// Pause between two looks at its sockets.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Time for one question to a port.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// Where Node listens unless told otherwise.
const PORT_DEFAULT: u16 = 9229;

/// The number of SIGUSR1 on Linux.
const SIGUSR1: u32 = 10;

/// What a process listens on, by inode.
pub(super) type Sockets = BTreeMap<u64, SocketAddr>;

/// An inspector that answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Door {
    /// `host:port`.
    pub(super) authority: String,
    /// The path of the WebSocket there.
    pub(super) path: String,
    /// The process, where it is on this machine.
    pub(super) pid: Option<u32>,
    /// It was closed before, and is to be closed again.
    pub(super) was_closed: bool,
    /// It was named by its address; the process is a guess by who holds the port, which may be
    /// one that passes on.
    pub(super) is_named: bool,
}

/// What `/json/list` says of one context.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "webSocketDebuggerUrl", default)]
    url: String,
}

/// Whether a process runs Node, by the name of its executable.
#[must_use]
pub fn is_node(pid: u32) -> bool {
    let exe = process::exe(pid);
    let name = exe.as_deref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    let rest = name.and_then(|name| name.strip_prefix("node"));
    rest.is_some_and(|rest| {
        rest.is_empty() || rest == "js" || !rest.starts_with(char::is_alphabetic)
    })
}

/// Finds the inspector of a process, and opens it if it is closed.
pub(super) async fn of_process(pid: u32, traces: &Mutex<Traces>) -> Result<Door, SourceError> {
    let status = process::Status::of(pid)?;
    let refused =
        |reason: String| SourceError::Inspector { pid, name: status.name.clone(), reason };
    // Its ports would be others' here, and what the signal opens could not be closed again.
    if !process::shares_network(pid) {
        return Err(refused(
            "it lives in another network (a container), or may not be looked into; run `ebb` \
             there, as the user it belongs to, or give the URL of its inspector"
                .to_owned(),
        ));
    }
    let traces = || traces.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = traces().before.clone();
    if let Some(before) = &asked
        && let Some(door) = new_one(pid, before).await
    {
        return Ok(door);
    }
    if let Some(other) = process::exe(pid).as_deref().and_then(other_runtime) {
        return Err(refused(format!(
            "it runs {other}, whose inspector is another than Node's; watch its resident memory \
             (`heap = \"rss\"`)"
        )));
    }
    let words = Words::of(pid);
    let before = sockets::listening(pid);
    let likely = before.values().filter(|address| words.is_open || words.port() == address.port());
    for address in likely {
        if let Some(path) = ask(*address).await {
            return Ok(Door::at(*address, path, pid, asked.is_some()));
        }
    }
    if !status.catches(SIGUSR1) {
        return Err(refused(
            "it does not handle SIGUSR1 and would die of it, so it was not sent; is it Node? \
             Else start it with `--inspect=127.0.0.1:0`"
                .to_owned(),
        ));
    }
    let wanted = words.port();
    if let Some(other) = holder(pid, words.ip(), wanted) {
        return Err(refused(format!(
            "its inspector wants port {wanted}, which {other} holds, so it cannot be opened; end \
             that, or start the target with `NODE_OPTIONS=--inspect-port=0`"
        )));
    }
    // Before it is sent: it may be opened by us from now on, whatever becomes of this question.
    let before = traces().before.get_or_insert(before).clone();
    send(pid)?;
    if let Some(door) = opened(pid, &before).await? {
        return Ok(door);
    }
    Err(refused(match holder(pid, words.ip(), wanted) {
        Some(other) => format!(
            "its inspector wants port {wanted}, which {other} holds; end that, or start the \
             target with `NODE_OPTIONS=--inspect-port=0`"
        ),
        None => format!(
            "it opened no inspector within {} s of SIGUSR1: it handles that signal itself, or its \
             main thread is busy; start it with `--inspect=127.0.0.1:0`",
            OPEN_WITHIN.as_secs()
        ),
    }))
}

/// Waits for the inspector that the signal opens, or for an old one to answer.
async fn opened(pid: u32, before: &Sockets) -> Result<Option<Door>, SourceError> {
    let (asked, deadline) = (Instant::now(), Instant::now() + OPEN_WITHIN);
    let mut old = before.values();
    let mut again = false;
    while Instant::now() < deadline {
        if let Some(door) = new_one(pid, before).await {
            return Ok(Some(door));
        }
        // An inspector that was open still, and about to be closed, took the signal for nothing.
        let now = sockets::listening(pid);
        if !again && before.keys().any(|socket| !now.contains_key(socket)) {
            again = true;
            send(pid)?;
        }
        // It may have been open all the time, at a port that nothing tells.
        if asked.elapsed() > OLD_AFTER
            && let Some(address) = old.next()
            && let Some(path) = ask(*address).await
        {
            return Ok(Some(Door::at(*address, path, pid, false)));
        }
        process::Status::of(pid)?;
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(None)
}

/// The inspector at `ws://host:port/id`, `ws://host:port` or `http://host:port`.
pub(super) async fn at_url(url: &str) -> Result<Door, SourceError> {
    let plain = url.strip_prefix("ws://").map(|rest| format!("http://{rest}"));
    let (endpoint, path) = Endpoint::of(plain.as_deref().unwrap_or(url))?;
    let authority = endpoint.authority.clone();
    let local: Option<SocketAddr> = authority.parse().ok();
    let local = local.filter(|address| address.ip().is_loopback());
    let pid = local.and_then(|address| sockets::owners(address.port()).into_iter().next());
    if path != "/" && plain.is_some() {
        return Ok(Door { authority, path, pid, was_closed: false, is_named: true });
    }
    let body = endpoint.ask(Method::GET, "/json/list", ASK_WITHIN).await?;
    let path = path_of(&body).ok_or_else(|| SourceError::Answer {
        url: url.to_owned(),
        reason: "no inspector lists its contexts there".to_owned(),
    })?;
    Ok(Door { authority, path, pid, was_closed: false, is_named: true })
}

impl Door {
    fn at(address: SocketAddr, path: String, pid: u32, was_closed: bool) -> Self {
        let authority = reachable(address).to_string();
        Self { authority, path, pid: Some(pid), was_closed, is_named: false }
    }
}

/// A socket of the process that was not there before and is an inspector's.
pub(super) async fn new_one(pid: u32, before: &Sockets) -> Option<Door> {
    let now = sockets::listening(pid);
    for (_, address) in now.iter().filter(|(inode, _)| !before.contains_key(inode)) {
        if let Some(path) = ask(*address).await {
            return Some(Door::at(*address, path, pid, true));
        }
    }
    None
}

/// The path of the WebSocket, when an inspector answers.
async fn ask(address: SocketAddr) -> Option<String> {
    let endpoint = Endpoint { authority: reachable(address).to_string(), token: None };
    path_of(&endpoint.ask(Method::GET, "/json/list", ASK_WITHIN).await.ok()?)
}

fn path_of(list: &[u8]) -> Option<String> {
    let listed: Vec<Listed> = serde_json::from_slice(list).ok()?;
    let url = listed.into_iter().map(|one| one.url).find(|url| !url.is_empty())?;
    let rest = url.strip_prefix("ws://")?;
    Some(rest[rest.find('/')?..].to_owned())
}

/// A socket that listens everywhere is asked at this machine's own address.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(four) if four.ip().is_unspecified() => ([127, 0, 0, 1], four.port()).into(),
        SocketAddr::V6(six) if six.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, six.port()).into()
        }
        other => other,
    }
}

/// Who else listens where the process's inspector wants to, in words.
fn holder(pid: u32, ip: IpAddr, port: u16) -> Option<String> {
    if port == 0 {
        return None;
    }
    let own = sockets::listening(pid);
    let taken = sockets::in_network_of(pid).into_iter().any(|(inode, other)| {
        other.port() == port && collide(ip, other.ip()) && !own.contains_key(&inode)
    });
    taken.then(|| {
        let owners = sockets::owners(port);
        owners.iter().find(|owner| **owner != pid).map_or_else(
            || "another process".to_owned(),
            |owner| {
                let name = process::Status::of(*owner).map(|status| status.name);
                format!("process {owner} (`{}`)", name.unwrap_or_default())
            },
        )
    })
}

/// Whether two sockets at these addresses cannot listen on one port.
fn collide(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

/// The name of a runtime of JavaScript that is not Node, by its executable.
fn other_runtime(exe: &Path) -> Option<&'static str> {
    let name = exe.file_name()?.to_str()?;
    ["bun", "deno"].into_iter().find(|other| {
        let rest = name.strip_prefix(other);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    })
}

fn send(pid: u32) -> Result<(), SourceError> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let target = raw.ok_or(SourceError::NoProcess { pid })?;
    kill_process(target, Signal::USR1).map_err(|error| match error {
        rustix::io::Errno::SRCH => SourceError::NoProcess { pid },
        error => SourceError::Signal { pid, reason: error.to_string() },
    })
}

/// What a process was told of its inspector when it was started.
#[derive(Debug, Default, PartialEq)]
struct Words {
    ip: Option<IpAddr>,
    port: Option<u16>,
    is_open: bool,
}

impl Words {
    fn of(pid: u32) -> Self {
        let options = process::variable(pid, "NODE_OPTIONS").unwrap_or_default();
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        Self::in_text(&format!("{} {line}", options.display()))
    }

    fn in_text(text: &str) -> Self {
        let mut words = Self::default();
        let mut all = text.split_whitespace().peekable();
        while let Some(word) = all.next() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let takes_port = matches!(name, "--inspect-port" | "--debug-port");
            if takes_port || matches!(name, "--inspect" | "--inspect-brk" | "--inspect-wait") {
                words.is_open |= !takes_port;
                // `--inspect-port 0` is allowed on the command line.
                let next = if takes_port { all.peek().copied().unwrap_or("") } else { "" };
                let value = if value.is_empty() { next } else { value };
                let (host, port) = value.rsplit_once(':').unwrap_or(("", value));
                words.port = port.parse().ok().or(words.port);
                words.ip = host.trim_matches(['[', ']']).parse().ok().or(words.ip);
            }
        }
        words
    }

    fn ip(&self) -> IpAddr {
        self.ip.unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(PORT_DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line_tell_the_port() {
        for (text, port, is_open) in [
            ("node server.js", 9229, false),
            ("--inspect-port=0 node server.js", 0, false),
            ("node --inspect-port 9300 server.js", 9300, false),
            ("node --inspect server.js", 9229, true),
            ("--max-old-space-size=64 node --inspect=0.0.0.0:9333 a.js", 9333, true),
        ] {
            let words = Words::in_text(text);
            assert_eq!((words.port(), words.is_open), (port, is_open), "{text}");
        }
        let words = Words::in_text("node --inspect-port=[::1]:9300 a.js");
        assert_eq!((words.ip().to_string().as_str(), words.port()), ("::1", 9300));
    }

    #[test]
    fn runtimes_that_are_not_node_are_known_by_name() {
        let of = |name: &str| other_runtime(&Path::new("/usr/bin").join(name));
        assert_eq!(
            [of("bun"), of("bun-1.2"), of("deno")],
            [Some("bun"), Some("bun"), Some("deno")]
        );
        assert_eq!([of("node"), of("bundle"), of("sleep")], [None; 3]);
    }

    #[test]
    fn a_list_of_contexts_gives_a_path() {
        let list = br#"[{"webSocketDebuggerUrl":"ws://127.0.0.1:1/ab-c","title":"x"}]"#;
        assert_eq!(path_of(list).as_deref(), Some("/ab-c"));
        for other in [&b"[]"[..], b"{}", b"Cannot GET /json/list", br#"[{"id":1}]"#] {
            assert_eq!(path_of(other), None);
        }
    }

    #[test]
    fn this_test_is_not_node() {
        assert!(!is_node(std::process::id()));
    }
}
