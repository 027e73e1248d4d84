//! `cargo xtask bench dump`: what a dump under load does to requests under way. A server with few
//! stacks and with many (`probe/examples/many_stacks.rs`) on one core, four connections that ask
//! without a pause on another; windows with a dump and as long ones without take turns.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md`. The server's work is the
//! probe's; here is only looked at what its clients see.

use super::compare::GENERATOR_CORE;
use super::numbers::median;
use super::paper::circumstances;
use super::probe::SERVER_CORE;
use super::{Scratch, write_down};
use crate::{paths, process};
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Stacks of the two servers: a small program's, and a large service's.
const STACKS: [u32; 2] = [100, 16_384];
/// Large enough that few requests are sampled, small enough that each stack is.
const SAMPLE: &str = "65536";
/// As many as a core can keep busy.
const CONNECTIONS: usize = 4;
/// Between a window and the next, so that one does not reach into the other.
const REST: Duration = Duration::from_millis(200);
/// A dump that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// A wait for a reply that never comes.
const REPLY_WITHIN: Duration = Duration::from_secs(10);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// What the server answers with, whole.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Runs both servers, prints the table and writes it down.
///
/// # Errors
/// When the machine has fewer than two cores, or a server fails.
pub(crate) fn dump(words: &[&str]) -> Result<()> {
    let dumps = dumps(words)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        bail!("two cores are needed: one for the clients, one for the server");
    }
    println!("building the server, optimized");
    let words = ["build", "--release", "--quiet", "--package", "ebbtide-probe", "--example"];
    let mut build = Command::new("cargo");
    process::run(build.args(words).arg("many_stacks").current_dir(paths::root()))?;
    pin(&GENERATOR_CORE.to_string())?;
    let mut rows = Vec::new();
    for stacks in STACKS {
        rows.push(measure(stacks, dumps)?);
    }
    // What the paper says of the machine is what this process may use of it.
    pin(&format!("0-{}", cores - 1))?;
    write_down(&section(dumps, &rows)?)
}

/// Binds this process, and so its clients, to some cores.
fn pin(cores: &str) -> Result<()> {
    let own = std::process::id().to_string();
    process::run(Command::new("taskset").args(["-apc", cores, &own]).stdout(Stdio::null()))
}

/// How many dumps, from the words after `bench dump`.
fn dumps(words: &[&str]) -> Result<u32> {
    match words {
        [] => Ok(20),
        ["--dumps", value] => {
            Ok(value.parse::<u32>().with_context(|| format!("`--dumps {value}`"))?.max(1))
        }
        _ => bail!("unknown settings `{}`; --dumps", words.join(" ")),
    }
}

/// What was seen at one number of stacks.
#[derive(Debug, Default)]
struct Row {
    stacks: u32,
    requests: usize,
    failed: usize,
    /// Length of each window, milliseconds.
    lengths_ms: Vec<f64>,
    /// Longest wait for a reply in each window with a dump, milliseconds.
    with_ms: Vec<f64>,
    /// And in each without.
    without_ms: Vec<f64>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
struct Wait {
    asked: Instant,
    answered: Instant,
}

fn measure(stacks: u32, dumps: u32) -> Result<Row> {
    let scratch = Scratch::new(&format!("dump-{stacks}"))?;
    let server = Server::start(stacks, &scratch.path)?;
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let clients: Vec<JoinHandle<(Vec<Wait>, usize)>> = (0..CONNECTIONS)
        .map(|_| {
            let (stop, address) = (std::sync::Arc::clone(&stop), server.address.clone());
            std::thread::spawn(move || ask(&address, &stop))
        })
        .collect();
    std::thread::sleep(REST);
    let mut windows = Vec::new();
    for number in 1..=dumps as usize {
        let start = Instant::now();
        server.dump(number, &scratch.path)?;
        let end = Instant::now();
        std::thread::sleep(REST);
        let quiet = Instant::now();
        std::thread::sleep(end - start);
        windows.push(((start, end), (quiet, Instant::now())));
        std::thread::sleep(REST);
    }
    stop.store(true, Relaxed);
    let mut row = Row { stacks, ..Row::default() };
    let mut waits = Vec::new();
    for client in clients {
        let (seen, failed) = client.join().ok().context("a client panicked")?;
        row.requests += seen.len();
        row.failed += failed;
        waits.extend(seen);
    }
    for (with, without) in windows {
        row.lengths_ms.push(ms(with.1 - with.0));
        row.with_ms.push(longest(&waits, with));
        row.without_ms.push(longest(&waits, without));
    }
    println!("{row:?}");
    Ok(row)
}

/// Asks without a pause until it is told to stop: what was answered, and how many were not.
fn ask(address: &str, stop: &AtomicBool) -> (Vec<Wait>, usize) {
    let (mut waits, mut failed) = (Vec::new(), 0);
    let mut stream = None;
    while !stop.load(Relaxed) {
        let asked = Instant::now();
        match exchange(&mut stream, address) {
            Ok(()) => waits.push(Wait { asked, answered: Instant::now() }),
            Err(_) => {
                failed += 1;
                stream = None;
            }
        }
    }
    (waits, failed)
}

fn exchange(stream: &mut Option<TcpStream>, address: &str) -> Result<()> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let fresh = TcpStream::connect(address)?;
            fresh.set_nodelay(true)?;
            fresh.set_read_timeout(Some(REPLY_WITHIN))?;
            stream.insert(fresh)
        }
    };
    stream.write_all(REQUEST)?;
    let mut reply = [0; REPLY.len()];
    stream.read_exact(&mut reply)?;
    if reply != REPLY {
        bail!("another reply");
    }
    Ok(())
}

