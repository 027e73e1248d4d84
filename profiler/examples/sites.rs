//! Reads snapshots and prints their sites with the time each step took; of two or more, the
//! difference of the first and the last as well. `cargo run --release -p ebbtide-profiler
//! --example sites -- FILE...`

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use ebbtide_profiler::{Folded, SiteRules, Symbolizer, diff, parse, site};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut symbolizer = Symbolizer::new();
    let mut folded: Vec<Folded> = Vec::new();
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let start = Instant::now();
        let profile = parse::read(&bytes)?;
        let read = start.elapsed();
        let symbols = symbolizer.resolve(&profile);
        let named = start.elapsed();
        let sites = site::fold(&profile, &symbols, &SiteRules::default());
        let all = start.elapsed();
        println!(
            "{path}: {} stacks, {} locations; read {read:.1?}, names {:.1?}, fold {:.1?}",
            profile.stacks.len(),
            profile.locations.len(),
            named - read,
            all - named
        );
        folded.push(sites);
    }
    if let Some(last) = folded.last() {
        print_sites(last);
    }
    if let [first, .., last] = folded.as_slice() {
        for row in diff::diff(first, last).rows.iter().take(10) {
            println!(
                "{:+14.0} [{:+.0}, {:+.0}] {} {}:{}",
                row.bytes.value, row.bytes.low, row.bytes.high, row.function, row.file, row.line
            );
        }
    }
    Ok(())
}

fn print_sites(folded: &Folded) {
    println!("live {:.0} bytes, every {:.0}", folded.live_bytes, folded.interval_bytes);
    for note in &folded.notes {
        println!("note: {note}");
    }
    for site in folded.sites.iter().take(40) {
        let total = site.total();
        println!(
            "{:12.0} {:10.1} {:10} {} {} {}:{} ({} stacks)",
            total.live_bytes,
            total.live_objects.unwrap_or(f64::NAN),
            site.kind.key(),
            if site.own { "own" } else { "   " },
            site.function,
            site.file,
            site.line,
            site.cells.len()
        );
    }
    for site in folded.sites.iter().take(3) {
        println!("--- {}", site.function);
        for frame in &site.stack {
            let mark = if frame.own { "*" } else { " " };
            println!("  {mark} {} {}:{}", frame.function, frame.file, frame.line);
        }
    }
}
