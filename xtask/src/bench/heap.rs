//! `cargo xtask bench heap` and `bench pprof`: snapshots read and compared by the profiler beside
//! the crate `v8-heap-parser` and Node's own `JSON.parse`, and beside `go tool pprof`, one process
//! after the other on one core.
//!
//! Comes in: settings. Goes out: a section of `docs/benchmarks.md` each. Node makes the heaps, two
//! large ones of one process and a small one that everybody can load; the profiler's example
//! `pprof_speed` makes the pprof files.

use super::numbers::median;
use super::paper::circumstances;
use super::{Scratch, write_down};
use crate::paths;
use crate::process::{self, Usage};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The core on which everything is measured.
const CORE: &str = "1";

/// Version of the crate that is compared with.
const PARSER: &str = "1.1.0";

/// Objects of the small file, as a part of the large one's: below the 512 MiB that a string of
/// Node may have.
const SMALL: u64 = 5;

/// Objects with a string of their own each, an array and another object; then a twentieth of them
/// deleted and twice as many made.
const MAKER: &str = r"
const v8 = require('v8');
class Session {
  constructor(id) {
    this.id = id;
    this.token = ('session ' + id + ' ').padEnd(120, 'x' + id);
    this.seen = [id, id + 1, id + 2];
    this.meta = { a: id, b: this.seen, c: null };
  }
}
const [count, first, second] = process.argv.slice(1);
const sessions = new Map();
for (let id = 0; id < +count; id++) sessions.set(id, new Session(id));
globalThis.sessions = sessions;
v8.writeHeapSnapshot(first);
if (second) {
  for (let id = 0; id < +count / 20; id++) {
    sessions.delete(id);
    sessions.set(+count + id, new Session(+count + id));
    sessions.set(2 * +count + id, new Session(id));
  }
  v8.writeHeapSnapshot(second);
}
";

/// What Node can do by itself.
const PARSE: &str = "JSON.parse(require('fs').readFileSync(process.argv[1], 'utf8')).nodes.length";

/// The peer's crate in a program of its own.
const PEER: &str = r#"fn main() {
    let words: Vec<String> = std::env::args().collect();
    let file = std::fs::File::open(&words[1]).unwrap();
    let graph = v8_heap_parser::decode_reader(std::io::BufReader::new(file)).unwrap();
    if words.len() > 2 {
        println!("{}", graph.get_class_groups(false).len());
    }
    println!("{}", graph.nodes().len());
}
"#;

/// What the benches are told by their user.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Settings {
    /// Objects in the large snapshots; a million make a file of a gigabyte.
    objects: u64,
    /// Runs of each, of which the median is told.
    runs: u32,
    /// Where the snapshots are, or are kept for the next time; otherwise they are deleted.
    folder: Option<PathBuf>,
}

impl Settings {
    /// From the words after `bench heap`: pairs of a name and a value.
    fn read(words: &[&str], runs: u32) -> Result<Settings> {
        let mut settings = Settings { objects: 1_000_000, runs, folder: None };
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair[0]) };
            let number = || value.parse::<u64>().with_context(|| format!("`{name} {value}`"));
            match *name {
                "--objects" => settings.objects = number()?.max(1),
                "--runs" => settings.runs = u32::try_from(number()?.max(1)).unwrap_or(u32::MAX),
                "--folder" => settings.folder = Some(PathBuf::from(value)),
                _ => bail!("unknown setting `{name}`; --objects, --runs, --folder"),
            }
        }
        Ok(settings)
    }

    /// The folder of the files, and what deletes it where it was not named.
    fn place(&self, name: &str) -> Result<(PathBuf, Option<Scratch>)> {
        if let Some(folder) = &self.folder {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            return Ok((folder.clone(), None));
        }
        let scratch = Scratch::new(name)?;
        Ok((scratch.path.clone(), Some(scratch)))
    }
}

/// Makes V8 heaps, measures, prints the table and writes it down.
///
/// # Errors
/// When Node is missing, there is no room for the snapshots, or a program of ours fails. A peer
/// that cannot load a file is a line of the table.
pub(crate) fn heap(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words, 3)?;
    find(&[TASKSET, NODE])?;
    println!("building the example and the peer, optimized");
    build_example("heap")?;
    build_peer()?;
    let (folder, _scratch) = settings.place("heap")?;
    let files = make(&settings, &folder)?;
    let rows = table(&settings, heap_programs(&files))?;
    write_down(&heap_section(&settings, &files, &rows)?)
}

