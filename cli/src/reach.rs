//! One connection before any load: a target that is not there is told in one line at once, and
//! not in a table of refused requests later. In: a plan, whose way is taken as it is: proxy, unix
//! socket, TLS. Out: nothing, or why not. Whether the host may be loaded is left to `permission`.

use crate::failure::Failure;
use ebbtide_loadgen::Plan;
use ebbtide_loadgen::engine::{self, ReachError};
use ebbtide_loadgen::sample::Failure as Outcome;
use std::time::Duration;

/// How long the target has to take the connection.
const WITHIN: Duration = Duration::from_secs(5);

/// Tries whether anyone takes connections the way that the plan has it.
///
/// # Errors
///
/// When nobody does, or the host has no address.
pub(crate) fn target(plan: &Plan) -> Result<(), Failure> {
    let outcome = match engine::reach(plan, WITHIN) {
        Ok(()) => return Ok(()),
        Err(ReachError::Engine(error)) => return Err(error.into()),
        Err(ReachError::Failed(outcome)) => outcome,
    };
    let (host, port) = (&plan.address.host, plan.address.port);
    let (whom, cure) = match (&plan.transport.unix_socket, &plan.transport.proxy) {
        (Some(path), _) => (path.display().to_string(), "is it running, and is this its socket?"),
        (_, Some(proxy)) => {
            let whom = format!("{host}:{port}` by the proxy `{}:{}", proxy.host, proxy.port);
            (whom, "are both running, and is this the right way?")
        }
        _ => (format!("{host}:{port}"), "is it running, and is this the right port?"),
    };
    Err(Failure::failed(match outcome {
        // These say themselves what to do.
        Outcome::Tls(_) => format!("`{whom}` cannot be loaded: {outcome}"),
        Outcome::TimedOut => {
            format!("`{whom}` cannot be reached: no answer within {} s: {cure}", WITHIN.as_secs())
        }
        _ => format!("`{whom}` cannot be reached: {outcome}: {cure}"),
    }))
}
