//! What the census costs: nanoseconds of processor time per object created and dropped, on one
//! thread and on two.
//! In: nothing. Out: a line per case. Not a test: timings belong to the machine they ran on.
//! Run with `cargo run --release -p ebbtide-probe --example census_cost`.

use ebbtide_probe::{Kind, in_flight, track};
use rustix::time::{ClockId, clock_gettime};
use std::io::{self, Write};

/// Objects per thread: about a second each.
const OBJECTS: u32 = 50_000_000;

fn main() -> io::Result<()> {
    for threads in [1, 2] {
        let created = per_object(threads, || drop(track(Kind::Listener)));
        let flown = per_object(threads, || drop(in_flight()));
        writeln!(
            io::stdout(),
            "{threads} thread(s): track {created:.1} ns, in_flight {flown:.1} ns"
        )?;
    }
    Ok(())
}

fn per_object(threads: u32, work: fn()) -> f64 {
    let started = processor_ns();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..OBJECTS).for_each(|_| work()));
        }
    });
    (processor_ns() - started) as f64 / f64::from(OBJECTS) / f64::from(threads)
}

/// Processor time of all threads so far.
fn processor_ns() -> i64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