/// Makes pprof files, measures, prints the table and writes it down.
///
/// # Errors
/// When Go is missing, or a program of ours fails.
pub(crate) fn pprof(words: &[&str]) -> Result<()> {
    let settings = Settings::read(words, 9)?;
    find(&[TASKSET, GO])?;
    println!("building the example, optimized");
    build_example("pprof_speed")?;
    let (folder, _scratch) = settings.place("pprof")?;
    let example = example("pprof_speed");
    process::run(Command::new(&example).arg("--write").arg(&folder).stdout(Stdio::null()))?;
    let files = ["before.pb.gz", "after.pb.gz"].map(|name| folder.join(name));
    let rows = table(&settings, pprof_programs(&files))?;
    let mut inside = on_core(&example, &[]);
    let output = inside.args(&files).output().context("pprof_speed")?;
    let inside = String::from_utf8_lossy(&output.stdout).trim_end().replace('\n', "\n    ");
    write_down(&pprof_section(&settings, &rows, &inside)?)
}

/// A program that a bench cannot do without, and where it comes from.
type Needed = (&'static str, &'static str);

const TASKSET: Needed = ("taskset", "Debian: apt-get install util-linux");
const NODE: Needed = ("node", "Node 20 or later; Debian: apt-get install nodejs");
const GO: Needed = ("go", "Debian: apt-get install golang-go");

/// Says which of them are missing, and what to install.
fn find(programs: &[Needed]) -> Result<()> {
    let missing: Vec<String> = programs
        .iter()
        .filter(|(program, _)| paths::find_program(program).is_none())
        .map(|(program, hint)| format!("`{program}` is missing; {hint}"))
        .collect();
    if missing.is_empty() { Ok(()) } else { bail!(missing.join("; ")) }
}

/// The snapshots: before, after, small.
type Files = [PathBuf; 3];

/// Makes those that are not there.
fn make(settings: &Settings, folder: &Path) -> Result<Files> {
    let files =
        ["before", "after", "small"].map(|name| folder.join(format!("{name}.heapsnapshot")));
    let [before, after, small] = &files;
    let node = |count: u64, files: &[&PathBuf]| {
        if files.iter().all(|file| file.is_file()) {
            return Ok(());
        }
        println!("Node makes {} snapshots of {count} objects (some minutes)", files.len());
        let mut command = Command::new("node");
        command.args(["--max-old-space-size=8000", "-e", MAKER, &count.to_string()]).args(files);
        process::run(command.stdout(Stdio::null()))
    };
    node(settings.objects, &[before, after])?;
    node((settings.objects / SMALL).max(1), &[small])?;
    Ok(files)
}

fn build_example(name: &str) -> Result<()> {
    let words =
        ["build", "--release", "--quiet", "--package", "ebbtide-profiler", "--example", name];
    process::run(Command::new("cargo").args(words).current_dir(paths::root()))
}

fn example(name: &str) -> PathBuf {
    paths::build_folder().join("release").join("examples").join(name)
}

fn build_peer() -> Result<()> {
    let tools = paths::build_folder().join("tools-build");
    let folder = tools.join("v8-heap-parser-bench");
    std::fs::create_dir_all(folder.join("src")).with_context(|| folder.display().to_string())?;
    let manifest = format!(
        "[package]\nname = \"v8-heap-parser-bench\"\nversion = \"0.0.0\"\n\
         edition = \"2024\"\n\n[dependencies]\nv8-heap-parser = \"={PARSER}\"\n\n[workspace]\n"
    );
    for (name, text) in [("Cargo.toml", manifest.as_str()), ("src/main.rs", PEER)] {
        std::fs::write(folder.join(name), text).with_context(|| name.to_owned())?;
    }
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--quiet", "--manifest-path"]);
    process::run(command.arg(folder.join("Cargo.toml")).env("CARGO_TARGET_DIR", tools))
}

/// What is measured.
struct Program {
    what: &'static str,
    who: &'static str,
    command: Command,
    /// What it reads.
    files: Vec<PathBuf>,
}

fn on_core(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", CORE]).arg(program).args(words);
    command
}

