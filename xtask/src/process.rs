//! Child processes: run one and fail with its command line, or run one and learn what CPU time
//! and memory it took.
//!
//! Comes in: a `Command`. Goes out: success, output, or what `wait4` tells, which counts every
//! thread of the child, the ended ones too. What the numbers mean is left to `bench`.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs a command with the terminal as its own; an error names the command line.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let status = command.status().with_context(|| format!("`{line}` could not be started"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// The first line a program prints for its version, wherever it prints it; `unknown` if nowhere.
pub(crate) fn version_line(program: &str, flag: &str) -> String {
    let Ok(output) = Command::new(program).arg(flag).stdin(Stdio::null()).output() else {
        return "unknown".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// The version of a Debian package, for programs that do not tell theirs; "unknown" when there
/// is none.
pub(crate) fn package_version(package: &str) -> String {
    let mut command = Command::new("dpkg-query");
    command.args(["--show", "--showformat=${Version}", package]).stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// Runs a command to its end and returns the CPU time, user and system, of all its threads.
pub(crate) fn cpu_time(command: &mut Command) -> Result<Duration> {
    Ok(usage(command)?.cpu)
}

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time, user and system, of all its threads.
    pub(crate) cpu: Duration,
    /// The largest resident set that it had.
    pub(crate) peak_bytes: u64,
}

/// Runs a command to its end and returns what it took.
pub(crate) fn usage(command: &mut Command) -> Result<Usage> {
    let line = command_line(command);
    let child = command.spawn().with_context(|| format!("`{line}` could not be started"))?;
    let (status, usage) = wait_with_usage(child.id()).with_context(|| format!("`{line}`"))?;
    if status != 0 {
        bail!("`{line}` failed (wait status {status:#x})");
    }
    Ok(usage)
}

/// The words of a command as one would type them.
fn command_line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Waits for a child: its wait status, and what it took.
#[expect(unsafe_code, reason = "std has no wait that tells the child's resource usage")]
fn wait_with_usage(pid: u32) -> Result<(i32, Usage)> {
    let pid = i32::try_from(pid).context("process id")?;
    let mut status = 0;
    // SAFETY: rusage is plain integers, for which all zeroes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the types that wait4 writes.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            let cpu = duration(usage.ru_utime) + duration(usage.ru_stime);
            // The kernel counts it in units of 1,024 bytes.
            let peak_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1_024;
            return Ok((status, Usage { cpu, peak_bytes }));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error).context("wait4");
        }
    }
}

/// A kernel `timeval` as a duration; the kernel never hands out a negative one here.
fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_a_busy_child_is_counted() {
        let busy = cpu_time(
            Command::new("sh").args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]),
        )
        .expect("sh runs");
        assert!(busy > Duration::ZERO, "{busy:?}");
    }

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        for outcome in
            [run(&mut Command::new("false")), cpu_time(&mut Command::new("false")).map(drop)]
        {
            let error = outcome.expect_err("false fails");
            assert!(format!("{error:#}").contains("`false` failed"), "{error:#}");
        }
    }
}
