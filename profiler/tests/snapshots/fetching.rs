//! Processes to bytes: real processes and real sockets, never a signal that would kill.
//! In: processes of the test's own, with and without a handler. Out: bytes, or one clear line.
//! The probe itself has tests of its own.

use ebbtide_profiler::source::{self, SourceError, Target};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// A process of the test, ended with it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// A shell that runs a script, with its folder for snapshots.
    fn shell(script: &str, folder: &Path) -> (Self, u32) {
        let child = Command::new("sh")
            .args(["-c", script])
            .env("EBBTIDE_DIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        (Self(child), pid)
    }

    /// Its first line: it is ready.
    async fn ready(&mut self) {
        let out = self.0.stdout.take().unwrap();
        let mut lines = BufReader::new(tokio::process::ChildStdout::from_std(out).unwrap()).lines();
        lines.next_line().await.unwrap();
    }
}

/// What a probe leaves for its readers.
fn announce(folder: &Path, pid: u32, admin: Option<&str>, exe: &str) {
    let file = serde_json::json!({
        "schema": "ebbtide/probe/1", "pid": pid, "exe": exe, "admin": admin, "dir": folder,
        "allocator": "jemalloc", "profiling": true, "sample_interval_bytes": 65_536,
    });
    std::fs::write(folder.join(format!("probe-{pid}.json")), file.to_string()).unwrap();
}

fn exe(pid: u32) -> String {
    std::fs::read_link(format!("/proc/{pid}/exe")).unwrap().to_str().unwrap().to_owned()
}

/// Handles SIGUSR2 as a probe would: first the profile, then the sidecar, both by renaming.
const ANSWERS: &str = r#"
n=0
answer() {
  n=$((n + 1)); ms=$(date +%s%3N); name="$EBBTIDE_DIR/heapdump-$$-$n-$ms"
  printf 'profile %s' "$n" > "$name.tmp"; mv "$name.tmp" "$name.pb.gz"
  printf '{"pid":%s,"sequence":%s,"profile":"%s.pb.gz"}' "$$" "$n" "${name##*/}" > "$name.tmp"
  mv "$name.tmp" "$name.json"
}
trap answer USR2
echo ready
# A signal interrupts the read.
while :; do read -r line && exit; done
"#;

#[tokio::test]
async fn a_signal_brings_a_new_snapshot_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, pid) = Process::shell(ANSWERS, folder.path());
    process.ready().await;
    announce(folder.path(), pid, None, &exe(pid));
    let target = Target::attach_when_ready(pid, Duration::from_secs(10)).await.unwrap();
    for expected in 1..=3 {
        let fetched = target.snapshot(false).await.unwrap();
        assert_eq!(fetched.bytes, format!("profile {expected}").as_bytes());
        assert_eq!(fetched.sidecar.unwrap().sequence, expected);
        assert_eq!(fetched.path.unwrap().parent(), Some(folder.path()));
    }
    assert!(target.is_alive() && target.has_heap());
    assert!(target.memory(false).await.unwrap().process.rss_bytes > 0);
    assert!(matches!(target.census().await, Err(SourceError::NotOffered { .. })));
}

#[tokio::test]
async fn a_process_that_would_die_of_the_signal_never_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, pid) = Process::shell("echo ready; read -r line", folder.path());
    process.ready().await;
    let target = Target::attach(pid).unwrap();
    let error = target.snapshot(false).await.unwrap_err();
    assert!(matches!(error, SourceError::NotCaught { .. }), "{error}");
    assert!(error.to_string().contains("would die of it"));
    // The same when a file claims that there is a probe.
    announce(folder.path(), pid, None, &exe(pid));
    let target = Target::attach(pid).unwrap();
    assert!(target.probe().is_some());
    let error = target.snapshot(false).await.unwrap_err();
    assert!(matches!(error, SourceError::NotCaught { .. }), "{error}");
    assert!(target.is_alive());
}

#[tokio::test]
async fn a_file_of_another_process_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, pid) = Process::shell(ANSWERS, folder.path());
    process.ready().await;
    announce(folder.path(), pid, None, "/usr/bin/another");
    assert!(source::find_probe(pid).unwrap().is_none());
    let error = Target::attach_when_ready(pid, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, SourceError::NoProbe { .. }), "{error}");
    // A file that is broken is said to be.
    std::fs::write(folder.path().join(format!("probe-{pid}.json")), "{").unwrap();
    assert!(matches!(Target::attach(pid), Err(SourceError::Folder { .. })));
}

#[tokio::test]
async fn a_process_that_ends_is_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, pid) = Process::shell(ANSWERS, folder.path());
    process.ready().await;
    announce(folder.path(), pid, None, &exe(pid));
    let target = Target::attach(pid).unwrap();
    process.0.kill().unwrap();
    process.0.wait().unwrap();
    assert!(!target.is_alive());
    let error = target.snapshot(false).await.unwrap_err();
    assert!(matches!(error, SourceError::NoProcess { .. }), "{error}");
    assert!(matches!(Target::attach(pid), Err(SourceError::NoProcess { .. })));
}

/// Answers each connection with what the path is listed with; the requests come back.
async fn serve(
    answers: Vec<(&'static str, String)>,
) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap() == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
            asked.push(String::from_utf8(request).unwrap());
        }
        asked
    });
    (address, serving)
}

