//! The way from a scenario to its target's heap: what a started target is told, whom to ask for
//! snapshots, and what counts as own code. In: the scenario. Out: a source, an environment, rules.
//! Asking for snapshots is left to `capture`.

use crate::control::Control;
use crate::folder::{self, RunFolder};
use crate::listening;
use crate::request::{RunError, RunRequest};
use crate::served;
use crate::target::{NODE_OPTIONS, RunningTarget, Surroundings};
use ebbtide_loadgen::Faults;
use ebbtide_loadgen::plan::Address;
use ebbtide_loadgen::scenario::{HeapSource, Scenario};
use ebbtide_profiler::SiteRules;
use ebbtide_profiler::source::{SourceError, Target as Source, is_node, sockets, together};
use ebbtide_record::event::Warning;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long a started target's probe has to say that it is ready.
const PROBE_WITHIN: Duration = Duration::from_secs(3);

/// How long the primary of a cluster has to hand a connection to a worker.
const ANSWERING_WITHIN: Duration = Duration::from_secs(2);

/// Pause between two looks at who has it.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// What counts as own code, and which kinds the user has named.
#[must_use]
pub fn site_rules(scenario: &Scenario) -> SiteRules {
    let kinds = scenario.memory.as_ref().map(|watch| watch.kinds.clone()).unwrap_or_default();
    SiteRules { own: scenario.target.own.clone(), kinds: kinds.into_iter().collect() }
}

/// What a started target finds around it.
#[must_use]
pub fn surroundings(request: &RunRequest, folder: &RunFolder) -> Surroundings {
    let mut env = BTreeMap::new();
    // Whose heap is not asked for is told nothing either.
    let asked = request.scenario.target.heap != HeapSource::Rss;
    if let Some(watch) = request.scenario.memory.as_ref().filter(|_| asked) {
        env.insert("EBBTIDE_DIR".to_owned(), folder.snapshots().display().to_string());
        env.insert("EBBTIDE_ADMIN".to_owned(), "127.0.0.1:0".to_owned());
        env.insert("EBBTIDE_SAMPLE".to_owned(), watch.sample_interval_bytes.to_string());
        let told = std::env::var(served::GO_DEBUG).ok();
        let told = served::go_debug(told.as_deref(), watch.sample_interval_bytes);
        env.insert(served::GO_DEBUG.to_owned(), told);
        let told = request.scenario.target.env.get(NODE_OPTIONS).cloned();
        let told = told.or_else(|| std::env::var(NODE_OPTIONS).ok()).unwrap_or_default();
        env.insert(NODE_OPTIONS.to_owned(), with_port(&told, inspector_port()));
    }
    let log = folder.path().join(folder::TARGET_LOG);
    Surroundings { ebb: request.ebb.clone(), env, log }
}

/// Options of Node with a port for its inspector, should it be opened: the usual one may be
/// another's. What was said of the inspector stands.
fn with_port(said: &str, port: Option<u16>) -> String {
    match port {
        Some(port) if !said.contains("--inspect") => {
            format!("{said} --inspect-port={port}").trim_start().to_owned()
        }
        _ => said.to_owned(),
    }
}

/// A port that is free, with those behind it. Not 0 for whichever is free: the workers of a
/// cluster count on from the port of the first, and Node refuses to start at 1. Below those that
/// the kernel gives to connections, of which a load has many.
fn inspector_port() -> Option<u16> {
    let start = u16::try_from(std::process::id() % u32::from(PORTS.len() as u16)).unwrap_or(0);
    let all = (0..PORTS.len() as u16).step_by(usize::from(PORTS_APART));
    all.map(|step| PORTS.start + (start + step) % (PORTS.len() as u16)).find(|first| {
        let mut each = *first..first + PORTS_APART;
        each.all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
    })
}

/// Where an inspector's port is looked for.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Ports that are free in a row: one for each of some workers.
const PORTS_APART: u16 = 8;