fn heap_programs(files: &Files) -> Vec<Program> {
    let [before, after, small] = files;
    let (ours, node) = (example("heap"), Path::new("node"));
    let peer = paths::build_folder().join("tools-build/release/v8-heap-parser-bench");
    let mut all = Vec::new();
    let mut add = |what, who, mut command: Command, files: &[&PathBuf], words: &[&str]| {
        command.args(files).args(words);
        let files = files.iter().map(|file| (*file).clone()).collect();
        all.push(Program { what, who, command, files });
    };
    for (what, file) in [("read, small", small), ("read", before)] {
        add(what, "ebbtide", on_core(&ours, &["--read"]), &[file], &[]);
        add(what, "v8-heap-parser", on_core(&peer, &[]), &[file], &[]);
        let words = ["--max-old-space-size=12000", "-e", PARSE];
        add(what, "JSON.parse", on_core(node, &words), &[file], &[]);
    }
    let classes = "classes with retained sizes, small";
    add(classes, "ebbtide", on_core(&ours, &[]), &[small], &[]);
    add(classes, "v8-heap-parser", on_core(&peer, &[]), &[small], &["classes"]);
    add("classes with retained sizes", "ebbtide", on_core(&ours, &[]), &[before], &[]);
    add("diff of two", "ebbtide", on_core(&ours, &[]), &[before, after], &[]);
    all
}

fn pprof_programs(files: &[PathBuf; 2]) -> Vec<Program> {
    let ours = example("pprof_speed");
    let [before, after] = files;
    let go = |base: &[&std::ffi::OsStr]| {
        let mut command = on_core(Path::new("go"), &["tool", "pprof", "-top"]);
        command.args(["-sample_index=inuse_space", "-symbolize=none"]).args(base);
        command
    };
    let program = |what, who, mut command: Command, files: &[&PathBuf]| {
        command.args(files);
        Program { what, who, command, files: files.iter().map(|file| (*file).clone()).collect() }
    };
    let mut compared = program("diff of two", "go tool pprof -top -base", go(&[]), &[]);
    compared.command.arg("-base").args(files);
    compared.files = files.to_vec();
    vec![
        program("read and fold", "ebbtide", on_core(&ours, &["--once"]), &[before]),
        program("read and fold", "go tool pprof -top", go(&[]), &[before]),
        program("diff of two", "ebbtide", on_core(&ours, &["--once"]), &[before, after]),
        compared,
    ]
}

/// One program, run so often.
#[derive(Clone, Copy)]
struct Measured {
    wall_s: f64,
    cpu_s: f64,
    peak_bytes: f64,
}

/// Medians; none when the program could not do it.
fn measure(command: &mut Command, runs: u32) -> Result<Option<Measured>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut walls, mut cpus, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let started = Instant::now();
        let Ok(Usage { cpu, peak_bytes }) = process::usage(command) else { return Ok(None) };
        walls.push(started.elapsed().as_secs_f64());
        cpus.push(cpu.as_secs_f64());
        peaks.push(peak_bytes as f64);
    }
    let middle = |values: &[f64]| median(values).context("nothing was measured");
    Ok(Some(Measured {
        wall_s: middle(&walls)?,
        cpu_s: middle(&cpus)?,
        peak_bytes: middle(&peaks)?,
    }))
}

/// Runs all, and writes a line for each; each peer's comes behind ours of the same name.
fn table(settings: &Settings, programs: Vec<Program>) -> Result<String> {
    let mut rows = String::new();
    let mut ours = None;
    for mut program in programs {
        println!("{}: {}", program.what, program.who);
        let measured = measure(&mut program.command, settings.runs)?;
        if program.who == "ebbtide" {
            let of_ours = measured.context("the example failed")?;
            ours = Some(of_ours.cpu_s);
        }
        rows.push_str(&row(&program, measured, ours)?);
    }
    Ok(rows)
}

fn row(program: &Program, measured: Option<Measured>, ours: Option<f64>) -> Result<String> {
    let Program { what, who, files, .. } = program;
    let bytes: u64 = files.iter().map(|file| Ok(file.metadata()?.len())).sum::<Result<u64>>()?;
    let megabytes = bytes as f64 / 1e6;
    let Some(Measured { wall_s, cpu_s, peak_bytes }) = measured else {
        return Ok(format!(
            "| {what} | {who} | {megabytes:.1} MB | cannot load it | - | - | - | - |\n"
        ));
    };
    let ratio = ours.map_or(f64::NAN, |ours| ours / cpu_s);
    Ok(format!(
        "| {what} | {who} | {megabytes:.1} MB | {cpu_s:.3} s | {ratio:.2} | {:.0} MB/s \
         | {wall_s:.2} s | {:.2} |\n",
        megabytes / cpu_s,
        peak_bytes / bytes as f64
    ))
}

