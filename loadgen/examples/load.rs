//! The engine in a few lines: loads a URL, and prints each second and the metrics at the end.
//!
//! In: a URL, connections, seconds, threads, a rate for the open model (`-` for none), the version
//! of HTTP (`1.1` or `2`), exchanges at a time on each connection. Out: text.

use ebbtide_loadgen::scenario::protocol::{Connections, HttpVersion, Protocol};
use ebbtide_loadgen::{Engine, Pass, Plan, Quick};
use std::sync::Arc;
use std::time::Duration;

fn protocol(version: &str, in_flight: u32) -> Protocol {
    let http = if version == "2" { HttpVersion::Two } else { HttpVersion::One };
    let connections = if in_flight > 1 { Connections::Shared } else { Connections::Vu };
    Protocol { http, connections, in_flight }
}

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |place: usize, default: f64| -> f64 {
        arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let quick = Quick {
        url: arguments.get(1).cloned().unwrap_or_else(|| "http://127.0.0.1:8080/".to_owned()),
        connections: number(2, 64.0) as u32,
        duration: Duration::from_secs_f64(number(3, 5.0)),
        protocol: protocol(arguments.get(6).map_or("1.1", String::as_str), number(7, 1.0) as u32),
        rate: arguments.get(5).and_then(|text| text.parse().ok()),
        ..Quick::default()
    };
    let pass = Pass { threads: number(4, 1.0) as usize, ..Pass::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let mut engine = Engine::start(Arc::new(Plan::quick(&quick)?), pass)?;
        while let Some(interval) = engine.next().await {
            println!("{}", serde_json::to_string(&interval)?);
        }
        let totals = engine.finish().await;
        println!("{}", serde_json::to_string_pretty(&totals.so_far())?);
        for warning in totals.warnings() {
            println!("{}: {}", warning.code, warning.message);
        }
        Ok(())
    })
}
