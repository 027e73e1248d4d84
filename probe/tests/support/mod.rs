//! What the probe's tests share: waiting for files by inotify, a small HTTP client, and a profile
//! reader that is not ours.
//! In: folders, addresses, files. Out: parsed JSON, or a panic that says what was missing.
//! Leaves to others: starting services (the tests themselves).
#![allow(clippy::unwrap_used, reason = "tests may; the lint's own exception wants `#[test]` above")]
#![allow(dead_code, reason = "each test binary uses its part")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a file may take to appear on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `found` gives something, looking again each time the folder changes.
pub(crate) fn wait_for<T>(dir: &Path, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, dir, inotify::WatchFlags::MOVED_TO).unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = found() {
            return result;
        }
        let left = until.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "no {what} in {} after {PATIENCE:?}", dir.display());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: 0 };
        poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&left)).unwrap();
        let mut events = [std::mem::MaybeUninit::uninit(); 4_096];
        let mut reader = inotify::Reader::new(&watch, &mut events);
        while reader.next().is_ok() {}
    }
}

/// The snapshots of a process: profile and sidecar, in the order of their numbers.
pub(crate) fn snapshots(dir: &Path) -> Vec<(PathBuf, Value)> {
    let mut list: Vec<(PathBuf, Value)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("heapdump-") && name.ends_with(".json")
        })
        .map(|path| {
            let sidecar: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            (dir.join(sidecar["profile"].as_str().unwrap()), sidecar)
        })
        .collect();
    list.sort_by_key(|(_, sidecar)| sidecar["sequence"].as_u64());
    list
}

/// Waits for snapshot number `sequence`.
pub(crate) fn snapshot(dir: &Path, sequence: u64) -> (PathBuf, Value) {
    wait_for(dir, &format!("snapshot {sequence}"), || {
        snapshots(dir).into_iter().find(|(_, sidecar)| sidecar["sequence"] == sequence)
    })
}

/// One HTTP exchange on a connection of its own: status, content type and body.
pub(crate) fn ask(address: &str, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let (line, headers) = head.split_once('\n').unwrap_or((head, "Host: localhost"));
    write!(
        stream,
        "{line} HTTP/1.1\r\n{}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
        headers.replace('\n', "\r\n")
    )
    .unwrap();
    // A server that refuses the head may close before it has read the body.
    let _ = stream.write_all(body);
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(reply[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let content_type = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    (status, content_type.unwrap_or_default().to_owned(), reply[end + 4..].to_vec())
}

/// Asks and reads the JSON of a reply that must be 200.
pub(crate) fn ask_json(address: &str, head: &str) -> Value {
    let (status, content_type, body) = ask(address, head, b"");
    assert_eq!((status, content_type.as_str()), (200, "application/json"), "{head}");
    serde_json::from_slice(&body).unwrap()
}

/// Reads a profile with npm's `pprof-format`.
pub(crate) fn read_back(profile: &Path) -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let npm = std::env::var_os("EBBTIDE_NPM").map_or(here.join("../xtask/npm"), PathBuf::from);
    let hint = "run `cargo xtask setup`: node and the package `pprof-format` read profiles back";
    assert!(npm.join("node_modules/pprof-format").is_dir(), "{hint}: none in {}", npm.display());
    let read = Command::new("node")
        .args([&here.join("tests/read_pprof.cjs"), &npm, profile])
        .output()
        .unwrap_or_else(|error| panic!("{hint}: node: {error}"));
    let errors = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{}: {errors}", profile.display());
    serde_json::from_slice(&read.stdout).unwrap()
}
