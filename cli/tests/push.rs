//! Figures pushed while a load goes on, to a receiver on a real socket that reads Prometheus
//! remote write and OTLP as their specifications have them, and that is unwell at first. The
//! server that is loaded, the load and the receiver are all the real thing; the receiver's answers
//! are the only thing that is made up.

use ebbtide_reports::push::remote_write::WriteRequest;
use prost::Message;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// One request as it was received.
struct Pushed {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Listens, answers the first `unwell` requests with 503 and all others with 200.
fn receiver(unwell: usize) -> (String, Receiver<Pushed>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, pushed) = channel();
    std::thread::spawn(move || {
        for (place, stream) in listener.incoming().flatten().enumerate() {
            let status = if place < unwell { "503 Busy" } else { "200 OK" };
            if sender.send(received(stream, status)).is_err() {
                return;
            }
        }
    });
    (address, pushed)
}

fn received(mut stream: TcpStream, status: &str) -> Pushed {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request line");
    let path = line.split(' ').nth(1).expect("a path").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers["content-length"].parse().expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(reply.as_bytes()).expect("a reply");
    Pushed { path, headers, body }
}

/// Loads the reference server for two seconds.
fn load(push: &[&str]) -> Output {
    let itself = env!("CARGO_BIN_EXE_ebb");
    let mut words = vec!["load", "/healthz", "--on-port", "-r", "100", "-d", "2s", "--json"];
    for receiver in push {
        words.extend(["--push", receiver]);
    }
    words.extend(["--", itself, "serve", "--port", "0"]);
    Command::new(itself).args(words).stdin(Stdio::null()).output().expect("the program starts")
}

fn requests(output: &Output) -> f64 {
    let summary: Value = serde_json::from_slice(&output.stdout).expect("one document");
    summary["metrics"]["http_reqs"]["values"]["count"].as_f64().expect("a count")
}

#[test]
fn each_interval_reaches_prometheus_and_otlp_and_a_bad_moment_is_survived() {
    let (prometheus, written) = receiver(2);
    let (otlp, exported) = receiver(0);
    let targets = [format!("prometheus=http://{prometheus}"), format!("otlp=http://{otlp}/v1/m")];
    let output = load(&[&targets[0], &targets[1]]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let written: Vec<Pushed> = written.try_iter().collect();
    assert!(written.len() >= 4, "{} attempts for two seconds and two refusals", written.len());
    assert_eq!(written[0].body, written[1].body, "the same body was not tried again");
    let last = written.last().expect("a body");
    assert_eq!(last.path, "/api/v1/write");
    for (name, value) in [
        ("content-encoding", "snappy"),
        ("content-type", "application/x-protobuf"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ] {
        assert_eq!(last.headers[name], value);
    }
    let plain = snap::raw::Decoder::new().decompress_vec(&last.body).expect("snappy");
    let request = WriteRequest::decode(plain.as_slice()).expect("a write request");
    let mut values = BTreeMap::new();
    for series in &request.timeseries {
        let names: Vec<&str> = series.labels.iter().map(|label| label.name.as_str()).collect();
        assert!(names.is_sorted() && names[0] == "__name__", "{names:?}");
        values.insert(series.labels[0].value.as_str(), series.samples[0].value);
    }
    assert_eq!(values["ebbtide_requests_total"], requests(&output));
    assert!(values["ebbtide_latency_seconds"] < 10.0, "seconds, not milliseconds");
    let last = exported.try_iter().last().expect("a body");
    assert_eq!(
        (last.path.as_str(), last.headers["content-type"].as_str()),
        ("/v1/m", "application/json")
    );
    let document: Value = serde_json::from_slice(&last.body).expect("JSON");
    let metrics = &document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    let of = |name: &str| {
        let found =
            metrics.as_array().expect("metrics").iter().find(|metric| metric["name"] == name);
        found.unwrap_or_else(|| panic!("`{name}` is missing")).clone()
    };
    let sum = &of("ebbtide_requests_total")["sum"];
    assert_eq!(sum["dataPoints"][0]["asDouble"].as_f64(), Some(requests(&output)));
    assert_eq!((&sum["aggregationTemporality"], &sum["isMonotonic"]), (&2.into(), &true.into()));
    assert!(sum["dataPoints"][0]["timeUnixNano"].is_string(), "64-bit integers are strings");
    assert_eq!(of("ebbtide_latency_seconds")["unit"], "s");
}

#[test]
fn a_receiver_that_is_not_there_fails_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = format!("otlp=http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let output = load(&[&target]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(requests(&output), 200.0);
    assert!(said.contains("did not take the run's figures") && said.contains("refused"), "{said}");
}

#[test]
fn receivers_are_checked_before_the_load() {
    for (target, word) in [
        ("influx=http://a", "influx"),
        ("http://a", "prometheus=http"),
        ("otlp=https://a", "https is not spoken"),
    ] {
        let output = load(&[target]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word), "{said}");
    }
}