/// The heads of the tables.
const HEAD: &str = "| what | who | files | CPU | CPU, ebbtide / this | rate | wall clock \
    | peak memory / files |\n|---|---|---|---|---|---|---|---|\n";

fn heap_section(settings: &Settings, files: &Files, rows: &str) -> Result<String> {
    let size = |file: &PathBuf| Ok::<f64, anyhow::Error>(file.metadata()?.len() as f64 / 1e6);
    let mut text = String::new();
    write!(
        text,
        "## V8 heap snapshots beside peers\n\n\
         Written by `cargo xtask bench heap`. Two snapshots of one Node process with {} objects \
         ({:.0} and {:.0} MB; a twentieth of the objects deleted in between and twice as many \
         made), and a small one of {:.0} MB. `ebbtide` is the profiler in its example `heap`, with \
         the allocator of `ebb`. Everything on one core, one program at a time, the median of {} \
         runs. CPU is user and system time of the whole process, and the rate that of CPU time; \
         wall-clock time tells how much others used the core meanwhile. Peak memory is the largest \
         resident set as a multiple of the files read. Goals: reading at 300 MB/s or better, a \
         peak below 1.5, a diff below 10 s.\n\n{HEAD}{rows}\nMeasured with:\n\n",
        settings.objects,
        size(&files[0])?,
        size(&files[1])?,
        size(&files[2])?,
        settings.runs
    )?;
    let peer = format!("v8-heap-parser {PARSER}");
    add_versions(&mut text, [peer, format!("Node {}", process::version_line("node", "--version"))]);
    Ok(text)
}

fn pprof_section(settings: &Settings, rows: &str, inside: &str) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "## pprof beside `go tool pprof`\n\n\
         Written by `cargo xtask bench pprof`. Two profiles of 16,384 stacks of 30 frames with \
         names inside, as Go writes them. `ebbtide` is the profiler in its example `pprof_speed`: \
         unpacked, read, folded to sites, compared. Everything on one core, one program at a time, \
         the median of {} runs of the whole process, its start included. jeprof reads no such \
         files. Goal: below 20 ms for the diff of two, once the process has started.\n\n\
         {HEAD}{rows}\nInside the process, CPU time of each step for both files:\n\n    \
         {inside}\n\n\
         Measured with:\n\n",
        settings.runs
    )?;
    add_versions(&mut text, [process::version_line("go", "version")]);
    Ok(text)
}

fn add_versions(text: &mut String, versions: impl IntoIterator<Item = String>) {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short", "HEAD"]).current_dir(paths::root());
    let revision = git.output().ok().filter(|output| output.status.success());
    let revision = revision.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let ours = format!("ebbtide at revision {}", revision.as_deref().unwrap_or("unknown"));
    for line in circumstances([ours].into_iter().chain(versions)) {
        text.push_str(&format!("- {line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_faults_named() {
        let settings = Settings::read(&["--objects", "5", "--folder", "/a"], 3).expect("settings");
        assert_eq!((settings.objects, settings.runs), (5, 3));
        assert_eq!(settings.folder, Some(PathBuf::from("/a")));
        for (words, fault) in [
            (&["--runs"][..], "`--runs` wants a value"),
            (&["--runs", "many"], "`--runs many`"),
            (&["--speed", "1"], "unknown setting `--speed`"),
        ] {
            let error = format!("{:#}", Settings::read(words, 3).expect_err("a fault"));
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn a_row_has_rate_ratio_and_peak_or_says_that_it_cannot() {
        let folder = Scratch::new("heap-row").expect("a folder");
        let file = folder.path.join("a");
        std::fs::write(&file, vec![0; 2_000_000]).expect("a file");
        let command = Command::new("true");
        let program = Program { what: "read", who: "peer", command, files: vec![file] };
        let measured = Measured { wall_s: 0.2, cpu_s: 0.01, peak_bytes: 3e6 };
        assert_eq!(
            row(&program, Some(measured), Some(0.005)).expect("a row"),
            "| read | peer | 2.0 MB | 0.010 s | 0.50 | 200 MB/s | 0.20 s | 1.50 |\n"
        );
        let none = row(&program, None, Some(0.005)).expect("a row");
        assert!(none.contains("cannot load it"), "{none}");
    }
}
