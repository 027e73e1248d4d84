//! `ebb dump TARGET`: a heap snapshot now. In: a pid, or the URL of a heap profile. Out: the path
//! of a file. A process that would die of the signal is left alone.
//! How a target is asked is left to `profiler`; what a snapshot says, to `diff` and `leaks`.

use super::on_runtime;
use crate::failure::Failure;
use crate::interrupt::Signals;
use crate::output::Output;
use clap::Args;
use ebbtide_profiler::source::{Fetched, Target};
use ebbtide_reports::figures;
use ebbtide_rounds::exit;
use ebbtide_rounds::journal::unix_ms;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Rights of a file of a heap.
const OWNER_ONLY: u32 = 0o600;

/// The arguments of `ebb dump`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb dump 4711                             a process with the probe inside
  ebb dump http://127.0.0.1:6060            a Go service with pprof, or any like it
  ebb dump 4712 -o before.heapsnapshot      a Node process as it is: its whole heap, while it stands
  ebb dump ws://127.0.0.1:9229              the same where the inspector is open
A process that does not handle the signal is never sent it.")]
pub(crate) struct Dump {
    /// Process id, or URL
    target: String,
    /// File to write to, or folder to put it in [default: where the target put it]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Let the allocator give back what it holds unused first
    #[arg(long)]
    purge: bool,
    /// Ask by SIGUSR2 even where the target listens
    #[arg(long)]
    signal: bool,
    /// Print path and totals as one JSON document
    #[arg(long)]
    json: bool,
}

impl Dump {
    /// Takes the snapshot and prints where it is.
    ///
    /// # Errors
    ///
    /// Why it could not be had.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let target = target(&self.target)?;
        let target = if self.signal { target.by_signal().from_outside() } else { target };
        if !target.has_heap() {
            return Err(cannot_be_asked(&target, &self.target));
        }
        if target.is_node() {
            return self.whole_heap(&target, output);
        }
        let fetched = on_runtime(1, async { Ok(target.snapshot(self.purge).await?) })?;
        let path = self.kept(&fetched)?;
        if self.json {
            let sidecar = serde_json::to_value(&fetched.sidecar).unwrap_or_default();
            let told = serde_json::json!({ "path": path, "sidecar": sidecar });
            output.result(&format!("{told:#}\n"))?;
        } else {
            output.result(&format!("{}\n", path.display()))?;
        }
        if let Some(sidecar) = &fetched.sidecar {
            let live = figures::bytes(sidecar.allocator.allocated_bytes as f64);
            let resident = match sidecar.process.rss_bytes {
                // Over HTTP nobody knows the process.
                0 => String::new(),
                bytes => format!(", resident {}", figures::bytes(bytes as f64)),
            };
            output.say(&format!("live heap {live}{resident}; `ebb leaks` judges several of these"));
        }
        Ok(exit::FINE)
    }

    /// The whole heap of a Node process: what was sampled begins with us, and is nothing yet.
    fn whole_heap(&self, target: &Target, output: Output) -> Result<i32, Failure> {
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let name = format!("heap-{}.heapsnapshot", at.map_or(0, |since| since.as_millis()));
        let path = match &self.out {
            Some(out) if out.is_dir() => out.join(name),
            Some(out) => out.clone(),
            None => PathBuf::from(name),
        };
        output.say("the process answers nothing until its heap is written");
        let taken = on_runtime(1, async {
            let mut signals = Signals::catch()?;
            let taken = tokio::select! {
                taken = target.whole_heap(&path, u64::MAX) => Some(taken),
                () = signals.next() => None,
            };
            if taken.is_none() {
                output
                    .say("stopping: what was changed in it is put back; once more leaves at once");
            }
            tokio::select! {
                () = target.release() => {}
                () = signals.next() => {}
            }
            Ok(taken.transpose()?)
        })?;
        let Some(taken) = taken else { return Ok(exit::INTERRUPTED) };
        let bytes = taken.map_or(0, |taken| taken.bytes);
        if self.json {
            let told = serde_json::json!({ "path": path, "bytes": bytes });
            output.result(&format!("{told:#}\n"))?;
        } else {
            output.result(&format!("{}\n", path.display()))?;
        }
        output.say(&format!(
            "{} by object; take another later, and `ebb diff` both",
            figures::bytes(bytes as f64)
        ));
        Ok(exit::FINE)
    }

    /// Where the snapshot is kept.
    fn kept(&self, fetched: &Fetched) -> Result<PathBuf, Failure> {
        let name = fetched.path.as_deref().and_then(Path::file_name);
        // Each has a name of its own, so that a folder of them is a series.
        let fresh = || PathBuf::from(format!("heapdump-{}.pb.gz", unix_ms()));
        let name = name.map_or_else(fresh, PathBuf::from);
        let path = match (&self.out, &fetched.path) {
            (None, Some(path)) => return Ok(path.clone()),
            (None, None) => name,
            (Some(out), _) if out.is_dir() => out.join(name),
            (Some(out), _) => out.clone(),
        };
        let unwritable = |error: std::io::Error| {
            Failure::failed(format!(
                "`{}`: {error}: choose another place with `--out`",
                path.display()
            ))
        };
        write(&path, &fetched.bytes).map_err(unwritable)?;
        if let Some(sidecar) = &fetched.sidecar {
            let text = serde_json::to_vec_pretty(sidecar).unwrap_or_default();
            write(&beside(&path), &text).map_err(unwritable)?;
        }
        Ok(path)
    }
}

/// Writes a file for its owner alone: what a server keeps in memory is as secret as the server.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    let file = options.write(true).create(true).truncate(true).mode(OWNER_ONLY).open(path);
    file?.write_all(content)
}

/// The name of the sidecar of a snapshot.
fn beside(path: &Path) -> PathBuf {
    let text = path.display().to_string();
    let stem = text.strip_suffix(".pb.gz").unwrap_or(&text);
    PathBuf::from(format!("{stem}.json"))
}

/// A target as it is named on the command line.
///
/// # Errors
///
/// When it is neither a process of this machine nor a URL.
pub(crate) fn target(named: &str) -> Result<Target, Failure> {
    if let Ok(pid) = named.parse::<u32>() {
        return Ok(Target::attach(pid)?);
    }
    if named.starts_with("ws://") {
        return Ok(Target::at_inspector(named));
    }
    if named.contains("://") {
        return Ok(Target::at_url(named)?);
    }
    Err(Failure::usage(format!(
        "`{named}` is neither a process id nor a URL: write `4711` or `http://127.0.0.1:6060`"
    )))
}

fn cannot_be_asked(target: &Target, named: &str) -> Failure {
    let name = target
        .pid()
        .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok())
        .unwrap_or_default();
    Failure::failed(format!(
        "process {named} (`{}`) has no probe and does not wait for SIGUSR2, of which it would \
         die, so it was not sent: put the probe into it, or name the URL of its heap profile",
        name.trim()
    ))
}
