//! One connection before any load: a target that is not there is told in one line at once, and
//! not in a table of refused requests later. In: a plan's address. Out: nothing, or why not.
//! Whether the host may be loaded is left to `permission`.

use crate::failure::Failure;
use ebbtide_loadgen::plan::Address;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the target has to take the connection.
const WITHIN: Duration = Duration::from_secs(5);

/// Tries whether anyone listens.
///
/// # Errors
///
/// When nobody does, or the host has no address.
pub(crate) async fn target(address: &Address) -> Result<(), Failure> {
    let Address { host, port, .. } = address;
    let reason = match timeout(WITHIN, TcpStream::connect((host.as_str(), *port))).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", WITHIN.as_secs()),
    };
    Err(Failure::failed(format!(
        "`{host}:{port}` cannot be reached: {reason}: is it running, and is this the right port?"
    )))
}
