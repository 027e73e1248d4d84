//! The way from a scenario to its target's heap: what a started target is told, whom to ask for
//! snapshots, and what counts as own code. In: the scenario. Out: a source, an environment, rules.
//! Asking for snapshots is left to `capture`.

use crate::folder::{self, RunFolder};
use crate::request::{RunError, RunRequest};
use crate::served;
use crate::target::{RunningTarget, Surroundings};
use ebbtide_loadgen::Faults;
use ebbtide_loadgen::scenario::{HeapSource, Scenario};
use ebbtide_profiler::SiteRules;
use ebbtide_profiler::source::Target as Source;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a started target's probe has to say that it is ready.
const PROBE_WITHIN: Duration = Duration::from_secs(3);

/// What counts as own code, and which kinds the user has named.
#[must_use]
pub fn site_rules(scenario: &Scenario) -> SiteRules {
    let kinds = scenario.memory.as_ref().map(|watch| watch.kinds.clone()).unwrap_or_default();
    SiteRules { own: scenario.target.own.clone(), kinds: kinds.into_iter().collect() }
}

/// What a started target finds around it.
#[must_use]
pub fn surroundings(request: &RunRequest, folder: &RunFolder) -> Surroundings {
    let mut env = BTreeMap::new();
    if let Some(watch) = &request.scenario.memory {
        env.insert("EBBTIDE_DIR".to_owned(), folder.snapshots().display().to_string());
        env.insert("EBBTIDE_ADMIN".to_owned(), "127.0.0.1:0".to_owned());
        env.insert("EBBTIDE_SAMPLE".to_owned(), watch.sample_interval_bytes.to_string());
        let told = std::env::var(served::GO_DEBUG).ok();
        let told = served::go_debug(told.as_deref(), watch.sample_interval_bytes);
        env.insert(served::GO_DEBUG.to_owned(), told);
    }
    let log = folder.path().join(folder::TARGET_LOG);
    Surroundings { ebb: request.ebb.clone(), env, log }
}

/// Finds the way to the target's heap. Without a memory watch whatever is seen is welcome and
/// nothing is demanded.
///
/// # Errors
///
/// When memory is to be watched and the heap cannot be had.
pub async fn attach(
    scenario: &Scenario,
    target: &RunningTarget,
) -> Result<Option<Source>, RunError> {
    let wanted = scenario.memory.is_some();
    let source = match (&scenario.target.pprof, target.pid, scenario.target.heap) {
        (Some(url), _, _) => served::at(url, target),
        (None, Some(pid), HeapSource::Auto | HeapSource::Pprof)
            if let Some(source) = in_go(pid, wanted).await =>
        {
            Ok(source)
        }
        (None, Some(pid), HeapSource::Auto | HeapSource::Probe | HeapSource::Signal) if wanted => {
            Source::attach_when_ready(pid, PROBE_WITHIN).await
        }
        (None, Some(pid), _) => Source::attach(pid),
        (None, None, _) => return without_process(wanted),
    };
    match source {
        Ok(source) if scenario.target.heap == HeapSource::Signal => Ok(Some(source.by_signal())),
        Ok(source) => Ok(Some(source.with_own(&scenario.target.own))),
        Err(error) if wanted => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// The endpoint of a Go program, which has no probe.
async fn in_go(pid: u32, wanted: bool) -> Option<Source> {
    if wanted && matches!(Source::attach(pid), Ok(source) if source.probe().is_none()) {
        return served::find(pid).await;
    }
    None
}

fn without_process(wanted: bool) -> Result<Option<Source>, RunError> {
    if !wanted {
        return Ok(None);
    }
    Err(RunError::Scenario(Faults::one(
        "target",
        "memory is to be watched, but nothing says where: give `pid`, `pprof` or a `command`",
    )))
}
