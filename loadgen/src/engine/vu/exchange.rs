//! The HTTP steps of a virtual user: one exchange, its samples, checks and captures.
//!
//! In: an instruction of the plan. Out: samples, and captures for later steps. The bytes of the
//! exchange are left to the HTTP client.

use super::Vu;
use crate::http::client::{Reply, Wanted};
use crate::plan::{HttpOp, Prepared};
use crate::recorder::Trend;
use crate::sample::Failure;
use crate::scenario::Predicate;
use crate::template::Template;
use serde_json::Value;
use std::io::Write;

impl Vu {
    #[inline]
    pub(super) async fn exchange(&mut self, op: &HttpOp) -> Result<(), Failure> {
        let mut start = self.time();
        if !self.http.is_open() {
            self.watch.set(start + op.timeout.as_nanos() as u64);
            let opened = self.http.open(&self.local, &self.watch).await;
            let now = self.local.now();
            self.local.record(op.slot, Trend::Connecting, now - start);
            if let Err(failure) = opened {
                return self.failed(op.slot, failure, start);
            }
            start = now;
        }
        self.watch.set(start + op.timeout.as_nanos() as u64);
        let wanted = Wanted { head: op.head, body: op.needs_body };
        let (result, length) = match &op.request {
            Prepared::Static(bytes) => {
                let result = self.http.exchange(bytes, wanted, (&self.local, &self.watch)).await;
                (result, bytes.len())
            }
            Prepared::Dynamic { head, body } => {
                let request = self.render(head, body.as_ref());
                let result = self.http.exchange(&request, wanted, (&self.local, &self.watch)).await;
                let length = request.len();
                self.scratch = request;
                (result, length)
            }
        };
        match result {
            Ok(reply) => {
                self.answered(op, &reply, (start, length));
                if op.checks.is_empty() && op.captures.is_empty() {
                    self.known = Some(reply.done);
                } else {
                    self.look_at(op, &reply, start);
                }
                Ok(())
            }
            Err(failure) => self.failed(op.slot, failure, start),
        }
    }

    #[inline]
    fn answered(&mut self, op: &HttpOp, reply: &Reply, (start, length): (u64, usize)) {
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
            if self.local.shared.open_model {
                let from = intended.unwrap_or(start);
                recorder.record(op.slot, Trend::Latency, reply.done.saturating_sub(from));
            }
        });
    }

    fn render(&mut self, head: &Template, body: Option<&Template>) -> Vec<u8> {
        let mut request = std::mem::take(&mut self.scratch);
        request.clear();
        head.render(&mut request, &mut self.scope);
        if let Some(body) = body {
            let mut rendered = Vec::new();
            body.render(&mut rendered, &mut self.scope);
            // Writing to a vector cannot fail.
            let _ = write!(request, "Content-Length: {}\r\n\r\n", rendered.len());
            request.extend_from_slice(&rendered);
        } else {
            request.extend_from_slice(b"\r\n");
        }
        request
    }

    /// Checks and captures of a reply.
    fn look_at(&mut self, op: &HttpOp, reply: &Reply, start: u64) {
        let body = std::mem::take(&mut self.http.body);
        let needs_json = !op.captures.is_empty()
            || op.checks.iter().any(|(_, predicate)| matches!(predicate, Predicate::Json(..)));
        let json: Value = if needs_json {
            serde_json::from_slice(&body).unwrap_or(Value::Null)
        } else {
            Value::Null
        };
        for (place, predicate) in &op.checks {
            let held = match predicate {
                Predicate::Status(ranges) => {
                    ranges.iter().any(|(low, high)| (*low..=*high).contains(&reply.status))
                }
                Predicate::Body(text) => contains(&body, &self.text(text)),
                Predicate::Json(pointer, value) => equals(&json, pointer, &self.text(value)),
                Predicate::Time(limit) => reply.done - start < limit.as_nanos() as u64,
            };
            self.local.note(|recorder| recorder.check(*place, held));
        }
        self.capture(&op.captures, &json);
        self.http.body = body;
    }

    pub(super) fn capture(&mut self, captures: &[(usize, String)], json: &Value) {
        for (place, pointer) in captures {
            self.scope.captures[*place] = match json.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => String::new(),
            };
        }
    }
}

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

pub(super) fn equals(json: &Value, pointer: &str, expected: &[u8]) -> bool {
    match json.pointer(pointer) {
        Some(Value::String(text)) => text.as_bytes() == expected,
        Some(value) => value.to_string().as_bytes() == expected,
        None => false,
    }
}
