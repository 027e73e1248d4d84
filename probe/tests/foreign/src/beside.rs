//! A program that uses `jemalloc_pprof` by itself, beside the probe: what both of them say about
//! one heap and one memory map can be compared.
//! In: the probe's variables. Out: one line each `active`, `interval`, `dump` (bytes live by the
//! library's raw dump), `snapshot` (path), `segment` (start, end, offset, build-id), `active`.

use std::error::Error;
use std::io::Read;

#[global_allocator]
static ALLOCATOR: ebbtide_probe::Allocator = ebbtide_probe::Allocator;

fn main() -> Result<(), Box<dyn Error>> {
    let probe = ebbtide_probe::start()?;
    let control = jemalloc_pprof::PROF_CTL.as_ref().ok_or("the library sees no profiler")?;
    let held = control.try_lock()?;
    println!("active {}", held.activated());
    println!("interval {}", 1u64 << held.lg_sample());
    drop(held);

    let kept = std::hint::black_box(vec![1u8; 40_000_000]);
    let mut text = String::new();
    control.try_lock()?.dump()?.read_to_string(&mut text)?;
    // The header's second line: `t*: objects: bytes [...]`.
    let live = text.lines().nth(1).and_then(|line| line.split_ascii_whitespace().nth(2));
    println!("dump {}", live.ok_or("the dump has no total")?);
    println!("snapshot {}", probe.snapshot()?.display());
    for segment in mappings::MAPPINGS.as_deref().ok_or("the library sees no mappings")? {
        let id = segment.build_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let (start, end) = (segment.memory_start, segment.memory_end);
        println!("segment {start} {end} {} {id}", segment.file_offset);
    }
    drop((kept, probe));
    println!("active {}", control.try_lock()?.activated());
    Ok(())
}
