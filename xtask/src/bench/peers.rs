//! The generators that are compared: how each is called for the same load, and what it sends.
//!
//! Comes in: a URL, a number of connections, a time. Goes out: a command line, and the bytes of
//! one request as the generator writes it, caught by a listener of our own. Running them in turn
//! and judging the numbers is left to `compare`.

use crate::{paths, process};
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Connections that are kept open.
pub(super) const CONNECTIONS: u32 = 64;

/// A generator that says nothing for so long has nothing to say.
const PATIENCE: Duration = Duration::from_secs(5);

/// A load generator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Peer {
    /// `ebb load`, its normal recording on.
    Ebb,
    /// `ebb run` on a scenario whose path is a template and whose reply is checked twice.
    Checked,
    /// Will Glozer's wrk, one thread.
    Wrk,
    /// hatoo's oha.
    Oha,
    /// Matteo Collina's autocannon, on Node, without workers.
    Autocannon,
    /// Jaana Dogan's hey.
    Hey,
    /// Apache's ab: HTTP/1.0 with keep-alive.
    Ab,
}

/// Those that `ebb load` is compared with.
pub(super) const PEERS: [Peer; 5] = [Peer::Wrk, Peer::Oha, Peer::Autocannon, Peer::Hey, Peer::Ab];

/// More requests than `ab` sends in the time of a run; it makes room for that many results.
const AB_REQUESTS: &str = "5000000";

impl Peer {
    /// The program's name, and how it is called in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Peer::Ebb => "ebb",
            Peer::Checked => "ebb with checks",
            Peer::Wrk => "wrk",
            Peer::Oha => "oha",
            Peer::Autocannon => "autocannon",
            Peer::Hey => "hey",
            Peer::Ab => "ab",
        }
    }

    /// Who of ours is measured beside it in the row of that name.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, Peer::Ebb | Peer::Checked)
    }

    /// The first line of `--version`, or its like.
    pub(super) fn version(self) -> Result<String> {
        let program = self.program()?;
        let line = match self {
            Peer::Hey => return Ok(format!("hey {}", process::package_version("hey"))),
            Peer::Wrk => process::version_line(&program.to_string_lossy(), "-v"),
            Peer::Ab => process::version_line(&program.to_string_lossy(), "-V"),
            _ => process::version_line(&program.to_string_lossy(), "--version"),
        };
        // wrk adds a copyright after its version, ab its revision and a sentence around it.
        let line = line.trim_start_matches("This is ");
        let line = line.split(" [").next().unwrap_or(line);
        let line = line.split(" <$").next().unwrap_or(line);
        Ok(if self == Peer::Autocannon { format!("autocannon {line}") } else { line.to_owned() })
    }

    /// Where it is: ours among what was just built, others where `setup` found or put them.
    fn program(self) -> Result<PathBuf> {
        match self {
            Peer::Ebb | Peer::Checked => Ok(paths::build_folder().join("release").join("ebb")),
            Peer::Autocannon => {
                Ok(paths::root().join("xtask/npm/node_modules/.bin").join(self.name()))
            }
            Peer::Wrk | Peer::Oha | Peer::Hey | Peer::Ab => paths::find_program(self.name())
                .with_context(|| {
                    format!("`{}` is missing; `cargo xtask setup bench`", self.name())
                }),
        }
    }

    /// The command that loads `url` for `seconds`, on one core, with one thread, its output away.
    pub(super) fn command(self, load: &Load<'_>, core: usize) -> Result<Command> {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core.to_string()).arg(self.program()?);
        let seconds = format!("{}s", load.seconds);
        let connections = load.connections.to_string();
        match self {
            Peer::Ebb => {
                command.args(["load", load.url, "-c", &connections, "-d", &seconds, "-w", "1"]);
                command.arg("--json").arg("--out").arg(load.out);
            }
            Peer::Checked => {
                let scenario = load.out.with_extension("toml");
                std::fs::write(&scenario, checked_scenario(load))
                    .with_context(|| scenario.display().to_string())?;
                command.arg("run").arg(scenario).args(["--json", "--no-tui", "--threads", "1"]);
                command.arg("--out").arg(load.out);
            }
            Peer::Autocannon => {
                let seconds = load.seconds.to_string();
                command.args(["-c", &connections, "-d", &seconds, load.url]);
            }
            Peer::Hey => {
                command.args(["-cpus", "1", "-c", &connections, "-z", &seconds]);
            }
            Peer::Ab => {
                let seconds = load.seconds.to_string();
                command.args(["-q", "-k", "-c", &connections, "-t", &seconds, "-n", AB_REQUESTS]);
            }
            Peer::Wrk => {
                command.args(["-t", "1", "-c", &connections, "-d", &seconds, load.url]);
            }
            Peer::Oha => {
                command.args(["--no-tui", "-c", &connections, "-z", &seconds, load.url]);
            }
        }
        if self != Peer::Checked {
            for header in load.headers {
                command.arg("-H").arg(header);
            }
        }
        // These two want their flags before the URL.
        if matches!(self, Peer::Hey | Peer::Ab) {
            command.arg(load.url);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }
}

