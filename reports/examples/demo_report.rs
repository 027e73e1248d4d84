//! Writes the HTML report of a recorded run, or of one of the runs made by hand for the tests:
//! `cargo run -p ebbtide-reports --example demo_report -- OUT.html [RUN]`, where RUN is `leak`
//! (when left out), `clean`, `killed`, `load`, `hostile`, or the path of an `events.ndjson`.

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