#[tokio::test]
async fn the_probes_listener_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, pid) = Process::shell(ANSWERS, folder.path());
    process.ready().await;
    std::fs::write(folder.path().join("heapdump-x.pb.gz"), "bytes").unwrap();
    let (address, serving) = serve(vec![
        ("200 OK", r#"{"pid":1,"sequence":4,"profile":"../heapdump-x.pb.gz","new":1}"#.to_owned()),
        ("200 OK", r#"{"in_flight":3,"process":{"rss_bytes":7}}"#.to_owned()),
        ("200 OK", r#"{"kinds":{"timer":{"live":2,"created":3,"dropped":1}}}"#.to_owned()),
        ("500 Internal Server Error", "folder full\nmore".to_owned()),
        ("200 OK", "over the wire".to_owned()),
        ("200 OK", r#"{"pid":9,"sampling":{"mean_bytes":64}}"#.to_owned()),
        ("200 OK", "{}".to_owned()),
    ])
    .await;
    announce(folder.path(), pid, Some(&address), &exe(pid));
    let target = Target::attach(pid).unwrap().with_token(Some("secret".to_owned()));
    let fetched = target.snapshot(true).await.unwrap();
    assert_eq!((fetched.bytes.as_slice(), fetched.sidecar.unwrap().sequence), (&b"bytes"[..], 4));
    let memory = target.memory(true).await.unwrap();
    assert_eq!((memory.in_flight, memory.process.rss_bytes), (Some(3), 7));
    let census = target.census().await.unwrap();
    assert_eq!(census.kinds[&ebbtide_record::Kind::Timer].live, 2);
    let fetched = target.snapshot(false).await.unwrap();
    assert_eq!(fetched.bytes, b"over the wire");
    assert_eq!(fetched.sidecar.unwrap().sampling.mean_bytes, 64);
    let asked = serving.await.unwrap();
    let lines: Vec<_> = asked.iter().map(|request| request.lines().next().unwrap()).collect();
    let expected = [
        "POST /debug/snapshot?purge=1 HTTP/1.1",
        "GET /debug/memory?purge=1 HTTP/1.1",
        "GET /debug/census HTTP/1.1",
        "POST /debug/snapshot HTTP/1.1",
        "GET /debug/pprof/heap HTTP/1.1",
        "GET /debug/memory HTTP/1.1",
        "GET /debug/census HTTP/1.1",
    ];
    assert_eq!(lines, expected);
    assert!(asked.iter().all(|request| request.contains("authorization: Bearer secret")));
}

#[tokio::test]
async fn any_pprof_url_is_asked() {
    let (address, serving) = serve(vec![
        ("200 OK", "heap".to_owned()),
        // Neither an index of profiles nor goroutines.
        ("404 Not Found", String::new()),
        ("200 OK", "what is no profile of goroutines".to_owned()),
        ("200 OK", "other".to_owned()),
        ("404 Not Found", "no such page\nat all".to_owned()),
    ])
    .await;
    let target = Target::at_url(&format!("http://{address}")).unwrap();
    assert_eq!(target.snapshot(false).await.unwrap().bytes, b"heap");
    assert!(matches!(target.memory(false).await, Err(SourceError::NotOffered { .. })));
    let memory = target.with_pid(std::process::id()).memory(false).await.unwrap();
    assert!(memory.process.rss_bytes > 0);
    let target = Target::at_url(&format!("http://{address}/my/heap?x=1")).unwrap();
    assert_eq!(target.snapshot(false).await.unwrap().bytes, b"other");
    let error = target.snapshot(false).await.unwrap_err().to_string();
    assert!(error.contains("status 404 `no such page`"), "{error}");
    let asked = serving.await.unwrap();
    assert!(asked[0].starts_with("GET /debug/pprof/heap?gc=1 "), "{}", asked[0]);
    assert!(asked[1].starts_with("GET /debug/pprof/ "), "{}", asked[1]);
    assert!(asked[2].starts_with("GET /debug/pprof/goroutine?debug=1 "), "{}", asked[2]);
    assert!(asked[3].starts_with("GET /my/heap?x=1 "), "{}", asked[3]);
    // Nobody is there any more.
    let error = target.snapshot(false).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_that_may_pass_does_not_stand_for_no_go() {
    let index = "<td>303</td><td><a href='goroutine?debug=1'>goroutine</a>".to_owned();
    let (address, serving) = serve(vec![
        // While it starts: neither the index nor the goroutines.
        ("503 Service Unavailable", String::new()),
        ("503 Service Unavailable", String::new()),
        // No index for anybody, and the goroutines not yet.
        ("403 Forbidden", String::new()),
        ("429 Too Many Requests", String::new()),
        ("200 OK", index),
    ])
    .await;
    let target = Target::at_url(&format!("http://{address}")).unwrap();
    assert!(!target.has_index().await);
    assert!(!target.has_index().await);
    assert!(target.has_index().await && target.is_go());
    // What is known is not asked for again.
    assert!(target.has_index().await);
    assert_eq!(serving.await.unwrap().len(), 5);
}

#[test]
fn urls_that_cannot_be_used_are_said_to_be() {
    for (url, word) in [
        ("", "no URL"),
        ("localhost:80/x", "no URL"),
        ("localhost:80", "http://"),
        ("https://a/b", "https is not spoken"),
        ("ftp://a/b", "http://"),
        ("http://", ""),
    ] {
        let error = Target::at_url(url).unwrap_err().to_string();
        assert!(error.contains(word) && !error.contains('\n'), "{url}: {error}");
    }
}
