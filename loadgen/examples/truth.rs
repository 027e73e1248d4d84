//! What the open model promises beside what happened: the rate kept, starts on time and evenly
//! spread, and corrected latencies beside the delays that the target itself wrote down.
//!
//! In: the port of a `target` with delays, a rate, seconds, connections. Out: a line for each
//! promise. Pin the two processes to one core each.

use ebbtide_loadgen::{Engine, Pass, Plan, Quick};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Time in which connections are made, which is not looked at.
const WARMUP: Duration = Duration::from_secs(1);

/// Width of the windows in which starts are counted, microseconds.
const WINDOW_US: u64 = 10_000;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |place: usize, default: f64| -> f64 {
        arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (port, rate, seconds) = (number(1, 8080.0) as u16, number(2, 1_000.0), number(3, 30.0));
    let quick = Quick {
        url: format!("http://127.0.0.1:{port}/"),
        connections: number(4, 64.0) as u32,
        duration: WARMUP + Duration::from_secs_f64(seconds),
        rate: Some(rate),
        ..Quick::default()
    };
    log(port)?;
    let pass = Pass { threads: 1, warmup: WARMUP, ..Pass::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let totals = runtime.block_on(async {
        let engine = Engine::start(Arc::new(Plan::quick(&quick)?), pass)?;
        Ok::<_, Box<dyn std::error::Error>>(engine.finish().await)
    })?;
    let metrics = totals.so_far().metrics;
    let value = |metric: &str, key: &str| -> f64 {
        metrics.get(metric).and_then(|metric| metric.value(key)).unwrap_or(0.0)
    };
    let mut seen = log(port)?;
    seen.sort_unstable();
    let begin = seen.first().map_or(0, |(arrived, _)| *arrived + WARMUP.as_micros() as u64);
    seen.retain(|(arrived, _)| *arrived >= begin);
    let span = (seen.last().map_or(0, |(arrived, _)| *arrived) - begin) as f64 / 1e6;
    let achieved = (seen.len() - 1) as f64 / span;
    println!(
        "achieved       {achieved:.2}/s of {rate} ({:+.4} %)",
        (achieved / rate - 1.0) * 100.0
    );
    println!(
        "late starts    p50 {:.3} p99 {:.3} p99.9 {:.3} max {:.3} ms",
        value("late_start", "med"),
        value("late_start", "p(99)"),
        value("late_start", "p(99.9)"),
        value("late_start", "max"),
    );
    spread(&seen, begin, rate);
    let mut took: Vec<u64> = seen.iter().map(|(_, took)| *took).collect();
    took.sort_unstable();
    for (key, share) in [("med", 0.5), ("p(90)", 0.9), ("p(95)", 0.95), ("p(99)", 0.99)] {
        let truth = took[((took.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        let (told, raw) = (value("http_req_latency", key), value("http_req_duration", key));
        let off = (told / truth - 1.0) * 100.0;
        println!(
            "latency {key:<6} {told:.3} ms, truth {truth:.3} ({off:+.2} %), uncorrected {raw:.3}"
        );
    }
    println!(
        "dropped {}, generator {:.2} of a core, {:?}",
        value("dropped_iterations", "count"),
        totals.generator_cpu(),
        totals.warnings().iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    );
    Ok(())
}

/// How many requests arrived in each window, beside how many should have.
#[allow(clippy::print_stdout)]
fn spread(seen: &[(u64, u64)], begin: u64, rate: f64) {
    let windows = seen.last().map_or(0, |(arrived, _)| (arrived - begin) / WINDOW_US) as usize;
    let mut counts = vec![0_u64; windows + 1];
    for (arrived, _) in seen {
        counts[((arrived - begin) / WINDOW_US) as usize] += 1;
    }
    counts.truncate(windows);
    let expected = rate * WINDOW_US as f64 / 1e6;
    let mut off: Vec<f64> = counts.iter().map(|count| (*count as f64 - expected).abs()).collect();
    off.sort_by(f64::total_cmp);
    let at = |share: f64| off[((off.len().saturating_sub(1)) as f64 * share) as usize];
    println!(
        "in 10 ms       {expected} expected; off by p50 {:.1} p99 {:.1} p99.9 {:.1} max {:.1}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// What the target has written down since it was asked last: when each came, how long it took.
fn log(port: u16) -> Result<Vec<(u64, u64)>, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /log HTTP/1.1\r\nHost: target\r\n\r\n")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    Ok(lines.filter_map(|(at, took)| Some((at.parse().ok()?, took.parse().ok()?))).collect())
}
