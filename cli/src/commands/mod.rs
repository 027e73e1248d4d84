//! The commands, one file each: what they take, and the few lines that put the other crates to
//! work. In: arguments as typed. Out: an exit code, or the failure that kept it from being told.
//! What is worth more than a few lines lives in the crate that it belongs to.

pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod import;
pub(crate) mod leaks;
pub(crate) mod load;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod validate;
pub(crate) mod watch;

use crate::failure::Failure;
use std::future::Future;
use std::time::Duration;

/// Version of the tool.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the runtime waits for work that nobody waits for any more.
const FAREWELL: Duration = Duration::from_millis(200);

/// Runs a future on a runtime of its own. One thread is enough for all but the server: load has
/// threads of its own, and names are looked up on threads for blocking work.
fn on_runtime<T>(
    threads: usize,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut builder = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(FAREWELL);
    result
}

/// The command line that reproduces what is done now, its secrets hidden.
fn command_line() -> Vec<String> {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    crate::secret::hidden(std::iter::once("ebb".to_owned()).chain(words))
}
