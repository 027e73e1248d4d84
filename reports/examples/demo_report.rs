//! Writes the report of a recorded run, or of a run made by hand when no log is named:
//! `cargo run -p ebbtide-reports --example demo_report -- OUT.html [leak|clean|killed|load|hostile|EVENTS.ndjson]`.

#![allow(clippy::print_stdout, reason = "an example")]

#[path = "../tests/runs/mod.rs"]
mod runs;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let out = words.next().ok_or("name the file to write")?;
    let events = match words.next().as_deref() {
        None | Some("leak") => runs::leak(),
        Some("clean") => runs::clean(),
        Some("killed") => runs::killed(),
        Some("load") => runs::load_only(),
        Some("hostile") => runs::hostile(),
        Some(log) => std::fs::read_to_string(log)?
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
    };
    let page = ebbtide_reports::html::render(&runs::state(&events));
    std::fs::write(&out, &page)?;
    println!("{out}: {} bytes", page.len());
    Ok(())
}
