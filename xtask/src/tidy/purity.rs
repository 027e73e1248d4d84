//! Pure modules: values in, values out. No runtime, no clock, no file, no socket.
//!
//! Comes in: one source. Goes out: a finding for each path a pure module names that leads outside
//! (`tokio`, `std::fs`, `std::time::Instant`), or into a module of its own crate that is not pure.
//! The modules that may lead outside stand in the table below; every other one, and one that is
//! new, is pure. Their tests may read files.

use super::Finding;
use super::source::Source;

/// Crates of pure modules, and the modules at their edge, where the world comes in. A crate with
/// an edge joins it to the rest in its root.
const EDGES: [(&str, &[&str]); 5] = [
    ("record", &[]),
    ("socketio", &[]),
    ("reports", &[]),
    ("loadgen", &["engine", "files", "hlog", "http", "websocket", "wire"]),
    ("profiler", &["source", "symbol"]),
];

/// What a pure module does not name: paths by their first parts.
const OUTSIDE: [&[&str]; 12] = [
    &["tokio"],
    &["hyper"],
    &["rustix"],
    &["std", "fs"],
    // An address is a value, a socket is not.
    &["std", "net", "TcpStream"],
    &["std", "net", "TcpListener"],
    &["std", "net", "UdpSocket"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];

/// Checks what a pure module names.
pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let Some(edges) = edges_of(source.folder()) else { return };
    let module_is_pure = source.module().map_or(edges.is_empty(), |own| !edges.contains(&own));
    if !source.path.contains("/src/") || !module_is_pure {
        return;
    }
    for path in source.named_paths().iter().filter(|path| !path.in_test) {
        let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
        let inward = matches!(segments.as_slice(), ["crate", module, ..] if edges.contains(module));
        if inward || OUTSIDE.iter().any(|outside| segments.starts_with(outside)) {
            let what = format!("pure module names `{}`", segments.join("::"));
            let cure = "let the caller do it and hand in the value";
            findings.push(Finding::new(&source.path, path.line, what, cure));
        }
    }
}

fn edges_of(folder: &str) -> Option<&'static [&'static str]> {
    EDGES.iter().find(|(name, _)| *name == folder).map(|(_, edges)| *edges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings_of;

    fn count(path: &str, text: &str) -> usize {
        findings_of(&[(path, text)], |sources, out| check(&sources[0], out)).len()
    }

    #[test]
    fn a_way_out_is_found() {
        for (path, text) in [
            ("record/src/lib.rs", "use tokio::sync::mpsc;"),
            ("record/src/state.rs", "use std::time::{Duration, Instant};"),
            ("loadgen/src/plan.rs", "fn a() { std::fs::read(b); }"),
            ("loadgen/src/plan/deep.rs", "use std::net::TcpStream;"),
            ("loadgen/src/schedule.rs", "use crate::engine::Engine;"),
            ("profiler/src/site.rs", "fn a() { let b = std::time::SystemTime::now(); }"),
            ("reports/src/html.rs", "use std::fs;"),
        ] {
            assert_eq!(count(path, text), 1, "{path}: {text}");
        }
    }

    /// What the architecture calls pure by name.
    #[test]
    fn the_two_paths_are_pure() {
        for (folder, modules) in [
            ("loadgen", "scenario plan schedule check sample recorder aggregate summary threshold"),
            ("profiler", "parse profile site kind diff series trend verdict"),
            ("record", "event state summary snapshot census"),
            ("reports", "text json html"),
            ("socketio", "client engine packet"),
        ] {
            for module in modules.split(' ') {
                let path = format!("{folder}/src/{module}.rs");
                assert_eq!(count(&path, "use std::time::Instant;"), 1, "{path}");
            }
        }
    }

    #[test]
    fn edges_and_tests_may_go_out() {
        for (path, text) in [
            ("record/src/state.rs", "use std::time::Duration; use crate::event::Event;"),
            ("loadgen/src/engine.rs", "use tokio::net::TcpStream; use crate::plan::Plan;"),
            ("loadgen/src/schedule.rs", "use crate::plan::Plan; use crate::Faults;"),
            ("loadgen/src/plan.rs", "use std::net::SocketAddr;"),
            ("profiler/src/source/http.rs", "use std::fs;"),
            ("profiler/src/parse/pprof.rs", "#[cfg(test)] mod tests { use std::fs; }"),
            ("reports/tests/golden.rs", "use std::fs;"),
            ("server/src/hub.rs", "use tokio::sync::mpsc;"),
        ] {
            assert_eq!(count(path, text), 0, "{path}: {text}");
        }
    }
}