/// The longest wait that a window meets, milliseconds.
fn longest(waits: &[Wait], (start, end): (Instant, Instant)) -> f64 {
    let met = waits.iter().filter(|wait| wait.asked < end && wait.answered > start);
    met.map(|wait| ms(wait.answered - wait.asked)).fold(0.0, f64::max)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The server in a process of its own, pinned; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(stacks: u32, folder: &Path) -> Result<Server> {
        let program = paths::build_folder().join("release/examples/many_stacks");
        let mut child = Command::new("taskset")
            .arg("-c")
            .arg(SERVER_CORE.to_string())
            .arg(program)
            .arg(stacks.to_string())
            .env("EBBTIDE_SAMPLE", SAMPLE)
            .env("EBBTIDE_DIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the server could not be started")?;
        let mut line = String::new();
        let says = child.stdout.take().context("the server's stdout")?;
        BufReader::new(says).read_line(&mut line).context("the server's first line")?;
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            bail!("the server said `{}`", line.trim());
        };
        Ok(Server { address: address.to_owned(), child })
    }

    /// Asks for a dump and waits until it lies there whole: the sidecar is written last.
    fn dump(&self, number: usize, folder: &Path) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("process id")?;
        let pid = rustix::process::Pid::from_raw(pid).context("process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::USR2).context("SIGUSR2")?;
        let until = Instant::now() + PATIENCE;
        let name = format!("heapdump-{}-{number}-", self.child.id());
        loop {
            let files = std::fs::read_dir(folder)?.flatten().map(|entry| entry.file_name());
            let mut names = files.filter_map(|file| file.into_string().ok());
            if names.any(|file| file.starts_with(&name) && file.ends_with(".json")) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("no dump {number} after {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for, so that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn table(rows: &[Row]) -> Result<String> {
    let mut text = String::from(
        "| stacks | dumps | a dump takes | requests | failed | longest wait with a dump | without \
         | the dump's part |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let middle = |values: &[f64]| median(values).unwrap_or(f64::NAN);
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let (with, without) = (&row.with_ms, &row.without_ms);
        let parts: Vec<f64> = with.iter().zip(without).map(|(a, b)| a - b).collect();
        writeln!(
            text,
            "| {} | {} | {:.1} ms | {} | {} | {:.1} ms (most {:.1}) | {:.1} ms (most {:.1}) | \
             **{:+.1} ms** |",
            row.stacks,
            with.len(),
            middle(&row.lengths_ms),
            row.requests,
            row.failed,
            middle(with),
            most(with),
            middle(without),
            most(without),
            middle(&parts)
        )?;
    }
    Ok(text)
}

fn section(dumps: u32, rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "## The probe: a dump under load\n\n\
         Written by `cargo xtask bench dump`. A server whose heap has so many stacks \
         (`probe/examples/many_stacks.rs`, sampled at 2^16 bytes) on one core, so that the dump \
         takes time from it, and {CONNECTIONS} connections on another that ask without a pause; \
         each request allocates 16 objects. SIGUSR2 {dumps} times, with time between. A window \
         lasts from the signal until the file lies there whole; after each comes one as long \
         without a dump. The longest wait for a reply in each window: the median of all, the \
         longest of all, and the median of the differences. Failed are requests that were not \
         answered, or not with 200.\n\n"
    )?;
    text.push_str(&table(rows)?);
    text.push_str("\nMeasured with:\n\n");
    for line in circumstances([]) {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        assert_eq!(dumps(&[]).expect("settings"), 20);
        assert_eq!(dumps(&["--dumps", "3"]).expect("settings"), 3);
        for words in [&["--dumps"][..], &["--dumps", "many"], &["--pairs", "3"]] {
            assert!(dumps(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_window_meets_what_was_asked_before_it_and_answered_in_it() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let wait = |asked, answered| Wait { asked: at(asked), answered: at(answered) };
        let waits = [wait(0, 8), wait(9, 14), wait(15, 18), wait(30, 90)];
        assert_eq!(longest(&waits, (at(10), at(20))), 5.0);
        assert_eq!(longest(&waits, (at(10), at(31))), 60.0);
        assert_eq!(longest(&waits, (at(20), at(25))), 0.0);
    }

    #[test]
    fn the_table_has_medians_and_the_longest() {
        let row = Row {
            stacks: 100,
            requests: 5_000,
            lengths_ms: vec![3.0, 4.0, 5.0],
            with_ms: vec![2.0, 4.0, 9.0],
            without_ms: vec![1.0, 1.5, 3.0],
            ..Row::default()
        };
        let text = table(&[row]).expect("a table");
        let line = "| 100 | 3 | 4.0 ms | 5000 | 0 | 4.0 ms (most 9.0) \
                    | 1.5 ms (most 3.0) | **+2.5 ms** |";
        assert!(text.contains(line), "{text}");
    }
}
