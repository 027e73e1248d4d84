//! Echo, with a receipt: a small task learns whether the reply was written to the end.
//! In: a request of `/api/v1/echo`. Out: the same body, and the counts of replies confirmed and
//! given up.
//! Leaves to others: HTTP (`rest`), the end of a reply (`guarded`).

use crate::fault::{Fault, Faults};
use crate::metrics::Metrics;
use axum::http::request::Parts;
use bytes::Bytes;
use ebbtide_probe::{Kind, track};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Time a client may take to fetch its reply before the receipt is given up.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Dropped when the reply has been written to the end, or never will be.
pub(crate) type Written = oneshot::Sender<()>;

/// Expects the receipt of a reply. Gives what must be dropped with the reply's body.
pub(crate) fn expect_receipt(
    parts: &Parts,
    body: &Bytes,
    faults: &Faults,
    metrics: &Arc<Metrics>,
) -> Written {
    // FAULT(context): the right way is the line after it.
    if faults.strikes(Fault::Context) {
        hold_request(parts, body);
    }
    await_receipt(metrics.clone())
}

/// Right: the task holds what it needs, and has a time-out.
#[inline(never)]
fn await_receipt(metrics: Arc<Metrics>) -> Written {
    let (written, receipt) = oneshot::channel::<()>();
    let counted = track(Kind::Context);
    tokio::spawn(async move {
        let _counted = counted;
        // Nothing is ever sent: the end of the channel is the news.
        let in_time = tokio::time::timeout(RECEIPT_TIMEOUT, receipt).await.is_ok();
        metrics.receipt(in_time);
    });
    written
}

/// The mistake: the task holds the whole request, and waits for news that nobody will give it.
#[inline(never)]
fn hold_request(parts: &Parts, body: &Bytes) {
    let mut head = String::with_capacity(REQUEST_HEAD_BYTES);
    // Writing into a String cannot fail.
    let _ = write!(head, "{} {} {:?}", parts.method, parts.uri, parts.headers);
    let body = body.to_vec();
    let news = Arc::new(Notify::new());
    let counted = track(Kind::Context);
    tokio::spawn(async move {
        news.notified().await;
        drop((head, body, counted));
    });
}

/// Room for the head of a usual request.
const REQUEST_HEAD_BYTES: usize = 512;
