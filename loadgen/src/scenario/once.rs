//! What is done once around the load: `[setup]` and `[teardown]`. Pure.
//!
//! In: a table of the document. Out: a [`Once`], with all faults noted in the reader. Running it
//! before and after the load is left to the caller of the engine.

use super::reader::Node;
use super::step::{self, Around};
use super::{Once, Provided, Step, verify};
use std::time::Duration;

/// k6's time limit of setup and of teardown.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Reads the steps that are taken once.
pub(super) fn read(node: &Node<'_, '_>, provided: &Provided<'_, '_>) -> Option<Once> {
    let fields = node.fields()?;
    let timeout = fields.opt("timeout").and_then(|node| node.duration());
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        fields.fault("`timeout` is 0, so nothing could ever end in time (raise it)");
    }
    let steps = fields.need("steps", "steps = [{ post = \"/login\" }]");
    let steps = steps.map(|node| {
        let steps = step::read_list(&node, &Around::new(false, &provided.lists));
        verify::verify((node.reader, &node.path), &steps, provided);
        steps
    });
    let line = node.line();
    fields.finish();
    Some(Once { steps: steps?, timeout: timeout.unwrap_or(TIMEOUT_DEFAULT), line })
}

/// Names of all variables that steps set.
pub(crate) fn sets(steps: &[Step]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for step in steps {
        let inside = step.verb.inside().into_iter().flat_map(|(_, steps)| sets(steps));
        for name in step.verb.sets().into_iter().map(str::to_owned).chain(inside) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}
