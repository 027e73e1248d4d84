//! The parts of one load, each a run of its own, joined: the requests are those of one run, the
//! histograms are their sum to the last bit, and what does not belong together is refused.
//!
//! In: scenarios, and a server that writes down what it is sent. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

use ebbtide_loadgen::recorder::Recorder;
use ebbtide_loadgen::totals::Ledger;
use ebbtide_loadgen::{Scenario, Segment, hlog};
use ebbtide_record::State;
use ebbtide_rounds::{Control, Outcome, RunRequest, folder, join};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A server that writes down the requests it answers.
struct Server {
    base: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Self { base, seen }
    }

    fn take(&self) -> Vec<String> {
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.sort();
        seen
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return,
        }
        // Each request has a body that ends in a mark of its own.
        while let Some(end) = bytes.windows(3).position(|mark| mark == b"<>\"") {
            let request: Vec<u8> = bytes.drain(..end + 4).collect();
            log.lock().unwrap().push(String::from_utf8(request).unwrap());
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(reply).is_err() {
                return;
            }
        }
    }
}

fn scenario(base: &str, limit: &str) -> String {
    format!(
        "seed = 5\n[target]\nbase = \"{base}\"\nheap = \"rss\"\n\
         [flow.counted]\nexecutor = \"per-vu-iterations\"\nvus = 4\niterations = 20\n\
         steps = [{{ post = \"/${{vu}}\", json = {{ a = \"${{uuid}} ${{iteration}}<>\" }} }}]\n\
         [flow.poisson]\nexecutor = \"ramping-arrival-rate\"\narrivals = \"poisson\"\n\
         start_rate = 20\nstages = [{{ duration = \"1200ms\", target = 200 }}]\n\
         pre_allocated_vus = 3\nmax_vus = 6\n\
         steps = [{{ post = \"/p\", json = {{ a = \"${{random(1,99999)}}<>\" }}, \
         check = {{ status = 200 }} }}]\n\
         [thresholds]\nhttp_reqs = [\"count >= {limit}\"]\nchecks = [\"rate == 1\"]\n\
         \"http_req_duration{{flow:poisson}}\" = [\"p(99.99) < 60000\"]\n"
    )
}

async fn run(text: &str, out: PathBuf, segment: Segment) -> Outcome {
    let request = RunRequest {
        scenario: Scenario::parse(text, "parts.toml").unwrap_or_else(|faults| panic!("{faults}")),
        scenario_text: text.to_owned(),
        out,
        command: Vec::new(),
        ebb: PathBuf::new(),
        threads: 2,
        segment,
        strict: false,
        version: String::new(),
    };
    let (events, mut seen) = tokio::sync::mpsc::channel(64);
    let watch = async { while seen.recv().await.is_some() {} };
    tokio::join!(ebbtide_rounds::run(request, Control::default(), events), watch).0.unwrap()
}

/// Histograms of a run's folder by slot and trend, as HdrHistogram's V2 has them.
fn encoded(run: &Path) -> BTreeMap<(usize, usize), Vec<u8>> {
    use hdrhistogram::serialization::{Serializer, V2Serializer};
    let mut encoded = BTreeMap::new();
    for (slot, record) in summed(&[run]).slots.iter().enumerate() {
        for (trend, histogram) in record.trends.iter().enumerate() {
            if let Some(histogram) = histogram {
                let mut bytes = Vec::new();
                V2Serializer::new().serialize(histogram, &mut bytes).unwrap();
                encoded.insert((slot, trend), bytes);
            }
        }
    }
    encoded
}

fn summed(runs: &[&Path]) -> Recorder {
    let mut sum = Recorder::default();
    for run in runs {
        let ledger: Ledger =
            serde_json::from_slice(&std::fs::read(run.join(folder::TOTALS)).unwrap()).unwrap();
        let text = std::fs::read(run.join(folder::HISTOGRAMS)).unwrap();
        for entry in hlog::read(&text, &ledger.slots, ledger.checks.len()).unwrap().entries {
            sum.merge(&entry.recorder);
        }
    }
    sum
}

fn count(state: &State, metric: &str) -> f64 {
    state.metrics[metric].value("count").unwrap()
}

