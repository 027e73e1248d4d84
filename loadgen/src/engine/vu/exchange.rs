//! The HTTP steps of a virtual user: one exchange and its samples.
//!
//! In: an instruction of the plan. Out: samples. The bytes of the exchange are left to the HTTP
//! client, what is seen in the reply to `look.rs`, where it leads to `follow.rs`.

use super::Vu;
use crate::http::client::{Opened, Reply, Wanted};
use crate::plan::{BodyOp, HttpOp, Prepared};
use crate::recorder::Trend;
use crate::sample::Failure;
use crate::template::Template;
use crate::wire::lane::Lane;
use serde_json::Value;
use std::io::Write;

impl Vu {
    #[inline]
    pub(super) async fn exchange(&mut self, op: &HttpOp) -> Result<(), Failure> {
        let mut start = self.time();
        if !self.http.is_open() {
            start = self.open(op, start).await?;
        }
        self.watch.set(start + op.timeout.as_nanos() as u64);
        let wanted = Wanted { head: op.head, body: op.needs_body, heads: op.heads };
        let (result, length) = if self.jar.is_some() {
            self.dressed_exchange(op, wanted).await
        } else {
            match &op.request {
                Prepared::Static(bytes) => {
                    let lane = (&**self.local, &*self.watch);
                    (self.http.exchange(bytes, wanted, lane).await, bytes.len())
                }
                Prepared::Dynamic { head, body } => {
                    let request = self.render(head, body.as_deref());
                    let lane = (&**self.local, &*self.watch);
                    let result = self.http.exchange(&request, wanted, lane).await;
                    let length = request.len();
                    self.scratch = request;
                    (result, length)
                }
            }
        };
        if let Some(opened) = self.http.reopened {
            start = self.reopened(op, opened);
        }
        match result {
            Ok(reply) => {
                self.answered(op, &reply, (start, length));
                if reply.notable {
                    let request = self.last_request(op);
                    let followed = self.follow(op, request, (reply, start));
                    let (reply, start) = Box::pin(followed).await?;
                    self.look_at(op, &reply, start);
                } else if op.checks.is_empty() && op.captures.is_empty() {
                    self.known = Some(reply.done);
                } else {
                    self.look_at(op, &reply, start);
                }
                Ok(())
            }
            Err(failure) => self.failed(op.slot, failure, start),
        }
    }

    /// Opens a connection for an exchange, and gives the time at which it is open.
    pub(super) async fn open(&mut self, op: &HttpOp, start: u64) -> Result<u64, Failure> {
        self.watch.set(start + op.timeout.as_nanos() as u64);
        match self.http.open(&self.local, &self.watch).await {
            Ok(opened) => {
                connected(&self.local, op.slot, &Opened { begin: start, ..opened });
                Ok(opened.end)
            }
            Err(failure) => self.failed(op.slot, failure, start).map(|()| start),
        }
    }

    /// The exchange was repeated on a connection made for it: gives the time of its second begin.
    #[cold]
    pub(super) fn reopened(&mut self, op: &HttpOp, opened: Opened) -> u64 {
        self.http.reopened = None;
        connected(&self.local, op.slot, &opened);
        opened.end
    }

    #[inline]
    pub(super) fn answered(&mut self, op: &HttpOp, reply: &Reply, (start, length): (u64, usize)) {
        let intended = self.intended.take();
        let duration = reply.done - start;
        self.local.note(|recorder| {
            recorder.counters.bytes_sent += length as u64;
            recorder.counters.bytes_received += reply.bytes;
            if reply.status < 400 {
                recorder.succeed(op.slot);
            } else {
                recorder.fail(op.slot, Failure::Status(reply.status));
            }
            match reply.first {
                None => recorder.record(op.slot, Trend::Duration, duration),
                Some(first) => {
                    let sent = reply.sent.unwrap_or(start);
                    recorder.record(op.slot, Trend::DurationLong, duration);
                    recorder.record(op.slot, Trend::Waiting, first.saturating_sub(sent));
                    recorder.record(op.slot, Trend::Receiving, reply.done - first);
                }
            }
            if let Some(sent) = reply.sent {
                recorder.record(op.slot, Trend::Sending, sent.saturating_sub(start));
            }
            if self.local.shared.open_model {
                let from = intended.unwrap_or(start);
                recorder.record(op.slot, Trend::Latency, reply.done.saturating_sub(from));
            }
        });
    }

    pub(super) fn render(&mut self, head: &Template, body: Option<&[BodyOp]>) -> Vec<u8> {
        let mut request = std::mem::take(&mut self.scratch);
        request.clear();
        head.render(&mut request, &mut self.scope);
        let Some(body) = body else {
            request.extend_from_slice(b"\r\n");
            return request;
        };
        let mut rendered = Vec::new();
        for piece in body {
            match piece {
                BodyOp::Text(text) => text.render(&mut rendered, &mut self.scope),
                BodyOp::Bytes(bytes) => rendered.extend_from_slice(bytes),
            }
        }
        // Writing to a vector cannot fail.
        let _ = write!(request, "Content-Length: {}\r\n\r\n", rendered.len());
        request.extend_from_slice(&rendered);
        request
    }
}

pub(super) use crate::check::contains;

pub(super) fn equals(json: &Value, pointer: &str, expected: &[u8]) -> bool {
    match json.pointer(pointer) {
        Some(Value::String(text)) => text.as_bytes() == expected,
        Some(value) => value.to_string().as_bytes() == expected,
        None => false,
    }
}

/// Times of a connection as k6 counts them: the wait for it contains its making.
pub(super) fn connected(lane: &Lane, slot: usize, opened: &Opened) {
    let blocked = opened.end.saturating_sub(opened.begin);
    lane.note(|recorder| {
        recorder.record(slot, Trend::Blocked, blocked);
        if opened.made {
            let handshake = opened.handshake.unwrap_or(0);
            recorder.record(slot, Trend::Connecting, blocked.saturating_sub(handshake));
        }
        if let (true, Some(handshake)) = (opened.made, opened.handshake) {
            recorder.record(slot, Trend::TlsHandshaking, handshake);
        }
    });
}
