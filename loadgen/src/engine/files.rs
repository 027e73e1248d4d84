//! Open files: as many as the process may have, and whether they are enough.
//!
//! In: a plan. Out: the limit raised, or what is missing.

use super::EngineError;
use crate::plan::{Op, Plan};
use crate::schedule::vus_max;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: reactors, timers, outputs, the standard ones.
const BESIDES: u64 = 64;

/// Raises the limit of open files to what the process may have.
///
/// # Errors
/// When the users of closed flows alone need more. How many users an open flow makes is not known
/// before; each that finds no file is a failure with that reason.
pub(super) fn provide(plan: &Plan) -> Result<(), EngineError> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || (limit.current.is_some() && limit.maximum.is_none()) {
        // What is not granted shows below.
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        let _ = setrlimit(Resource::Nofile, raised);
    }
    let needed = needed(plan);
    match getrlimit(Resource::Nofile).current {
        Some(limit) if needed > limit => Err(EngineError::Files { needed, limit }),
        _ => Ok(()),
    }
}

fn needed(plan: &Plan) -> u64 {
    let connections = plan.flows.iter().filter(|flow| !flow.executor.is_open()).map(|flow| {
        let http = u64::from(flow.ops.iter().any(|op| matches!(op, Op::Http(_))));
        let each = http + flow.sockets.len() as u64;
        // Long polling takes two while it lasts, and a third for the upgrade; most have one.
        let clients = flow.clients.len() as u64;
        u64::from(vus_max(&flow.executor)) * (each + clients).max(1)
    });
    let most: u64 = connections.sum();
    most + BESIDES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Quick;

    #[test]
    fn what_is_too_much_is_said_with_its_cure() {
        let quick = |connections| {
            let url = "ws://127.0.0.1:1/".to_owned();
            Plan::quick(&Quick { url, connections, ..Quick::default() }).expect("a plan")
        };
        assert!(provide(&quick(1)).is_ok());
        let error = provide(&quick(u32::MAX)).expect_err("four milliards of files");
        let text = error.to_string();
        assert!(text.starts_with("the load needs 4294967359 open files"), "{text}");
        assert!(text.contains("ulimit -Hn 4294967359"), "{text}");
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
