//! How long two heap profiles take from bytes to a difference: unpacked, read, named, folded to
//! sites, compared. Without arguments two profiles are made up, 16,384 stacks of 30 frames with
//! names inside, as Go writes them; with `--write DIR` they are left there for other tools. With
//! two files those are taken; addresses without names cost their symbols once, in the first run.
//! With `--once` before them everything is done once and not timed: for who times the process.
//!
//! `cargo run --release -p ebbtide-profiler --example pprof_speed -- [--write DIR | FILE FILE]`

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use ebbtide_profiler::{SiteRules, Symbolizer, diff, parse, site};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

/// The allocator of `ebb`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Stacks of a profile: as many as the requirement names.
const STACKS: u64 = 16_384;
/// Frames of a stack, on the average.
const FRAMES: u64 = 30;
/// Places in code; a service of middle size shows some thousands.
const LOCATIONS: u64 = 6_000;
/// Functions that those are in.
const FUNCTIONS: u64 = 2_500;
/// Times that everything is done; the first one is told apart.
const RUNS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let files = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => [written(1)?, written(2)?],
        ["--once", ref files @ ..] => return once(files),
        ["--write", folder] => {
            let files = [written(1)?, written(2)?];
            for (file, name) in files.iter().zip(["before.pb.gz", "after.pb.gz"]) {
                std::fs::write(std::path::Path::new(folder).join(name), file)?;
            }
            files
        }
        [before, after] => [std::fs::read(before)?, std::fs::read(after)?],
        _ => return Err("two files, `--write DIR`, or nothing".into()),
    };
    let mut symbolizer = Symbolizer::new();
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(run(&files, &mut symbolizer)?);
    }
    let profile = parse::read(&files[0])?;
    println!(
        "{} stacks, {} locations, {} and {} bytes packed",
        profile.stacks.len(),
        profile.locations.len(),
        files[0].len(),
        files[1].len()
    );
    println!("           read x2    names x2     fold x2        diff       total");
    print_row("first", &runs[0]);
    let mut rest = runs.split_off(1);
    rest.sort_by_key(|run| run.iter().sum::<Duration>());
    print_row("median", &rest[rest.len() / 2]);
    print_row("best", &rest[0]);
    let mut walls: Vec<Duration> = (0..RUNS).map(|_| side_by_side(&files)).collect();
    walls.sort();
    println!(
        "a thread for each file, by the clock: median {:.2} ms, best {:.2} ms",
        walls[RUNS / 2].as_secs_f64() * 1_000.0,
        walls[0].as_secs_f64() * 1_000.0
    );
    Ok(())
}

/// Reads and folds one or two files, and compares two.
fn once(files: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let mut symbolizer = Symbolizer::new();
    let mut folded = Vec::new();
    for file in files {
        let profile = parse::read(&std::fs::read(file)?)?;
        let symbols = symbolizer.resolve(&profile);
        folded.push(site::fold(&profile, &symbols, &SiteRules::default()));
    }
    println!("{} sites", folded.first().map_or(0, |folded| folded.sites.len()));
    if let [before, after] = folded.as_slice() {
        println!("{} rows", diff::diff(before, after).rows.len());
    }
    Ok(())
}

/// Both files at once; the time on the wall.
fn side_by_side(files: &[Vec<u8>; 2]) -> Duration {
    let fold = |file: &[u8]| {
        let profile = parse::read(file).expect("it was read before");
        let symbols = Symbolizer::new().resolve(&profile);
        site::fold(&profile, &symbols, &SiteRules::default())
    };
    let begin = std::time::Instant::now();
    let (before, after) = std::thread::scope(|scope| {
        let before = scope.spawn(|| fold(&files[0]));
        let after = fold(&files[1]);
        (before.join().expect("it folds"), after)
    });
    std::hint::black_box(diff::diff(&before, &after));
    begin.elapsed()
}

/// Both files, one after the other, from bytes to a difference: the time of each step.
fn run(
    files: &[Vec<u8>; 2],
    symbolizer: &mut Symbolizer,
) -> Result<[Duration; 4], Box<dyn std::error::Error>> {
    let mut times = [Duration::ZERO; 4];
    let mut last = now();
    let mut step = |at: usize| {
        let time = now();
        times[at] += time - std::mem::replace(&mut last, time);
    };
    let mut folded = Vec::new();
    for file in files {
        let profile = parse::read(file)?;
        step(0);
        let symbols = symbolizer.resolve(&profile);
        step(1);
        folded.push(site::fold(&profile, &symbols, &SiteRules::default()));
        step(2);
        drop((profile, symbols));
        step(0);
    }
    std::hint::black_box(diff::diff(&folded[0], &folded[1]));
    step(3);
    Ok(times)
}