/// A path that is a template, and two checks, one of them on the body.
fn checked_scenario(load: &Load<'_>) -> String {
    format!(
        "schema = 1\nname = \"checked\"\n\n[target]\nbase = \"{}\"\n\n[flow.readers]\n\
         executor = \"constant-vus\"\nvus = {}\nduration = \"{}s\"\ntags = {{ team = \"bench\" }}\n\
         steps = [\n  {{ get = \"/item/${{iteration}}?user=${{vu}}\", \
         check = {{ status = 200, body = \"ebb\" }} }},\n]\n",
        load.url.trim_end_matches('/'),
        load.connections,
        load.seconds
    )
}

/// One run of one generator.
pub(super) struct Load<'a> {
    /// Where the target listens.
    pub(super) url: &'a str,
    /// How long, in seconds.
    pub(super) seconds: u64,
    /// How many are kept open.
    pub(super) connections: u32,
    /// Lines that the request has beyond what the generator sends by itself.
    pub(super) headers: &'a [String],
    /// A folder that does not exist yet, for what `ebb` records.
    pub(super) out: &'a std::path::Path,
}

/// One request as a peer sends it, its port masked: every peer meets another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Request {
    /// Start line and headers, with their line ends and the empty line.
    pub(super) text: String,
}

impl Request {
    /// The header lines that a bare request (a start line and `Host`) has not.
    pub(super) fn headers(&self) -> Vec<String> {
        let lines = self.text.split("\r\n").skip(1).filter(|line| !line.is_empty());
        lines.filter(|line| !is_host(line)).map(str::to_owned).collect()
    }

    /// Whether both say the same in the same bytes; or else in the same lines, whatever their
    /// order and the case of their names; or neither.
    pub(super) fn likeness(&self, other: &Request) -> &'static str {
        let lines = |request: &Request| {
            let mut lines: Vec<String> =
                request.text.split("\r\n").map(str::to_ascii_lowercase).collect();
            lines.sort();
            lines
        };
        match () {
            () if self.text == other.text => "identical bytes",
            () if lines(self) == lines(other) => "same lines and length",
            () => "DIFFERENT requests",
        }
    }
}

/// The one header that every request has.
fn is_host(line: &str) -> bool {
    line.to_ascii_lowercase().starts_with("host:")
}

/// Runs a peer for a moment against a listener of our own and returns the first request it sends.
///
/// # Errors
/// When the peer does not start, or connects to nothing.
pub(super) fn request_of(peer: Peer, headers: &[String], core: usize) -> Result<Request> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listening on 127.0.0.1")?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}/");
    let folder = super::Scratch::new("request")?;
    let out = folder.path.join("run");
    let load = Load { url: &url, seconds: 1, connections: 1, headers, out: &out };
    let caught = std::thread::spawn(move || catch(&listener));
    // The listener answers one request and goes; what the peer says to that is its own business.
    let status = peer.command(&load, core)?.status().context("the peer")?;
    // A peer that sent nothing leaves the listener waiting: an empty request ends that.
    if let Ok(mut stream) = std::net::TcpStream::connect(address) {
        stream.write_all(b"\r\n\r\n")?;
    }
    let text = caught.join().map_err(|_| anyhow::anyhow!("the listener panicked"))??;
    if text.trim().is_empty() {
        bail!("`{}` sent no request ({status})", peer.name());
    }
    Ok(Request { text: text.replace(&address.port().to_string(), "PORT") })
}

/// Reads the first request that comes, and answers it and what follows until the peer goes. wrk
/// tries the address with a connection that says nothing.
fn catch(listener: &TcpListener) -> Result<String> {
    let mut first = String::new();
    while first.is_empty() {
        let (mut stream, _) = listener.accept().context("accept")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut buffer = [0; 4096];
        let mut head = Vec::new();
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            head.extend_from_slice(&buffer[..read]);
            if head.ends_with(b"\r\n\r\n") {
                if first.is_empty() {
                    first = String::from_utf8_lossy(&head).into_owned();
                }
                head.clear();
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                    break;
                }
            }
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        Request { text: text.to_owned() }
    }

    #[test]
    fn likeness_is_told_by_bytes_then_by_lines() {
        let bare = request("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n");
        for (other, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", "identical bytes"),
            ("GET / HTTP/1.1\r\naccept: */*\r\nhost: a\r\n\r\n", "same lines and length"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "DIFFERENT requests"),
        ] {
            assert_eq!(bare.likeness(&request(other)), expected);
        }
        assert_eq!(bare.headers(), ["Accept: */*"]);
    }
}
