//! A way to the probe's thread for requests: from the probe's own listener, and from a host
//! program that mounts the admin interface in its own server as a `tower` service.
//! In: requests. Out: replies, made on the probe's thread one after the other.
//! Leaves to others: the answers (`admin`) and the thread (`watch`).

use crate::error::SnapshotError;
use crate::route::{Reply, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the probe's thread: more than any person or tool has open at once.
pub(crate) const MAX_ORDERS: usize = 16;

/// Bytes of a request's body: the probe's own requests have none, a switch of the host's is short.
const MAX_BODY_BYTES: usize = 64 * 1_024;

/// What the probe's thread is asked for.
#[derive(Debug)]
pub(crate) enum Order {
    /// Answer a request.
    Answer(Request, oneshot::Sender<Reply>),
    /// Take a snapshot for the program itself.
    Take(SyncSender<Result<PathBuf, SnapshotError>>),
}

/// Answers admin requests; cheap to clone. A `tower::Service` for any HTTP server built on
/// `http` types: mount it so that it sees whole paths (`/debug/...`). If the probe has a token,
/// every request must carry it; without one, who may reach the mount is up to the server.
#[derive(Clone, Debug)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
    token: Option<Arc<str>>,
}

impl Handle {
    pub(crate) fn new(orders: mpsc::Sender<Order>, token: Option<Arc<str>>) -> Self {
        Self { orders, token }
    }

    /// Answers one request, whoever sent it: `404` for a path that nobody answers, `503` when
    /// the probe has stopped.
    pub async fn respond(&self, request: Request) -> Reply {
        let (sender, reply) = oneshot::channel();
        if self.orders.send(Order::Answer(request, sender)).await.is_err() {
            return stopped();
        }
        reply.await.unwrap_or_else(|_| stopped())
    }

    /// Answers one HTTP request after looking at its token.
    async fn serve<B>(self, request: hyper::Request<B>) -> hyper::Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !self.admits(request.headers().get(AUTHORIZATION)) {
            let mut response = response(Reply::text(401, "a bearer token is needed\n"));
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return response;
        }
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(error) if error.is::<LengthLimitError>() => {
                let text = format!("the body is longer than {MAX_BODY_BYTES} bytes\n");
                return response(Reply::text(413, text));
            }
            Err(error) => {
                return response(Reply::text(400, format!("the body broke off: {error}\n")));
            }
        };
        let request = Request {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body,
        };
        response(self.respond(request).await)
    }

    fn admits(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some(token) = &self.token else { return true };
        let given = authorization.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|given| equal(given, token.as_bytes()))
    }
}

impl<B> tower::Service<hyper::Request<B>> for Handle
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = hyper::Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<B>) -> Self::Future {
        let handle = self.clone();
        Box::pin(async move { Ok(handle.serve(request).await) })
    }
}

/// Compares in a time that does not tell how much was right.
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |sum, (l, r)| sum | (l ^ r)) == 0
}

fn stopped() -> Reply {
    Reply::text(503, "the probe has stopped\n")
}

/// A reply as an HTTP response.
pub(crate) fn response(reply: Reply) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = hyper::StatusCode::from_u16(reply.status)
        .unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    response
}