/// Finds the way to the target's heap. Without a memory watch whatever is seen is welcome,
/// nothing is demanded, and nothing in the target is changed.
///
/// # Errors
///
/// When memory is to be watched and the heap cannot be had, or a stop is asked for. What was
/// changed in the target is put back then.
pub async fn attach(
    scenario: &Scenario,
    target: &RunningTarget,
    control: &Control,
) -> Result<Option<Source>, RunError> {
    let wanted = scenario.memory.is_some();
    let way = tokio::select! {
        way = way(scenario, target) => way,
        () = control.stopped() => return Err(RunError::Interrupted),
    };
    let source = match way {
        None => return without_process(wanted),
        Some(Ok(source)) if !wanted => Ok(source.from_outside()),
        Some(Ok(source)) if scenario.target.heap == HeapSource::Signal => Ok(source.by_signal()),
        Some(Ok(source)) => {
            let interval = scenario.memory.as_ref().map_or(u64::MAX, |w| w.sample_interval_bytes);
            let source = source.with_own(&scenario.target.own).with_interval(interval);
            return opened(source, control).await.map(Some);
        }
        Some(Err(error)) => Err(error),
    };
    match source {
        Ok(source) => Ok(Some(source)),
        Err(error) if wanted => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// The way that the scenario names, or the best there is. `None` when nothing says where.
async fn way(scenario: &Scenario, target: &RunningTarget) -> Option<Result<Source, SourceError>> {
    let (wanted, heap) = (scenario.memory.is_some(), scenario.target.heap);
    if let Some(url) = &scenario.target.pprof {
        return Some(served::at(url, target));
    }
    if let Some(url) = scenario.target.inspector.as_deref().filter(|_| wanted) {
        return Some(Ok(Source::at_inspector(&target.on_port(url))));
    }
    let pid = target.pid.or_else(|| if wanted { stranger(&target.base) } else { None })?;
    if matches!(heap, HeapSource::Auto | HeapSource::Pprof)
        && let Some(source) = in_go(pid, wanted).await
    {
        return Some(Ok(source));
    }
    let server = serving(pid, &target.base).await;
    Some(match heap {
        HeapSource::Node => Source::attach(server).map(Source::by_inspector),
        // Without a watch what is seen beside the load is welcome as well.
        HeapSource::Rss if wanted => {
            let port = port_of(&target.base);
            let first = port.and_then(|port| listening::owner(pid, port)).unwrap_or(pid);
            Source::resident(first, port)
        }
        HeapSource::Rss => Source::attach(pid).map(Source::from_outside),
        HeapSource::Auto if wanted && is_node(server) => Source::attach(server),
        HeapSource::Auto | HeapSource::Probe | HeapSource::Signal if wanted => {
            Source::attach_when_ready(pid, PROBE_WITHIN).await
        }
        _ => Source::attach(pid),
    })
}

/// An inspector is opened before the first operation, since it samples what is made afterwards.
async fn opened(mut source: Source, control: &Control) -> Result<Source, RunError> {
    let opened = tokio::select! {
        opened = source.open() => opened.map_err(RunError::from),
        () = control.stopped() => Err(RunError::Interrupted),
    };
    if let Err(error) = opened {
        source.release().await;
        return Err(error);
    }
    Ok(source)
}

/// The process that answers at the target's port: what was started may be a wrapper.
async fn serving(pid: u32, base: &str) -> u32 {
    let Ok(address) = Address::parse(base) else { return pid };
    let found = listening::owner(pid, address.port).unwrap_or(pid);
    // The primary of a cluster hands connections on, and answers none itself. It may have workers
    // of several programs, of which the first need not be the one that is meant.
    let workers = listening::workers(found);
    match workers.as_slice() {
        [] => found,
        [worker] => *worker,
        [first, ..] => answering(&address, &workers).await.unwrap_or(*first),
    }
}

/// Which of some processes a connection ends up with.
async fn answering(address: &Address, workers: &[u32]) -> Option<u32> {
    let asking = async {
        let host = address.host.trim_matches(['[', ']']);
        let connection = TcpStream::connect((host, address.port)).await.ok()?;
        let own = connection.local_addr().ok()?;
        loop {
            if let Some(worker) = sockets::peer_of(own, workers) {
                return Some(worker);
            }
            sleep(LOOK_PAUSE).await;
        }
    };
    timeout(ANSWERING_WITHIN, asking).await.ok().flatten()
}

fn port_of(base: &str) -> Option<u16> {
    Address::parse(base).ok().map(|address| address.port)
}

/// What is to be said where several processes serve, of which one is watched or all are.
#[must_use]
pub fn one_of_many(source: &Source, base: &str) -> Option<Warning> {
    if let Some(count) = source.together() {
        return (count > 1).then(|| all_of_many(count));
    }
    if !source.is_node() {
        return one_of_holders(source, port_of(base)?);
    }
    let pid = source.pid()?;
    let count = listening::workers(listening::parent_of_worker(pid)?).len();
    (count > 1).then(|| Warning {
        code: "cluster_worker".to_owned(),
        message: format!(
            "the target is a cluster of {count} Node processes, of which {pid} is watched: it \
             does its share of the operations, so growth per operation is about {count} times \
             what is told"
        ),
        advice: "start the target with one worker to have figures for each operation".to_owned(),
    })
}

fn all_of_many(count: usize) -> Warning {
    Warning {
        code: "several_processes".to_owned(),
        message: format!(
            "the target is {count} processes, whose resident memory is told as one sum: workers \
             that come and go move it"
        ),
        advice: "start the target with a fixed number of workers that are not replaced".to_owned(),
    }
}

/// A port has no name on it: who else holds it takes a share of the operations.
fn one_of_holders(source: &Source, port: u16) -> Option<Warning> {
    let pid = source.pid().filter(|_| source.has_heap())?;
    let count = together::holders(pid, port).len();
    (count > 1).then(|| Warning {
        code: "several_processes".to_owned(),
        message: format!(
            "{count} processes hold port {port}, of which {pid} alone is watched: what the others \
             do and keep is not seen, so that `steady` speaks of this one"
        ),
        advice: "start the target with one worker, or give `heap = \"rss\"` to have all of them \
                 summed"
            .to_owned(),
    })
}

/// The process on this machine that answers at a target of which nobody said what it is.
fn stranger(base: &str) -> Option<u32> {
    let address = Address::parse(base).ok().filter(|address| is_here(&address.host))?;
    sockets::owners(address.port).into_iter().min()
}

/// The name of this machine's own interface.
fn is_here(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The endpoint of a Go program, which has no probe.
async fn in_go(pid: u32, wanted: bool) -> Option<Source> {
    if wanted && matches!(Source::attach(pid), Ok(source) if source.probe().is_none()) {
        return served::find(pid).await;
    }
    None
}

fn without_process(wanted: bool) -> Result<Option<Source>, RunError> {
    if !wanted {
        return Ok(None);
    }
    Err(RunError::Scenario(Faults::one(
        "target",
        "memory is to be watched, but nothing says where: give `pid`, `pprof`, `inspector` or a \
         `command`",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_node_are_added_to() {
        assert_eq!(with_port("", Some(20_008)), "--inspect-port=20008");
        let said = "--max-old-space-size=64";
        assert_eq!(with_port(said, Some(20_008)), format!("{said} --inspect-port=20008"));
        assert_eq!(with_port("--inspect-port=9300", Some(20_008)), "--inspect-port=9300");
    }

    #[test]
    fn a_port_for_an_inspector_is_free_with_those_behind_it() {
        let first = inspector_port().expect("a port");
        // Workers of a cluster count on from it.
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, first + PORTS_APART - 1));
        assert_ne!(inspector_port(), Some(first));
    }

    #[test]
    fn this_machine_is_known_by_name_and_address() {
        assert!(["localhost", "127.0.0.1", "[::1]", "::1"].into_iter().all(is_here));
        assert!(!["example.org", "10.0.0.1"].into_iter().any(is_here));
    }
}
