//! Leave to load a host. Load against another machine than this one can do harm, so it takes a
//! flag, or a yes at the prompt. In: a plan. Out: leave, or the failure that says how to get it.
//! Whether anyone listens there is left to `reach`.

use crate::failure::Failure;
use ebbtide_loadgen::Plan;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::IpAddr;

/// Asks for leave to load whoever a plan's bytes arrive at: the target or whom its connections are
/// led to, and a proxy before it. A unix socket is on this machine.
///
/// # Errors
///
/// When one of them is neither this machine nor allowed, and nobody says yes.
pub(crate) fn to_load(plan: &Plan, allowed: &[String]) -> Result<(), Failure> {
    let hosts = plan.transport.hosts(&plan.address.host, plan.address.port);
    hosts.into_iter().try_for_each(|host| to_load_host(host, allowed))
}

fn to_load_host(host: &str, allowed: &[String]) -> Result<(), Failure> {
    let known = |name: &String| name.eq_ignore_ascii_case(host) || name == "*";
    if is_this_machine(host) || allowed.iter().any(known) || agreed(host)? {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`{host}` is not this machine: add `--allow-host {host}` if you may load it"
    )))
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Asks the person at the terminal, if there is one.
fn agreed(host: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    let mut err = io::stderr().lock();
    write!(err, "ebb: `{host}` is not this machine. May you load it? Type yes: ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "yes" | "y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_needs_no_leave() {
        for host in ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "LOCALHOST"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["10.0.0.1", "example.org", "localhost.example.org", "0.0.0.0", ""] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
