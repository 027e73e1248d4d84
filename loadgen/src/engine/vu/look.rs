//! What a virtual user takes from replies and messages: checks counted, variables captured.
//!
//! In: predicates and sources of the plan, an answer. Out: counts in the recorder, captures in the
//! user's scope. What predicates mean is left to [`crate::check`].

use super::Vu;
use crate::check::Answer;
use crate::http::client::{Kept, Reply};
use crate::http::coding;
use crate::plan::{CaptureOp, HttpOp};
use std::borrow::Cow;
use std::time::Duration;

impl Vu {
    /// Checks and captures of a reply.
    pub(super) fn look_at(&mut self, op: &HttpOp, reply: &Reply, start: u64) {
        let kept = std::mem::take(&mut self.http.kept);
        self.look_into(op, reply, (&kept, start));
        self.http.kept = kept;
    }

    pub(super) fn look_into(&mut self, op: &HttpOp, reply: &Reply, (kept, start): (&Kept, u64)) {
        let head: &[u8] = if reply.kept { &kept.head } else { b"" };
        let body = if op.needs_body && reply.kept {
            coding::decoded(head, &kept.body)
        } else {
            Cow::Borrowed(kept.body.as_slice())
        };
        let time = Duration::from_nanos(reply.done - start);
        let jar = self.jar.take();
        let cookie = |name: &str| jar.as_ref()?.value(name);
        let answer = Answer::new((reply.status, time), (head, &body), &cookie);
        for (place, predicate) in &op.checks {
            let held = predicate.holds(&answer, &mut self.scope);
            self.local.note(|recorder| recorder.check(*place, held));
        }
        self.capture(&op.captures, &answer);
        self.jar = jar;
    }

    pub(super) fn capture(&mut self, captures: &[CaptureOp], answer: &Answer<'_>) {
        for capture in captures {
            let found = capture.source.find(answer);
            if let Some(check) = capture.check {
                self.local.note(|recorder| recorder.check(check, found.is_some()));
            }
            let value = match (found, &capture.default) {
                (Some(value), _) => value,
                (None, Some(default)) => String::from_utf8_lossy(&self.text(default)).into_owned(),
                (None, None) => String::new(),
            };
            self.scope.captures[capture.place] = value;
        }
    }
}
