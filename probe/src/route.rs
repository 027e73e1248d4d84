//! Requests and replies of the admin interface, free of any web framework, and the routes that a
//! host program adds to it.
//! In: method, path, query and a whole body, bounded by the listener. Out: [`Reply`].
//! Leaves to others: sockets and HTTP itself (`listener`), and the probe's own routes (`admin`).

use std::fmt;
use std::sync::Arc;

/// One request, its body read whole.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, ... in capitals.
    pub method: String,
    /// Path without the query: `/debug/census`.
    pub path: String,
    /// What stands after the `?`, as sent; empty when there is none.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What is sent back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Value of the header `content-type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON reply.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: "application/json", body: body.into() }
    }

    /// A line of plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into().into_bytes() }
    }
}

/// Answers requests below one path. Runs on the probe's thread, one request at a time, and what
/// it allocates is not sampled: it should set a switch or read a number, not do the work.
pub type Responder = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A path prefix and who answers below it.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) prefix: String,
    pub(crate) responder: Responder,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Route {
    /// Whether `path` is the prefix or lies below it.
    pub(crate) fn covers(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(&self.prefix) else { return false };
        rest.is_empty() || rest.starts_with('/') || self.prefix.ends_with('/')
    }
}
