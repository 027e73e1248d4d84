//! A reply's body that holds something until it has been written to the end, or dropped.
//! In: a body and what it is to hold. Out: the same body.
//! Leaves to others: what is held (`echo`, `server`).

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body that holds `H` as long as it lives.
#[derive(Debug)]
pub(crate) struct Guarded<H> {
    body: Body,
    _held: H,
}

impl<H: Send + Unpin + 'static> Guarded<H> {
    /// The body, holding `held`.
    pub(crate) fn hold(body: Body, held: H) -> Self {
        Self { body, _held: held }
    }
}

impl<H: Unpin> HttpBody for Guarded<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
