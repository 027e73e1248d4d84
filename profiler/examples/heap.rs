//! What a V8 heap snapshot amounts to, and what reading it costs; with two, what changed.
//!
//! In: one or two `.heapsnapshot` files; with `--read` before them they are read and that is all.
//! Out: times, memory, and the largest rows.

use ebbtide_profiler::v8::{Classes, Dominators, Heap, compare};
use std::fs::File;
use std::time::Instant;

/// The allocator of `ebb`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROWS: usize = 12;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    let read_only = files.first().is_some_and(|word| word == "--read");
    files.drain(..usize::from(read_only));
    let mut heaps = Vec::new();
    for file in &files {
        let begin = Instant::now();
        let heap = Heap::read(File::open(file)?)?;
        let bytes = std::fs::metadata(file)?.len() as f64;
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "{file}: {} nodes, {} edges, {} strings; {:.0} MB/s",
            heap.len(),
            heap.edge_kinds.len(),
            heap.strings.len(),
            bytes / 1e6 / seconds
        );
        heaps.push(heap);
    }
    let begin = Instant::now();
    if read_only {
        std::hint::black_box(&heaps);
    } else if let [before, after] = heaps.as_slice() {
        for change in compare(before, after).iter().take(ROWS) {
            println!(
                "{:>+9} {:>+12} B {:>+14} B kept  {}",
                change.delta(),
                change.size_delta,
                change.retained_delta,
                change.name
            );
            for path in &change.held_by {
                let path: Vec<String> = path.iter().map(ToString::to_string).collect();
                println!("            {}", path.join(" -> "));
            }
        }
    } else if let Some(heap) = heaps.first() {
        let classes = Classes::of(heap, &Dominators::of(heap));
        for row in classes.rows.iter().take(ROWS) {
            println!(
                "{:>9} {:>12} B {:>12} B kept  {}",
                row.count, row.size, row.retained, row.name
            );
        }
    }
    println!("{:.2} s", begin.elapsed().as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    Ok(())
}