/// CPU time of this thread.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn print_row(name: &str, run: &[Duration; 4]) {
    let ms = |time: Duration| format!("{:9.2} ms", time.as_secs_f64() * 1_000.0);
    let total = ms(run.iter().sum());
    let steps: Vec<String> = run.iter().map(|step| ms(*step)).collect();
    println!("{name:6} {} {total}", steps.join(""));
}

/// A made-up profile; stacks are the same for each seed, values are not.
fn written(seed: u64) -> std::io::Result<Vec<u8>> {
    let mut strings = Strings::default();
    let mut message = Vec::new();
    strings.id("");
    let columns = [("alloc_objects", "count"), ("alloc_space", "bytes")]
        .into_iter()
        .chain([("inuse_objects", "count"), ("inuse_space", "bytes")]);
    for (kind, unit) in columns {
        field(&mut message, 1, &numbers(&[(1, strings.id(kind)), (2, strings.id(unit))]));
    }
    let mut used = BTreeSet::new();
    let mut dice = Dice(7);
    let mut values = Dice(seed);
    for stack in 0..STACKS {
        sample(&mut message, stack, &mut dice, &mut values, &mut used);
    }
    field(&mut message, 3, &numbers(&[(1, 1), (2, 0x40_0000), (3, 0x200_0000), (7, 1)]));
    for location in used {
        let place = Dice(location).next();
        let mut text = numbers(&[(1, location), (2, 1), (3, 0x40_0000 + location * 16)]);
        // Every third call has an inlined one inside.
        for inlined in 0..=u64::from(place.is_multiple_of(3)) {
            let line = numbers(&[(1, 1 + (place + inlined) % FUNCTIONS), (2, 10 + place % 900)]);
            field(&mut text, 4, &line);
        }
        field(&mut message, 4, &text);
    }
    for function in 1..=FUNCTIONS {
        let (name, file) = names(function);
        let (name, file) = (strings.id(&name), strings.id(&file));
        field(&mut message, 5, &numbers(&[(1, function), (2, name), (3, name), (4, file)]));
    }
    let space = numbers(&[(1, strings.id("space")), (2, strings.id("bytes"))]);
    field(&mut message, 11, &space);
    message.extend(numbers(&[(12, 512 * 1_024)]));
    for text in &strings.0 {
        field(&mut message, 6, text.as_bytes());
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&message)?;
    packed.finish()
}

/// One stack: a path down a tree whose branches are drawn by its number.
fn sample(
    message: &mut Vec<u8>,
    stack: u64,
    dice: &mut Dice,
    values: &mut Dice,
    used: &mut BTreeSet<u64>,
) {
    let depth = FRAMES - 8 + dice.next() % 17;
    let mut path = Vec::new();
    let mut at = 1;
    for level in 0..depth {
        // Few branches near the root, many at the leaves, as in call trees.
        let branch = if level < 10 { stack % 4 } else { (stack >> (level % 14)) % 16 };
        at = Dice(at * 31 + branch + level).next() % LOCATIONS + 1;
        path.push(at);
    }
    path.reverse();
    used.extend(&path);
    let size = 16 << (dice.next() % 9);
    let live = values.next() % 200;
    let ever = 200 + live + values.next() % 200;
    let mut ids = Vec::new();
    path.iter().for_each(|id| varint(&mut ids, *id));
    let mut columns = Vec::new();
    [ever, ever * size, live, live * size].iter().for_each(|value| varint(&mut columns, *value));
    let mut text = Vec::new();
    field(&mut text, 1, &ids);
    field(&mut text, 2, &columns);
    field(message, 2, &text);
}

/// Function and file as a Go program has them: its own, its modules', the language's.
fn names(function: u64) -> (String, String) {
    match function % 5 {
        0 => (
            format!("main.(*Server{}).handle{function}.func1", function % 40),
            format!("/home/dev/shop/server/handler{}.go", function % 60),
        ),
        1 | 2 => (
            format!("github.com/some/library{}.(*Client).Call{function}", function % 30),
            format!("/home/dev/go/pkg/mod/github.com/some/library{}@v1.2.3/c.go", function % 30),
        ),
        3 => (
            format!("net/http.(*conn).serve{function}"),
            format!("/usr/lib/go/src/net/http/server{}.go", function % 20),
        ),
        _ => (
            format!("runtime.schedule{function}"),
            format!("/usr/lib/go/src/runtime/proc{}.go", function % 20),
        ),
    }
}

/// The string table.
#[derive(Default)]
struct Strings(Vec<String>);

impl Strings {
    fn id(&mut self, text: &str) -> u64 {
        let found = self.0.iter().position(|known| known == text);
        found.unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        }) as u64
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Number fields, one after the other.
fn numbers(fields: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, value) in fields {
        varint(&mut out, tag << 3);
        varint(&mut out, *value);
    }
    out
}

/// A field that holds bytes.
fn field(out: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    varint(out, tag << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Numbers that follow from a seed (splitmix64, Steele 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
