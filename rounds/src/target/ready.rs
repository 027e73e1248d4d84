//! Whether a started target is ready: it takes connections, and answers a path with success where
//! one is given. In: its address, or the way that its scenario has to it. Out: yes or no.
//! How often it is asked, and for how long, is left to the target.

use super::ASK_WITHIN;
use ebbtide_loadgen::Plan;
use ebbtide_loadgen::engine::{ask, reach};
use ebbtide_loadgen::plan::Address;
use ebbtide_loadgen::scenario::Target;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How a target is asked.
pub(super) enum Probe {
    /// At its address, by plain HTTP.
    Plain(SocketAddr),
    /// As it will be loaded: by TLS, or at a unix socket.
    Way(Arc<Plan>),
}

impl Probe {
    /// For a target that is to be loaded at `base`.
    pub(super) fn new(base: &str, target: &Target, address: SocketAddr) -> Self {
        let direct = target.transport.unix_socket.is_none();
        match Address::parse(base) {
            Ok(found) if found.tls || !direct => Self::Way(Arc::new(Plan {
                address: found,
                transport: target.transport.clone(),
                ..Plan::default()
            })),
            // What is wrong with a base is said where the plan is made.
            _ => Self::Plain(address),
        }
    }

    /// Whether it takes connections, and answers `path` with success when one is given.
    pub(super) async fn is_ready(&self, path: &str) -> bool {
        match self {
            Self::Plain(address) => {
                matches!(timeout(ASK_WITHIN, ask_plain(*address, path)).await, Ok(Ok(true)))
            }
            Self::Way(plan) => {
                let (plan, path) = (Arc::clone(plan), path.to_owned());
                let asked = tokio::task::spawn_blocking(move || match path.as_str() {
                    "" => reach(&plan, ASK_WITHIN).is_ok(),
                    path => ask(&plan, path, ASK_WITHIN)
                        .is_ok_and(|status| (200..300).contains(&status)),
                });
                asked.await.unwrap_or(false)
            }
        }
    }
}

async fn ask_plain(address: SocketAddr, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    if path.is_empty() {
        return Ok(true);
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(head.starts_with(b"HTTP/1.") && head[9] == b'2')
}