#[tokio::test]
async fn parts_are_joined_to_the_run_they_were_cut_from() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let text = scenario(&server.base, "100");
    let whole = run(&text, dir.path().join("whole"), Segment::default()).await;
    let sent = server.take();
    assert_eq!(count(&whole.state, "http_reqs") as usize, sent.len());
    let part = |index| run(&text, dir.path().join(index), format!("{index}/3").parse().unwrap());
    let parts = tokio::join!(part("0"), part("1"), part("2"));
    let parts = [parts.0, parts.1, parts.2];
    assert_eq!(server.take(), sent, "together they send what one run sends");

    let folders: Vec<PathBuf> = parts.iter().map(|part| part.folder.clone()).collect();
    let out = dir.path().join("joined");
    let (code, joined) = join::join(&folders, &out, Vec::new()).unwrap();
    // A machine that has no time for the generator makes the claim on latency void.
    assert!(code == 0 || code == 95, "{code}");
    for metric in ["http_reqs", "iterations", "data_sent", "http_req_duration", "late_start"] {
        let sum: f64 = parts.iter().map(|part| count(&part.state, metric)).sum();
        assert_eq!(count(&joined, metric), sum, "{metric}");
    }
    assert_eq!(count(&joined, "http_reqs") as usize, sent.len());
    let intervals: u64 = joined.intervals.iter().map(|at| at.value.requests).sum();
    assert_eq!(intervals as usize, sent.len(), "no second is lost or counted twice");
    assert!(joined.metrics["http_reqs"].thresholds["count >= 100"].ok);
    assert!(joined.metrics["http_req_duration{flow:poisson}"].values.contains_key("p(99.99)"));

    // To the last bit: of each histogram, and so of each percentile.
    let paths: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let (sum, told) = (summed(&paths), summed(&[&out]));
    for (sum, told) in sum.slots.iter().zip(&told.slots) {
        for (sum, told) in sum.trends.iter().zip(&told.trends) {
            assert_eq!(sum.is_some(), told.is_some());
            let (Some(sum), Some(told)) = (sum, told) else { continue };
            assert_eq!(sum, told);
            for step in 0..=10_000 {
                let quantile = f64::from(step) / 1e4;
                assert_eq!(sum.value_at_quantile(quantile), told.value_at_quantile(quantile));
            }
        }
    }
    // Joining the joined run changes nothing, and a summary can be made from the folder again.
    let again = dir.path().join("again");
    join::join(std::slice::from_ref(&out), &again, Vec::new()).unwrap();
    assert_eq!(encoded(&out), encoded(&again));
    let read = folder::read_state(&out).unwrap();
    assert!(read.metrics.keys().eq(joined.metrics.keys()));
    assert_eq!(read.metrics["http_reqs"].thresholds, joined.metrics["http_reqs"].thresholds);
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused_and_what_is_missing_is_said() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    // No half has as many requests as the whole: only the sum can hold the threshold.
    let text = scenario(&server.base, "150");
    let zero = run(&text, dir.path().join("zero"), "0/2".parse().unwrap()).await;
    assert!(zero.state.ended.as_ref().unwrap().exit_codes.contains(&99));
    let one = run(&text, dir.path().join("one"), "1/2".parse().unwrap()).await;
    let other = scenario(&server.base, "151");
    let other = run(&other, dir.path().join("other"), "1/2".parse().unwrap()).await;
    let third = run(&text, dir.path().join("third"), "1/3".parse().unwrap()).await;
    let join = |runs: &[&Outcome], name: &str| {
        let runs: Vec<PathBuf> = runs.iter().map(|run| run.folder.clone()).collect();
        join::join(&runs, &dir.path().join(name), Vec::new())
    };
    let (_, whole) = join(&[&one, &zero], "whole").unwrap();
    let codes = |state: &State| state.ended.clone().unwrap().exit_codes;
    assert!(!codes(&whole).contains(&99) && !whole.ended.as_ref().unwrap().partial);
    let (_, half) = join(&[&zero], "half").unwrap();
    assert_eq!(codes(&half), [95, 99], "half a load proves nothing of the whole");
    assert!(half.ended.as_ref().unwrap().partial);
    assert_eq!(half.warnings[0].code, join::SEGMENTS_MISSING);
    assert_eq!(half.warnings[0].message, "1 of 2 segments are missing: 1/2");
    for (runs, words) in [
        ([&zero, &other], "has another plan than"),
        ([&zero, &zero], "segment 0/2 is there twice"),
        ([&zero, &third], "join the parts of one cut"),
    ] {
        let error = join(&runs, "refused").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    std::fs::remove_file(one.folder.join(folder::TOTALS)).unwrap();
    let error = join(&[&zero, &one], "refused").unwrap_err().to_string();
    assert!(error.contains("only runs that came to their end can be joined"), "{error}");
}
