//! The flags of `ebb load` that say what is spoken on connections and who shares them.
//!
//! In: words as typed, through clap. Out: a [`Protocol`]. What a connection is made over is left
//! to the transport.

use crate::failure::Failure;
use clap::Args;
use ebbtide_loadgen::scenario::protocol::{Connections, HttpVersion, IN_FLIGHT_MAX, Protocol};

/// What is spoken, and by how many at a time.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Speech {
    /// Speak HTTP/2: over http:// at once, over https:// the server has to agree
    #[arg(long, help_heading = "Protocol")]
    http2: bool,
    /// Requests in flight on each connection: pipelined over HTTP/1.1, streams over HTTP/2
    #[arg(
        short,
        long,
        default_value_t = 1,
        hide_default_value = true,
        value_name = "REQUESTS",
        help_heading = "Protocol"
    )]
    pipelining: u32,
    /// Make a fresh connection for each request
    #[arg(long, conflicts_with = "pipelining", help_heading = "Protocol")]
    no_keepalive: bool,
}

impl Speech {
    /// What the flags amount to.
    ///
    /// # Errors
    ///
    /// When more requests are to be in flight than a connection takes, or none.
    pub(crate) fn protocol(self) -> Result<Protocol, Failure> {
        if self.pipelining == 0 || self.pipelining > IN_FLIGHT_MAX {
            return Err(Failure::usage(format!(
                "`--pipelining {}` is not between 1 and {IN_FLIGHT_MAX}",
                self.pipelining
            )));
        }
        let connections = match self.pipelining {
            _ if self.no_keepalive => Connections::None,
            1 => Connections::Vu,
            _ => Connections::Shared,
        };
        let http = if self.http2 { HttpVersion::Two } else { HttpVersion::One };
        Ok(Protocol { http, connections, in_flight: self.pipelining })
    }
}
